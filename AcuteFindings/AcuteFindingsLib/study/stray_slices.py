"""Slices that do not lie, or are not scaled, as their neighbors say: a header is wrong, or they are of another scan."""

from collections.abc import Sequence
from itertools import pairwise

import numpy as np

from AcuteFindingsLib.study.damage import named_places
from AcuteFindingsLib.study.dicom_frames import Frame
from AcuteFindingsLib.study.notice import Notice

# Rounded positions and direction cosines add up to a quarter of a pixel over a chest (`geometry`); ours.
_LEAST_ASIDE_PX, _LEAST_ASIDE_MM = 0.5, 1.0
# Positions are rounded to 0.1 mm at worst; a slice displaced by less than a tenth of the step changes little.
_LEAST_ALONG_MM, _LEAST_ALONG_SHARE = 0.3, 0.1
# Mean difference in HU by which neighbors must be more alike with one rescale than with their own; noise is random.
_LEAST_STEP_HU = 3.0


def stray_notices(positions: np.ndarray, directions: np.ndarray, spacing: tuple[float, float]) -> tuple[Notice, ...]:
    """Warn of slices beside the line of the others, or out of step between two neighbors of an even stack.

    Parameters
    ----------
    positions
        ``(n, 3)`` first pixels' centers, LPS mm, sorted along the normal.
    directions
        Six direction cosines.
    spacing
        Distance between rows and between columns in mm.
    """
    if len(positions) < 3:
        return ()
    offset = positions - positions[0]
    along = offset @ np.cross(directions[:3], directions[3:])
    beside = np.stack([offset @ directions[3:], offset @ directions[:3]], axis=1)
    lean = np.median(np.diff(beside, axis=0) / np.diff(along)[:, None], axis=0)
    aside = beside - along[:, None] * lean
    # Of two halves beside each other one is the line; the mean of both would be between.
    aside = np.abs(aside - np.percentile(aside, 50, axis=0, method="lower"))
    limits = np.maximum(np.asarray(spacing) * _LEAST_ASIDE_PX, _LEAST_ASIDE_MM)
    stray = (aside > limits).any(axis=1) | _out_of_step(along)
    places = np.flatnonzero(stray).tolist()
    if not places:
        return ()
    text = (
        f"{'A slice lies' if len(places) == 1 else f'{len(places)} slices lie'} beside the others "
        f"({named_places(places)} along the stack), by {aside.max():.1f} mm across and by what the gaps show along it: "
        "a position (0020,0032) is wrong, or they are of another scan. Compare them with the original study."
    )
    return (Notice("stray-slices", "warn", text),)


def rescale_notices(array: np.ndarray, stack: Sequence[Frame], places: np.ndarray) -> tuple[Notice, ...]:
    """Warn where neighbors state different rescales and are more alike without that.

    Parameters
    ----------
    array
        ``(z, y, x)`` HU.
    stack, places
        Its frames, and the plane of each.
    """
    scales = [(frame.slope or 1.0, frame.intercept or 0.0) for frame in stack]
    doubtful = 0
    for number, ((slope, intercept), (its_slope, its_intercept)) in enumerate(pairwise(scales)):
        if (slope, intercept) == (its_slope, its_intercept):
            continue
        one, other = array[places[number]], array[places[number + 1]]
        alike = np.abs((other - its_intercept) / its_slope * slope + intercept - one).mean()
        doubtful += bool(alike + _LEAST_STEP_HU < np.abs(other - one).mean())
    if not doubtful:
        return ()
    text = (
        f"Slices state different rescales (0028,1052 and 0028,1053), and {doubtful} neighbors are more alike without "
        "that: their HU may be shifted. Load the original DICOM series."
    )
    return (Notice("rescale-differs", "warn", text),)


def _out_of_step(along: np.ndarray) -> np.ndarray:
    """Return the slices between two gaps that are uneven only together, in a stack that is even around them."""
    gaps = np.diff(along)
    found = np.zeros(len(along), bool)
    if len(gaps) < 4:
        return found
    step = float(np.median(gaps))
    limit = max(_LEAST_ALONG_MM, _LEAST_ALONG_SHARE * step)
    odd = np.abs(gaps - step) > limit
    around = np.concatenate([[False], odd, [False]])
    pairs = odd[:-1] & odd[1:] & ~around[:-3] & ~around[3:]
    # Where two blocks of other distances meet, the gaps beyond are odd too.
    pairs &= np.abs(gaps[:-1] + gaps[1:] - 2 * step) <= limit
    found[1:-1] = pairs
    return found
