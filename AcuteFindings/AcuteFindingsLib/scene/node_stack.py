"""Where the slices of a volume node lie in the patient, as the scene shows them.

Slicer's DICOM module (`DICOMScalarVolumePlugin.AcquisitionModeling`) keeps the slices of a series as they are. Where
they lie unevenly it puts the volume under an "acquisition transform": a grid transform with one displacement at each
corner of each slice. A tilted stack of even steps has a matrix whose third axis leans.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from AcuteFindingsLib.errors import StudyError
from AcuteFindingsLib.scene.application import load_slicer
from AcuteFindingsLib.scene.segment_voxels import volume_ijk_to_ras
from AcuteFindingsLib.study.geometry import StackPlan, plan_stack
from AcuteFindingsLib.study.upright import NEARLY_UPRIGHT, has_upright_axes

UNDER_A_TRANSFORM = (
    "The volume is under a transform, so its voxels are not where the scene shows them; harden the transform (module "
    "Transforms) or take the volume out of it."
)

# As far as corners of a picture may lie from where the others put them: what decimals in headers add up to.
_SAME_PIXELS = 0.25
_RAS_TO_LPS = np.array([-1.0, -1.0, 1.0])


@dataclass(frozen=True)
class NodeStack:
    """The slices of a volume node, parallel to each other.

    Attributes
    ----------
    corners
        ``(n, 3)`` center of each slice's first pixel, RAS, mm.
    row, column
        ``(3,)`` step to the next pixel of a row, and of a column, RAS, mm.
    shape
        ``(z, y, x)`` of the node's voxels.
    """

    corners: np.ndarray
    row: np.ndarray
    column: np.ndarray
    shape: tuple[int, int, int]

    @property
    def centers(self) -> np.ndarray:
        """``(n, 3)`` middle of each slice, RAS, mm."""
        _, height, width = self.shape
        middle: np.ndarray = self.corners + self.row * (width - 1) / 2 + self.column * (height - 1) / 2
        return middle

    @property
    def normal(self) -> np.ndarray:
        """Unit vector across the slices (rows × columns), RAS."""
        across = np.cross(self.row, self.column)
        return np.asarray(across / np.linalg.norm(across))

    def plan(self, *, thickness_mm: float | None) -> tuple[StackPlan, bool]:
        """Return the upright grid as the reader of DICOM plans it, and whether slices follow each other against it.

        Raises
        ------
        StudyError
            Two slices lie at the same place, or the grid would be beyond the budgets.
        """
        along = self.corners @ self.normal
        backward = bool(along[-1] < along[0])
        corners = self.corners[::-1] if backward else self.corners
        if np.any(np.diff(corners @ self.normal) <= 0):
            raise StudyError(
                "Slices of the volume lie at the same place or out of order, so it is not one stack; load its series "
                "again."
            )
        spacing = float(np.linalg.norm(self.column)), float(np.linalg.norm(self.row))
        row = self.row / spacing[1]
        column = self.column - (self.column @ row) * row
        directions = np.concatenate([row * _RAS_TO_LPS, column / np.linalg.norm(column) * _RAS_TO_LPS])
        plan = plan_stack(corners * _RAS_TO_LPS, directions, spacing, self.shape[1:], thickness_mm=thickness_mm)
        return plan, backward


def transform_problem(volume: Any) -> str:
    """Say in a few words why the transform above a volume keeps it from being read; ``""`` where nothing does."""
    transform = volume.GetParentTransformNode()
    if transform is None or _acquisition_grid(volume, transform) is not None:
        return ""
    return "under a transform: harden it first"


def is_plain(volume: Any) -> bool:
    """Whether a volume's own matrix alone says where its voxels lie, its axes at right angles."""
    return volume.GetParentTransformNode() is None and has_upright_axes(volume_ijk_to_ras(volume))


def stack_of(volume: Any) -> NodeStack:
    """Return where the slices of a volume lie, those of an acquisition transform where they are displayed.

    Raises
    ------
    StudyError
        The volume is under another transform, or its slices are not parallel pictures with axes at right angles.
    """
    transform = volume.GetParentTransformNode()
    grid = None if transform is None else _acquisition_grid(volume, transform)
    if transform is not None and grid is None:
        raise StudyError(UNDER_A_TRANSFORM)
    width, height, depth = volume.GetImageData().GetDimensions()
    matrix = volume_ijk_to_ras(volume)
    first = matrix[:3, 3] + np.arange(depth)[:, None] * matrix[:3, 2]
    # The grid transform has its displacements at pixel 0 and one pixel beyond the last.
    across, down = matrix[:3, 0] * width, matrix[:3, 1] * height
    places = np.stack([first, first + across, first + down, first + across + down], axis=1)
    places = places if grid is None else places + grid
    rows = (places[:, 1] - places[:, 0]) / width
    columns = (places[:, 2] - places[:, 0]) / height
    stack = NodeStack(places[:, 0], rows.mean(axis=0), columns.mean(axis=0), (depth, height, width))
    lengths = np.linalg.norm(stack.row), np.linalg.norm(stack.column)
    expected = stack.corners[:, None] + np.stack(
        [np.zeros(3), stack.row * width, stack.column * height, stack.row * width + stack.column * height]
    )
    if min(lengths) <= 0 or np.abs(places - expected).max() > _SAME_PIXELS * min(lengths):
        raise StudyError(
            "The slices of the volume are not parallel to each other (as after a transform that bends it), so it is "
            "not one stack; harden the transform (module Transforms), or load its series again."
        )
    if abs(stack.row @ stack.column) > NEARLY_UPRIGHT * lengths[0] * lengths[1]:
        raise StudyError(
            "The rows and columns of the volume are not at right angles, so its pictures are distorted; load the DICOM "
            "series again."
        )
    return stack


def _acquisition_grid(volume: Any, transform: Any) -> np.ndarray | None:
    """Return the displacements ``(n, 4, 3)`` of each slice's corners (RAS, mm), in the order of `stack_of`.

    None where the transform is not one that Slicer's DICOM module made for this volume: a grid of two by two points a
    slice on the volume's own axes, under no further transform.
    """
    from vtkmodules.util.numpy_support import vtk_to_numpy

    _, vtk = load_slicer()
    if transform.GetParentTransformNode() is not None:
        return None
    grid = transform.GetTransformToParentAs("vtkOrientedGridTransform", False, False)
    image = None if grid is None else grid.GetDisplacementGrid()
    if image is None or image.GetPointData().GetScalars() is None:
        return None
    width, height, depth = volume.GetImageData().GetDimensions()
    axes = vtk.vtkMatrix4x4()
    volume.GetIJKToRASDirectionMatrix(axes)
    own = grid.GetGridDirectionMatrix()
    turned = own is None or any(
        abs(own.GetElement(row, column) - axes.GetElement(row, column)) > 1e-4
        for row in range(3)
        for column in range(3)
    )
    steps = np.array(volume.GetSpacing()) * (width, height, 1)
    fits = (
        image.GetDimensions() == (2, 2, depth)
        and not turned
        and np.allclose(image.GetOrigin(), volume.GetOrigin(), atol=1e-3)
        and np.allclose(image.GetSpacing(), steps, rtol=1e-4)
    )
    if not fits:
        return None
    scale, shift = grid.GetDisplacementScale(), grid.GetDisplacementShift()
    moved = vtk_to_numpy(image.GetPointData().GetScalars()).reshape(depth, 4, 3)
    return np.asarray(moved * scale + shift, float)
