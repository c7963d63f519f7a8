"""Quantum noise of CT: correlated as a reconstruction kernel leaves it, its strength following the dose."""

import numpy as np
from scipy import fft

# Slices of noise made anew; a longer stack reuses them shifted and mirrored, which no eye can tell and which keeps a
# 300-slice study as cheap as a 32-slice one.
FRESH_SLICES = 24


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
        0 for slices side by side; toward 1 for overlapping ones.

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
    """Mix neighboring slices so that they correlate, keeping the standard deviation."""
    mixed = np.empty_like(grain)
    mixed[0] = grain[0]
    keep = float(np.sqrt(1.0 - correlation**2))
    for index in range(1, len(grain)):
        mixed[index] = correlation * mixed[index - 1] + keep * grain[index]
    return mixed
