"""How a study's images were made, kept with its finding: what changes when a department changes a scanner."""

from dataclasses import dataclass, fields
from typing import Any

from AcuteFindingsLib.names import printable
from AcuteFindingsLib.study.study import Study

_LONGEST = 64


@dataclass(frozen=True)
class Acquisition:
    """What headers state of scanner and protocol; nothing of it names a patient, a place or a day.

    Empty strings and None mean "not stated".

    Attributes
    ----------
    modality, manufacturer, model, kernel
        As DICOM has them (Modality, Manufacturer, Manufacturer's Model Name, Convolution Kernel); of a radiograph
        `view` is its View Position.
    kvp
        Tube voltage in kV.
    contrast
        Whether a contrast agent is stated; None for radiographs.
    thickness_mm
        Slice thickness as stated.
    spacing_mm
        Distance between neighboring voxels ``(z, y, x)``; z is 0 for a radiograph.
    images
        How many source images.
    """

    modality: str = ""
    manufacturer: str = ""
    model: str = ""
    kernel: str = ""
    view: str = ""
    kvp: float | None = None
    contrast: bool | None = None
    thickness_mm: float | None = None
    spacing_mm: tuple[float, float, float] | None = None
    images: int = 0


def acquisition_of(study: Study) -> Acquisition:
    """Return how the images of a study were made, as far as its headers state it."""
    facts, single = study.dicom, len(study.sources) == 1
    z, y, x = study.spacing
    return Acquisition(
        modality=_short(study.modality),
        manufacturer=_short(facts.manufacturer),
        model=_short(facts.device_model),
        kernel=_short(facts.convolution_kernel),
        view=_short(facts.view_position),
        kvp=None if facts.kvp is None else float(facts.kvp),
        contrast=None if single else bool(facts.contrast_agent),
        thickness_mm=None if facts.slice_thickness_mm is None else float(facts.slice_thickness_mm),
        spacing_mm=(0.0 if single else round(z, 3), round(y, 3), round(x, 3)) if study.pixel_spacing_known else None,
        images=len(study.sources),
    )


def acquisition_from_dict(entry: dict[str, Any]) -> Acquisition:
    """Return the acquisition whose JSON form is `entry`; fields of later versions are left aside."""
    known = {item.name for item in fields(Acquisition)}
    found = {name: value for name, value in entry.items() if name in known}
    spacing = found.get("spacing_mm")
    return Acquisition(**{**found, "spacing_mm": None if spacing is None else (spacing[0], spacing[1], spacing[2])})


def _short(text: str) -> str:
    """Return a header's text as it is stored: one line of at most 64 characters, as DICOM's LO has it."""
    return " ".join(printable(text).split())[:_LONGEST]
