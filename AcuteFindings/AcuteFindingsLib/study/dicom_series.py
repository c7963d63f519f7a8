"""Which of a folder's DICOM series to read: the one that a detector was made for."""

import re
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from AcuteFindingsLib.errors import StudyError
from AcuteFindingsLib.study.dicom_facts import body_part_of, contrast_of, facts_of
from AcuteFindingsLib.study.dicom_frames import Frame
from AcuteFindingsLib.study.geometry import orientation_of
from AcuteFindingsLib.study.notice import Notice

PROJECTION_MODALITIES = ("CR", "DX", "RG")
VOLUME_MODALITIES = ("CT",)
# Secondary captures and others of unstated kind; read as what the detector wants.
OTHER_MODALITIES = ("OT", "SC", "")

_HEAD = re.compile(r"HEAD|BRAIN|SKULL|CRAN|NEURO")
_CHEST = re.compile(r"CHEST|THORA|LUNG|PULM|HEART|CARDI")
_PE = re.compile(r"\bPE\b|CTPA|PULM|EMBOL|ANGIO|\bCTA\b")
_WITHOUT = re.compile(r"NATIV|WITHOUT|\bW/?O\b|NON.?CON|NON.?ENH|\bNC\b|\bC-")
_CONTRAST = re.compile(r"CONTRAST|\bIV\b|\+C\b|\bC\+|\bCE\b|ENHANCED")
_BONE = re.compile(r"BONE|KNOCHEN|\bOS\b|SHARP|EDGE|TEMPORAL")
# Siemens H/B/Br/Hr numbers from 60 up are bone kernels; GE names its own.
_BONE_KERNEL = re.compile(r"BONE|EDGE|^[A-Z]{1,2}[6-9]\d|YE|^E$|FC3\d|FC8\d")
_LUNG_KERNEL = re.compile(r"LUNG|^[A-Z]{1,2}[6-9]\d")


@dataclass(frozen=True)
class Series:
    """The images of one DICOM series; of radiographs, one image."""

    uid: str
    modality: str
    frames: tuple[Frame, ...]

    @property
    def label(self) -> str:
        """Number and description, for messages; never anything about the patient."""
        facts = facts_of(self.frames[0])
        number = "without number" if facts.series_number is None else str(facts.series_number)
        description = f' "{facts.series_description}"' if facts.series_description else ""
        count = len(self.frames)
        return f"series {number}{description} ({self.modality or 'no modality'}, {count} image{'s' * (count > 1)})"


def group_series(frames: Sequence[Frame]) -> list[Series]:
    """Group images by Series Instance UID; each radiograph stands for itself."""
    groups: dict[tuple[str, ...], list[Frame]] = defaultdict(list)
    for frame in frames:
        header = frame.header
        uid, modality = str(header.get("SeriesInstanceUID") or ""), str(header.get("Modality") or "").upper()
        key = [str(header.get("StudyInstanceUID") or ""), uid, modality]
        if modality in PROJECTION_MODALITIES:
            key += [str(frame.file), str(frame.number)]
        groups[tuple(key)].append(frame)
    return [Series(uid=key[1], modality=key[2], frames=tuple(group)) for key, group in groups.items()]


def choose_series(
    series: Sequence[Series], *, detector: str | None, uid: str | None, source_name: str
) -> tuple[Series, tuple[Notice, ...]]:
    """Return the series that suits a detector best, and notices that list the others.

    Parameters
    ----------
    series
        All series found.
    detector
        ``"pe"``, ``"hemorrhage"``, ``"pneumothorax"`` or None.
    uid
        A Series Instance UID to take whatever the detector.
    source_name
        Name of the file or folder, for messages.

    Raises
    ------
    StudyError
        No series has the UID asked for, or all of the chosen one are localizers.
    """
    if uid is not None:
        named = [one for one in series if one.uid == uid]
        if not named:
            known = "; ".join(f"{one.uid}: {one.label}" for one in series)
            raise StudyError(f"{source_name} holds no series {uid}. It holds {known}.")
        candidates = named
    else:
        candidates = list(series)
    readable = [
        one for one in candidates if one.modality in (*VOLUME_MODALITIES, *PROJECTION_MODALITIES, *OTHER_MODALITIES)
    ]
    # Of other kinds the best is read too, so that the check can say what it is.
    ranked = sorted(readable or candidates, key=lambda one: _score(one, detector), reverse=True)
    chosen = ranked[0]
    if chosen.modality in VOLUME_MODALITIES and all(frame.is_localizer for frame in chosen.frames):
        raise StudyError(f"{source_name} holds only localizer (scout) images; give the CT series itself.")
    others = [one for one in series if one is not chosen]
    notices = [Notice("other-series", "info", f"Not read: {one.label}.") for one in others]
    return chosen, tuple(notices)


def _score(series: Series, detector: str | None) -> tuple[float, ...]:
    """Return how well a series suits, more important things first."""
    frame = series.frames[0]
    facts = facts_of(frame)
    name = facts.series_description.upper().replace("_", " ")
    body = f"{body_part_of(frame)} {name}"
    real = not any(one.is_localizer for one in series.frames[:3])
    original = "DERIVED" not in facts.image_type and not {"MPR", "MIP", "SECONDARY"} & set(facts.image_type)
    if detector == "pneumothorax" or (detector is None and series.modality in PROJECTION_MODALITIES):
        frontal = facts.view_position in ("PA", "AP") or (facts.view_position == "" and "LAT" not in name)
        return (
            _rank(series.modality, (PROJECTION_MODALITIES, OTHER_MODALITIES)),
            float(frontal),
            float(bool(_CHEST.search(body))),
            float(frame.shape[0] * frame.shape[1]),
        )
    count = len({None if one.position is None else tuple(one.position.round(2)) for one in series.frames})
    axial = frame.directions is not None and orientation_of(frame.directions) == "axial"
    contrast = bool(contrast_of(frame.header) or _PE.search(name) or _CONTRAST.search(name))
    contrast = contrast and not _WITHOUT.search(name)
    kernel = facts.convolution_kernel.upper()
    bone = bool(_BONE.search(name) or _BONE_KERNEL.search(kernel))
    suits = {
        "pe": (bool(_CHEST.search(body)) and not _HEAD.search(body), contrast, not _LUNG_KERNEL.search(kernel)),
        "hemorrhage": (bool(_HEAD.search(body)), not contrast, not bone),
    }.get(detector or "", (True, True, True))
    return (
        _rank(series.modality, (VOLUME_MODALITIES, OTHER_MODALITIES)),
        float(real),
        float(min(count, 5)),
        *(float(answer) for answer in suits),
        float(axial),
        float(original),
        float(count),
    )


def _rank(modality: str, preferred: tuple[tuple[str, ...], ...]) -> float:
    for place, group in enumerate(preferred):
        if modality in group:
            return float(len(preferred) - place)
    return 0.0
