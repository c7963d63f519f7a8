"""All that a detector sees of a model."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np

from AcuteFindingsLib.models.metadata import Card
from AcuteFindingsLib.progress import Cancelled, stop_if
from AcuteFindingsLib.study.notice import Notice


@dataclass(frozen=True)
class Explained:
    """What a network says of a batch and where it looked.

    Attributes
    ----------
    outputs
        As `Predictor.predict` gives them.
    maps
        By the name of an output ``(n, numbers, y, x)`` float32, at least 0: a small map for each of its numbers, before
        it is scaled (`models.heat`).
    """

    outputs: dict[str, np.ndarray]
    maps: dict[str, np.ndarray]


def computed_by(predictor: "Predictor") -> str:
    """Return what computes a model, and where: ``"ONNX Runtime 1.32.0 on cpu"``."""
    return f"{predictor.runtime} on {predictor.device}"


class Predictor(Protocol):
    """A model ready to answer: numpy batches in, named numpy arrays out.

    By torch (`models.runtime.torch_predictor`), or a stored program (`models.runtime.program`). Outputs are logits
    exactly as the network gives them, float32; a detector applies sigmoid where its rule asks for probabilities.

    Attributes
    ----------
    explanation
        What `explain` gives, for the name of a heat map: ``"Grad-CAM"`` or another method.
    one_pass
        Whether `predict_explained` runs the network once, as `predict` does; else it runs many times, and only what is
        shown is explained.
    runtime
        What computes it, with its version: ``"PyTorch 2.14.0"``, ``"ONNX Runtime 1.32.0"``.
    device
        Where it computes now: one of `models.device.DEVICES`, or those of its parts joined by plus signs.
    notices
        What is to be said of that, as where a device failed and the processor took over.
    """

    explanation: str
    one_pass: bool
    card: Card
    version: str
    sha256: str

    @property
    def runtime(self) -> str:
        """What computes."""
        ...

    @property
    def device(self) -> str:
        """Where the model computes now."""
        ...

    @property
    def notices(self) -> tuple[Notice, ...]:
        """What went wrong there."""
        ...

    def predict(self, batch: np.ndarray, *, part: str = "") -> dict[str, np.ndarray]:
        """Run the network, or one of its named parts, on one batch without gradients.

        Parameters
        ----------
        batch
            float32; ``(n, c, y, x)`` for slice and image networks, else as the part's docstring says.
        part
            Name of a method of the network (``"encode"``, ``"features"``, ``"head"``, ``"sequence"``); ``""`` is
            `forward`.
        """
        ...

    def predict_explained(
        self, batch: np.ndarray, *, outputs: Sequence[str], part: str = "", then: str = ""
    ) -> Explained:
        """Do what `predict` does, and say where the network looked for each number of these outputs.

        Parameters
        ----------
        batch, part
            As for `predict`.
        outputs
            Names of outputs to explain, as far as the network has them; it has one of them at least. Of an output with
            more axes than two, a mask, the mean logit is explained.
        then
            Where the outputs to explain are those of another part, which reads what `part` gives under its own name,
            each item as a sequence of its own: its name.
        """
        ...

    def explain(self, batch: np.ndarray, *, output: str, index: int, part: str = "", then: str = "") -> np.ndarray:
        """Return where the network looked for one output number of each item.

        ``(n, y, x)`` float32 in 0..1 at the batch's size; see `models.heat.explain_batch`.
        """
        ...


@runtime_checkable
class Stoppable(Protocol):
    """A `Predictor` that can be stopped while it works on a batch: by torch, or by the graphs of a package."""

    def predict_until(
        self, batch: np.ndarray, *, part: str = "", cancelled: Cancelled | None = None
    ) -> dict[str, np.ndarray]:
        """Do what `Predictor.predict` does; raise `CancelledError` within a layer of `cancelled` answering True."""
        ...


def predict_until(predictor: Predictor, batch: np.ndarray, *, cancelled: Cancelled) -> dict[str, np.ndarray]:
    """Run a network that takes seconds or minutes for one batch, and stop as early as it can be stopped.

    Raises
    ------
    CancelledError
        `cancelled` answered True: within the batch where the predictor is `Stoppable`, else before it.
    ModelError
        As `Predictor.predict` raises it.
    """
    if isinstance(predictor, Stoppable):
        return predictor.predict_until(batch, cancelled=cancelled)
    stop_if(cancelled)
    return predictor.predict(batch)
