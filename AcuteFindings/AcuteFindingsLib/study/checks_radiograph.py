"""Whether a radiograph is a frontal view of the chest."""

from AcuteFindingsLib.study.notice import Notice
from AcuteFindingsLib.study.requirements import RadiographRequirements
from AcuteFindingsLib.study.study import Study

_LATERAL = ("LL", "RL", "LAT", "LATERAL", "L LAT", "R LAT", "LLAT", "RLAT")
_DECUBITUS = ("LLD", "RLD", "DECUB")
_OBLIQUE = ("LLO", "RLO", "LAO", "RAO", "LPO", "RPO", "OBL")
_CHEST_WORDS = ("CHEST", "THORAX", "LUNG", "RIB", "PORT")


def check_radiograph(study: Study, limits: RadiographRequirements) -> list[Notice]:
    """Check number of images, body part, view and size of a radiograph in 0..1."""
    found = []
    if study.array.shape[0] != 1:
        text = (
            f"The study holds {study.array.shape[0]} images, but the detector reads one radiograph at a time; "
            "choose one of them."
        )
        found.append(Notice("several-images", "refuse", text))
    body_part = study.dicom.body_part.upper()
    if body_part and not any(word in body_part for word in _CHEST_WORDS):
        text = f"The header names the body part {body_part}, but the detector was made for {limits.study_name}."
        found.append(Notice("wrong-body-part", "refuse", text))
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


def _view_notice(study: Study, limits: RadiographRequirements) -> Notice | None:
    """Judge the view by ViewPosition, else by PatientOrientation: in a lateral view rows run front to back."""
    view = study.dicom.view_position.upper().strip()
    rows = study.dicom.patient_orientation[0].upper()[:1] if study.dicom.patient_orientation else ""
    if view in _LATERAL or (not view and rows in ("A", "P")):
        text = f"This is a lateral view, but the detector was made for {limits.study_name}; choose the PA or AP view."
        return Notice("lateral-view", "refuse", text)
    if any(word in view for word in _DECUBITUS):
        text = "The patient lay on the side: free air gathers elsewhere than in the upright views the detector knows."
        return Notice("decubitus-view", "warn", text)
    if any(word in view for word in _OBLIQUE):
        text = (
            f"This is an oblique view ({view}), but the detector was made for {limits.study_name}; read it with care."
        )
        return Notice("oblique-view", "warn", text)
    if view.startswith(("PA", "AP")) or rows in ("L", "R"):
        return None
    stated = f"the view as {view!r}" if view else "no view position"
    text = f"The header states {stated}; make sure that this is a frontal (PA or AP) view of the chest."
    return Notice("view-unknown", "warn", text)
