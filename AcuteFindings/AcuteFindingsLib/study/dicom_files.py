"""Opening DICOM files: which of a folder's files are DICOM, and their headers without pixels or patient data."""

import io
import logging
import struct
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import pydicom
from pydicom.datadict import dictionary_has_tag, dictionary_VR
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.errors import BytesLengthException, InvalidDicomError
from pydicom.filereader import read_dataset
from pydicom.tag import BaseTag, Tag
from pydicom.uid import (
    ComputedRadiographyImageStorage,
    CTImageStorage,
    DeflatedExplicitVRLittleEndian,
    DigitalXRayImageStorageForPresentation,
    DigitalXRayImageStorageForProcessing,
    EnhancedCTImageStorage,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    LegacyConvertedEnhancedCTImageStorage,
    MediaStorageDirectoryStorage,
    SecondaryCaptureImageStorage,
)

from AcuteFindingsLib.budgets import budgets
from AcuteFindingsLib.errors import StudyError
from AcuteFindingsLib.progress import Progress, no_progress
from AcuteFindingsLib.study.file_kinds import (
    DICOM,
    START_BYTES,
    WHAT_IS_READ,
    FileKind,
    kind_of,
    kind_of_bytes,
    shown_name,
)
from AcuteFindingsLib.study.folder_files import files_below, spoiled_among
from AcuteFindingsLib.study.patient import PATIENT_TAGS, join_patients, keep_no_patient
from AcuteFindingsLib.study.unpacking import UNPACKING_FAILS, check_deflated, unpacked, unpacked_start

# What is read of a header. A closed list, so that nothing which names the patient ever enters this program.
HEADER_TAGS = [
    "SOPClassUID", "SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID", "FrameOfReferenceUID", "Modality",
    "ImageType", "SeriesNumber", "SeriesDescription", "ProtocolName", "StudyDescription", "BodyPartExamined",
    "AnatomicRegionSequence", "PatientPosition", "Manufacturer", "ManufacturerModelName", "KVP", "ConvolutionKernel",
    "ContrastBolusAgent", "ContrastBolusAgentSequence", "ContrastBolusVolume", "ContrastBolusStartTime",
    "SliceThickness", "SpacingBetweenSlices", "SliceLocation", "GantryDetectorTilt", "InstanceNumber",
    "AcquisitionNumber", "AcquisitionTime", "ContentTime", "TemporalPositionIdentifier", "TemporalPositionIndex",
    "ImagePositionPatient", "ImageOrientationPatient", "ViewPosition", "ViewCodeSequence", "PatientOrientation",
    "Laterality", "ImageLaterality", "BurnedInAnnotation", "EncryptedAttributesSequence",
    "SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence",
    "Rows", "Columns", "NumberOfFrames", "SamplesPerPixel", "PhotometricInterpretation", "PlanarConfiguration",
    "BitsAllocated", "BitsStored", "HighBit", "PixelRepresentation", "PixelPaddingValue", "PixelPaddingRangeLimit",
    "PixelSpacing", "ImagerPixelSpacing", "NominalScannedPixelSpacing", "EstimatedRadiographicMagnificationFactor",
    "RescaleSlope", "RescaleIntercept", "RescaleType", "ModalityLUTSequence", "VOILUTSequence", "WindowCenter",
    "WindowWidth", "VOILUTFunction", "PixelAspectRatio", "PresentationIntentType", "PresentationLUTShape",
    "PixelIntensityRelationshipSign", "ImagesInAcquisition",
    "NumberOfSeriesRelatedInstances",
    "PatientAge",
    # What may tell apart several volumes of one series.
    "AcquisitionDateTime", "NominalPercentageOfCardiacPhase", "NominalPercentageOfRespiratoryPhase",
    "CardiacCyclePosition", "RespiratoryCyclePosition", "TriggerTime", "NominalCardiacTriggerDelayTime",
    "NominalRespiratoryTriggerDelayTime", "MonoenergeticEnergyEquivalent", "ReconstructionAlgorithm", "FilterType",
    "ReconstructionDiameter", "ScanOptions",
    "FrameIncrementPointer",
]  # fmt: skip
_PALETTE_TAGS = [
    f"{kind}{color}PaletteColorLookupTable{part}"
    for color in ("Red", "Green", "Blue") for kind, part in (("", "Descriptor"), ("", "Data"), ("Segmented", "Data"))
]  # fmt: skip
PIXEL_TAGS = [
    "Rows", "Columns", "NumberOfFrames", "SamplesPerPixel", "PhotometricInterpretation", "PlanarConfiguration",
    "BitsAllocated", "BitsStored", "HighBit", "PixelRepresentation", "ModalityLUTSequence", "PixelData",
    "ExtendedOffsetTable", "ExtendedOffsetTableLengths", *_PALETTE_TAGS,
]  # fmt: skip

# Numbers of these attributes, looked up once: from names they are made for each file.
_HEADER_ELEMENTS = [Tag(keyword) for keyword in (*HEADER_TAGS, *PATIENT_TAGS)]
PIXEL_ELEMENTS = [Tag(keyword) for keyword in PIXEL_TAGS]

PIXELS_START = "pixels_start"
"""Name under which a header says at which byte of its file the pixels begin; not there where the file was packed."""

# Storage classes of the images that are read here; a file of them without rows and columns is cut short.
IMAGE_STORAGE = frozenset((
    CTImageStorage, EnhancedCTImageStorage, LegacyConvertedEnhancedCTImageStorage, ComputedRadiographyImageStorage,
    DigitalXRayImageStorageForPresentation, DigitalXRayImageStorageForProcessing, SecondaryCaptureImageStorage,
))  # fmt: skip

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Headers:
    """What the header pass found.

    Attributes
    ----------
    headers
        File and header of each readable DICOM file, in the order of the file names.
    unreadable
        Files that are or should be DICOM but whose header cannot be read: empty, cut short or damaged.
    """

    headers: tuple[tuple[Path, Dataset], ...]
    unreadable: tuple[Path, ...]


class DicomIndexError(InvalidDicomError):
    """The file is a DICOMDIR: it lists other files."""


def read_headers(path: Path, *, files: Sequence[Path] | None = None, progress: Progress = no_progress) -> Headers:
    """Read the headers of one DICOM file or of every DICOM file below a folder; other files are skipped.

    Linked folders are followed, each folder once. With `files` only these are read, whatever else the folder holds.

    Raises
    ------
    StudyError
        Where a single file is not DICOM or its header cannot be read, and where a folder holds more files than
        `Budgets.files`.
    """
    if files is None and path.is_file():
        return Headers(headers=((path, _read_single(path)),), unreadable=())
    files, closed = files_below(path) if files is None else (sorted(files), [])
    found, unreadable, others = [], closed, []
    for number, file in enumerate(files):
        if number % 20 == 0:
            progress(f"Reading headers: {number} of {len(files)} files", number / len(files))
        try:
            found.append((file, read_header(file)))
        except DicomIndexError:
            continue
        except InvalidDicomError:
            others.append(file)
        except UNREADABLE as error:
            _log.debug("%s: %r", file, error)
            unreadable.append(file)
    join_patients(header for _, header in found)
    unreadable += spoiled_among(others, [file for file, _ in found] + unreadable)
    return Headers(headers=tuple(found), unreadable=tuple(sorted(unreadable)))


def read_header(path: Path) -> Dataset:
    """Read one file's header, without its pixels.

    Of the patient it holds what `keep_no_patient` leaves.
    """
    header = read_tags(path, _HEADER_ELEMENTS, stop_before_pixels=True)
    check_numbers(header)
    keep_no_patient(header, kept=HEADER_TAGS)
    return header


def read_pixel_dataset(path: Path, *, end: bytes = b"") -> Dataset:
    """Read one file's encoded pixels and the attributes that describe them, as if the file ended with `end`."""
    return read_tags(path, PIXEL_ELEMENTS, stop_before_pixels=False, end=end)


@contextmanager
def quiet_pydicom() -> Iterator[None]:
    """Keep pydicom's remarks on slightly wrong headers off the screen; what matters becomes a notice."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module="pydicom")
        yield


# What pydicom raises on damaged input; anything else is a fault of this program and must be seen.
MALFORMED = (
    EOFError, ValueError, KeyError, AttributeError, TypeError, NotImplementedError, struct.error, IndexError,
    OverflowError, RecursionError, BytesLengthException,
)  # fmt: skip
# A StudyError here is a file beyond its budget.
UNREADABLE: tuple[type[Exception], ...] = (OSError, StudyError, *MALFORMED, *UNPACKING_FAILS)

# Attributes of one whole number each that say how pixels lie in memory (PS3.3 C.7.6.3).
_WHOLE_NUMBERS = (
    "Rows", "Columns", "NumberOfFrames", "SamplesPerPixel", "PlanarConfiguration", "BitsAllocated", "BitsStored",
    "HighBit", "PixelRepresentation",
)  # fmt: skip
_MOST_BITS, _MOST_SAMPLES = 64, 4


def read_tags(path: Path, tags: list[BaseTag], *, stop_before_pixels: bool, end: bytes = b"") -> Dataset:
    """Read some attributes of one file, also of a compressed one and of one without the mark of a DICOM file.

    Raises
    ------
    InvalidDicomError
        Where the file does not begin as DICOM; `DicomIndexError` where it is a DICOMDIR.
    EOFError, OSError, StudyError and others of `UNREADABLE`
        Where it is damaged, cut short or unpacks beyond its budget.
    """
    with quiet_pydicom(), path.open("rb") as stream:
        start = stream.read(START_BYTES)
        stream.seek(0)
        source: BinaryIO = stream
        kind = kind_of_bytes(start)
        if kind is not None and kind.use == "packed":
            start = unpacked_start(stream, kind)
            stream.seek(0)
            if kind_of_bytes(start) == DICOM:
                source = io.BytesIO(unpacked(stream, kind, packed_bytes=path.stat().st_size))
        if kind_of_bytes(start) != DICOM:
            raise InvalidDicomError("does not begin as DICOM")
        check_deflated_budget(source, start)
        if end:
            source = io.BytesIO(source.read() + end)
        bare = start[128:132] != b"DICM"
        header = pydicom.dcmread(source, stop_before_pixels=stop_before_pixels, force=bare, specific_tags=tags)
        if header.file_meta.get("MediaStorageSOPClassUID") == MediaStorageDirectoryStorage:
            raise DicomIndexError("a DICOMDIR")
        if not header:
            # pydicom gives an empty data set where the file ends within an element.
            raise EOFError("no complete element")
        _drop_malformed(header)
        if stop_before_pixels and source is stream:
            setattr(header, PIXELS_START, stream.tell())
    if "TransferSyntaxUID" not in getattr(header, "file_meta", {}):
        _name_transfer_syntax(header)
    return header


def check_numbers(header: Dataset) -> None:
    """Check that the attributes that say how pixels lie in memory are single numbers that an image can have.

    Attributes that state nothing are removed. Limits: `Budgets.pixels` and `Budgets.frames`; 64 bits and 4 samples a
    pixel are the most that PS3.5 knows.

    Raises
    ------
    ValueError
        Names the attribute.
    """
    limits = budgets()
    stated: dict[str, int] = {}
    for keyword in _WHOLE_NUMBERS:
        value = header.get(keyword)
        if value is None or value == "":
            if keyword in header:
                delattr(header, keyword)
            continue
        stated[keyword] = int(value)
        if stated[keyword] != float(value) or stated[keyword] < 0:
            raise ValueError(f"{keyword} is {value}")
    allocated = stated.get("BitsAllocated", _MOST_BITS)
    wrong = (
        stated.get("Rows", 0) * stated.get("Columns", 0) > limits.pixels
        or stated.get("NumberOfFrames", 0) > limits.frames
        or allocated > _MOST_BITS
        or not 1 <= stated.get("BitsStored", 1) <= allocated
        or not 1 <= stated.get("SamplesPerPixel", 1) <= _MOST_SAMPLES
        or allocated < 1
    )
    if wrong:
        raise ValueError(f"no image has {stated}")


def _read_single(path: Path) -> Dataset:
    name = shown_name(path)
    try:
        return read_header(path)
    except DicomIndexError as error:
        raise StudyError(
            f"{name} is a DICOMDIR, the index of a disc, and holds no image; give the folder that it lies in."
        ) from error
    except InvalidDicomError as error:
        raise StudyError(_not_dicom(path, name)) from error
    except StudyError as error:
        raise StudyError(f"{name} cannot be read. {error}") from error
    except UNREADABLE as error:
        raise StudyError(
            f"The DICOM header of {name} cannot be read ({type(error).__name__}); the file may be cut short."
        ) from error


def _not_dicom(path: Path, name: str) -> str:
    """Say what a file is that is not DICOM."""
    if path.stat().st_size == 0:
        return f"{name} is empty; copy or export it again."
    kind: FileKind | None = kind_of(path)
    if kind is None:
        return f"{name} is not a DICOM file: it does not begin as one, nor as any other kind that is read."
    if kind.use == "archive":
        return f"{name} is {kind.name}; unpack it and give the folder."
    if kind.use == "packed":
        return f"{name} is {kind.name} but holds no DICOM file; unpack it and give what it holds."
    if kind.use in ("picture", "volume"):
        return f"{name} is {kind.name} by its content but not by its name; give it the ending of its kind."
    return f"{name} is {kind.name}, which is not read: {WHAT_IS_READ}."


def check_deflated_budget(source: BinaryIO, start: bytes) -> None:
    """Unpack a file of the Deflated transfer syntax once without keeping it: pydicom unpacks it whole, however large.

    Raises
    ------
    StudyError
        Where it is beyond its budget.
    EOFError, zlib.error
        Where it is damaged.
    """
    if DeflatedExplicitVRLittleEndian.encode() not in start + source.read(1024):
        source.seek(0)
        return
    source.seek(132)
    meta = read_dataset(source, False, True, stop_when=lambda tag, _vr, _length: tag.group != 2)
    if meta.get("TransferSyntaxUID") == DeflatedExplicitVRLittleEndian:
        check_deflated(source.read())
    source.seek(0)


def _drop_malformed(header: Dataset, depth: int = 0) -> None:
    """Remove elements whose value is not what their type allows: they count as not stated.

    Raises
    ------
    ValueError
        Where sequences lie deeper in one another than `Budgets.nesting`.
    """
    if depth > budgets().nesting:
        raise ValueError("sequences lie too deep in one another")
    for tag in list(header.keys()):
        try:
            element = header[tag]
        except RecursionError:
            raise
        except MALFORMED:
            del header[tag]
            continue
        if dictionary_has_tag(tag) and (dictionary_VR(tag) == "SQ") != (element.VR == "SQ"):
            del header[tag]
        elif element.VR == "SQ":
            for item in element.value:
                _drop_malformed(item, depth + 1)


def _name_transfer_syntax(header: Dataset) -> None:
    implicit, little_endian = header.original_encoding
    header.file_meta = FileMetaDataset()
    if implicit:
        header.file_meta.TransferSyntaxUID = ImplicitVRLittleEndian
    else:
        header.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian if little_endian else ExplicitVRBigEndian
