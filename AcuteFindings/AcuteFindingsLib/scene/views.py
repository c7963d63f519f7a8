"""What the slice and chart views of a scene show: the study, the finding on top, the most suspicious slice."""

from typing import Any

import numpy as np

from AcuteFindingsLib.detectors.finding import Finding
from AcuteFindingsLib.scene.application import application_logic, load_slicer
from AcuteFindingsLib.scene.nodes import POINT, FindingNodes
from AcuteFindingsLib.scene.picture_plan import HEATMAP_OPACITY, main_plane, suspicious_point
from AcuteFindingsLib.scene.results import SceneResult
from AcuteFindingsLib.study.study import Study

VIEWS = {"Red": "Axial", "Yellow": "Sagittal", "Green": "Coronal"}
"""Slicer's three standard slice views and their planes."""


def arrange_views(nodes: FindingNodes, finding: Finding, study: Study) -> None:
    """Make a scene open on the finding.

    The three slice views show the volume, with the heat map over it where there is one and no mask, and are moved to
    the most suspicious point; the chart is in the plot view; the layout has one large slice view for a single image and
    slice views with the chart for a stack.

    Raises
    ------
    SceneError
        When Slicer's libraries are not installed.
    """
    slicer, _ = load_slicer()
    scene = nodes.scene
    _set_layout(nodes)
    logic = application_logic(scene)
    point = suspicious_point(finding, study)
    overlay = nodes.heatmap if nodes.segmentation is None else None
    for name, plane in VIEWS.items():
        slice_logic = slicer.vtkMRMLSliceLogic()
        slice_logic.SetMRMLApplicationLogic(logic)
        slice_logic.SetMRMLScene(scene)
        node = scene.GetSingletonNode(name, "vtkMRMLSliceNode")
        slice_logic.SetSliceNode(node)
        show_layers(slice_logic, nodes.volume, overlay)
        node.SetOrientation(main_plane(study) if study.array.shape[0] == 1 else plane)
        slice_logic.FitSliceToBackground()
        node.JumpSliceByOffsetting(*point)
        release(slice_logic)


def show_layers(slice_logic: Any, volume: Any, overlay: Any | None, *, opacity: float = HEATMAP_OPACITY) -> None:
    """Show a volume in a slice view, and another over it."""
    composite = slice_logic.GetSliceCompositeNode()
    composite.SetBackgroundVolumeID(volume.GetID())
    composite.SetForegroundVolumeID(overlay.GetID() if overlay is not None else None)
    composite.SetForegroundOpacity(opacity if overlay is not None else 0.0)


def release(slice_logic: Any) -> None:
    """Take a slice logic off its scene, with the model of the slice that it made there for 3D views."""
    scene = slice_logic.GetMRMLScene()
    made = (
        slice_logic.GetSliceModelNode(),
        slice_logic.GetSliceModelDisplayNode(),
        slice_logic.GetSliceModelTransformNode(),
    )
    slice_logic.SetMRMLScene(None)
    for node in made:
        if node is not None:
            scene.RemoveNode(node)


def jump_to(scene: Any, position_ras: tuple[float, float, float] | np.ndarray) -> None:
    """Move every slice view of a scene to a point in the patient (RAS, mm)."""
    slicer, _ = load_slicer()
    slicer.vtkMRMLSliceNode.JumpAllSlices(scene, *(float(value) for value in position_ras))


def jump_to_finding(result: SceneResult) -> None:
    """Move every slice view to the point that a result is seen at; nothing where its scene does not say it."""
    try:
        right, anterior, superior = (float(value) for value in (result.text.GetAttribute(POINT) or "").split())
    except ValueError:
        return
    jump_to(result.scene, (right, anterior, superior))


def show_in_window(volume: Any, finding: Finding) -> None:
    """Show a volume in the finding's window and level; one whose values are no HU is left as it is."""
    level, width = finding.display_window
    display = volume.GetDisplayNode()
    if width > 1 and display is not None:
        display.SetAutoWindowLevel(False)
        display.SetWindowLevel(width, level)


def fit_to_study(slice_logic: Any) -> None:
    """Fit a slice view to all that it shows; it stays on its slice."""
    node = slice_logic.GetSliceNode()
    offset = node.GetSliceOffset()
    quiet = node.StartModify()
    slice_logic.FitSliceToAll()
    node.SetSliceOffset(offset)
    node.EndModify(quiet)


def _set_layout(nodes: FindingNodes) -> None:
    slicer, _ = load_slicer()
    # The logic makes the layout node under the tag by which Slicer knows it, with the views of the chosen layout.
    logic = slicer.vtkMRMLLayoutLogic()
    logic.SetMRMLScene(nodes.scene)
    layout = logic.GetLayoutNode()
    if nodes.chart is None:
        layout.SetViewArrangement(layout.SlicerLayoutOneUpRedSliceView)
    else:
        layout.SetViewArrangement(layout.SlicerLayoutFourUpPlotView)
        chart = nodes.chart.chart.GetID()
        nodes.scene.GetFirstNodeByClass("vtkMRMLSelectionNode").SetActivePlotChartID(chart)
        nodes.scene.GetFirstNodeByClass("vtkMRMLPlotViewNode").SetPlotChartNodeID(chart)
    logic.SetMRMLScene(None)
