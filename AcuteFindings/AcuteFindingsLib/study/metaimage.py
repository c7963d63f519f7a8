"""The headers of MetaImage files: .mha with the voxels behind the header, .mhd with a file of voxels beside it.

Source: https://itk.org/Wiki/ITK/MetaIO/Documentation.
"""

from pathlib import Path

import numpy as np

from AcuteFindingsLib.errors import StudyError
from AcuteFindingsLib.study.file_kinds import shown_name
from AcuteFindingsLib.study.packed import Packing
from AcuteFindingsLib.study.volume_header import (
    LPS_TO_RAS,
    SIDES_UNKNOWN,
    VolumeHeader,
    axis_counts,
    neighbor,
    numbers_of,
    three_sizes,
    usable_matrix,
)

_TYPES = {
    "MET_CHAR": "i1", "MET_UCHAR": "u1", "MET_SHORT": "i2", "MET_USHORT": "u2", "MET_INT": "i4", "MET_UINT": "u4",
    "MET_LONG": "i4", "MET_ULONG": "u4", "MET_LONG_LONG": "i8", "MET_ULONG_LONG": "u8", "MET_FLOAT": "f4",
    "MET_DOUBLE": "f8",
}  # fmt: skip
_TRUE = ("TRUE", "T", "1", "YES", "Y")
_ROTATIONS, _ORIGINS = ("TransformMatrix", "Rotation", "Orientation"), ("Offset", "Position", "Origin")
_MOST_HEADER_BYTES = 1 << 16


def is_metaimage(head: bytes) -> bool:
    """Whether a file that starts so is a MetaImage: its first line is one of the header's."""
    key, separator, _ = head.partition(b"\n")[0].partition(b"=")
    return bool(separator) and key.strip() in (b"ObjectType", b"NDims", b"Comment", b"ObjectSubType", b"DimSize")


def read_metaimage_header(path: Path) -> VolumeHeader:
    """Read the header of a MetaImage.

    Raises
    ------
    StudyError
        The header is damaged, names a file elsewhere, or the file is no single gray volume.
    """
    name = shown_name(path)
    fields, end = _lines(path)
    needed = ("NDims", "DimSize", "ElementType", "ElementDataFile")
    counts = axis_counts(name, fields, needed, axes="NDims", sizes="DimSize", most=10)
    axes = len(counts)
    channels = numbers_of(name, fields.get("ElementNumberOfChannels", "1"), 1, what="'ElementNumberOfChannels'")[0]
    kind = fields["ElementType"].upper()
    if channels != 1 or kind.endswith("_ARRAY"):
        raise StudyError(f"{name} is in color or holds vectors; a gray volume is expected.")
    if kind not in _TYPES:
        raise StudyError(f"{name} holds values of a type that is not read ({kind[:20]}).")
    sizes, flat = three_sizes(name, counts)
    packed = _true(fields, "CompressedData")
    packing: Packing = "zlib" if packed else "raw"
    local = fields["ElementDataFile"].upper() == "LOCAL"
    skip = numbers_of(name, fields.get("HeaderSize", "0"), 1, what="'HeaderSize'")[0]
    if not skip.is_integer() or skip < -1:
        raise StudyError(f"The header of {name} is damaged: 'HeaderSize' is {skip:g}.")
    matrix, oriented, known = _place(fields, min(axes, 3), axes, sizes, name)
    big = _true(fields, "BinaryDataByteOrderMSB") or _true(fields, "ElementByteOrderMSB")
    last = skip < 0 and not packed
    return VolumeHeader(
        path=path,
        sizes=sizes,
        flat=flat,
        dtype=np.dtype((">" if big else "<") + _TYPES[kind]),
        ijk_to_ras=usable_matrix(name, LPS_TO_RAS @ matrix),
        data=path if local else neighbor(path, fields["ElementDataFile"]),
        start=-1 if last else end if local else int(max(skip, 0)),
        packing=packing,
        text="" if _true(fields, "BinaryData", otherwise=True) else "text",
        spacing_known=known,
        notices=() if oriented else (SIDES_UNKNOWN,),
    )


def _lines(path: Path) -> tuple[dict[str, str], int]:
    """Return the fields and the bytes of the header; the line with the name of the data is its last."""
    fields: dict[str, str] = {}
    with path.open("rb") as file:
        while raw := file.readline(_MOST_HEADER_BYTES):
            key, separator, value = raw.decode("utf-8", "replace").partition("=")
            if not separator or file.tell() > _MOST_HEADER_BYTES:
                break
            fields[key.strip()] = value.strip()
            if key.strip() == "ElementDataFile":
                break
        return fields, file.tell()


def _true(fields: dict[str, str], key: str, *, otherwise: bool = False) -> bool:
    return fields[key].upper() in _TRUE if key in fields else otherwise


def _place(
    fields: dict[str, str], count: int, axes: int, sizes: tuple[int, int, int], name: str
) -> tuple[np.ndarray, bool, bool]:
    """Return the LPS matrix in mm, whether the header states directions, and whether the size of a voxel."""
    rotation = next((fields[key] for key in _ROTATIONS if key in fields), None)
    origin = next((fields[key] for key in _ORIGINS if key in fields), None)
    spacing = fields.get("ElementSpacing", fields.get("ElementSize"))
    turn, place, steps, turned_back = np.eye(axes), np.zeros(axes), np.ones(axes), False
    if rotation is not None:
        # Each axis' direction is a row.
        turn = np.array(numbers_of(name, rotation, axes * axes, what="'TransformMatrix'")).reshape(axes, axes).T
    if origin is not None:
        place = np.array(numbers_of(name, origin, axes, what="'Offset'"))
    if spacing is not None:
        stated = np.array(numbers_of(name, spacing, axes, what="'ElementSpacing'"))
        steps, turned_back = np.abs(stated), bool(np.any(stated < 0))
    for axis in range(count):
        steps[axis] = 1.0 if sizes[axis] == 1 and steps[axis] == 0 else steps[axis]
    matrix = np.eye(4)
    matrix[:count, :count] = (turn * steps)[:count, :count]
    matrix[:count, 3] = place[:count]
    return matrix, rotation is not None and count == 3 and not turned_back, spacing is not None
