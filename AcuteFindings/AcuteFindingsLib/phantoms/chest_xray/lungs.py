"""What the lungs of the chest radiograph phantom hold: markings, free pleural air and opacities."""

from dataclasses import dataclass, field

import numpy as np
from scipy import ndimage

from AcuteFindingsLib.phantoms.chest_xray.anatomy import SIDES, Anatomy
from AcuteFindingsLib.phantoms.chest_xray.drawing import (
    Frame,
    ball_chords,
    contours,
    filled,
    ramp,
    resample,
    smooth_noise,
)
from AcuteFindingsLib.phantoms.chest_xray.pleural_air import Pneumothorax

_LEVEL_LENGTH = (27.0, 29.0, 27.0, 24.0, 20.0, 16.0)
_LEVEL_RADIUS = (2.9, 2.25, 1.8, 1.45, 1.15, 0.9)
_POINTS_PER_BRANCH = 24


@dataclass(frozen=True)
class Opacities:
    """Findings to draw in the lungs: each maps to the side it lies on."""

    effusion: str | None = None
    consolidation: str | None = None
    atelectasis: str | None = None
    nodule: str | None = None


@dataclass
class LungContents:
    """Maps `(y, x)` of the lungs' contents.

    Attributes
    ----------
    density
        Share of soft tissue in the depth that the lungs take.
    extra
        Soft tissue in mm in its own right: vessels, pleural line, nodules, bands.
    fields
        Side to mask of the hemithorax field, pleural air included.
    pneumothorax
        Mask of free pleural air.
    """

    density: np.ndarray
    extra: np.ndarray
    fields: dict[str, np.ndarray]
    pneumothorax: np.ndarray
    present: np.ndarray = field(repr=False)


def lung_contents(
    frame: Frame,
    anatomy: Anatomy,
    depth: np.ndarray,
    collapses: dict[str, Pneumothorax],
    opacities: Opacities,
    rng: np.random.Generator,
) -> LungContents:
    """Fill the lungs.

    Parameters
    ----------
    depth
        Path length through the lungs in mm `(y, x)`.
    collapses
        Side to its pneumothorax.
    opacities
        Findings to draw.
    """
    base = rng.uniform(0.23, 0.31) + (0.03 if anatomy.view_ap else 0.0)
    density = np.full((frame.size, frame.size), base, np.float32)
    vessels, lines = frame.zeros(), frame.zeros()
    air = np.zeros((frame.size, frame.size), bool)
    fields = {}
    for side in SIDES:
        outline = anatomy.lung_outline(side)
        fields[side] = filled(frame, outline)
        collapse = collapses.get(side)
        # Arteries and veins: two trees that cross.
        vessels += _markings(frame, anatomy, side, collapse, rng, trunk=True)
        vessels += 0.8 * _markings(frame, anatomy, side, collapse, rng, trunk=False)
        density += _hilar_haze(frame, anatomy.hilum(side), rng)
        if collapse is None:
            continue
        moved, scale = collapse.move(outline, anatomy.hilum(side))
        lung, edges = _drawn_back(frame, fields[side], moved, scale, anatomy.hilum(side), SIDES[side], collapse.amount)
        side_air = fields[side] & ~lung
        air |= side_air
        collapsed = min(0.5, base / float(np.mean(scale)) ** 1.1)
        free = base * (1 - collapse.air_share)
        # A collapsed lung is a mound, thinner toward its edge.
        mound = ramp(ndimage.gaussian_filter(lung.astype(np.float32), 20.0 * collapse.amount / frame.mm) * 1.5 - 0.35)
        density[lung] += (free + (collapsed - free) * np.maximum(mound, max(0.6, 1 - 1.6 * collapse.amount)) - base)[
            lung
        ]
        density[side_air] = free
        lines += _pleural_line(frame, fields[side], side_air, edges, rng)
    present = ndimage.gaussian_filter((~air).astype(np.float32), max(0.4, 0.25 / frame.mm))
    density = ndimage.gaussian_filter(density, max(0.5, 0.3 / frame.mm))
    texture = 0.036 * smooth_noise(frame, 2.4, rng) + 0.022 * smooth_noise(frame, 8.0, rng)
    density *= 1 + texture * rng.uniform(0.5, 1.6) * (present > 0.5) + 0.045 * smooth_noise(frame, 70.0, rng)
    bands = _opacities(frame, anatomy, air, collapses, opacities, density, rng)
    room = np.clip(depth / 70.0, 0, 1) ** 1.4
    extra = (vessels * (present > 0.6) * room + bands * present) * (1 - np.clip(density, 0, 1)) * rng.uniform(
        2.0, 3.0
    ) + lines
    return LungContents(density=density, extra=extra, fields=fields, pneumothorax=air, present=present)


def _drawn_back(
    frame: Frame,
    lung_field: np.ndarray,
    moved: np.ndarray,
    scale: np.ndarray,
    hilum: np.ndarray,
    sign: int,
    amount: float,
) -> tuple[np.ndarray, list[np.ndarray]]:
    """Mask of a lung that has drawn back to the outline `moved`, rounded the more the further, and its edges in mm."""
    # Where the lung still touches the wall its outline is pushed beyond it, so that rounding leaves no false gap.
    attached = hilum + (moved - hilum) * (1 + 0.09 * ramp((scale - 0.9) / 0.08))[:, None]
    lung = _hugging(filled(frame, attached), sign).astype(np.float32)
    soft = ndimage.gaussian_filter(lung, max(0.7, (13.0 if amount < 0.4 else 20.0) * amount / frame.mm), truncate=2.5)
    # The line is the lung's own: half its width within the edge.
    slope = float(np.percentile(np.abs(np.diff(soft, axis=1)).max(axis=1), 75))
    level = min(0.5 + 0.6 * slope, 0.8)
    corner = np.array([frame.left, frame.top])
    edges = [edge * frame.mm + corner for edge in contours(soft, level) if len(edge) > 8]
    return (soft > 0.5) & lung_field, edges


def _hugging(lung: np.ndarray, sign: int) -> np.ndarray:
    """`lung` with every row filled to the midline: a lung draws back from the wall, not from the mediastinum."""
    outward = lung if sign > 0 else lung[:, ::-1]
    filled_rows = np.logical_or.accumulate(outward[:, ::-1], axis=1)[:, ::-1]
    return filled_rows if sign > 0 else filled_rows[:, ::-1]


def _pleural_line(
    frame: Frame, lung_field: np.ndarray, air: np.ndarray, edges: list[np.ndarray], rng: np.random.Generator
) -> np.ndarray:
    """The visceral pleura seen edge-on where the lung is off the wall: a thin bright line."""
    strength, radius = rng.uniform(15.0, 24.0), rng.uniform(0.55, 0.8)
    inner = ndimage.binary_erosion(lung_field, iterations=max(1, round(1.4 / frame.mm)))
    shown = inner & ndimage.binary_dilation(air, iterations=max(1, round(0.8 / frame.mm)))
    kept = [np.zeros((0, 2))]
    for edge in edges:
        axis = resample(edge, step_mm=max(0.4 * frame.mm, 0.3))
        pixel = np.rint(frame.to_pixels(axis)).astype(np.intp)
        within = (pixel >= 0).all(axis=1) & (pixel < frame.size).all(axis=1)
        axis, pixel = axis[within], pixel[within]
        kept.append(axis[shown[pixel[:, 0], pixel[:, 1]]])
    line = ball_chords(frame, np.concatenate(kept), radius)
    peak = float(line.max())
    return line * (strength / peak) if peak > 0 else line


def _markings(
    frame: Frame, anatomy: Anatomy, side: str, collapse: Pneumothorax | None, rng: np.random.Generator, *, trunk: bool
) -> np.ndarray:
    """Vessels that branch and taper from the hilum, moved with the lung where it has drawn back."""
    hilum = anatomy.hilum(side)
    scale_mm = anatomy.height / 225.0
    # Angles about the hilum in degrees: 0 up, 90 lateral, 180 down; more and wider trunks to the lower lobes.
    angle = np.deg2rad(np.array([-8, 16, 40, 66, 92, 114, 134, 152, 170, 192]) + rng.normal(0, 6, 10))
    start = hilum + np.stack([SIDES[side] * np.sin(angle), -np.cos(angle)], axis=1) * rng.uniform(0, 9, (10, 1))
    lower = np.deg2rad(75) < angle
    weight = np.where(lower, rng.uniform(0.95, 1.2, 10), rng.uniform(0.6, 0.85, 10))
    points, radii = [], []
    for level, (length, radius) in enumerate(zip(_LEVEL_LENGTH, _LEVEL_RADIUS, strict=True)):
        count = len(angle)
        t = np.linspace(0, 1, _POINTS_PER_BRANCH)
        reach = (length * scale_mm * rng.uniform(0.6, 1.3, count) * np.where(weight > 0.75, 1.15, 0.95))[:, None]
        bend = rng.normal(0, 0.35, (count, 1))
        heading = angle[:, None] + bend * (t - 0.2) + 0.1 * np.sin(6 * t + rng.uniform(0, 6, (count, 1)))
        step = reach / _POINTS_PER_BRANCH
        path = np.stack(
            [SIDES[side] * np.cumsum(np.sin(heading) * step, 1), -np.cumsum(np.cos(heading) * step, 1)], axis=2
        )
        path += start[:, None, :]
        points.append(path.reshape(-1, 2))
        radii.append(((radius * weight)[:, None] * (1.12 - 0.35 * t)).ravel())
        if level + 1 == len(_LEVEL_LENGTH):
            break
        spread = rng.uniform(0.18, 0.5, (count, 2)) * rng.choice([-1.0, 1.0], (count, 1)) * [1.0, -1.0]
        along = rng.integers(_POINTS_PER_BRANCH // 2, _POINTS_PER_BRANCH, count)
        # One child goes on from the end, one leaves on the way.
        start = np.concatenate([path[:, -1], path[np.arange(count), along]])
        angle = np.concatenate([heading[:, -1] + 0.6 * spread[:, 0], heading[np.arange(count), along] + spread[:, 1]])
        weight = np.concatenate([weight, weight * rng.uniform(0.75, 1.0, count)])
    if trunk:
        axis = resample(_trunk(side, hilum, scale_mm), step_mm=1.2)
        points.append(axis)
        radii.append(np.linspace(6.5, 3.4, len(axis)))
    where, thick = np.concatenate(points), np.concatenate(radii) * rng.uniform(0.85, 1.15)
    keep = _inside(anatomy, side, where)
    where, thick = where[keep], thick[keep]
    if collapse is not None:
        where, scale = collapse.move(where, hilum)
        thick = thick * np.sqrt(scale)
    return ball_chords(frame, where, thick)


def _hilar_haze(frame: Frame, hilum: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Bronchi, nodes and small vessels about the hilum, too fine to draw one by one."""
    square = ((frame.x - hilum[0]) / rng.uniform(30.0, 40.0)) ** 2 + (
        (frame.y - hilum[1] - 8.0) / rng.uniform(44, 60)
    ) ** 2
    return (rng.uniform(0.06, 0.12) * np.exp(-square)).astype(np.float32)


def _trunk(side: str, hilum: np.ndarray, scale: float) -> np.ndarray:
    """Main pulmonary artery branch: descending interlobar on the right, arching over the bronchus on the left."""
    if side == "right":
        return hilum + scale * np.array([[3.0, -9.0], [-5.0, -5.0], [-13.0, 10.0], [-15.0, 32.0], [-16.0, 56.0]])
    return hilum + scale * np.array([[-6.0, -5.0], [-1.0, -10.0], [9.0, -4.0], [13.0, 16.0], [15.0, 40.0]])


def _inside(anatomy: Anatomy, side: str, points: np.ndarray) -> np.ndarray:
    """Which points lie in the thorax, a little off the wall; vessels behind heart and dome stay."""
    sign = SIDES[side]
    out = sign * points[:, 0]
    wall = sign * anatomy.lateral(side, points[:, 1])
    return (out < wall - 4.0) & (out > 8.0) & (points[:, 1] > 4.0)


def _opacities(
    frame: Frame,
    anatomy: Anatomy,
    air: np.ndarray,
    collapses: dict[str, Pneumothorax],
    wanted: Opacities,
    density: np.ndarray,
    rng: np.random.Generator,
) -> np.ndarray:
    """Change `density` in place where lung is opaque; return bands and nodules in mm."""
    extra = frame.zeros()
    if wanted.consolidation:
        opacity = frame.zeros()
        for _ in range(int(rng.integers(1, 4))):
            x, y = _place(anatomy, wanted.consolidation, rng, low=0.25, high=0.85)
            wide, tall = rng.uniform(20, 42, 2)
            bump = np.exp(-(((frame.x - x) / wide) ** 2) - ((frame.y - y) / tall) ** 2)
            fluff = 0.16 * smooth_noise(frame, 18.0, rng) + 0.09 * smooth_noise(frame, 6.0, rng)
            opacity = np.maximum(opacity, ramp((bump + fluff * np.sqrt(bump) - 0.2) / 0.85))
        opacity *= ~air * rng.uniform(0.38, 0.62)
        density += (0.97 - density) * opacity
    if wanted.effusion:
        # Air must reach the fluid for a level to form.
        with_air = wanted.effusion in collapses and collapses[wanted.effusion].amount > 0.3
        density += (1.0 - density) * _fluid(frame, anatomy, wanted.effusion, with_air, rng)
    if wanted.nodule:
        for _ in range(int(rng.integers(1, 3))):
            place = np.array([_place(anatomy, wanted.nodule, rng, low=0.12, high=0.88)])
            radius = rng.uniform(5.5, 14.0)
            lobes = place + rng.normal(0, 0.12 * radius, (7, 2))
            extra += 0.8 * ndimage.gaussian_filter(
                ball_chords(frame, lobes, radius * rng.uniform(0.8, 1, 7)), 1.0 / frame.mm
            )
    if wanted.atelectasis:
        extra += _bands(frame, anatomy, wanted.atelectasis, rng)
    return extra


def _place(anatomy: Anatomy, side: str, rng: np.random.Generator, *, low: float, high: float) -> tuple[float, float]:
    """A point well inside the lung field, at a height between `low` and `high` of it."""
    y = rng.uniform(low, high) * (anatomy.dome[side] - 12.0)
    inner, outer = anatomy.medial(side, np.array([y]))[0], anatomy.lateral(side, np.array([y]))[0]
    share = rng.uniform(0.25, 0.75)
    return float(inner + share * (outer - inner)), float(y)


def _fluid(frame: Frame, anatomy: Anatomy, side: str, with_air: bool, rng: np.random.Generator) -> np.ndarray:
    """Share of the depth that pleural fluid fills: a meniscus up the wall, or a level where there is air above."""
    angle_height = anatomy.dome[side] + anatomy.dome_drop[side]
    level = angle_height - rng.uniform(34.0, 66.0) - float(rng.random() < 0.45) * rng.uniform(10.0, 70.0)
    sign = SIDES[side]
    if with_air:
        surface: np.ndarray | float = level
        softness = 2.5
    else:
        outer = sign * anatomy.lateral(side, frame.y[:, 0])[:, None]
        gap = np.clip(outer - sign * frame.x, 0, None)
        surface = level + rng.uniform(26.0, 62.0) * (1 - np.exp(-gap / rng.uniform(22.0, 46.0)))
        softness = rng.uniform(9.0, 20.0)
    half = ramp((sign * frame.x - 4.0) / 30.0)
    return (ramp((frame.y - surface) / softness + 0.3) * half * rng.uniform(0.85, 0.97)).astype(np.float32)


def _bands(frame: Frame, anatomy: Anatomy, side: str, rng: np.random.Generator) -> np.ndarray:
    """Plates of collapsed lung above the diaphragm, seen edge-on."""
    total = frame.zeros()
    sign = SIDES[side]
    for _ in range(int(rng.integers(2, 5))):
        x = sign * rng.uniform(0.42, 0.66) * anatomy.half_width
        y = anatomy.dome[side] - rng.uniform(8.0, 52.0)
        length, tilt = rng.uniform(34.0, 72.0), rng.normal(0.12, 0.22) * sign
        t = np.linspace(-0.5, 0.5, 5)
        axis = np.stack([x + length * t, y + length * t * tilt + 2.0 * (t**2) * rng.normal(0, 3)], axis=1)
        axis = resample(axis, step_mm=max(0.4 * frame.mm, 0.4))
        taper = np.sqrt(np.clip(1 - np.linspace(-1, 1, len(axis)) ** 2, 0.02, 1))
        radius = rng.uniform(0.9, 1.9)
        plate = ball_chords(frame, axis, radius * taper)
        total = np.maximum(total, plate * rng.uniform(7.0, 12.0) / (2 * radius))
    return total
