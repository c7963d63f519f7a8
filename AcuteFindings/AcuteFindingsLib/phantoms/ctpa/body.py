"""Body wall, lungs, mediastinum and upper abdomen of the CT angiogram phantom as coarse distance fields."""

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from AcuteFindingsLib.phantoms.ctpa.anatomy import SPINE_Y, Chest, oblique_fissure
from AcuteFindingsLib.phantoms.ctpa.heart import Heart
from AcuteFindingsLib.phantoms.ctpa.raster import (
    FAR,
    Grid,
    Upsampler,
    as_distance,
    ellipsoid,
    smooth_noise,
    smooth_path,
    union_tubes,
)

# Inner outline of the rib cage by height: half width, half depth and middle of the depth, mm.
CAGE_Z = np.array([-240, -170, -120, -60, 0, 40, 80, 104, 122, 134])
CAGE_WIDTH = np.array([112, 122, 132, 136, 130, 116, 90, 64, 36, 8])
CAGE_DEPTH = np.array([84, 89, 93, 94, 91, 82, 66, 48, 28, 8])
CAGE_MIDDLE = np.array([8, 7, 5, 5, 5, 8, 15, 24, 30, 32])
SHOULDER_WIDTH = np.array([0, 0, 0, 0, 120, 150, 178, 190, 195, 195])


@dataclass(frozen=True)
class BodyFields:
    """Distance fields on one coarse grid, mm; negative inside.

    Attributes
    ----------
    grid
        The coarse grid.
    body, muscle, cage, lungs, liver, spleen, stomach
        What their names say; `muscle` is everything inside the subcutaneous fat.
    under
        Height below the diaphragm's upper surface, negative under it.
    gland
        Breast tissue.
    fissures
        Distance to the nearest fissure, unsigned.
    fluid
        Pleural effusion, often none.
    opaque
        Atelectasis, often none.
    """

    grid: Grid
    body: np.ndarray
    muscle: np.ndarray
    cage: np.ndarray
    lungs: np.ndarray
    under: np.ndarray
    liver: np.ndarray
    spleen: np.ndarray
    stomach: np.ndarray
    gland: np.ndarray
    fissures: np.ndarray
    fluid: np.ndarray
    opaque: np.ndarray


def cage_at(chest: Chest, z: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Half width, half depth and middle y of the rib cage's inside at heights `z`, mm."""
    width = np.interp(z, CAGE_Z, CAGE_WIDTH) * chest.cage_width
    depth = np.interp(z, CAGE_Z, CAGE_DEPTH) * (1 + 0.5 * (chest.cage_depth - 1))
    return width, depth, np.interp(z, CAGE_Z, CAGE_MIDDLE) + 2


def make_body(
    rng: np.random.Generator, chest: Chest, image: Grid, contents: list[tuple[np.ndarray, float]], heart: Heart
) -> BodyFields:
    """All fields of one chest.

    Parameters
    ----------
    rng
        Source of the surfaces' wobble.
    chest
        The drawn chest.
    image
        The image's grid; the fields come on a coarser one.
    contents
        Tubes ``(n, 8)`` that the mediastinum wraps, each with the fat around them in mm.
    heart
        The heart, which the lungs enclose.
    """
    grid = image.coarse(4.0)
    z, y, x = grid.open_axes
    ripple = smooth_noise(rng, grid, 45.0)
    cage = _cage(chest, grid) + 1.2 * ripple
    body, muscle, gland = _wall(rng, chest, grid, cage)
    mediastinum = _mediastinum(rng, grid, contents)
    box = grid.box(heart.grid.low, heart.grid.high)
    if box is not None:
        np.minimum(
            mediastinum[box], Upsampler(heart.grid, grid.part(box))(heart.sac, slice(None)), out=mediastinum[box]
        )
    under = _diaphragm(rng, chest, grid)
    lungs = np.maximum(np.maximum(cage + 2.5, -mediastinum), -under * np.float32(0.72))
    lungs, fluid, opaque = _complications(rng, grid, cage, under, lungs)
    liver, spleen, stomach = _abdomen(rng, grid, cage, under)
    oblique = (z - oblique_fissure(y) + 4 * ripple) * np.float32(0.65)
    minor = np.where((oblique > 0) & (x < 0), z + 16 + 3 * ripple, FAR)
    fissures = np.minimum(np.abs(oblique), np.abs(minor)).astype(np.float32)
    return BodyFields(grid, body, muscle, cage, lungs, under, liver, spleen, stomach, gland, fissures, fluid, opaque)


def _cage(chest: Chest, grid: Grid) -> np.ndarray:
    z, y, x = grid.open_axes
    width, depth, middle = (v.astype(np.float32) for v in cage_at(chest, z))
    front = np.where(y < middle, 2.1, 2.6).astype(np.float32)
    ratio_x, ratio_y = np.abs(x) / width, np.abs(y - middle) / depth
    implicit = (ratio_x**2.3 + ratio_y**front) ** np.float32(1 / 2.3) - 1
    return as_distance(implicit, grid.spacing)


def _wall(
    rng: np.random.Generator, chest: Chest, grid: Grid, cage: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Skin, muscle layer and breast tissue."""
    z, y, x = grid.open_axes
    width, depth, middle = cage_at(chest, z)
    shoulder = np.interp(z, CAGE_Z, SHOULDER_WIDTH)
    deep = np.maximum(depth, 66)
    wide = np.maximum(width + 16, shoulder).astype(np.float32)
    high = (deep + 24).astype(np.float32)
    middle = (middle + 3 - 4 * (z > 80)).astype(np.float32)
    core = (np.abs(x) / wide) ** np.float32(2.5) + (np.abs(y - middle) / high) ** np.where(y > middle, 3.0, 2.3).astype(
        np.float32
    )
    core = as_distance(core ** np.float32(0.4) - 1, grid.spacing)
    waist = chest.fat * (1 + 0.12 * smooth_noise(rng, grid, 70.0))
    body = core - waist
    gland = np.full(grid.shape, FAR, np.float32)
    if chest.female:
        size = rng.uniform(0.75, 1.15) * (0.7 + chest.fat / 40)
        for side in (-1, 1):
            place = (side * 82, -84 - 0.75 * chest.fat, -48)
            breast = ellipsoid(grid, place, (68 * size, 40 * size, 54 * size))
            body = -_soft_max(-body, -breast, 26.0)
            inner = ellipsoid(grid, (side * 84, -100 - 0.85 * chest.fat, -50), (36 * size, 17 * size, 30 * size))
            gland = np.minimum(gland, inner + 6 * smooth_noise(rng, grid, 14.0) + 5)
    # Muscle over the ribs: pectoral in front above the breast, latissimus and scapular muscles behind and above.
    layer = 9 + 12 * _ramp(z, -25, 15) * _ramp(-y, 10, 50) * _ramp(np.abs(x), 8, 30)
    layer = layer + 12 * _ramp(z, -50, 30) * _ramp(y, -20, 40) * _ramp(np.abs(x), 70, 110)
    muscle = cage - layer.astype(np.float32)
    for side in (-1, 1):
        for out, radius in ((16, 15), (32, 19), (50, 12)):
            back = [(side * out, 107, -240), (side * out, 106, 0), (side * out, 103, 150)]
            union_tubes(muscle, grid, smooth_path(back, [radius, radius - 2, radius - 4], 4))
        muscle = np.minimum(muscle, ellipsoid(grid, (side * 132, 52, 92), (44, 46, 74)))
        muscle = np.minimum(muscle, ellipsoid(grid, (side * 120, -25, 104), (62, 30, 34)))
    union_tubes(muscle, grid, smooth_path([(0, 40, 95), (0, 40, 170)], [40, 52], 2))
    muscle = muscle + 1.5 * smooth_noise(rng, grid, 22.0)
    return body, np.maximum(muscle, body + 3.5), gland


def _mediastinum(rng: np.random.Generator, grid: Grid, contents: list[tuple[np.ndarray, float]]) -> np.ndarray:
    """What keeps the lungs apart: fat wrapped round the vessels and airways, the spine, the sternum's back."""
    z, y, x = grid.open_axes
    field = np.full(grid.shape, FAR, np.float32)
    for tubes, fat in contents:
        union_tubes(field, grid, tubes, grow=fat)
    esophagus = smooth_path([(4, 18, 150), (6, 34, 40), (8, 44, -30), (14, 40, -110), (20, 26, -130)], [9], 3)
    spine = [[(0, SPINE_Y + dy, h) for h in (-240, -100, 0, 90, 170)] for dy in (2, 24, 48)]
    union_tubes(field, grid, esophagus, grow=2.0)
    for line, radius in zip(spine, (21, 24, 36), strict=True):
        union_tubes(field, grid, smooth_path(line, [radius], 2))
    # Above the arch the vessels lie in one column of fat from the sternum to the spine.
    column = np.hypot(x / 31, (y - 12) / 48) - 1
    column = np.where(z > 20, 0.0, (20 - z) * 0.03) + column
    field = np.minimum(field, (column * 31).astype(np.float32))
    # The lungs almost touch behind the sternum; fat lies over the heart and, as a triangle, behind the manubrium.
    front = np.abs(x + 2) - (4 + 14 * _ramp(-y, 66, 96) + 9 * _ramp(z, 25, 60))
    front = np.maximum(front, y + 8).astype(np.float32)
    field = np.minimum(field, np.maximum(front, -70 - z))
    field = np.minimum(field, ellipsoid(grid, (14, -34, -104), (66, 50, 22)))
    # Fat bridges the gaps between neighboring vessels: the outline closed over 26 mm.
    bridged = 13.0 - ndimage.distance_transform_edt(field < 13.0, sampling=grid.spacing).astype(np.float32)
    field = np.minimum(field, ndimage.gaussian_filter(bridged, 3.0 / np.asarray(grid.spacing)))
    return field + 1.3 * smooth_noise(rng, grid, 25.0)


def _diaphragm(rng: np.random.Generator, chest: Chest, grid: Grid) -> np.ndarray:
    """Height over the domes, mm (negative below)."""
    z, y, x = grid.open_axes

    def dome(top: float, middle: float, depth_middle: float) -> np.ndarray:
        # Flat on top, steep at the sides and behind, shallow in front and toward the heart.
        u, v = (x - middle) / 76, (y - depth_middle) / 104
        u = np.where(np.sign(middle) * (x - middle) < 0, 0.55 * u, u)
        square = u * u + np.where(v < 0, 0.62 * v, v) ** 2
        return top - 34 * square - 28 * square * square

    right = dome(chest.dome_right, -62, -22)
    left = dome(chest.dome_left, 64, -18)
    surface = _soft_max(right, left, 8.0)
    wobble = smooth_noise(rng, Grid((5, *grid.shape[1:]), (4.0, *grid.spacing[1:]), (0.0, 0.0, 0.0)), 50.0)[:1]
    return (z - surface - 2.5 * wobble).astype(np.float32)


def _abdomen(
    rng: np.random.Generator, grid: Grid, cage: np.ndarray, under: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    z, y, x = grid.open_axes
    below = np.maximum(cage + 5, under + 4)
    edge = 22 - 44 * np.tanh((y + 8) / 34) + 0.25 * (z + 140)
    spine = np.hypot(x - 4, (y - SPINE_Y + 6) * 0.8) - 40
    liver = np.maximum(np.maximum(below, (x - edge) * np.float32(0.7)), -spine) + smooth_noise(rng, grid, 40.0)
    spleen = ellipsoid(grid, (92, 42, -150), (38, 46, 42))
    spleen = np.maximum(spleen, np.maximum(cage + 6, under + 5))
    shift = rng.uniform(-12, 12, 2)
    stomach = ellipsoid(grid, (58 + shift[0], -8, -138 + shift[1]), (40, 46, 36)) + 3 * smooth_noise(rng, grid, 30.0)
    stomach = np.maximum(np.maximum(stomach, below + 1), 5 - spleen)
    return liver.astype(np.float32), spleen, np.maximum(stomach, 4 - liver).astype(np.float32)


def _complications(
    rng: np.random.Generator, grid: Grid, cage: np.ndarray, under: np.ndarray, lungs: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Effusion and atelectasis, each in some studies: the lungs without them, the fluid and the airless parts."""
    z, y, x = grid.open_axes
    fluid = np.full(grid.shape, FAR, np.float32)
    opaque = np.full(grid.shape, FAR, np.float32)
    ripple = smooth_noise(rng, grid, 18.0)
    for side in (-1, 1):
        here = np.where(side * x > 0, 0.0, 2 * FAR).astype(np.float32)
        if rng.random() < 0.22:
            # Fluid lies behind and below, deeper toward the diaphragm, with a curved upper edge.
            size = rng.uniform(6, 26)
            depth = size * _ramp(-z, -20, 110) * _ramp(y, 5, 70) + 0.6 * size * _ramp(-under, -30, 0) * _ramp(y, 0, 60)
            layer = np.maximum(np.maximum(-(cage + 2.5) - depth, lungs), 1 - depth) + here
            fluid = np.minimum(fluid, layer.astype(np.float32))
            nearby = np.maximum(layer - 5 - 5 * ripple, 7 - depth) + here
            opaque = np.minimum(opaque, nearby)
        elif rng.random() < 0.5:
            dependent = np.maximum(-cage - 5 - 4 * ripple, 62 - y) + here
            opaque = np.minimum(opaque, np.maximum(dependent, 0.3 * (z + 45)))
        if rng.random() < 0.35:
            place = (side * rng.uniform(50, 95), rng.uniform(-30, 50), rng.uniform(-85, -60))
            tilt = rng.normal((0.0, 0.0, 1.0), 0.25)
            tilt /= np.linalg.norm(tilt)
            along = np.cross(tilt, (0.0, 1.0, 0.0))
            along /= np.linalg.norm(along)
            frame = np.stack([along, np.cross(tilt, along), tilt])
            plate = ellipsoid(grid, place, (rng.uniform(15, 32), rng.uniform(12, 26), 4.0), frame)
            opaque = np.minimum(opaque, plate)
    lungs = np.maximum(lungs, 1.0 - fluid)
    return lungs.astype(np.float32), fluid.astype(np.float32), opaque.astype(np.float32)


def _ramp(value: np.ndarray, start: float, stop: float) -> np.ndarray:
    """0 below `start`, 1 above `stop`, smooth between; float32."""
    t = np.clip((value - start) / (stop - start), 0, 1).astype(np.float32)
    return t * t * (3 - 2 * t)


def _soft_max(a: np.ndarray, b: np.ndarray, width: float) -> np.ndarray:
    """The larger of two fields, rounded over `width` mm where they meet."""
    h = np.clip(0.5 + 0.5 * (a - b) / width, 0, 1)
    return (b + (a - b) * h + width * h * (1 - h)).astype(np.float32)
