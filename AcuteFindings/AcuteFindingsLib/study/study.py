"""The study that every detector reads: one series as an array with its place in the patient."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np

from AcuteFindingsLib.study.notice import Notice

Orientation = Literal["axial", "coronal", "sagittal", "oblique", "projection"]

PHANTOM_MANUFACTURER = "AcuteFindings phantom"
"""Manufacturer (0008,0070) in the DICOM files of this library's phantoms, by which they are known again."""


@dataclass(frozen=True)
class SourceSlice:
    """One image as it came from the scanner: the slice a radiologist sees.

    Attributes
    ----------
    index
        Place in the series, from 0, ascending along the slice normal (rows × columns), as ITK and Slicer sort.
    file
        Where it was read from; None where it was made from a node or an array.
    frame
        Frame number from 0 inside a multi-frame file, else 0.
    sop_instance_uid
        Empty where the input was no DICOM.
    position_ras
        Center of the slice in the patient, RAS, mm.
    k
        Place along the third index of `Study.array`; whole where the slice lies on the grid, fractional between.
    thickness_mm
        Slice thickness as the header says; None where unknown.
    """

    index: int
    file: Path | None
    frame: int
    sop_instance_uid: str
    position_ras: tuple[float, float, float]
    k: float
    thickness_mm: float | None = None


@dataclass(frozen=True)
class DicomFacts:
    """The header facts that matter to a detector. Holds nothing that names the patient.

    Empty strings and None mean "not stated". `stated_parts` and `stated` are what descriptions, protocol, kernel, image
    type and age mean, in the few words of `study.words`; the descriptions themselves are not kept, but for the series'
    own, which no result holds.
    """

    study_instance_uid: str = ""
    series_instance_uid: str = ""
    frame_of_reference_uid: str = ""
    sop_class_uid: str = ""
    transfer_syntax_uid: str = ""
    series_number: int | None = None
    series_description: str = ""
    image_type: tuple[str, ...] = ()
    body_part: str = ""
    patient_position: str = ""
    manufacturer: str = ""
    device_model: str = ""
    kvp: float | None = None
    convolution_kernel: str = ""
    contrast_agent: str = ""
    slice_thickness_mm: float | None = None
    gantry_tilt_deg: float = 0.0
    photometric_interpretation: str = ""
    window_level: float | None = None
    window_width: float | None = None
    view_position: str = ""
    patient_orientation: tuple[str, ...] = ()
    laterality: str = ""
    burned_in_annotation: str = ""
    rescale_type: str = ""
    stated_parts: tuple[str, ...] = ()
    stated: tuple[str, ...] = ()


@dataclass(frozen=True)
class Study:
    """One series, ready for a detector.

    Attributes
    ----------
    array
        ``(z, y, x)`` float32 on a regular grid with orthogonal axes. CT in HU, radiographs in 0..1 with bone bright.
    ijk_to_ras
        4×4 float64; maps ``(i, j, k) = (x, y, z)`` voxel indices to RAS mm. A radiograph lies in the axial plane as
        Slicer loads it: +i is the picture's right (patient left), +j is down.
    modality
        ``"CT"``, ``"CR"``, ``"DX"``, ... as in DICOM; ``""`` where the input does not say.
    intensity
        ``"HU"`` for calibrated CT, ``"unit"`` for radiographs (0..1), ``"windowed"`` for CT slices from 8-bit pictures
        (0..1, the window already burned in).
    orientation
        Plane of the source slices in the patient.
    pixel_spacing_known
        False where the in-plane size of a pixel had to be assumed 1 mm; areas are then not reported in mm².
    regridded
        In words why `array` is not the source slices stacked as they are ("" where it is): tilt, uneven spacing,
        missing slices.
    sources
        The source slices in order.
    notices
        What reading already found: duplicates dropped, slices missing, localizers left out, other series in the folder.
    source_name
        Name of the file or folder it came from, for messages.
    keeps
        What must live as long as the files of `sources`: the temporary folder of a zip.
    """

    array: np.ndarray
    ijk_to_ras: np.ndarray
    modality: str
    intensity: Literal["HU", "unit", "windowed"]
    orientation: Orientation
    sources: tuple[SourceSlice, ...]
    dicom: DicomFacts = field(default_factory=DicomFacts)
    pixel_spacing_known: bool = True
    regridded: str = ""
    notices: tuple[Notice, ...] = ()
    source_name: str = ""
    keeps: object = field(default=None, repr=False, compare=False)

    @property
    def is_phantom(self) -> bool:
        """Whether the study is one of this library's own phantoms, by its header; it then depicts no person."""
        return self.dicom.manufacturer == PHANTOM_MANUFACTURER

    @property
    def spacing(self) -> tuple[float, float, float]:
        """Distance between neighboring voxels ``(z, y, x)`` in mm."""
        lengths = np.linalg.norm(self.ijk_to_ras[:3, :3], axis=0)
        return float(lengths[2]), float(lengths[1]), float(lengths[0])
