"""Decoding the pixels of one DICOM file: every transfer syntax that pydicom's plug-ins know, one after the other."""

import struct
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import zstandard
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate, generate_fragments, get_frame
from pydicom.pixels import apply_color_lut, get_decoder, iter_pixels
from pydicom.pixels.utils import get_expected_length
from pydicom.uid import (
    JPEG2000,
    UID,
    JPEG2000Lossless,
    JPEG2000TransferSyntaxes,
    JPEGExtended12Bit,
    JPEGLSLossless,
    JPEGLSNearLossless,
    JPEGLSTransferSyntaxes,
    JPEGTransferSyntaxes,
    RLELossless,
)

from AcuteFindingsLib.errors import StudyError
from AcuteFindingsLib.study.dicom_files import MALFORMED, check_numbers, read_pixel_dataset
from AcuteFindingsLib.study.dicom_frames import Frame
from AcuteFindingsLib.study.file_kinds import DICOM, START_BYTES, kind_of_bytes, shown_name

# The quickest of pydicom's plug-ins, measured on 512×512 CT: JPEG-LS in 4 ms instead of 20.
_QUICKEST_PLUGIN = {
    JPEGLSLossless: "pyjpegls",
    JPEGLSNearLossless: "pyjpegls",
    JPEG2000Lossless: "pylibjpeg",
    JPEG2000: "pylibjpeg",
}
# These streams end with an end marker (ITU-T T.81, T.87 and T.800); decoders fill with grey what comes before it.
_ENDS_WITH_MARKER = frozenset((*JPEGTransferSyntaxes, *JPEGLSTransferSyntaxes, *JPEG2000TransferSyntaxes))
_END_MARKER = b"\xff\xd9"
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
_START_OF_SCAN, _LAST_COEFFICIENT = 0xDA, 63
# Bytes behind or before which the marker may lie: padding, and a marker whose second byte was cut by an odd length.
_NEAR_END = 16
# Bytes behind the last frame that may be anything.
_PADDING = 16

Sink = Callable[[int, np.ndarray], None]


@dataclass(frozen=True)
class FileDecoded:
    """What came of one file: the places of lost frames, why, and images or parts of one beyond the stated ones."""

    lost: tuple[int, ...] = ()
    reason: str = ""
    surplus: int = 0


# What pydicom and its plug-ins raise on damaged pixel data.
_DECODING_FAILS: tuple[type[Exception], ...] = (*MALFORMED, OSError, RuntimeError, StudyError, zstandard.ZstdError)


def decode_one_file(frames: Sequence[Frame], places: Sequence[int], sink: Sink) -> FileDecoded:
    """Decode frames of one file and hand each to `sink(place, (y, x) stored values)`.

    A frame that the quickest decoder does not read is tried with the others. Pixels of a palette come as the grey that
    it shows, 8 bits deep, as do grey pictures stored in color channels.
    """
    name, header = shown_name(frames[0].file), frames[0].header
    try:
        dataset = _dataset(frames[0].file)
        if "PixelData" not in dataset or not dataset.PixelData:
            return FileDecoded(tuple(places), _no_pixels(name, header))
        _complete(dataset)
        loose_end = _has_loose_end(frames[0].file, dataset)
        held, surplus = _frames_held(dataset)
        plugins = _plugins(dataset.file_meta.TransferSyntaxUID)
        surplus = surplus or loose_end
    except _DECODING_FAILS:
        return FileDecoded(tuple(places), _damaged(name, header))
    lost: list[int] = []
    reason = ""
    wanted = [(place, frame.number) for place, frame in zip(places, frames, strict=True) if frame.number < held]
    lost += [place for place, frame in zip(places, frames, strict=True) if frame.number >= held]
    for place, stored in _decoded(dataset, wanted, plugins):
        if isinstance(stored, Exception):
            lost.append(place)
            reason = str(stored) if isinstance(stored, _ColorError) else reason
            continue
        sink(place, stored)
    reason = f"{name} {reason}" if reason else _damaged(name, header)
    return FileDecoded(tuple(lost), reason if lost else "", surplus)


def is_really_grey(picture: np.ndarray) -> bool:
    """Tell whether ``(y, x, channels)`` 8-bit color is a grey picture: channels alike but for a few colored marks."""
    spread = picture[..., :3].max(axis=2).astype(int) - picture[..., :3].min(axis=2)
    return bool(np.mean(spread <= 8) > 0.99)


class _ColorError(ValueError):
    """A picture in color."""


def _dataset(file: Path) -> Dataset:
    """Read the encoded pixels of a file, also where the end of the sequence of fragments lacks at the file's end."""
    try:
        dataset = read_pixel_dataset(file)
    except EOFError:
        return read_pixel_dataset(file, end=_SEQUENCE_END)
    return dataset if "PixelData" in dataset else read_pixel_dataset(file, end=_SEQUENCE_END)


def _decoded(
    dataset: Dataset, wanted: Sequence[tuple[int, int]], plugins: Sequence[str]
) -> Iterator[tuple[int, np.ndarray | Exception]]:
    """Yield each wanted ``(place, frame number)`` as place and stored values, or what was wrong with it."""
    left: list[tuple[int, int]] = []
    for place, frame in wanted:
        if _is_cut(dataset, frame):
            yield place, EOFError("the stream has no end")
        else:
            left.append((place, frame))
    done = 0
    try:
        for stored in _pixels(dataset, [frame for _, frame in left], plugins[0]):
            yield left[done][0], _finished(stored, dataset)
            done += 1
    except _DECODING_FAILS:
        pass
    for place, frame in left[done:]:
        yield place, _by_any_plugin(dataset, frame, plugins)


def _pixels(dataset: Dataset, frames: Sequence[int], plugin: str) -> Iterator[np.ndarray]:
    odd_bits = _odd_high_bit(dataset)
    for stored in iter_pixels(
        dataset, indices=frames, correct_unused_bits=odd_bits is None, decoding_plugin=plugin, view_only=True
    ):
        # Believed only where the bits above those stored are used.
        if odd_bits is not None and (stored >> int(dataset.BitsStored)).any():
            stored = (stored << odd_bits[0]) >> odd_bits[1]
        yield stored


def _by_any_plugin(dataset: Dataset, frame: int, plugins: Sequence[str]) -> np.ndarray | Exception:
    failure: Exception = ValueError("no decoder")
    attempts = [(dataset, frame, plugin) for plugin in plugins]
    if dataset.file_meta.TransferSyntaxUID == JPEGExtended12Bit:
        try:
            repaired = _with_whole_scans(dataset, frame)
        except _DECODING_FAILS:
            repaired = None
        if repaired is not None:
            attempts += [(repaired, 0, plugin) for plugin in plugins]
    for source, number, plugin in attempts:
        try:
            (stored,) = _pixels(source, [number], plugin)
            return _finished(stored, source)
        except _DECODING_FAILS as error:
            failure = error
    return failure


def _finished(stored: np.ndarray, dataset: Dataset) -> np.ndarray | Exception:
    """Return grey values ``(y, x)``: palettes applied, color channels that are alike made one."""
    if dataset.PhotometricInterpretation == "PALETTE COLOR":
        stored = apply_color_lut(stored, dataset)
        # Entries of 8 bits are met in words of 16.
        bits = 16 if stored.dtype.itemsize > 1 and stored.max() > 255 else 8
    elif stored.ndim == 2:
        return stored
    else:
        bits = int(dataset.BitsStored)
    if bits > 8:
        stored = stored >> (bits - 8)
    if stored.shape[2] >= 3 and is_really_grey(stored):
        return stored[..., 1].astype(np.uint8)
    return _ColorError("is a color picture (0028,0004); CT and radiographs are grey. Choose another series.")


def _plugins(syntax: UID) -> list[str]:
    """Return the decoders to try, the quickest first; an empty name leaves the choice to pydicom."""
    if syntax == RLELossless:
        # The other one is quicker (0.6 ms instead of 3), but ends the program where the data are damaged.
        return ["pydicom"]
    available = get_decoder(syntax).available_plugins
    quickest = _QUICKEST_PLUGIN.get(syntax, "")
    first = quickest if quickest in available else ""
    return [first, *(plugin for plugin in available if plugin != first)]


def _complete(dataset: Dataset) -> None:
    """State what pydicom asks for and what goes without saying (PS3.3 C.7.6.3.1)."""
    check_numbers(dataset)
    if "SamplesPerPixel" not in dataset:
        dataset.SamplesPerPixel = 1
    if dataset.SamplesPerPixel > 1 and "PlanarConfiguration" not in dataset:
        dataset.PlanarConfiguration = 0
    meaning = str(dataset.get("PhotometricInterpretation") or "").strip().upper()
    dataset.PhotometricInterpretation = meaning or ("MONOCHROME2" if dataset.SamplesPerPixel == 1 else "RGB")


def _frames_held(dataset: Dataset) -> tuple[int, int]:
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


def _has_loose_end(file: Path, dataset: Dataset) -> int:
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


def _is_cut(dataset: Dataset, frame: int) -> bool:
    """Whether a frame's compressed stream ends before its end marker."""
    if dataset.file_meta.TransferSyntaxUID not in _ENDS_WITH_MARKER:
        return False
    try:
        code = _stream(dataset, frame)
    except _DECODING_FAILS:
        return True
    tail = code[-_NEAR_END:] if code[-1:] != b"\0" else code.rstrip(b"\0")[-_NEAR_END:]
    return _END_MARKER not in tail and not tail.endswith(b"\xff")


def _stream(dataset: Dataset, frame: int) -> bytes:
    """Return a frame's compressed bytes."""
    offsets = None
    if "ExtendedOffsetTable" in dataset and "ExtendedOffsetTableLengths" in dataset:
        offsets = (dataset.ExtendedOffsetTable, dataset.ExtendedOffsetTableLengths)
    number = int(dataset.get("NumberOfFrames") or 1)
    return get_frame(dataset.PixelData, frame, extended_offsets=offsets, number_of_frames=number)


def _with_whole_scans(dataset: Dataset, frame: int) -> Dataset | None:
    """Return a data set with one frame of sequential JPEG whose scan headers say what they must, or None.

    Its scans hold all coefficients: Ss = 0 and Se = 63 (ITU-T T.81 B.2.3, table B.3). Encoders are met that write
    Se = 0, on which one decoder gives up.
    """
    code = bytearray(_stream(dataset, frame))
    place, changed = 2, False
    while place + 4 <= len(code) and code[place] == 0xFF:
        marker, length = code[place + 1], int.from_bytes(code[place + 2 : place + 4], "big")
        if marker == _START_OF_SCAN:
            last = place + 2 + length - 2
            changed = code[last] != _LAST_COEFFICIENT
            code[last] = _LAST_COEFFICIENT
            break
        place += 2 + length
    if not changed:
        return None
    repaired = Dataset()
    for element in dataset:
        repaired.add(element)
    repaired.file_meta = dataset.file_meta
    repaired.NumberOfFrames = 1
    repaired.PixelData = encapsulate([bytes(code)])
    return repaired


def _odd_high_bit(dataset: Dataset) -> tuple[int, int] | None:
    """Return shifts left and right that bring out values whose high bit is not bits stored - 1 (old scanners)."""
    allocated, stored = int(dataset.BitsAllocated), int(dataset.BitsStored)
    high = int(dataset.get("HighBit", stored - 1))
    if high == stored - 1 or not stored - 1 < high < allocated or dataset.file_meta.TransferSyntaxUID.is_encapsulated:
        return None
    return allocated - 1 - high, allocated - stored


def _no_pixels(name: str, header: Dataset) -> str:
    if header.get("EncryptedAttributesSequence"):
        return f"{name} is encrypted (0400,0500) and holds no readable pixel data; export it without encryption."
    return f"{name} holds no pixel data (7FE0,0010): the file is cut short or only a header. Export it again."


def _damaged(name: str, header: Dataset) -> str:
    syntax = header.file_meta.TransferSyntaxUID.name if "TransferSyntaxUID" in header.file_meta else "unknown"
    return (
        f"{name}: the pixel data (7FE0,0010) cannot be decoded ({syntax}); the file is damaged, cut short or of an "
        "unsupported kind. Copy or export it again."
    )
