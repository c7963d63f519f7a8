"""Single images through a model in batches, for tables of predictions."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
from scipy.special import expit

from AcuteFindingsLib.detectors.hemorrhage import HemorrhageSettings, head_images
from AcuteFindingsLib.detectors.pneumothorax import PneumothoraxRule, outlines
from AcuteFindingsLib.detectors.radiograph import chest_probabilities, lung_masks
from AcuteFindingsLib.errors import DetectionError
from AcuteFindingsLib.models.find import default_package, find_package
from AcuteFindingsLib.models.metadata import Task
from AcuteFindingsLib.models.predictor import Predictor
from AcuteFindingsLib.models.torch_predictor import load_predictor
from AcuteFindingsLib.study.study import Study


@dataclass(frozen=True)
class Scores:
    """Probabilities ``(n, labels)``, and one bool mask ``(y, x)`` an image where the model draws them."""

    probabilities: np.ndarray
    masks: list[np.ndarray] | None = None


class ImageScorer(Protocol):
    """Scores single images; `labels` names the columns, none where the model gives masks only."""

    @property
    def labels(self) -> tuple[str, ...]:
        """Return the columns."""
        ...

    def score(self, studies: Sequence[Study]) -> Scores:
        """Score one batch of single-image studies."""
        ...


def load_image_scorer(
    task: Task, *, model: str | None = None, device: str = "auto", folders: tuple[Path, ...] = ()
) -> ImageScorer:
    """Load the model for ``"hemorrhage"``, ``"pneumothorax"``, ``"chest"`` or ``"lungs"``."""
    package = find_package(model, task=task, folders=folders) if model else default_package(task, folders=folders)
    return _SCORERS[task](load_predictor(package, device=device))


class _HemorrhageScorer:
    def __init__(self, predictor: Predictor) -> None:
        self.predictor = predictor
        self.settings = HemorrhageSettings.model_validate(predictor.card.preprocessing)
        self.labels = tuple(label.name for label in predictor.card.labels)

    def score(self, studies: Sequence[Study]) -> Scores:
        prepared = [head_images(study, self.settings).images for study in studies]
        several = [study.source_name for study, images in zip(studies, prepared, strict=True) if len(images) != 1]
        if several:
            raise DetectionError(
                f"{several[0]} holds several slices; predict scores single images, run scores studies."
            )
        features = self.predictor.predict(np.stack(prepared), part="features")["features"]
        # Each image is a sequence of its own: none is the neighbour of another.
        return Scores(expit(self.predictor.predict(features[:, None], part="head")["slice"][:, 0]))


class _PneumothoraxScorer:
    labels = ("pneumothorax",)

    def __init__(self, predictor: Predictor) -> None:
        self.predictor = predictor
        self.rule = PneumothoraxRule.model_validate(predictor.card.rule)
        self.empty_threshold = predictor.card.threshold("empty", "pneumothorax")

    def score(self, studies: Sequence[Study]) -> Scores:
        answers = outlines(_pictures(studies), self.predictor)
        masks = [self.rule.kept(answer, self.empty_threshold) for answer in answers]
        return Scores(np.array([[answer.probability] for answer in answers]), masks)


class _ChestScorer:
    def __init__(self, predictor: Predictor) -> None:
        self.predictor = predictor
        self.labels = tuple(label.name for label in predictor.card.labels)

    def score(self, studies: Sequence[Study]) -> Scores:
        return Scores(chest_probabilities(_pictures(studies), self.predictor))


class _LungsScorer:
    labels: tuple[str, ...] = ()

    def __init__(self, predictor: Predictor) -> None:
        self.predictor = predictor

    def score(self, studies: Sequence[Study]) -> Scores:
        masks = lung_masks(_pictures(studies), self.predictor)
        return Scores(np.empty((len(masks), 0)), masks)


_SCORERS: dict[Task, Callable[[Predictor], ImageScorer]] = {
    "hemorrhage": _HemorrhageScorer,
    "pneumothorax": _PneumothoraxScorer,
    "chest": _ChestScorer,
    "lungs": _LungsScorer,
}


def _pictures(studies: Sequence[Study]) -> list[np.ndarray]:
    return [study.array[len(study.array) // 2] for study in studies]
