"""One record a DICOM image, whether it is a file of its own or a frame of an enhanced multi-frame file."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from pydicom.dataset import Dataset


@dataclass(frozen=True)
class Frame:
    """One image of a series and where it lies.

    Attributes
    ----------
    file, number
        File, and frame number from 0 inside it.
    header
        The file's header, shared by all its frames.
    position, directions
        Center of the first pixel (LPS, mm) and the six direction cosines; None where the header has no valid ones.
    spacing
        Distance between rows and between columns in mm (PS3.3 10.7.1.3); None where not stated.
    """

    file: Path
    number: int
    header: Dataset
    sop_instance_uid: str
    shape: tuple[int, int]
    position: np.ndarray | None
    directions: np.ndarray | None
    spacing: tuple[float, float] | None
    thickness_mm: float | None
    slope: float | None
    intercept: float | None
    image_type: tuple[str, ...]
    instance_number: int | None
    location_mm: float | None

    @property
    def is_localizer(self) -> bool:
        """Whether the header calls this a localizer (scout)."""
        return any(word in ("LOCALIZER", "SCOUT") for word in self.image_type)


def frames_of(file: Path, header: Dataset) -> list[Frame]:
    """Return the images of one file; an empty list where the file holds no image (reports, DICOMDIR, ...)."""
    if not header.get("Rows") or not header.get("Columns"):
        return []
    count = int(number(header.get("NumberOfFrames")) or 1)
    return [_frame(file, header, index) for index in range(count)]


def attribute(header: Dataset, keyword: str, *, group: str = "", frame: int = 0) -> Any:
    """Return an attribute of a frame from its own functional group, the shared one, or the file's top level.

    `group` is the keyword of the functional group macro, for example ``"PlanePositionSequence"``
    (PS3.3 C.7.6.16.1); None where the attribute is nowhere or empty.
    """
    sequences = (("PerFrameFunctionalGroupsSequence", frame), ("SharedFunctionalGroupsSequence", 0)) if group else ()
    for sequence, item in sequences:
        groups = header.get(sequence)
        if groups and item < len(groups):
            macro = groups[item].get(group)
            if macro and _stated(macro[0].get(keyword)):
                return macro[0].get(keyword)
    value = header.get(keyword)
    return value if _stated(value) else None


def numbers(value: Any, count: int) -> np.ndarray | None:
    """Return `count` finite numbers, or None where the attribute does not hold as many."""
    try:
        found = np.asarray([float(number) for number in value], float)
    except (TypeError, ValueError):
        return None
    return found if found.shape == (count,) and np.isfinite(found).all() else None


def number(value: Any) -> float | None:
    """Return the first number of an attribute as float, or None where there is none."""
    if isinstance(value, Sequence) and not isinstance(value, str):
        value = value[0] if len(value) else None
    try:
        found = float(value)
    except (TypeError, ValueError):
        return None
    return found if np.isfinite(found) else None


def words(value: Any) -> tuple[str, ...]:
    """Return an attribute of one or several values as upper-case words."""
    if value is None:
        return ()
    values = [value] if isinstance(value, str) else list(value)
    return tuple(str(word).strip().upper() for word in values)


def _stated(value: Any) -> bool:
    return value is not None and value != "" and value != []


def _frame(file: Path, header: Dataset, index: int) -> Frame:
    def get(keyword: str, group: str = "") -> Any:
        return attribute(header, keyword, group=group, frame=index)

    measures = "PixelMeasuresSequence"
    spacing = numbers(get("PixelSpacing", measures), 2)
    whole = number(get("InstanceNumber"))
    image_type = words(get("FrameType", "CTImageFrameTypeSequence") or get("ImageType"))
    return Frame(
        file=file,
        number=index,
        header=header,
        sop_instance_uid=str(header.get("SOPInstanceUID") or ""),
        shape=(int(header.Rows), int(header.Columns)),
        position=numbers(get("ImagePositionPatient", "PlanePositionSequence"), 3),
        directions=_directions(get("ImageOrientationPatient", "PlaneOrientationSequence")),
        spacing=(float(spacing[0]), float(spacing[1])) if spacing is not None and spacing.min() > 0 else None,
        thickness_mm=number(get("SliceThickness", measures)) or None,
        slope=number(get("RescaleSlope", "PixelValueTransformationSequence")),
        intercept=number(get("RescaleIntercept", "PixelValueTransformationSequence")),
        image_type=image_type,
        instance_number=None if whole is None else int(whole) + index,
        location_mm=number(get("SliceLocation")),
    )


def _directions(value: Any) -> np.ndarray | None:
    """Return two orthonormal directions, or None where the header's are not (PS3.3 C.7.6.2.1.1 asks for them)."""
    found = numbers(value, 6)
    if found is None:
        return None
    row, column = found[:3], found[3:]
    lengths = np.linalg.norm(row), np.linalg.norm(column)
    if min(lengths) < 0.9 or max(lengths) > 1.1 or abs(row @ column) > 0.01:
        return None
    row = row / lengths[0]
    column = column - (column @ row) * row
    return np.concatenate([row, column / np.linalg.norm(column)])
