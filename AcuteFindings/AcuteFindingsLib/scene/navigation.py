"""From a point in the patient to a slice of a result, and from a slice to the views."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from AcuteFindingsLib.scene.results import SceneResult

# Cosine of the angle within which a view shows the slices, and not what lies across them: of three views at right
# angles at least one lies within 55 degrees, and a gantry tilts up to 30.
_ALONG = float(np.cos(np.deg2rad(60.0)))

Vector = tuple[float, float, float]


def slice_normal(result: SceneResult) -> np.ndarray:
    """Return the unit vector (RAS) along which the result's slices follow one another.

    It is the axis of the study's grid nearest to the line through the slices' centers: that line itself leans where the
    gantry was tilted, and results on rebuilt axial planes run along another axis than the grid's third.
    """
    finding = result.finding
    axes = np.asarray(finding.ijk_to_ras, float)[:3, :3]
    axes = axes / np.linalg.norm(axes, axis=0)
    if len(finding.slices) < 2:
        return axes[:, 2]
    line = np.subtract(finding.slices[-1].position_ras, finding.slices[0].position_ras)
    along = line @ axes
    axis = int(np.argmax(np.abs(along)))
    return axes[:, axis] * (1.0 if along[axis] >= 0 else -1.0)


def slice_at(result: SceneResult, position_ras: Vector | np.ndarray, normal: Vector | np.ndarray | None = None) -> int:
    """Return the index of the slice nearest to a point (RAS, mm), measured along the slices' normal.

    Beyond the first and the last slice it is that slice. `normal` is by default `slice_normal`.
    """
    direction = slice_normal(result) if normal is None else np.asarray(normal, float)
    centers = np.array([item.position_ras for item in result.finding.slices])
    distances = np.abs((centers - np.asarray(position_ras, float)) @ direction)
    return result.finding.slices[int(np.argmin(distances))].index


def shows_slices(result: SceneResult, slice_node: Any) -> bool:
    """Whether a slice view looks along the result's slices, be it turned to the volume's own planes; else across."""
    return abs(float(_view_normal(slice_node) @ slice_normal(result))) >= _ALONG


def slices_view(result: SceneResult, slice_nodes: Sequence[Any]) -> Any:
    """Return the slice view that looks most straight along the result's slices; of equal ones the first."""
    normal = slice_normal(result)
    return max(slice_nodes, key=lambda node: round(abs(float(_view_normal(node) @ normal)), 6))


def current_slice(result: SceneResult, slice_node: Any) -> int:
    """Return the index of the slice nearest to the plane of a slice view, measured along the view's own normal.

    In a view across the slices it is the slice at its middle.
    """
    normal = _view_normal(slice_node) if shows_slices(result, slice_node) else None
    return slice_at(result, _middle(slice_node), normal)


def next_positive(result: SceneResult, current: int, direction: int) -> int | None:
    """Return the nearest slice after (`direction` 1) or before (-1) `current` that reaches the slice threshold.

    None where there is none.
    """
    finding = result.finding
    positive = [
        item.index for item in finding.slices if item.probabilities[finding.main_label] >= finding.slice_threshold
    ]
    beyond = [index for index in positive if (index - current) * direction > 0]
    return min(beyond, key=lambda index: abs(index - current)) if beyond else None


def jump_to_slice(result: SceneResult, index: int) -> None:
    """Move the slice views of the result's scene onto a slice.

    A view along the slices comes to lie through the slice's center; a view across them keeps its place. Does nothing
    for an index that the result does not have.
    """
    scene = result.scene
    center = next((item.position_ras for item in result.finding.slices if item.index == index), None)
    if scene is None or center is None:
        return
    for number in range(scene.GetNumberOfNodesByClass("vtkMRMLSliceNode")):
        node = scene.GetNthNodeByClass(number, "vtkMRMLSliceNode")
        if shows_slices(result, node):
            node.JumpSliceByOffsetting(*(float(value) for value in center))


def _view_normal(slice_node: Any) -> np.ndarray:
    matrix = slice_node.GetSliceToRAS()
    normal = np.array([matrix.GetElement(row, 2) for row in range(3)])
    return np.asarray(normal / np.linalg.norm(normal))


def _middle(slice_node: Any) -> np.ndarray:
    """Return the center of a slice view, RAS, mm."""
    matrix = slice_node.GetSliceToRAS()
    return np.array([matrix.GetElement(row, 3) for row in range(3)])
