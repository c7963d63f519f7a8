"""The chart and the slice views move together."""

from collections.abc import Callable
from typing import Any

import qt
import slicer
import vtk

from AcuteFindingsLib.scene.cursor import add_cursor
from AcuteFindingsLib.scene.layouts import show_layout
from AcuteFindingsLib.scene.naming import slice_number
from AcuteFindingsLib.scene.navigation import current_slice, jump_to_slice
from AcuteFindingsLib.scene.results import SceneResult
from AcuteFindingsLib.scene.verdict_corner import corner_text
from AcuteFindingsLib.widgets.chart_view import ChartView
from AcuteFindingsLib.widgets.overlays import show_in_views


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
        self._slice_node: Any = None
        self._tag: int | None = None
        self._scene: Any = None
        self._corners: list[Any] = []
        self._cursor = add_cursor(result) if result.chart is not None else None
        self._numbers = {item.index: slice_number(item) for item in result.finding.slices}
        manager = slicer.app.layoutManager()
        self._scene = result.scene
        if manager is None or self._scene is None:
            return
        if arrange:
            show_layout(result.scene, result.finding.detector)
            show_in_views(result)
        self._open_chart(manager)
        self._watch_slices()
        self._mark_corners(manager)

    @property
    def linked(self) -> bool:
        """Whether there are views to move together."""
        return self._slice_node is not None

    def close(self) -> None:
        """Let go of every view and node; again is no harm."""
        if self._chart_view is not None:
            self._chart_view.close()
            self._chart_view = None
        if self._slice_node is not None:
            self._slice_node.RemoveObserver(self._tag)
            self._slice_node = None
        for view in self._corners:
            view.cornerAnnotation().SetText(vtk.vtkCornerAnnotation.UpperRight, "")
            view.scheduleRender()
        self._corners = []

    def _open_chart(self, manager: Any) -> None:
        if self.result.chart is None or manager.plotViewCount == 0:
            return
        self._chart_view = ChartView(manager.plotWidget(0), self.result.chart, on_click=self._on_chart_clicked)

    def _watch_slices(self) -> None:
        self._slice_node = self._scene.GetSingletonNode("Red", "vtkMRMLSliceNode")
        if self._slice_node is None:
            return
        self._tag = self._slice_node.AddObserver(vtk.vtkCommand.ModifiedEvent, self._on_slice_moved)
        self._follow()

    def _mark_corners(self, manager: Any) -> None:
        for name in manager.sliceViewNames():
            self._corners.append(manager.sliceWidget(name).sliceView())
        self._write_corners()

    def _write_corners(self) -> None:
        text = corner_text(self.result.finding)
        for view in self._corners:
            corner = view.cornerAnnotation()
            if corner.GetText(vtk.vtkCornerAnnotation.UpperRight) != text:
                corner.SetText(vtk.vtkCornerAnnotation.UpperRight, text)
                view.scheduleRender()

    def _on_slice_moved(self, _caller: Any, _event: str) -> None:
        self._follow()
        # Slicer writes its own corner texts whenever a view moves, after this; the verdict is put back once it is done.
        qt.QTimer.singleShot(0, self._write_corners)

    def _follow(self) -> None:
        if self.result.scene is None or not self.result.finding.slices:
            return
        index = current_slice(self.result, self._slice_node)
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
