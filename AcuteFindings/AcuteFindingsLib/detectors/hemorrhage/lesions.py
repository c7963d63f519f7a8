"""What can be measured of each outline of a bleed: density, bone, the other side, streaks, size, place."""

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from AcuteFindingsLib.detectors.hemorrhage.head import Head
from AcuteFindingsLib.preprocessing.orient import Axial

DENSE_HU = 90.0
BONE_HU = 200.0
METAL_HU = 2500.0
MOST_LESIONS = 3
"""So many outlines are told of one by one, the largest first."""

Box = tuple[slice, slice, slice]

_NEIGHBORS = np.ones((3, 3, 3), bool)
_NEAR_BONE_MM = 2.0
_RING_MM = (2.0, 6.0)
# How far a mirrored place may lie beside the true one: no brain is a mirror image of itself.
_SEARCH_MM = 5.0
# What lies nearer to the skull holds bone in the coarse voxels of the small head.
_CLEAR_OF_SKULL_MM = 3.0
_AROUND_MM = 20.0
_MARGIN_MM = 8.0
# So many voxels of an outline tell its mean on the other side.
_MOST_MIRRORED = 2000
_FLUID_HU = 18.0
_FLUID_DEEP_MM = 20.0
_BESIDE_FLUID_MM = 3.0


@dataclass(frozen=True)
class Lesion:
    """One connected outline; densities in HU, lengths in mm, places in mm as `head.Head` has them.

    Attributes
    ----------
    volume_ml, length_mm, height_mm
        Its size: the largest extent in a slice, and that across slices.
    plane
        The plane of the axial array with most of it.
    planes
        First and last plane of it.
    mean, high
        Mean and 95th percentile.
    dense
        Share of it above 90 HU.
    near_bone, dense_near_bone
        Share of it, and of what is above 90 HU, within 2 mm or one slice of `Head.skull`; 0 where there is none of it.
    around
        Mean density of the brain 2 to 6 mm around it; None where nothing of it is seen.
    mirrored
        Mean density of the most alike place on the other side; None where it lies outside the brain.
    off_middle
        How far its center lies from the middle plane, mm, the patient's left positive.
    across
        How wide it is from side to side, mm.
    depth
        How deep its voxels lie under the inner table, median, mm.
    front, up
        Where its center lies: 0 at the front of the brain to 1 at its back; mm above the largest slice.
    half_width
        From the middle plane to the inner table at its largest, mm.
    fluid_ml
        Fluid deep in the brain within 3 mm of it: of the ventricles.
    metal
        Whether something as dense as metal lies in its slices within 20 mm.
    """

    volume_ml: float
    length_mm: float
    height_mm: float
    plane: int
    planes: tuple[int, int]
    mean: float
    high: float
    dense: float
    near_bone: float
    dense_near_bone: float
    around: float | None
    mirrored: float | None
    off_middle: float
    across: float
    depth: float
    front: float
    up: float
    half_width: float
    fluid_ml: float
    metal: bool


def outlines(mask: np.ndarray) -> list[tuple[np.ndarray, Box]]:
    """Return the connected parts of a mask ``(z, y, x)``: own voxels as bool in the shape of a box, largest first."""
    whole = []
    for axis in range(3):
        used = np.flatnonzero(mask.any(axis=tuple(other for other in range(3) if other != axis)))
        if not len(used):
            return []
        whole.append(slice(int(used[0]), int(used[-1]) + 1))
    labels, _ = ndimage.label(mask[tuple(whole)], structure=_NEIGHBORS)
    boxes = ndimage.find_objects(labels)
    counts = np.bincount(labels.ravel(), minlength=len(boxes) + 1)[1:]
    found = []
    for n in np.argsort(-counts, kind="stable"):
        z, y, x = (slice(own.start + by.start, own.stop + by.start) for own, by in zip(boxes[n], whole, strict=True))
        found.append((labels[boxes[n]] == n + 1, (z, y, x)))
    return found


def measure_lesion(axial: Axial, head: Head, depth: np.ndarray, own: np.ndarray, box: Box) -> Lesion:
    """Measure one outline: its density from all of its voxels, what is around it in every slice of the small head.

    Parameters
    ----------
    axial
        The study in axial order, HU.
    head, depth
        As `head.small_head` and `head.depth_mm` give them.
    own, box
        As `outlines` gives them.
    """
    spacing = axial.spacing
    values = axial.array[box][own]
    z, y, x = ((axis + part.start + 0.5) * mm for axis, part, mm in zip(np.nonzero(own), box, spacing, strict=True))
    off = head.off_middle(z, y, x)
    areas = np.count_nonzero(own, axis=(1, 2))
    top = int(areas.argmax())
    rows, columns = np.nonzero(own[top])
    dense = values > DENSE_HU
    front, up, half = _within_brain(head, float(z.mean()), float(y.mean()))
    around = _around(axial, head, depth, own, box)
    return Lesion(
        volume_ml=float(len(values) * np.prod(spacing) / 1000),
        length_mm=float(max(np.hypot(np.ptp(rows) * spacing[1], np.ptp(columns) * spacing[2]), spacing[1])),
        height_mm=float((box[0].stop - box[0].start) * spacing[0]),
        plane=top + box[0].start,
        planes=(box[0].start, box[0].stop - 1),
        mean=float(values.mean()),
        high=float(np.percentile(values, 95)),
        dense=float(dense.mean()),
        near_bone=around.near_bone,
        dense_near_bone=around.dense_near_bone,
        around=around.density,
        mirrored=_mirrored(head, depth, z, y, x),
        off_middle=float(off.mean()),
        across=float(np.ptp(off)),
        depth=around.depth,
        front=front,
        up=up,
        half_width=half,
        fluid_ml=around.fluid_ml,
        metal=bool((axial.array[_widened(box, axial.array.shape, spacing, _AROUND_MM)] > METAL_HU).any()),
    )


@dataclass(frozen=True)
class _Around:
    near_bone: float
    dense_near_bone: float
    density: float | None
    depth: float
    fluid_ml: float


def _around(axial: Axial, head: Head, depth: np.ndarray, own: np.ndarray, box: Box) -> _Around:
    """Measure what lies around an outline, in slices as far apart as those of the small head."""
    wide = _widened(box, axial.array.shape, axial.spacing, _MARGIN_MM)
    first = (int(np.count_nonzero(own, axis=(1, 2)).argmax()) + box[0].start) % head.group
    planes = np.arange(first, len(axial.array), head.group)
    planes = planes[(planes >= box[0].start - head.group) & (planes < box[0].stop + head.group)]
    index = (planes, *(np.arange(part.start, part.stop) for part in wide[1:]))
    spacing = (axial.spacing[0] * head.group, *axial.spacing[1:])
    hu = np.asarray(axial.array[planes][:, wide[1], wide[2]], np.float32)
    mask = np.zeros(hu.shape, bool)
    held = (planes >= box[0].start) & (planes < box[0].stop)
    inner = tuple(slice(p.start - w.start, p.stop - w.start) for p, w in zip(box[1:], wide[1:], strict=True))
    mask[np.flatnonzero(held)[:, None, None], np.r_[inner[0]][:, None], np.r_[inner[1]]] = own[
        planes[held] - box[0].start
    ]
    places = [
        np.minimum(((at + 0.5) * mm / small).astype(int), count - 1)
        for at, mm, small, count in zip(index, axial.spacing, head.spacing, depth.shape, strict=True)
    ]
    inside, skull, deep = (small[np.ix_(*places)] for small in (head.inside, head.skull, depth))
    away = _distance(mask, spacing)
    bone = (hu > BONE_HU) & (skull | ~inside)
    by_bone = _distance(bone, spacing) <= _NEAR_BONE_MM
    by_bone[1:] |= bone[:-1]
    by_bone[:-1] |= bone[1:]
    ring = (away > _RING_MM[0]) & (away <= _RING_MM[1]) & inside & (hu < BONE_HU)
    soft = ndimage.gaussian_filter(hu, (0, 1.0 / spacing[1], 1.0 / spacing[2]))
    fluid = (soft < _FLUID_HU) & (deep > _FLUID_DEEP_MM) & inside & (away > 0) & (away <= _BESIDE_FLUID_MM)
    dense = mask & (hu > DENSE_HU)
    return _Around(
        near_bone=float(by_bone[mask].mean()),
        dense_near_bone=float(by_bone[dense].mean()) if dense.any() else 0.0,
        density=float(hu[ring].mean()) if np.count_nonzero(ring) >= 10 else None,
        depth=float(np.median(deep[mask])),
        fluid_ml=float(np.count_nonzero(fluid) * np.prod(spacing) / 1000),
    )


def _widened(box: Box, shape: tuple[int, ...], spacing: tuple[float, float, float], by_mm: float) -> Box:
    """Return a box with a margin in plane."""
    y, x = (
        slice(max(part.start - round(by_mm / mm), 0), min(part.stop + round(by_mm / mm), count))
        for part, mm, count in zip(box[1:], spacing[1:], shape[1:], strict=True)
    )
    return box[0], y, x


def _distance(mask: np.ndarray, spacing: tuple[float, ...]) -> np.ndarray:
    """Return how far each voxel lies from a mask within its own slice, mm; infinite where the slice holds none."""
    out = np.full(mask.shape, np.inf, np.float32)
    for k in np.flatnonzero(mask.any(axis=(1, 2))):
        out[k] = ndimage.distance_transform_edt(~mask[k], sampling=spacing[1:])
    return out


def _mirrored(head: Head, depth: np.ndarray, z: np.ndarray, y: np.ndarray, x: np.ndarray) -> float | None:
    """Return the density of the place on the other side that is most alike: the shape moved by up to 5 mm."""
    every = max(1, len(z) // _MOST_MIRRORED)
    z, y, x = z[::every], y[::every], x[::every]
    step = np.array(head.spacing)
    places = head.mirrored(z, y, x) / step[:, None] - 0.5
    found: list[float] = []
    reach = round(_SEARCH_MM / head.spacing[1])
    for dz in (-1, 0, 1):
        for dy in range(-reach, reach + 1, 2):
            for dx in range(-reach, reach + 1, 2):
                index = np.rint(places + np.array([[dz], [dy], [dx]])).astype(int)
                kept = np.all((index >= 0) & (index < np.array(head.hu.shape)[:, None]), axis=0)
                k, j, i = index[:, kept]
                inside = depth[k, j, i] > _CLEAR_OF_SKULL_MM
                if np.count_nonzero(inside) * 2 >= len(z):
                    found.append(float(head.hu[k, j, i][inside].mean()))
    return max(found) if found else None


def _within_brain(head: Head, z: float, y: float) -> tuple[float, float, float]:
    """Return where a place lies from front to back (0..1), how far above the largest slice, and half its width."""
    areas = ndimage.uniform_filter1d(head.inside.sum(axis=(1, 2)).astype(float), 3)
    largest = int(areas.argmax())
    k = int(np.clip(z / head.spacing[0], 0, len(areas) - 1))
    plane = head.inside[k] if head.inside[k].any() else head.inside[largest]
    rows = np.flatnonzero(plane.any(axis=1)) * head.spacing[1]
    front = (y - rows[0]) / max(float(np.ptp(rows)), 1.0)
    half = float(plane.sum(axis=1).max() * head.spacing[2] / 2)
    return float(front), float(z - (largest + 0.5) * head.spacing[0]), half
