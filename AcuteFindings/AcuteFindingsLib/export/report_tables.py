"""What a report states, in words and rows; how it looks is `study.html.jinja`'s concern."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from AcuteFindingsLib.detectors.finding import Finding
from AcuteFindingsLib.detectors.wording import TUBES, label_measured, picture_measured, unit_text, value_text
from AcuteFindingsLib.export.chart import run_text
from AcuteFindingsLib.models.metadata import Card
from AcuteFindingsLib.models.package import ModelPackage
from AcuteFindingsLib.study.study import Study

Row = tuple[str, str]

_INTENSITY = {
    "HU": "Hounsfield units",
    "unit": "radiograph, scaled to 0..1 with bone bright",
    "windowed": "8-bit picture; its window cannot be undone, so HU are unknown",
}


@dataclass(frozen=True)
class LabelRow:
    """One label of a single image: its probability, and the operating point where a model states one."""

    label: str
    meaning: str
    probability: float
    threshold: float | None

    @property
    def answer(self) -> str:
        """The answer in words."""
        if self.threshold is None:
            return "no operating point"
        return "present" if self.probability >= self.threshold else "not found"


@dataclass(frozen=True)
class RunRow:
    """A run of positive slices: in slice numbers, in mm, and where it lies."""

    slices: str
    count: int
    extent_mm: float
    first_ras: tuple[float, float, float]
    last_ras: tuple[float, float, float]
    highest: float


@dataclass(frozen=True)
class SliceRow:
    """One source slice as the table shows it."""

    number: int
    position_ras: tuple[float, float, float]
    probabilities: tuple[float, ...]
    positive: bool
    sop_instance_uid: str


@dataclass(frozen=True)
class MeasurementRow:
    """A measurement as text."""

    name: str
    value: str
    unit: str
    code: str


def series_facts(study: Study) -> list[Row]:
    """Return what was read. Neither names nor free text of the header or the file system are among it."""
    dicom = study.dicom
    _, rows, columns = study.array.shape
    dz, dy, dx = study.spacing
    pixel = f"{dx:.3f} × {dy:.3f} mm" if study.pixel_spacing_known else "not stated (areas in mm² are left out)"
    projection = study.orientation == "projection"
    facts: list[Row | None] = [
        ("Modality", study.modality or "not stated"),
        ("Values", _INTENSITY[study.intensity]),
        (
            "Images",
            f"{len(study.sources)} of {columns} × {rows} pixels" if study.sources else f"{columns} × {rows} pixels",
        ),
        ("Pixel size", pixel),
        None if projection else ("Slice distance", _distances(study, dz)),
        None if projection else ("Slice thickness", _thicknesses(study)),
        ("Orientation", "projection radiograph" if projection else study.orientation),
        None if projection else ("Gantry tilt", f"{dicom.gantry_tilt_deg:+.1f}°" if dicom.gantry_tilt_deg else "none"),
        ("View", " ".join(part for part in (dicom.view_position, dicom.laterality) if part) or "not stated")
        if projection
        else None,
        ("Body part", dicom.body_part.lower()) if dicom.body_part else None,
        ("Patient position", dicom.patient_position) if dicom.patient_position else None,
        ("Contrast agent", "stated in the header" if dicom.contrast_agent else "not stated")
        if study.modality == "CT"
        else None,
        ("Tube voltage", f"{dicom.kvp:g} kV") if dicom.kvp else None,
        ("Kernel", dicom.convolution_kernel) if dicom.convolution_kernel else None,
        ("Photometric interpretation", dicom.photometric_interpretation) if dicom.photometric_interpretation else None,
        ("Scanner", " ".join(part for part in (dicom.manufacturer, dicom.device_model) if part))
        if dicom.manufacturer or dicom.device_model
        else None,
    ]
    return [fact for fact in facts if fact is not None]


def preparation(finding: Finding, study: Study) -> list[str]:
    """Say what was done to the series before the model saw it, and how it is shown."""
    level, width = finding.display_window
    unit = " HU" if study.intensity == "HU" else ""
    said = [
        study.regridded[0].upper() + study.regridded[1:]
        if study.regridded
        else "The images lie on a regular grid as read."
    ]
    if study.dicom.photometric_interpretation == "MONOCHROME1":
        said.append("The picture was stored with bright and dark exchanged (MONOCHROME1) and was turned back.")
    said.append(f"The pictures are shown with window level {level:g} and width {width:g}{unit}.")
    return [text if text.endswith(".") else f"{text}." for text in said]


def identifiers(finding: Finding, study: Study) -> list[Row]:
    """Return the UIDs by which a PACS finds what was read."""
    dicom = study.dicom
    rows = [
        ("Study Instance UID", dicom.study_instance_uid),
        ("Series Instance UID", finding.series_instance_uid or dicom.series_instance_uid),
        ("Frame of Reference UID", dicom.frame_of_reference_uid),
        ("SOP Class UID", dicom.sop_class_uid),
        ("Transfer Syntax UID", dicom.transfer_syntax_uid),
    ]
    if len(finding.slices) == 1:
        rows.append(("SOP Instance UID", finding.slices[0].sop_instance_uid))
    return [row for row in rows if row[1]]


def run_rows(finding: Finding) -> list[RunRow]:
    """Return the runs of positive slices with their reach: from the first slice's outer face to the last one's."""
    by_index = {item.index: item for item in finding.slices}
    places = np.array([item.position_ras for item in finding.slices], float)
    step = float(np.median(np.linalg.norm(np.diff(places, axis=0), axis=1))) if len(places) > 1 else 0.0
    rows = []
    for first, last in finding.positive_runs:
        ends = by_index[first].position_ras, by_index[last].position_ras
        highest = max(by_index[n].probabilities[finding.main_label] for n in range(first, last + 1) if n in by_index)
        extent = float(np.linalg.norm(np.subtract(*ends))) + step
        rows.append(RunRow(run_text(first, last), last - first + 1, extent, *ends, highest))
    return rows


def slice_rows(finding: Finding) -> list[SliceRow]:
    """Return every slice in source order."""
    return [
        SliceRow(
            number=item.index + 1,
            position_ras=item.position_ras,
            probabilities=tuple(item.probabilities[label] for label in finding.labels),
            positive=item.probabilities[finding.main_label] >= finding.slice_threshold,
            sop_instance_uid=item.sop_instance_uid,
        )
        for item in finding.slices
    ]


def label_rows(finding: Finding, packages: Sequence[ModelPackage]) -> tuple[list[LabelRow], list[LabelRow]]:
    """Return pathologies and tubes of a single image, or two empty lists for a stack.

    Meanings and operating points come from the first package that knows the label.
    """
    if len(finding.slices) != 1:
        return [], []
    cards = [package.card for package in packages]
    rows = [
        LabelRow(label, _meaning(label, cards), value, _threshold(label, cards))
        for label, value in finding.slices[0].probabilities.items()
    ]
    return [row for row in rows if row.label not in TUBES], [row for row in rows if row.label in TUBES]


def label_meanings(finding: Finding, packages: Sequence[ModelPackage]) -> dict[str, str]:
    """Return what each label of the slices means, from the first package that knows it."""
    return {label: _meaning(label, [package.card for package in packages]) for label in finding.labels}


def shortcut_rows(finding: Finding) -> list[tuple[str, float]]:
    """Return the finding's probability by what the network was shown: whole picture, lungs only, lungs removed."""
    shown = ((picture_measured(item).capitalize(), item.value) for item in finding.measurements)
    return [row for row in shown if row[0]]


def measurement_rows(finding: Finding) -> list[MeasurementRow]:
    """Return the measurements, but those of a radiograph that have tables of their own."""
    single = len(finding.slices) == 1
    return [
        MeasurementRow(
            item.name,
            value_text(item),
            unit_text(item.unit),
            f"{item.code.meaning} ({item.code.scheme} {item.code.value})" if item.code else "",
        )
        for item in finding.measurements
        if not (single and (label_measured(item) or picture_measured(item)))
    ]


def _meaning(label: str, cards: Sequence[Card]) -> str:
    found = (item.meaning for card in cards for item in card.labels if item.name == label)
    return next(found, label.replace("_", " ").capitalize())


def _threshold(label: str, cards: Sequence[Card]) -> float | None:
    points = (p.threshold for card in cards for p in card.operating_points if (p.level, p.label) == ("study", label))
    return next(points, None)


def _distances(study: Study, grid_mm: float) -> str:
    if len(study.sources) < 2:
        return "one slice"
    places = np.array([source.position_ras for source in study.sources], float)
    steps = np.linalg.norm(np.diff(places, axis=0), axis=1)
    low, high = float(steps.min()), float(steps.max())
    stated = f"{low:.2f} mm" if high - low < 0.01 else f"{low:.2f} to {high:.2f} mm"
    return f"{stated}; grid {grid_mm:.2f} mm" if study.regridded else stated


def _thicknesses(study: Study) -> str:
    known = sorted({round(s.thickness_mm, 3) for s in study.sources if s.thickness_mm is not None})
    if not known:
        return "not stated" if study.dicom.slice_thickness_mm is None else f"{study.dicom.slice_thickness_mm:g} mm"
    return f"{known[0]:g} mm" if len(known) == 1 else f"{known[0]:g} to {known[-1]:g} mm"
