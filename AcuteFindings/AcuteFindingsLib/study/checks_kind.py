"""Images that pass for a CT by their form but not by their values: label maps, masks, MR volumes, stripped brains."""

import numpy as np
from scipy import ndimage

from AcuteFindingsLib.study.notice import Notice
from AcuteFindingsLib.study.requirements import CtRequirements, Requirements
from AcuteFindingsLib.study.slice_values import SliceValues
from AcuteFindingsLib.study.study import Study

# HU below which only air lies.
_AIR_HU = -500.0
# A label map has few values: TotalSegmentator's has 118, FreeSurfer's about 110. Real images have more on far fewer
# voxels: of 140 real head slices of 8 bits the poorest has 139.
_MOST_LABELS = 256
# This few need no second look.
_FEW_LABELS = 8
# Neighbors in a row are the same within a label: between the darkest and the brightest value of 140 real head slices
# of 8 bits 38 % are at most, of CTs in HU 15 %, of 861 real radiographs 36 %. An image that was enlarged has more, but
# where neighbors differ they differ by little; labels jump. Part of the range of values:
_SAME_NEIGHBORS, _JUMP = 0.75, 0.05
_LOOKED_AT = 1_000_000

# In a burned-in brain window the skull is white; of MR volumes only single voxels of fat or vessels are.
_WHITE = 0.9
# The skull's HU even where a thick slice averages it with brain; fat, muscle and contrast in blood stay below.
_SKULL_HU = 300.0
# Part of a slice's area that the skull encloses: 2 of 100, where the largest slice of a head CT has 20 and more.
_LEAST_ENCLOSED = 0.04
# And part of the head, skull included: more than half in the middle of a head; in MR the skull itself is the dark part.
_LEAST_OF_HEAD = 0.4
# What the skull encloses, by its median: brain and cerebrospinal fluid, blurred with some bone. Windows differ.
_BRAIN = {"HU": (-20.0, 110.0), "windowed": (0.0, 1.0)}
# In so many slices: of a head CT half and more; where only the top of an MR is cut, its dark skull can pass for brain.
_LEAST_OF_SLICES = 0.2
_LEAST_SLICES = 5
_SIDE_PX, _SLICES = 128, 32


def label_map(study: Study, values: SliceValues) -> Notice | None:
    """Refuse an image whose values are labels: few of them, the same over large parts, and none as low as air.

    Parameters
    ----------
    study
        As read; the type of its array does not matter.
    values
        Of its array.
    """
    array = study.array
    low, high = values.lowest, values.highest
    if low < _AIR_HU or low == high:
        return None
    looked = _sample(array)
    labels = np.unique(looked)
    if len(labels) == 1:
        # All but a few voxels are background.
        labels = np.unique(array[array != labels[0]][:_LOOKED_AT])
    if len(labels) > _MOST_LABELS or (len(labels) > _FEW_LABELS and not _jumps(looked, high - low)):
        return None
    text = (
        f"The values are labels of a segmentation or mask (only {len(labels)} different ones) and not those of an "
        "image; choose the images that it was drawn on."
    )
    return Notice("label-map", "refuse", text)


def no_skull(study: Study, limits: Requirements, values: SliceValues) -> Notice | None:
    """Refuse a head CT without air in which hardly any slice shows a skull around a brain: MR, for example.

    Single slices are not judged: that of a vertex or the skull's base shows no closed ring.
    """
    if not isinstance(limits, CtRequirements) or limits.body_part != "head" or len(study.array) < _LEAST_SLICES:
        return None
    if study.intensity == "unit" or (study.intensity == "HU" and values.lowest < _AIR_HU):
        return None
    # Where values were cut off below the skull's, what is as bright as can be is bone.
    brightest = _WHITE * values.highest
    level = min(_SKULL_HU, brightest) if study.intensity == "HU" else brightest
    planes = study.array[:: max(1, len(study.array) // _SLICES)]
    found = [_enclosed(plane, level, _BRAIN[study.intensity]) >= _LEAST_ENCLOSED for plane in planes]
    if np.mean(found) >= _LEAST_OF_SLICES:
        return None
    text = (
        "Hardly any slice shows a bright skull around a brain, and there is no air in HU: this is not a head CT but "
        "perhaps an MR, a CT whose skull was removed, or another part; load the original DICOM series."
    )
    return Notice("no-skull", "refuse", text)


def _sample(array: np.ndarray) -> np.ndarray:
    """Return whole rows of evenly spread planes, about a million voxels."""
    share = max(1.0, array.size / _LOOKED_AT)
    step = int(np.ceil(np.sqrt(share)))
    return array[:: min(step, max(1, len(array) // 8)), ::step]


def _jumps(looked: np.ndarray, span: float) -> bool:
    """Whether neighbors in a row are mostly the same, background and extremes left out, and else far apart."""
    values, counts = np.unique(looked, return_counts=True)
    left, right = looked[..., :-1], looked[..., 1:]
    same = left == right
    inner = ~np.isin(left, [values[0], values[-1], values[counts.argmax()]])
    if same.all() or (inner.any() and same[inner].mean() < _SAME_NEIGHBORS):
        return False
    steps = np.abs(left[~same].astype(np.float32) - right[~same])
    return bool(np.median(steps) >= _JUMP * span)


def _enclosed(plane: np.ndarray, level: float, inside: tuple[float, float]) -> float:
    """Return the share of a slice's area within a ring of values from `level` on, if brain is inside; else 0."""
    step = max(1, max(plane.shape) // _SIDE_PX)
    height, width = (size // step for size in plane.shape)
    blocks = plane[: height * step, : width * step].reshape(height, step, width, step).mean(axis=(1, 3))
    bone = ndimage.binary_closing(np.pad(blocks >= level, 3), iterations=2)
    head = ndimage.binary_fill_holes(bone)
    cavity = ndimage.binary_opening(head & ~bone, iterations=2)[3:-3, 3:-3]
    if not cavity.sum() > _LEAST_OF_HEAD * head.sum() or not inside[0] <= float(np.median(blocks[cavity])) <= inside[1]:
        return 0.0
    return float(cavity.mean())
