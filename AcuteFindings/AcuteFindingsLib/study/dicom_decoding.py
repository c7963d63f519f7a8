"""Decoding the pixels of one DICOM file: every transfer syntax that pydicom's plug-ins know, one after the other."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate
from pydicom.pixels import apply_color_lut, get_decoder, iter_pixels
from pydicom.uid import (
    JPEG2000,
    UID,
    JPEG2000Lossless,
    JPEGExtended12Bit,
    JPEGLSLossless,
    JPEGLSNearLossless,
    RLELossless,
)

from AcuteFindingsLib.study import jpegls
from AcuteFindingsLib.study.dicom_frames import Frame
from AcuteFindingsLib.study.file_kinds import shown_name
from AcuteFindingsLib.study.pixel_data import (
    DECODING_FAILS,
    complete,
    frame_stream,
    frames_held,
    has_loose_end,
    is_cut,
    read_encoded,
)

# The quickest of pydicom's plug-ins first, measured on 512×512 CT: JPEG-LS in 4 ms instead of 14.
_QUICKEST_PLUGINS = {
    JPEGLSLossless: (jpegls.PLUGIN, "pyjpegls"),
    JPEGLSNearLossless: (jpegls.PLUGIN, "pyjpegls"),
    JPEG2000Lossless: ("pylibjpeg",),
    JPEG2000: ("pylibjpeg",),
}
jpegls.register()

_START_OF_SCAN, _LAST_COEFFICIENT = 0xDA, 63

Sink = Callable[[int, np.ndarray], None]


@dataclass(frozen=True)
class FileDecoded:
    """What came of one file: the places of lost frames, why, and images or parts of one beyond the stated ones."""

    lost: tuple[int, ...] = ()
    reason: str = ""
    surplus: int = 0


def decode_one_file(frames: Sequence[Frame], places: Sequence[int], sink: Sink) -> FileDecoded:
    """Decode frames of one file and hand each to `sink(place, (y, x) stored values)`.

    A frame that the quickest decoder does not read is tried with the others. Pixels of a palette come as the gray that
    it shows, 8 bits deep, as do gray pictures stored in color channels.
    """
    name, header = shown_name(frames[0].file), frames[0].header
    try:
        dataset = read_encoded(frames[0].file, header)
        if "PixelData" not in dataset or not dataset.PixelData:
            return FileDecoded(tuple(places), _no_pixels(name, header))
        complete(dataset)
        loose_end = has_loose_end(frames[0].file, dataset)
        held, surplus = frames_held(dataset)
        plugins = _plugins(dataset.file_meta.TransferSyntaxUID)
        surplus = surplus or loose_end
    except DECODING_FAILS:
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


def is_really_gray(picture: np.ndarray) -> bool:
    """Tell whether ``(y, x, channels)`` 8-bit color is a gray picture: channels alike but for a few colored marks."""
    spread = picture[..., :3].max(axis=2).astype(int) - picture[..., :3].min(axis=2)
    return bool(np.mean(spread <= 8) > 0.99)


class _ColorError(ValueError):
    """A picture in color."""


def _decoded(
    dataset: Dataset, wanted: Sequence[tuple[int, int]], plugins: Sequence[str]
) -> Iterator[tuple[int, np.ndarray | Exception]]:
    """Yield each wanted ``(place, frame number)`` as place and stored values, or what was wrong with it."""
    left: list[tuple[int, int]] = []
    for place, frame in wanted:
        if is_cut(dataset, frame):
            yield place, EOFError("the stream has no end")
        else:
            left.append((place, frame))
    done = 0
    try:
        for stored in _pixels(dataset, [frame for _, frame in left], plugins[0]):
            yield left[done][0], _finished(stored, dataset)
            done += 1
    except DECODING_FAILS:
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
        except DECODING_FAILS:
            repaired = None
        if repaired is not None:
            attempts += [(repaired, 0, plugin) for plugin in plugins]
    for source, number, plugin in attempts:
        try:
            (stored,) = _pixels(source, [number], plugin)
            return _finished(stored, source)
        except DECODING_FAILS as error:
            failure = error
    return failure


def _finished(stored: np.ndarray, dataset: Dataset) -> np.ndarray | Exception:
    """Return gray values ``(y, x)``: palettes applied, color channels that are alike made one."""
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
    if stored.shape[2] >= 3 and is_really_gray(stored):
        return stored[..., 1].astype(np.uint8)
    return _ColorError("is a color picture (0028,0004); CT and radiographs are gray. Choose another series.")


def _plugins(syntax: UID) -> list[str]:
    """Return the decoders to try, the quickest first; an empty name leaves the choice to pydicom."""
    if syntax == RLELossless:
        # The other one is quicker (0.6 ms instead of 3), but ends the program where the data are damaged.
        return ["pydicom"]
    available = get_decoder(syntax).available_plugins
    first = [plugin for plugin in _QUICKEST_PLUGINS.get(syntax, ()) if plugin in available] or [""]
    return [*first, *(plugin for plugin in available if plugin not in first)]


def _with_whole_scans(dataset: Dataset, frame: int) -> Dataset | None:
    """Return a data set with one frame of sequential JPEG whose scan headers say what they must, or None.

    Its scans hold all coefficients: Ss = 0 and Se = 63 (ITU-T T.81 B.2.3, table B.3). Encoders are met that write
    Se = 0, on which one decoder gives up.
    """
    code = bytearray(frame_stream(dataset, frame))
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
