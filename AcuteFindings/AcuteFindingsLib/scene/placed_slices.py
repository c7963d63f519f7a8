"""A volume's slices on an upright grid, each plane computed when it is asked for: nobody waits for a whole chest."""

from collections.abc import Callable, Iterator
from functools import lru_cache
from typing import Any

import numpy as np

from AcuteFindingsLib.study.geometry import StackPlan, shift_plane


class PlacedSlices:
    """Array-like ``(z, y, x)`` float32, not copied: the planes that `StackPlan` asks for, as the DICOM reader fills it.

    Slices of the first axis, iteration and `numpy.asarray` work. It changes with the voxels it reads.

    Parameters
    ----------
    slices
        ``(n, y, x)`` in the order of the plan.
    plan
        Where they go.
    fill
        Value around slices that moved: HU of air, or black.
    clean
        Called with each slice ``(y, x)`` before anything is interpolated: makes air of its padding.
    """

    ndim = 3
    dtype = np.dtype(np.float32)

    def __init__(
        self, slices: np.ndarray, plan: StackPlan, *, fill: float, clean: Callable[[np.ndarray], None]
    ) -> None:
        self._slices, self._plan, self._fill, self._clean = slices, plan, fill, clean
        self.shape = plan.shape
        self._slice = lru_cache(maxsize=2)(self._moved)

    @property
    def itemsize(self) -> int:
        """Bytes a voxel."""
        return int(self.dtype.itemsize)

    @property
    def size(self) -> int:
        """How many voxels there are."""
        return int(np.prod(self.shape))

    def __len__(self) -> int:
        """How many planes there are."""
        return self.shape[0]

    def __getitem__(self, planes: slice | int) -> np.ndarray:
        """Return planes ``(n, y, x)``, or one ``(y, x)``."""
        if not isinstance(planes, slice):
            return self._plane(range(len(self))[planes])
        wanted = range(*planes.indices(len(self)))
        out = np.empty((len(wanted), *self.shape[1:]), np.float32)
        for target, plane in zip(out, wanted, strict=True):
            target[...] = self._plane(plane)
        return out

    def __iter__(self) -> Iterator[np.ndarray]:
        """Return plane after plane."""
        return (self._plane(plane) for plane in range(len(self)))

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        """Return all of it."""
        whole = self[:]
        return whole if dtype is None else whole.astype(dtype, copy=False)

    def _plane(self, plane: int) -> np.ndarray:
        k = self._plan.k
        if len(k) == 1:
            return self._slice(0)
        after = int(np.clip(np.searchsorted(k, plane), 1, len(k) - 1))
        weight = np.float32(np.clip((plane - k[after - 1]) / (k[after] - k[after - 1]), 0, 1))
        if weight in (0, 1):
            return self._slice(after - 1 if weight == 0 else after)
        low = self._slice(after - 1)
        return np.asarray(low + weight * (self._slice(after) - low))

    def _moved(self, number: int) -> np.ndarray:
        plane = self._slices[number].astype(np.float32)
        self._clean(plane)
        if not self._plan.is_shifted:
            return plane
        return shift_plane(plane, self._plan.shifts[number], self.shape[1:], fill=self._fill)
