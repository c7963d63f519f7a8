"""One genuine Slicer slice view, drawn off screen."""

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from AcuteFindingsLib.detectors.finding import Finding
from AcuteFindingsLib.scene.application import application_logic, load_slicer
from AcuteFindingsLib.scene.naming import title_lines
from AcuteFindingsLib.scene.nodes import FindingNodes
from AcuteFindingsLib.scene.offscreen import new_window
from AcuteFindingsLib.scene.overlay_text import (
    OverlayText,
    legend_of,
    letters_at_edges,
    note_lines,
    wanted_letters,
)
from AcuteFindingsLib.scene.picture_plan import PNG_LEVEL, PlannedPicture
from AcuteFindingsLib.scene.views import release, show_layers

SIZE = 800
FIELD = 1.08
"""Share of the volume's extent that the view shows: a margin for the letters."""
VIEW_NAME = "AcuteFindingsPicture"

_DISPLAYABLE_MANAGERS = (
    "vtkMRMLModelSliceDisplayableManager",
    "vtkMRMLRulerDisplayableManager",
    "vtkMRMLSegmentationsDisplayableManager2D",
)


class SliceView:
    """A slice view of `SIZE` × `SIZE` pixels with Slicer's slice logic and displayable managers, and no application.

    Made by `open_slice_view`.
    """

    def __init__(self, nodes: FindingNodes) -> None:
        """Add the view's nodes to the scene and make its window."""
        slicer, vtk = load_slicer()
        self._nodes = nodes
        self._window = new_window(SIZE, SIZE)
        # As in the application: the image in one layer, all that lies over it in another; in a single layer the image
        # would be drawn where no overlay is, not beneath it.
        image_renderer, self._renderer = vtk.vtkRenderer(), vtk.vtkRenderer()
        self._window.SetNumberOfLayers(2)
        for layer, renderer in enumerate((image_renderer, self._renderer)):
            renderer.SetLayer(layer)
            renderer.GetActiveCamera().ParallelProjectionOn()
            self._window.AddRenderer(renderer)
        # Some displayable managers ask the window for its interactor; the generic one needs no X11 library.
        self._interactor = vtk.vtkGenericRenderWindowInteractor()
        self._interactor.SetRenderWindow(self._window)

        self._application = application_logic(nodes.scene)
        factory = slicer.vtkMRMLSliceViewDisplayableManagerFactory.GetInstance()
        factory.SetMRMLApplicationLogic(self._application)
        for name in _DISPLAYABLE_MANAGERS:
            if not factory.IsDisplayableManagerRegistered(name):
                factory.RegisterDisplayableManager(name)
        self._managers = slicer.vtkMRMLDisplayableManagerGroup()
        self._managers.SetRenderer(self._renderer)
        self._managers.Initialize(factory, self._renderer)

        self._logic = slicer.vtkMRMLSliceLogic()
        self._logic.SetMRMLApplicationLogic(self._application)
        self._logic.SetMRMLScene(nodes.scene)
        self.node = self._logic.AddSliceNode(VIEW_NAME)
        self._managers.SetMRMLDisplayableNode(self.node)
        self._logic.ResizeSliceNode(SIZE, SIZE)
        self._image = vtk.vtkImageMapper()
        self._image.SetColorWindow(255)
        self._image.SetColorLevel(127.5)
        actor = vtk.vtkActor2D()
        actor.SetMapper(self._image)
        actor.GetProperty().SetDisplayLocationToBackground()
        image_renderer.AddViewProp(actor)
        self._text = OverlayText(self._renderer, SIZE, SIZE)

    def draw(self, plan: PlannedPicture, finding: Finding) -> Any:
        """Draw a planned slice, reformat or image; return its pixels (`vtkImageData`)."""
        nodes = self._nodes
        self.node.SetRulerType(self.node.RulerTypeThin if plan.ruler else self.node.RulerTypeNone)
        show_layers(self._logic, nodes.volume, nodes.heatmap if plan.heatmap else None)
        self.node.SetOrientation(plan.plane)
        self.node.RotateToVolumePlane(nodes.volume)
        self._logic.FitSliceToBackground()
        across, up, depth = self.node.GetFieldOfView()
        self.node.SetFieldOfView(across * FIELD, up * FIELD, depth)
        self.node.JumpSliceByOffsetting(*plan.position_ras)
        if nodes.segmentation is not None:
            display = nodes.segmentation.GetDisplayNode()
            display.SetVisibility(plan.masks != "none")
            display.SetVisibility2DFill(plan.masks == "filled")
        self._image.SetInputConnection(self._logic.GetImageDataConnection())
        self._annotate(plan, finding)
        self._window.Render()
        return pixels(self._window)

    def pixel_of(self, position_ras: tuple[float, float, float]) -> tuple[float, float]:
        """Return where a point of the patient lies in the picture: column and row in pixels from the upper left."""
        _, vtk = load_slicer()
        to_xy = vtk.vtkMatrix4x4()
        vtk.vtkMatrix4x4.Invert(self.node.GetXYToRAS(), to_xy)
        x, y, *_ = to_xy.MultiplyPoint((*position_ras, 1.0))
        return x, SIZE - 1 - y

    def close(self) -> None:
        """Take the view out of the scene again."""
        self._managers.SetMRMLDisplayableNode(None)
        scene, composite = self._nodes.scene, self._logic.GetSliceCompositeNode()
        release(self._logic)
        for node in (composite, self.node):
            if node is not None:
                scene.RemoveNode(node)
        self._window.Finalize()

    def _annotate(self, plan: PlannedPicture, finding: Finding) -> None:
        text = self._text
        text.clear()
        text.add_title(finding.verdict.label, title_lines(plan.title))
        text.add_upper_right(plan.place)
        text.add_lower_left(note_lines(plan, finding))
        text.add_legend(legend_of(plan, finding))
        axes = self.node.GetSliceToRAS()
        across = np.array([axes.GetElement(row, 0) for row in range(3)])
        up = np.array([axes.GetElement(row, 1) for row in range(3)])
        text.add_edges(wanted_letters(plan, letters_at_edges(across, up)))


@contextmanager
def open_slice_view(nodes: FindingNodes) -> Iterator[SliceView]:
    """Open a slice view on a finding's scene; the scene is as before when the block ends.

    The view shows every visible segmentation of the scene, as Slicer's own do: give a finding whose pictures are wanted
    a scene of its own.

    Raises
    ------
    SceneError
        When nothing can be drawn off screen on this machine.
    """
    display = nodes.segmentation.GetDisplayNode() if nodes.segmentation is not None else None
    before = (display.GetVisibility(), display.GetVisibility2DFill()) if display is not None else None
    view = SliceView(nodes)
    try:
        yield view
    finally:
        view.close()
        if display is not None and before is not None:
            display.SetVisibility(before[0])
            display.SetVisibility2DFill(before[1])


def pixels(window: Any) -> Any:
    """Return what a render window shows (`vtkImageData`)."""
    _, vtk = load_slicer()
    grab = vtk.vtkWindowToImageFilter()
    grab.SetInput(window)
    grab.ReadFrontBufferOff()
    grab.ShouldRerenderOff()
    grab.Update()
    return grab.GetOutput()


def write_png(image: Any, path: Path) -> None:
    """Write pixels; other threads may draw meanwhile."""
    _, vtk = load_slicer()
    writer = vtk.vtkPNGWriter()
    writer.SetCompressionLevel(PNG_LEVEL)
    writer.SetInputData(image)
    writer.SetFileName(str(path))
    writer.Write()
    if writer.GetErrorCode():
        raise OSError(errno.ENOSPC, "the picture could not be written; is the disk full?", path.name)
