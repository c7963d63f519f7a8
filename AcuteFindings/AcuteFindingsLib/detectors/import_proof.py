"""What a detector says with an imported model, compared with what the model's source says of the same phantom."""

from collections.abc import Mapping, Sequence
from copy import copy
from dataclasses import replace

import numpy as np

from AcuteFindingsLib.detectors.registry import model_tasks
from AcuteFindingsLib.errors import ModelError
from AcuteFindingsLib.models.importing.proof import DETECTOR_TOLERANCE, Source
from AcuteFindingsLib.models.predictor import Predictor
from AcuteFindingsLib.models.task import load_reference
from AcuteFindingsLib.phantoms.as_study import phantom_study
from AcuteFindingsLib.phantoms.phantom import Phantom
from AcuteFindingsLib.study.study import Study

SEED = 3
"""Of the phantom that both judge."""

# Between such values rounding moves no pixel across a threshold.
_CLEAR = 1e-5


def detector_difference(predictor: Predictor, source: Source) -> float | None:
    """Let the detector of the model's task and the source judge one phantom; return the largest difference.

    The source's side is computed anew from its own answers, as the documentation describes the detectors: radiographs
    padded to a square and normalized as the source states, masks brought back on the picture; slices of a CT as the
    detector prepares them. The detector of radiographs speaks as in `acutefindings predict`.

    Thresholds are set into the middle of the source's numbers, so that every mask has pixels in and out. Masks differ
    by how far the source's probability lies from the threshold, where one has a pixel and the other has not.

    Returns
    -------
    float or None
        None where the detector of the task names no comparison (`ModelTask.proof`), or the model is of another form.

    Raises
    ------
    ModelError
        The detector cannot use the model, or source and package differ.
    SourceMissingError
        The source cannot be asked here.
    """
    task = model_tasks().get(predictor.card.task)
    if task is None or not task.proof or predictor.card.form:
        return None
    try:
        return load_reference(task.proof)(predictor, source)
    except (ValueError, KeyError) as error:
        raise ModelError(f"The model does not fit the detector for {predictor.card.task}: {error}.") from error


def slab(phantom: Phantom, count: int) -> Study:
    """Return the middle slices of a phantom as a study."""
    start = (len(phantom.array) - count) // 2
    return phantom_study(replace(phantom, array=np.ascontiguousarray(phantom.array[start : start + count])))


def with_thresholds(predictor: Predictor, thresholds: Mapping[str, float]) -> Predictor:
    """Return the model with other operating points, by their level."""
    moved = copy(predictor)
    points = [
        point.model_copy(update={"threshold": thresholds.get(point.level, point.threshold)})
        for point in predictor.card.operating_points
    ]
    moved.card = predictor.card.model_copy(update={"operating_points": points})
    return moved


def between(values: np.ndarray, share: float = 0.5) -> float:
    """Return the threshold nearest a quantile that lies clear of each value; where all are alike, clear of all."""
    ordered = np.sort(values, axis=None).astype(np.float64)
    clear = np.flatnonzero(np.diff(ordered) >= _CLEAR)
    if not len(clear):
        ordered = np.array([0.0, *ordered, 1.0])
        clear = np.array([np.argmax(np.diff(ordered))])
    at = clear[np.argmin(np.abs(clear - share * len(ordered)))]
    return float(ordered[at : at + 2].mean())


def apart(expected: np.ndarray, given: np.ndarray) -> float:
    """Return the largest difference of two sets of probabilities; raises `ModelError` where shapes differ."""
    if expected.shape != given.shape:
        raise ModelError(f"The source says {expected.shape} probabilities, the detector {given.shape}.")
    return float(np.abs(expected.astype(np.float64) - given).max())


def around(cut: float) -> tuple[float, float, float]:
    """Return a threshold, and the two that lie a tolerance below and above it."""
    return cut - DETECTOR_TOLERANCE, cut, cut + DETECTOR_TOLERANCE


def masks_apart(soft: np.ndarray, cut: float, expected: Sequence[np.ndarray], given: np.ndarray) -> float:
    """Return how far masks differ; rounding may join or part regions, so a pixel may follow any threshold `around`."""
    other = np.all([mask != given for mask in expected], axis=0)
    return float(np.abs(soft.astype(np.float64) - cut)[other].max(initial=0.0))
