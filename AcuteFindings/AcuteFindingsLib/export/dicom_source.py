"""The DICOM instances that a study was read from, as its results refer to them and take patient and study from them.

The only place in the program that reads who the patient is: what it reads goes into the DICOM objects and nowhere
else, neither into messages nor into file names.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pydicom
from highdicom.enum import SpecificCharacterSetValues
from highdicom.spatial import is_multiframe_image
from pydicom.dataset import Dataset
from pydicom.errors import InvalidDicomError
from pydicom.uid import UID, generate_uid
from pydicom.valuerep import VR, format_number_as_ds, validate_value

from AcuteFindingsLib.errors import ExportError
from AcuteFindingsLib.study.dicom_files import read_header, read_tags
from AcuteFindingsLib.study.dicom_frames import Frame, frames_of
from AcuteFindingsLib.study.geometry import normal_of
from AcuteFindingsLib.study.study import SourceSlice, Study

Progress = Callable[[str, float], None]

# Patient and study attributes of type 2 that a source may lack (PS3.3 C.7.1.1, C.7.2.1): present, but empty.
_NEVER_MISSING = (
    "PatientID", "PatientName", "PatientBirthDate", "PatientSex", "AccessionNumber", "StudyID", "StudyDate",
    "StudyTime", "ReferringPhysicianName",
)  # fmt: skip
# Where a value is not what its type allows, an object that repeats it would be refused; text is repeated as it is.
_CHECKED_VRS = (VR.DA, VR.TM, VR.DT, VR.AS, VR.CS, VR.IS, VR.DS)
_SEXES = ("M", "F", "O", "")

# Directions of slices of one series may differ by what writing them in decimals costs.
_SAME_DIRECTION = 1e-3


@dataclass(frozen=True)
class SourcePlane:
    """One source slice: the instance it is in (index of `SourceInstances.headers`), and where it lies.

    `frame` counts from 1 and is None in single-frame instances. `position` is the centre of the first pixel in LPS mm,
    None in a radiograph.
    """

    instance: int
    frame: int | None
    position: np.ndarray | None


@dataclass(frozen=True)
class SourceInstances:
    """Headers of the source instances, without pixels.

    Attributes
    ----------
    headers
        One an instance, in the order of the study's slices; the first holds patient and study, the others what a
        reference needs. Their geometry is that of the whole series.
    planes
        One for each of `Study.sources`.
    shape
        ``(y, x)`` of an image as stored.
    directions, spacing
        Direction cosines of rows and columns; distance between rows and between columns in mm. None where not stated.
    patient_orientation
        Where the rows and the columns of a radiograph run to, as stored; empty where not stated.
    """

    headers: tuple[Dataset, ...]
    planes: tuple[SourcePlane, ...]
    shape: tuple[int, int]
    directions: np.ndarray | None
    spacing: tuple[float, float] | None
    patient_orientation: tuple[str, ...]

    @property
    def first(self) -> Dataset:
        """The header that holds patient and study."""
        return self.headers[0]

    @property
    def is_multiframe(self) -> bool:
        """Whether slices are frames of an instance."""
        return any(plane.frame is not None for plane in self.planes)

    def reference(self, index: int) -> tuple[str, str, list[int] | None]:
        """Return SOP class and instance UID of a source slice, and its frame number as a list."""
        plane = self.planes[index]
        header = self.headers[plane.instance]
        frames = None if plane.frame is None else [plane.frame]
        return str(header.SOPClassUID), str(header.SOPInstanceUID), frames


def require_instances(study: Study) -> None:
    """Refuse a study that has no DICOM instances to refer to.

    Raises
    ------
    ExportError
        Says what was read instead, and what to do.
    """
    if not study.sources or not study.dicom.study_instance_uid or not all(s.sop_instance_uid for s in study.sources):
        raise ExportError(
            "DICOM results refer to the DICOM images they were found in and belong to the same patient and study, but "
            "this study was not read from DICOM (or was resampled since); open its original DICOM files."
        )
    if not all(source.file is not None for source in study.sources):
        raise ExportError(
            "The DICOM files of this study are not known any more, and patient and study are taken from them; add them "
            "to the DICOM database, or run the detector on their folder."
        )


def read_instances(study: Study, *, progress: Progress | None = None) -> SourceInstances:
    """Read the headers of the instances that a study was read from.

    Raises
    ------
    ExportError
        The study has no instances, or they are not what the study was read from: gone, changed or of other size.
    """
    require_instances(study)
    files = list(dict.fromkeys(source.file for source in study.sources if source.file is not None))
    headers: list[Dataset] = []
    frames: list[list[Frame]] = []
    for number, file in enumerate(files):
        if progress is not None and number % 20 == 0:
            progress("Reading the DICOM headers", number / len(files))
        headers.append(_header(file, whole=number == 0))
        frames.append(frames_of(file, headers[-1]))
    numbers = {file: number for number, file in enumerate(files)}
    used = [_frame(source, frames[numbers[source.file]]) for source in study.sources if source.file is not None]
    if study.orientation != "projection":
        used = _in_order(used, study)
    _refuse_mixed(headers, study)
    first = used[0]
    directions = None if study.orientation == "projection" else first.directions
    planes = tuple(
        SourcePlane(
            numbers[frame.file],
            frame.number + 1 if is_multiframe_image(headers[numbers[frame.file]]) else None,
            None if study.orientation == "projection" else frame.position,
        )
        for frame in used
    )
    orientation = headers[0].get("PatientOrientation") or ()
    source = SourceInstances(
        headers=tuple(headers),
        planes=planes,
        shape=first.shape,
        directions=directions,
        spacing=first.spacing,
        patient_orientation=tuple(str(word).strip().upper() for word in orientation),
    )
    _normalise(source, study, first)
    return source


def _header(file: Path, *, whole: bool) -> Dataset:
    """Return the header of a file; `whole` with patient and study, else only what references and geometry need."""
    try:
        header = read_tags(file, [], stop_before_pixels=True) if whole else read_header(file)
    except (InvalidDicomError, OSError, EOFError, ValueError, KeyError, AttributeError, TypeError) as error:
        raise ExportError(
            f"{file.name} cannot be read any more ({type(error).__name__}); DICOM results need the study's files as "
            "they were when the detector ran."
        ) from error
    if not whole:
        return header
    for keyword in _NEVER_MISSING:
        if keyword not in header:
            setattr(header, keyword, "")
    if str(header.PatientSex or "") not in _SEXES:
        header.PatientSex = ""
    _know_characters(header)
    for element in list(header):
        # Of text, dates and numbers as DICOM knows them only the latter can be wrong in a way that matters here.
        if element.VR in _CHECKED_VRS and not _is_valid(element.VR, element.value):
            element.value = None
    _drop_empty(header)
    return header


def _drop_empty(header: Dataset) -> None:
    """Leave out what is stated without a value, as where it was taken out, but where DICOM allows it to be empty."""
    for element in list(header):
        if element.is_empty and element.keyword not in _NEVER_MISSING:
            del header[element.tag]
    methods = ("DeidentificationMethod", "DeidentificationMethodCodeSequence")
    if header.get("PatientIdentityRemoved") == "YES" and not any(method in header for method in methods):
        # Required beside it (PS3.3 C.7.1.1); many an anonymiser forgets to.
        header.DeidentificationMethod = "Not stated"


def _know_characters(header: Dataset) -> None:
    """Turn text in a character set that DICOM does not know into Unicode."""
    stated = header.get("SpecificCharacterSet") or []
    known = {one.value for one in SpecificCharacterSetValues} | {""}
    if not {str(one) for one in ([stated] if isinstance(stated, str) else stated)} <= known:
        header.decode()
        header.SpecificCharacterSet = "ISO_IR 192"


def _is_valid(representation: str, value: object) -> bool:
    values = value if isinstance(value, Sequence) and not isinstance(value, str) else [value]
    try:
        for one in values:
            if one not in (None, ""):
                validate_value(representation, str(one), pydicom.config.RAISE)
    except (ValueError, TypeError):
        return False
    return True


def _frame(source: SourceSlice, frames: list[Frame]) -> Frame:
    """Return the image that a source slice names; refuse where the file holds another by now."""
    assert source.file is not None
    if source.frame < len(frames) and frames[source.frame].sop_instance_uid == source.sop_instance_uid:
        return frames[source.frame]
    raise ExportError(
        f"{source.file.name} is not the image any more that the detector read (SOP Instance UID, 0008,0018, or its "
        "frames differ); run the detector again."
    )


def _in_order(frames: list[Frame], study: Study) -> list[Frame]:
    """Return the frames in the order of the study's slices.

    Slicer does not say which frame of a multi-frame file a slice of its volume is; where the frames lie does.
    """
    if len({frame.file for frame in frames}) > 1 or len(frames) == 1 or any(f.position is None for f in frames):
        return frames
    along = np.asarray(study.ijk_to_ras, float)[:3, 2] * [-1.0, -1.0, 1.0]
    return sorted(frames, key=lambda frame: float(np.asarray(frame.position) @ along))


def _refuse_mixed(headers: list[Dataset], study: Study) -> None:
    for keyword, tag in (("StudyInstanceUID", "0020,000D"), ("SeriesInstanceUID", "0020,000E")):
        if len({str(header.get(keyword) or "") for header in headers}) > 1:
            raise ExportError(
                f"The study's files are of several DICOM studies or series ({keyword}, {tag}); a DICOM result belongs "
                "to one."
            )
    if str(headers[0].get("StudyInstanceUID") or "") != study.dicom.study_instance_uid:
        raise ExportError("The study's files are not those that the detector read (StudyInstanceUID, 0020,000D).")


def _normalise(source: SourceInstances, study: Study, first: Frame) -> None:
    """Give all headers one geometry: that of the first, as the study was read, without rounding differences.

    A radiograph has no place in the patient. A CT whose headers name no frame of reference gets one that is the same
    for all results of its series.
    """
    projection = study.orientation == "projection"
    named = [str(header.get("FrameOfReferenceUID") or "") for header in source.headers]
    own = generate_uid(entropy_srcs=[study.dicom.series_instance_uid or study.dicom.study_instance_uid])
    reference = UID(named[0] or own)
    if not projection and len(set(named)) > 1:
        raise ExportError(
            "The slices name different frames of reference (0020,0052), so where they lie to one another is not "
            "certain; export the series from its source again."
        )
    thickness = first.thickness_mm or study.spacing[0]
    for number, header in enumerate(source.headers):
        header.Rows, header.Columns = source.shape
        if projection:
            _without_place(header, source)
            continue
        header.FrameOfReferenceUID = reference
        if source.directions is None or source.spacing is None:
            continue
        if any(plane.frame is not None for plane in source.planes):
            _share(header, source.directions, source.spacing, thickness)
        else:
            position = next(plane.position for plane in source.planes if plane.instance == number)
            header.ImageOrientationPatient = _decimals(source.directions)
            header.ImagePositionPatient = None if position is None else _decimals(position)
            header.PixelSpacing = _decimals(np.asarray(source.spacing))
            header.SliceThickness = _decimals(np.asarray([thickness]))[0]


def _without_place(header: Dataset, source: SourceInstances) -> None:
    """Take a radiograph's place in the patient away, and state its pixel size where highdicom looks for it."""
    for keyword in ("FrameOfReferenceUID", "ImagePositionPatient", "ImageOrientationPatient"):
        if keyword in header:
            del header[keyword]
    if source.is_multiframe:
        item = Dataset()
        item.PixelMeasuresSequence = None
        if source.spacing is not None:
            measures = Dataset()
            measures.PixelSpacing = _decimals(np.asarray(source.spacing))
            item.PixelMeasuresSequence = [measures]
        header.SharedFunctionalGroupsSequence = [item]


def _share(header: Dataset, directions: np.ndarray, spacing: tuple[float, float], thickness: float) -> None:
    """State a multi-frame instance's orientation and pixel size once for all frames."""
    shared = header.get("SharedFunctionalGroupsSequence")
    item = shared[0] if shared else Dataset()
    plane, measures = Dataset(), Dataset()
    plane.ImageOrientationPatient = _decimals(directions)
    measures.PixelSpacing = _decimals(np.asarray(spacing))
    measures.SliceThickness = _decimals(np.asarray([thickness]))[0]
    item.PlaneOrientationSequence, item.PixelMeasuresSequence = [plane], [measures]
    header.SharedFunctionalGroupsSequence = [item]


def _decimals(values: np.ndarray) -> list[str]:
    """Return numbers as decimal strings of 16 characters at most."""
    return [format_number_as_ds(float(value)) for value in values]


def same_orientation(source: SourceInstances, ijk_to_ras: np.ndarray) -> bool:
    """Whether a grid's planes are parallel to the source slices and turned the same way within them."""
    if source.directions is None:
        return False
    axes = np.asarray(ijk_to_ras, float)[:3, :2] * [[-1.0], [-1.0], [1.0]]
    axes = axes / np.linalg.norm(axes, axis=0)
    return bool(np.abs(axes.T.ravel() - source.directions).max() < _SAME_DIRECTION)


def heights(source: SourceInstances, positions: np.ndarray) -> np.ndarray:
    """Return how far points ``(n, 3)`` LPS lie along the normal of the source slices, in mm."""
    assert source.directions is not None
    return positions @ normal_of(source.directions)
