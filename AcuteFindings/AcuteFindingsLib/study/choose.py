"""Which detectors fit a study, for `--detector auto`."""

import re

from AcuteFindingsLib.study.content import ct_content
from AcuteFindingsLib.study.study import Study

_HEAD = re.compile(r"HEAD|BRAIN|SKULL|CRAN")
_CHEST = re.compile(r"CHEST|THORA|LUNG|PULM|\bPE\b|CTPA")


def fitting_detectors(study: Study) -> list[str]:
    """Return the detectors made for such a study: by modality and body part, and by its content where those are silent.

    A radiograph fits ``"pneumothorax"`` unless its header names another body part; a CT of the head
    ``"hemorrhage"``, one of the chest ``"pe"``; a CT of both fits both. A single picture without a header may be a
    radiograph or a slice of a head CT.
    """
    stated = f"{study.dicom.body_part} {study.dicom.series_description}".upper()
    if study.orientation == "projection":
        if not study.modality:
            return ["hemorrhage", "pneumothorax"]
        other_part = bool(study.dicom.body_part) and not _CHEST.search(stated)
        return [] if other_part else ["pneumothorax"]
    if study.modality not in ("CT", ""):
        return []
    head, chest = bool(_HEAD.search(stated)), bool(_CHEST.search(stated))
    if not (head or chest) and study.intensity == "HU":
        # Only what the header leaves open is worth a look at every voxel.
        part = ct_content(study).body_part
        head, chest = "head" in part, "chest" in part
    elif not (head or chest):
        head = study.intensity == "windowed"
    return [name for name, fits in (("pe", chest), ("hemorrhage", head)) if fits]
