"""Ribs, spine, sternum, clavicles and scapulae of the CT angiogram phantom."""

import numpy as np

from AcuteFindingsLib.phantoms.ctpa.anatomy import SPINE_Y, Chest
from AcuteFindingsLib.phantoms.ctpa.body import cage_at
from AcuteFindingsLib.phantoms.ctpa.raster import Grid, blend, draw_tubes, polyline_tubes, smooth_noise, smooth_path

VERTEBRA_MM = 24.0
DISC_MM = 5.0


def paint_bones(rng: np.random.Generator, volume: np.ndarray, grid: Grid, chest: Chest) -> None:
    """Paint the skeleton into a HU volume ``(z, y, x)``, in place: cortex 500 to 900, marrow 120 to 280 HU."""
    cortex_hu, marrow_hu = rng.uniform(600, 850), rng.uniform(140, 260)
    cortex = np.zeros(grid.shape, np.uint8)
    marrow = np.zeros(grid.shape, np.uint8)
    cartilage = np.zeros(grid.shape, np.uint8)
    for tubes, gristle in _ribs(rng, chest):
        draw_tubes(cortex, grid, tubes)
        draw_tubes(marrow, grid, tubes, grow=-1.3)
        draw_tubes(cartilage, grid, gristle)
    for tubes in [*_clavicles(), *_scapulae(rng)]:
        draw_tubes(cortex, grid, tubes)
        draw_tubes(marrow, grid, tubes, grow=-1.8)
    arches = _arches()
    draw_tubes(cortex, grid, arches)
    draw_tubes(marrow, grid, arches, grow=-2.0)
    blend(volume, cartilage, 115.0)
    blend(volume, cortex, cortex_hu)
    blend(volume, marrow, marrow_hu)
    _paint_vertebrae(rng, volume, grid, cortex_hu, marrow_hu)
    _paint_sternum(volume, grid, chest, cortex_hu * 0.45, marrow_hu * 0.75)


def _ribs(rng: np.random.Generator, chest: Chest) -> list[tuple[np.ndarray, np.ndarray]]:
    """Bone and cartilage of each rib."""
    ribs = []
    for number in range(12):
        top = 118 - number * VERTEBRA_MM
        drop = np.interp(number, [0, 2, 6, 11], [42, 76, 118, 84])
        stop = np.interp(number, [0, 7, 9, 11], [0.86, 0.86, 0.7, 0.45])
        thick = np.interp(number, [0, 5, 11], [3.0, 3.3, 2.8]) * rng.uniform(0.93, 1.07)
        for side in (-1, 1):
            angle = np.linspace(0.06, 1.0, 30) * np.pi
            turn = angle / np.pi
            z = top - drop * turn**0.8 - 4 * (side > 0)
            width, depth, middle = cage_at(chest, np.minimum(z, 112 - 5 * number if number < 2 else z))
            out = thick
            x = side * (width + out) * np.abs(np.sin(angle)) ** (2 / 2.3)
            y = middle + np.sign(np.cos(angle)) * (depth + out) * np.abs(np.cos(angle)) ** (2 / 2.35)
            y = np.where(turn < 0.13, np.minimum(y, SPINE_Y + 16 + 200 * turn), y)
            x = np.where(turn < 0.13, side * np.maximum(np.abs(x), 24), x)
            points = np.stack([x, y, z], axis=1)
            last = int(stop * 29)
            # A rib is flat: higher than it is thick, so two strands, one over the other.
            strands = [
                polyline_tubes(points + np.array([0.0, 0.0, up]), np.full(len(points), thick)) for up in (-2.6, 2.6)
            ]
            gristle = [strand[last : 28 if number < 7 else last] for strand in strands]
            ribs.append((np.vstack([strand[:last] for strand in strands]), np.vstack(gristle)))
    return ribs


def _clavicles() -> list[np.ndarray]:
    return [
        smooth_path([(s * 22, -46, 88), (s * 60, -42, 98), (s * 105, -22, 112), (s * 150, 0, 122)], [7.5, 6, 5.5, 6], 4)
        for s in (-1, 1)
    ]


def _scapulae(rng: np.random.Generator) -> list[np.ndarray]:
    """Blade as a fan of thin tubes, its spine and the glenoid."""
    parts = []
    for side in (-1, 1):
        lean = rng.uniform(-4, 4)
        for z in np.arange(-8, 112, 3.0):
            share = (z + 8) / 120
            inner = np.array([side * (118 - 30 * share + lean), 92 - 8 * share, z])
            outer = np.array([side * (124 + 24 * share + lean), 78 - 34 * share, z + 3])
            middle = (inner + outer) / 2 + np.array([-side * 2.0, 5.0, 0])
            parts.append(smooth_path([inner, middle, outer], [2.6, 1.9, 3.8], 3))
        parts.append(smooth_path([(side * 98, 92, 78), (side * 128, 88, 92), (side * 156, 60, 112)], [3.5, 5, 6], 3))
        parts.append(smooth_path([(side * 146, 42, 84), (side * 150, 40, 112)], [10, 12], 3))
    return parts


def _arches() -> np.ndarray:
    """Pedicles, laminae, transverse and spinous processes of every vertebra."""
    tubes = []
    for top in np.arange(118 - 14 * VERTEBRA_MM, 170, VERTEBRA_MM):
        for z in (top - 3, top - 9):
            tubes.append(
                smooth_path(
                    [(0, SPINE_Y + 34, z), (0, SPINE_Y + 50, z - 14), (0, SPINE_Y + 58, z - 22)], [4, 3.4, 4], 2
                )
            )
            for s in (-1, 1):
                tubes.append(
                    smooth_path(
                        [(s * 12, SPINE_Y + 12, z), (s * 13, SPINE_Y + 24, z), (0, SPINE_Y + 35, z - 4)],
                        [4.5, 4.2, 3.6],
                        2,
                    )
                )
                tubes.append(smooth_path([(s * 14, SPINE_Y + 24, z), (s * 32, SPINE_Y + 34, z + 2)], [4.4, 4.2], 2))
    return np.vstack(tubes)


def _paint_vertebrae(
    rng: np.random.Generator, volume: np.ndarray, grid: Grid, cortex_hu: float, marrow_hu: float
) -> None:
    box = grid.box((-26, SPINE_Y - 22, -400), (26, SPINE_Y + 30, 400))
    if box is None:
        return
    local = grid.part(box)
    z, y, x = local.open_axes
    phase = np.mod(z - 118 + VERTEBRA_MM / 2, VERTEBRA_MM) - VERTEBRA_MM / 2
    waist = 2.0 * (1 - (phase / (VERTEBRA_MM / 2)) ** 2)
    size = 17.5 + np.clip((60 - z) * 0.012, 0, 3) - waist
    deep = np.maximum(y - SPINE_Y, 0) * 0.35
    outline = np.hypot(x, (y - SPINE_Y) * 1.12 + deep) - size
    end = np.abs(phase) - (VERTEBRA_MM - DISC_MM) / 2
    bone = np.maximum(outline, end).astype(np.float32)
    edge = max(grid.spacing[1], 0.9)
    view = volume[box]
    marrow = marrow_hu + 45 * smooth_noise(rng, local, 3.0)
    disc = np.clip(0.5 - outline / edge, 0, 1)
    view += disc * (85 - view)
    shell = np.clip(0.5 - bone / edge, 0, 1)
    view += shell * (cortex_hu * 0.8 - view)
    inside = np.clip(0.5 - (bone + 1.6) / max(edge, 1.2), 0, 1)
    view += inside * (marrow - view)
    canal = np.clip(0.5 - (np.hypot(x, (y - SPINE_Y - 25) * 1.1) - 8.5) / edge, 0, 1) * np.ones_like(z)
    view += canal * (20 - view)
    cord = np.clip(0.5 - (np.hypot(x, y - SPINE_Y - 25) - 4.2) / edge, 0, 1)
    view += cord * canal * (38 - view)


def _paint_sternum(volume: np.ndarray, grid: Grid, chest: Chest, cortex_hu: float, marrow_hu: float) -> None:
    box = grid.box((-42, -140, -104), (42, -30, 92))
    if box is None:
        return
    z, y, x = grid.part(box).open_axes
    _, depth, middle = cage_at(chest, z)
    front = middle - depth - 6
    wide = np.interp(z, [-104, -84, -70, 20, 44, 60, 84, 92], [3, 8, 17, 15, 17, 27, 30, 26])
    flat = np.maximum(np.abs(x) - wide + 5, 0) ** 2 + np.maximum(np.abs(y - front - 0.006 * x * x) - 0.6, 0) ** 2
    bone = (np.sqrt(flat) - 5).astype(np.float32)
    edge = max(grid.spacing[1], 0.9)
    view = volume[box]
    view += np.clip(0.5 - bone / edge, 0, 1) * (cortex_hu - view)
    view += np.clip(0.5 - (bone + 1.3) / edge, 0, 1) * (marrow_hu - view)
