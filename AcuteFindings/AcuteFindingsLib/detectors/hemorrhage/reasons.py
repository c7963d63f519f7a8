"""What a reader can check of a hemorrhage verdict, computed from the head CT (docs/sources.md 9)."""

import numpy as np
from scipy import ndimage

from AcuteFindingsLib.counting import counted
from AcuteFindingsLib.detectors.finding import Finding, Mask, Measurement, Reason
from AcuteFindingsLib.detectors.hemorrhage.head import Head, depth_mm, small_head
from AcuteFindingsLib.detectors.hemorrhage.lesions import MOST_LESIONS, Lesion, measure_lesion, outlines
from AcuteFindingsLib.detectors.hemorrhage.reasons_head import (
    coverage_reasons,
    densest_reason,
    midline_reason,
    streak_reasons,
)
from AcuteFindingsLib.detectors.hemorrhage.reasons_outline import (
    SOURCE,
    Named,
    is_denser_than_blood,
    outline_reasons,
)
from AcuteFindingsLib.detectors.hemorrhage.slices import Slices, slices_of
from AcuteFindingsLib.preprocessing.orient import Axial, to_axial
from AcuteFindingsLib.study.study import Study

DOUBT = "no-outline-is-blood"
"""The reason that leaves a positive verdict indeterminate (`DetectorKind.doubts`)."""

# Outlines smaller than this neither make nor break the doubt.
_LEAST_ML = 0.1
# More than any skull holds; measuring so much takes long.
_MOST_ML = 2000.0
# So many of the positive slices must show an outline for all of them to be explained.
_SHOWN = 0.5
# Of a heat map so much of its peak counts as where the model looked.
_LOOKED = 0.5
_BRIGHTER_HU = 12.0
_DEEP_BRAIN_MM = 10.0
_BRAIN_HU = 34.0
# Some models draw edema beside the blood.
_EDEMA = "2032001"
_ORDER = {"against": 0, "for": 1, "caution": 2, "looked": 3}


def reasons(study: Study, finding: Finding) -> tuple[Reason, ...]:
    """Return what speaks for and against a hemorrhage verdict, the most telling first.

    Outlines are measured where the model draws them, the largest three; of a model without outlines the brightest part
    of where it looked is. Pictures without Hounsfield units get what can be said of their slices.
    """
    axial = to_axial(study)
    slices = slices_of(study, axial)
    seen = _slice_reasons(finding)
    if study.intensity != "HU":
        text = (
            "The pictures hold gray levels of one window, not Hounsfield units: density, and so calcification, was not "
            "checked, nor the midline."
        )
        found = [Reason("density-not-checked", "caution", text, SOURCE)]
        if len(slices.indices) == 1:
            text = "One slice was seen: nothing is said of the rest of the brain."
            found.append(Reason("one-slice", "caution", text, SOURCE))
        return (*found, *seen)
    head = small_head(axial)
    if head is None:
        text = "No whole skull with brain in it is seen: outlines, sides, midline and coverage were not checked."
        return (*seen, Reason("no-skull-seen", "caution", text, SOURCE))
    depth = depth_mm(head)
    found, planes = _lesion_reasons(axial, head, depth, finding, slices)
    negative = finding.verdict.label == "negative"
    if not planes:
        planes = [slices.plane_of(_highest(finding))] if finding.slices else []
        found += densest_reason(head, depth, slices)
    found += streak_reasons(head, depth, slices, planes)
    if study.pixel_spacing_known:
        found.append(midline_reason(head, depth, slices, negative=negative))
        found += coverage_reasons(head, slices, axial.spacing[0], negative=negative)
    return tuple(sorted((*seen, *found), key=lambda reason: (reason.code != DOUBT, _ORDER[reason.bearing])))


def _slice_reasons(finding: Finding) -> list[Reason]:
    """Say what the model's own answers rest on: the highest slice, and how near it came."""
    if not finding.slices:
        return []
    index = _highest(finding)
    value = max(item.probabilities[finding.main_label] for item in finding.slices)
    values = (Measurement("Highest slice probability", value, "1"),)
    read = f"{counted(len(finding.slices), 'slice')} {'was' if len(finding.slices) == 1 else 'were'} read"
    below = value < finding.slice_threshold
    reach = "below" if below else "which reaches"
    text = (
        f"{read}; the most suspicious is slice {index + 1} with {value:.2f}, {reach} the operating point of "
        f"{finding.slice_threshold:.2f}."
    )
    return [Reason("most-suspicious-slice", "looked", text, SOURCE, values, index)]


def _highest(finding: Finding) -> int:
    return max(finding.slices, key=lambda item: item.probabilities[finding.main_label]).index


def _lesion_reasons(
    axial: Axial, head: Head, depth: np.ndarray, finding: Finding, slices: Slices
) -> tuple[list[Reason], list[int]]:
    """Return the reasons of what is drawn, or of where the model looked, and the planes they are about."""
    blood = [mask for mask in finding.masks if mask.type.value != _EDEMA and mask.voxels]
    if blood:
        return _drawn_reasons(axial, head, depth, blood, finding, slices)
    if finding.heatmap is None or finding.heatmap.array.shape != axial.array.shape:
        return [], []
    return _looked_reasons(axial, head, depth, finding.heatmap.array, slices)


def _drawn_reasons(
    axial: Axial, head: Head, depth: np.ndarray, masks: list[Mask], finding: Finding, slices: Slices
) -> tuple[list[Reason], list[int]]:
    drawn = masks[0].array if len(masks) == 1 else np.any([mask.array for mask in masks], axis=0)
    voxel_ml = float(np.prod(axial.spacing)) / 1000
    parts = outlines(axial.view(drawn))
    if parts and np.count_nonzero(parts[0][0]) * voxel_ml > _MOST_ML:
        ml = np.count_nonzero(parts[0][0]) * voxel_ml
        text = f"{ml:.0f} mL are drawn in one piece, more than a brain holds: this is no outline of a bleed."
        return [Reason("larger-than-a-brain", "against", text, SOURCE)], []
    lesions = [measure_lesion(axial, head, depth, *part) for part in parts[:MOST_LESIONS]]
    found: list[Reason] = []
    for number, lesion in enumerate(lesions, start=1):
        found += outline_reasons(Named(f"Outline {number}", lesion, slices.at_plane(lesion.plane)))
    rest = [(np.count_nonzero(own) * voxel_ml, own, box) for own, box in parts[MOST_LESIONS:]]
    if rest:
        one, together = len(rest) == 1, sum(ml for ml, _, _ in rest)
        text = f"{counted(len(rest), 'smaller outline')} ({together:.1f} mL) {'is' if one else 'are'} not told apart."
        found.append(Reason("further-outlines", "looked", text, SOURCE))
    further = []
    if all(map(is_denser_than_blood, lesions)):
        further = [measure_lesion(axial, head, depth, own, box) for ml, own, box in rest if ml >= _LEAST_ML]
    found += _doubt([*lesions, *further], finding, slices)
    return found, sorted({plane for lesion in lesions for plane in range(lesion.planes[0], lesion.planes[1] + 1)})


def _doubt(lesions: list[Lesion], finding: Finding, slices: Slices) -> list[Reason]:
    """Say so where nothing that is drawn can be blood: each outline of 0.1 mL or more is denser than blood can be.

    At least half of the positive slices must show one, else the verdict rests on something else too.
    """
    large = [lesion for lesion in lesions if lesion.volume_ml >= _LEAST_ML] or lesions
    if not all(map(is_denser_than_blood, large)):
        return []
    positive = [item for item in finding.slices if item.probabilities[finding.main_label] >= finding.slice_threshold]
    planes = [slices.plane_of(item.index) for item in positive]
    shown = sum(any(lesion.planes[0] <= plane <= lesion.planes[1] for lesion in large) for plane in planes)
    if not planes or shown < _SHOWN * len(planes):
        return []
    share = min(lesion.dense for lesion in large)
    text = (
        f"All that is drawn is denser than blood: of each outline {share:.0%} or more lies above 90 HU, and its 95th "
        "percentile above 130 HU, as in calcification, bone, a catheter or contrast agent."
    )
    return [Reason(DOUBT, "against", text, SOURCE, (Measurement("Smallest share above 90 HU", 100 * share, "%"),))]


def _looked_reasons(
    axial: Axial, head: Head, depth: np.ndarray, heat: np.ndarray, slices: Slices
) -> tuple[list[Reason], list[int]]:
    """Measure what is brightest where a model without outlines looked: no outline, so no size and no doubt."""
    hot = heat >= max(_LOOKED * float(heat.max()), 1.0)
    planes = np.flatnonzero(hot.any(axis=(1, 2)))
    brain = float(np.median(head.hu[depth > _DEEP_BRAIN_MM])) if (depth > _DEEP_BRAIN_MM).any() else _BRAIN_HU
    soft = np.zeros(axial.array.shape, bool)
    for plane in planes:
        blur = [1.0 / mm for mm in axial.spacing[1:]]
        soft[plane] = ndimage.gaussian_filter(np.asarray(axial.array[plane], np.float32), blur) > brain + _BRIGHTER_HU
        soft[plane] &= hot[plane] & head.inside_plane(plane, axial)
    parts = outlines(soft)
    about = [int(plane) for plane in planes]
    if not parts:
        text = (
            f"Where the model looked nothing is {_BRIGHTER_HU:.0f} HU or more brighter than the brain ({brain:.0f} "
            "HU), as acute blood is."
        )
        index = slices.at_plane(int(heat.max(axis=(1, 2)).argmax()))
        return [Reason("nothing-bright-there", "against", text, SOURCE, (), index)], about
    lesion = measure_lesion(axial, head, depth, *parts[0])
    named = Named("The brightest part of where the model looked", lesion, slices.at_plane(lesion.plane))
    return outline_reasons(named, measured=False), about
