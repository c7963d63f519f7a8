"""Pneumothorax drawn into a real frontal radiograph without one, and what looks like one and is none."""

from dataclasses import dataclass

import numpy as np
from scipy import ndimage
from skimage.restoration import denoise_tv_chambolle

from AcuteFindingsLib.detectors.radiograph import split_lungs
from AcuteFindingsLib.phantoms.chest_xray.pleural_air import Pneumothorax as Retraction

SIDES = ("right", "left")
KINDS = ("apical", "lateral", "large")
_KIND_SHARES = (0.45, 0.35, 0.2)
# Share of the lung field that is free air, by kind.
_AIR = {"apical": (0.05, 0.16), "lateral": (0.1, 0.28), "large": (0.24, 0.4)}
# Angles of the retraction: 0 up, 90 lateral, 180 down (as in the phantom).
_END_DEG = {"apical": (50.0, 90.0), "lateral": (95.0, 125.0), "large": (102.0, 132.0)}
_ANGLES = 720
# The drawing's lengths are in pixels of a picture whose longer side has so many.
_DRAWN_AT = 512


@dataclass(frozen=True)
class DrawnAir:
    """A picture ``(y, x)`` float32 in 0..1 with pleural air drawn in; `mask` bool; `share` of that lung field."""

    image: np.ndarray
    mask: np.ndarray
    side: str
    kind: str
    share: float


def draw_pneumothorax(
    rng: np.random.Generator,
    image: np.ndarray,
    lungs: np.ndarray,
    *,
    side: str | None = None,
    kind: str | None = None,
    markings: np.ndarray | None = None,
) -> DrawnAir | None:
    """Let one lung draw back from the chest wall.

    Beyond the visceral pleura the markings go and what is left is a little darker, ribs and grain stay; the pleura
    becomes a thin line; the lung within is a little denser.

    Parameters
    ----------
    image
        ``(y, x)`` in 0..1, air dark.
    lungs
        ``(y, x)`` bool, both lung fields.
    side, kind
        One of `SIDES` (the patient's) and of `KINDS`; drawn where None.
    markings
        `lung_markings` of the picture, for who draws into it often.

    Returns
    -------
    DrawnAir or None
        None where that lung field is missing or too small.
    """
    side = side or str(rng.choice(SIDES))
    kind = kind or str(rng.choice(KINDS, p=_KIND_SHARES))
    both = split_lungs(lungs)
    field = both.right if side == "right" else both.left
    if field.mean() < 0.03:
        return None
    scale = max(image.shape) / _DRAWN_AT
    distance, gap = _off_the_pleura(rng, field, side, kind)
    open_ = np.clip(gap / (7 * scale) - 0.3, 0, 1)
    air = _largest(_soft(distance, 0.8 * scale) * open_ * _near_wall(field, scale))
    mask = (air > 0.5) & field
    share = float(mask.sum() / field.sum())
    if share < 0.02:
        return None
    bare = image - (lung_markings(image, lungs) if markings is None else markings)
    level = float(np.percentile(image[field], 12))
    darker = rng.uniform(0.015, 0.05) + rng.uniform(0.15, 0.45) * np.clip(_wide(bare, scale) - level, 0, 0.25)
    # The beam passes less and less air toward the wall.
    depth = np.sqrt(np.clip(ndimage.distance_transform_edt(field) / (9 * scale), 0, 1))
    out = image * (1 - air) + (bare - darker * ndimage.gaussian_filter(depth, 1.5 * scale)) * air
    # The lung has lost air; beside the line it is densest.
    inside = ndimage.gaussian_filter((field & ~mask).astype(np.float32), 4 * scale) * (1 - air)
    out = out + inside * rng.uniform(0.0, 0.14) * share
    out = out + _pleural_line(rng, distance, field, scale) * open_ * rng.uniform(0.045, 0.1)
    return DrawnAir(np.clip(out, 0, 1).astype(np.float32), mask, side, kind, share)


def draw_mimics(
    rng: np.random.Generator,
    image: np.ndarray,
    lungs: np.ndarray,
    *,
    count: int = 2,
    markings: np.ndarray | None = None,
) -> np.ndarray:
    """Draw what looks like pleural air and is none: folds, edges, bare and dark areas, one lung brighter.

    Every trace that the drawing of a pneumothorax leaves occurs here too, each by itself. Takes and returns ``(y, x)``
    in 0..1.
    """
    both = split_lungs(lungs)
    scale = max(image.shape) / _DRAWN_AT
    out = np.array(image, np.float32)
    for _ in range(count):
        side = str(rng.choice(SIDES))
        field = both.right if side == "right" else both.left
        if field.mean() < 0.03:
            continue
        draw = _MIMICS[int(rng.integers(len(_MIMICS) + 1)) - 1]
        if draw is _bare_patch and markings is None:
            markings = lung_markings(image, lungs)
        out = out + draw(rng, field, side, scale, markings)
    return np.clip(out, 0, 1).astype(np.float32)


def lung_markings(image: np.ndarray, lungs: np.ndarray) -> np.ndarray:
    """Return what vessels add to the picture near the lungs, ``(y, x)``, without ribs, broad shading and grain."""
    scale = max(image.shape) / _DRAWN_AT
    out = np.zeros(image.shape, np.float32)
    if not lungs.any():
        return out
    box = _around(lungs, round(24 * scale))
    part = np.asarray(image[box], np.float32)
    contrast = max(float(np.percentile(part, 95) - np.percentile(part, 5)), 0.05)
    # What is bright and narrower than a rib goes, then what texture is left between edges.
    size = max(3, 2 * round(2.2 * scale) + 1)
    disc = np.hypot(*np.ogrid[-(size // 2) : size // 2 + 1, -(size // 2) : size // 2 + 1]) <= size / 2
    plain = ndimage.median_filter(part, footprint=disc)
    calm = np.asarray(denoise_tv_chambolle(plain, weight=0.05 * contrast, max_num_iter=60))
    grain = part - ndimage.gaussian_filter(part, 0.8 * scale)
    out[box] = part - calm - np.clip(grain, -0.03, 0.03)
    return out


def _largest(air: np.ndarray) -> np.ndarray:
    """Keep the largest connected part: where an outline of the lung is notched, specks would be left."""
    labels, count = ndimage.label(air > 0.1)
    return air * (labels == np.bincount(labels.ravel())[1:].argmax() + 1) if count > 1 else air


def _around(field: np.ndarray, margin: int) -> tuple[slice, slice]:
    rows, columns = ndimage.find_objects(field.astype(np.uint8))[0]
    return (
        slice(max(rows.start - margin, 0), rows.stop + margin),
        slice(max(columns.start - margin, 0), columns.stop + margin),
    )


def _wide(image: np.ndarray, scale: float) -> np.ndarray:
    return np.asarray(ndimage.uniform_filter(ndimage.uniform_filter(image, round(32 * scale)), round(32 * scale)))


def _soft(distance: np.ndarray, width: float) -> np.ndarray:
    return 1 / (1 + np.exp(-np.clip(distance / max(width, 0.3), -20, 20)))


def _near_wall(field: np.ndarray, scale: float) -> np.ndarray:
    """Return 1 in the field and a few pixels around it, where an outline of the lung stops short of the wall."""
    beyond = ndimage.distance_transform_edt(~field) - 2 * scale
    return _soft(-beyond, 1.0 * scale)


def _polar(field: np.ndarray, side: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return each pixel's distance from the hilum and angle there, and how far the field reaches at each angle."""
    rows, columns = np.nonzero(field)
    sign = -1 if side == "right" else 1
    hilum_y = np.quantile(rows, 0.5)
    level = columns[np.abs(rows - hilum_y) < 3 + 0.02 * len(field)]
    hilum_x = np.quantile(level, 0.82 if side == "right" else 0.18)
    y, x = np.ogrid[: field.shape[0], : field.shape[1]]
    radius = np.hypot(y - hilum_y, x - hilum_x)
    angle = np.rad2deg(np.arctan2(sign * (x - hilum_x), -(y - hilum_y)))
    angle = np.where(angle < -145.0, angle + 360.0, angle)
    reach = np.zeros(_ANGLES)
    np.maximum.at(reach, _index(angle[field]), radius[field])
    known = np.flatnonzero(reach)
    reach = np.interp(np.arange(_ANGLES), known, reach[known])
    return radius, angle, np.asarray(ndimage.gaussian_filter1d(reach, 6.0))


def _index(angle: np.ndarray) -> np.ndarray:
    return np.clip(((angle + 145.0) / 360.0 * _ANGLES).astype(int), 0, _ANGLES - 1)


def _off_the_pleura(rng: np.random.Generator, field: np.ndarray, side: str, kind: str) -> tuple[np.ndarray, np.ndarray]:
    """Return how far each pixel lies outside the visceral pleura (negative in the lung) and how wide the gap is there.

    Both in pixels ``(y, x)``.
    """
    radius, angle, reach = _polar(field, side)
    wanted = rng.uniform(*_AIR[kind])
    end, start, softness = rng.uniform(*_END_DEG[kind]), rng.uniform(-12, 10), rng.uniform(8, 14)
    wave = tuple(rng.normal(0, 0.05, 3))
    index = _index(angle)
    here, angles = reach[index], np.arange(_ANGLES) * 360.0 / _ANGLES - 145.0
    low, high = 0.02, 0.75
    distance, gap = np.zeros_like(radius), np.zeros_like(radius)
    for _ in range(9):
        amount = 0.5 * (low + high)
        kept = Retraction(side, kind, amount, start, end, softness, wave, 0.5, 0.0, 0.0, 0.0)
        held = kept.scale(angles)[index]
        distance, gap = radius - held * (here + 2.0), (1 - held) * here
        if np.count_nonzero(field & (distance > 0) & (gap > 5)) > wanted * np.count_nonzero(field):
            high = amount
        else:
            low = amount
    return distance, gap


def _pleural_line(rng: np.random.Generator, distance: np.ndarray, field: np.ndarray, scale: float) -> np.ndarray:
    """Return a thin bright line 0..1 along distance 0, weaker here and there, gone where the lung is on the wall."""
    width = rng.uniform(0.75, 1.15) * scale
    steep = np.hypot(*np.gradient(distance))
    line = np.exp(-0.5 * (distance / np.maximum(steep, 0.3) / width) ** 2)
    inner = ndimage.distance_transform_edt(field)
    coarse = ndimage.gaussian_filter(rng.standard_normal((24, 24)).astype(np.float32), 1.0)
    strength = ndimage.zoom(coarse / coarse.std(), np.array(field.shape) / 24, order=1, grid_mode=True, mode="nearest")
    strength = np.clip(0.75 + 0.3 * strength, 0.25, 1.2)
    return line * strength * np.clip((inner - 2 * scale) / (4 * scale), 0, 1)


def _skin_fold(
    rng: np.random.Generator, field: np.ndarray, side: str, scale: float, _markings: np.ndarray | None
) -> np.ndarray:
    """Density that grows toward an edge and drops there, with markings on both sides of it."""
    edge, fade, sign = _downward_edge(rng, field, side, (0.3, 0.75))
    inward = sign * (edge[:, None] - np.arange(field.shape[1])[None, :])
    profile = np.exp(-np.clip(inward, 0, None) / (rng.uniform(10, 26) * scale)) * _soft(inward, 0.7 * scale)
    return rng.uniform(0.03, 0.08) * profile * fade[:, None]


def _scapular_edge(
    rng: np.random.Generator, field: np.ndarray, side: str, scale: float, _markings: np.ndarray | None
) -> np.ndarray:
    """The medial border of a scapula: a bright line, and all beyond it toward the wall a little denser."""
    edge, fade, sign = _downward_edge(rng, field, side, (0.6, 0.88))
    outward = sign * (np.arange(field.shape[1])[None, :] - edge[:, None])
    line = np.exp(-0.5 * (outward / (rng.uniform(0.9, 1.6) * scale)) ** 2)
    beyond = _soft(outward, 0.8 * scale) * np.exp(-np.clip(outward, 0, None) / (40 * scale))
    return (rng.uniform(0.03, 0.08) * line + rng.uniform(0.01, 0.04) * beyond) * fade[:, None]


def _line_with_markings(
    rng: np.random.Generator, field: np.ndarray, side: str, scale: float, _markings: np.ndarray | None
) -> np.ndarray:
    """A line where a pleura might be, but vessels go on beyond it: companion shadow, tubing, a fold of a sheet."""
    distance, gap = _off_the_pleura(rng, field, side, str(rng.choice(KINDS)))
    line = _pleural_line(rng, distance, field, scale) * np.clip(gap / (7 * scale) - 0.3, 0, 1)
    return line * rng.uniform(0.03, 0.08)


def _bare_patch(
    rng: np.random.Generator, field: np.ndarray, _side: str, scale: float, markings: np.ndarray | None
) -> np.ndarray:
    """An area with few markings and without a border, as in emphysema: the drawing's smoothing alone."""
    inside = np.argwhere(field)
    at = inside[rng.integers(len(inside))]
    y, x = np.ogrid[: field.shape[0], : field.shape[1]]
    wide = rng.uniform(22, 60) * scale
    away = np.hypot((y - at[0]) / rng.uniform(0.8, 1.8), x - at[1])
    patch = _soft(wide - away, 9 * scale) * _near_wall(field, scale)
    return -patch * (rng.uniform(0, 0.035) + (0.0 if markings is None else markings))


def _one_sided_lucency(
    rng: np.random.Generator, field: np.ndarray, _side: str, scale: float, _markings: np.ndarray | None
) -> np.ndarray:
    """One lung darker than the other: a turned patient, or the scatter grid off its line."""
    return -rng.uniform(0.015, 0.05) * ndimage.gaussian_filter(field.astype(np.float32), 12 * scale)


# The bare patch stands last: it is drawn twice as often as each other.
_MIMICS = (_skin_fold, _scapular_edge, _line_with_markings, _one_sided_lucency, _bare_patch)


def _downward_edge(
    rng: np.random.Generator, field: np.ndarray, side: str, across: tuple[float, float]
) -> tuple[np.ndarray, np.ndarray, int]:
    """Return the column of a gently bent vertical edge in each row, its strength there, and +1 or -1 for outward."""
    rows, columns = np.nonzero(field)
    sign = -1 if side == "right" else 1
    medial, lateral = (columns.max(), columns.min()) if side == "right" else (columns.min(), columns.max())
    top, bottom = np.quantile(rows, rng.uniform(0.0, 0.25)), np.quantile(rows, rng.uniform(0.6, 1.0))
    knots = np.linspace(top, bottom, 5)
    width = abs(int(lateral) - int(medial))
    middle = medial + sign * width * rng.uniform(*across)
    places = middle + sign * width * (rng.uniform(-0.12, 0.16) * np.linspace(-1, 1, 5) + rng.normal(0, 0.02, 5))
    y = np.arange(field.shape[0])
    edge = np.polyval(np.polyfit(knots, places, 3), np.clip(y, top, bottom))
    fade = np.clip(np.minimum(y - top, bottom - y) / (0.12 * (bottom - top)), 0, 1)
    return edge, fade, sign
