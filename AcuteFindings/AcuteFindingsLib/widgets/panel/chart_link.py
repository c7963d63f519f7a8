"""The chart and the slice views move together."""

from collections.abc import Callable
from typing import Any

import qt
import slicer
import vtk

from AcuteFindingsLib.scene.cursor import add_cursor
from AcuteFindingsLib.scene.layouts import show_layout
from AcuteFindingsLib.scene.naming import slice_number
from AcuteFindingsLib.scene.navigation import current_slice, jump_to_slice, shows_slices, slices_view
from AcuteFindingsLib.scene.results import SceneResult
from AcuteFindingsLib.scene.verdict_corner import corner_text
from AcuteFindingsLib.scene.views import jump_to_finding
from AcuteFindingsLib.widgets.panel.chart_view import ChartView
from AcuteFindingsLib.widgets.panel.overlays import show_in_views
from AcuteFindingsLib.widgets.panel.shown_study import shown_study
from AcuteFindingsLib.widgets.panel.view_fit import ViewFit


class ChartLink:
    """Links one result's chart with the slice views for as long as it is open.

    A click in the chart moves the slice views to the slice there; a slice view that is moved takes the chart's cursor
    along. Without a main window there are no views: then nothing is linked.

    Parameters
    ----------
    result
        The result that is shown.
    on_slice
        Called with a slice's index whenever the views come to show another slice.
    arrange
        Whether to show the detector's layout and the study in the views; False leaves the views as they are, for
        example because a scene that was just loaded brought them.
    """

    def __init__(
        self, result: SceneResult, *, on_slice: Callable[[int], Any] | None = None, arrange: bool = True
    ) -> None:
        self.result = result
        self.current: int | None = None
        self._on_slice = on_slice
        self._chart_view: ChartView | None = None
        self._watched: list[tuple[Any, int]] = []
        self._scene: Any = None
        self._corner: Any = None
        self._corner_logic: Any = None
        self._corner_tag: int | None = None
        self._corner_timer = qt.QTimer()
        self._corner_timer.setSingleShot(True)
        self._corner_timer.connect("timeout()", self._write_verdict)
        self._fit: ViewFit | None = None
        self._cursor = add_cursor(result) if result.chart is not None else None
        self._numbers = {item.index: slice_number(item) for item in result.finding.slices}
        manager = slicer.app.layoutManager()
        self._scene = result.scene
        if manager is None or self._scene is None:
            return
        if arrange:
            show_layout(result.scene, result.finding.detector)
            show_in_views(result)
            jump_to_finding(result)
            self._fit = ViewFit(manager)
        self._open_chart(manager)
        self._watch_slices()
        self.mark_corner()

    @property
    def linked(self) -> bool:
        """Whether there are views to move together."""
        return bool(self._watched)

    def close(self) -> None:
        """Let go of every view and node; again is no harm."""
        if self._chart_view is not None:
            self._chart_view.close()
            self._chart_view = None
        for node, tag in self._watched:
            node.RemoveObserver(tag)
        self._watched = []
        if self._fit is not None:
            self._fit.stop()
        self._corner_timer.stop()
        self._leave_corner()

    def _open_chart(self, manager: Any) -> None:
        if self.result.chart is None or manager.plotViewCount == 0:
            return
        self._chart_view = ChartView(manager.plotWidget(0), self.result.chart, on_click=self._on_chart_clicked)

    def _watch_slices(self) -> None:
        nodes = slicer.util.getNodesByClass("vtkMRMLSliceNode", self._scene)
        self._watched = [(node, node.AddObserver(vtk.vtkCommand.ModifiedEvent, self._on_slice_moved)) for node in nodes]
        if nodes:
            self._follow(slices_view(self.result, nodes))

    def mark_corner(self) -> None:
        """Write the verdict into a corner of the main slice view, and into no other; nowhere over another image."""
        manager, shown = slicer.app.layoutManager(), shown_study()
        main = shown.main_view()
        widget = None
        if manager is not None and main is not None and shown.shows(self.result.volume):
            widget = manager.sliceWidget(main.node.GetLayoutName())
        view = None if widget is None else widget.sliceView()
        if view is not self._corner:
            self._leave_corner()
            self._corner = view
            if widget is not None:
                # Slicer's Data Probe writes all corners anew then (SliceViewAnnotations); the verdict comes after.
                self._corner_logic = widget.sliceLogic()
                self._corner_tag = self._corner_logic.AddObserver(
                    vtk.vtkCommand.ModifiedEvent, lambda *_event: self._corner_timer.start(0)
                )
        self._write_verdict()

    def _leave_corner(self) -> None:
        self._write_corner("")
        if self._corner_logic is not None:
            self._corner_logic.RemoveObserver(self._corner_tag)
        self._corner = self._corner_logic = None

    def _write_corner(self, text: str) -> None:
        if self._corner is None:
            return
        corner = self._corner.cornerAnnotation()
        if corner.GetText(vtk.vtkCornerAnnotation.UpperRight) != text:
            corner.SetText(vtk.vtkCornerAnnotation.UpperRight, text)
            self._corner.scheduleRender()

    def _on_slice_moved(self, slice_node: Any, _event: str) -> None:
        if not shows_slices(self.result, slice_node):
            return
        self._follow(slice_node)
        self._corner_timer.start(0)

    def _write_verdict(self) -> None:
        if self._corner is not None:
            self._write_corner(corner_text(self.result.finding, width=self._corner.width))

    def _follow(self, slice_node: Any) -> None:
        if self.result.scene is None or not self.result.finding.slices:
            return
        if not shown_study().shows(self.result.volume):
            return
        index = current_slice(self.result, slice_node)
        if index == self.current:
            return
        self.current = index
        if self._cursor is not None:
            self._cursor.move_to(self._numbers[index])
        if self._on_slice is not None:
            self._on_slice(index)

    def _on_chart_clicked(self, number: float) -> None:
        if self.result.scene is not None:
            jump_to_slice(self.result, min(self._numbers, key=lambda index: abs(self._numbers[index] - number)))
