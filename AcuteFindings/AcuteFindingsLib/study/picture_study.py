"""A Study from one picture, or a pile of them: a radiograph or CT slices whose window is burned in."""

from pathlib import Path

import numpy as np

from AcuteFindingsLib.study.file_kinds import shown_name
from AcuteFindingsLib.study.notice import Notice
from AcuteFindingsLib.study.picture_pose import SIDE_ASSUMED, as_positive, pose_notices
from AcuteFindingsLib.study.polarity import positive_slices
from AcuteFindingsLib.study.requirements import CtRequirements, Requirements
from AcuteFindingsLib.study.study import Orientation, SourceSlice, Study

_NO_SPACING = Notice(
    "no-pixel-spacing", "info", "The picture does not state the size of a pixel; sizes cannot be given in mm."
)


def picture_study(
    gray: np.ndarray,
    path: Path,
    *,
    requirements: Requirements | None,
    ijk_to_ras: np.ndarray | None,
    notices: tuple[Notice, ...] = (),
    side_stated: bool = False,
    is_hu: bool = False,
) -> Study:
    """Return the study of a picture's gray levels 0..1, as is asked for: CT slices, else a radiograph.

    Parameters
    ----------
    gray
        ``(y, x)``, or ``(z, y, x)`` for a pile of CT slices.
    path
        Where it was read from.
    ijk_to_ras
        4×4; None where the size of a pixel is not known.
    side_stated
        Whether the file says which side is which.
    is_hu
        Whether a CT's values are HU and not gray levels.
    """
    is_ct = isinstance(requirements, CtRequirements)
    orientation: Orientation = "axial" if is_ct else "projection"
    if not is_ct:
        gray, turned = as_positive(gray)
        notices = (*notices, *turned, *pose_notices(gray))
    elif not is_hu:
        gray, turned = positive_slices(gray)
        notices = (*notices, *turned)
    if not side_stated:
        notices = (*notices, SIDE_ASSUMED)
    matrix = np.diag([-1.0, -1.0, 1.0, 1.0]) if ijk_to_ras is None else ijk_to_ras
    array = np.ascontiguousarray(gray, np.float32)
    array = array[None] if array.ndim == 2 else array
    return Study(
        array=array,
        ijk_to_ras=matrix,
        modality="CT" if is_hu else "",
        intensity="HU" if is_hu else "windowed" if is_ct else "unit",
        orientation=orientation,
        sources=_sources(array.shape, matrix, path),
        pixel_spacing_known=ijk_to_ras is not None,
        notices=notices if ijk_to_ras is not None else (*notices, _NO_SPACING),
        source_name=shown_name(path),
    )


def _sources(shape: tuple[int, ...], matrix: np.ndarray, path: Path) -> tuple[SourceSlice, ...]:
    sources = []
    for k in range(shape[0]):
        x, y, z, _ = (matrix @ [(shape[2] - 1) / 2, (shape[1] - 1) / 2, k, 1]).tolist()
        sources.append(SourceSlice(k, path, k, "", (x, y, z), float(k), None))
    return tuple(sources)
