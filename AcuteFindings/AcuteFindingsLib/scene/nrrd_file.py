"""Writing a volume as NRRD plane by plane: an image library would first copy it, a second's work for a chest CT."""

import sys
import zlib
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

_TYPES = {
    "int8": "int8", "uint8": "uint8", "int16": "int16", "uint16": "uint16", "int32": "int32", "uint32": "uint32",
    "int64": "int64", "uint64": "uint64", "float32": "float", "float64": "double",
}  # fmt: skip
# The window waits: the quickest level makes little of a mask too.
_LEVEL = 1
_GZIP = 31


def write_nrrd(
    path: Path,
    planes: Iterable[np.ndarray],
    shape: Sequence[int],
    kind: np.dtype,
    ijk_to_ras: np.ndarray,
    *,
    compressed: bool,
) -> None:
    """Write a volume with its place in the patient.

    Parameters
    ----------
    path
        The file to write.
    planes
        ``(y, x)`` each, in order; a ``(z, y, x)`` array is that.
    shape
        ``(z, y, x)``.
    kind
        Type of the voxels.
    ijk_to_ras
        4×4 matrix; written in LPS, as ITK and Slicer write it.
    compressed
        With gzip, else raw.

    Raises
    ------
    OSError
        When the file cannot be written.
    """
    packer = zlib.compressobj(_LEVEL, zlib.DEFLATED, _GZIP) if compressed else None
    with path.open("wb") as stream:
        stream.write(_header(shape, kind, ijk_to_ras, compressed=compressed).encode("ascii"))
        for plane in planes:
            voxels = np.ascontiguousarray(plane, kind).ravel().view(np.uint8).data
            stream.write(voxels if packer is None else packer.compress(voxels))
        if packer is not None:
            stream.write(packer.flush())


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
