"""The upright grid on which a detector reads a volume node: the node's own, or the one its slices make."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from AcuteFindingsLib.budgets import budgets
from AcuteFindingsLib.errors import StudyError
from AcuteFindingsLib.scene.node_headers import NodeHeaders
from AcuteFindingsLib.scene.node_stack import NodeStack, is_plain, stack_of, transform_problem
from AcuteFindingsLib.scene.placed_slices import PlacedSlices
from AcuteFindingsLib.scene.segment_voxels import volume_array, volume_ijk_to_ras
from AcuteFindingsLib.study.dicom_pixels import padding_of_hu
from AcuteFindingsLib.study.dicom_volume import grid_notices, regridded_words
from AcuteFindingsLib.study.notice import Notice
from AcuteFindingsLib.study.slice_values import AIR_HU, padding_as_air
from AcuteFindingsLib.study.stray_slices import stray_notices

_RAS_TO_LPS = np.array([-1.0, -1.0, 1.0])


@dataclass(frozen=True)
class NodeGrid:
    """Voxels and slices, ready for a `Study`.

    Attributes
    ----------
    array
        ``(z, y, x)``: a view of the node's voxels, or a `PlacedSlices` that reads them.
    ijk_to_ras
        4×4 with axes at right angles.
    centers, k
        ``(n, 3)`` middle of each slice in RAS mm, and ``(n,)`` its place along the third index.
    headers
        In the order of the slices here.
    tilt_deg
        By how much the stack leaned; 0 where nothing was set upright.
    """

    array: Any
    ijk_to_ras: np.ndarray
    centers: np.ndarray
    k: np.ndarray
    headers: NodeHeaders
    notices: tuple[Notice, ...] = ()
    regridded: str = ""
    tilt_deg: float = 0.0


def own_grid(volume: Any, array: np.ndarray, stack: NodeStack, headers: NodeHeaders, *, windowed: bool) -> NodeGrid:
    """Return the node's own grid where its axes are upright and no transform is above it, else `grid_of`."""
    if not is_plain(volume):
        return grid_of(array, stack, headers, windowed=windowed)
    return NodeGrid(array, volume_ijk_to_ras(volume), stack.centers, np.arange(len(array), dtype=float), headers)


def grid_of(array: Any, stack: NodeStack, headers: NodeHeaders, *, windowed: bool) -> NodeGrid:
    """Place a volume's slices as the reader of DICOM places those of the files: upright, in even steps.

    Parameters
    ----------
    array
        Voxels ``(z, y, x)``, or `FileSlices`; `windowed` where they are gray levels 0..1 and not HU.
    stack
        Where they lie.
    headers
        What is known of its slices, in the order of the node.

    Raises
    ------
    StudyError
        The slices make no stack, or a grid beyond the budgets.
    """
    thicknesses = [frame.thickness_mm for frame in headers.frames.values() if frame.thickness_mm]
    plan, backward = stack.plan(thickness_mm=float(np.median(thicknesses)) if thicknesses else None)
    if np.prod(plan.shape, dtype=float) > budgets().voxels:
        raise StudyError(
            f"The slices of the volume lie so far apart or lean so far that upright they need {plan.shape} voxels; "
            "crop the volume first."
        )
    corners, centers = stack.corners, stack.centers
    if backward:
        array, corners, centers, headers = array[::-1], corners[::-1], centers[::-1], _backward(headers)
    directions = np.concatenate([plan.ijk_to_ras[:3, axis] * _RAS_TO_LPS for axis in (0, 1)])
    directions[:3] /= np.linalg.norm(directions[:3])
    directions[3:] /= np.linalg.norm(directions[3:])
    spacing = float(np.linalg.norm(stack.column)), float(np.linalg.norm(stack.row))
    is_stack = isinstance(array, np.ndarray) and not plan.is_shifted and np.array_equal(plan.k, np.arange(len(array)))
    fill = 0.0 if windowed else AIR_HU

    def clean(plane: np.ndarray) -> None:
        if not windowed and headers.first is not None:
            padding_of_hu(plane, headers.first)
        elif not windowed:
            padding_as_air(plane)

    return NodeGrid(
        array=array if is_stack else PlacedSlices(array, plan, fill=fill, clean=clean),
        ijk_to_ras=plan.ijk_to_ras,
        centers=centers,
        k=plan.k,
        headers=headers,
        notices=(
            *stray_notices(corners * _RAS_TO_LPS, directions, spacing),
            *grid_notices(plan, corners * _RAS_TO_LPS, directions),
        ),
        regridded=regridded_words(plan),
        tilt_deg=plan.tilt_deg,
    )


def voxel_grid(volume: Any) -> tuple[Any, np.ndarray]:
    """Return a volume's voxels ``(z, y, x)`` as results about it lie, and the 4×4 matrix of that grid.

    Its own, but upright where its slices are tilted or Slicer's acquisition transform spaces them.
    """
    array = volume_array(volume)
    if is_plain(volume) or transform_problem(volume):
        return array, volume_ijk_to_ras(volume)
    nothing = NodeHeaders(("",) * len(array), {}, "", "", "", from_dicom=False)
    grid = grid_of(array, stack_of(volume), nothing, windowed=False)
    return grid.array, grid.ijk_to_ras


def _backward(headers: NodeHeaders) -> NodeHeaders:
    last = len(headers.uids) - 1
    frames = {last - place: frame for place, frame in sorted(headers.frames.items(), reverse=True)}
    return replace(headers, uids=headers.uids[::-1], frames=frames)
