"""The five kinds of intracranial bleeding: what is drawn, how it pushes the brain, where it lies."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from AcuteFindingsLib.phantoms.head_ct.anatomy import HeadDraw, Levels
from AcuteFindingsLib.phantoms.head_ct.space import FAR, Shapes, Space

BLEED_TYPES = ("epidural", "subdural", "intraparenchymal", "subarachnoid", "intraventricular")
# How often each kind is drawn where the caller does not say.
_FREQUENCY = (0.16, 0.24, 0.24, 0.22, 0.14)
# Place (right side, mirrored at random), largest volume in mL and how much it may wander, mm.
_PARENCHYMAL_SITES = {
    "putamen": ((27.0, 0.0, 6.0), 60.0, 4.0, 0.34),
    "thalamus": ((14.0, 12.0, 7.0), 18.0, 2.0, 0.16),
    "frontal lobe": ((30.0, -45.0, 26.0), 55.0, 9.0, 0.14),
    "parietal lobe": ((34.0, 34.0, 36.0), 55.0, 9.0, 0.14),
    "temporal lobe": ((48.0, 4.0, -10.0), 40.0, 6.0, 0.10),
    "cerebellum": ((24.0, 55.0, -30.0), 20.0, 5.0, 0.08),
    "pons": ((2.0, 21.0, -26.0), 5.0, 1.5, 0.04),
}
# y in mm behind which the ventricles hold blood: on the bleed's side, on the other.
_VENTRICLE_LEVELS = {
    "layering": ((24.0, 40.0), (26.0, 44.0)),
    "cast": ((-30.0, 10.0), (34.0, 52.0)),
    "both cast": ((-60.0, -20.0), (-60.0, 0.0)),
}
_VENTRICLE_SWELL_MM = 1.3


@dataclass(frozen=True)
class Bleed:
    """One bleed: lengths in mm, `hu` its attenuation, `side` -1 the patient's right, +1 the left, 0 both.

    `size` is the extent ``(x, y, z)`` of a parenchymal or subarachnoid bleed; ``(along, up, thickness)`` of an
    extra-axial one; ``(level on the other side, 0, widening)`` of a ventricular one, whose own level is `center`'s y.
    """

    kind: str
    side: int
    place: str
    center: tuple[float, float, float]
    size: tuple[float, float, float]
    hu: float
    push_mm: float
    edema_mm: float = 0.0


def draw_types(rng: np.random.Generator) -> tuple[str, ...]:
    """One kind of bleed, or two in a third of studies."""
    count = 2 if rng.random() < 0.33 else 1
    return tuple(str(kind) for kind in rng.choice(BLEED_TYPES, size=count, replace=False, p=_FREQUENCY))


def draw_bleed(kind: str, head: HeadDraw, rng: np.random.Generator) -> Bleed:
    """Draw one bleed of `kind`, from a few mL to life-threatening.

    Acute blood is 55 to 85 HU; one subdural in six is subacute, lower.
    """
    side = int(rng.choice((-1, 1)))
    hu = float(rng.uniform(60, 80))
    if kind == "epidural":
        reach = float(rng.uniform(15, 40))
        # Thicker than the skull's own curve over that length: it bulges inwards, a lens.
        thick = reach**2 / 150 + float(rng.uniform(4.5, 14))
        center = _on_vault(head, side * rng.uniform(0.75, 1.1), rng.uniform(-0.45, 0.55), rng.uniform(0.0, 0.6))
        return Bleed(kind, side, "convexity", center, (reach, reach, thick), hu, 0.30 * thick)
    if kind == "subdural":
        if rng.random() < 0.16:
            beside = (float(rng.uniform(30, 55)), float(rng.uniform(18, 30)), float(rng.uniform(3.0, 6.5)))
            return Bleed(kind, side, "falx", (0.0, float(rng.uniform(-25, 45)), 48.0), beside, hu, 0.0)
        thick = float(np.exp(rng.uniform(np.log(3.5), np.log(13))))
        center = _on_vault(head, side * 1.0, rng.uniform(-0.25, 0.3), rng.uniform(0.25, 0.6))
        subacute = rng.random() < 1 / 6
        size = (float(rng.uniform(42, 92)), float(rng.uniform(24, 58)), thick)
        return Bleed(kind, side, "convexity", center, size, float(rng.uniform(54, 60)) if subacute else hu, 0.5 * thick)
    if kind == "intraparenchymal":
        names = tuple(_PARENCHYMAL_SITES)
        site = str(rng.choice(names, p=[_PARENCHYMAL_SITES[name][3] for name in names]))
        place, largest, wander, _ = _PARENCHYMAL_SITES[site]
        volume = float(np.exp(rng.uniform(np.log(2.5), np.log(largest))))
        stretch = np.exp(rng.normal(0, 0.16, 3))
        stretch /= np.prod(stretch) ** (1 / 3)
        radius = (3000.0 * volume / (4 * np.pi)) ** (1 / 3)
        moved = np.asarray(place) * (side, 1, 1) + rng.uniform(-wander, wander, 3)
        size = _triple(radius * stretch * (1.0, 1.2, 1.0))
        edema = float(rng.uniform(2.0, 8.0)) * min(1.0, radius / 12)
        return Bleed(kind, side, site, _triple(moved), size, hu, 0.22 * radius, edema)
    if kind == "subarachnoid":
        hu += 3.0
        if rng.random() < 0.6:
            reach = float(rng.uniform(26, 62))
            moved = np.asarray((side * rng.uniform(0, 20), rng.uniform(-14, 2), rng.uniform(-10, 2)))
            return Bleed(kind, 0, "basal cisterns", _triple(moved), (reach, reach, reach * 0.8), hu, 0.0)
        reach = float(rng.uniform(18, 46))
        center = _on_vault(head, side * 0.8, rng.uniform(-0.6, 0.6), rng.uniform(0.2, 0.8))
        return Bleed(kind, side, "convexity", center, (reach, reach, reach), hu, 0.0)
    if kind == "intraventricular":
        extent = str(rng.choice(tuple(_VENTRICLE_LEVELS), p=(0.55, 0.3, 0.15)))
        near, far = (float(rng.uniform(*limits)) for limits in _VENTRICLE_LEVELS[extent])
        return Bleed(kind, side, extent, (0.0, near, 0.0), (far, 0.0, _VENTRICLE_SWELL_MM), hu, 0.0)
    raise ValueError(f"bleed type {kind!r} is not one of {', '.join(BLEED_TYPES)}")


def _on_vault(head: HeadDraw, across: float, along: float, up: float) -> tuple[float, float, float]:
    """Point of the inner table in the direction given in units of the head's half-sizes."""
    direction = np.array([across, along, up])
    direction /= np.linalg.norm(direction)
    place = direction * (head.half_width, head.half_length, head.half_height)
    return float(place[0]), float(place[1]), float(place[2] + 4.0)


def _triple(values: Sequence[float] | np.ndarray) -> tuple[float, float, float]:
    return float(values[0]), float(values[1]), float(values[2])


def pushed_brain(space: Space, bleeds: Sequence[Bleed]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Head coordinates as the brain sees them once every bleed has pushed it aside: the midline shift."""
    x, y, z = space.x, space.y, space.z
    moved = [x.copy(), y.copy(), z.copy()]
    for bleed in bleeds:
        if bleed.push_mm <= 0:
            continue
        offset = [x - bleed.center[0], y - bleed.center[1], z - bleed.center[2]]
        distance = np.sqrt(offset[0] ** 2 + offset[1] ** 2 + offset[2] ** 2) + 1.0
        if bleed.kind == "intraparenchymal":
            radius = float(np.mean(bleed.size))
            reach = np.where(distance < radius, distance / radius, np.exp(-(distance - radius) / 24.0))
            for axis in range(3):
                moved[axis] -= bleed.push_mm * reach * offset[axis] / distance
        # Away from the bleed, across the midline; the falx is tethered in front and behind.
        tether = np.exp(-((distance / 105.0) ** 2)) * np.cos(np.clip(y / 90.0, -1, 1) * np.pi / 2)
        moved[0] += bleed.side * bleed.push_mm * tether * (0.5 if bleed.kind == "intraparenchymal" else 1.0)
    return moved[0], moved[1], moved[2]


def bleed_levels(
    space: Space,
    bleeds: Sequence[Bleed],
    skull: Levels,
    rng: np.random.Generator,
) -> Levels:
    """Where each bleed lies, as levels that are positive inside (mm); keys are the types, plus ``edema``.

    ``epidural`` and ``subdural`` hold the blood's thickness under the inner table; ``subdural_falx`` its thickness
    beside the falx; ``subarachnoid`` and ``intraventricular`` where existing fluid is bloody.
    """
    levels: Levels = {}
    for bleed in bleeds:
        grain = space.noise(rng, 16.0)
        if bleed.kind in ("epidural", "subdural"):
            key, level = _extra_axial(space, bleed, skull, grain)
        elif bleed.kind == "intraparenchymal":
            key, level = bleed.kind, _parenchymal(space, bleed, grain, space.noise(rng, 7.0))
            rim = bleed.edema_mm * (1.0 + 0.35 * space.noise(rng, 12.0))
            levels["edema"] = level + rim
        elif bleed.kind == "subarachnoid":
            key, level = bleed.kind, (1.0 - _from_center(space, bleed)) * bleed.size[0] + 7.0 * grain
        else:
            key, level = bleed.kind, _ventricular(space, bleed, grain)
        levels[key] = np.maximum(levels[key], level) if key in levels else level
    return {key: np.asarray(np.clip(level, -FAR, FAR), dtype=np.float32) for key, level in levels.items()}


def _extra_axial(space: Space, bleed: Bleed, skull: Levels, grain: np.ndarray) -> tuple[str, np.ndarray]:
    reach_along, reach_up, thick = bleed.size
    if bleed.place == "falx":
        hill = 1.0 - ((space.y - bleed.center[1]) / reach_along) ** 2 - ((space.z - bleed.center[2]) / reach_up) ** 2
        return "subdural_falx", thick * hill * (1.0 + 0.12 * grain)
    # Seen from the inner table: every point is carried straight out to it.
    out = 1.0 / np.maximum(skull["radius"], 0.25)
    across, along, up = space.x * out, space.y * out, (space.z - 4.0) * out + 4.0
    if bleed.kind == "epidural":
        square = (across - bleed.center[0]) ** 2 + (along - bleed.center[1]) ** 2 + (up - bleed.center[2]) ** 2
        return "epidural", thick * np.maximum(1.0 - square / reach_along**2, -2.0) * (1.0 + 0.05 * grain)
    hill = 1.0 - ((along - bleed.center[1]) / reach_along) ** 2 - ((up - bleed.center[2]) / reach_up) ** 2
    # Nearly even in thickness until close to its ends, so the inner edge stays hollow: a crescent, not a lens.
    crescent = thick * np.sign(hill) * np.abs(hill) ** 0.33 * (1.0 + 0.10 * grain)
    # It ends at the falx: blood in the subdural space of one hemisphere does not cross the midline.
    same_side = np.clip(bleed.side * space.x / 7.0 - 0.4, -2, 1)
    return "subdural", np.where(same_side < 1, np.minimum(crescent, thick * same_side), crescent)


def _parenchymal(space: Space, bleed: Bleed, grain: np.ndarray, fine: np.ndarray) -> np.ndarray:
    radius = float(np.cbrt(np.prod(bleed.size)))
    lobes = np.clip(0.17 * radius, 1.0, 3.5) * grain + np.clip(0.08 * radius, 0.5, 1.3) * fine
    return (1.0 - _from_center(space, bleed)) * radius + lobes


def _from_center(space: Space, bleed: Bleed) -> np.ndarray:
    """Distance from the bleed's center in units of its size: 1 on the ellipsoid."""
    x, y, z = ((c - m) / s for c, m, s in zip((space.x, space.y, space.z), bleed.center, bleed.size, strict=True))
    return np.sqrt(x**2 + y**2 + z**2)


def _ventricular(space: Space, bleed: Bleed, grain: np.ndarray) -> np.ndarray:
    """Blood sinks: below a level that is flat in the scanner, behind in a patient who lies on the back."""
    flat = space.scanner_y.astype(np.float32)[None, :, None] - np.float32(space.scanner_y.mean())
    near, far = bleed.center[1], bleed.size[0]
    same_side = np.clip(0.5 + 0.25 * bleed.side * space.x, 0, 1)
    rough = 0.4 if bleed.place == "layering" else 2.5
    return flat - (far + (near - far) * same_side) + rough * grain


def swollen_ventricles(bleeds: Sequence[Bleed]) -> float:
    """How much the ventricles widen, mm: blood in them blocks the outflow."""
    return max((bleed.size[2] for bleed in bleeds if bleed.kind == "intraventricular"), default=0.0)


def effaced_sulci(space: Space, bleeds: Sequence[Bleed]) -> np.ndarray | float:
    """Factor on the sulci's width: a bleed with mass squeezes those near it shut."""
    factor: np.ndarray | float = 1.0
    for bleed in bleeds:
        if bleed.push_mm > 0:
            near = np.maximum(Shapes(space.x, space.y, space.z).union((bleed.center, bleed.center, 20.0, 20.0)), 0)
            factor = factor * (1.0 - 0.75 * min(bleed.push_mm / 4, 1.0) * np.exp(-((near / 32) ** 2)))
    return factor
