"""How a stack of slices becomes a regular grid with orthogonal axes: order, gaps, uneven steps, gantry tilt.

Positions are DICOM's: LPS, mm. Only the returned matrix is RAS. The grid's axes are the rows, the columns and the
normal (rows × columns) of the source slices, so that every source slice is parallel to the grid's planes and only
moves within them: the tilt is undone by a shift in the plane, never by mixing slices.
"""

from dataclasses import dataclass

import numpy as np

from AcuteFindingsLib.study.study import Orientation

# Scanners round positions to 0.1 mm at worst, so a slice is "on" the grid within half of that (and a little), or
# within 5 % of the step where the step is large.
_ROUNDING_MM = 0.06
_ROUNDING_SHARE = 0.05
# A quarter of a pixel: below it lies what rounded direction cosines add up to over a chest.
_SHIFT_TOLERANCE_PX = 0.25
# Beyond this angle to the nearest patient axis a series is called oblique; gantries tilt up to 30°.
_OBLIQUE_DEG = 35.0


@dataclass(frozen=True)
class StackPlan:
    """Where each source slice goes.

    Attributes
    ----------
    k
        ``(n,)`` place of each slice along the grid's third axis; whole where `on_grid`.
    shifts
        ``(n, 2)`` rows and columns by which each slice moves on the grid's planes.
    shape
        ``(z, y, x)`` of the grid.
    ijk_to_ras
        4×4 matrix of the grid.
    step_mm
        Distance between the grid's planes.
    on_grid
        Whether every slice lies on a plane of the grid; else the planes between are interpolated.
    missing
        For each gap where slices are missing: number of the slice before it, and how many are missing.
    tilt_deg
        Angle between the line of the slices and their normal, from 0 where there is nothing to correct.
    """

    k: np.ndarray
    shifts: np.ndarray
    shape: tuple[int, int, int]
    ijk_to_ras: np.ndarray
    step_mm: float
    on_grid: bool
    missing: tuple[tuple[int, int], ...]
    tilt_deg: float

    @property
    def is_shifted(self) -> bool:
        """Whether slices have to move within their planes."""
        return bool(np.any(self.shifts))


def normal_of(directions: np.ndarray) -> np.ndarray:
    """Return the slice normal: rows × columns."""
    return np.cross(directions[:3], directions[3:])


def orientation_of(directions: np.ndarray) -> Orientation:
    """Name the plane of slices with these direction cosines."""
    normal = np.abs(normal_of(directions))
    axis = int(np.argmax(normal))
    if normal[axis] < np.cos(np.deg2rad(_OBLIQUE_DEG)):
        return "oblique"
    names: tuple[Orientation, ...] = ("sagittal", "coronal", "axial")
    return names[axis]


def plan_stack(
    positions: np.ndarray,
    directions: np.ndarray,
    spacing: tuple[float, float],
    shape: tuple[int, int],
    *,
    thickness_mm: float | None = None,
) -> StackPlan:
    """Plan the grid for slices that are sorted along the normal, all at different places.

    Parameters
    ----------
    positions
        ``(n, 3)`` center of each slice's first pixel.
    directions
        Six direction cosines: of the rows, then of the columns.
    spacing
        Distance between rows and between columns in mm.
    shape
        ``(y, x)`` of a slice.
    thickness_mm
        Slice thickness: the step of a single slice, and what tells a gap from a thick slice.
    """
    along = positions @ normal_of(directions)
    k, step, missing = _places(along - along[0], thickness_mm)
    on_grid = bool(np.all(k == np.round(k)))
    row, column = directions[:3], directions[3:]
    offset = positions - positions[0]
    shifts = np.stack([offset @ column / spacing[0], offset @ row / spacing[1]], axis=1)
    shifts[:, np.abs(shifts).max(axis=0) < _SHIFT_TOLERANCE_PX] = 0
    start = shifts.min(axis=0)
    shifts = shifts - start
    extra = np.ceil(shifts.max(axis=0) - 1e-6).astype(int)
    origin = positions[0] + start[0] * spacing[0] * column + start[1] * spacing[1] * row
    return StackPlan(
        k=k,
        shifts=shifts,
        shape=(int(np.round(k[-1])) + 1, shape[0] + int(extra[0]), shape[1] + int(extra[1])),
        ijk_to_ras=ijk_to_ras(origin, directions, spacing, step),
        step_mm=step,
        on_grid=on_grid,
        missing=missing,
        tilt_deg=_tilt_deg(positions, directions) if shifts.any() else 0.0,
    )


def ijk_to_ras(origin: np.ndarray, directions: np.ndarray, spacing: tuple[float, float], step: float) -> np.ndarray:
    """Return the 4×4 RAS matrix of a grid from DICOM's LPS position, direction cosines and spacing."""
    matrix = np.eye(4)
    matrix[:3, 0] = directions[:3] * spacing[1]
    matrix[:3, 1] = directions[3:] * spacing[0]
    matrix[:3, 2] = normal_of(directions) * step
    matrix[:3, 3] = origin
    return np.diag([-1.0, -1.0, 1.0, 1.0]) @ matrix


def shift_plane(plane: np.ndarray, shift: np.ndarray, shape: tuple[int, int], *, fill: float) -> np.ndarray:
    """Return a slice moved by a part of a pixel on a larger plane, linearly interpolated, `fill` around it.

    Parameters
    ----------
    plane
        ``(y, x)`` float32.
    shift
        Rows and columns to move by, both at least 0.
    shape
        ``(y, x)`` of the result.
    """
    moved = plane
    for axis in (0, 1):
        whole = int(np.floor(shift[axis] + 1e-6))
        part = float(shift[axis]) - whole
        after = shape[axis] - whole - plane.shape[axis]
        width = [(0, 0), (0, 0)]
        if part < 1e-6:
            width[axis] = (whole, after)
            moved = np.pad(moved, width, constant_values=fill) if any(width[axis]) else moved
            continue
        # Each pixel of the result lies `part` of the way from its own source pixel to the one before.
        width[axis] = (whole + 1, after)
        padded = np.pad(moved, width, constant_values=fill)
        own, before = (padded[1:], padded[:-1]) if axis == 0 else (padded[:, 1:], padded[:, :-1])
        moved = own + np.float32(part) * (before - own)
    return moved


def fill_missing_planes(array: np.ndarray, k: np.ndarray) -> None:
    """Interpolate, in place, the planes between neighboring whole places `k` of ``(z, y, x)`` array."""
    for low, high in zip(np.round(k[:-1]).astype(int), np.round(k[1:]).astype(int), strict=True):
        for plane in range(low + 1, high):
            weight = np.float32((plane - low) / (high - low))
            array[plane] = array[low] + weight * (array[high] - array[low])


def interpolate_planes(slices: np.ndarray, k: np.ndarray, count: int) -> np.ndarray:
    """Interpolate slices ``(n, y, x)`` at rising places `k` linearly onto the planes 0 … count - 1.

    A plane beyond the last slice, by half a step at most, repeats that slice.
    """
    result = np.empty((count, *slices.shape[1:]), np.float32)
    for plane in range(count):
        after = int(np.clip(np.searchsorted(k, plane), 1, len(k) - 1))
        weight = np.float32(np.clip((plane - k[after - 1]) / (k[after] - k[after - 1]), 0, 1))
        low, high = slices[after - 1], slices[after]
        result[plane] = low if weight == 0 else high if weight == 1 else low + weight * (high - low)
    return result


def usual_step(gaps: np.ndarray) -> float:
    """Return the smallest distance between neighbors that is regular: at least a tenth of all gaps, and two of them.

    One odd small gap, as between two blocks of different slice thickness, is no reason for a fine grid.
    """
    ordered = np.sort(gaps)
    needed = max(2, 0.1 * len(ordered)) if len(ordered) > 2 else 1
    start = 0
    while start < len(ordered):
        tolerance = max(_ROUNDING_SHARE * ordered[start], 2 * _ROUNDING_MM)
        end = int(np.searchsorted(ordered, ordered[start] + tolerance, side="right"))
        if end - start >= needed:
            return float(np.median(ordered[start:end]))
        start = end
    return float(np.median(ordered))


def _places(along: np.ndarray, thickness_mm: float | None) -> tuple[np.ndarray, float, tuple[tuple[int, int], ...]]:
    """Return place of each slice on the grid, the grid's step in mm, and the gaps with missing slices."""
    if len(along) == 1:
        return np.zeros(1), thickness_mm or 1.0, ()
    gaps = np.diff(along)
    step = usual_step(gaps)
    whole = np.concatenate([[0.0], np.cumsum(np.maximum(np.round(gaps / step), 1))])
    refined = round(float(whole @ along / (whole @ whole)), 6)
    tolerance = max(_ROUNDING_SHARE * refined, _ROUNDING_MM)
    if np.abs(along - whole * refined).max() <= tolerance:
        return whole, refined, _missing(whole, refined, thickness_mm)
    k = along / step
    near = np.abs(k - np.round(k)) * step < 0.01
    return np.where(near, np.round(k), k), step, ()


def _missing(k: np.ndarray, step: float, thickness_mm: float | None) -> tuple[tuple[int, int], ...]:
    """Return the gaps that miss slices: few among the regular ones and wider than the slices are thick."""
    lacking = np.diff(k).astype(int) - 1
    wide = np.flatnonzero(lacking > 0)
    thick = thickness_mm is not None and thickness_mm > 1.5 * step
    if not len(wide) or thick or len(wide) > len(lacking) / 3:
        return ()
    return tuple((int(place), int(lacking[place])) for place in wide)


def _tilt_deg(positions: np.ndarray, directions: np.ndarray) -> float:
    line = positions[-1] - positions[0]
    cosine = float(line @ normal_of(directions) / np.linalg.norm(line))
    return float(np.rad2deg(np.arccos(np.clip(cosine, -1, 1))))
