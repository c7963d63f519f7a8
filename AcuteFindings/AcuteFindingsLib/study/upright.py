"""Volumes of image files whose axes lean: set upright as a tilted DICOM series is, by the same code."""

from dataclasses import dataclass

import numpy as np

from AcuteFindingsLib.budgets import budgets
from AcuteFindingsLib.errors import StudyError
from AcuteFindingsLib.study.geometry import StackPlan, plan_stack, shift_plane
from AcuteFindingsLib.study.volume_header import LPS_TO_RAS

# Cosines that rounded headers leave between axes that are meant to be upright: as float32 or with six digits.
_UPRIGHT = 1e-4
# Rows and columns this near to a right angle are taken as such: half a degree moves a corner of a picture by 4 pixels
# of 512. No scanner has them otherwise.
NEARLY_UPRIGHT = float(np.sin(np.deg2rad(0.5)))


@dataclass(frozen=True)
class UprightVolume:
    """A volume with orthogonal axes.

    Attributes
    ----------
    array
        ``(z, y, x)`` float32.
    ijk_to_ras
        4×4, axes orthogonal.
    first_pixels
        ``(n, 3)`` RAS center of the first pixel of each slice as stored, in the order of their `k`.
    in_plane
        ``(3, 2)`` RAS steps along the rows and the columns of the slices.
    slice_shape
        ``(y, x)`` of a slice as stored.
    k
        ``(n,)`` place of each slice along the first axis of `array`.
    tilt_deg
        By how much the stack leaned; 0 where `array` is what was stored.
    """

    array: np.ndarray
    ijk_to_ras: np.ndarray
    first_pixels: np.ndarray
    in_plane: np.ndarray
    slice_shape: tuple[int, int]
    k: np.ndarray
    tilt_deg: float


def set_upright(array: np.ndarray, ijk_to_ras: np.ndarray, *, fill: float, name: str) -> UprightVolume:
    """Return the volume with orthogonal axes; its slices move within their planes, they are never mixed.

    Parameters
    ----------
    array
        ``(z, y, x)`` float32; returned itself where its axes are upright.
    ijk_to_ras
        4×4, perhaps sheared.
    fill
        Value around slices that moved.
    name
        Of the file, for the error.

    Raises
    ------
    StudyError
        No two axes are at right angles, or the upright volume would be too large.
    """
    cosines = _cosines(ijk_to_ras)
    if cosines.max() <= _UPRIGHT:
        return _stored(array, ijk_to_ras, array, ijk_to_ras, np.arange(len(array), dtype=float), 0.0)
    axis = _slice_axis(cosines)
    if axis is None:
        raise StudyError(
            f"The axes of {name} are sheared, none at a right angle to another, so it is not a stack of slices; "
            "convert the original DICOM series again."
        )
    array, ijk_to_ras = _slices_first(array, ijk_to_ras, axis)
    plan = _plan(array, ijk_to_ras)
    if np.prod(plan.shape, dtype=float) > budgets().voxels:
        raise StudyError(f"{name} leans so far that upright it would have {plan.shape} voxels; resample it first.")
    if not plan.is_shifted and not plan.tilt_deg:
        return _stored(array, ijk_to_ras, array, plan.ijk_to_ras, plan.k, 0.0)
    moved = np.empty(plan.shape, np.float32)
    for plane, shift, target in zip(array, plan.shifts, moved, strict=True):
        target[...] = shift_plane(plane, shift, plan.shape[1:], fill=fill)
    return _stored(array, ijk_to_ras, moved, plan.ijk_to_ras, plan.k, plan.tilt_deg)


def has_upright_axes(ijk_to_ras: np.ndarray) -> bool:
    """Whether the axes of a 4×4 matrix are at right angles, but for half a degree."""
    return bool(_cosines(ijk_to_ras).max() <= NEARLY_UPRIGHT)


def _cosines(matrix: np.ndarray) -> np.ndarray:
    """Return what each axis pair lacks to a right angle: of the second and third axis, third and first, first two."""
    axes = matrix[:3, :3] / np.linalg.norm(matrix[:3, :3], axis=0)
    return np.abs(np.array([axes[:, 1] @ axes[:, 2], axes[:, 2] @ axes[:, 0], axes[:, 0] @ axes[:, 1]]))


def _slice_axis(cosines: np.ndarray) -> int | None:
    """Return the axis along which slices are stacked: the last of those whose two others are at right angles."""
    fitting = [axis for axis in range(3) if cosines[axis] <= NEARLY_UPRIGHT]
    return fitting[-1] if fitting else None


def _slices_first(array: np.ndarray, matrix: np.ndarray, axis: int) -> tuple[np.ndarray, np.ndarray]:
    """Return array and matrix with slices along the first array axis, ascending along rows × columns."""
    order = [other for other in range(3) if other != axis] + [axis]
    array = array.transpose([2 - other for other in reversed(order)])
    matrix = matrix[:, [*order, 3]].copy()
    if np.linalg.det(matrix[:3, :3]) < 0:
        array = array[::-1]
        matrix[:3, 3] += matrix[:3, 2] * (len(array) - 1)
        matrix[:3, 2] *= -1
    return array, matrix


def _plan(array: np.ndarray, ijk_to_ras: np.ndarray) -> StackPlan:
    to_lps = LPS_TO_RAS @ ijk_to_ras
    row, column = to_lps[:3, 0], to_lps[:3, 1]
    spacing = float(np.linalg.norm(column)), float(np.linalg.norm(row))
    row = row / spacing[1]
    column = column - (column @ row) * row
    column /= np.linalg.norm(column)
    positions = to_lps[:3, 3] + np.arange(len(array))[:, None] * to_lps[:3, 2]
    height = float(to_lps[:3, 2] @ np.cross(row, column))
    return plan_stack(
        positions, np.concatenate([row, column]), spacing, (array.shape[1], array.shape[2]), thickness_mm=height
    )


def _stored(
    source: np.ndarray, source_matrix: np.ndarray, array: np.ndarray, matrix: np.ndarray, k: np.ndarray, tilt: float
) -> UprightVolume:
    first = source_matrix[:3, 3] + np.arange(len(source))[:, None] * source_matrix[:3, 2]
    return UprightVolume(
        array=np.ascontiguousarray(array, np.float32),
        ijk_to_ras=matrix,
        first_pixels=first,
        in_plane=source_matrix[:3, :2],
        slice_shape=(source.shape[1], source.shape[2]),
        k=k,
        tilt_deg=tilt,
    )
