"""NIfTI, NRRD and MetaImage files: header and voxels, checked before and while they are read, without native code."""

from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import DTypeLike

from AcuteFindingsLib.errors import StudyError
from AcuteFindingsLib.study.file_kinds import WHAT_IS_READ, kind_of_bytes, shown_name
from AcuteFindingsLib.study.metaimage import is_metaimage, read_metaimage_header
from AcuteFindingsLib.study.nifti import is_nifti, read_nifti_header
from AcuteFindingsLib.study.nrrd import is_nrrd, read_nrrd_header
from AcuteFindingsLib.study.packed import GZIP_MAGIC, check_budget, holds_more, open_unpacked, read_exactly, skip
from AcuteFindingsLib.study.volume_header import VolumeHeader

# Writers pad files to whole blocks with zeros; more belongs to voxels of which the header does not know.
_PADDING_BYTES = 512
# Digits, sign, exponent and blank of one written-out number.
_MOST_BYTES_A_NUMBER = 32


def read_volume_header(path: Path, *, sparse: bool = False, layered: bool = False) -> VolumeHeader:
    """Read the header of a volume file, by what the file holds, whatever its name.

    Masks may be `sparse`, and `layered` as `read_nrrd_header` says.

    Raises
    ------
    StudyError
        The file is of none of these kinds, its header is damaged, or it asks for more than `budgets` allow.
    """
    try:
        header = _read_header(path, layered=layered)
        _check_size(header, sparse=sparse)
    except OSError as error:
        raise StudyError(f"{shown_name(path)} cannot be read: {error.strerror or error}.") from error
    return header


def read_voxels(header: VolumeHeader, dtype: DTypeLike = np.float32) -> np.ndarray:
    """Return the values ``(z, y, x)`` in a type of choice, scaled as the header says.

    Raises
    ------
    StudyError
        The file is cut short, a checksum is wrong, or it holds more than the header says.
    """
    x, y, z = header.sizes
    try:
        array = np.empty((z, y, x), dtype)
    except MemoryError as error:
        raise StudyError(
            f"{shown_name(header.path)} needs {x * y * z * np.dtype(dtype).itemsize / 1e9:.1f} GB of memory, more than "
            "is free; close other programs or crop it first."
        ) from error
    start = header.start
    if start < 0:
        start = header.data.stat().st_size - header.data_bytes
    with open_unpacked(header.data, header.packing, start=start) as stream:
        skip(stream, header.skip)
        if header.text:
            _fill_from_text(array, stream, header)
        else:
            _fill(array, stream, header.dtype)
            if header.start >= 0 and holds_more(stream, _PADDING_BYTES):
                raise StudyError(_wrong_size(header, "more"))
    if header.is_scaled:
        array *= header.slope
        array += header.intercept
    return array


def check_whole(path: Path) -> None:
    """Read a volume file to its end, also a segmentation whose segments overlap.

    Raises
    ------
    StudyError
        The file is missing or damaged.
    """
    header = read_volume_header(path, sparse=True, layered=True)
    read_voxels(header, np.float32 if header.is_scaled else header.dtype)


def _read_header(path: Path, *, layered: bool) -> VolumeHeader:
    with path.open("rb") as file:
        head = file.read(512)
    if is_nrrd(head):
        return read_nrrd_header(path, layered=layered)
    if is_metaimage(head):
        return read_metaimage_header(path)
    if head.startswith(GZIP_MAGIC):
        with open_unpacked(path, "gzip") as stream:
            head = stream.read(4)
    if is_nifti(head):
        return read_nifti_header(path)
    kind = kind_of_bytes(head)
    what = kind.name if kind is not None and kind.use != "packed" else "not a volume of a known kind, or damaged"
    raise StudyError(f"{shown_name(path)} cannot be read as a volume: it is {what}. {WHAT_IS_READ}.")


def _check_size(header: VolumeHeader, *, sparse: bool) -> None:
    """Hold the size of the file against its header before memory is taken."""
    size = header.data.stat().st_size
    if header.text:
        if int(np.prod(header.sizes, dtype=object)) * 2 - 1 > size:
            raise StudyError(_wrong_size(header, "fewer"))
    elif header.packing != "raw":
        check_budget(header.data, header.data_bytes + header.skip, sparse=sparse)
    elif max(header.start, 0) + header.skip + header.data_bytes > size:
        raise StudyError(_wrong_size(header, "fewer"))


def _wrong_size(header: VolumeHeader, more: str) -> str:
    x, y, z = header.sizes
    return (
        f"{shown_name(header.path)} is damaged: it holds {more} bytes than the {x}×{y}×{z} voxels that its header "
        "states. Copy or export it again."
    )


def _fill(array: np.ndarray, stream: BinaryIO, dtype: np.dtype) -> None:
    """Read plane by plane, so that stored values and result are never both whole in memory."""
    buffer = np.empty(array.shape[1:], dtype)
    with np.errstate(over="ignore", invalid="ignore"):
        for plane in array:
            read_exactly(stream, buffer.reshape(-1).view(np.uint8).data)
            plane[...] = buffer


def _fill_from_text(array: np.ndarray, stream: BinaryIO, header: VolumeHeader) -> None:
    text = stream.read(array.size * _MOST_BYTES_A_NUMBER)
    if header.text == "hex":
        stored = np.frombuffer(bytes.fromhex(text.decode("ascii")), header.dtype)
    else:
        stored = np.array(text.replace(b",", b" ").split(), np.float64)
    if stored.size != array.size:
        raise StudyError(_wrong_size(header, "fewer" if stored.size < array.size else "more"))
    array[...] = stored.reshape(array.shape)
