"""Filling defects: what a model draws, or what is seen where it looked, with the vessel around it."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from AcuteFindingsLib.detectors.finding import Heatmap
from AcuteFindingsLib.detectors.pe.chest import Chest
from AcuteFindingsLib.preprocessing.orient import Axial
from AcuteFindingsLib.study.blood_pool import SPINE_FROM

CLOT_HU = 60.0
"""Between fresh clot (33 HU on average) and old one (87 HU), docs/sources.md 11."""

SOFT_HU = -10.0
SHELL_MM = 4.0
LEAST_SHELL = 0.05
"""Of what lies round a clot at least this share is opacified blood, or no vessel is told."""

MOST_DRAWN = 3
HOT = 0.5
"""From this share of the strongest value in a slice on, a place counts as looked at."""

CLOSED_MM = 5.0
"""A defect narrower than twice this is closed over by the blood round it."""

ENCLOSED = 0.6
"""At least this share of a defect's rim is opacified blood of one vessel."""

LEAST_MM3 = 20.0
CHAMBER_MM = 16.0
"""Radius of the heart's chambers: gaps between their walls are no defects."""

NEAR_CHAMBER_MM = 6.0
SMOOTH_MM = 0.7


@dataclass(frozen=True)
class Defect:
    """A filling defect.

    Attributes
    ----------
    place
        ``(z, y, x)`` of its middle on the chest's axial view, in voxels.
    hu
        Median of the defect.
    around_hu
        Median of the opacified blood within `SHELL_MM` of it; None where there is none.
    caliber_mm
        Width of the vessel, defect and blood together, where it is widest; None where no vessel is told.
    mm3
        Its volume.
    slices
        How many axial planes show it.
    enclosed
        Share of its rim that is opacified blood of one vessel, 0..1.
    """

    place: tuple[float, float, float]
    hu: float
    around_hu: float | None
    caliber_mm: float | None
    mm3: float
    slices: int
    enclosed: float


def darker_than(blood_hu: float, defect: Defect) -> bool:
    """Say whether a defect is darker than blood: nearer to clot than to it."""
    return defect.hu < _edge(blood_hu)


def drawn_defects(chest: Chest, drawn: np.ndarray, blood_hu: float) -> tuple[Defect, ...]:
    """Measure the largest parts of what a model drew.

    Parameters
    ----------
    drawn
        ``(z, y, x)`` on the study's own grid, not 0 where something is drawn.
    blood_hu
        Attenuation of the opacified blood.
    """
    mask = chest.axial.view(drawn)
    planes = np.flatnonzero(mask.any(axis=(1, 2)))
    if not len(planes):
        return ()
    labels, count = ndimage.label(mask[planes[0] : planes[-1] + 1], structure=np.ones((3, 3, 3)))
    sizes = np.bincount(labels.ravel(), minlength=count + 1)[1:]
    boxes = ndimage.find_objects(labels)
    found = []
    for number in np.argsort(sizes, kind="stable")[::-1][:MOST_DRAWN]:
        own = boxes[number]
        box, inner = _widened((slice(own[0].start + planes[0], own[0].stop + planes[0]), *own[1:]), chest.axial)
        part = np.zeros([side.stop - side.start for side in box], bool)
        part[inner] = labels[own] == number + 1
        found.append(_measured(chest.axial, box, part, blood_hu))
    return tuple(found)


def seen_defect(chest: Chest, heatmap: Heatmap, blood_hu: float) -> Defect | None:
    """Look for a defect enclosed by opacified blood where a network looked; None where none is seen there.

    A clot that fills a vessel has no blood round it and is not found; neither is what has another density.
    """
    best: tuple[float, Defect] | None = None
    for box, hot in _looked_at(chest, heatmap):
        for defect in _enclosed(chest, box, hot, blood_hu):
            worth = defect.mm3 * defect.enclosed
            if best is None or worth > best[0]:
                best = worth, defect
    return best[1] if best else None


def looked_share(chest: Chest, heatmap: Heatmap, middle: float) -> float | None:
    """Return which share of what the network looked at lies right of a column of the axial view; None for nothing."""
    right = total = 0.0
    for box, hot in _looked_at(chest, heatmap):
        columns = hot.sum(axis=(0, 1))
        right += float(columns[: int(np.clip(round(middle) - box[2].start, 0, len(columns)))].sum())
        total += float(columns.sum())
    return right / total if total else None


def _looked_at(chest: Chest, heatmap: Heatmap) -> Iterator[tuple[tuple[slice, slice, slice], np.ndarray]]:
    """Return, for every run of slices that the heat map has, a box of the axial view and the hot places in it."""
    shape = chest.axial.array.shape
    to_map = np.linalg.inv(heatmap.ijk_to_ras) @ chest.axial.ijk_to_ras
    if np.abs(to_map[:3, :3] - np.diag(np.diag(to_map[:3, :3]))).max() > 1e-3:
        return
    scale, origin = np.diag(to_map)[:3][::-1], to_map[:3, 3][::-1]
    strongest = heatmap.array.max(axis=(1, 2))
    nearest = [np.rint(origin[axis] + scale[axis] * np.arange(count)).astype(int) for axis, count in enumerate(shape)]
    inside = [(at >= 0) & (at < count) for at, count in zip(nearest, heatmap.array.shape, strict=True)]
    shown = np.zeros(shape[0], bool)
    shown[inside[0]] = strongest[nearest[0][inside[0]]] > 0
    labels, count = ndimage.label(shown)
    for (run,) in ndimage.find_objects(labels) if count else ():
        levels = nearest[0][run]
        small = heatmap.array[levels] >= np.maximum(HOT * strongest[levels], 1)[:, None, None]
        rows, columns = inside[1], inside[2]
        hot = np.zeros((len(levels), *shape[1:]), bool)
        hot[:, *np.ix_(rows, columns)] = small[:, *np.ix_(nearest[1][rows], nearest[2][columns])]
        where = ndimage.find_objects(hot.astype(np.uint8))
        if where:
            own = where[0]
            box = (slice(run.start + own[0].start, run.start + own[0].stop), own[1], own[2])
            wide, inner = _widened(box, chest.axial)
            part = np.zeros([side.stop - side.start for side in wide], bool)
            part[inner] = hot[own]
            yield wide, part


def _widened(
    box: tuple[slice, ...], axial: Axial, by_mm: float = 12.0
) -> tuple[tuple[slice, slice, slice], tuple[slice, ...]]:
    """Return a box with what lies round it, and where the box lies in that."""
    wide, inner = [], []
    for side, step, count in zip(box, axial.spacing, axial.array.shape, strict=True):
        margin = max(1, round(by_mm / step))
        start, stop = max(0, side.start - margin), min(count, side.stop + margin)
        wide.append(slice(start, stop))
        inner.append(slice(side.start - start, side.stop - start))
    return (wide[0], wide[1], wide[2]), tuple(inner)


def _edge(blood_hu: float) -> float:
    """Return the attenuation half way between clot and blood."""
    return (CLOT_HU + blood_hu) / 2


def _measured(
    axial: Axial,
    box: tuple[slice, slice, slice],
    part: np.ndarray,
    blood_hu: float,
    hu: np.ndarray | None = None,
) -> Defect:
    """Measure a defect, `part` of a box of the axial view; `hu` are the box's own values, or smoothed ones."""
    hu = axial.array[box] if hu is None else hu
    spacing = axial.spacing
    core = ndimage.binary_erosion(part, structure=np.ones((1, 3, 3)))
    within = hu[core if core.any() else part]
    near = np.zeros(part.shape, bool)
    for z in np.flatnonzero(part.any(axis=(1, 2))):
        away = ndimage.distance_transform_edt(~part[z], sampling=spacing[1:])
        near[z] = (away > 0) & (away <= SHELL_MM)
    blood = hu > _edge(blood_hu)
    shell = hu[near & blood]
    lumen = blood | part
    vessel = near.any() and len(shell) / np.count_nonzero(near) >= LEAST_SHELL
    calibers = []
    for z in np.flatnonzero(part.any(axis=(1, 2))) if vessel else ():
        inside = ndimage.distance_transform_edt(lumen[z], sampling=spacing[1:])
        calibers.append(2 * float(inside[ndimage.binary_dilation(part[z])].max()))
    middle = np.argwhere(part).mean(axis=0) + [side.start for side in box]
    rim = near & (ndimage.binary_dilation(part, structure=np.ones((1, 3, 3)), iterations=2))
    return Defect(
        (float(middle[0]), float(middle[1]), float(middle[2])),
        float(np.median(within)),
        float(np.median(shell)) if vessel else None,
        float(np.percentile(calibers, 75)) if calibers else None,
        float(np.count_nonzero(part) * np.prod(spacing)),
        int(part.any(axis=(1, 2)).sum()),
        _one_vessel(blood, rim),
    )


def _one_vessel(blood: np.ndarray, rim: np.ndarray) -> float:
    """Return the share of a defect's rim that belongs to one vessel in each plane: between two vessels lies tissue."""
    most = 0
    for z in np.flatnonzero(rim.any(axis=(1, 2))):
        labels, count = ndimage.label(blood[z])
        if count:
            most += int(np.bincount(labels[rim[z]], minlength=count + 1)[1:].max())
    return most / max(int(np.count_nonzero(rim)), 1)


def _enclosed(chest: Chest, box: tuple[slice, slice, slice], hot: np.ndarray, blood_hu: float) -> Iterator[Defect]:
    """Return what opacified blood encloses in a box of the axial view, where it is `hot`."""
    axial, edge = chest.axial, _edge(blood_hu)
    sigma = SMOOTH_MM / np.asarray(axial.spacing[1:])
    hu = ndimage.gaussian_filter(axial.array[box].astype(np.float32, copy=False), (0, *sigma))
    allowed = _vessels_may_lie(chest, box) & hot
    parts = np.zeros(hu.shape, bool)
    reach = [max(1, round(CLOSED_MM / step)) for step in axial.spacing[1:]]
    for z in np.flatnonzero(allowed.any(axis=(1, 2))):
        blood = np.pad(hu[z] > edge, [(by, by) for by in reach])
        inside = ndimage.distance_transform_edt(blood, sampling=axial.spacing[1:])
        far = ndimage.distance_transform_edt(~blood, sampling=axial.spacing[1:]) <= CLOSED_MM
        closed = ndimage.distance_transform_edt(far, sampling=axial.spacing[1:]) > CLOSED_MM
        defect = closed & ~blood
        chamber = inside > CHAMBER_MM
        if chamber.any():
            defect &= ndimage.distance_transform_edt(~chamber, sampling=axial.spacing[1:]) > (
                CHAMBER_MM + NEAR_CHAMBER_MM
            )
        own = defect[reach[0] : -reach[0], reach[1] : -reach[1]]
        parts[z] = ndimage.binary_opening(own & (hu[z] > SOFT_HU) & (hu[z] < edge), structure=np.ones((2, 2)))
    parts &= allowed
    labels, count = ndimage.label(parts)
    voxel = float(np.prod(axial.spacing))
    for number, own in enumerate(ndimage.find_objects(labels) if count else (), 1):
        part = labels[own] == number
        if np.count_nonzero(part) * voxel < LEAST_MM3:
            continue
        place = tuple(slice(a.start + b.start, a.stop + b.start) for a, b in zip(own, box, strict=True))
        wide, inner = _widened(place, axial)
        whole = np.zeros([side.stop - side.start for side in wide], bool)
        whole[inner] = part
        defect = _measured(axial, wide, whole, blood_hu)
        if defect.enclosed >= ENCLOSED:
            yield defect


def _vessels_may_lie(chest: Chest, box: tuple[slice, slice, slice]) -> np.ndarray:
    """Return where in a box of the axial view pulmonary arteries may lie: in the lungs, and in front of the spine."""
    shape = chest.lungs.shape
    places = [
        np.minimum(np.arange(side.start, side.stop) // factor, count - 1)
        for side, factor, count in zip(box, chest.factors, shape, strict=True)
    ]
    levels, index = np.unique(places[0], return_inverse=True)
    planes = np.zeros((len(levels), *shape[1:]), bool)
    for own, z in zip(planes, levels, strict=True):
        lungs = chest.lungs[z]
        rows = np.flatnonzero(lungs.any(axis=1))
        if not len(rows):
            continue
        between = np.maximum.accumulate(lungs, axis=1) & np.maximum.accumulate(lungs[:, ::-1], axis=1)[:, ::-1]
        between[int(rows[0] + SPINE_FROM * (rows[-1] + 1 - rows[0])) :] = False
        own[:] = between | ndimage.binary_closing(lungs, iterations=5)
    return planes[index][:, *np.ix_(places[1], places[2])]
