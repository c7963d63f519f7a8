"""The head itself, drawn from a seed: skull, folds, ventricles, cisterns and skull base as signed distances."""

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from AcuteFindingsLib.phantoms.head_ct.space import FAR, Shapes, Space

Levels = dict[str, np.ndarray]

# Sagittal outline of the falx's free edge: y and z in mm (a little above the corpus callosum, down to the straight
# sinus behind and the crista galli in front).
_FALX_Y = (-85.0, -62.0, -45.0, -30.0, -12.0, 8.0, 24.0, 36.0, 60.0, 85.0)
_FALX_Z = (-16.0, -6.0, 6.0, 20.0, 31.0, 35.0, 30.0, 14.0, 0.0, -10.0)


@dataclass(frozen=True)
class HeadDraw:
    """What is drawn for one head; lengths in mm, attenuation in HU."""

    half_width: float
    half_length: float
    half_height: float
    skull_mm: float
    scalp_mm: float
    age: float
    atrophy: float
    ventricle_scale: float
    sulcus_mm: float
    fold_mm: float
    gray_hu: float
    white_hu: float
    csf_hu: float
    dura_hu: float
    sinus_hu: float
    cupping_hu: float
    petrous_band_hu: float
    pineal_calcified: bool
    choroid_calcified: bool
    pallidum_calcified: bool
    falx_calcified: bool
    old_infarct: bool
    white_matter_disease: float


def draw_head(rng: np.random.Generator) -> HeadDraw:
    """Draw a head: age first, what depends on age after it."""
    age = float(rng.uniform(20, 90))
    atrophy = float(np.clip((age - 35) / 50 + rng.normal(0, 0.22), 0.0, 1.0))
    size = rng.normal(1.0, 0.025)
    return HeadDraw(
        half_width=float(np.clip(rng.normal(68, 2.2) * size, 62, 74)),
        half_length=float(np.clip(rng.normal(83.5, 2.8) * size, 76, 91)),
        half_height=float(np.clip(rng.normal(74, 2.5) * size, 68, 81)),
        skull_mm=float(np.clip(rng.normal(6.3, 0.9), 4.6, 9)),
        scalp_mm=float(np.clip(rng.normal(5.5, 1.3), 3.5, 9)),
        age=age,
        atrophy=atrophy,
        ventricle_scale=float(np.clip(0.82 + 0.58 * atrophy + rng.normal(0, 0.1), 0.6, 1.6)),
        sulcus_mm=float(np.clip(0.42 + 1.0 * atrophy + rng.normal(0, 0.12), 0.3, 1.7)),
        fold_mm=float(rng.uniform(10.5, 13)),
        gray_hu=float(rng.uniform(37, 40)),
        white_hu=float(rng.uniform(28, 31.5)),
        csf_hu=float(rng.uniform(3, 10)),
        dura_hu=float(rng.uniform(44, 56)),
        sinus_hu=float(rng.uniform(48, 58) + (12 if rng.random() < 0.15 else 0)),
        cupping_hu=float(rng.uniform(2, 8)),
        petrous_band_hu=float(rng.uniform(0, 10)),
        pineal_calcified=bool(rng.random() < 0.25 + 0.5 * (age > 30)),
        choroid_calcified=bool(rng.random() < 0.2 + 0.5 * (age > 45)),
        pallidum_calcified=bool(rng.random() < 0.04 + 0.14 * (age > 60)),
        falx_calcified=bool(rng.random() < 0.1 + 0.15 * (age > 50)),
        old_infarct=bool(rng.random() < 0.02 + 0.16 * (age > 55)),
        white_matter_disease=float(np.clip(atrophy - 0.3, 0, 1) * rng.uniform(0, 1)),
    )


def skull_levels(space: Space, head: HeadDraw, rng: np.random.Generator) -> Levels:
    """Intracranial boundary, skin, bone thickness and what the edges need for partial volume along z.

    Keys: ``inner`` (negative inside the skull), ``vault`` (the same without the skull base), ``outer`` (the same, open
    downwards; scalp and face hang on it), ``bone_mm``, ``thick`` (0..1, how dense the bone), ``edge_mm`` (how far the
    inner edge moves within one sub-slice), ``radius`` (1 at the inner table).
    """
    x, y, z = space.x, space.y, space.z
    wobble = [space.noise(rng, 52.0) for _ in range(3)]
    xw, yw, zw = x + 0.9 * wobble[0], y + 0.9 * wobble[1], z + 0.9 * wobble[2]
    inner_vault, radius = _vault(xw, yw, zw, head, depth_below=head.half_height * 1.0)
    outer, _ = _vault(xw, yw, zw, head, depth_below=300.0)
    floor, thick_base = _skull_floor(xw, yw)
    floor += 1.5 * wobble[2][:1] + 2.2 * space.noise(rng, 13.0)[:1]
    below = floor - z
    slope_y, slope_x = np.gradient(floor.mean(axis=0), space.pitch[1], space.pitch[2])
    # Height above a slope overstates the distance to it, but only close by.
    steep = np.sqrt(1.0 + np.minimum(slope_x**2 + slope_y**2, 9.0))
    below = np.maximum(below, -10.0) / steep + np.minimum(below + 10.0, 0.0)
    inner = _smooth_max(inner_vault, below, 3.0)
    canal = np.hypot(x, y - 33) - 14.5
    inner = np.where(z < -46, _smooth_min(inner, np.maximum(canal, inner_vault - 12), 4.0), inner)
    # Thicker in front and behind than at the temples; no such direction at the vertex.
    quarter = np.cos(np.arctan2(xw, yw) * 2) * np.clip(np.hypot(xw, yw) / 40, 0, 1)
    bone = head.skull_mm * (1.0 + 0.13 * wobble[1] + 0.18 * quarter)
    base_weight = np.clip((-8.0 - z) / 10.0, 0, 1) * np.clip((floor + 26 - z) / 10.0, 0, 1)
    bone += base_weight * (thick_base - bone)
    inner = inner.astype(np.float32)
    edge = np.abs(np.gradient(inner, space.pitch[0], axis=0))
    return {
        "inner": inner,
        "vault": inner_vault,
        "outer": outer.astype(np.float32),
        "bone_mm": bone.astype(np.float32),
        "edge_mm": (np.minimum(edge, 1.0) * space.pitch[0]).astype(np.float32),
        "radius": radius,
        "thick": (0.5 + 0.5 * np.tanh(space.noise(rng, 9.0))).astype(np.float32),
    }


def _vault(
    x: np.ndarray, y: np.ndarray, z: np.ndarray, head: HeadDraw, *, depth_below: float
) -> tuple[np.ndarray, np.ndarray]:
    """Egg-shaped superellipsoid, wider behind: distance in mm and its radius (1 on the surface)."""
    width = head.half_width * (1.0 + 0.06 * np.tanh((y - 5) / 42.0))
    rise = z - 4.0
    height = np.where(rise > 0, head.half_height, depth_below)
    u, v, w = np.abs(x) / width, np.abs(y) / head.half_length, np.abs(rise) / height
    p = 2.25
    u1, v1, w1 = u ** (p - 1), v ** (p - 1), w ** (p - 1)
    radius = np.maximum(u1 * u + v1 * v + w1 * w, 1e-4) ** (1 / p)
    slope = np.sqrt((u1 / width) ** 2 + (v1 / head.half_length) ** 2 + (w1 / height) ** 2)
    slope *= radius ** (1 - p)
    distance = (radius - 1.0) / np.maximum(slope, 1.0 / (1.35 * head.half_length))
    return distance.astype(np.float32), radius.astype(np.float32)


def _skull_floor(x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Height of the cranial floor over ``(x, y)`` and how thick the bone under it is, mm."""
    side = np.abs(x)
    wing = -20.0 - 0.16 * (side - 12.0) + 0.004 * (side - 34.0) ** 2
    orbital_roof = 13.0 * np.exp(-(((side - 31) / 14) ** 2) - ((y + 50) / 22) ** 2)
    anterior = -19.0 + orbital_roof - 6.0 * np.exp(-((side / 6) ** 2))
    middle = -37.0 + 0.012 * (side - 36) ** 2
    posterior = np.full_like(x, -62.0)
    # The petrous ridge runs outwards and backwards; the roof falls to both sides of it.
    ridge_y = 4.0 + 0.52 * (side - 8.0)
    from_ridge = (y - ridge_y) * 0.887
    ridge = np.where(side < 70, -13.0 - 3.0 * np.exp(-(((side - 14) / 10) ** 2)), -40) - 1.15 * np.abs(from_ridge)
    floor = _blend(middle, posterior, from_ridge / 3.0)
    floor = np.maximum(floor, ridge)
    clivus = -9.0 - 2.2 * np.maximum(y - 1.0, 0.0) - 7.0 * np.exp(-(((y + 6) / 5) ** 2))
    central = np.clip((11.5 - side) / 5.0, 0, 1) * (y < 24)
    floor = np.maximum(floor, floor + central * (clivus - floor))
    floor = _blend(floor, anterior, (wing - y) / 2.0)
    thick = np.full_like(x, 3.5)
    thick += 9.0 * np.exp(-((from_ridge / 9) ** 2)) * np.clip((side - 8) / 10, 0, 1)
    thick += 10.0 * np.clip((16.0 - side) / 4.0, 0, 1) * np.clip((y + 24) / 5, 0, 1) * np.clip((22 - y) / 5, 0, 1)
    return floor, thick


def fold_levels(
    space: Space, head: HeadDraw, brain: tuple[np.ndarray, ...], inner: np.ndarray, rng: np.random.Generator
) -> Levels:
    """Cortical folds: ``fold`` is the signed distance to the nearest sulcus, ``sulcus_mm`` its half-width at the top.

    The zero surfaces of a smooth random field wind as gyri do. The field is read at points pushed out toward the
    surface, so that the sulci stand upright on it as they do in a brain.
    """
    x, y, z = brain
    r = np.sqrt(x**2 + (0.85 * y) ** 2 + z**2) + 1.0
    push = (66.0 / r) ** 0.72
    count = 40
    white = rng.standard_normal((count, count, count), dtype=np.float32)
    values = ndimage.spline_filter(white, order=3, mode="grid-wrap")
    inside = inner < 4.0
    warp = 3.0 * space.noise(rng, 17.0)[inside]
    places = np.stack([(c[inside] * push[inside] + warp) / (head.fold_mm * 0.95) + count / 2 for c in (z, y, x)])
    field = np.zeros(space.shape, dtype=np.float32)
    field[inside] = ndimage.map_coordinates(values, places, order=3, mode="grid-wrap", prefilter=False)
    steep = np.sqrt(sum(g**2 for g in np.gradient(field, *space.pitch)))
    typical = float(steep[inside].mean()) if inside.any() else 1.0
    fold = field / np.maximum(steep, 0.45 * typical)
    width = head.sulcus_mm * np.clip(1.0 + 0.4 * space.noise(rng, 24.0), 0.25, 1.9)
    reach = np.clip(15.5 + 2.5 * space.noise(rng, 22.0), 9, 22)
    return {
        "fold": np.clip(fold, -12, 12).astype(np.float32),
        "fold_depth": reach.astype(np.float32),
        "sulcus_mm": width.astype(np.float32),
    }


def brain_levels(space: Space, head: HeadDraw, brain: tuple[np.ndarray, ...], rng: np.random.Generator) -> Levels:
    """Ventricles, cisterns, fissures, deep gray nuclei, falx, tentorium, sinuses, calcifications."""
    x, y, z = brain
    side = np.abs(x)
    v = head.ventricle_scale
    shapes = Shapes(side, y, z)
    lean, wind = space.noise(rng, 14.0), space.noise(rng, 11.0)
    vent = shapes.union(
        ((5, -8, 12), (12.5, -31, 9), 2.3 * v, 3.1 * v, (1, 1, 0.75)),
        ((5, -8, 12), (7.5, -14, 20), 2.4 * v, 3.2 * v),
        ((7.5, -14, 20), (11, 12, 24), 3.3 * v, 3.9 * v, (1, 1, 0.8)),
        ((11, 12, 24), (17, 32, 18), 3.9 * v, 4.4 * v, (1, 1, 0.8)),
        ((17, 32, 18), (25, 38, 7), 4.4 * v, 5.4 * v),
        ((25, 38, 7), (21, 60, 5), 4.6 * v, 1.6 * v),
        ((26, 37, 4), (34, 16, -13), 3.2 * v, 1.6 * v),
        ((34, 16, -13), (31, -6, -18), 1.6 * v, 1.2 * v),
        blend=2.0,
    )
    fourth = Shapes(side, y, z).union(
        ((0, 40, -29), (7.0 * v**0.3, 43, -30), 4.6 * v**0.3, 2.0, (1, 1, 0.5)), ((0, 38, -22), (0, 30, -8), 1.8, 0.8)
    )
    wide = 0.45 + 0.75 * head.atrophy
    cisterns = shapes.union(
        ((0, -4, -11), (0, -4, -11), 5.0 + wide, 5.0 + wide),
        ((0, -4, -11), (0, -20, -9), 3.0, 1.0 + wide),
        ((0, -4, -11), (15, -12, -9), 3.2, 1.4 + wide),
        ((15, -12, -9), (34, -18, -4), 1.4 + wide, 1.3 + wide),
        ((0, -4, -11), (11, 6, -9), 3.0, 1.6 + wide),
        ((0, 1, -10), (0, 6, -8), 3.2, 1.5 + wide),
        ((11, 6, -9), (17.5, 15, -5), 1.3 + wide, 1.1 + wide),
        ((17.5, 15, -5), (13, 25, 0), 1.1 + wide, 1.5 + wide),
        ((13, 25, 0), (0, 28, 2), 1.4 + wide, 2.6 + wide),
        ((0, 28, 2), (0, 35, 8), 2.2 + wide, 1.6 + wide),
        ((0, 7, -18), (0, 14, -42), 2.0 + wide, 2.2 + wide, (0.6, 1, 1)),
        ((6, 9, -25), (25, 19, -27), 1.2 + wide, 2.2 + wide),
        ((0, 20, -44), (0, 24, -70), 2.5 + wide, 3.0, (0.5, 1, 1)),
        ((12, 24, -52), (12, 40, -58), 2.5 + wide, 3.0),
        ((0, 58, -50), (0, 46, -60), 3.5 + 2 * wide, 6.0),
        ((0, 76, -26), (0, 66, -44), 0.6 + wide, 2.2 + wide),
        blend=1.5,
    )
    insula = 0.94 * (side - 39.5 + 0.007 * (y - 1) ** 2 + 0.010 * (z - 6) ** 2 + 2.0 * wind)
    insula_reach = np.maximum(np.abs(y - 1) - 21, np.abs(z - 6) - 15)
    opercle = 0.8 * (y + 13 - 0.75 * z - 0.25 * (side - 40) + 5.0 * lean)
    opercle_reach = np.maximum(np.maximum(38 - side, -11 - z), z - 24)
    falx_edge = np.interp(y, _FALX_Y, _FALX_Z).astype(np.float32)
    tent = _tentorium(side, y)
    ridge_y = 4.0 + 0.52 * (side - 8.0)
    below = np.maximum(z - tent, ridge_y - 2 - y)
    incisura = 17.0 - np.hypot(side, (y - 12) * 0.95)
    core = shapes.union(((0, 10, -12), (0, 14, 4), 15, 15), ((0, 18, -25), (0, 22, -60), 16, 13))
    deep = shapes.union(((10, -14, -4), (10, 14, 8), 20, 22), ((10, -38, -12), (10, -20, -8), 9, 12), blend=6.0)
    nuclei = shapes.union(
        ((14.5, -20, 9), (15, -6, 18), 5.0, 3.0),
        ((21.5, -12, 5), (26.5, 9, 4), 4.8, 5.6, (1, 1, 0.72)),
        ((8.5, 4, 6), (14, 16, 6), 5.2, 7.2, (1, 1, 0.85)),
    )
    calc = _calcifications(x, y, z, head, rng)
    top = np.interp(y, (-70, -20, 30, 85), (2.0, 3.0, 4.0, 5.0)).astype(np.float32)
    levels = {
        "vent": vent,
        "fourth": fourth,
        "third": np.hypot((y - 4) / 13, (z + 0.5) / 9.5).astype(np.float32) * 10 - 10,
        "cistern": cisterns,
        "insula": insula,
        "insula_reach": insula_reach,
        "opercle": opercle,
        "opercle_reach": opercle_reach,
        "falx": falx_edge - z,
        "tent": (z - tent) * 0.85,
        "tent_reach": np.maximum(incisura, ridge_y + 1 - y),
        "below": below,
        "core": core,
        "deep": np.minimum(core, deep),
        "nuclei": nuclei,
        "folia": np.sqrt(x**2 + (y - 34) ** 2 + (1.6 * (z + 22)) ** 2) * np.float32(2 * np.pi / 5.0) + 1.6 * wind,
        "calc": calc,
        "sinus": top,
        "infarct": _infarct(x, y, z, head, rng) + 3.0 * lean,
    }
    return {name: np.asarray(np.broadcast_to(level, space.shape), dtype=np.float32) for name, level in levels.items()}


def _tentorium(side: np.ndarray, y: np.ndarray) -> np.ndarray:
    apex = np.interp(y, (25.0, 80.0), (9.0, -10.0))
    return -15.0 + (apex + 15.0) * np.exp(-((side / 25.0) ** 2))


def _calcifications(
    x: np.ndarray, y: np.ndarray, z: np.ndarray, head: HeadDraw, rng: np.random.Generator
) -> np.ndarray:
    """Harmless bright spots, the commonest false alarm: pineal gland, choroid plexus, pallidum, falx plaques."""
    spots: list[tuple] = []

    def spot(px: float, py: float, pz: float, r: float) -> None:
        jitter = rng.normal(0, 1.0, 3)
        place = (px + jitter[0], py + jitter[1], pz + jitter[2])
        spots.append((place, place, r, r))

    if head.pineal_calcified:
        spot(0, 24, 4, rng.uniform(1.4, 2.8))
    for sign in (-1, 1):
        if head.choroid_calcified:
            for _ in range(int(rng.integers(1, 4))):
                spot(sign * 23, 38, 9, rng.uniform(1.0, 2.4))
        if head.pallidum_calcified:
            spot(sign * 19.5, 0, 3, rng.uniform(1.5, 2.6))
    if head.falx_calcified:
        for _ in range(int(rng.integers(1, 3))):
            py, pz = rng.uniform(-50, 10), rng.uniform(42, 60)
            spots.append(((0.3, py, pz), (0.3, py + rng.uniform(4, 14), pz), 1.3, 1.3))
    return Shapes(x, y, z).union(*spots)


def _infarct(x: np.ndarray, y: np.ndarray, z: np.ndarray, head: HeadDraw, rng: np.random.Generator) -> np.ndarray:
    """An old infarct in the middle or posterior cerebral territory; ``FAR`` where there is none."""
    if not head.old_infarct:
        return np.full(x.shape, FAR, dtype=np.float32)
    sign = rng.choice((-1, 1))
    center = (55, 10, 18) if rng.random() < 0.6 else (25, 66, 8)
    place = (sign * center[0], center[1] + rng.normal(0, 8), center[2] + rng.normal(0, 6))
    end = (place[0] * 0.75, place[1] + rng.normal(0, 8), place[2])
    return Shapes(x, y, z).union((place, end, rng.uniform(13, 21), rng.uniform(8, 14)))


def _smooth_max(a: np.ndarray, b: np.ndarray, blend: float) -> np.ndarray:
    overlap = np.maximum(blend - np.abs(a - b), 0.0) / blend
    return np.maximum(a, b) + overlap**2 * np.float32(blend / 4)


def _smooth_min(a: np.ndarray, b: np.ndarray, blend: float) -> np.ndarray:
    return -_smooth_max(-a, -b, blend)


def _blend(a: np.ndarray, b: np.ndarray, where: np.ndarray) -> np.ndarray:
    """`a` where `where` is well below 0, `b` where well above."""
    return a + (b - a) * np.clip(0.5 + 0.5 * where, 0, 1)
