"""Writing a volume as gzipped NIfTI piece by piece, for viewers that know no NRRD; by several threads, as NRRD is."""

import struct
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain

import numpy as np

from AcuteFindingsLib.study.nrrd_writer import block_bytes, blocks_of
from AcuteFindingsLib.study.quick_gzip import gzip_pieces

# NIfTI-1, nifti1.h: datatype codes.
_TYPES = {
    "uint8": 2, "int16": 4, "int32": 8, "float32": 16, "float64": 64, "int8": 256, "uint16": 512, "uint32": 768,
}  # fmt: skip
_MILLIMETERS, _SCANNER = 2, 1
_VOXELS_AT = 352


def nifti_pieces(
    planes: Iterable[np.ndarray], shape: Sequence[int], kind: np.dtype, ijk_to_ras: np.ndarray
) -> Iterator[bytes]:
    """Yield a ``.nii.gz`` file piece by piece.

    Parameters
    ----------
    planes
        ``(y, x)`` each, in order; a ``(z, y, x)`` array is that.
    shape
        ``(z, y, x)``.
    kind
        Type of the voxels; to integers others are rounded.
    ijk_to_ras
        4×4 matrix in mm: what NIfTI calls the sform, with which a slice may be oblique.
    """
    kind = np.dtype(kind)

    def as_bytes(part: bytes | tuple[np.ndarray, ...]) -> bytes | np.ndarray:
        return part if isinstance(part, bytes) else block_bytes(part, shape, kind.newbyteorder("<"))

    parts: Iterable[bytes | tuple[np.ndarray, ...]] = chain(
        [_header(shape, kind, ijk_to_ras)], blocks_of(planes, shape, kind)
    )
    yield from gzip_pieces(parts, as_bytes)


def _header(shape: Sequence[int], kind: np.dtype, ijk_to_ras: np.ndarray) -> bytes:
    """Return the 348 bytes of the header (nifti1.h) and the four that say that nothing follows before the voxels."""
    matrix = np.asarray(ijk_to_ras, float)
    spacing = np.linalg.norm(matrix[:3, :3], axis=0)
    header = bytearray(_VOXELS_AT)
    struct.pack_into("<i", header, 0, 348)
    struct.pack_into("<8h", header, 40, 3, *reversed([int(length) for length in shape]), 1, 1, 1, 1)
    struct.pack_into("<2h", header, 70, _TYPES[kind.name], 8 * kind.itemsize)
    struct.pack_into("<8f", header, 76, 1.0, *spacing, 0, 0, 0, 0)
    struct.pack_into("<3f", header, 108, float(_VOXELS_AT), 1.0, 0.0)
    header[123] = _MILLIMETERS
    struct.pack_into("<2h", header, 252, 0, _SCANNER)
    struct.pack_into("<12f", header, 280, *matrix[:3].ravel())
    header[344:348] = b"n+1\0"
    return bytes(header)
