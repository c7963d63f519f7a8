"""How far the middle of the brain lies from the middle of the skull."""

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from AcuteFindingsLib.detectors.hemorrhage.head import Head

# Between fluid and gray matter: what is brighter counts as brain, so that blood is no landmark.
_HU = (5.0, 40.0)
_BLUR_MM = 1.5
# How far beside the middle the halves are compared, and how far the middle may have moved, mm.
_BESIDE_MM = 26.0
_FARTHEST_MM = 18.0
_STEP_MM = 0.5
# The shift is told at the ventricles: in the slices of so many mm with the most fluid deep in the brain.
_WINDOW_MM = 20.0
_FLUID_HU = 18.0
_DEEP_MM = 25.0
# Rows from front to back in which frontal horns, septum and third ventricle lie.
_ROWS = (0.28, 0.62)
_LEAST_LIKENESS = 0.3
_LEAST_FLUID_MM2 = 30.0


@dataclass(frozen=True)
class Shift:
    """`mm` toward the patient's left (negative: right), `z_mm` where, and `likeness` of the halves about it, 0..1."""

    mm: float
    z_mm: float
    likeness: float


def midline_shift(head: Head, depth: np.ndarray) -> Shift | None:
    """Measure how far the middle of the brain has moved; None where no middle is seen.

    In each row near the ventricles the left half of the brain is held against the mirrored right one, about every
    middle within 18 mm of the skull's own; the middle about which they are most alike is that of the brain.

    Parameters
    ----------
    depth
        ``(z, y, x)``: mm under the inner table, as `head.depth_mm` gives it.
    """
    soft = _softened(head)
    fluid = ((soft < _FLUID_HU) & (depth > _DEEP_MM)).sum(axis=(1, 2)) * head.spacing[1] * head.spacing[2]
    count = max(1, round(_WINDOW_MM / head.spacing[0]))
    if len(fluid) < count:
        count = len(fluid)
    together = np.convolve(fluid, np.ones(count), "valid")
    first = int(together.argmax())
    if fluid[first : first + count].max() < _LEAST_FLUID_MM2:
        return None
    shifts = np.arange(-_FARTHEST_MM, _FARTHEST_MM + _STEP_MM / 2, _STEP_MM)
    planes = [k for k in range(first, first + count) if fluid[k] > 0]
    scores = np.mean([_likeness(head, soft, k, len(shifts)) for k in planes], axis=0)
    best = int(scores.argmax())
    if scores[best] < _LEAST_LIKENESS or best in (0, len(scores) - 1):
        return None
    z = float((np.mean(planes) + 0.5) * head.spacing[0])
    return Shift(float(shifts[best]), z, float(scores[best]))


def _softened(head: Head) -> np.ndarray:
    blur = [0.0, _BLUR_MM / head.spacing[1], _BLUR_MM / head.spacing[2]]
    soft: np.ndarray = ndimage.gaussian_filter(np.clip(head.hu, *_HU), blur)
    return soft


def _likeness(head: Head, soft: np.ndarray, k: int, count: int) -> np.ndarray:
    """Return how alike the halves of a slice are about each of `count` middles: correlations in -1..1."""
    beside = round(_BESIDE_MM / _STEP_MM)
    across = (np.arange(count + 2 * beside) - (count - 1) / 2 - beside) * _STEP_MM
    filled = np.flatnonzero(head.inside[k].any(axis=1))
    low, high = np.quantile(filled, _ROWS).astype(int)
    rows = np.arange(low, high + 1)
    y = (rows + 0.5) * head.spacing[1]
    middle = head.middle_at(y, (k + 0.5) * head.spacing[0])
    # At right angles to the middle, whichever way the head is turned.
    by_y = head.middle[1]
    along = across / np.hypot(1.0, by_y)
    x, y = middle[:, None] + along, y[:, None] - by_y * along
    places = y / head.spacing[1] - 0.5, x / head.spacing[2] - 0.5
    values = ndimage.map_coordinates(soft[k], places, order=1, mode="nearest")
    values -= values.mean()
    out = np.empty(count)
    for number in range(count):
        at = number + beside
        right, left = values[:, at - beside : at][:, ::-1], values[:, at + 1 : at + 1 + beside]
        a, b = right - right.mean(), left - left.mean()
        out[number] = (a * b).sum() / np.sqrt((a * a).sum() * (b * b).sum() + 1e-6)
    return out
