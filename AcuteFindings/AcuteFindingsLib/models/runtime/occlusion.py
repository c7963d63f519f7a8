"""Where a model looked, by covering the picture: for what gives no gradients."""

from collections.abc import Sequence

import numpy as np
from scipy.special import expit

from AcuteFindingsLib.models.heat import outputs_there
from AcuteFindingsLib.models.predictor import Explained, Predictor

OCCLUSION = "Occlusion map"
"""What such a map is called."""

# A map of so many squares a side: as fine as the last feature map of most networks.
_SQUARES = 8
_AT_ONCE = 16


def explain_by_covering(
    predictor: Predictor, batch: np.ndarray, *, outputs: Sequence[str], part: str = "", then: str = ""
) -> Explained:
    """Return how much of an item's probabilities goes when a square of the picture is covered (Zeiler 2014).

    A program has no layers to look into, so this stands in for Grad-CAM: the same scale, dark where nothing changes,
    highest where covering changes most. Each of 64 squares is covered, with a margin of half its side, by the picture's
    mean; all outputs are asked at once, so that a second label costs nothing.

    Parameters
    ----------
    predictor
        What is asked.
    batch, outputs, part, then
        As for `Predictor.predict_explained`.

    Raises
    ------
    ModelError
        As `Predictor.predict`, and when there is no such output.
    """
    batch = np.ascontiguousarray(batch, dtype=np.float32)
    said, whole = _probabilities(predictor, batch, outputs, part, then)
    rows, columns = batch.shape[-2:]
    drops = {name: np.zeros((*value.shape, _SQUARES, _SQUARES), np.float32) for name, value in whole.items()}
    places = [(row, column) for row in range(_SQUARES) for column in range(_SQUARES)]
    for number, picture in enumerate(batch):
        for start in range(0, len(places), _AT_ONCE):
            chosen = places[start : start + _AT_ONCE]
            covered = np.repeat(picture[None], len(chosen), axis=0)
            for item, (row, column) in zip(covered, chosen, strict=True):
                item[:, _span(row, rows), _span(column, columns)] = picture.mean(axis=(1, 2), keepdims=True)
            for name, left in _probabilities(predictor, covered, outputs, part, then)[1].items():
                for (row, column), values in zip(chosen, left, strict=True):
                    drops[name][number, :, row, column] = np.maximum(0.0, whole[name][number] - values)
    return Explained(said, drops)


def _probabilities(
    predictor: Predictor, batch: np.ndarray, outputs: Sequence[str], part: str, then: str
) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """Return what the part says, and ``(n, numbers)`` of the outputs asked for: of a mask the largest."""
    said = last = predictor.predict(batch, part=part)
    if then:
        sequences = predictor.predict(said[part][:, None], part=then)
        last = {name: value[:, 0] for name, value in sequences.items()}
    there = outputs_there(predictor.card.id, {name: value.shape for name, value in last.items()}, outputs)
    return said, {name: expit(last[name].reshape(*last[name].shape[:2], -1).max(axis=2)) for name in there}


def _span(number: int, length: int) -> slice:
    side = length / _SQUARES
    return slice(max(0, round((number - 0.5) * side)), min(length, round((number + 1.5) * side)))
