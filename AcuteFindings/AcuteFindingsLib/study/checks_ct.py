"""Whether a CT holds HU in slices that a detector can use, of the right part of the body, with or without contrast."""

import numpy as np

from AcuteFindingsLib.study.checks_body_part import check_body_part
from AcuteFindingsLib.study.checks_contrast import check_contrast
from AcuteFindingsLib.study.content import CtContent, ct_content
from AcuteFindingsLib.study.evidence import stated_kinds
from AcuteFindingsLib.study.notice import Notice
from AcuteFindingsLib.study.plausibility import check_body_size
from AcuteFindingsLib.study.requirements import CtRequirements
from AcuteFindingsLib.study.slice_values import SliceValues
from AcuteFindingsLib.study.study import Study
from AcuteFindingsLib.study.words import ANGIOGRAM, unit_of

_AIR_HU = -500.0
_CROPPED_SHARE = 0.25
_CROPPED_MM = 40.0
_REFORMAT_DEG = 45.0
_GAP_FACTOR = 1.5
# Cosine of 45 degrees: nearer to across than to along.
_ACROSS = 0.7
_SECONDARY_CAPTURE = "1.2.840.10008.5.1.4.1.1.7"


def check_ct(study: Study, limits: CtRequirements, values: SliceValues) -> list[Notice]:
    """Check values, body part, contrast, orientation, thickness, coverage and number of slices of a CT.

    `values` are those of its array.
    """
    scale = _values(study, limits, values)
    if any(notice.severity == "refuse" for notice in scale):
        return scale
    early = [*scale, *_kind_of_image(study), *_orientation(study, limits)]
    if any(notice.severity == "refuse" for notice in early):
        # Of a localizer, a map or coronal slices nothing can be said about lungs or brain.
        return early
    content = ct_content(study) if study.intensity == "HU" else None
    part = check_body_part(study, limits, content)
    found = [*early, *part, *_thickness(study, limits)]
    if any(notice.severity == "refuse" for notice in part):
        return found
    if content is not None and study.pixel_spacing_known:
        found += check_body_size(content, limits.body_part)
    return [*found, *check_contrast(study, limits, content), *_coverage(study, limits, content)]


def _values(study: Study, limits: CtRequirements, values: SliceValues) -> list[Notice]:
    """Find out whether the numbers are HU."""
    burned_in = "The display window is burned into the images (8-bit gray levels instead of HU)"
    if study.intensity == "windowed":
        if limits.accepts_windowed:
            text = f"{burned_in}: densities cannot be measured, and any window but the brain window misleads the model."
            return [Notice("window-burnt-in", "warn", text)]
        return [Notice("window-burnt-in", "refuse", f"{burned_in}; load the original DICOM series.")]
    low, high = values.lowest, values.highest
    if low < _AIR_HU:
        return []
    if low >= 0 and high <= 255:
        return [Notice("window-burnt-in", "refuse", f"{burned_in}; load the original DICOM series.")]
    text = (
        f"There is no air in the images (lowest value {low:.0f}, expected about -1000 HU): values were cut off by a "
        "display window or the surroundings were removed; load the original DICOM series."
    )
    return [Notice("window-burnt-in", "refuse" if limits.body_part == "chest" else "warn", text)]


def _kind_of_image(study: Study) -> list[Notice]:
    """Name what is no stack of slices in HU, by Image Type, Rescale Type, the series' name and its kernel."""
    kinds = stated_kinds(study.dicom)
    if {"LOCALIZER", "SCOUT"} & {word.upper() for word in study.dicom.image_type}:
        text = "This is a localizer (scout view), not a series of slices; choose another series."
        return [Notice("localizer", "refuse", text)]
    unit = unit_of(study.dicom.rescale_type)
    if unit not in ("HU", "?") or "material map" in kinds:
        what = unit if unit not in ("HU", "?") else "those of a map of one material or of perfusion"
        text = f"The values are not HU but {what}, as the header says; choose the series with CT numbers."
        return [Notice("not-hu", "refuse", text)]
    found = []
    if unit == "?":
        text = "The header names a unit of the values (0028,1054) that is not HU; make sure that this is a plain CT."
        found.append(Notice("unknown-unit", "warn", text))
    if study.dicom.sop_class_uid.startswith(_SECONDARY_CAPTURE):
        text = "These are secondary captures (pictures of a screen or of a report); load the original series."
        found.append(Notice("secondary-capture", "warn", text))
    if "slab" in kinds:
        text = "These are projections through thick slabs, in which small findings are hidden; choose the thin slices."
        found.append(Notice("projection-slabs", "warn", text))
    sharp = {"lung", "bone"} & kinds
    if sharp and (study.dicom.convolution_kernel or ANGIOGRAM not in kinds):
        kernel = study.dicom.convolution_kernel
        what = f"The kernel {kernel}" if kernel else "The series, by its name,"
        text = (
            f"{what} is one for {' or '.join(sorted(sharp))}: noise of sharp kernels hides small findings and imitates "
            "others; choose the series with a soft kernel if there is one."
        )
        found.append(Notice("sharp-kernel", "warn", text))
    return found


def _orientation(study: Study, limits: CtRequirements) -> list[Notice]:
    """Measure how far the slices are from axial, and whether axial ones can be rebuilt."""
    normal = study.ijk_to_ras[:3, 2] / np.linalg.norm(study.ijk_to_ras[:3, 2])
    degrees = float(np.degrees(np.arccos(np.clip(abs(normal[2]), 0, 1))))
    if degrees <= limits.oblique_warn_deg:
        return _turned(study)
    if degrees <= _REFORMAT_DEG:
        text = (
            f"The slices are tilted {degrees:.0f}° away from axial, more than the detector knows; read the answer "
            "with care."
        )
        return [Notice("oblique-slices", "warn", text)]
    apart = study.spacing[0]
    if study.array.shape[0] == 1 or apart > limits.reformat_refuse_mm:
        text = (
            f"The slices are {study.orientation} and {apart:.1f} mm apart, too far to rebuild axial ones, which the "
            "detector needs; choose the axial series."
        )
        return [Notice("not-axial", "refuse", text)]
    text = (
        f"The slices are {study.orientation}; axial ones are rebuilt for the detector, so results belong to no single "
        "original slice: choose the axial series if there is one."
    )
    return [Notice("reformatted", "warn", text)]


def _turned(study: Study) -> list[Notice]:
    """Hold axial rows against Patient Position (PS3.3 C.7.3.1.1.2): of a patient who lies flat they run across."""
    across = abs(study.ijk_to_ras[0, 0]) / np.linalg.norm(study.ijk_to_ras[:3, 0])
    if study.dicom.patient_position.upper() not in ("HFS", "HFP", "FFS", "FFP") or across > _ACROSS:
        return []
    text = (
        "The header says that the patient lay flat (Patient Position, 0018,5100), but also that the picture's rows do "
        "not run from one side to the other; left, right, front and back may be exchanged. Compare the original."
    )
    return [Notice("orientation-contradiction", "warn", text)]


def _thickness(study: Study, limits: CtRequirements) -> list[Notice]:
    known = [source.thickness_mm for source in study.sources if source.thickness_mm]
    thickness = max(known) if known else study.dicom.slice_thickness_mm or study.spacing[0]
    if study.array.shape[0] == 1 and not known and study.dicom.slice_thickness_mm is None:
        return []
    low, high = limits.published_thickness_mm
    made_for = f"the published model was made for {_range(low, high)} mm"
    if thickness > limits.thick_refuse_mm:
        text = (
            f"Slices are up to {thickness:.1f} mm thick, too thick to show a small finding ({made_for}); choose a "
            "thinner series."
        )
        return [Notice("thick-slices", "refuse", text)]
    found = []
    if thickness > limits.thick_warn_mm:
        text = (
            f"Slices are up to {thickness:.1f} mm thick ({made_for}); small findings may be missed, so choose a "
            "thinner series if there is one."
        )
        found.append(Notice("thick-slices", "warn", text))
    elif not low <= thickness <= high:
        text = f"Slices are {thickness:.1f} mm thick, while {made_for}."
        found.append(Notice("other-thickness", "info", text))
    apart = _largest_gap(study)
    if known and apart > _GAP_FACTOR * max(known):
        text = (
            f"Neighboring slices lie up to {apart:.1f} mm apart but are at most {max(known):.1f} mm thick: parts of "
            "the patient were not imaged."
        )
        found.append(Notice("gaps-between-slices", "warn", text))
    return found


def _range(low: float, high: float) -> str:
    return f"{low:.0f}" if round(low) == round(high) else f"{low:.0f} to {high:.0f}"


def _largest_gap(study: Study) -> float:
    positions = np.array([source.position_ras for source in study.sources])
    if len(positions) < 2:
        return 0.0
    normal = study.ijk_to_ras[:3, 2] / np.linalg.norm(study.ijk_to_ras[:3, 2])
    return float(np.abs(np.diff(positions @ normal)).max())


def _coverage(study: Study, limits: CtRequirements, content: CtContent | None) -> list[Notice]:
    slices = len(study.sources) or study.array.shape[0]
    if slices == 1:
        text = (
            "There is a single slice; the rule over neighboring slices cannot apply and the rest of the "
            f"{limits.body_part} was not looked at."
        )
        return [Notice("single-slice", "warn", text)]
    if slices < limits.sequence_slices:
        text = (
            f"There are only {slices} slices; the rule of {limits.sequence_slices} positive slices in a row cannot "
            "apply."
        )
        return [Notice("few-slices", "warn", text)]
    if content is None:
        return []
    found = []
    extent = content.brain_extent_mm if limits.body_part == "head" else content.lung_extent_mm
    organ = "brain" if limits.body_part == "head" else "lung"
    if extent < limits.coverage_mm:
        text = (
            f"Only {extent:.0f} mm of {organ} are in the field, while a complete examination shows "
            f"{limits.coverage_mm:.0f} mm or more; nothing can be said about the rest."
        )
        found.append(Notice("short-coverage", "warn", text))
    if limits.body_part == "chest" and _cropped(content):
        text = (
            "The picture cuts through the lungs; nothing can be said about what lies outside, and a smaller field "
            "than usual may mislead the model."
        )
        found.append(Notice("cropped-field", "warn", text))
    return found


def _cropped(content: CtContent) -> bool:
    """Whether the field cuts lungs off sideways, in more than a quarter of the slices with lung in them."""
    lungs = content.lungs[content.lung_cm2 > 0]
    if not len(lungs):
        return False
    touching_mm = lungs[:, :, [0, -1]].sum(axis=(1, 2)) * content.spacing[1]
    touching_mm = touching_mm + lungs[:, [0, -1], :].sum(axis=(1, 2)) * content.spacing[2]
    return bool(np.mean(touching_mm > _CROPPED_MM) > _CROPPED_SHARE)
