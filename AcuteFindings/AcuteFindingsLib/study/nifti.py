"""The headers of NIfTI-1 and NIfTI-2 files, alone, packed or as .hdr and .img pair.

Source: nifti1.h (Cox et al., 2004) and nifti2.h (Cox, Glen, 2011): https://nifti.nimh.nih.gov.
"""

from pathlib import Path
from typing import Any, Literal

import numpy as np

from AcuteFindingsLib.errors import StudyError
from AcuteFindingsLib.study.file_kinds import shown_name
from AcuteFindingsLib.study.notice import Notice
from AcuteFindingsLib.study.packed import GZIP_MAGIC, Packing, open_unpacked
from AcuteFindingsLib.study.volume_header import SIDES_UNKNOWN, VolumeHeader, three_sizes, usable_matrix

_FIELDS_1: dict[str, tuple[str, int]] = {
    "sizeof_hdr": ("i4", 0), "dim": ("8i2", 40), "intent_code": ("i2", 68), "datatype": ("i2", 70),
    "pixdim": ("8f4", 76), "vox_offset": ("f4", 108), "scl_slope": ("f4", 112), "scl_inter": ("f4", 116),
    "xyzt_units": ("u1", 123), "qform_code": ("i2", 252), "sform_code": ("i2", 254), "quatern": ("3f4", 256),
    "qoffset": ("3f4", 268), "srow": ("(3,4)f4", 280), "magic": ("S4", 344),
}  # fmt: skip
_FIELDS_2: dict[str, tuple[str, int]] = {
    "sizeof_hdr": ("i4", 0), "magic": ("S8", 4), "datatype": ("i2", 12), "dim": ("8i8", 16), "pixdim": ("8f8", 104),
    "vox_offset": ("i8", 168), "scl_slope": ("f8", 176), "scl_inter": ("f8", 184), "qform_code": ("i4", 344),
    "sform_code": ("i4", 348), "quatern": ("3f8", 352), "qoffset": ("3f8", 376), "srow": ("(3,4)f8", 400),
    "xyzt_units": ("i4", 500), "intent_code": ("i4", 504),
}  # fmt: skip
_SIZES = {348: _FIELDS_1, 540: _FIELDS_2}
_TYPES = {
    2: "u1", 4: "i2", 8: "i4", 16: "f4", 64: "f8", 256: "i1", 512: "u2", 768: "u4", 1024: "i8", 1280: "u8",
}  # fmt: skip
_COLOR_TYPES, _COMPLEX_TYPES = (128, 2304), (32, 1792, 2048)
_LABEL_INTENT = 1002
_MM_PER_UNIT = {1: 1000.0, 3: 0.001}
# Codes of coordinates of a scanner; those above are of a template brain (nifti1.h, NIFTI_XFORM codes).
_SCANNER_CODES = (1, 2)
# No scanned volume is longer or shorter along its longest side; ours.
_LONGEST_MM, _SHORTEST_MM = 3000.0, 10.0
# Two statements of the same length differ by less after rounding; ours.
_SAME_LENGTH = 0.02
_ROUNDING = 1e-4
_SAME_DIRECTION = np.cos(np.deg2rad(3.0))


def is_nifti(head: bytes) -> bool:
    """Whether a file that starts so is NIfTI, or Analyze, by the size of its header."""
    return _byte_order(head) != ""


def read_nifti_header(path: Path) -> VolumeHeader:
    """Read the header of a NIfTI file, or of a pair by its .hdr.

    The sform is used, as its writer's last word, unless it leads to a template and the qform to the scanner.

    Raises
    ------
    StudyError
        The header is damaged, or the file is no single gray volume.
    """
    name = shown_name(path)
    packed = _is_packed(path)
    with open_unpacked(path, "gzip" if packed else "raw") as stream:
        head = stream.read(540)
    order = _byte_order(head) or "<"
    fields = _SIZES[int.from_bytes(head[:4], "little" if order == "<" else "big")]
    size = next(size for size, known in _SIZES.items() if known is fields)
    if len(head) < size:
        raise StudyError(f"{name} is cut short: not even its header is whole. Copy or export it again.")
    layout = np.dtype(
        {
            "names": list(fields),
            "formats": [kind for kind, _ in fields.values()],
            "offsets": [at for _, at in fields.values()],
            "itemsize": size,
        }
    ).newbyteorder(order)
    found = np.frombuffer(head, layout, 1)[0]
    axes = int(found["dim"][0])
    if not 1 <= axes <= 7:
        raise StudyError(f"The header of {name} is damaged: it states {axes} axes.")
    sizes, flat = three_sizes(name, [int(count) for count in found["dim"][1 : axes + 1]])
    magic = bytes(found["magic"])[:3]
    pair = magic[:2] != b"n+"
    matrix, notices = _place(found, sizes, name, placed=magic[:2] in (b"n+", b"ni"))
    data = _image_of(path) if pair else path
    packing: Packing = "gzip" if _is_packed(data) else "raw"
    offset = float(found["vox_offset"])
    if not np.isfinite(offset) or not 0 <= offset < 2**40:
        raise StudyError(f"The header of {name} is damaged: voxels cannot start at byte {offset:g}.")
    start = int(offset) if pair else max(int(offset), size + 4)
    slope, intercept, odd = _scaling(found)
    return VolumeHeader(
        path=path,
        sizes=sizes,
        flat=flat,
        dtype=_dtype(int(found["datatype"]), order, name),
        ijk_to_ras=usable_matrix(name, matrix),
        data=data,
        start=0 if packing == "gzip" else start,
        skip=start if packing == "gzip" else 0,
        packing=packing,
        slope=slope,
        intercept=intercept,
        segmentation=int(found["intent_code"]) == _LABEL_INTENT,
        notices=(*notices, *odd),
    )


def _is_packed(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(2) == GZIP_MAGIC


def _byte_order(head: bytes) -> Literal["<", ">", ""]:
    if int.from_bytes(head[:4], "little") in _SIZES:
        return "<"
    return ">" if int.from_bytes(head[:4], "big") in _SIZES else ""


def _image_of(header: Path) -> Path:
    stem = header.name[: -len(".gz")] if header.name.lower().endswith(".gz") else header.name
    stem = stem.rpartition(".")[0]
    wanted = {f"{stem}{end}".lower() for end in (".img", ".img.gz")}
    found = sorted(file for file in header.parent.iterdir() if file.name.lower() in wanted and file.is_file())
    if not found:
        raise StudyError(f"{shown_name(header)} is the header of a pair, but its file .img with the voxels is missing.")
    return found[0]


def _dtype(code: int, order: str, name: str) -> np.dtype:
    if code in _COLOR_TYPES:
        raise StudyError(f"{name} is in color or holds vectors; a gray volume is expected.")
    if code in _COMPLEX_TYPES:
        raise StudyError(f"{name} holds complex numbers, as raw MR data do; a CT volume in HU is expected.")
    if code not in _TYPES:
        raise StudyError(f"{name} holds values of a type that is not read (NIfTI data type {code}).")
    return np.dtype(order + _TYPES[code])


def _scaling(found: Any) -> tuple[float, float, tuple[Notice, ...]]:
    """Return slope and intercept; a slope of 0 means that there is none (nifti1.h)."""
    slope, intercept = float(found["scl_slope"]), float(found["scl_inter"])
    if slope == 0:
        return 1.0, 0.0, ()
    if np.isfinite(slope) and np.isfinite(intercept):
        return slope, intercept, ()
    text = "The file's scaling is not a number (scl_slope, scl_inter); its stored values were taken as they are."
    return 1.0, 0.0, (Notice("no-rescale", "warn", text),)


def _place(found: Any, sizes: tuple[int, int, int], name: str, *, placed: bool) -> tuple[np.ndarray, list[Notice]]:
    """Return the matrix in mm, and what speaks against it; Analyze files, older than NIfTI, are not `placed`."""
    pixdim = found["pixdim"].astype(float)
    codes = (int(found["sform_code"]), int(found["qform_code"])) if placed else (0, 0)
    sform = np.vstack([found["srow"].astype(float), [0, 0, 0, 1]]) if codes[0] > 0 else None
    qform = _qform(found, pixdim, sizes, name) if codes[1] > 0 else None
    notices: list[Notice] = []
    template = codes[0] not in _SCANNER_CODES
    if sform is not None and not (template and qform is not None and codes[1] in _SCANNER_CODES):
        matrix = sform
    elif qform is not None:
        matrix, template = qform, codes[1] not in _SCANNER_CODES
        notices += [SIDES_UNKNOWN] if np.any(pixdim[1:4] < 0) else []
    else:
        matrix, template = np.diag([*_steps(pixdim, sizes, name), 1.0]), False
        notices.append(SIDES_UNKNOWN)
    if template:
        text = (
            "The volume was fitted to a template (sform or qform code above 2), so sizes and volumes are those of the "
            "template, not of the patient; give the original series."
        )
        notices.append(Notice("template-space", "warn", text))
    elif matrix is sform and qform is not None:
        notices += _contradiction(sform, qform)
        matrix = _with_slice_distance(sform, float(np.abs(pixdim[3])), notices)
    elif matrix is sform:
        notices += _other_sizes(sform, pixdim, sizes)
    unit = int(found["xyzt_units"]) & 7 if placed else 0
    return _in_mm(matrix, unit, sizes, notices), notices


def _steps(pixdim: np.ndarray, sizes: tuple[int, int, int], name: str) -> np.ndarray:
    """Return the size of a voxel; where there is one plane, its thickness may be missing."""
    steps = np.abs(pixdim[1:4])
    for axis, size in enumerate(sizes):
        if size == 1 and not (np.isfinite(steps[axis]) and steps[axis] > 0):
            steps[axis] = 1.0
    if not np.isfinite(steps).all() or not np.all(steps > 0):
        raise StudyError(
            f"The header of {name} gives a voxel no size (pixdim is 0 or not a number); convert the original DICOM "
            "series again."
        )
    return steps


def _qform(found: Any, pixdim: np.ndarray, sizes: tuple[int, int, int], name: str) -> np.ndarray:
    """Return the matrix by quaternion: method 2 of nifti1.h."""
    b, c, d = found["quatern"].astype(float)
    rest = 1.0 - (b * b + c * c + d * d)
    if not np.isfinite(rest) or rest < -1e-2:
        raise StudyError(f"The header of {name} is damaged: its qform is not a rotation.")
    length = np.sqrt(max(1.0, b * b + c * c + d * d))
    b, c, d, a = b / length, c / length, d / length, np.sqrt(max(0.0, rest))
    turn = np.array(
        [
            [a * a + b * b - c * c - d * d, 2 * (b * c - a * d), 2 * (b * d + a * c)],
            [2 * (b * c + a * d), a * a + c * c - b * b - d * d, 2 * (c * d - a * b)],
            [2 * (b * d - a * c), 2 * (c * d + a * b), a * a + d * d - b * b - c * c],
        ]
    )
    matrix = np.eye(4)
    matrix[:3, :3] = turn * _steps(pixdim, sizes, name) * [1.0, 1.0, -1.0 if pixdim[0] < 0 else 1.0]
    matrix[:3, 3] = found["qoffset"].astype(float)
    return matrix


def _contradiction(sform: np.ndarray, qform: np.ndarray) -> list[Notice]:
    """Hold sform against qform; a shear, which a qform cannot say, is no contradiction."""
    with np.errstate(all="ignore"):
        one, other = (np.linalg.det(matrix[:3, :3]) for matrix in (sform, qform))
        lengths = [np.linalg.norm(matrix[:3, :3], axis=0) for matrix in (sform, qform)]
        along = np.sum(sform[:3, :3] * qform[:3, :3], axis=0) / (lengths[0] * lengths[1])
    if not np.isfinite(along).all():
        return []
    if one * other < 0 or np.any(along < 0):
        text = (
            "The file states the patient's position twice (sform and qform), once as the mirror image of the other, "
            "so left and right are not known; compare the original before you trust a side."
        )
        return [Notice("orientation-contradiction", "warn", text)]
    # Of a tilted stack two axes stay, and the third only leans.
    if np.sum(along > _SAME_DIRECTION) < 2:
        text = (
            "The file states the patient's position twice (sform and qform), in different directions; the sform was "
            "used. Compare the original before you trust a place."
        )
        return [Notice("orientation-contradiction", "warn", text)]
    upright = along > _SAME_DIRECTION
    if np.any(np.abs(lengths[0] / lengths[1] - 1)[upright] > _SAME_LENGTH):
        return [_sizes_differ("sform and qform")]
    return []


def _with_slice_distance(sform: np.ndarray, step: float, notices: list[Notice]) -> np.ndarray:
    """Return the sform of a tilted stack with slices as far apart as the qform says.

    dcm2niix measures the distance along the slices' normal and writes it as the length of the sform's leaning third
    axis too, so that slices lie too close by the cosine of the tilt.
    """
    axes = sform[:3, :3]
    lengths = np.linalg.norm(axes, axis=0)
    normal = np.cross(axes[:, 0], axes[:, 1])
    with np.errstate(all="ignore"):
        height = abs(float(axes[:, 2] @ normal) / np.linalg.norm(normal))
        leans = height < lengths[2] * (1 - _ROUNDING) and abs(step / lengths[2] - 1) < _ROUNDING
    if not leans or not height > 0:
        return sform
    text = (
        f"The file states two distances of its leaning slices, {height:.2f} and {step:.2f} mm; the second was used, as "
        "dcm2niix means it."
    )
    notices.append(Notice("slice-distance", "info", text))
    matrix = sform.copy()
    matrix[:3, 2] *= step / height
    return matrix


def _other_sizes(sform: np.ndarray, pixdim: np.ndarray, sizes: tuple[int, int, int]) -> list[Notice]:
    """Hold the sform against pixdim; of a sheared axis either its length or its height above the others counts."""
    axes = sform[:3, :3]
    with np.errstate(all="ignore"):
        lengths = np.linalg.norm(axes, axis=0)
        heights = [
            abs(np.linalg.det(axes)) / np.linalg.norm(np.cross(axes[:, axis - 2], axes[:, axis - 1]))
            for axis in range(3)
        ]
        stated = np.abs(pixdim[1:4])
        differs = np.minimum(np.abs(lengths / stated - 1), np.abs(heights / stated - 1)) > _SAME_LENGTH
    odd = (differs | ~np.isfinite(stated) | (stated == 0)) & (np.array(sizes) > 1)
    return [_sizes_differ("sform and pixdim")] if odd.any() else []


def _sizes_differ(which: str) -> Notice:
    text = (
        f"The file states the size of a voxel twice ({which}), and the two differ; the sform was used. Volumes and "
        "lengths may be wrong."
    )
    return Notice("voxel-size-contradiction", "warn", text)


def _in_mm(matrix: np.ndarray, unit: int, sizes: tuple[int, int, int], notices: list[Notice]) -> np.ndarray:
    """Return the matrix in mm; a unit that makes a giant or a mite of the patient is not believed."""
    factor = _MM_PER_UNIT.get(unit)
    if factor is None:
        return matrix
    longest = float(np.max(np.linalg.norm(matrix[:3, :3], axis=0) * sizes))
    if not _SHORTEST_MM <= longest * factor <= _LONGEST_MM and _SHORTEST_MM <= longest <= _LONGEST_MM:
        text = (
            f"The file states lengths in {'meters' if unit == 1 else 'micrometers'}, by which the patient would be "
            f"{longest * factor:g} mm long; they were taken as millimeters."
        )
        notices.append(Notice("units-not-believed", "warn", text))
        return matrix
    scaled = matrix.copy()
    scaled[:3] *= factor
    return scaled
