"""The DICOM instances that a study was read from, as its results refer to them and take patient and study from them.

The only place in the program that reads who the patient is: what it reads goes into the DICOM objects and nowhere
else, neither into messages nor into file names.
"""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pydicom
from highdicom.enum import SpecificCharacterSetValues
from highdicom.spatial import is_multiframe_image
from pydicom.charset import convert_encodings
from pydicom.dataset import Dataset
from pydicom.errors import InvalidDicomError
from pydicom.uid import UID, generate_uid
from pydicom.valuerep import VR, format_number_as_ds, validate_value

from AcuteFindingsLib.errors import ExportError
from AcuteFindingsLib.progress import Progress, no_progress
from AcuteFindingsLib.study.dicom_files import read_header, read_tags
from AcuteFindingsLib.study.dicom_frames import Frame, frames_of
from AcuteFindingsLib.study.geometry import normal_of
from AcuteFindingsLib.study.study import SourceSlice, Study

# Patient and study attributes of type 2 that a source may lack (PS3.3 C.7.1.1, C.7.2.1): present, but empty.
_NEVER_MISSING = (
    "PatientID", "PatientName", "PatientBirthDate", "PatientSex", "AccessionNumber", "StudyID", "StudyDate",
    "StudyTime", "ReferringPhysicianName",
)  # fmt: skip
# Where a value is not what its type allows, an object that repeats it would be refused; text is repeated as it is.
_CHECKED_VRS = (VR.DA, VR.TM, VR.DT, VR.AS, VR.CS, VR.IS, VR.DS)
_SEXES = ("M", "F", "O", "")

_TEXT_VRS = (VR.PN, VR.LO, VR.SH, VR.LT, VR.ST, VR.UC, VR.UT)
# Of several bytes a character: they only follow another set (PS3.3 C.12.1.1.2).
_SEVERAL_BYTES = ("ISO 2022 IR 87", "ISO 2022 IR 159", "ISO 2022 IR 149", "ISO 2022 IR 58")
_UIDS = (
    ("SOPClassUID", "0008,0016", True),
    ("SOPInstanceUID", "0008,0018", True),
    ("StudyInstanceUID", "0020,000D", True),
    ("SeriesInstanceUID", "0020,000E", True),
    ("FrameOfReferenceUID", "0020,0052", False),
)
# Part of a pixel's size by which it may differ from what the files say: what decimals cost.
_STRETCHED = 0.01

# Directions of slices of one series may differ by what writing them in decimals costs.
_SAME_DIRECTION = 1e-3


@dataclass(frozen=True)
class SourcePlane:
    """One source slice: the instance it is in (index of `SourceInstances.headers`), and where it lies.

    `frame` counts from 1 and is None in single-frame instances. `position` is the center of the first pixel in LPS mm,
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
            "The DICOM files of this study are no longer known, and patient and study are taken from them; add them "
            "to the DICOM database, or run the detector on their folder."
        )


def read_instances(study: Study, *, progress: Progress = no_progress) -> SourceInstances:
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
        if number % 20 == 0:
            progress("Reading the DICOM headers", number / len(files))
        headers.append(_header(file, whole=number == 0))
        frames.append(frames_of(file, headers[-1]))
    numbers = {file: number for number, file in enumerate(files)}
    used = [_frame(source, frames[numbers[source.file]]) for source in study.sources if source.file is not None]
    if study.orientation != "projection":
        used = _in_order(used, study)
    _refuse_mixed(headers, study)
    _refuse_illegal(headers)
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
    _refuse_moved(source, study)
    _normalize(source, study, first)
    return source


def _header(file: Path, *, whole: bool) -> Dataset:
    """Return the header of a file; `whole` with patient and study, else only what references and geometry need."""
    try:
        header = read_tags(file, [], stop_before_pixels=True) if whole else read_header(file)
    except (InvalidDicomError, OSError, EOFError, ValueError, KeyError, AttributeError, TypeError) as error:
        raise ExportError(
            f"{file.name} can no longer be read ({type(error).__name__}); DICOM results need the study's files as "
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
        # Required beside it (PS3.3 C.7.1.1); many an anonymizer forgets to.
        header.DeidentificationMethod = "Not stated"


def _know_characters(header: Dataset) -> None:
    """Keep the character set where a result can state it, else turn the text into Unicode.

    An empty first value of several is the default repertoire (PS3.3 C.12.1.1.2), as usual in Japan and Korea.

    Raises
    ------
    ExportError
        Nobody knows the character set, and the text needs one.
    """
    stated = header.get("SpecificCharacterSet") or ""
    names = [stated] if isinstance(stated, str) else [str(one) for one in stated]
    if len(names) > 1 and not names[0]:
        names[0] = SpecificCharacterSetValues.DEFAULT_REPERTOIRE_CODE_EXTENSIONS.value
        header.SpecificCharacterSet = names
    known = {one.value for one in SpecificCharacterSetValues} | {""}
    several = len(names) > 1 and all(name.startswith("ISO 2022") for name in names) and names[0] not in _SEVERAL_BYTES
    if set(names) <= known and (several or (len(names) == 1 and names[0] not in _SEVERAL_BYTES)):
        return
    header.decode()
    if not _is_charset(names) and not all(str(e.value).isascii() for e in header if e.VR in _TEXT_VRS):
        raise ExportError(
            "The study's files name a character set that DICOM does not know (Specific Character Set, 0008,0005), so "
            "the patient's name could not be carried over as it is; correct it, or export the study from its source "
            "again."
        )
    header.SpecificCharacterSet = "ISO_IR 192"


def _is_charset(names: list[str]) -> bool:
    """Whether pydicom knows every name, misspelled or not."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            warnings.filterwarnings("error", message=".*Unknown encoding.*")
            convert_encodings(list(names))
    except (UserWarning, LookupError, ValueError):
        return False
    return True


def _refuse_illegal(headers: Sequence[Dataset]) -> None:
    """Refuse files that a result cannot refer to: without SOP class, or with UIDs that are none (PS3.5, 9.1)."""
    for header in headers:
        for keyword, tag, needed in _UIDS:
            value = str(header.get(keyword) or "")
            if value and UID(value).is_valid:
                continue
            if value or needed:
                wrong = f"state a {keyword} ({tag}) that is not a UID" if value else f"lack the {keyword} ({tag})"
                raise ExportError(
                    f"Some of the study's files {wrong}, so a DICOM result cannot refer to them; export the study from "
                    "its source again, or run without DICOM results."
                )


def _refuse_moved(source: SourceInstances, study: Study) -> None:
    """Refuse a volume that lies elsewhere than its files say, as after a transform was hardened."""
    if source.directions is None or source.spacing is None or study.orientation == "projection":
        return
    rows, columns = source.shape
    across = source.directions[:3] * source.spacing[1] * (columns - 1) / 2
    down = source.directions[3:] * source.spacing[0] * (rows - 1) / 2
    away = [
        float(np.linalg.norm((plane.position + across + down) * [-1, -1, 1] - one.position_ras))
        for plane, one in zip(source.planes, study.sources, strict=True)
        if plane.position is not None
    ]
    # Of a tilted or unevenly spaced stack Slicer shows the first slice in its place; after a transform none is there.
    moved = bool(away) and min(away) > max(max(source.spacing), 0.5)
    if not study.regridded and not moved:
        in_plane = np.linalg.norm(np.asarray(study.ijk_to_ras, float)[:3, :2], axis=0)
        stretched = np.abs(in_plane / [source.spacing[1], source.spacing[0]] - 1).max() > _STRETCHED
        moved = stretched or not same_orientation(source, study.ijk_to_ras)
    if moved:
        raise ExportError(
            "The volume does not lie where its DICOM files say (was a transform hardened?), so a DICOM result would "
            "mark other places in them; load the series again, or run the detector on its files."
        )


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
    if len({str(header.get("SOPInstanceUID") or "") for header in headers}) < len(headers):
        raise ExportError(
            "Several of the study's images share a SOP Instance UID (0008,0018), so a DICOM result cannot say which of "
            "them it is on; export the study again from its source."
        )
    for keyword, tag in (("StudyInstanceUID", "0020,000D"), ("SeriesInstanceUID", "0020,000E")):
        if len({str(header.get(keyword) or "") for header in headers}) > 1:
            raise ExportError(
                f"The study's files are of several DICOM studies or series ({keyword}, {tag}); a DICOM result belongs "
                "to one."
            )
    if str(headers[0].get("StudyInstanceUID") or "") != study.dicom.study_instance_uid:
        raise ExportError("The study's files are not those that the detector read (StudyInstanceUID, 0020,000D).")


def _normalize(source: SourceInstances, study: Study, first: Frame) -> None:
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
