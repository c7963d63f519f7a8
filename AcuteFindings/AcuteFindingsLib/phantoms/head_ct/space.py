"""Where the head phantom's shapes live: a coarse lattice of head coordinates that is lifted smoothly to pixels.

Anatomy is described by signed distances in mm (negative inside). They vary slowly, so they are evaluated every
`COARSE_MM` in plane and lifted to pixels by cubic interpolation, which is one matrix product an axis; only the
thresholding happens at full resolution. That is what makes hundreds of studies affordable.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

COARSE_MM = 2.4
# Half-width of the cube in which lattice noise is drawn, mm: covers any head in any field of view here.
LATTICE_HALF_MM = 150.0
FAR = 40.0


@dataclass(frozen=True)
class Space:
    """The coarse lattice of one study.

    Attributes
    ----------
    scanner_x, scanner_y, scanner_z
        Axis coordinates in scanner mm (LPS), 1D; `scanner_z` lists every sub-slice from inferior to superior.
    x, y, z
        ``(s, h, w)`` head coordinates in mm: origin between the commissures, axes as LPS but turned with the head.
    rows, columns
        Which pixels of the full matrix the lattice covers.
    lift_rows, lift_columns
        Interpolation matrices from lattice to pixels, ``(pixels, samples)``.
    """

    scanner_x: np.ndarray
    scanner_y: np.ndarray
    scanner_z: np.ndarray
    x: np.ndarray
    y: np.ndarray
    z: np.ndarray
    rows: slice
    columns: slice
    lift_rows: np.ndarray
    lift_columns: np.ndarray

    @property
    def shape(self) -> tuple[int, int, int]:
        """``(s, h, w)``: sub-slices, rows and columns of the lattice."""
        return self.x.shape[0], self.x.shape[1], self.x.shape[2]

    @property
    def pitch(self) -> tuple[float, float, float]:
        """Distance of neighboring samples ``(z, y, x)`` in mm."""
        step = float(self.scanner_z[1] - self.scanner_z[0]) if len(self.scanner_z) > 1 else 1.0
        return step, float(self.scanner_y[1] - self.scanner_y[0]), float(self.scanner_x[1] - self.scanner_x[0])

    def lowest(self, count: int) -> "Space":
        """The part that holds the lowest `count` sub-slices."""
        axes = {name: getattr(self, name)[:count] for name in ("scanner_z", "x", "y", "z")}
        return replace(self, **axes)

    def lift(self, levels: np.ndarray) -> np.ndarray:
        """``(n, h, w)`` lattice values to ``(n, rows, columns)`` pixels."""
        return _stretch(levels, self.lift_rows, self.lift_columns)

    def noise(self, rng: np.random.Generator, scale_mm: float) -> np.ndarray:
        """Smooth noise ``(s, h, w)``, mean about 0, deviation about 1, the same in mm for any matrix or spacing."""
        count = int(np.ceil(2 * LATTICE_HALF_MM / scale_mm)) + 1
        values = rng.standard_normal((count, count, count), dtype=np.float32) * np.float32(1.35)
        along_z, along_y, along_x = (
            cubic_matrix(count, (places + LATTICE_HALF_MM) / scale_mm)
            for places in (self.scanner_z, self.scanner_y, self.scanner_x)
        )
        return _stretch(np.matmul(along_z, values.transpose(1, 0, 2)).transpose(1, 0, 2), along_y, along_x)


def make_space(
    *,
    matrix: int,
    pixel_mm: float,
    sub_z: np.ndarray,
    rotation: np.ndarray,
    center: np.ndarray,
    reach_mm: tuple[float, float],
) -> Space:
    """Lattice over the pixels within `reach_mm` ``(y, x)`` of the head's `center` ``(x, y, z)``.

    `rotation` is the 3×3 matrix that turns head axes into scanner axes.
    """
    rows, lift_rows, scanner_y = _axis(matrix, pixel_mm, float(center[1]), reach_mm[0])
    columns, lift_columns, scanner_x = _axis(matrix, pixel_mm, float(center[0]), reach_mm[1])
    offset = [
        (sub_z - center[2]).astype(np.float32)[:, None, None],
        (scanner_y - center[1]).astype(np.float32)[None, :, None],
        (scanner_x - center[0]).astype(np.float32)[None, None, :],
    ]
    turn = rotation.T.astype(np.float32)
    x, y, z = (turn[k, 0] * offset[2] + turn[k, 1] * offset[1] + turn[k, 2] * offset[0] for k in range(3))
    return Space(scanner_x, scanner_y, sub_z, x, y, z, rows, columns, lift_rows, lift_columns)


def _axis(matrix: int, pixel_mm: float, center: float, reach: float) -> tuple[slice, np.ndarray, np.ndarray]:
    """Pixels covered, lifting matrix and lattice coordinates of one in-plane axis."""
    places = (np.arange(matrix) - (matrix - 1) / 2) * pixel_mm
    near = np.flatnonzero(np.abs(places - center) <= reach)
    window = slice(int(near[0]), int(near[-1]) + 1)
    # Anchored at whole multiples of the pitch, so the lattice (and all drawn on it) is the same for every matrix.
    first = np.floor(places[near[0]] / COARSE_MM)
    last = np.ceil(places[near[-1]] / COARSE_MM)
    lattice = (np.arange(first, last + 1) * COARSE_MM).astype(np.float64)
    return window, cubic_matrix(len(lattice), (places[window] - lattice[0]) / COARSE_MM), lattice


def cubic_matrix(count: int, places: np.ndarray) -> np.ndarray:
    """Catmull-Rom weights ``(len(places), count)`` that read samples 0..count-1 at fractional `places`."""
    low = np.floor(places).astype(np.intp)
    t = places - low
    taps = (
        0.5 * (-t + 2 * t**2 - t**3),
        0.5 * (2 - 5 * t**2 + 3 * t**3),
        0.5 * (t + 4 * t**2 - 3 * t**3),
        0.5 * (-(t**2) + t**3),
    )
    weights = np.zeros((len(places), count), dtype=np.float32)
    lines = np.arange(len(places))
    for shift, tap in enumerate(taps, start=-1):
        np.add.at(weights, (lines, np.clip(low + shift, 0, count - 1)), tap)
    return weights


def _stretch(stack: np.ndarray, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
    """``(n, h, w)`` to ``(n, len(rows), len(columns))``: one interpolation matrix from the left, one from the right.

    Band by band, since the matrices are nearly empty, and in products so small that BLAS starts no threads for them:
    many phantoms are made side by side.
    """
    half = np.empty((len(stack), len(rows), stack.shape[2]), dtype=np.float32)
    for pixels, samples in _bands(rows):
        np.matmul(rows[pixels, samples], stack[:, samples], out=half[:, pixels])
    result = np.empty((len(stack), len(rows), len(columns)), dtype=np.float32)
    for pixels, samples in _bands(columns):
        np.matmul(half[:, :, samples], columns[pixels, samples].T, out=result[:, :, pixels])
    return result


def _bands(weights: np.ndarray, size: int = 32) -> Iterator[tuple[slice, slice]]:
    """Runs of pixels with the few samples that they read: most of an interpolation matrix is zero."""
    for first in range(0, len(weights), size):
        pixels = slice(first, min(first + size, len(weights)))
        used = np.flatnonzero(weights[pixels].any(axis=0))
        yield pixels, slice(int(used[0]), int(used[-1]) + 1)


class Shapes:
    """Signed distances of simple solids on given coordinates, evaluated only in the slabs they reach."""

    def __init__(self, x: np.ndarray, y: np.ndarray, z: np.ndarray) -> None:
        """Take the coordinates ``(s, h, w)`` in mm."""
        self.x, self.y, self.z = x, y, z
        self._low = z.reshape(len(z), -1).min(axis=1)
        self._high = z.reshape(len(z), -1).max(axis=1)

    def union(self, *solids: tuple, blend: float = 0.0) -> np.ndarray:
        """Smallest distance to any of `solids`: ``(from_xyz, to_xyz, r_from, r_to)`` or that plus an xyz stretch.

        Round cones along the segment; a stretch of 0.7 along an axis makes the solid 1/0.7 longer there. `blend` mm
        rounds the places where two solids meet. Beyond `FAR` mm along z the result is just `FAR`.
        """
        result = np.full(self.x.shape, FAR, dtype=np.float32)
        for solid in solids:
            start, stop, r_start, r_stop = solid[:4]
            stretch = solid[4] if len(solid) > 4 else (1.0, 1.0, 1.0)
            margin = (max(r_start, r_stop) + 12.0) / stretch[2]
            slab = (self._high >= min(start[2], stop[2]) - margin) & (self._low <= max(start[2], stop[2]) + margin)
            if not slab.any():
                continue
            first, last = int(np.argmax(slab)), len(slab) - int(np.argmax(slab[::-1]))
            distance = self._round_cone(slice(first, last), start, stop, r_start, r_stop, stretch)
            part = result[first:last]
            if blend > 0:
                overlap = np.maximum(blend - np.abs(part - distance), 0.0) / blend
                result[first:last] = np.minimum(part, distance) - overlap**2 * np.float32(blend / 4)
            else:
                np.minimum(part, distance, out=part)
        return result

    def _round_cone(
        self,
        slab: slice,
        start: tuple[float, float, float],
        stop: tuple[float, float, float],
        r_start: float,
        r_stop: float,
        stretch: tuple[float, float, float],
    ) -> np.ndarray:
        origin = np.asarray(start, dtype=np.float32)
        scale = np.asarray(stretch, dtype=np.float32)
        axis = (np.asarray(stop, dtype=np.float32) - origin) * scale
        px = (self.x[slab] - origin[0]) * scale[0]
        py = (self.y[slab] - origin[1]) * scale[1]
        pz = (self.z[slab] - origin[2]) * scale[2]
        length = float(axis @ axis)
        square = px * px + py * py + pz * pz
        if length < 1e-6:
            return np.sqrt(square) - np.float32(r_start)
        along = px * axis[0] + py * axis[1] + pz * axis[2]
        t = np.clip(along / np.float32(length), 0.0, 1.0)
        square += t * (t * np.float32(length) - 2 * along)
        return np.sqrt(np.maximum(square, 0.0)) - (np.float32(r_start) + t * np.float32(r_stop - r_start))


def ramp(level: np.ndarray, width: float | np.ndarray) -> np.ndarray:
    """Share of a pixel `width` mm wide that lies where `level` (mm) is above 0: the partial volume of an edge."""
    share = level / width
    share += 0.5
    return np.clip(share, 0.0, 1.0, out=share)


def rotation_matrix(yaw: float, pitch: float, roll: float) -> np.ndarray:
    """Head to scanner axes for turns in degrees about z (yaw), x (pitch: chin down positive) and y (roll)."""
    a, b, c = np.radians([yaw, pitch, roll])
    about_z = np.array([[np.cos(a), -np.sin(a), 0], [np.sin(a), np.cos(a), 0], [0, 0, 1]])
    about_x = np.array([[1, 0, 0], [0, np.cos(b), -np.sin(b)], [0, np.sin(b), np.cos(b)]])
    about_y = np.array([[np.cos(c), 0, np.sin(c)], [0, 1, 0], [-np.sin(c), 0, np.cos(c)]])
    return about_z @ about_x @ about_y
