"""The right ventricle's diameter over the left one's, on axial slices (docs/sources.md 11).

Both blood pools and the septum between them are looked for along lines at right angles to the septum: wall, left
ventricle, septum, right ventricle. The wall of at least `WALL_MM` tells the left ventricle from the left atrium, whose
wall is thin.
"""

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from scipy import ndimage

from AcuteFindingsLib.detectors.pe.chest import Chest

BLOOD_HU = 150.0
"""Enhanced heart muscle stays below about 130 HU; blood that does not reach this cannot be told from it."""

SEPTUM_MM = (4.0, 20.0)
WALL_MM = 6.0
LEAST_MM = 12.0
"""A blood pool narrower than this is a vessel or a gap between trabeculae."""

APART_HU = 80.0
"""Of blood and heart muscle: with less between them noise moves the edges of the left ventricle by millimeters."""

POOL_MM = (20.0, 75.0)
"""Inner diameters from a small to a dilated ventricle; what lies outside was not a ventricle."""

SHARE = 80.0
"""Percentile, of the lines in a slice and of the slices, that stands for the largest: a single line may run into a
valve or between trabeculae."""

LEAST_LINES_MM = 20.0
"""So long is the stretch of septum, in the plane that shows most of it, from which on a ratio is told."""

SOFT_HU = 20.0
SIDE_MM = 150.0
LINE_MM = 1.5
TOWARD = -130.0
"""Direction from the left to the right ventricle in an axial plane, degrees from the patient's left toward the back."""

TURNS = np.arange(-35.0, 36.0, 10.0)
LOOK_MM = 9.0
HEART_LUNG_CM2 = 40.0
COARSEST_MM = (6.0, 3.0)
"""Slices farther apart, or larger pixels, than these do not measure a ventricle to a few millimeters."""


@dataclass(frozen=True)
class Ventricles:
    """Largest inner diameters at right angles to the septum in mm, attenuation of their blood in HU, and where.

    `z` is the slice of the chest's working grid that shows most of the septum.
    """

    right_mm: float
    left_mm: float
    right_hu: float
    left_hu: float
    z: int

    @property
    def ratio(self) -> float:
        """Right over left."""
        return self.right_mm / self.left_mm


def measure_ventricles(chest: Chest) -> Ventricles | None:
    """Measure both ventricles; None on a coarse grid, or where they are cut off or the left one is not opacified."""
    levels = np.flatnonzero(chest.lung_cm2 >= HEART_LUNG_CM2)
    if not len(levels) or max(chest.spacing[1:]) > COARSEST_MM[1] or chest.spacing[0] > COARSEST_MM[0]:
        return None
    every = max(1, round(LOOK_MM / chest.spacing[0]))
    found = np.zeros((len(TURNS), len(chest.hu)), int)
    for z in levels[::every]:
        for turn, angle in enumerate(TURNS):
            found[turn, z] = len(_lines(_turned(chest, int(z), angle, 2 * LINE_MM)))
    turn = int(found.sum(axis=1).argmax())
    seen = np.flatnonzero(found[turn])
    if not len(seen):
        return None
    planes = {}
    for z in range(max(0, seen[0] - every), min(len(chest.hu), seen[-1] + every + 1)):
        plane = _turned(chest, z, float(TURNS[turn]), LINE_MM)
        lines = _lines(plane)
        if len(lines):
            planes[z] = (plane, lines)
    most = max(planes, key=lambda z: len(planes[z][1]), default=None)
    if most is None or len(planes[most][1]) * LINE_MM < LEAST_LINES_MM:
        return None
    plane, lines = planes[most]
    left_hu, septum_hu, right_hu = (
        float(np.median(np.concatenate([plane[row, line[a] : line[b]] for row, *line in lines])))
        for a, b in ((0, 1), (1, 2), (2, 3))
    )
    if min(left_hu, right_hu) - septum_hu < APART_HU:
        return None
    shown = [z for z, (_, lines) in planes.items() if len(lines) >= len(planes[most][1]) / 2]
    # Of ventricles that go on beyond the stack the widest place may not be in it.
    if min(shown) == 0 or max(shown) == len(chest.hu) - 1:
        return None
    widest = [_widest(*planes[z], (left_hu + septum_hu) / 2, (right_hu + septum_hu) / 2) for z in shown]
    left, right = (float(np.percentile(values, SHARE)) for values in zip(*widest, strict=True))
    if not all(POOL_MM[0] <= value <= POOL_MM[1] for value in (left, right)):
        return None
    return Ventricles(right, left, right_hu, left_hu, int(most))


def _turned(chest: Chest, z: int, turn: float, row_mm: float) -> np.ndarray:
    """Return a slice turned so that rows run from the left to the right ventricle: ``(lines, places)``."""
    rows, columns = np.flatnonzero(chest.lungs[z].any(axis=1)), np.flatnonzero(chest.lungs[z].any(axis=0))
    if not len(rows):
        return np.zeros((0, 0), np.float32)
    _, dy, dx = chest.spacing
    # The heart lies left of the middle of the chest, in its front half.
    middle = ((rows[0] + 0.45 * (rows[-1] - rows[0])) * dy, (columns[0] + columns[-1]) / 2 * dx + 15.0)
    angle = np.deg2rad(TOWARD + turn)
    toward = np.array([np.sin(angle), np.cos(angle)])
    beside = np.array([-toward[1], toward[0]])
    t = np.arange(-SIDE_MM / 2, SIDE_MM / 2, LINE_MM)
    s = np.arange(-SIDE_MM / 2, SIDE_MM / 2, row_mm)
    at = [(middle[k] + toward[k] * t[None, :] + beside[k] * s[:, None]) / step for k, step in enumerate((dy, dx))]
    return ndimage.map_coordinates(chest.hu[z], at, order=1, mode="nearest")


def _lines(plane: np.ndarray) -> list[tuple[int, int, int, int, int]]:
    """Return the lines that cross wall, left ventricle, septum, right ventricle: row, and where each pool starts, ends.

    Columns are ``(left start, left end, right start, right end)``.
    """
    found = []
    blood = plane > BLOOD_HU
    wall = round(WALL_MM / LINE_MM)
    for row in np.flatnonzero(blood.any(axis=1)):
        wide = [(a, b) for a, b in _stretches(blood[row]) if (b - a) * LINE_MM >= LEAST_MM]
        for (a, b), (c, d) in pairwise(wide):
            if not SEPTUM_MM[0] <= (c - b) * LINE_MM <= SEPTUM_MM[1] or a < wall:
                continue
            if min(plane[row, b:c].min(), plane[row, a - wall : a].min()) >= SOFT_HU:
                found.append((int(row), a, b, c, d))
    return found


def _stretches(line: np.ndarray) -> list[tuple[int, int]]:
    edges = np.flatnonzero(np.diff(np.concatenate([[False], line, [False]]).astype(np.int8)))
    return [(int(a), int(b)) for a, b in edges.reshape(-1, 2)]


def _widest(
    plane: np.ndarray, lines: list[tuple[int, int, int, int, int]], left_edge: float, right_edge: float
) -> tuple[float, float]:
    """Return the diameters of both pools in one plane in mm, their edges half way to the septum's attenuation."""
    widths = []
    for row, a, b, c, d in lines:
        left = [stop - start for start, stop in _stretches(plane[row] > left_edge) if start < b and stop > a]
        right = [stop - start for start, stop in _stretches(plane[row] > right_edge) if start < d and stop > c]
        if left and right:
            widths.append((max(left), max(right)))
    if not widths:
        return 0.0, 0.0
    left_mm, right_mm = np.percentile(np.array(widths), SHARE, axis=0) * LINE_MM
    return float(left_mm), float(right_mm)
