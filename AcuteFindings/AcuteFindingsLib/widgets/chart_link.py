"""The chart and the slice views move together."""

from collections.abc import Callable
from typing import Any

import qt
import slicer
import vtk

from AcuteFindingsLib.scene.chart_nodes import SLICE
from AcuteFindingsLib.scene.cursor import add_cursor
from AcuteFindingsLib.scene.layouts import show_layout
from AcuteFindingsLib.scene.naming import slice_number
from AcuteFindingsLib.scene.navigation import current_slice, jump_to_slice
from AcuteFindingsLib.scene.results import SceneResult
from AcuteFindingsLib.scene.verdict_corner import corner_text
from AcuteFindingsLib.widgets.overlays import show_in_views

SELECTED = "dataSelected(vtkStringArray*,vtkCollection*)"


class ChartLink:
    """Links one result's chart with the slice views for as long as it is open.

    A point chosen in the chart moves the slice views to its slice; a slice view that is moved takes the chart's cursor
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
        self._plot_view: Any = None
        # Kept, because what is disconnected has to be the very object that was connected.
        self._slot = self._on_selected
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
        if self._plot_view is not None:
            self._plot_view.disconnect(SELECTED, self._slot)
            self._plot_view = None
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
        widget = manager.plotWidget(0)
        node = widget.mrmlPlotViewNode()
        node.SetPlotChartNodeID(self.result.chart.GetID())
        # Only in this mode does a click select the point under it.
        node.SetInteractionMode(node.InteractionModeSelectPoints)
        self._plot_view = widget.plotView()
        self._plot_view.connect(SELECTED, self._slot)

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

    def _on_selected(self, series_ids: Any, selections: Any) -> None:
        if self._plot_view is None or self.result.scene is None:
            return
        chosen = selections.GetNumberOfItems() > 0
        index = self._selected_slice(series_ids, selections) if chosen else self._slice_under_pointer()
        if index is not None:
            jump_to_slice(self.result, index)

    def _selected_slice(self, series_ids: Any, selections: Any) -> int | None:
        """Return the slice of the first selected point that belongs to the result's table, not to the cursor's."""
        for number in range(min(series_ids.GetNumberOfValues(), selections.GetNumberOfItems())):
            series = self._scene.GetNodeByID(series_ids.GetValue(number))
            points = selections.GetItemAsObject(number)
            if series is None or series.GetTableNode() is not self.result.table or not points.GetNumberOfValues():
                continue
            number_there = self.result.table.GetTable().GetValueByName(points.GetValue(0), SLICE).ToInt()
            return next((index for index, known in self._numbers.items() if known == number_there), None)
        return None

    def _slice_under_pointer(self) -> int | None:
        """Return the slice below the pointer: a click beside every point selects none, but means a slice."""
        axis = self._plot_view.chart().GetAxis(vtk.vtkAxis.BOTTOM)
        interactor = self._plot_view.renderWindow().GetInteractor()
        first, last = axis.GetPoint1()[0], axis.GetPoint2()[0]
        if interactor is None or last <= first:
            return None
        share = (interactor.GetEventPosition()[0] - first) / (last - first)
        if not 0 <= share <= 1:
            return None
        low, high = axis.GetUnscaledMinimum(), axis.GetUnscaledMaximum()
        wanted = low + share * (high - low)
        return min(self._numbers, key=lambda index: abs(self._numbers[index] - wanted))
