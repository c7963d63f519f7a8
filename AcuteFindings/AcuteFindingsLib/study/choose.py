"""Which detectors fit a study, for `--detector auto`."""

from AcuteFindingsLib.study.content import ct_content
from AcuteFindingsLib.study.evidence import stated_kinds, stated_parts
from AcuteFindingsLib.study.study import Study


def fitting_detectors(study: Study) -> list[str]:
    """Return the detectors made for such a study: by modality and body part, and by its content where those are silent.

    A radiograph fits ``"pneumothorax"`` unless its header names another body part; a CT of the head
    ``"hemorrhage"``, one of the chest ``"pe"``; a CT of both fits both. A single picture without a header may be a
    radiograph or a slice of a head CT. The words are those that the check believes (`study.evidence`).
    """
    parts = stated_parts(study.dicom)
    if study.orientation == "projection":
        if not study.modality:
            return ["hemorrhage", "pneumothorax"]
        return [] if parts and "chest" not in parts else ["pneumothorax"]
    if study.modality not in ("CT", ""):
        return []
    head, chest = "head" in parts, "chest" in parts or "pe" in stated_kinds(study.dicom)
    if not parts and not chest and study.intensity == "HU":
        # Only what the header leaves open is worth a look at every voxel.
        part = ct_content(study).body_part
        head, chest = "head" in part, "chest" in part
    elif not (head or chest):
        head = study.intensity == "windowed"
    return [name for name, fits in (("pe", chest), ("hemorrhage", head)) if fits]
