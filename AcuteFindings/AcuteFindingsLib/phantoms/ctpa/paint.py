"""Paints the CT angiogram phantom: tissue by tissue in HU, then airways, vessels and clots."""

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from AcuteFindingsLib.phantoms.ctpa import anatomy
from AcuteFindingsLib.phantoms.ctpa.body import BodyFields
from AcuteFindingsLib.phantoms.ctpa.emboli import Embolus, place_emboli
from AcuteFindingsLib.phantoms.ctpa.heart import Heart
from AcuteFindingsLib.phantoms.ctpa.raster import (
    Grid,
    Upsampler,
    blend,
    draw_tubes,
    polyline_tubes,
    smooth_noise,
    smooth_path,
    soft_inside,
)
from AcuteFindingsLib.phantoms.ctpa.vessels import CENTRAL, Branch, airways_beside, all_tubes

SLAB = 8
FAT_HU, MUSCLE_HU, WATER_HU, AIR_HU = -100.0, 55.0, 8.0, -1000.0


@dataclass(frozen=True)
class Lumen:
    """The arteries on the image's grid, ``(z, y, x)`` uint8.

    Attributes
    ----------
    cover
        Share of each voxel inside an artery, 0..255.
    clot
        The same for the clots.
    number
        Which clot, counted from 1; 0 where there is none.
    """

    cover: np.ndarray
    clot: np.ndarray
    number: np.ndarray

    @property
    def mask(self) -> np.ndarray:
        """Lumen with clot, 0 or 1."""
        return (self.cover >= 128).astype(np.uint8)

    @property
    def clot_number(self) -> np.ndarray:
        """`number` where more than half of the voxel is clot within the lumen."""
        return self.number * ((self.clot >= 128) & (self.cover >= 128))


def draw_lumen(grid: Grid, arteries: list[Branch], emboli: list[Embolus]) -> Lumen:
    """The arterial tree with its clots on the image's grid."""
    cover = np.zeros(grid.shape, np.uint8)
    draw_tubes(cover, grid, np.vstack([all_tubes(arteries), *(e.widened for e in emboli)]))
    return Lumen(cover, *place_emboli(grid, cover, emboli))


def paint_tissue(
    rng: np.random.Generator, grid: Grid, pools: anatomy.Enhancement, body: BodyFields, heart: Heart
) -> tuple[np.ndarray, np.ndarray, dict[str, np.ndarray]]:
    """Everything with a smooth surface: body wall, abdomen, lungs and heart.

    Returns
    -------
    tuple
        HU ``(z, y, x)`` float32, the lungs' mask and the heart's masks (``"heart"`` and the two ventricles), uint8.
    """
    volume = np.empty(grid.shape, np.float32)
    lungs = np.zeros(grid.shape, np.uint8)
    bring = Upsampler(body.grid, grid)
    edge = max(grid.spacing[1], 1.0)
    mottle = smooth_noise(rng, body.grid, 12.0)
    broad = smooth_noise(rng, body.grid, 60.0)
    lung_hu = _lung_density(rng, body)
    gas_level = rng.uniform(-30, 5)
    y_axis = grid.axes[1][None, :, None]
    for first in range(0, grid.shape[0], SLAB):
        part = slice(first, min(first + SLAB, grid.shape[0]))

        def field(values: np.ndarray, part: slice = part) -> np.ndarray:
            return bring(values, part)

        grain, slow = field(mottle), field(broad)
        skin = field(body.body)
        hu = np.full(skin.shape, FAT_HU, np.float32) + 5 * grain
        _mix(hu, soft_inside(field(body.gland), 5.0), 25 + 12 * grain)
        hu += soft_inside(np.abs(skin + 1.2) - 1.2, edge) * (20 - FAT_HU)
        lean = MUSCLE_HU + 5 * slow - 55 * np.clip(grain - 1.1, 0, 1.4)
        meat, cage = field(body.muscle), field(body.cage)
        # Planes of fat between the muscles' layers.
        plane = np.minimum(np.abs(cage - 10 - 3 * slow), np.abs(cage - 25 - 8 * slow))
        lean -= 130 * np.exp(-((plane / 1.3) ** 2)) * (meat < -3)
        _mix(hu, soft_inside(meat, 2 * edge), lean)
        _mix(hu, soft_inside(cage + 1.0, edge), FAT_HU + 6 * slow + 18 * np.clip(grain - 0.9, 0, 2))
        under = np.maximum(field(body.under), cage + 2)
        _mix(hu, soft_inside(np.abs(under + 2.0) - 2.0, edge), MUSCLE_HU)
        _mix(hu, soft_inside(field(body.liver), edge), pools.liver + 3 * slow)
        _mix(hu, soft_inside(field(body.spleen), edge), pools.spleen + 3 * slow)
        bowl = field(body.stomach)
        _mix(hu, soft_inside(bowl, edge), 55.0)
        content = np.where(y_axis < gas_level, AIR_HU, 18 + 14 * grain)
        _mix(hu, soft_inside(bowl + 4, edge), content)
        _mix(hu, soft_inside(field(body.fluid), edge), WATER_HU + 3 * slow)
        breathing = field(body.lungs)
        air = soft_inside(breathing, edge)
        density = field(lung_hu) + 18 * grain
        density += 110 * np.exp(-((field(body.fissures) / 1.1) ** 2))
        density += soft_inside(field(body.opaque), 6.0) * (20 - density)
        _mix(hu, air, density)
        lungs[part] = air > 0.5
        outside = 1 - soft_inside(skin, edge)
        _mix(hu, outside, AIR_HU)
        volume[part] = hu
    heart_masks = _paint_heart(rng, volume, grid, pools, heart)
    _paint_table(volume, grid, body)
    lungs[heart_masks["heart"] > 0] = 0
    return volume, lungs, heart_masks


def _lung_density(rng: np.random.Generator, body: BodyFields) -> np.ndarray:
    """HU of the parenchyma on the coarse grid: denser where it depends, with broad and patchy change."""
    z, y, _ = body.grid.open_axes
    base = rng.uniform(-885, -815)
    slope = rng.uniform(0.25, 0.8)
    patch = np.maximum(smooth_noise(rng, body.grid, 26.0) - rng.uniform(1.3, 2.6), 0)
    rim = np.exp(np.minimum(body.lungs, 0) / 4.0)
    low = np.clip((-70 - z) / 60, 0, 1)
    field = base + slope * (y - 10) + 12 * smooth_noise(rng, body.grid, 40.0) + 160 * patch
    return (field + 60 * rim * np.clip((y + 20) / 80, 0, 1) + 25 * low).astype(np.float32)


def _paint_heart(
    rng: np.random.Generator, volume: np.ndarray, grid: Grid, pools: anatomy.Enhancement, heart: Heart
) -> dict[str, np.ndarray]:
    masks = {name: np.zeros(grid.shape, np.uint8) for name in ("heart", "right_ventricle", "left_ventricle")}
    box = grid.box(heart.grid.low, heart.grid.high)
    if box is None:
        return masks
    bring = Upsampler(heart.grid, grid.part(box))
    edge = max(grid.spacing[1], 1.0)
    view = volume[box]
    everything = slice(None)
    sac = bring(heart.sac, everything)
    _mix(view, soft_inside(sac, edge), FAT_HU + 5)
    _mix(view, soft_inside(np.abs(sac + 0.6) - 0.7, edge), 10.0)
    muscle = bring(heart.muscle, everything)
    mixing = bring(smooth_noise(rng, heart.grid, 16.0), everything)
    _mix(view, soft_inside(muscle, edge), pools.myocardium + 4 * mixing)
    masks["heart"][box] = muscle < 0
    swirl = {"right_atrium": 0.16, "right_ventricle": 0.07, "left_atrium": 0.03, "left_ventricle": 0.04}
    values = {
        "right_atrium": pools.right_atrium,
        "right_ventricle": pools.right_ventricle,
        "left_atrium": pools.pulmonary_vein,
        "left_ventricle": pools.left_heart,
    }
    for name, distance in heart.pools.items():
        inside = bring(distance, everything)
        hu = values[name] + (values[name] - anatomy.TISSUE_BLOOD) * swirl[name] * mixing
        _mix(view, soft_inside(inside, edge), hu)
        if name in masks:
            masks[name][box] = inside < 0
    return masks


def _paint_table(volume: np.ndarray, grid: Grid, body: BodyFields) -> None:
    """The couch below the lowest point of the back: a curved shell round foam."""
    where = np.flatnonzero((body.body < 0).any(axis=(0, 2)))
    lowest = float(body.grid.axes[1][where[-1]]) + 2.0 if where.size else 150.0
    y, x = grid.axes[1][:, None], grid.axes[2][None, :]
    depth = y - lowest + 16 * (x / 180) ** 2
    shell = np.minimum(np.abs(depth - 3), np.abs(depth - 26)) - 1.2
    hu = np.where((depth > 3) & (depth < 26), -940.0, AIR_HU)
    hu = hu + soft_inside(shell, max(grid.spacing[1], 1.0)) * (-250 - hu)
    hu = np.where((depth > 0) & (np.abs(x) < 215), hu, AIR_HU).astype(np.float32)
    free = volume < -900
    free &= (depth > 0)[None]
    np.copyto(volume, np.broadcast_to(hu, volume.shape), where=free)


def paint_vessels(
    rng: np.random.Generator,
    volume: np.ndarray,
    grid: Grid,
    chest: anatomy.Chest,
    pools: anatomy.Enhancement,
    trees: tuple[list[Branch], list[Branch]],
    emboli: list[Embolus],
    lumen: Lumen,
) -> None:
    """Paint airways, veins, great vessels and the pulmonary arteries with their clots into `volume`, in place."""
    arteries, veins = trees
    cover = np.zeros(grid.shape, np.uint8)

    def paint(tubes: np.ndarray, hu: float | np.ndarray, grow: float = 0.0, fade: float = 1.0) -> None:
        cover[:] = 0
        draw_tubes(cover, grid, tubes, grow=grow)
        if fade != 1.0:
            np.multiply(cover, fade, out=cover, casting="unsafe")
        blend(volume, cover, hu)

    _paint_nodes(rng, volume, grid)
    bronchi = airways_beside(arteries)
    plugged = [b for b in bronchi if b.depth >= 1 and rng.random() < 0.015]
    trunk, small = anatomy.airway_trunk(), all_tubes(bronchi)
    paint(trunk, 30.0, 1.6)
    paint(small, -60.0, 0.9, 0.85)
    paint(np.vstack([trunk, small]), -985.0)
    if plugged:
        paint(all_tubes(plugged), 15.0)
    paint(smooth_path([(4, 18, 150), (6, 36, 40), (8, 46, -30), (14, 40, -110)], [6, 6, 6.5], 3), 45.0)
    paint(np.vstack([all_tubes(veins), _into_atrium()]), pools.pulmonary_vein)
    paint(anatomy.lower_cava(chest), pools.inferior_vena_cava)
    aorta = np.vstack([anatomy.aorta_tubes(chest), anatomy.neck_arteries()])
    paint(_above(aorta, -14), 50.0, 1.2)
    paint(aorta, pools.aorta)
    cava, brachial = anatomy.upper_cava()
    dense = pools.superior_vena_cava
    paint(_above(np.vstack([cava, brachial]), -3), 50.0, 1.0)
    paint(brachial, 0.4 * dense + 0.6 * anatomy.TISSUE_BLOOD)
    left_arm = brachial[len(brachial) // 2 :] if rng.random() < 0.5 else brachial[: len(brachial) // 2]
    paint(np.vstack([cava, left_arm]), dense)

    cover[:] = 0
    central = all_tubes([b for b in arteries if b.level == CENTRAL])
    draw_tubes(cover, grid, _above(central, -13), grow=1.0)
    blend(volume, cover, 45.0)
    index = np.flatnonzero(lumen.cover)
    gain = pools.pulmonary_artery - anatomy.TISSUE_BLOOD
    rough = grid.coarse(8.0)
    mixing = np.clip(_at(smooth_noise(rng, rough, 40.0), rough, grid, index), -2, 2)
    blood = pools.pulmonary_artery + gain * np.float32(rng.uniform(0.02, 0.06)) * mixing
    density = np.array([0.0, *(e.hu for e in emboli)], np.float32)[lumen.number.reshape(-1)[index]]
    blood += lumen.clot.reshape(-1)[index].astype(np.float32) / 255 * (density - blood)
    flat = volume.reshape(-1)
    flat[index] += lumen.cover.reshape(-1)[index].astype(np.float32) / 255 * (blood - flat[index])


def _above(tubes: np.ndarray, height: float) -> np.ndarray:
    """Tubes that lie higher than `height` mm: outside the heart a vessel has a wall of its own."""
    return tubes[np.minimum(tubes[:, 2], tubes[:, 5]) > height]


def _into_atrium() -> np.ndarray:
    """Stumps that join the four veins to the left atrium."""
    ends = [(-24, 18, -34), (-22, 26, -46), (30, 18, -32), (32, 26, -44)]
    return np.array([[*end, 6 + 0.2 * end[0], 22, -42, 7.5, 8.5] for end in ends], float)


def _paint_nodes(rng: np.random.Generator, volume: np.ndarray, grid: Grid) -> None:
    """Lymph nodes beside the hilar arteries and under the carina: soft tissue that imitates clot beside a vessel."""
    places = [(-46, 24, -14), (-40, 22, -30), (62, 30, -8), (46, 30, -20), (4, 34, 2), (-16, 10, 30), (28, 12, -4)]
    cover = np.zeros(grid.shape, np.uint8)
    for place in places:
        if rng.random() < 0.55:
            center = np.asarray(place) + rng.normal(0, 2.5, 3)
            reach = rng.normal(0, 1, 3) * rng.uniform(2, 5)
            radius = rng.uniform(3.0, 6.5)
            draw_tubes(cover, grid, polyline_tubes(np.stack([center - reach, center + reach]), np.full(2, radius)))
    blend(volume, cover, float(rng.uniform(45, 85)))


def _at(field: np.ndarray, coarse: Grid, grid: Grid, index: np.ndarray) -> np.ndarray:
    """A coarse field at some voxels of the fine grid, given by flat index."""
    where = np.unravel_index(index, grid.shape)
    places = [
        (axis[w] - start) / step
        for axis, w, start, step in zip(grid.axes, where, coarse.origin, coarse.spacing, strict=True)
    ]
    return ndimage.map_coordinates(field, places, order=1, mode="nearest").astype(np.float32)


def _mix(hu: np.ndarray, share: np.ndarray, value: float | np.ndarray) -> None:
    hu += share * (np.float32(value) - hu if isinstance(value, float) else value - hu)
