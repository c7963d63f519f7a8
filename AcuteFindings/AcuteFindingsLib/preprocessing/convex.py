"""Convex hulls of masks, as corners and as filled pixels."""

import numpy as np
from scipy.spatial import ConvexHull


def hull_corners(mask: np.ndarray) -> np.ndarray:
    """Return the corners ``(n, 2)`` of the convex hull of a mask's pixels; ``(0, 2)`` for an empty one.

    Corners ``(y, x)`` lie on the outer edges of pixels, so that one pixel spans a square.
    """
    rows = np.flatnonzero(mask.any(axis=1))
    if not len(rows):
        return np.zeros((0, 2))
    first = mask[rows].argmax(axis=1) - 0.5
    last = mask.shape[1] - 0.5 - mask[rows][:, ::-1].argmax(axis=1)
    points = np.concatenate([np.stack((rows + dy, x), axis=1) for dy in (-0.5, 0.5) for x in (first, last)])
    return points[ConvexHull(points).vertices]


def fill_convex(mask: np.ndarray, corners: np.ndarray) -> None:
    """Set the pixels of ``(y, x)`` whose centers a convex polygon with ``(n, 2)`` corners holds."""
    start, end = corners, np.roll(corners, -1, axis=0)
    slanted = start[:, 0] != end[:, 0]
    start, end = start[slanted, :, None], end[slanted, :, None]
    rows = np.arange(mask.shape[0])
    along = (rows - start[:, 0]) / (end[:, 0] - start[:, 0])
    crossings = start[:, 1] + along * (end[:, 1] - start[:, 1])
    missed = (along < 0) | (along > 1)
    first = np.where(missed, np.inf, crossings).min(axis=0)
    last = np.where(missed, -np.inf, crossings).max(axis=0)
    columns = np.arange(mask.shape[1])
    mask[...] = (columns >= first[:, None]) & (columns <= last[:, None])
