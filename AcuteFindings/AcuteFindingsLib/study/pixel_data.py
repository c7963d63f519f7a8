"""Whether the encoded pixels of a DICOM file are all there: frames, ends of streams, and what lies behind them."""

import struct
from pathlib import Path

import numpy as np
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset
from pydicom.encaps import generate_fragments, get_frame
from pydicom.filereader import read_dataset
from pydicom.pixels.utils import get_expected_length
from pydicom.uid import JPEG2000TransferSyntaxes, JPEGLSTransferSyntaxes, JPEGTransferSyntaxes

from AcuteFindingsLib.errors import StudyError
from AcuteFindingsLib.study.dicom_files import (
    HEADER_TAGS,
    MALFORMED,
    PIXEL_ELEMENTS,
    PIXEL_TAGS,
    PIXELS_START,
    check_numbers,
    read_pixel_dataset,
)
from AcuteFindingsLib.study.file_kinds import DICOM, START_BYTES, kind_of_bytes
from AcuteFindingsLib.study.unpacking import ZSTD_FAILS

# Of what describes the pixels, what a header has been read for already.
_KNOWN = [keyword for keyword in PIXEL_TAGS if keyword in HEADER_TAGS]
# What pydicom and its plug-ins raise on damaged pixel data.
DECODING_FAILS: tuple[type[Exception], ...] = (*MALFORMED, OSError, RuntimeError, StudyError, *ZSTD_FAILS)

# These streams end with an end marker (ITU-T T.81, T.87 and T.800); decoders fill with gray what comes before it.
_ENDS_WITH_MARKER = frozenset((*JPEGTransferSyntaxes, *JPEGLSTransferSyntaxes, *JPEG2000TransferSyntaxes))
_END_MARKER = b"\xff\xd9"
# Bytes behind or before which the marker may lie: padding, and a marker whose second byte was cut by an odd length.
_NEAR_END = 16
# Bytes behind the last frame that may be anything.
_PADDING = 16
_STARTS = (b"\xff\xd8", b"\xff\x4f")
# What may follow pixel data, little and big endian: other pixel data, Digital Signatures, Data Set Trailing Padding.
_BEHIND_PIXELS = tuple(
    struct.pack(f"{order}HH", group, element)
    for order in "<>"
    for group, element in ((0x7FE0, 0x0020), (0xFFFA, 0xFFFA), (0xFFFC, 0xFFFC))
)
_LOOSE_END = 4096
# Sequence Delimitation Item (PS3.5 A.4).
_SEQUENCE_END = b"\xfe\xff\xdd\xe0\0\0\0\0"


def read_encoded(file: Path, header: Dataset | None = None) -> Dataset:
    """Read the encoded pixels of a file, also where the end of the sequence of fragments lacks at the file's end.

    Parameters
    ----------
    file
        The file.
    header
        What `read_header` read of it: where it says at which byte the pixels of a single image begin, nothing in front
        of them is read again.
    """
    dataset = None if header is None else _read_behind(file, header)
    if dataset is not None:
        return dataset
    try:
        dataset = read_pixel_dataset(file)
    except EOFError:
        return read_pixel_dataset(file, end=_SEQUENCE_END)
    return dataset if "PixelData" in dataset else read_pixel_dataset(file, end=_SEQUENCE_END)


def _read_behind(file: Path, header: Dataset) -> Dataset | None:
    """Read the pixels from where the header ended, and take what describes them from it.

    None where more is needed than that (palettes, offsets of several frames), where the file was packed, or where the
    pixels are not found whole at that place.
    """
    start = getattr(header, PIXELS_START, None)
    several = int(header.get("NumberOfFrames") or 1) > 1
    if start is None or several or str(header.get("PhotometricInterpretation")).strip().upper() == "PALETTE COLOR":
        return None
    implicit, little_endian = header.original_encoding
    try:
        with file.open("rb") as stream:
            stream.seek(start)
            dataset = read_dataset(stream, bool(implicit), bool(little_endian), specific_tags=[*PIXEL_ELEMENTS])
        for keyword in _KNOWN:
            if keyword in header:
                known = header[keyword]
                dataset.add(DataElement(known.tag, known.VR, known.value, already_converted=True))
        dataset.file_meta = header.file_meta
        dataset.set_original_encoding(implicit, little_endian, header.original_character_set)
        return dataset if "PixelData" in dataset and dataset["PixelData"].VR != "SQ" else None
    except (OSError, *MALFORMED):
        return None


def complete(dataset: Dataset) -> None:
    """State what pydicom asks for and what goes without saying (PS3.3 C.7.6.3.1)."""
    check_numbers(dataset)
    if "SamplesPerPixel" not in dataset:
        dataset.SamplesPerPixel = 1
    if dataset.SamplesPerPixel > 1 and "PlanarConfiguration" not in dataset:
        dataset.PlanarConfiguration = 0
    meaning = str(dataset.get("PhotometricInterpretation") or "").strip().upper()
    dataset.PhotometricInterpretation = meaning or ("MONOCHROME2" if dataset.SamplesPerPixel == 1 else "RGB")


def frames_held(dataset: Dataset) -> tuple[int, int]:
    """Return how many of the stated frames can be there, and how many images there are beyond them.

    Padding behind them says nothing; a frame of which a byte lacks is not there. Pixel data that are cut short are made
    to end with a whole frame. More than padding behind the last frame counts as one: rows and columns that are stated
    too small shear the image.
    """
    stated = int(dataset.get("NumberOfFrames") or 1)
    syntax = dataset.file_meta.TransferSyntaxUID
    if syntax.is_encapsulated:
        if syntax not in _ENDS_WITH_MARKER:
            return stated, 0
        starts = sum(fragment[:2] in _STARTS for fragment in generate_fragments(dataset.PixelData))
        return stated, max(0, starts - stated)
    frame_bytes = get_expected_length(dataset, unit="bytes") / stated
    held = int(len(dataset.PixelData) / frame_bytes)
    if held < stated:
        dataset.NumberOfFrames = held
        dataset.PixelData = dataset.PixelData[: int(np.ceil(held * frame_bytes))]
    surplus = max(0, held - stated)
    rest = dataset.PixelData[int(np.ceil(stated * frame_bytes)) :]
    if held == stated and len(rest) > _PADDING and rest.strip(b"\0"):
        surplus = 1
    return min(held, stated), surplus


def has_loose_end(file: Path, dataset: Dataset) -> int:
    """Return 1 where bytes follow native pixel data that begin no element, as where some were put in, else 0."""
    syntax, start = dataset.file_meta.TransferSyntaxUID, dataset["PixelData"].file_tell
    if syntax.is_encapsulated or syntax.is_deflated or not start:
        return 0
    with file.open("rb") as stream:
        if kind_of_bytes(stream.read(START_BYTES)) != DICOM:
            return 0
        stream.seek(start + len(dataset.PixelData))
        rest = stream.read(_LOOSE_END)
    if not rest.strip(b"\0") or rest[:4] in _BEHIND_PIXELS:
        return 0
    return 1


def is_cut(dataset: Dataset, frame: int) -> bool:
    """Whether a frame's compressed stream ends before its end marker."""
    if dataset.file_meta.TransferSyntaxUID not in _ENDS_WITH_MARKER:
        return False
    try:
        code = frame_stream(dataset, frame)
    except DECODING_FAILS:
        return True
    tail = code[-_NEAR_END:] if code[-1:] != b"\0" else code.rstrip(b"\0")[-_NEAR_END:]
    return _END_MARKER not in tail and not tail.endswith(b"\xff")


def frame_stream(dataset: Dataset, frame: int) -> bytes:
    """Return a frame's compressed bytes."""
    offsets = None
    if "ExtendedOffsetTable" in dataset and "ExtendedOffsetTableLengths" in dataset:
        offsets = (dataset.ExtendedOffsetTable, dataset.ExtendedOffsetTableLengths)
    number = int(dataset.get("NumberOfFrames") or 1)
    return get_frame(dataset.PixelData, frame, extended_offsets=offsets, number_of_frames=number)
