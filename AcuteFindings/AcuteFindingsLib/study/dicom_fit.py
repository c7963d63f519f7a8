"""How well a volume or radiograph suits a detector, by the evidence that the check uses, most important first."""

import re

import numpy as np
from pydicom.uid import DigitalXRayImageStorageForProcessing

from AcuteFindingsLib.study.dicom_facts import facts_of
from AcuteFindingsLib.study.dicom_places import heights_of
from AcuteFindingsLib.study.dicom_volumes import Volume
from AcuteFindingsLib.study.evidence import stated_contrast, stated_kinds, stated_parts
from AcuteFindingsLib.study.geometry import orientation_of
from AcuteFindingsLib.study.requirements import CtRequirements, RadiographRequirements, Requirements
from AcuteFindingsLib.study.study import DicomFacts
from AcuteFindingsLib.study.words import ANGIOGRAM, kinds_of

PROJECTION_MODALITIES = ("CR", "DX", "RG")
VOLUME_MODALITIES = ("CT",)
# Secondary captures and others of unstated kind; read as what the detector wants.
OTHER_MODALITIES = ("OT", "SC", "")

# Pictures computed from a radiograph: bone or soft tissue alone, edges and tubes enhanced, marks of a program.
_DERIVED_VIEW = re.compile(r"BONE|SOFT|SUPPRESS|ENHANC|CAD|TUBE|CATH|INVERT")
_LEAST_SLICES = 5
# Ours: between the vascular kernels (Bv49) and those for lungs (Bl54 and more) of Siemens' series.
_SHARP = 54
# Iodine attenuates less with each keV above its K edge at 33; at 100 it is about a third of what it is at 50.
_HIGHEST_KEV = 100
# A volume that shows this share of a complete examination goes before one that shows less of it.
_ENOUGH_COVERAGE = 2 / 3


def as_projection(volume: Volume, requirements: Requirements | None) -> bool:
    """Whether the images are looked at as radiographs."""
    if requirements is None:
        return volume.modality in PROJECTION_MODALITIES
    return isinstance(requirements, RadiographRequirements)


def fit_of(volume: Volume, requirements: Requirements | None) -> tuple[float, ...]:
    """Return how well a volume suits, more important things first; of two the greater suits better."""
    if as_projection(volume, requirements):
        return _radiograph_fit(volume)
    return _ct_fit(volume, requirements if isinstance(requirements, CtRequirements) else None)


def _radiograph_fit(volume: Volume) -> tuple[float, ...]:
    frame = volume.frames[0]
    facts = facts_of(frame)
    parts = stated_parts(facts)
    raw = (
        facts.sop_class_uid == DigitalXRayImageStorageForProcessing
        or str(frame.header.get("PresentationIntentType") or "").upper() == "FOR PROCESSING"
    )
    return (
        _rank(volume.modality, (PROJECTION_MODALITIES, OTHER_MODALITIES)),
        _frontal(facts),
        1.0 if "chest" in parts else 0.0 if parts else 0.5,
        float(not raw),
        float(not _DERIVED_VIEW.search(facts.series_description.upper())),
        float(frame.shape[0] * frame.shape[1]),
    )


def _frontal(facts: DicomFacts) -> float:
    """Return 1 for a frontal view, 0 for another, between where the header does not say."""
    view = kinds_of(facts.view_position) if facts.view_position else stated_kinds(facts)
    rows = facts.patient_orientation[0][:1] if facts.patient_orientation else ""
    if {"lateral", "decubitus"} & view or (not facts.view_position and rows in ("A", "P")):
        return 0.0
    if "frontal" in view or (not facts.view_position and rows in ("L", "R")):
        return 1.0
    return 0.25 if facts.view_position else 0.5


def _ct_fit(volume: Volume, limits: CtRequirements | None) -> tuple[float, ...]:
    frame = volume.frames[0]
    facts = facts_of(frame)
    parts, kinds = stated_parts(facts), stated_kinds(facts)
    real = not any(one.is_localizer for one in volume.frames[:3])
    original = "DERIVED" not in facts.image_type and not {"MPR", "SECONDARY"} & set(facts.image_type)
    axial = frame.directions is not None and orientation_of(frame.directions) == "axial"
    contrast = _contrast(facts, kinds)
    named = limits is not None and limits.examination in kinds
    suits = (True, True, True, True)
    thickness, complete = 0.0, True
    if limits is not None:
        suits = (
            limits.body_part in parts or named,
            not set(limits.unwanted_parts) & parts,
            contrast if limits.contrast == "required" else not contrast,
            not set(limits.unwanted_kernels) & kinds,
        )
        thickness = _thickness_rank(volume, limits)
        complete = _extent_mm(volume) >= _ENOUGH_COVERAGE * limits.coverage_mm
    count = len({None if one.position is None else tuple(one.position.round(2)) for one in volume.frames})
    return (
        _rank(volume.modality, (VOLUME_MODALITIES, OTHER_MODALITIES)),
        float(real),
        float(not volume.broken),
        float(min(count, _LEAST_SLICES)),
        *(float(answer) for answer in suits),
        float(_is_soft(facts.convolution_kernel)),
        float(not {"slab", "material map"} & kinds),
        float(limits is None or limits.contrast != "required" or _shows_iodine(facts)),
        float(complete),
        float(axial),
        float(named),
        float(thickness > 0),
        float(original),
        thickness,
        float(count),
    )


def _contrast(facts: DicomFacts, kinds: frozenset[str]) -> bool:
    """Whether the series shows contrast; a virtual unenhanced one does not, though its header names the agent."""
    if "plain" in kinds_of(facts.series_description, *facts.image_type[2:]):
        return False
    stated = stated_contrast(facts)
    return ANGIOGRAM in kinds if stated is None else stated


def _is_soft(kernel: str) -> bool:
    """Whether a kernel is not one of Siemens' sharp ones: letters and a number that grows with sharpness."""
    number = re.match(r"[A-Z][A-Za-z]?(\d\d)", kernel)
    return number is None or int(number[1]) < _SHARP


def _shows_iodine(facts: DicomFacts) -> bool:
    """Whether a monoenergetic picture is of an energy at which iodine is bright."""
    energy = re.search(r"(\d{2,3})\s*KEV", " ".join((facts.series_description.upper(), *facts.image_type)))
    return energy is None or int(energy[1]) <= _HIGHEST_KEV


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
