"""What looks like blood and is none, or hides it: calcification, shunt, surgery, beam hardening, motion."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy import ndimage

from AcuteFindingsLib.phantoms.head_ct.anatomy import HeadDraw, Levels
from AcuteFindingsLib.phantoms.head_ct.space import Shapes, Space
from AcuteFindingsLib.phantoms.phantom import check_variants

VARIANTS = (
    "falx-calcification",
    "choroid-calcification",
    "basal-ganglia-calcification",
    "shunt",
    "post-operative",
    "beam-hardening",
    "motion",
)

SHUNT_HU = 420.0
PLATE_HU = 3000.0
SCAR_HU = 60.0
KERF_HU = 25.0
_KERF_MM = 2.2


@dataclass(frozen=True)
class Change:
    """What the variants of one head add.

    Attributes
    ----------
    head
        The head as drawn, with what the variants make of it.
    spots
        Further calcifications, as `space.Shapes.union` takes them, in the coordinates of the brain.
    shunt
        Points ``(x, y, z)`` in mm along a catheter, from outside the skull to its tip in a ventricle; empty without.
    flap
        ``(x, y, z)`` of the middle of a bone flap on the inner table and its radius in mm; None without.
    streak_hu
        Height of the streaks between the petrous bones; 0 without.
    moved
        ``(first, last, dx, dy)``: the share of the series' slices during which the head moved, and how far, mm; None
        without.
    """

    head: HeadDraw
    spots: tuple[tuple, ...] = ()
    shunt: tuple[tuple[float, float, float], ...] = ()
    flap: tuple[float, float, float, float] | None = None
    streak_hu: float = 0.0
    moved: tuple[float, float, float, float] | None = None


def draw_change(head: HeadDraw, variants: Sequence[str], rng: np.random.Generator) -> Change:
    """Draw what `variants` do to a head; each is drawn whether asked for or not, so none depends on the others.

    Raises
    ------
    ValueError
        For a name that is not one of `VARIANTS`.
    """
    check_variants(variants, VARIANTS)
    sides = (-1, 1)
    along = float(rng.uniform(-45, 5))
    height = float(rng.uniform(44, 58))
    falx = ((0.3, along, height), (0.3, along + rng.uniform(8, 22), height + rng.uniform(-3, 3)), *_pair(rng, 1.8, 3.2))
    choroid = tuple(_spot(side * 23, 38 + rng.normal(0, 1), 9, rng.uniform(2.2, 4.2)) for side in sides)
    ganglia = tuple(((side * 19, -5, 3), (side * 21, 7 + rng.normal(0, 1), 4), *_pair(rng, 2.0, 3.4)) for side in sides)
    side = float(rng.choice(sides))
    front = bool(rng.random() < 0.5)
    entry = (side * 26.0, -48.0, 62.0) if front else (side * 30.0, 66.0, 42.0)
    tip = (side * 7.0, -14.0, 19.0) if front else (side * 11.0, 8.0, 22.0)
    outside = tuple(1.06 * value for value in entry)
    flap_side = float(rng.choice(sides))
    direction = np.array([flap_side, rng.uniform(-0.4, 0.4), rng.uniform(0.35, 0.7)])
    middle = direction / np.linalg.norm(direction) * (head.half_width, head.half_length, head.half_height)
    flap = (float(middle[0]), float(middle[1]), float(middle[2] + 4.0), float(rng.uniform(24, 38)))
    streak, band = float(rng.uniform(14, 26)), float(rng.uniform(22, 36))
    first = float(rng.uniform(0.35, 0.6))
    last = first + float(rng.uniform(0.1, 0.25))
    dx, dy = (float(value) for value in rng.uniform(3, 7, 2) * rng.choice(sides, 2))
    asked = set(variants)
    if "beam-hardening" in asked:
        head = replace(head, petrous_band_hu=band)
    spots: tuple[tuple, ...] = (falx,) if "falx-calcification" in asked else ()
    spots += choroid if "choroid-calcification" in asked else ()
    spots += ganglia if "basal-ganglia-calcification" in asked else ()
    return Change(
        head,
        spots=spots,
        shunt=((outside[0], outside[1], outside[2]), entry, tip) if "shunt" in asked else (),
        flap=flap if "post-operative" in asked else None,
        streak_hu=streak if "beam-hardening" in asked else 0.0,
        moved=(first, last, dx, dy) if "motion" in asked else None,
    )


def change_levels(
    space: Space, change: Change, levels: Levels, brain: tuple[np.ndarray, np.ndarray, np.ndarray]
) -> Levels:
    """Return the levels that a change adds, and those of `levels` that it alters; `brain` holds its coordinates.

    Keys: ``shunt`` (distance to the catheter), ``kerf`` (to the saw cut round a flap), ``plate`` (to the plates over
    it), ``scar`` (positive where the dura under the flap is thickened), and ``calc`` and ``hardening``.
    """
    out: Levels = {}
    if change.spots:
        out["calc"] = np.minimum(levels["calc"], Shapes(*brain).union(*change.spots))
    if change.shunt:
        parts = [(a, b, 1.6, 1.6) for a, b in zip(change.shunt, change.shunt[1:], strict=False)]
        out["shunt"] = Shapes(space.x, space.y, space.z).union(*parts)
    if change.flap is not None:
        out |= _flap_levels(space, change.flap, levels)
    if change.streak_hu:
        out["hardening"] = levels["hardening"] + _streaks(space, change.streak_hu)
    return {name: np.asarray(level, dtype=np.float32) for name, level in out.items()}


def moved_slices(array: np.ndarray, pixel_mm: float, change: Change) -> None:
    """Blur the slices of ``(z, y, x)`` during which the head moved: each is the mean of where it was and where it went.

    Half of the projections saw the head elsewhere, which shows as double contours of the skull.
    """
    if change.moved is None:
        return
    first, last, dx, dy = change.moved
    count = len(array)
    begin, end = int(first * count), max(int(first * count) + 1, int(last * count))
    for k in range(begin, min(end, count)):
        share = 0.35 + 0.15 * np.sin(np.pi * (k - begin + 0.5) / (end - begin))
        there = ndimage.shift(array[k], (dy / pixel_mm, dx / pixel_mm), order=1, mode="nearest")
        array[k] += np.float32(share) * (there - array[k])


def _pair(rng: np.random.Generator, low: float, high: float) -> tuple[float, float]:
    a, b = rng.uniform(low, high, 2)
    return float(a), float(b)


def _spot(x: float, y: float, z: float, radius: float) -> tuple:
    return (x, y, z), (x, y, z), radius, radius


def _flap_levels(space: Space, flap: tuple[float, float, float, float], levels: Levels) -> Levels:
    """A disk sawn out of the vault and put back with four plates; the dura under it is thick and bright."""
    # Seen from the inner table, as extra-axial blood is.
    out = 1.0 / np.maximum(levels["radius"], 0.25)
    a, b, c = space.x * out - flap[0], space.y * out - flap[1], (space.z - 4.0) * out + 4.0 - flap[2]
    away = np.sqrt(a**2 + b**2 + c**2)
    outward = np.asarray(flap[:3]) / np.linalg.norm(flap[:3])
    up = np.array([0.0, 0.0, 1.0]) - outward[2] * outward
    up /= np.linalg.norm(up)
    beside = np.cross(outward, up)
    plates = []
    for turn in np.arange(4) * np.pi / 2 + 0.4:
        # On the outer table: the saw cut's circle, a thickness of bone further out.
        center = np.asarray(flap[:3]) + flap[3] * 0.96 * (np.cos(turn) * up + np.sin(turn) * beside)
        center *= 1.0 + 3.0 / np.linalg.norm(center)
        reach = 4.0 * (np.cos(turn) * up + np.sin(turn) * beside)
        plates.append((tuple(center - reach), tuple(center + reach), 1.3, 1.3))
    under = np.minimum(2.4 * np.clip((flap[3] - away) / 4.0, -1, 1), 2.4 + levels["vault"])
    return {
        "kerf": np.abs(away - flap[3]) - _KERF_MM / 2,
        "plate": Shapes(space.x, space.y, space.z).union(*plates),
        "scar": under,
    }


def _streaks(space: Space, height: float) -> np.ndarray:
    """Bright and dark rays from one petrous bone to the other, HU."""
    x, y, z = space.x, space.y, space.z
    low = np.exp(-(((z + 22) / 12) ** 2))
    fan = (y - 19) / (1.0 + np.abs(x) / 45.0)
    return np.asarray(height * np.cos(2 * np.pi * fan / 13.0) * np.exp(-((fan / 24) ** 2)) * low, dtype=np.float32)
