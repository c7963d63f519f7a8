"""Grids, distance fields and tubes: what the CT angiogram phantom is drawn with.

Points are ``(x, y, z)`` in mm with x to the patient's left, y to the back, z to the head; arrays are ``(z, y, x)``.
A *distance field* is negative inside a structure, in mm; *cover* is the share of a voxel inside it, 0..255.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy import ndimage

Box = tuple[slice, slice, slice]
Point = Sequence[float] | np.ndarray
FAR = 40.0


@dataclass(frozen=True)
class Grid:
    """A regular grid in the anatomy's own frame.

    Attributes
    ----------
    shape
        ``(z, y, x)`` voxels.
    spacing
        ``(z, y, x)`` in mm.
    origin
        ``(z, y, x)`` of the first voxel's center in mm.
    """

    shape: tuple[int, int, int]
    spacing: tuple[float, float, float]
    origin: tuple[float, float, float]

    @cached_property
    def axes(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Voxel centers along z, y and x, float32."""
        steps = zip(self.shape, self.spacing, self.origin, strict=True)
        z, y, x = (np.float32(start) + np.arange(n, dtype=np.float32) * np.float32(step) for n, step, start in steps)
        return z, y, x

    @property
    def open_axes(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """The axes shaped for broadcasting to ``(z, y, x)``."""
        z, y, x = self.axes
        return z[:, None, None], y[None, :, None], x[None, None, :]

    @property
    def low(self) -> tuple[float, float, float]:
        """First voxel's center as ``(x, y, z)``."""
        return self.origin[2], self.origin[1], self.origin[0]

    @property
    def high(self) -> tuple[float, float, float]:
        """Last voxel's center as ``(x, y, z)``."""
        z, y, x = self.axes
        return float(x[-1]), float(y[-1]), float(z[-1])

    def box(self, low: Sequence[float], high: Sequence[float]) -> Box | None:
        """Voxels between two corners given as ``(x, y, z)``; None where the box misses the grid."""
        slices = []
        for n, step, start, a, b in zip(self.shape, self.spacing, self.origin, low[::-1], high[::-1], strict=True):
            first, last = max(0, int(np.ceil((a - start) / step))), min(n - 1, int(np.floor((b - start) / step)))
            if last < first:
                return None
            slices.append(slice(first, last + 1))
        return slices[0], slices[1], slices[2]

    def part(self, box: Box) -> "Grid":
        """The grid of a box of this one."""
        shape = tuple(s.stop - s.start for s in box)
        origin = tuple(o + s.start * d for o, s, d in zip(self.origin, box, self.spacing, strict=True))
        return Grid(shape, self.spacing, origin)

    def coarse(self, step: float) -> "Grid":
        """A grid over the same space with voxels of about `step` mm, padded so that cubic interpolation is safe."""
        spacing = tuple(max(step, d) for d in self.spacing)
        shape = tuple(
            int(np.ceil((n - 1) * d / s)) + 5 for n, d, s in zip(self.shape, self.spacing, spacing, strict=True)
        )
        origin = tuple(o - 2 * s for o, s in zip(self.origin, spacing, strict=True))
        return Grid(shape, spacing, origin)  # type: ignore[arg-type]


def _cubic_matrix(fine: np.ndarray, start: float, step: float, count: int) -> np.ndarray:
    """Catmull-Rom weights that take `count` coarse samples to the positions `fine`."""
    place = (fine - start) / step
    base = np.clip(np.floor(place).astype(int), 1, count - 3)
    t = place - base
    weights = np.stack(
        [
            -0.5 * t**3 + t**2 - 0.5 * t,
            1.5 * t**3 - 2.5 * t**2 + 1,
            -1.5 * t**3 + 2 * t**2 + 0.5 * t,
            0.5 * t**3 - 0.5 * t**2,
        ],
        axis=1,
    )
    matrix = np.zeros((fine.size, count), np.float32)
    for k in range(4):
        matrix[np.arange(fine.size), base - 1 + k] = weights[:, k]
    return matrix


class Upsampler:
    """Brings fields from a coarse grid to a fine one, some slices at a time, by separable cubic interpolation."""

    def __init__(self, coarse: Grid, fine: Grid) -> None:
        """Both grids lie in the same frame, the fine one within the coarse one."""
        self._matrices = [
            _cubic_matrix(axis, coarse.origin[i], coarse.spacing[i], coarse.shape[i])
            for i, axis in enumerate(fine.axes)
        ]

    def __call__(self, field: np.ndarray, slices: slice) -> np.ndarray:
        """The field ``(z, y, x)`` of the coarse grid in the given slices of the fine one, float32."""
        along_z, along_y, along_x = self._matrices
        part = np.tensordot(along_z[slices], field, axes=(1, 0))
        return np.matmul(along_y, np.matmul(part, along_x.T))


def soft_inside(distance: np.ndarray, width: float) -> np.ndarray:
    """Share of each voxel inside a structure, 0..1, for a distance field and an edge of `width` mm."""
    return np.clip(0.5 - distance * np.float32(1 / width), 0, 1)


def ellipsoid(grid: Grid, center: Point, radii: Sequence[float], frame: np.ndarray | None = None) -> np.ndarray:
    """Distance field of an ellipsoid: near exact at its surface.

    Parameters
    ----------
    grid
        Where to evaluate.
    center, radii
        ``(x, y, z)`` in mm; radii along the rows of `frame`.
    frame
        3×3, rows are the unit axes; the patient's axes where None.
    """
    z, y, x = grid.open_axes
    px, py, pz = x - np.float32(center[0]), y - np.float32(center[1]), z - np.float32(center[2])
    inner = np.zeros(grid.shape, np.float32)
    outer = np.zeros(grid.shape, np.float32)
    for axis, radius in zip(np.eye(3) if frame is None else frame, radii, strict=True):
        part = (px * np.float32(axis[0]) + py * np.float32(axis[1]) + pz * np.float32(axis[2])) ** 2
        inner += part * np.float32(radius**-2)
        outer += part * np.float32(radius**-4)
    k0 = np.sqrt(inner)
    return k0 * (k0 - 1) / np.sqrt(np.maximum(outer, np.float32(1e-9)))


def as_distance(implicit: np.ndarray, spacing: Sequence[float]) -> np.ndarray:
    """An implicit function (zero on the surface, negative inside) turned to mm near its surface."""
    gradient = np.gradient(implicit, *spacing)
    length = np.sqrt(sum(g * g for g in gradient))
    return (implicit / np.maximum(length, np.float32(2e-3))).astype(np.float32)


def smooth_noise(rng: np.random.Generator, grid: Grid, length_mm: float) -> np.ndarray:
    """Gaussian noise of mean 0 and sd 1 on a grid, smooth over about `length_mm`."""
    sigma = [length_mm / d / 2 for d in grid.spacing]
    noise = ndimage.gaussian_filter(rng.standard_normal(grid.shape, dtype=np.float32), sigma, mode="wrap")
    return noise / noise.std()


def polyline_tubes(points: np.ndarray, radii: np.ndarray) -> np.ndarray:
    """Tubes ``(n - 1, 8)`` (x0, y0, z0, x1, y1, z1, r0, r1) along a polyline ``(n, 3)`` with radii ``(n,)`` in mm."""
    return np.column_stack([points[:-1], points[1:], radii[:-1], radii[1:]])


def smooth_path(points: Sequence[Point], radii: Sequence[float], count: int) -> np.ndarray:
    """Tubes along a Catmull-Rom curve through `points` with `count` pieces a span."""
    p = np.asarray(points, float)
    r = np.interp(np.linspace(0, 1, len(p)), np.linspace(0, 1, len(radii)), radii)
    padded = np.vstack([2 * p[0] - p[1], p, 2 * p[-1] - p[-2]])
    t = np.arange(count)[:, None] / count
    spans = [
        0.5 * (2 * b + (c - a) * t + (2 * a - 5 * b + 4 * c - d) * t**2 + (3 * b - a - 3 * c + d) * t**3)
        for a, b, c, d in zip(padded, padded[1:], padded[2:], padded[3:], strict=False)
    ]
    curve = np.vstack([*spans, p[-1:]])
    along = np.interp(np.arange(len(curve)) / count, np.arange(len(p)), r)
    return polyline_tubes(curve, along)


def union_tubes(field: np.ndarray, grid: Grid, tubes: np.ndarray, *, grow: float = 0.0, margin: float = 12.0) -> None:
    """Lower a distance field where tubes (radius enlarged by `grow` mm) are nearer; exact within `margin` mm."""
    z, y, x = grid.axes
    for ax, ay, az, bx, by, bz, ra, rb in tubes.tolist():
        reach = max(ra, rb) + grow + margin
        low = (min(ax, bx) - reach, min(ay, by) - reach, min(az, bz) - reach)
        box = grid.box(low, (max(ax, bx) + reach, max(ay, by) + reach, max(az, bz) + reach))
        if box is None:
            continue
        distance = _tube_distance(z[box[0]] - az, y[box[1]] - ay, x[box[2]] - ax, (bx - ax, by - ay, bz - az), ra, rb)
        view = field[box]
        np.minimum(view, distance - np.float32(grow), out=view)


def draw_tubes(cover: np.ndarray, grid: Grid, tubes: np.ndarray, *, grow: float = 0.0, thin: bool = True) -> None:
    """Raise a cover volume to the tubes' share of each voxel.

    Slices are averaged over samples through their thickness; tubes thinner than a pixel fade where `thin` is set, as
    partial volume makes them.

    Parameters
    ----------
    cover
        ``(z, y, x)`` uint8, changed in place.
    grid
        Its grid.
    tubes
        ``(n, 8)`` as `polyline_tubes` gives.
    grow
        mm added to every radius.
    thin
        Whether tubes thinner than a pixel fade.
    """
    z, y, x = grid.axes
    pixel = float(grid.spacing[1])
    slab = float(grid.spacing[0])
    samples = max(1, round(slab / 1.2))
    if thin and grow == 0:
        narrow = np.maximum(tubes[:, 6], tubes[:, 7]) < 0.8 * pixel
        _splat_tubes(cover, grid, tubes[narrow])
        tubes = tubes[~narrow]
    offsets = ((np.arange(samples, dtype=np.float32) + 0.5) / samples - 0.5) * np.float32(slab)
    for ax, ay, az, bx, by, bz, ra, rb in tubes.tolist():
        ra, rb = ra + grow, rb + grow
        if max(ra, rb) <= 0:
            continue
        reach = max(ra, rb) + pixel
        low = (min(ax, bx) - reach, min(ay, by) - reach, min(az, bz) - reach - slab / 2)
        box = grid.box(low, (max(ax, bx) + reach, max(ay, by) + reach, max(az, bz) + reach + slab / 2))
        if box is None:
            continue
        heights = (z[box[0]][:, None] + offsets).ravel() - np.float32(az)
        distance = _tube_distance(heights, y[box[1]] - ay, x[box[2]] - ax, (bx - ax, by - ay, bz - az), ra, rb)
        share = np.clip(0.5 - distance / np.float32(pixel), 0, 1)
        peak = min(1.0, 2 * max(min(ra, rb), 0.0) / pixel) if thin else 1.0
        share = share.reshape(-1, samples, *share.shape[1:]).mean(axis=1) * np.float32(255 * peak)
        view = cover[box]
        np.maximum(view, share.astype(np.uint8), out=view)


def _splat_tubes(cover: np.ndarray, grid: Grid, tubes: np.ndarray) -> None:
    """Tubes narrower than a pixel: their volume, piece by piece, shared among the eight voxels around it."""
    if not len(tubes):
        return
    step = 0.5 * grid.spacing[1]
    length = np.linalg.norm(tubes[:, 3:6] - tubes[:, :3], axis=1)
    pieces = np.maximum(np.ceil(length / step).astype(int), 1)
    which = np.repeat(np.arange(len(tubes)), pieces)
    t = (np.arange(len(which)) - np.repeat(np.cumsum(pieces) - pieces, pieces) + 0.5) / pieces[which]
    points = tubes[which, :3] + t[:, None] * (tubes[which, 3:6] - tubes[which, :3])
    radius = tubes[which, 6] + t * (tubes[which, 7] - tubes[which, 6])
    share = np.pi * radius**2 * (length / pieces)[which] / np.prod(grid.spacing)
    place = (points[:, ::-1] - grid.origin) / grid.spacing
    inside = ((place >= 0) & (place < np.asarray(grid.shape) - 1)).all(axis=1)
    place, share = place[inside], share[inside]
    base = place.astype(int)
    rest = place - base
    index, weight = [], []
    for corner in np.ndindex(2, 2, 2):
        index.append(np.ravel_multi_index(tuple((base + corner).T), grid.shape))
        weight.append(share * np.prod(np.where(corner, rest, 1 - rest), axis=1))
    voxels, inverse = np.unique(np.concatenate(index), return_inverse=True)
    total = np.bincount(inverse, np.concatenate(weight))
    flat = cover.reshape(-1)
    flat[voxels] = np.maximum(flat[voxels], (np.clip(total, 0, 1) * 255).astype(np.uint8))


def _tube_distance(
    pz: np.ndarray, py: np.ndarray, px: np.ndarray, way: tuple[float, float, float], ra: float, rb: float
) -> np.ndarray:
    dx, dy, dz = (np.float32(v) for v in way)
    length2 = np.float32(max(float(dx * dx + dy * dy + dz * dz), 1e-6))
    along = (pz * dz)[:, None, None] + (py * dy)[None, :, None] + (px * dx)[None, None, :]
    square = (pz * pz)[:, None, None] + (py * py)[None, :, None] + (px * px)[None, None, :]
    t = np.clip(along * (1 / length2), 0, 1)
    square -= t * (2 * along - t * length2)
    np.maximum(square, 0, out=square)
    return np.sqrt(square, out=square) - (np.float32(ra) + t * np.float32(rb - ra))


def blend(volume: np.ndarray, cover: np.ndarray, value: float | np.ndarray) -> None:
    """Mix `value` (HU, a number or a volume) into `volume` by `cover` (uint8), in place and only where it is not 0."""
    flat, index = volume.reshape(-1), np.flatnonzero(cover)
    share = cover.reshape(-1)[index].astype(np.float32) / 255
    new = value.reshape(-1)[index] if isinstance(value, np.ndarray) else np.float32(value)
    flat[index] += share * (new - flat[index])
