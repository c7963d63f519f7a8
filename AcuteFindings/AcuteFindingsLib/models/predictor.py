"""All that a detector sees of a model."""

from typing import Protocol

import numpy as np

from AcuteFindingsLib.models.metadata import Card


class Predictor(Protocol):
    """A model ready to answer: numpy batches in, named numpy arrays out.

    By torch (`models.runtime.torch_predictor`), or a stored program (`models.runtime.program`). Outputs are logits
    exactly as the network gives them, float32; a detector applies sigmoid where its rule asks for probabilities.

    Attributes
    ----------
    explanation
        What `explain` gives, for the name of a heat map: ``"Grad-CAM"`` or another method.
    """

    explanation: str
    card: Card
    version: str
    sha256: str

    @property
    def device(self) -> str:
        """Where the model computes now."""
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

    def explain(self, batch: np.ndarray, *, output: str, index: int, part: str = "", then: str = "") -> np.ndarray:
        """Return where the network looked for one output number of each item.

        ``(n, y, x)`` float32 in 0..1 at the batch's size. With `then` the output is one of that part, which reads what
        `part` gives under its own name, each item as a sequence of its own.
        """
        ...
