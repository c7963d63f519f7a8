"""What the header of a volume file says, the same for NIfTI, NRRD and MetaImage."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from AcuteFindingsLib.budgets import budgets
from AcuteFindingsLib.errors import StudyError
from AcuteFindingsLib.study.file_kinds import shown_name
from AcuteFindingsLib.study.notice import Notice
from AcuteFindingsLib.study.packed import Packing

LPS_TO_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])

SIDES_UNKNOWN = Notice(
    "orientation-unknown",
    "warn",
    "The file does not state how the patient lies in it, so left and right, front and back, head and feet are not "
    "known; compare the original before you trust a side.",
)


@dataclass(frozen=True)
class VolumeHeader:
    """Where the voxels of a volume file are, what they are and where they lie in the patient.

    Attributes
    ----------
    path
        The file that was named.
    sizes
        Voxels along the first, second and third axis ``(x, y, z)``.
    flat
        Whether the file has two axes only.
    dtype
        Type of the stored values, byte order included.
    ijk_to_ras
        4×4, mm; its axes may be sheared.
    data
        The file that holds the voxels; `path` itself where they follow the header.
    start
        Bytes of `data` before the packed or unpacked voxels; -1 where the voxels are the last bytes of the file.
    skip
        Bytes to skip after unpacking.
    packing
        How the bytes are packed.
    text
        ``"text"`` or ``"hex"`` where the values are written out; ``""`` where they are binary.
    slope, intercept
        What the stored values are multiplied by, and what is then added.
    segmentation
        Whether the header says that the values are labels.
    spacing_known
        Whether the size of a voxel is stated.
    notices
        What in the header is odd.
    """

    path: Path
    sizes: tuple[int, int, int]
    flat: bool
    dtype: np.dtype
    ijk_to_ras: np.ndarray
    data: Path
    start: int = 0
    skip: int = 0
    packing: Packing = "raw"
    text: Literal["", "text", "hex"] = ""
    slope: float = 1.0
    intercept: float = 0.0
    segmentation: bool = False
    spacing_known: bool = True
    notices: tuple[Notice, ...] = ()

    @property
    def is_scaled(self) -> bool:
        """Whether stored values are not the values."""
        return self.slope != 1.0 or self.intercept != 0.0

    @property
    def whole_numbers(self) -> bool:
        """Whether the values are whole: stored as integers and not scaled."""
        return self.dtype.kind in "iu" and not self.is_scaled

    @property
    def data_bytes(self) -> int:
        """Bytes of all voxels, unpacked."""
        return int(np.prod(self.sizes, dtype=object)) * self.dtype.itemsize


def axis_counts(
    name: str, fields: Mapping[str, str], needed: Sequence[str], *, axes: str, sizes: str, most: int
) -> list[int]:
    """Return how many voxels a header of text lines states along each of its axes.

    `needed` are the lines that must be there, `axes` and `sizes` those of the number of axes (1 to `most`) and of the
    counts. Raises `StudyError` where one is missing or states something else.
    """
    for line in needed:
        if line not in fields:
            raise StudyError(f"The header of {name} is damaged: the line '{line}' is missing.")
    number = int(numbers_of(name, fields[axes], 1, what=f"'{axes}'")[0])
    if not 1 <= number <= most:
        raise StudyError(f"The header of {name} is damaged: it states {number} axes.")
    counts = numbers_of(name, fields[sizes], number, what=f"'{sizes}'")
    if not all(float(count).is_integer() for count in counts):
        raise StudyError(f"The header of {name} is damaged: '{sizes}' should hold whole numbers.")
    return [int(count) for count in counts]


def three_sizes(name: str, sizes: list[int]) -> tuple[tuple[int, int, int], bool]:
    """Return ``(x, y, z)`` and whether there were two axes, of sizes without trailing axes of one voxel.

    Raises
    ------
    StudyError
        A size below 1, more than three axes, or more voxels than `budgets` allow.
    """
    if not sizes or min(sizes) < 1:
        raise StudyError(f"The header of {name} is damaged: it states {_by(sizes) or 'no'} voxels.")
    if len(sizes) > 3 and max(sizes[3:]) > 1:
        count = int(np.prod(sizes[3:], dtype=object))
        raise StudyError(f"{name} holds a time series ({count} volumes) or several channels; give one volume.")
    flat = len(sizes) < 3
    x, y, z = [*sizes, 1, 1][:3]
    if x * y * z > budgets().voxels:
        raise StudyError(
            f"{name} states {_by(sizes)} voxels, more than the {budgets().voxels / 1e6:.0f} million that are allowed."
        )
    return (x, y, z), flat


def usable_matrix(name: str, ijk_to_ras: np.ndarray) -> np.ndarray:
    """Return a matrix that places voxels in space.

    Raises
    ------
    StudyError
        Where a number is none, a voxel has no length, or two axes are the same.
    """
    lengths = np.linalg.norm(ijk_to_ras[:3, :3], axis=0)
    if not np.isfinite(ijk_to_ras).all() or not np.all((lengths > 1e-6) & (lengths < 1e6)):
        raise StudyError(
            f"The header of {name} gives voxels no usable size or place (zero, endless or not a number); convert the "
            "original DICOM series again."
        )
    if abs(np.linalg.det(ijk_to_ras[:3, :3] / lengths)) < 0.05:
        raise StudyError(f"The header of {name} lets axes coincide; convert the original DICOM series again.")
    return ijk_to_ras


def neighbor(header: Path, name: str) -> Path:
    """Return the data file that a header names, which must lie beside it.

    Raises
    ------
    StudyError
        Another place, a list or pattern of files, or no such file: a header from elsewhere names no file of this
        machine.
    """
    lists = name.upper() == "LIST" or name.upper().startswith("LIST ") or "%" in name or len(name.split()) > 3
    if lists:
        raise StudyError(f"{shown_name(header)} names several data files; only one file beside the header is read.")
    elsewhere = any(sign in name for sign in ("/", "\\", ":", "\0")) or name in ("", ".", "..")
    if elsewhere:
        raise StudyError(
            f"{shown_name(header)} names a data file in another place; only a file beside the header is read."
        )
    data = header.with_name(name)
    if not data.is_file():
        raise StudyError(f"The data file that {shown_name(header)} names is missing; copy it beside the header.")
    return data


def numbers_of(name: str, text: str, count: int, *, what: str) -> list[float]:
    """Return the numbers of a header's line.

    Raises
    ------
    StudyError
        Names the line that is none.
    """
    try:
        values = [float(word) for word in text.replace(",", " ").split()]
    except ValueError:
        values = []
    if len(values) != count:
        raise StudyError(f"The header of {name} is damaged: {what} should hold {count} numbers.")
    return values


def _by(sizes: list[int]) -> str:
    return "×".join(str(size) for size in sizes)
