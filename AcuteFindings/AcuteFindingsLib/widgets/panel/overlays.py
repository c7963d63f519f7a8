"""What lies over the study in the slice views: the mask's opacity, and the heat map as foreground."""

from collections.abc import Iterator
from typing import Any

from AcuteFindingsLib.scene.picture_plan import HEATMAP_OPACITY
from AcuteFindingsLib.scene.results import SceneResult


def show_in_views(result: SceneResult) -> None:
    """Put a result's study into every slice view; the heat map over it where there is no mask."""
    if result.volume is None:
        return
    overlay = result.heatmap if result.segmentation is None else None
    for composite in _composites(result):
        composite.SetBackgroundVolumeID(result.volume.GetID())
        composite.SetForegroundVolumeID(overlay.GetID() if overlay is not None else None)
        composite.SetForegroundOpacity(HEATMAP_OPACITY if overlay is not None else 0.0)


def mask_opacity(result: SceneResult) -> float | None:
    """Return how strongly the segments are drawn, 0 to 1; None without a segmentation."""
    display = None if result.segmentation is None else result.segmentation.GetDisplayNode()
    return None if display is None else float(display.GetOpacity())


def set_mask_opacity(result: SceneResult, opacity: float) -> None:
    """Draw the segments more or less strongly."""
    if result.segmentation is not None and result.segmentation.GetDisplayNode() is not None:
        result.segmentation.GetDisplayNode().SetOpacity(opacity)


def heatmap_opacity(result: SceneResult) -> float | None:
    """Return how strongly the heat map is drawn, 0 where it is not shown; None where there is none."""
    if result.heatmap is None:
        return None
    shown = [one for one in _composites(result) if one.GetForegroundVolumeID() == result.heatmap.GetID()]
    return float(shown[0].GetForegroundOpacity()) if shown else 0.0


def set_heatmap_opacity(result: SceneResult, opacity: float) -> None:
    """Draw the heat map over the study in every slice view that shows the study."""
    if result.heatmap is None or result.volume is None:
        return
    for composite in _composites(result):
        if composite.GetBackgroundVolumeID() == result.volume.GetID():
            composite.SetForegroundVolumeID(result.heatmap.GetID())
            composite.SetForegroundOpacity(opacity)


def _composites(result: SceneResult) -> Iterator[Any]:
    scene = result.scene
    if scene is None:
        return
    for number in range(scene.GetNumberOfNodesByClass("vtkMRMLSliceCompositeNode")):
        yield scene.GetNthNodeByClass(number, "vtkMRMLSliceCompositeNode")
