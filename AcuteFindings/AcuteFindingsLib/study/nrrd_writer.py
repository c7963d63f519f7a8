"""Writing a volume as NRRD plane by plane: an image library would first copy it, a second's work for a chest CT."""

import math
import sys
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path

import numpy as np

from AcuteFindingsLib.study.quick_gzip import gzip_pieces

_TYPES = {
    "int8": "int8", "uint8": "uint8", "int16": "int16", "uint16": "uint16", "int32": "int32", "uint32": "uint32",
    "int64": "int64", "uint64": "uint64", "float32": "float", "float64": "double",
}  # fmt: skip
# Bytes of voxels that are compressed at a time, by a thread each.
_BLOCK = 2**22


def write_nrrd(
    path: Path,
    planes: Iterable[np.ndarray],
    shape: Sequence[int],
    kind: np.dtype,
    ijk_to_ras: np.ndarray,
    *,
    compressed: bool,
) -> None:
    """Write a volume with its place in the patient; see `nrrd_pieces`.

    Raises
    ------
    OSError
        When the file cannot be written.
    """
    with path.open("wb") as stream:
        for piece in nrrd_pieces(planes, shape, kind, ijk_to_ras, compressed=compressed):
            stream.write(piece)


def nrrd_pieces(
    planes: Iterable[np.ndarray],
    shape: Sequence[int],
    kind: np.dtype,
    ijk_to_ras: np.ndarray,
    *,
    compressed: bool,
) -> Iterator[bytes | memoryview]:
    """Yield a NRRD file piece by piece.

    Parameters
    ----------
    planes
        ``(y, x)`` each, in order; a ``(z, y, x)`` array is that.
    shape
        ``(z, y, x)``.
    kind
        Type of the voxels; to integers others are rounded.
    ijk_to_ras
        4×4 matrix; written in LPS, as ITK and Slicer write it.
    compressed
        With gzip, else raw.
    """
    yield _header(shape, kind, ijk_to_ras, compressed=compressed).encode("ascii")
    if not compressed:
        for plane in planes:
            yield np.ascontiguousarray(as_kind(plane, kind)).ravel().view(np.uint8).data
        return

    yield from gzip_pieces(blocks_of(planes, shape, kind), lambda some: block_bytes(some, shape, kind))


def blocks_of(planes: Iterable[np.ndarray], shape: Sequence[int], kind: np.dtype) -> Iterator[tuple[np.ndarray, ...]]:
    """Yield planes in blocks of a size that is worth a thread of its own, for `gzip_pieces`."""
    at_once = max(1, _BLOCK // max(1, kind.itemsize * math.prod(shape[1:])))
    rest = iter(planes)
    while some := tuple(islice(rest, at_once)):
        yield some


def block_bytes(planes: tuple[np.ndarray, ...], shape: Sequence[int], kind: np.dtype) -> np.ndarray:
    """Return the bytes of planes, ``(y, x)`` each of a volume of `shape`, in the type and byte order of `kind`."""
    block = np.empty((len(planes), *shape[1:]), kind)
    for place, plane in zip(block, planes, strict=True):
        place[...] = as_kind(plane, kind)
    return block.ravel().view(np.uint8)


def as_kind(array: np.ndarray, kind: np.dtype) -> np.ndarray:
    """Return voxels in another type, floating ones rounded and held within the range of integers; itself if equal."""
    if kind.kind not in "iu" or array.dtype.kind != "f":
        return array.astype(kind, copy=False)
    limits = np.iinfo(kind)
    rounded = np.rint(array)
    return np.clip(rounded, limits.min, limits.max, out=rounded).astype(kind)


def _header(shape: Sequence[int], kind: np.dtype, ijk_to_ras: np.ndarray, *, compressed: bool) -> str:
    ijk_to_lps = np.diag([-1.0, -1.0, 1.0, 1.0]) @ np.asarray(ijk_to_ras, float)
    vectors = [f"({','.join(repr(float(value)) for value in ijk_to_lps[:3, column])})" for column in range(4)]
    lines = [
        "NRRD0004",
        f"type: {_TYPES[kind.name]}",
        "dimension: 3",
        "space: left-posterior-superior",
        f"sizes: {' '.join(str(size) for size in reversed(shape))}",
        f"space directions: {' '.join(vectors[:3])}",
        "kinds: domain domain domain",
        f"endian: {sys.byteorder}",
        f"encoding: {'gzip' if compressed else 'raw'}",
        f"space origin: {vectors[3]}",
    ]
    return "\n".join(lines) + "\n\n"
