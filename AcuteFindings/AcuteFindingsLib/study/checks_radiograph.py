"""Whether a radiograph is a frontal view of the chest."""

from AcuteFindingsLib.study.evidence import stated_kinds, stated_parts
from AcuteFindingsLib.study.notice import Notice
from AcuteFindingsLib.study.requirements import RadiographRequirements
from AcuteFindingsLib.study.study import Study
from AcuteFindingsLib.study.words import kinds_of

_LATERAL = ("LL", "RL", "LAT", "LATERAL", "L LAT", "R LAT", "LLAT", "RLAT")
_OBLIQUE = ("LLO", "RLO", "LAO", "RAO", "LPO", "RPO", "OBL")


def check_radiograph(study: Study, limits: RadiographRequirements) -> list[Notice]:
    """Check number of images, body part, view and size of a radiograph in 0..1."""
    found = []
    if study.array.shape[0] != 1:
        text = (
            f"The study holds {study.array.shape[0]} images, but the detector reads one radiograph at a time; "
            "choose one of them."
        )
        found.append(Notice("several-images", "refuse", text))
    found += _body_part(study, limits)
    view = _view_notice(study, limits)
    if view is not None:
        found.append(view)
    side = min(study.array.shape[1:])
    if side < limits.least_side_px:
        text = (
            f"The image is only {side} pixels on its shorter side; below {limits.least_side_px} a thin pleural line "
            "cannot be seen, so load the original if there is one."
        )
        found.append(Notice("low-resolution", "warn", text))
    return found


def _body_part(study: Study, limits: RadiographRequirements) -> list[Notice]:
    """Judge the body part by the header's words; what is on the picture is not recognized."""
    parts = stated_parts(study.dicom)
    named = study.dicom.body_part.upper()
    if parts and "chest" not in parts:
        said = f"names the body part {named}" if named else f"speaks of the {' and '.join(sorted(parts))}"
        text = f"The header {said}, but the detector was made for {limits.study_name}."
        return [Notice("wrong-body-part", "refuse", text)]
    if named and not parts and not _says_nothing(named):
        text = f"The header names the body part {named}, which is not known here; make sure that this is a chest."
        return [Notice("body-part-unknown", "warn", text)]
    return []


def _says_nothing(body_part: str) -> bool:
    return body_part.strip() in ("UNKNOWN", "PORT", "PORTABLE", "OTHER", "NONE", "DEFAULT", "BODY", "TRUNK")


def _view_notice(study: Study, limits: RadiographRequirements) -> Notice | None:
    """Judge the view by View Position, else by Patient Orientation, else by the descriptions.

    In a lateral view rows run front to back.
    """
    view = study.dicom.view_position.upper().strip()
    rows = study.dicom.patient_orientation[0].upper()[:1] if study.dicom.patient_orientation else ""
    said = stated_kinds(study.dicom)
    in_tag = kinds_of(view)
    named_lateral = "lateral" in said and "frontal" not in said and "decubitus" not in said
    if "decubitus" in in_tag or (not view and "decubitus" in said):
        text = "The patient lay on the side: free air gathers elsewhere than in the upright views the detector knows."
        return Notice("decubitus-view", "warn", text)
    if any(word in view for word in _OBLIQUE):
        text = (
            f"This is an oblique view ({view}), but the detector was made for {limits.study_name}; read it with care."
        )
        return Notice("oblique-view", "warn", text)
    is_lateral = view in _LATERAL or ("lateral" in in_tag and "frontal" not in in_tag)
    if is_lateral or (not view and (rows in ("A", "P") or (named_lateral and rows not in ("L", "R")))):
        text = f"This is a lateral view, but the detector was made for {limits.study_name}; choose the PA or AP view."
        return Notice("lateral-view", "refuse", text)
    if named_lateral:
        text = (
            f"The description mentions a lateral view, but the header states {view or 'a frontal orientation'}; make "
            "sure that this is a frontal (PA or AP) view of the chest."
        )
        return Notice("view-contradiction", "warn", text)
    named_frontal = not view and "frontal" in said and "lateral" not in said
    if view.startswith(("PA", "AP")) or rows in ("L", "R") or named_frontal:
        return None
    stated_view = f"the view as {view!r}" if view else "no view position"
    text = f"The header states {stated_view}; make sure that this is a frontal (PA or AP) view of the chest."
    return Notice("view-unknown", "warn", text)
