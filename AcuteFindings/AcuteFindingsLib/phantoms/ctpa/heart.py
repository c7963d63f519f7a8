"""The heart of the CT angiogram phantom: four blood pools and their walls as distance fields."""

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from AcuteFindingsLib.phantoms.ctpa.anatomy import Chest
from AcuteFindingsLib.phantoms.ctpa.raster import (
    FAR,
    Grid,
    ellipsoid,
    smooth_noise,
    smooth_path,
    union_tubes,
)

SEPTUM_MM = 9.0
WALL_MM = 10.0
# Inner diameters of both ventricles side by side in a four-chamber view, mm: about 84 in an adult.
VENTRICLES_MM = 84.0
BOX_LOW, BOX_HIGH = (-104.0, -126.0, -158.0), (130.0, 84.0, 26.0)


@dataclass(frozen=True)
class Heart:
    """Distance fields of the heart on a grid of its own, and where the septum faces.

    Attributes
    ----------
    grid
        About 2 mm, over the heart only.
    pools
        ``"right_atrium"``, ``"right_ventricle"``, ``"left_atrium"``, ``"left_ventricle"``.
    muscle
        Walls and pools together.
    sac
        The pericardial sac, with fat in the grooves.
    septal_normal
        Unit vector ``(x, y)`` in the axial plane from the left to the right ventricle.
    """

    grid: Grid
    pools: dict[str, np.ndarray]
    muscle: np.ndarray
    sac: np.ndarray
    septal_normal: tuple[float, float]


def make_heart(rng: np.random.Generator, chest: Chest, around: Grid) -> Heart:
    """The heart of a chest, whose ventricles have the inner diameters that `chest.rv_lv_ratio` asks for.

    Both diameters are measured as on a four-chamber view: across the septum, in an axial plane.

    Parameters
    ----------
    rng
        Source of the trabeculae and of the outline's wobble.
    chest
        The drawn chest.
    around
        The image's grid; the heart's own lies within it.
    """
    box = around.box(BOX_LOW, BOX_HIGH)
    if box is None:
        raise ValueError("the grid does not reach the heart")
    grid = around.part(box).coarse(2.2)
    size, ratio = chest.heart_size, chest.rv_lv_ratio
    turn = np.arctan2(-0.55, 0.70) + chest.heart_turn
    axis = np.array([np.cos(turn) * 0.89, np.sin(turn) * 0.89, -0.456])
    across = np.array([axis[1], -axis[0], 0.0]) / np.hypot(axis[0], axis[1])
    frame = np.stack([axis, across, np.cross(axis, across)])
    left_mm = VENTRICLES_MM * size / (1 + ratio)
    right_mm = left_mm * ratio
    # A strained right ventricle flattens the septum: the left one becomes D-shaped.
    flat = float(np.clip((ratio - 1) * 0.45, 0, 0.27))
    radius = left_mm / (2 - flat)
    septum = np.array([29.0, -28.0, -68.0])
    left_center = septum - across * (SEPTUM_MM / 2 + radius * (1 - flat))
    along = _along(grid, left_center, axis)
    toward = _along(grid, left_center, across)
    base = -24.0 * size

    noise = smooth_noise(rng, grid, 9.0)
    trabeculae = np.maximum(noise - 0.3, 0) * np.float32(1.6)
    inner = (42 * size, radius, radius * 1.05)
    left = np.maximum(ellipsoid(grid, left_center, inner, frame), toward - radius * (1 - flat))
    outer = (42 * size + WALL_MM, radius + WALL_MM, radius * 1.05 + WALL_MM)
    left_outer = np.maximum(ellipsoid(grid, left_center, outer, frame), toward - (radius * (1 - flat) + SEPTUM_MM))
    left_outer = np.maximum(left_outer, base - 3 - along)

    hidden = 14.0
    half = (right_mm + hidden) / 2
    right_center = septum + across * (SEPTUM_MM / 2 + right_mm - half) - axis * 4 * size
    right_whole = ellipsoid(grid, right_center, (39 * size, half, 34 * size), frame)
    cone = right_center + np.array([2.0, 0.0, 8.0])
    outflow = smooth_path([cone, (13, -47, -48), (15, -44, -34)], [15, 13, chest.trunk_radius], 3)
    union_tubes(right_whole, grid, outflow)
    right = np.maximum(right_whole, -left_outer)

    atrium_right = ellipsoid(grid, (-37, -13, -58), (23 * size, 25 * size, 30 * size))
    atrium_left = ellipsoid(grid, (8, 22, -44), (35 * size, 16 * size, 19 * size))
    mitral = np.full(grid.shape, FAR, np.float32)
    union_tubes(mitral, grid, smooth_path([(16, 18, -48), left_center - axis * 12], [11, 13], 2))
    union_tubes(mitral, grid, smooth_path([left_center - axis * 14, (12, -8, -50)], [9, 12], 2))
    ventricle_left = np.maximum(np.minimum(left, np.maximum(mitral, along - 5)), base - along)
    atrium_left = np.minimum(atrium_left, np.maximum(mitral, along - base + 2))
    atrium_left = np.maximum(atrium_left, 3.0 - atrium_right)
    valve = np.full(grid.shape, FAR, np.float32)
    union_tubes(valve, grid, smooth_path([(-30, -14, -60), right_center - axis * 24 * size], [15, 15], 2))
    right = np.maximum(np.minimum(right, np.maximum(valve, -left_outer)), 1.4 - atrium_right)
    atrium_right = np.maximum(atrium_right, 2.0 - left_outer)
    atrium_left = np.maximum(atrium_left, 2.0 - right)

    muscle = np.minimum.reduce([left_outer, ventricle_left - 2, right - 3.4, atrium_right - 2.2, atrium_left - 2.2])
    # The sac bridges the grooves between the chambers: the muscle's outline closed over 28 mm.
    bridged = 28.0 - ndimage.distance_transform_edt(muscle < 28.0, sampling=grid.spacing).astype(np.float32)
    sac = np.minimum(muscle, ndimage.gaussian_filter(bridged, 3.0 / np.asarray(grid.spacing)))
    sac = sac - 2.5 - 1.2 * smooth_noise(rng, grid, 30.0)
    pools = {
        "right_atrium": atrium_right + trabeculae * 0.6,
        "right_ventricle": right + trabeculae * 0.8,
        "left_atrium": atrium_left,
        "left_ventricle": ventricle_left + trabeculae * 0.6,
    }
    return Heart(grid, pools, muscle, sac, (float(across[0]), float(across[1])))


def _along(grid: Grid, center: np.ndarray, axis: np.ndarray) -> np.ndarray:
    """Signed distance in mm along an axis from a center, ``(z, y, x)``."""
    z, y, x = grid.open_axes
    c, a = center.astype(np.float32), axis.astype(np.float32)
    return (x - c[0]) * a[0] + (y - c[1]) * a[1] + (z - c[2]) * a[2]
