"""Where the slices of a head lie on the axial grid, and what lies between them."""

from collections.abc import Callable, Iterator
from functools import lru_cache

import numpy as np

from AcuteFindingsLib.preprocessing.orient import Axial
from AcuteFindingsLib.study.study import SourceSlice


def place_slices(
    axial: Axial, sources: tuple[SourceSlice, ...]
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Find the source slices on the axial grid, from inferior to superior, whichever way the series runs.

    Returns
    -------
    tuple
        Which of `sources` each is, ``(n,)``; the plane of the grid nearest to it, ``(n,)`` int; where it lies itself
        along z, ``(n,)`` in planes; and the pixel ``(y, x)`` at its middle, ``(n, 2)``, which wanders from slice to
        slice where a gantry tilt was undone.
    """
    to_index = np.linalg.inv(axial.ijk_to_ras)
    places = np.array([(to_index @ (*source.position_ras, 1.0))[:3] for source in sources])
    order = np.argsort(places[:, 2], kind="stable")
    centers, z = places[order, 1::-1], places[order, 2]
    planes = np.clip(np.rint(z), 0, len(axial.array) - 1).astype(int)
    return order, planes, z, centers


def planes_between(
    count: int, planes: np.ndarray, shown: np.ndarray, on_grid: Callable[[int], np.ndarray]
) -> Iterator[tuple[int, np.ndarray]]:
    """Yield the planes of a grid on which slices have something to show, and what: between slices it is interpolated.

    Parameters
    ----------
    count
        Planes of the grid.
    planes
        ``(n,)`` int, ascending: the plane of each slice.
    shown
        ``(n,)`` bool: which slices have something to show.
    on_grid
        Gives slice number `i` as ``(y, x)`` float32 on the grid, zeros where it is not `shown`.
    """
    kept = lru_cache(maxsize=2)(on_grid)
    for z in np.flatnonzero(np.interp(np.arange(count), planes, shown.astype(float)) > 0):
        after = int(np.clip(np.searchsorted(planes, z), 0, len(planes) - 1))
        before = max(after - 1, 0) if planes[after] > z else after
        gap = planes[after] - planes[before]
        weight = (z - planes[before]) / gap if gap else 0.0
        yield int(z), kept(after) if before == after else (1 - weight) * kept(before) + weight * kept(after)
