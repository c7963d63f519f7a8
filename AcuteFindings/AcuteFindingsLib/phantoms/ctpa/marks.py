"""What scanner and patient leave on the CT angiogram phantom: streaks, motion, blur and noise."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from AcuteFindingsLib.phantoms.ctpa.anatomy import Chest, Enhancement
from AcuteFindingsLib.phantoms.ctpa.raster import Grid
from AcuteFindingsLib.phantoms.noise import quantum_noise
from AcuteFindingsLib.phantoms.phantom import check_variants

VARIANTS = ("dense-cava", "breathing", "pulsation")
CAVA_XY = (-32.0, -10.0)


@dataclass(frozen=True)
class Added:
    """What the variants of one chest add; 0 where a variant was not asked for.

    Attributes
    ----------
    cava_hu
        Attenuation of the superior vena cava, full of undiluted contrast agent.
    streak_hu
        Height of the rays that come from it.
    breathing_mm, pulsation_mm
        How far lungs and heart, or the heart alone, moved while they were scanned.
    rng
        Source of how they are drawn.
    """

    rng: np.random.Generator
    cava_hu: float = 0.0
    streak_hu: float = 0.0
    breathing_mm: float = 0.0
    pulsation_mm: float = 0.0


def draw_added(rng: np.random.Generator, variants: Sequence[str]) -> Added:
    """Draw what `variants` add; each is drawn whether asked for or not, so that none depends on the others.

    Raises
    ------
    ValueError
        For a name that is not one of `VARIANTS`.
    """
    check_variants(variants, VARIANTS)
    cava, streak = float(rng.uniform(900, 1400)), float(rng.uniform(80, 130))
    breathing, pulsation = float(rng.uniform(3.0, 6.0)), float(rng.uniform(3.0, 5.0))
    return Added(
        rng,
        cava_hu=cava if "dense-cava" in variants else 0.0,
        streak_hu=streak if "dense-cava" in variants else 0.0,
        breathing_mm=breathing if "breathing" in variants else 0.0,
        pulsation_mm=pulsation if "pulsation" in variants else 0.0,
    )


def add_marks(
    rng: np.random.Generator,
    noise_rng: np.random.Generator,
    added: Added,
    volume: np.ndarray,
    lungs: np.ndarray,
    heart: np.ndarray,
    grid: Grid,
    spacing: tuple[float, float, float],
    chest: Chest,
    pools: Enhancement,
) -> dict[str, float]:
    """Add them to a HU volume ``(z, y, x)``, in place; `lungs` and `heart` (same shape, uint8) are what moves.

    Returns
    -------
    dict
        ``noise_sd_hu`` (soft tissue, middle of the body), ``motion_mm``, ``pulsation_mm`` and ``streak_hu``.
    """
    motion = float(rng.uniform(1.5, 4.5)) if rng.random() < 0.25 else 0.0
    moving = lungs | heart
    if motion:
        _breathe(rng, volume, moving, grid, motion)
    if added.breathing_mm:
        _breathe(added.rng, volume, moving, grid, added.breathing_mm)
    if added.pulsation_mm:
        _pulsate(volume, heart, grid, added.pulsation_mm)
    kernel_mm = rng.uniform(0.5, 0.75)
    sigma = kernel_mm / spacing[1]
    if sigma > 0.3:
        for axis in (1, 2):
            ndimage.gaussian_filter1d(volume, sigma, axis=axis, output=volume, truncate=3.0)
    streak = float(np.clip((pools.superior_vena_cava - 450) * rng.uniform(0.05, 0.2), 0, 90))
    if streak:
        _streak(rng, volume, grid, streak)
    if added.streak_hu:
        _streak(added.rng, volume, grid, added.streak_hu)
    # Dose: 10 to 25 HU at 1 mm; thicker slices and larger pixels average it down, a large patient raises it.
    habitus = 0.85 + 0.012 * chest.fat
    sd = float(np.clip(rng.uniform(13, 24) * habitus, 10, 27))
    sd *= min(1.0, (1.0 / spacing[0]) ** 0.3) * min(1.0, (0.75 / spacing[1]) ** 0.3)
    _, y, x = grid.open_axes
    z = grid.axes[0]
    shape = 0.55 + 0.5 * np.exp(-((x / 130) ** 2) - ((y - 20) / 100) ** 2)
    height = 1 + 0.35 * np.clip((z - 70) / 40, 0, 1) + 0.15 * np.clip((-90 - z) / 40, 0, 1)
    noise = quantum_noise(
        noise_rng, grid.shape, pixel_mm=spacing[1], sd=1.0, cutoff_per_mm=float(rng.uniform(0.33, 0.5))
    )
    for k in range(grid.shape[0]):
        volume[k] += noise[k] * (shape[0] * np.float32(sd * height[k])).astype(np.float32)
    np.clip(volume, -1024, 3071, out=volume)
    return {
        "noise_sd_hu": sd,
        "motion_mm": max(motion, added.breathing_mm),
        "pulsation_mm": added.pulsation_mm,
        "streak_hu": max(streak, added.streak_hu),
    }


def _breathe(rng: np.random.Generator, volume: np.ndarray, moving: np.ndarray, grid: Grid, motion: float) -> None:
    """Double contours of the lower lungs, as when the patient breathes during the last seconds."""
    top = rng.uniform(-60, -20)
    shift = max(1, round(motion / grid.spacing[1]))
    for k in np.flatnonzero(grid.axes[0] < top):
        share = np.float32(0.62 * min(1.0, (top - grid.axes[0][k]) / 25))
        inner = ndimage.uniform_filter(moving[k].astype(np.float32), 2 * shift + 1) * share
        # Both ways, so that the truth stays in the middle.
        moved = (np.roll(volume[k], shift, axis=0) + np.roll(volume[k], -shift, axis=0)) / 2
        volume[k] += inner * (moved - volume[k])


def _pulsate(volume: np.ndarray, heart: np.ndarray, grid: Grid, motion: float) -> None:
    """Double contours of the heart and of the vessels beside it, as it beats while it is scanned."""
    shift = max(1, round(motion / grid.spacing[1]))
    beside = 2 * round(12.0 / grid.spacing[1]) + 1
    for k in np.flatnonzero(heart.any(axis=(1, 2))):
        near = ndimage.uniform_filter(ndimage.maximum_filter(heart[k], beside).astype(np.float32), 2 * shift + 1)
        moved = (np.roll(volume[k], shift, axis=1) + np.roll(volume[k], -shift, axis=1)) / 2
        volume[k] += np.float32(0.6) * near * (moved - volume[k])


def _streak(rng: np.random.Generator, volume: np.ndarray, grid: Grid, strength: float) -> None:
    """Bright and dark rays from the dense superior vena cava."""
    box = grid.box((CAVA_XY[0] - 75, CAVA_XY[1] - 60, -20), (CAVA_XY[0] + 75, CAVA_XY[1] + 60, 70))
    if box is None:
        return
    z, y, x = grid.part(box).axes
    dx, dy = x[None, :] - CAVA_XY[0], y[:, None] - CAVA_XY[1]
    radius, angle = np.hypot(dx, dy), np.arctan2(dy, dx)
    fall = np.exp(-np.maximum(radius - 9, 0) / 26) * np.clip((radius - 6) / 5, 0, 1)
    place = ((angle + np.pi) / (2 * np.pi) * 90).astype(int) % 90
    rays = ndimage.gaussian_filter1d(rng.standard_normal((len(z), 90)), 1.3, axis=1, mode="wrap")
    for k in range(len(z)):
        volume[box][k] += (strength * 1.6 * rays[k][place] * fall).astype(np.float32)
