"""Drawing primitives of the chest radiograph phantom: thickness maps of balls, tubes and clouds of matter, in mm."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from contourpy import contour_generator
from PIL import Image, ImageDraw
from scipy import ndimage
from scipy.interpolate import CubicSpline

_WINDOWS = (2, 3, 4, 6, 9, 14, 24, 48, 96, 192)
_MINIMUM_RADIUS_PX = 0.7


@dataclass(frozen=True)
class Frame:
    """The picture's grid in patient millimeters.

    `x` runs from the patient's right to the left with 0 at the midline, `y` downwards with 0 at the lung apices.

    Attributes
    ----------
    size
        Rows and columns.
    mm
        Pixel spacing in mm.
    left, top
        `x` of the first column and `y` of the first row, in mm.
    """

    size: int
    mm: float
    left: float
    top: float

    @property
    def x(self) -> np.ndarray:
        """Columns in mm, shape `(1, size)`."""
        return (self.left + self.mm * np.arange(self.size, dtype=np.float32))[None, :]

    @property
    def y(self) -> np.ndarray:
        """Rows in mm, shape `(size, 1)`."""
        return (self.top + self.mm * np.arange(self.size, dtype=np.float32))[:, None]

    def to_pixels(self, points: np.ndarray) -> np.ndarray:
        """Points `(n, 2)` as (x, y) in mm to (row, column) in pixels."""
        return np.stack([(points[:, 1] - self.top) / self.mm, (points[:, 0] - self.left) / self.mm], axis=1)

    def zeros(self) -> np.ndarray:
        """An empty map `(size, size)`."""
        return np.zeros((self.size, self.size), np.float32)


def resample(points: np.ndarray, *, step_mm: float) -> np.ndarray:
    """A smooth curve through `points` `(n, k)` (k coordinates, in mm), sampled about every `step_mm`."""
    points = np.asarray(points, np.float64)
    steps = np.linalg.norm(np.diff(points, axis=0), axis=1)
    points = points[np.concatenate([[True], steps > 1e-6])]
    length = np.concatenate([[0.0], np.cumsum(steps[steps > 1e-6])])
    count = max(2, int(np.ceil(length[-1] / step_mm)) + 1)
    return CubicSpline(length, points)(np.linspace(0.0, length[-1], count))


def contours(picture: np.ndarray, level: float) -> list[np.ndarray]:
    """Return where `picture` ``(y, x)`` crosses `level`: curves ``(n, 2)`` of x and y in pixels.

    A closed curve starts and ends in its lowest row of pixels, at the rightmost of these: samples taken along it lie in
    the same places wherever a library would have started.
    """
    found = []
    curves: Any = contour_generator(z=picture.astype(np.float64), line_type="Separate").lines(level)
    for curve in curves:
        if (curve[0] == curve[-1]).all():
            cell = np.floor((curve[:-1] + curve[1:]) / 2)
            start = int(np.lexsort(cell.T)[-1]) + 1
            curve = np.concatenate([curve[start:-1], curve[: start + 1]])
        found.append(curve)
    return found


def ball_chords(frame: Frame, points: np.ndarray, radius_mm: np.ndarray | float) -> np.ndarray:
    """Thickness in mm `(y, x)` of the union of balls at `points` `(n, 2)`: along a curve, the chord through a tube.

    Balls thinner than a pixel are drawn at pixel width with their thickness lowered, so that fine vessels fade rather
    than break up.
    """
    out = frame.zeros()
    if len(points) == 0:
        return out
    flat = out.reshape(-1)
    center = frame.to_pixels(np.asarray(points, np.float64))
    radius = np.broadcast_to(np.asarray(radius_mm, np.float64) / frame.mm, (len(center),))
    drawn = np.maximum(radius, _MINIMUM_RADIUS_PX)
    scale = np.minimum(1.0, (radius / drawn) ** 2)
    half = np.asarray(_WINDOWS)[np.minimum(np.searchsorted(_WINDOWS, drawn + 0.5), len(_WINDOWS) - 1)]
    for window in np.unique(half):
        chosen = np.flatnonzero(half == window)
        offsets = np.arange(-window, window + 1)
        rows = np.rint(center[chosen, 0]).astype(np.intp)[:, None] + offsets
        columns = np.rint(center[chosen, 1]).astype(np.intp)[:, None] + offsets
        row_distance = (rows - center[chosen, 0, None]) ** 2
        column_distance = (columns - center[chosen, 1, None]) ** 2
        square = drawn[chosen, None, None] ** 2 - row_distance[:, :, None] - column_distance[:, None, :]
        keep = square > 0
        keep &= ((rows >= 0) & (rows < frame.size))[:, :, None] & ((columns >= 0) & (columns < frame.size))[:, None, :]
        index = (rows[:, :, None] * frame.size + columns[:, None, :])[keep]
        chord = 2.0 * frame.mm * np.sqrt(square[keep]) * np.broadcast_to(scale[chosen, None, None], keep.shape)[keep]
        np.maximum.at(flat, index, chord.astype(np.float32))
    return out


def tube(frame: Frame, control: np.ndarray, radius_mm: float) -> np.ndarray:
    """Thickness in mm `(y, x)` of a tube through the control points `(n, 2)`."""
    step = max(0.3 * radius_mm, 0.35 * frame.mm)
    return ball_chords(frame, resample(control, step_mm=step), radius_mm)


def matter(frame: Frame, points: np.ndarray, volume_mm3: np.ndarray) -> np.ndarray:
    """Path length in mm `(y, x)` of small volumes at `points` `(n, 2)`, each shared by its four nearest pixels."""
    position = frame.to_pixels(points)
    low = np.floor(position)
    part = (position - low).astype(np.float32)
    low = low.astype(np.intp)
    inside = (low >= 0).all(axis=1) & (low < frame.size - 1).all(axis=1)
    low, part = low[inside], part[inside]
    weight = np.broadcast_to(np.asarray(volume_mm3, np.float64) / frame.mm**2, (len(points),))[inside]
    index = low[:, 0] * frame.size + low[:, 1]
    out = np.zeros(frame.size * frame.size)
    for row in (0, 1):
        for column in (0, 1):
            share = (part[:, 0] if row else 1 - part[:, 0]) * (part[:, 1] if column else 1 - part[:, 1])
            out += np.bincount(index + row * frame.size + column, weight * share, minlength=out.size)
    return out.reshape(frame.size, frame.size).astype(np.float32)


@dataclass(frozen=True)
class Cloud:
    """Small volumes in the picture plane: places `(n, 2)` in mm and volumes `(n,)` in mm³."""

    points: np.ndarray
    volume: np.ndarray


def bone_tube(
    frame: Frame,
    control: np.ndarray,
    *,
    half_height_mm: np.ndarray | float,
    half_depth_mm: float,
    cortex_mm: float,
    marrow: float,
    rng: np.random.Generator,
    strength: np.ndarray | float = 1.0,
) -> Cloud:
    """A long bone as matter to be projected along AP: a cortical shell around marrow.

    The bone is a swept ellipse, so its margins and the places where it turns into the beam come out bright without
    being drawn so.

    Parameters
    ----------
    control
        Points `(n, 3)` of the axis: x, y and depth z, in mm.
    half_height_mm
        Half-axis of the cross-section across the axis in the picture plane; where an array, along the bone.
    half_depth_mm
        Half-axis through the bone's thin side.
    cortex_mm
        Thickness of the shell.
    marrow
        Share of dense bone within the marrow space (trabeculae).
    strength
        Factor on all of it; where an array, along the bone.
    """
    axis = resample(control, step_mm=frame.mm)
    tangent = np.gradient(axis, axis=0)
    step = np.linalg.norm(tangent, axis=1)
    tangent /= step[:, None]
    along = np.linspace(0, 1, len(axis))
    given = np.atleast_1d(np.asarray(half_height_mm, np.float64))
    height = np.interp(along, np.linspace(0, 1, len(given)), given)[:, None]
    factor = np.atleast_1d(np.asarray(strength, np.float64))
    step = step * np.interp(along, np.linspace(0, 1, len(factor)), factor)
    # The bone's tall side is what of the vertical (of the horizontal, for an upright bone) is across the axis.
    upright = np.abs(tangent[:, 1]).mean() > 0.7
    reference = np.array([1.0, 0.0, 0.0]) if upright else np.array([0.0, 1.0, 0.0])
    up = reference - tangent * (tangent @ reference)[:, None]
    up /= np.maximum(np.linalg.norm(up, axis=1, keepdims=True), 1e-6)
    thin = np.cross(tangent, up)
    count = int(np.clip(np.ceil((2.5 + 0.35 * np.mean(height)) * np.mean(height) / frame.mm), 10, 200))
    angle = (2 * np.pi / count) * (np.arange(count) + rng.random((len(axis), count), dtype=np.float32))
    cosine, sine = np.cos(angle), np.sin(angle)
    shell = np.hypot(height * sine, half_depth_mm * cosine) * (2 * np.pi / count) * cortex_mm * step[:, None]
    core = np.broadcast_to(np.pi * height * half_depth_mm * marrow / count * step[:, None], angle.shape)
    # Sections one pixel apart would beat with the pixel grid; each point is moved a little along the axis.
    along_axis = np.gradient(axis[:, :2], axis=0)[:, None, :] * (
        rng.random((len(axis), count, 1), dtype=np.float32) - 0.5
    )
    points, volumes = [], []
    # The marrow is smooth, so every third section of it will do.
    for share, volume, every in ((1.0, shell, 1), (0.62, 3.0 * core, 3)):
        tall, deep = (share * height * cosine)[::every], (share * half_depth_mm * sine)[::every]
        x = axis[::every, 0:1] + tall * up[::every, 0:1] + deep * thin[::every, 0:1]
        y = axis[::every, 1:2] + tall * up[::every, 1:2] + deep * thin[::every, 1:2]
        points.append((np.stack([x, y], axis=2) + along_axis[::every]).reshape(-1, 2))
        volumes.append(volume[::every].ravel())
    return Cloud(np.concatenate(points), np.concatenate(volumes))


def project(frame: Frame, clouds: list[Cloud]) -> np.ndarray:
    """Path length in mm `(y, x)` of all `clouds` together."""
    points = np.concatenate([cloud.points for cloud in clouds])
    path = matter(frame, points, np.concatenate([cloud.volume for cloud in clouds]))
    return ndimage.gaussian_filter(path, 0.5, truncate=3.0)


def filled(frame: Frame, outline: np.ndarray) -> np.ndarray:
    """Boolean mask `(y, x)` of the polygon `outline` `(n, 2)` in mm."""
    canvas = Image.new("1", (frame.size, frame.size))
    corners = frame.to_pixels(outline)[:, ::-1]
    ImageDraw.Draw(canvas).polygon([(float(x), float(y)) for x, y in corners], fill=1)
    return np.array(canvas, bool)


def smooth_noise(frame: Frame, scale_mm: float, rng: np.random.Generator) -> np.ndarray:
    """Gaussian noise `(y, x)` of unit variance with blobs about `scale_mm` wide."""
    step = max(1, int(scale_mm / (2.0 * frame.mm)))
    small = -(-frame.size // step) + 4
    noise = ndimage.gaussian_filter(
        rng.standard_normal((small, small)).astype(np.float32), scale_mm / frame.mm / step / 2
    )
    if step > 1:
        noise = ndimage.zoom(noise, step, order=1)
    noise = noise[: frame.size, : frame.size]
    return noise / max(float(noise.std()), 1e-6)


def ramp(values: np.ndarray) -> np.ndarray:
    """Smooth step from 0 to 1 while `values` goes from 0 to 1."""
    clipped = np.clip(values, 0.0, 1.0)
    return clipped * clipped * (3.0 - 2.0 * clipped)
