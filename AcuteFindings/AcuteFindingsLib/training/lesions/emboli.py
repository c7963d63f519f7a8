"""Filling defects drawn into the opacified pulmonary artery of a real CT angiogram."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy import ndimage
from scipy.spatial import cKDTree
from skimage.graph import MCP_Geometric

# A clot folded over the division, one that fills a branch, one on the wall, one with blood all round it.
KINDS = ("saddle", "occlusive", "mural", "central")
_LENGTH_MM = {"saddle": (70.0, 110.0), "occlusive": (14.0, 32.0), "mural": (16.0, 45.0), "central": (14.0, 45.0)}
# Blood in the artery has at least this, or a clot would not be seen: the least that a reader accepts is about 200 HU.
_LEAST_BLOOD_HU = 180.0
# Less clot than this, mm³, nobody would mark.
_LEAST_MM3 = 60.0
_TRIES = 12


@dataclass(frozen=True)
class Embolus:
    """A volume ``(z, y, x)`` float32 in HU with a clot drawn into it; `mask` bool: voxels at least half clot."""

    volume: np.ndarray
    mask: np.ndarray
    kind: str
    hu: float


@dataclass(frozen=True)
class _Artery:
    """The artery's part of the volume; lengths in mm, places in voxels of the part.

    `share` is how much of a voxel is blood, 0..1; `depth` the distance to the wall; `course` the voxels on the ridge of
    `depth`, where a clot's axis may run.
    """

    spacing: np.ndarray
    lumen: np.ndarray
    share: np.ndarray
    blood: np.ndarray
    depth: np.ndarray
    course: np.ndarray


def draw_embolus(
    rng: np.random.Generator,
    volume: np.ndarray,
    artery: np.ndarray,
    spacing: tuple[float, float, float],
    *,
    kind: str | None = None,
) -> Embolus | None:
    """Draw a clot of 40 to 70 HU into the pulmonary artery; the image's noise and artifacts go on in it.

    Parameters
    ----------
    volume
        ``(z, y, x)`` in HU, with contrast agent in the artery.
    artery
        ``(z, y, x)`` bool: the pulmonary artery; what a model outlined will do, its rim is found anew.
    spacing
        mm along z, y and x.
    kind
        One of `KINDS`; drawn where None.

    Returns
    -------
    Embolus or None
        None where the artery holds too little bright blood for a clot.
    """
    kind = kind or str(rng.choice(KINDS, p=(0.15, 0.35, 0.2, 0.3)))
    box = _box(artery)
    if box is None:
        return None
    part = np.asarray(volume[box], np.float32)
    found = _artery(part, artery[box], np.asarray(spacing, float))
    if found is None:
        return None
    for _ in range(_TRIES):
        cover = _SHAPES[kind](rng, found)
        clot = cover * found.share
        if np.count_nonzero(clot > 0.5) * np.prod(spacing) >= _LEAST_MM3:
            break
    else:
        return None
    hu = float(rng.uniform(40, 70))
    inside = hu + 6.0 * _ripple(rng, part.shape, 1.2)
    drawn, mask = np.array(volume, np.float32), np.zeros(volume.shape, bool)
    # What is taken away is blood's own brightness: noise, streaks and the softness of the wall stay as they were.
    drawn[box] = part - clot * (found.blood - inside)
    mask[box] = clot > 0.5
    return Embolus(drawn, mask, kind, hu)


def draw_mixing(
    rng: np.random.Generator, volume: np.ndarray, artery: np.ndarray, spacing: tuple[float, float, float]
) -> np.ndarray:
    """Let contrast agent and blood mix badly: bright and less bright areas without edges, and no clot.

    Takes and returns ``(z, y, x)`` in HU.
    """
    box = _box(artery)
    found = None if box is None else _artery(np.asarray(volume[box], np.float32), artery[box], np.asarray(spacing))
    if box is None or found is None:
        return np.array(volume, np.float32)
    wave = _ripple(rng, found.share.shape, rng.uniform(6.0, 10.0) / float(np.mean(spacing)))
    drop = found.share * np.clip(wave, 0, 2.5) * rng.uniform(0.04, 0.11)
    out = np.array(volume, np.float32)
    out[box] -= drop * (found.blood - 40.0)
    return out


def _box(artery: np.ndarray) -> tuple[slice, ...] | None:
    boxes = ndimage.find_objects(artery.astype(np.uint8))
    if not boxes:
        return None
    return tuple(
        slice(max(s.start - 4, 0), min(s.stop + 4, length)) for s, length in zip(boxes[0], artery.shape, strict=True)
    )


def _artery(part: np.ndarray, mask: np.ndarray, spacing: np.ndarray) -> _Artery | None:
    smooth = ndimage.gaussian_filter(part, 0.6)
    core = mask & (smooth > _LEAST_BLOOD_HU)
    if not core.any():
        return None
    level = float(np.median(smooth[core]))
    core &= (smooth > 0.6 * level) & (smooth < 1.4 * level)
    # A little beyond the outline the same blood goes on; contrast agent of the cava is far brighter, a vein is apart.
    lumen = ndimage.binary_dilation(core, iterations=1) & (smooth > 0.6 * level) & (smooth < 1.35 * level)
    labels, count = ndimage.label(lumen)
    if not count:
        return None
    lumen = np.isin(labels, np.flatnonzero(np.bincount(labels.ravel())[1:] * np.prod(spacing) > 500) + 1)
    if not lumen.any():
        return None
    weight = ndimage.gaussian_filter(lumen.astype(np.float32), 3)
    blood = ndimage.gaussian_filter(np.where(lumen, part, 0).astype(np.float32), 3) / np.maximum(weight, 1e-3)
    near = ndimage.binary_dilation(lumen, iterations=1) & (part < 1.5 * level)
    part_blood = np.clip((np.maximum(smooth, part) - 60) / np.maximum(blood - 60, 1), 0, 1)
    inner = ndimage.binary_erosion(lumen)
    share = np.where(inner, 1.0, np.where(near, part_blood, 0.0)).astype(np.float32)
    depth = ndimage.distance_transform_edt(lumen, sampling=spacing)
    ridge = lumen & (depth >= ndimage.maximum_filter(depth, size=3) - 1e-6) & (depth > 2.0)
    return _Artery(spacing, lumen, share, blood.astype(np.float32), depth, np.argwhere(ridge))


def _way(artery: _Artery, start: np.ndarray, length: float, rng: np.random.Generator) -> np.ndarray:
    """Follow the middle of the artery from `start` for about `length` mm: points ``(n, 3)`` in voxels."""
    costs = np.where(artery.lumen, 1 / (0.3 + artery.depth) ** 2, -1)
    search = MCP_Geometric(costs, sampling=tuple(artery.spacing), fully_connected=True)
    reached, _ = search.find_costs([tuple(start)])
    away = np.linalg.norm((artery.course - start) * artery.spacing, axis=1)
    open_ = np.isfinite(reached[tuple(artery.course.T)])
    fits = np.flatnonzero(open_ & (away > 0.6 * length) & (away <= length))
    if not len(fits):
        fits = np.flatnonzero(open_)
        fits = fits[np.argsort(away[fits])[-3:]]
    return np.array(search.traceback(tuple(artery.course[rng.choice(fits)])), float)


def _tube(
    artery: _Artery, way: np.ndarray, radius: np.ndarray, aside: np.ndarray | None = None, soft_mm: float = 1.2
) -> np.ndarray:
    """Return the cover 0..1 of a tube with `radius` ``(n,)`` mm along `way`, moved `aside` mm ``(n, 3)`` or not."""
    points = ndimage.gaussian_filter1d(way * artery.spacing, 1.5, axis=0, mode="nearest")
    if aside is not None:
        points = points + aside
    fine = np.linspace(0, len(points) - 1, 4 * len(points))
    where = np.stack([np.interp(fine, np.arange(len(points)), points[:, k]) for k in range(3)], axis=1)
    wide = np.interp(fine, np.arange(len(points)), radius)
    candidates = np.argwhere(artery.share > 0)
    distance, nearest = cKDTree(where).query(candidates * artery.spacing, k=min(12, len(where)))
    out = np.zeros(artery.share.shape, np.float32)
    outside = (distance - wide[nearest]).min(axis=1)
    out[tuple(candidates.T)] = np.clip(0.5 - outside / soft_mm, 0, 1)
    return out


def _along(way: np.ndarray, rng: np.random.Generator, sharpness: int = 5) -> np.ndarray:
    """Return how thick a clot is along its course: rounded ends and a few lumps."""
    t = np.linspace(-1, 1, len(way))
    lumps = 1 + 0.14 * np.sin(t * rng.uniform(4, 9) + rng.uniform(0, 6))
    return np.sqrt(np.clip(1 - np.abs(t) ** sharpness, 0.1, 1)) * lumps


def _radius(artery: _Artery, way: np.ndarray) -> np.ndarray:
    return ndimage.gaussian_filter1d(artery.depth[tuple(way.astype(int).T)], 2.0, mode="nearest")


def _sideways(rng: np.random.Generator, way: np.ndarray) -> np.ndarray:
    turned = np.cross(way[-1] - way[0], rng.normal(size=3))
    return turned / max(float(np.linalg.norm(turned)), 1e-6)


def _saddle(rng: np.random.Generator, artery: _Artery) -> np.ndarray:
    # Between what lies farthest to either side: the way leads over the division.
    columns = artery.course[:, 2]
    low, high = np.quantile(columns, (0.08, 0.92))
    start = artery.course[rng.choice(np.flatnonzero(columns <= low))]
    ends = artery.course[columns >= high]
    costs = np.where(artery.lumen, 1 / (0.3 + artery.depth) ** 2, -1)
    search = MCP_Geometric(costs, sampling=tuple(artery.spacing), fully_connected=True)
    reached, _ = search.find_costs([tuple(start)])
    open_ = ends[np.isfinite(reached[tuple(ends.T)])]
    if not len(open_):
        return np.zeros_like(artery.share)
    way = np.array(search.traceback(tuple(open_[rng.integers(len(open_))])), float)
    cut = rng.uniform(0.0, 0.22, 2) * len(way)
    way = way[int(cut[0]) : len(way) - int(cut[1])]
    if len(way) < 6:
        return np.zeros_like(artery.share)
    radius = _radius(artery, way)
    sway = np.sin(np.linspace(0, rng.uniform(3, 7), len(way)) + rng.uniform(0, 6))
    aside = (0.25 * radius * sway)[:, None] * _sideways(rng, way)
    return _tube(artery, way, np.clip(radius * rng.uniform(0.38, 0.6), 2.2, 7.0) * _along(way, rng, 6), aside)


def _occlusive(rng: np.random.Generator, artery: _Artery) -> np.ndarray:
    depth = artery.depth[tuple(artery.course.T)]
    narrow = artery.course[depth <= np.quantile(depth, 0.35)]
    way = _way(artery, narrow[rng.integers(len(narrow))], rng.uniform(*_LENGTH_MM["occlusive"]), rng)
    if len(way) < 3:
        return np.zeros_like(artery.share)
    return _tube(artery, way, np.minimum(1.5 * _radius(artery, way) + 1.0, 13.0) * np.clip(_along(way, rng), 0.75, 1.2))


def _central(rng: np.random.Generator, artery: _Artery) -> np.ndarray:
    way = _way(artery, artery.course[rng.integers(len(artery.course))], rng.uniform(*_LENGTH_MM["central"]), rng)
    if len(way) < 3:
        return np.zeros_like(artery.share)
    radius = _radius(artery, way)
    aside = (radius * rng.uniform(0, 0.3))[:, None] * _sideways(rng, way)
    return _tube(artery, way, np.clip(radius * rng.uniform(0.45, 0.72), 1.8, 7.5) * _along(way, rng), aside)


def _mural(rng: np.random.Generator, artery: _Artery) -> np.ndarray:
    way = _way(artery, artery.course[rng.integers(len(artery.course))], rng.uniform(*_LENGTH_MM["mural"]), rng)
    if len(way) < 3:
        return np.zeros_like(artery.share)
    radius = _radius(artery, way)
    thick = _along(way, rng, 3)
    # The layer thins out toward its ends and leaves half of the lumen or more open.
    aside = (radius * (1.55 - 0.6 * np.clip(thick, 0, 1)))[:, None] * _sideways(rng, way)
    return _tube(artery, way, radius * 0.85, aside)


_SHAPES: dict[str, Callable[[np.random.Generator, _Artery], np.ndarray]] = {
    "saddle": _saddle,
    "occlusive": _occlusive,
    "mural": _mural,
    "central": _central,
}


def _ripple(rng: np.random.Generator, shape: tuple[int, ...], sigma: float) -> np.ndarray:
    field = ndimage.gaussian_filter(rng.standard_normal(shape).astype(np.float32), sigma)
    return np.asarray(field / max(float(field.std()), 1e-6))
