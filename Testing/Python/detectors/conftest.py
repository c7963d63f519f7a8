"""Predictors whose answers a test can foresee, at the seam where a detector meets a model."""

from collections.abc import Callable, Sequence

import numpy as np
import pytest

from AcuteFindingsLib.models.heat import explain_batch
from AcuteFindingsLib.models.metadata import Card, Interval, Label, Network, OperatingPoint, TrainingData
from AcuteFindingsLib.models.predictor import Explained

LOGIT = 6.0


class ScriptedPredictor:
    """Answers by functions of the batch, one a part; `seen` keeps the batches."""

    version, sha256, device, explanation = "1.2.3", "ab" * 32, "cpu", "Grad-CAM"
    one_pass = True
    runtime, notices = "Script 1", ()

    def __init__(self, card: Card, parts: dict[str, Callable[[np.ndarray], dict[str, np.ndarray]]]) -> None:
        self.card, self.parts = card, parts
        self.seen: list[tuple[str, np.ndarray]] = []

    def predict(self, batch: np.ndarray, *, part: str = "") -> dict[str, np.ndarray]:
        self.seen.append((part, batch))
        return self.parts[part](batch)

    def predict_explained(
        self, batch: np.ndarray, *, outputs: Sequence[str], part: str = "", then: str = ""
    ) -> Explained:
        """Look where the first channel is bright, for every number of the outputs alike."""
        said = self.predict(batch, part=part)
        look = np.clip(batch[:, :1], 0, 1)
        return Explained(said, {name: np.repeat(look, said[name].shape[1], 1) for name in outputs if name in said})

    def explain(self, batch: np.ndarray, *, output: str, index: int, part: str = "", then: str = "") -> np.ndarray:
        return explain_batch(self, batch, output=output, index=index, part=part, then=then)


def make_card(task: str, *, labels: list[str], points: list[tuple[str, str, float]], **fields) -> Card:
    return Card(
        id=f"scripted-{task}",
        task=task,
        title="Scripted",
        network=Network(name="radnet"),
        labels=[Label(name=name, meaning=name.replace("_", " ")) for name in labels],
        operating_points=[
            OperatingPoint(level=level, label=label, threshold=threshold, chosen="for the test")
            for level, label, threshold in points
        ],
        training_data=TrainingData(summary="nothing", phantoms_only=False, count="0"),
        license="Apache-2.0",
        intended_use="tests",
        limitations="all",
        **{"preprocessing": {}, "evaluation": [measured(name) for name in labels], **fields},
    )


def measured(label: str) -> Interval:
    """Return a figure that is about a label, which the scripted cards say `make_card` names so."""
    return Interval(
        metric=f"AUC, {label.replace('_', ' ')}", value=0.9, low=0.8, high=0.95, data="d", count=9, command="c"
    )


def logits(truth: np.ndarray) -> np.ndarray:
    """Turn booleans into logits far from the threshold."""
    return np.where(truth, LOGIT, -LOGIT).astype(np.float32)


@pytest.fixture
def scripted() -> type[ScriptedPredictor]:
    return ScriptedPredictor


@pytest.fixture
def card() -> Callable[..., Card]:
    return make_card


@pytest.fixture
def as_logits() -> Callable[[np.ndarray], np.ndarray]:
    return logits
