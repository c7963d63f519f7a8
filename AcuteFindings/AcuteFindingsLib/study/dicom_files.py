"""Opening DICOM files: which of a folder's files are DICOM, and their headers without pixels or patient data."""

import gzip
import io
import struct
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pydicom
import zstandard
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.errors import InvalidDicomError
from pydicom.uid import ExplicitVRBigEndian, ExplicitVRLittleEndian, ImplicitVRLittleEndian

from AcuteFindingsLib.errors import StudyError

Progress = Callable[[str, float], None]

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
    "WindowWidth", "VOILUTFunction",
]  # fmt: skip
PIXEL_TAGS = [
    "Rows", "Columns", "NumberOfFrames", "SamplesPerPixel", "PhotometricInterpretation", "PlanarConfiguration",
    "BitsAllocated", "BitsStored", "HighBit", "PixelRepresentation", "ModalityLUTSequence", "PixelData",
    "ExtendedOffsetTable", "ExtendedOffsetTableLengths",
]  # fmt: skip

_ZSTD_MAGIC = b"\x28\xb5\x2f\xfd"
_GZIP_MAGIC = b"\x1f\x8b"


@dataclass(frozen=True)
class Headers:
    """What the header pass found.

    Attributes
    ----------
    headers
        File and header of each readable DICOM file, in the order of the file names.
    unreadable
        Files that begin as DICOM but whose header cannot be read.
    """

    headers: tuple[tuple[Path, Dataset], ...]
    unreadable: tuple[Path, ...]


def read_headers(path: Path, *, progress: Progress | None = None) -> Headers:
    """Read the headers of one DICOM file or of every DICOM file below a folder; other files are skipped.

    Raises
    ------
    StudyError
        Where a single file is not DICOM or its header cannot be read.
    """
    if path.is_file():
        try:
            return Headers(headers=((path, read_header(path)),), unreadable=())
        except InvalidDicomError as error:
            raise StudyError(f"{path.name} is not a DICOM file: it does not begin as one.") from error
        except _UNREADABLE as error:
            raise StudyError(
                f"The DICOM header of {path.name} cannot be read ({type(error).__name__}); the file may be cut short."
            ) from error
    files = sorted(file for file in path.rglob("*") if file.is_file())
    found, unreadable = [], []
    for number, file in enumerate(files):
        if progress is not None and number % 20 == 0:
            progress(f"Reading headers: {number} of {len(files)} files", number / len(files))
        try:
            found.append((file, read_header(file)))
        except InvalidDicomError:
            continue
        except _UNREADABLE:
            unreadable.append(file)
    return Headers(headers=tuple(found), unreadable=tuple(unreadable))


def read_header(path: Path) -> Dataset:
    """Read one file's header, without its pixels."""
    return read_tags(path, HEADER_TAGS, stop_before_pixels=True)


def read_pixel_dataset(path: Path) -> Dataset:
    """Read one file's encoded pixels and the attributes that describe them."""
    return read_tags(path, PIXEL_TAGS, stop_before_pixels=False)


@contextmanager
def quiet_pydicom() -> Iterator[None]:
    """Keep pydicom's remarks on slightly wrong headers off the screen; what matters becomes a notice."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module="pydicom")
        yield


# What pydicom raises on damaged input; anything else is a fault of this program and must be seen.
MALFORMED = (
    EOFError, ValueError, KeyError, AttributeError, TypeError, NotImplementedError, struct.error,
)  # fmt: skip
_UNREADABLE: tuple[type[Exception], ...] = (OSError, *MALFORMED, zstandard.ZstdError)


def read_tags(path: Path, tags: Sequence[str], *, stop_before_pixels: bool) -> Dataset:
    """Read some attributes of one file, also of a compressed one and of one without the mark of a DICOM file."""
    with quiet_pydicom(), path.open("rb") as stream:
        start = stream.read(132)
        stream.seek(0)
        source: io.BufferedIOBase = stream
        if start.startswith(_ZSTD_MAGIC):
            source = io.BytesIO(zstandard.ZstdDecompressor().stream_reader(stream).read())
        elif start.startswith(_GZIP_MAGIC):
            source = io.BytesIO(gzip.GzipFile(fileobj=stream).read())
        if source is not stream:
            start = source.read(132)
            source.seek(0)
        bare = _is_bare_dataset(start)
        header = pydicom.dcmread(source, stop_before_pixels=stop_before_pixels, force=bare, specific_tags=list(tags))
        if not header:
            # pydicom gives an empty data set where the file ends within an element.
            raise EOFError("no complete element")
        _drop_malformed(header)
    if "TransferSyntaxUID" not in getattr(header, "file_meta", {}):
        _name_transfer_syntax(header)
    return header


def _drop_malformed(header: Dataset) -> None:
    """Remove elements whose value is not what their type allows: they count as not stated."""
    for tag in list(header.keys()):
        try:
            header[tag]
        except (ValueError, TypeError, NotImplementedError):
            del header[tag]


def _is_bare_dataset(start: bytes) -> bool:
    """Tell whether a file without the DICM mark still begins with group 0002 or 0008, as old files do."""
    return start[128:132] != b"DICM" and start[:2] in (b"\x02\x00", b"\x08\x00") and start[3:4] == b"\x00"


def _name_transfer_syntax(header: Dataset) -> None:
    implicit, little_endian = header.original_encoding
    header.file_meta = FileMetaDataset()
    if implicit:
        header.file_meta.TransferSyntaxUID = ImplicitVRLittleEndian
    else:
        header.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian if little_endian else ExplicitVRBigEndian
