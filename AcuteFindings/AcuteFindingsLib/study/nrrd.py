"""The headers of NRRD files, attached or beside their data.

Source: "Definition of NRRD File Format", https://teem.sourceforge.net/nrrd/format.html.
"""

import re
from pathlib import Path

import numpy as np

from AcuteFindingsLib.errors import StudyError
from AcuteFindingsLib.study.file_kinds import shown_name
from AcuteFindingsLib.study.notice import Notice
from AcuteFindingsLib.study.packed import Packing
from AcuteFindingsLib.study.volume_header import (
    SIDES_UNKNOWN,
    VolumeHeader,
    axis_counts,
    neighbor,
    numbers_of,
    three_sizes,
    usable_matrix,
)

_TYPES = {
    "i1": ("signed char", "int8", "int8_t"),
    "u1": ("uchar", "unsigned char", "uint8", "uint8_t"),
    "i2": ("short", "short int", "signed short", "signed short int", "int16", "int16_t"),
    "u2": ("ushort", "unsigned short", "unsigned short int", "uint16", "uint16_t"),
    "i4": ("int", "signed int", "int32", "int32_t"),
    "u4": ("uint", "unsigned int", "uint32", "uint32_t"),
    "i8": ("longlong", "long long", "long long int", "signed long long", "signed long long int", "int64", "int64_t"),
    "u8": ("ulonglong", "unsigned long long", "unsigned long long int", "uint64", "uint64_t"),
    "f4": ("float",),
    "f8": ("double",),
}  # fmt: skip
_PACKINGS: dict[str, Packing] = {"raw": "raw", "gz": "gzip", "gzip": "gzip", "bz2": "bzip2", "bzip2": "bzip2"}
_WRITTEN_OUT = {"txt": "text", "text": "text", "ascii": "text", "hex": "hex"}
# From the named space to RAS.
_SPACES = {
    "right-anterior-superior": (1, 1, 1), "ras": (1, 1, 1),
    "left-anterior-superior": (-1, 1, 1), "las": (-1, 1, 1),
    "left-posterior-superior": (-1, -1, 1), "lps": (-1, -1, 1),
}  # fmt: skip
_SPATIAL_KINDS = ("domain", "space", "???", "none")
_MM_PER_UNIT = {"m": 1000.0, "cm": 10.0, "mm": 1.0, "um": 0.001, "µm": 0.001}
_VECTOR = re.compile(r"none|\([^()]*\)", re.IGNORECASE)
_MOST_HEADER_BYTES = 1 << 20


def is_nrrd(head: bytes) -> bool:
    """Whether a file that starts so is NRRD."""
    return head.startswith(b"NRRD000")


def read_nrrd_header(path: Path, *, layered: bool = False) -> VolumeHeader:
    """Read the header of a NRRD file; its voxels lie behind it or in one file beside it.

    With `layered` the values of a voxel may be several, as in Slicer's segmentations whose segments overlap; they stand
    side by side along the first axis.

    Raises
    ------
    StudyError
        The header is damaged, names a file elsewhere, or the file is no single gray volume.
    """
    name = shown_name(path)
    fields, pairs, end = _lines(path)
    needed = ("type", "dimension", "sizes", "encoding")
    counts = axis_counts(name, fields, needed, axes="dimension", sizes="sizes", most=16)
    axes = len(counts)
    spatial, values = _spatial_axes(fields, counts, name, layered=layered)
    sizes, flat = three_sizes(name, [counts[axis] for axis in spatial])
    sizes = (sizes[0] * values, *sizes[1:])
    data = neighbor(path, fields["data file"]) if "data file" in fields else path
    start = 0 if "data file" in fields else end
    start += _line_bytes(data, start, _whole(fields, "line skip", name), name)
    skip = _whole(fields, "byte skip", name)
    encoding = fields["encoding"].lower()
    if encoding not in _PACKINGS and encoding not in _WRITTEN_OUT:
        raise StudyError(f"{name} is encoded as {encoding[:20]!r}; raw, gzip, bzip2, ascii and hex are read.")
    if skip < 0 and encoding != "raw":
        raise StudyError(f"The header of {name} is damaged: 'byte skip' is negative.")
    matrix, known, notices = _place(fields, spatial, sizes, axes, name)
    return VolumeHeader(
        path=path,
        sizes=sizes,
        flat=flat,
        dtype=_dtype(fields, name, needs_order=encoding not in _WRITTEN_OUT),
        ijk_to_ras=usable_matrix(name, matrix),
        data=data,
        start=-1 if skip < 0 else start,
        skip=max(0, skip),
        packing=_PACKINGS.get(encoding, "raw"),
        text=_WRITTEN_OUT.get(encoding, ""),  # type: ignore[arg-type]
        segmentation=any(key.startswith("Segment0_") for key in pairs),
        spacing_known=known,
        notices=tuple(notices),
    )


def _lines(path: Path) -> tuple[dict[str, str], set[str], int]:
    """Return the fields, the names of key-value pairs and the bytes of the header with its empty line."""
    fields: dict[str, str] = {}
    pairs: set[str] = set()
    with path.open("rb") as file:
        file.readline(_MOST_HEADER_BYTES)
        while raw := file.readline(_MOST_HEADER_BYTES):
            line = raw.decode("utf-8", "replace").rstrip("\r\n")
            if not line or file.tell() > _MOST_HEADER_BYTES:
                break
            if line.startswith("#"):
                continue
            key, separator, value = line.partition(":=")
            if separator:
                pairs.add(key)
                continue
            key, _, value = line.partition(":")
            key = key.strip().lower()
            fields[_JOINED.get(key, key)] = value.strip()
        return fields, pairs, file.tell()


_JOINED = {"datafile": "data file", "lineskip": "line skip", "byteskip": "byte skip", "axismins": "axis mins"}


def _spatial_axes(fields: dict[str, str], counts: list[int], name: str, *, layered: bool) -> tuple[list[int], int]:
    """Return which axes run through space, and the values of a voxel.

    An axis of vectors, colors or time must have the length 1; the first one, of a list, need not where it is `layered`.
    """
    kinds = [kind.lower() for kind in fields.get("kinds", "").split()]
    vectors = _VECTOR.findall(fields.get("space directions", ""))
    if len(kinds) == len(counts):
        spatial = [axis for axis, kind in enumerate(kinds) if kind in _SPATIAL_KINDS]
    else:
        spatial = list(range(len(counts)))
    if len(vectors) == len(counts):
        spatial = [axis for axis in spatial if vectors[axis].lower() != "none"]
    others = [axis for axis in range(len(counts)) if axis not in spatial]
    layers = 1
    if layered and others[:1] == [0] and kinds[:1] == ["list"] and counts[0] > 1:
        layers = counts[others.pop(0)]
    for axis in others:
        if counts[axis] < 1:
            raise StudyError(f"The header of {name} is damaged: it states an axis of {counts[axis]} values.")
        if counts[axis] > 1:
            kind = kinds[axis] if len(kinds) == len(counts) else ""
            what = f"{counts[axis]} values per voxel" if kind != "time" else f"a time series of {counts[axis]} volumes"
            raise StudyError(f"{name} is in color or holds vectors ({what}); one gray volume is expected.")
    return spatial, layers


def _whole(fields: dict[str, str], key: str, name: str) -> int:
    value = numbers_of(name, fields.get(key, "0"), 1, what=f"'{key}'")[0]
    if not value.is_integer() or value < -1 or (value < 0 and key != "byte skip"):
        raise StudyError(f"The header of {name} is damaged: '{key}' is {value:g}.")
    return int(value)


def _line_bytes(data: Path, start: int, lines: int, name: str) -> int:
    """Return how many bytes some lines of a data file take."""
    if not lines:
        return 0
    with data.open("rb") as file:
        file.seek(start)
        for _ in range(lines):
            if not file.readline(_MOST_HEADER_BYTES) or file.tell() - start > _MOST_HEADER_BYTES:
                raise StudyError(f"The header of {name} is damaged: 'line skip' leads past the end of the data.")
        return file.tell() - start


def _dtype(fields: dict[str, str], name: str, *, needs_order: bool) -> np.dtype:
    wanted = fields["type"].lower()
    code = next((code for code, names in _TYPES.items() if wanted in names), None)
    if code is None:
        raise StudyError(f"{name} holds values of a type that is not read ({wanted[:20]}).")
    order = fields.get("endian", "little").lower()
    if order not in ("little", "big") or (needs_order and code[1] != "1" and "endian" not in fields):
        raise StudyError(f"The header of {name} is damaged: the line 'endian' should be little or big.")
    return np.dtype(("<" if order == "little" else ">") + code)


def _place(
    fields: dict[str, str], spatial: list[int], sizes: tuple[int, int, int], axes: int, name: str
) -> tuple[np.ndarray, bool, list[Notice]]:
    """Return the matrix in mm, whether it states the size of a voxel, and what speaks against it."""
    count = min(3, len(spatial))
    to_ras = _SPACES.get(fields.get("space", "").lower())
    matrix = np.eye(4)
    vectors = _VECTOR.findall(fields.get("space directions", ""))
    known = True
    if len(vectors) == axes:
        columns = [
            numbers_of(name, vectors[axis].strip("()"), vectors[axis].count(",") + 1, what="'space directions'")
            for axis in spatial[:3]
        ]
        matrix[:3, :3] = _columns(columns, name)
        origin = fields.get("space origin", "").strip()
        if origin:
            matrix[: len(columns[0]), 3] = numbers_of(name, origin.strip("()"), len(columns[0]), what="'space origin'")
    elif "space directions" in fields:
        raise StudyError(f"The header of {name} is damaged: 'space directions' should hold {axes} vectors.")
    else:
        to_ras = None
        written = fields.get("spacings", "").split()
        known = len(written) == axes
        steps = [abs(float(written[axis])) if known and _is_number(written[axis]) else 1.0 for axis in spatial[:3]]
        for axis, step in enumerate(steps):
            matrix[axis, axis] = step if step > 0 or sizes[axis] > 1 else 1.0
    notices = [] if to_ras is not None and count == 3 else [SIDES_UNKNOWN]
    matrix = np.diag([*(to_ras or (-1, -1, 1)), 1]) @ matrix
    units = re.findall(r'"([^"]*)"', fields.get("space units", "")) or re.findall(r'"([^"]*)"', fields.get("units", ""))
    factors = {_MM_PER_UNIT[unit] for unit in units if unit in _MM_PER_UNIT}
    if len(factors) == 1:
        matrix[:3] *= factors.pop()
    return matrix, known, notices


def _columns(vectors: list[list[float]], name: str) -> np.ndarray:
    """Return a 3×3 matrix of two or three vectors, a flat picture's own normal added."""
    if {len(vector) for vector in vectors} == {3} and len(vectors) in (2, 3):
        columns = list(map(np.array, vectors))
        if len(columns) == 2:
            normal = np.cross(columns[0], columns[1])
            columns.append(normal / max(float(np.linalg.norm(normal)), 1e-12))
        return np.stack(columns, axis=1)
    if {len(vector) for vector in vectors} == {2} and len(vectors) == 2:
        matrix = np.eye(3)
        matrix[:2, :2] = np.array(vectors).T
        return matrix
    raise StudyError(f"The header of {name} is damaged: 'space directions' do not fit its axes.")


def _is_number(text: str) -> bool:
    try:
        return bool(np.isfinite(float(text)))
    except ValueError:
        return False
