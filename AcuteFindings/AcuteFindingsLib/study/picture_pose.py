"""How a chest radiograph without a telling header stands: as a negative, on its side, or upside down.

Measured on 861 real frontal radiographs (58 of chest-xray-lungs, 803 of chest-xray-64) and on each of them turned: no
upright one is called turned; of those on a side 80 % are recognized, of those upside down 81 %. A mirrored chest is not
recognized: the heart's shadow lies on the unusual side in 5 % of upright ones (effusion, rotation, collapse) as clearly
as in a quarter of mirrored ones.
"""

import numpy as np

from AcuteFindingsLib.study.notice import Notice
from AcuteFindingsLib.study.polarity import looks_negative

# The grid on which pictures are looked at, and the smallest that were measured.
_GRID, _SMALLEST_PX = 32, 64
# Gray levels, see above: by how much the middle is brighter than both lungs, of a picture turned by a quarter ...
_STRIP_BRIGHTER = 0.1
# ... and, of one that was turned upside down, by how much the shoulders' corners are darker than those below, and the
# lungs' tops than their bases.
_CORNERS_DARKER, _TOPS_DARKER = 0.2, 0.1

SIDE_ASSUMED = Notice(
    "side-assumed",
    "info",
    "The picture does not state its sides; the patient's right was taken to be on the picture's left, as usual.",
)


def as_positive(gray: np.ndarray) -> tuple[np.ndarray, tuple[Notice, ...]]:
    """Return a chest radiograph ``(y, x)`` in 0..1 with bone bright, and a warning where it was a negative."""
    if not looks_negative(gray):
        return gray, ()
    text = (
        "The radiograph is a negative, with dark bones and bright lungs; its gray scale was inverted. Compare the "
        "original."
    )
    return 1 - gray, (Notice("inverted-grey", "warn", text),)


def pose_notices(gray: np.ndarray) -> tuple[Notice, ...]:
    """Warn of a frontal chest radiograph ``(y, x)`` in 0..1 that surely lies on its side or stands upside down."""
    if min(gray.shape) < _SMALLEST_PX:
        return ()
    small = _block_means(_block_means(gray).T).T
    if _middle_over_lungs(small) < 0 and _middle_over_lungs(small.T) > _STRIP_BRIGHTER:
        text = "The chest seems to lie on its side in the picture; turn it so that the head is up and try again."
        return (Notice("on-its-side", "warn", text),)
    if _lower_over_upper_corners(small[::-1]) > _CORNERS_DARKER and _bases_over_tops(small[::-1]) > _TOPS_DARKER:
        text = "The chest seems to stand upside down in the picture; turn it so that the head is up and try again."
        return (Notice("upside-down", "warn", text),)
    return ()


def _block_means(gray: np.ndarray) -> np.ndarray:
    """Return means of rows ``(_GRID, x)``."""
    edges = np.linspace(0, len(gray), _GRID + 1).astype(int)
    sums = np.add.reduceat(np.asarray(gray, np.float32), edges[:-1], axis=0)
    return sums / np.diff(edges)[:, None].astype(np.float32)


def _middle_over_lungs(small: np.ndarray) -> float:
    """Return by how much the mediastinum's strip is brighter than the brighter lung's, the head up or down."""
    found = []
    for rows in ((0.2, 0.6), (0.4, 0.8)):
        middle, right, left = (_median(small, rows, columns) for columns in ((0.42, 0.58), (0.2, 0.38), (0.62, 0.8)))
        found.append(middle - max(right, left))
    return max(found)


def _lower_over_upper_corners(small: np.ndarray) -> float:
    upper = _mean(small, (0, 0.12), (0.05, 0.3)) + _mean(small, (0, 0.12), (0.7, 0.95))
    lower = _mean(small, (0.88, 1), (0.1, 0.35)) + _mean(small, (0.88, 1), (0.65, 0.9))
    return (lower - upper) / 2


def _bases_over_tops(small: np.ndarray) -> float:
    tops = _mean(small, (0.2, 0.4), (0.2, 0.38)) + _mean(small, (0.2, 0.4), (0.62, 0.8))
    bases = _mean(small, (0.7, 0.9), (0.15, 0.35)) + _mean(small, (0.7, 0.9), (0.65, 0.85))
    return (bases - tops) / 2


def _part(small: np.ndarray, rows: tuple[float, float], columns: tuple[float, float]) -> np.ndarray:
    (top, bottom), (left, right) = (np.round(np.multiply(limits, _GRID)).astype(int) for limits in (rows, columns))
    return small[top:bottom, left:right]


def _mean(small: np.ndarray, rows: tuple[float, float], columns: tuple[float, float]) -> float:
    return float(_part(small, rows, columns).mean())


def _median(small: np.ndarray, rows: tuple[float, float], columns: tuple[float, float]) -> float:
    return float(np.median(_part(small, rows, columns)))
