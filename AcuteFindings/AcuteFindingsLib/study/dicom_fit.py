"""How well a volume or radiograph suits a detector, by the evidence that the check uses, most important first."""

import re

import numpy as np

from AcuteFindingsLib.study.dicom_facts import body_part_of, contrast_of, facts_of
from AcuteFindingsLib.study.dicom_places import heights_of
from AcuteFindingsLib.study.dicom_volumes import Volume
from AcuteFindingsLib.study.geometry import orientation_of
from AcuteFindingsLib.study.requirements import REQUIREMENTS, CtRequirements
from AcuteFindingsLib.study.study import DicomFacts

PROJECTION_MODALITIES = ("CR", "DX", "RG")
VOLUME_MODALITIES = ("CT",)
# Secondary captures and others of unstated kind; read as what the detector wants.
OTHER_MODALITIES = ("OT", "SC", "")

_HEAD = re.compile(r"HEAD|BRAIN|SKULL|CRAN|NEURO")
_CHEST = re.compile(r"CHEST|THORA|LUNG|PULM|HEART|CARDI")
_PE = re.compile(r"\bPE\b|CTPA|PULM|EMBOL|ANGIO|\bCTA\b")
_WITHOUT = re.compile(r"NATIV|WITHOUT|\bW/?O\b|NON.?CON|NON.?ENH|\bNC\b|\bC-|\bVUE\b|\bVNC\b|VIRTUAL")
_CONTRAST = re.compile(r"CONTRAST|\bIV\b|\+C\b|\bC\+|\bCE\b|ENHANCED")
_BONE = re.compile(r"BONE|KNOCHEN|\bOS\b|SHARP|EDGE|TEMPORAL")
# Siemens H/B/Br/Hr numbers from 60 up are sharp, Bl ones for lungs; GE names its own; Canon FC30 and FC80 are for bone,
# FC50 for lungs; Philips L is for lungs, E and the Y letters for bone.
_BONE_KERNEL = re.compile(r"BONE|EDGE|^[A-Z]{1,2}[6-9]\d|^Y[A-F]?$|^E$|^FC3\d|^FC8\d")
_LUNG_KERNEL = re.compile(r"LUNG|^BL\d\d|^[A-Z]{1,2}[6-9]\d|^FC5\d|^L$")
# Maps of a material or of perfusion and projections of slabs are no CT slices, whatever their header says beside.
_NO_SLICES = re.compile(
    r"IODINE|WATER|CALCIUM|Z.?EFF|\bMIP\b|MINIP|\bVRT?\b|PERFUSION|\bCB[FV]\b|\bMTT\b|\bTMAX\b|SUBTRACT"
)
_DERIVED_VIEW = re.compile(r"BONE|SOFT|SUPPRESS|ENHANC|CAD|TUBE|CATH|INVERT")
_FOR_PROCESSING = "1.2.840.10008.5.1.4.1.1.1.1.1"
_LEAST_SLICES = 5
# A volume that shows this share of a complete examination goes before one that shows less of it.
_ENOUGH_COVERAGE = 2 / 3


def as_projection(volume: Volume, detector: str | None) -> bool:
    """Whether the images are looked at as radiographs."""
    return detector == "pneumothorax" or (detector is None and volume.modality in PROJECTION_MODALITIES)


def fit_of(volume: Volume, detector: str | None) -> tuple[float, ...]:
    """Return how well a volume suits, more important things first; of two the greater suits better."""
    return _radiograph_fit(volume) if as_projection(volume, detector) else _ct_fit(volume, detector)


def _radiograph_fit(volume: Volume) -> tuple[float, ...]:
    frame = volume.frames[0]
    facts = facts_of(frame)
    name = _name(facts)
    body = f"{body_part_of(frame)} {name}"
    raw = (
        facts.sop_class_uid == _FOR_PROCESSING
        or str(frame.header.get("PresentationIntentType") or "").upper() == "FOR PROCESSING"
    )
    return (
        _rank(volume.modality, (PROJECTION_MODALITIES, OTHER_MODALITIES)),
        _frontal(facts, name),
        1.0 if _CHEST.search(body) else 0.0 if body_part_of(frame) else 0.5,
        float(not raw),
        float(not _DERIVED_VIEW.search(name)),
        float(frame.shape[0] * frame.shape[1]),
    )


def _frontal(facts: DicomFacts, name: str) -> float:
    """Return 1 for a frontal view, 0 for another, between where the header does not say."""
    view = facts.view_position
    if view:
        return 1.0 if view in ("PA", "AP") else 0.0
    rows = facts.patient_orientation[0][:1] if facts.patient_orientation else ""
    if rows in ("A", "P") or re.search(r"\bR?L?LAT|\bLL\b|\bRL\b", name):
        return 0.0
    return 1.0 if rows in ("L", "R") or re.search(r"\b(PA|AP)\b", name) else 0.5


def _ct_fit(volume: Volume, detector: str | None) -> tuple[float, ...]:
    frame = volume.frames[0]
    facts = facts_of(frame)
    name = _name(facts)
    body = f"{body_part_of(frame)} {name}"
    real = not any(one.is_localizer for one in volume.frames[:3])
    original = "DERIVED" not in facts.image_type and not {"MPR", "SECONDARY"} & set(facts.image_type)
    slices = not _NO_SLICES.search(f"{name} {' '.join(facts.image_type)}")
    axial = frame.directions is not None and orientation_of(frame.directions) == "axial"
    contrast = bool(contrast_of(frame.header) or _PE.search(name) or _CONTRAST.search(name))
    contrast = contrast and not _WITHOUT.search(f"{name} {' '.join(facts.image_type)}")
    kernel = facts.convolution_kernel.upper()
    bone = bool(_BONE.search(name) or _BONE_KERNEL.search(kernel))
    suits = {
        "pe": (bool(_CHEST.search(body)) and not _HEAD.search(body), contrast, not _LUNG_KERNEL.search(kernel)),
        "hemorrhage": (bool(_HEAD.search(body)), not contrast, not bone),
    }.get(detector or "", (True, True, True))
    limits = REQUIREMENTS.get(detector or "")
    thickness, complete = (
        (_thickness_rank(volume, limits), _extent_mm(volume) >= _ENOUGH_COVERAGE * limits.coverage_mm)
        if isinstance(limits, CtRequirements)
        else (0.0, True)
    )
    count = len({None if one.position is None else tuple(one.position.round(2)) for one in volume.frames})
    return (
        _rank(volume.modality, (VOLUME_MODALITIES, OTHER_MODALITIES)),
        float(real),
        float(not volume.broken),
        float(min(count, _LEAST_SLICES)),
        *(float(answer) for answer in suits),
        float(slices),
        float(complete),
        float(axial),
        float(thickness > 0),
        float(original),
        thickness,
        float(count),
    )


def _name(facts: DicomFacts) -> str:
    return facts.series_description.upper().replace("_", " ")


def _thickness_rank(volume: Volume, limits: CtRequirements) -> float:
    """Return 3 for the thickness the model was published for, 2 for others taken, 1 for thick, 0 for refused ones."""
    known = [frame.thickness_mm for frame in volume.frames if frame.thickness_mm]
    if not known:
        return 2.0
    thickness = float(np.median(known))
    low, high = limits.published_thickness_mm
    if low <= thickness <= high:
        return 3.0
    return 2.0 if thickness <= limits.thick_warn_mm else 1.0 if thickness <= limits.thick_refuse_mm else 0.0


def _extent_mm(volume: Volume) -> float:
    """Return from the lowest to the highest slice, with their thickness."""
    if volume.broken or any(frame.position is None for frame in volume.frames):
        return 0.0
    return float(np.ptp(heights_of(volume.frames))) + (volume.frames[0].thickness_mm or 0.0)


def _rank(modality: str, preferred: tuple[tuple[str, ...], ...]) -> float:
    for place, group in enumerate(preferred):
        if modality in group:
            return float(len(preferred) - place)
    return 0.0
