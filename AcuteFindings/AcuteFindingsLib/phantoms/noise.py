"""Randomness that looks like CT: smooth fields for anatomy and correlated quantum noise that follows the dose."""

from collections.abc import Sequence

import numpy as np
from scipy import fft, ndimage

# Slices of noise made anew; a longer stack reuses them shifted and mirrored, which no eye can tell and which keeps a
# 300-slice study as cheap as a 32-slice one.
FRESH_SLICES = 24


def smooth_field(
    rng: np.random.Generator, shape: Sequence[int], scale: float | Sequence[float], *, order: int = 1
) -> np.ndarray:
    """Smooth random field with mean about 0 and standard deviation about 1.

    Random numbers are drawn on a coarse grid, one for each `scale` voxels, and zoomed, so the price hardly depends on
    `scale` and stays far below that of a Gaussian filter over the full array.

    Parameters
    ----------
    rng
        Where the randomness comes from.
    shape
        Shape of the result, any number of axes.
    scale
        Length in voxels over which the field changes, one number or one an axis.
    order
        Spline order of the zoom: 1 is fastest, 3 has no creases.

    Returns
    -------
    numpy.ndarray
        float32, of shape `shape`.
    """
    shape = tuple(int(n) for n in shape)
    scales = np.broadcast_to(np.asarray(scale, dtype=float), (len(shape),))
    coarse = tuple(max(2, int(np.ceil(n / max(s, 1.0))) + 2) for n, s in zip(shape, scales, strict=True))
    seeds = ndimage.gaussian_filter(rng.standard_normal(coarse, dtype=np.float32), 0.6, mode="wrap")
    values = zoom_to(seeds, shape, order=order)
    values /= max(float(values.std()), 1e-6)
    return values


def zoom_to(coarse: np.ndarray, shape: Sequence[int], *, order: int = 1) -> np.ndarray:
    """Stretch `coarse` to `shape`, corner sample to corner sample; float32.

    With ``order=1`` one axis after the other is interpolated, several times faster than `scipy.ndimage.zoom`.
    """
    values = np.asarray(coarse, dtype=np.float32)
    if order != 1:
        factors = [n / m for n, m in zip(shape, values.shape, strict=True)]
        return ndimage.zoom(values, factors, order=order, mode="nearest", grid_mode=False).astype(np.float32)
    # The axis that grows most is stretched last, so the arrays in between stay small.
    for axis in sorted(range(values.ndim), key=lambda a: shape[a] / values.shape[a]):
        if shape[axis] == values.shape[axis]:
            continue
        place = np.linspace(0.0, values.shape[axis] - 1.0, int(shape[axis]), dtype=np.float32)
        low = np.minimum(place.astype(np.intp), max(values.shape[axis] - 2, 0))
        high = np.minimum(low + 1, values.shape[axis] - 1)
        weight = (place - low.astype(np.float32)).reshape([-1 if a == axis else 1 for a in range(values.ndim)])
        start = values.take(low, axis=axis)
        values = start + weight * (values.take(high, axis=axis) - start)
    return values


def noise_sd(reference_sd: float, dose: float) -> float:
    """Standard deviation in HU at a relative `dose`: quantum noise falls with the root of the dose.

    Raises
    ------
    ValueError
        If `dose` is not above 0.
    """
    if not dose > 0:
        raise ValueError(f"dose must be above 0, got {dose}")
    return float(reference_sd / np.sqrt(dose))


def quantum_noise(
    rng: np.random.Generator,
    shape: tuple[int, int, int],
    *,
    pixel_mm: float,
    sd: float | np.ndarray,
    cutoff_per_mm: float = 0.45,
    slice_correlation: float = 0.0,
) -> np.ndarray:
    """Correlated CT noise in HU.

    Filtered back projection gives noise whose power rises with frequency (the ramp filter) and is cut off by the
    reconstruction kernel; that is the fine, worm-like grain of a CT image, which white noise lacks.

    Parameters
    ----------
    rng
        Where the randomness comes from.
    shape
        ``(z, y, x)``.
    pixel_mm
        Pixel size in plane, mm.
    sd
        Standard deviation in HU: one number, or anything that broadcasts to `shape`, such as a ``(y, x)`` map that is
        larger in the middle of the body.
    cutoff_per_mm
        Where the kernel cuts off, cycles/mm: about 0.35 for a soft kernel, 0.6 for a lung kernel.
    slice_correlation
        0 for slices side by side; towards 1 for overlapping ones.

    Returns
    -------
    numpy.ndarray
        ``(z, y, x)`` float32.
    """
    depth, height, width = shape
    fresh = min(depth, FRESH_SLICES)
    radius = np.hypot(fft.fftfreq(height, pixel_mm)[:, None], fft.rfftfreq(width, pixel_mm)[None, :])
    # Root of the noise power: sqrt(ramp) times the kernel's fall; a small floor keeps some low-frequency mottle.
    gain = (np.sqrt(radius + 0.01) * np.exp(-0.5 * (radius / (0.7 * cutoff_per_mm)) ** 2)).astype(np.float32)
    gain[0, 0] = 0.0
    white = rng.standard_normal((fresh, height, width), dtype=np.float32)
    grain = fft.irfft2(fft.rfft2(white) * gain, s=(height, width)).astype(np.float32, copy=False)
    grain /= max(float(grain.std()), 1e-6)
    if depth > fresh:
        grain = _repeat_slices(rng, grain, depth)
    if slice_correlation > 0 and depth > 1:
        grain = _correlate_slices(grain, slice_correlation)
    grain *= np.asarray(sd, dtype=np.float32)
    return grain


def _repeat_slices(rng: np.random.Generator, grain: np.ndarray, depth: int) -> np.ndarray:
    """`depth` slices out of fewer: random ones, rolled and mirrored so that none repeats beside itself."""
    fresh, height, width = grain.shape
    stack = np.empty((depth, height, width), dtype=np.float32)
    stack[:fresh] = grain
    for index in range(fresh, depth):
        source = grain[int(rng.integers(fresh))][:: int(rng.choice((-1, 1))), :: int(rng.choice((-1, 1)))]
        shift = (int(rng.integers(height)), int(rng.integers(width)))
        stack[index] = np.roll(source, shift, axis=(0, 1))
    return stack


def _correlate_slices(grain: np.ndarray, correlation: float) -> np.ndarray:
    """Mix neighbouring slices so that they correlate, keeping the standard deviation."""
    mixed = np.empty_like(grain)
    mixed[0] = grain[0]
    keep = float(np.sqrt(1.0 - correlation**2))
    for index in range(1, len(grain)):
        mixed[index] = correlation * mixed[index - 1] + keep * grain[index]
    return mixed
