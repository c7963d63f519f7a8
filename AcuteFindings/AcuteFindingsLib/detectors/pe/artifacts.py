"""What imitates or hides clot: breathing, the beating heart, and streaks from undiluted contrast agent."""

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from AcuteFindingsLib.detectors.pe.chest import Chest
from AcuteFindingsLib.detectors.pe.vessels import DenseVein

LEAST_LUNG_CM2 = 40.0
LEAST_LEVELS = 12
"""Fewer slices of the working grid with lung than this say nothing of above and below."""

FRONT = 0.6
"""Share of the lungs' depth, from the front, in which they lie beside the heart."""

NEAR_MM, FAR_MM = 25.0, 45.0
CLEAR_MM = 4.0
LEAST_VOXELS = 300
MOST_LEVELS = 12


@dataclass(frozen=True)
class Sharpness:
    """How sharp the edges of the lungs are in the lower half of the chest, as a share of what they are in the upper.

    Attributes
    ----------
    wall
        Against the chest wall: breathing blurs it.
    heart
        Against the heart, in units of those against the chest wall: the beating heart blurs it.
    """

    wall: float
    heart: float


def edge_sharpness(chest: Chest) -> Sharpness | None:
    """Compare the edges of the lungs below with those above; None where the field cuts the lungs off or is low."""
    levels = np.flatnonzero(chest.lung_cm2 >= LEAST_LUNG_CM2)
    sides = np.concatenate([chest.lungs[levels][:, :, [0, -1]].ravel(), chest.lungs[levels][:, [0, -1]].ravel()])
    if len(levels) < LEAST_LEVELS or sides.any():
        return None
    walls, hearts = [], []
    for z in levels:
        lungs, hu = chest.lungs[z], chest.hu[z]
        steps = [np.abs(np.diff(hu, axis=axis, prepend=np.take(hu, [0], axis=axis))) for axis in (0, 1)]
        steepest = ndimage.maximum_filter(np.maximum(*steps), size=5)
        between = np.maximum.accumulate(lungs, axis=1) & np.maximum.accumulate(lungs[:, ::-1], axis=1)[:, ::-1]
        medial = ndimage.binary_dilation(between & ~lungs, iterations=2)
        rows = np.flatnonzero(lungs.any(axis=1))
        front = np.arange(len(lungs))[:, None] < rows[0] + FRONT * (rows[-1] - rows[0])
        edge = lungs & ~ndimage.binary_erosion(lungs)
        wall, heart = steepest[edge & ~medial], steepest[edge & medial & front]
        walls.append(float(np.median(wall)) if len(wall) else np.nan)
        hearts.append(float(np.median(heart)) / walls[-1] if len(heart) > 10 else np.nan)
    middle = len(levels) // 2
    parts = [np.array(values[half]) for values in (walls, hearts) for half in (slice(middle), slice(middle, None))]
    if not all(np.isfinite(part).any() for part in parts):
        return None
    wall_below, wall_above, heart_below, heart_above = (float(np.nanmedian(part)) for part in parts)
    return Sharpness(wall_below / wall_above, heart_below / heart_above)


def streak_strength(chest: Chest, vein: DenseVein) -> float | None:
    """Return the noise near a dense vein, in units of that far from it; None where too little lies round it."""
    levels = np.flatnonzero(vein.where.any(axis=(1, 2)))
    levels = levels[np.unique(np.linspace(0, len(levels) - 1, MOST_LEVELS).astype(int))]
    _, dy, dx = chest.spacing
    near, far = [], []
    for z in levels:
        lungs = chest.lungs[z]
        between = np.maximum.accumulate(lungs, axis=1) & np.maximum.accumulate(lungs[:, ::-1], axis=1)[:, ::-1]
        own = ndimage.find_objects(between.astype(np.uint8))
        if not own:
            continue
        hu = chest.hu[z][own[0]]
        soft = ndimage.binary_erosion((between & ~lungs)[own[0]] & (hu > -50), iterations=2)
        rough = hu - ndimage.median_filter(hu, size=5)
        away = ndimage.distance_transform_edt(~vein.where[z][own[0]], sampling=(dy, dx))
        near.append(rough[soft & (away > CLEAR_MM) & (away <= NEAR_MM)])
        far.append(rough[soft & (away > FAR_MM)])
    by, at = (np.concatenate([np.zeros(0, np.float32), *values]) for values in (near, far))
    if min(len(by), len(at)) < LEAST_VOXELS:
        return None
    return float(_spread(by) / max(_spread(at), 1e-3))


def _spread(values: np.ndarray) -> float:
    low, high = np.percentile(values, (16, 84))
    return float(high - low) / 2
