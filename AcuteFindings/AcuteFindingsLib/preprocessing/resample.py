"""Resampling along slices and within them, and the way back.

Every step is one linear map per axis, so that a volume can be done a few slices at a time. Where the new pixel is
larger than the old one it is the mean of the area it covers, so that no noise or thin structure is skipped; where it is
smaller, values between pixels are linear.
"""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from scipy.sparse import csr_array


def axis_weights(count: int, centers: np.ndarray, width: float) -> np.ndarray:
    """Return the weights that sample one axis.

    Parameters
    ----------
    count
        Samples along the axis now.
    centers
        ``(n,)``: where the new samples lie, in indices of the old ones.
    width
        Size of a new sample in old ones: area mean from 1 up, linear interpolation below.

    Returns
    -------
    ``(n, count)`` float32. A row sums to the share of its sample that lies inside the axis, 0 outside.
    """
    centers = np.asarray(centers, float)[:, None]
    index = np.arange(count)[None, :]
    if width >= 1:
        low = np.maximum(centers - width / 2, index - 0.5)
        high = np.minimum(centers + width / 2, index + 0.5)
        return (np.clip(high - low, 0, None) / width).astype(np.float32)
    inside = (centers > -0.5 - 1e-6) & (centers < count - 0.5 + 1e-6)
    weights = np.clip(1 - np.abs(np.clip(centers, 0, count - 1) - index), 0, None)
    return (weights * inside).astype(np.float32)


def weigh_plane(plane: np.ndarray, along_y: csr_array, along_x: csr_array) -> np.ndarray:
    """Apply the weights of both axes, ``(new, old)`` each, to one ``(y, x)`` slice: float32.

    The weights are sparse: a dense product costs fifty times the work and, in threads, waits for busy cores.
    """
    rows = along_y @ plane.astype(np.float32, copy=False)
    return np.asarray((along_x @ np.ascontiguousarray(rows.T)).T)


@dataclass(frozen=True)
class SlicePlan:
    """How slices of another thickness are made from those there are.

    Attributes
    ----------
    positions
        ``(n,)``: center of each new slice, in indices of the old ones.
    weights
        ``(n, old)``; every row sums to 1.
    """

    positions: np.ndarray
    weights: np.ndarray

    def __len__(self) -> int:
        """Count the new slices."""
        return len(self.positions)

    def read(self, array: np.ndarray, start: int = 0, stop: int | None = None) -> np.ndarray:
        """Make the new slices ``start:stop`` from ``(z, y, x)``: float32 ``(stop - start, y, x)``."""
        rows = self.weights[start:stop]
        out = np.zeros((len(rows), *array.shape[1:]), np.float32)
        for new, row in zip(out, rows, strict=True):
            for old in np.flatnonzero(row):
                new += row[old] * array[old]
        return out


def plan_slices(count: int, spacing: float, target: float) -> SlicePlan:
    """Plan slices `target` mm apart from `count` slices `spacing` mm apart, so many that every old slice is in one.

    The new slices are centered on the old stack, so the first and last may reach past it by the same part.
    """
    ratio = target / spacing
    if count == 1 or abs(ratio - 1) < 1e-3:
        return SlicePlan(np.arange(count, dtype=float), np.eye(count, dtype=np.float32))
    new = max(1, int(np.ceil(count / ratio - 1e-3)))
    positions = (np.arange(new) + 0.5) * ratio + (count - new * ratio) / 2 - 0.5
    if ratio < 1:
        positions = np.clip(positions, 0, count - 1)
    weights = axis_weights(count, positions, ratio)
    weights /= weights.sum(axis=1, keepdims=True)
    return SlicePlan(positions, weights)


def fit_in_plane(
    slices: np.ndarray,
    spacing_yx: tuple[float, float],
    *,
    target_spacing: float,
    size: int,
    fill: float,
    center_yx: tuple[float, float] | None = None,
) -> np.ndarray:
    """Bring slices to one pixel size and one square field.

    Parameters
    ----------
    slices
        ``(z, y, x)``.
    spacing_yx
        Their pixel size in mm.
    target_spacing, size
        Pixel size in mm and pixels per side of the result: 1 mm and 250 for the published field (docs/sources.md 4).
    fill
        Value where the field reaches past the picture, in the slices' own unit.
    center_yx
        Pixel of the input, in indices, that becomes the middle of the field; the picture's middle where None.

    Returns
    -------
    float32 ``(z, size, size)``.
    """
    out = np.empty((len(slices), size, size), np.float32)
    along_y, along_x = (
        axis_weights(count, _field_centers(count, spacing, target_spacing, size, center), target_spacing / spacing)
        for count, spacing, center in zip(slices.shape[1:], spacing_yx, center_yx or (None, None), strict=True)
    )
    outside = np.float32(fill) * (1 - np.outer(along_y.sum(axis=1), along_x.sum(axis=1))).astype(np.float32)
    along_y, along_x = csr_array(along_y), csr_array(along_x)
    for new, old in zip(out, slices, strict=True):
        new[...] = weigh_plane(old, along_y, along_x) + outside
    return out


def unfit_in_plane(
    array: np.ndarray,
    spacing_yx: tuple[float, float],
    shape_yx: tuple[int, int],
    *,
    target_spacing: float,
    size: int,
    order: int,
    center_yx: tuple[float, float] | None = None,
) -> np.ndarray:
    """Put what lies on the field of `fit_in_plane` back on the slices it came from; 0 outside the field.

    Parameters
    ----------
    array
        ``(z, size, size)``: masks or maps.
    spacing_yx, shape_yx
        Pixel size in mm and shape of the slices it goes back to.
    target_spacing, size, center_yx
        As they were given to `fit_in_plane`.
    order
        0 takes the nearest pixel and keeps the array's type; 1 is linear and gives float32.
    """
    if array.shape[1:] != (size, size):
        raise ValueError(f"Expected slices of {size}×{size}, got {array.shape[1]}×{array.shape[2]}.")
    places = []
    for count, spacing, center in zip(shape_yx, spacing_yx, center_yx or (None, None), strict=True):
        middle = (count - 1) / 2 if center is None else center
        places.append((np.arange(count) - middle) * spacing / target_spacing + (size - 1) / 2)
    if order == 0:
        nearest = [np.rint(place).astype(int) for place in places]
        inside = [(index >= 0) & (index < size) for index in nearest]
        y, x = (np.clip(index, 0, size - 1) for index in nearest)
        out = array[:, y[:, None], x[None, :]]
        out[:, ~(inside[0][:, None] & inside[1][None, :])] = 0
        return out
    along_y, along_x = (
        csr_array(axis_weights(size, place, spacing / target_spacing))
        for place, spacing in zip(places, spacing_yx, strict=True)
    )
    result = np.empty((len(array), *shape_yx), np.float32)
    for new, old in zip(result, array, strict=True):
        new[...] = weigh_plane(old, along_y, along_x)
    return result


def resize_in_plane(slices: np.ndarray, shape_yx: tuple[int, int]) -> np.ndarray:
    """Stretch ``(z, y, x)`` slices to another shape, corner to corner: float32 ``(z, *shape_yx)``."""
    along_y, along_x = (_stretch(old, new) for old, new in zip(slices.shape[1:], shape_yx, strict=True))
    out = np.empty((len(slices), *shape_yx), np.float32)
    for new, old in zip(out, slices, strict=True):
        new[...] = weigh_plane(old, along_y, along_x)
    return out


def pick_in_plane(slices: np.ndarray, shape_yx: tuple[int, int]) -> np.ndarray:
    """Stretch as `resize_in_plane`, but a new pixel lies between the nearest two of each axis, however large it is."""
    along_y, along_x = (_picked(old, new) for old, new in zip(slices.shape[1:], shape_yx, strict=True))
    return np.stack([weigh_plane(old, along_y, along_x) for old in slices])


@lru_cache(maxsize=8)
def _picked(old: int, new: int) -> csr_array:
    """Return the weights ``(new, old)`` of one axis: two in each row."""
    places = np.clip((np.arange(new) + 0.5) * (old / new) - 0.5, 0, old - 1)
    low = np.minimum(places.astype(int), max(old - 2, 0))
    share = (places - low).astype(np.float32)
    row = np.arange(new)
    columns = np.concatenate([low, np.minimum(low + 1, old - 1)])
    return csr_array((np.concatenate([1 - share, share]), (np.concatenate([row, row]), columns)), shape=(new, old))


@lru_cache(maxsize=8)
def _stretch(old: int, new: int) -> csr_array:
    """Return the weights ``(new, old)`` of one axis; a volume is stretched a few slices at a time by the same ones."""
    ratio = old / new
    return csr_array(axis_weights(old, (np.arange(new) + 0.5) * ratio - 0.5, ratio))


def _field_centers(count: int, spacing: float, target: float, size: int, center: float | None) -> np.ndarray:
    middle = (count - 1) / 2 if center is None else center
    return (np.arange(size) - (size - 1) / 2) * target / spacing + middle
