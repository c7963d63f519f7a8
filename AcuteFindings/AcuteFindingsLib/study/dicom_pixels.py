"""From the encoded pixels of a series to its slices: decoded in parallel, and their HU."""

import logging
import os
from collections import defaultdict
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from AcuteFindingsLib.errors import StudyError
from AcuteFindingsLib.progress import Progress, no_progress
from AcuteFindingsLib.study.dicom_decoding import FileDecoded, Sink, decode_one_file
from AcuteFindingsLib.study.dicom_files import quiet_pydicom
from AcuteFindingsLib.study.dicom_frames import Frame
from AcuteFindingsLib.study.dicom_intensity import holds_colors
from AcuteFindingsLib.study.dicom_padding import padding_limits, padding_mask
from AcuteFindingsLib.study.lookup_table import modality_table
from AcuteFindingsLib.study.slice_values import AIR_HU, padding_as_air

# A declared padding value whose HU lies between is believed only where the picture's corners show it: headers exist
# that declare 0 in a signed image, which is water.
_PLAUSIBLE_PADDING_HU = (-900.0, 3000.0)

# What 8 bits must span to be taken as HU: from near air to bone.
_HU_SPAN = (-900.0, 200.0)
_REASONS_LOGGED = 20
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Decoded:
    """What came of decoding.

    Attributes
    ----------
    lost
        Places of the frames whose pixels cannot be read, ascending.
    surplus
        Images that the pixel data hold beyond the number that the headers state.
    """

    lost: tuple[int, ...]
    surplus: int = 0


class UnreadablePixelsError(StudyError):
    """Not one of the images can be decoded."""


def decode_frames(frames: Sequence[Frame], sink: Sink, *, progress: Progress = no_progress) -> Decoded:
    """Decode frames in parallel threads and hand each to `sink(place in frames, (y, x) stored values)`.

    The sink is called from several threads, each time for another place, so that no list of all slices is needed.
    A frame that no decoder reads is lost; the others go on, and which files were concerned is logged.

    Raises
    ------
    UnreadablePixelsError
        Where every frame is lost: names the first file and what is wrong with it: pixel data that are missing, cut
        short, in color or in an encoding that cannot be read.
    """
    by_file: dict[Path, list[int]] = defaultdict(list)
    for place, frame in enumerate(frames):
        by_file[frame.file].append(place)
    workers = min(4, os.cpu_count() or 1)

    def decode_file(places: list[int]) -> tuple[int, FileDecoded]:
        return len(places), decode_one_file([frames[place] for place in places], places, sink)

    done, surplus = 0, 0
    lost: list[int] = []
    reasons: list[str] = []
    with quiet_pydicom(), ThreadPoolExecutor(workers) as pool:
        try:
            for count, result in pool.map(decode_file, by_file.values()):
                done += count
                surplus += result.surplus
                if result.lost:
                    lost += result.lost
                    reasons.append(result.reason)
                if done % 10 < count or done == len(frames):
                    progress(f"Decoding images: {done} of {len(frames)}", done / len(frames))
        except BaseException:
            pool.shutdown(wait=True, cancel_futures=True)
            raise
    if reasons and len(lost) == len(frames):
        raise UnreadablePixelsError(reasons[0])
    for reason in reasons[:_REASONS_LOGGED]:
        _log.warning("Left out: %s", reason)
    return Decoded(tuple(sorted(lost)), surplus)


def holds_picture(frame: Frame) -> bool:
    """Whether a CT image is a picture of a screen, not HU: in colors or a palette, or of 8 bits that reach no HU range.

    8 bits are HU only where a Modality LUT or a rescale of coarse steps spans them from air to bone.
    """
    header = frame.header
    if holds_colors(header):
        return True
    bits = int(header.get("BitsStored", 16))
    if bits > 8 or modality_table(header) is not None:
        return False
    start = -(2 ** (bits - 1)) if header.get("PixelRepresentation") == 1 else 0
    slope = frame.slope or 1.0
    lowest = slope * start + (frame.intercept or 0.0)
    return lowest > _HU_SPAN[0] or lowest + slope * (2**bits - 1) < _HU_SPAN[1]


def to_hu(stored: np.ndarray, frame: Frame, *, out: np.ndarray | None = None) -> np.ndarray:
    """Return a slice's HU ``(y, x)`` float32 from its stored values: Modality LUT or rescale, padding made air.

    They are written into `out` where it is given.
    """
    padding = padding_mask(stored, frame.header)
    table = modality_table(frame.header)
    hu = np.empty(stored.shape, np.float32) if out is None else out
    if table is not None:
        hu[...] = table.of(stored)
    else:
        hu[...] = stored
        if frame.slope not in (None, 1.0):
            hu *= np.float32(frame.slope)
        if frame.intercept:
            hu += np.float32(frame.intercept)
    if padding is not None and _is_padding(padding, hu):
        hu[padding] = AIR_HU
    padding_as_air(hu)
    return hu


def padding_of_hu(hu: np.ndarray, frame: Frame) -> None:
    """Make air, in place, of a slice's padding ``(y, x)`` where the values were made HU elsewhere."""
    limits = padding_limits(frame.header)
    if limits is not None and modality_table(frame.header) is None:
        low, high = (limit * (frame.slope or 1.0) + (frame.intercept or 0.0) for limit in limits)
        padding = (hu >= min(low, high)) & (hu <= max(low, high))
        if _is_padding(padding, hu):
            hu[padding] = AIR_HU
    padding_as_air(hu)


def _is_padding(padding: np.ndarray, hu: np.ndarray) -> bool:
    if not padding.any():
        return False
    low, high = _PLAUSIBLE_PADDING_HU
    values = hu[padding]
    corners = padding[[0, 0, -1, -1], [0, -1, 0, -1]]
    return bool(values.max() <= low or values.min() >= high or corners.all())
