"""A result's chart in the application's plot view: its look beyond what nodes hold, and clicks that choose a slice."""

from collections.abc import Callable
from typing import Any

import vtk

_CLICK_PIXELS = 4
"""A pointer that moved further between press and release was dragging the chart."""
_BEFORE, _AFTER = 1.0, -1.0
"""Priorities of observers around the chart's own, which is 0."""

_SLICER_BAR_SHARE, _BAND = 0.8, 1.0
"""Share of a slice's width that its bar covers: VTK's own, which Slicer keeps, and bars that make one band."""
_SLICER_PADDING, _PADDING = 5, 2
"""Pixels between the rows of a legend: VTK's own, and few enough for nine rows in a chart of 140 pixels."""


class ChartView:
    """Shows a chart in a plot view for as long as it is open.

    A click anywhere between the ends of the axis of slices is about the slice below the pointer. VTK's own selection
    is not asked: it stays from one click to the next, and a click beside every point may select nothing or the same.

    Parameters
    ----------
    widget
        The `qMRMLPlotWidget`.
    chart
        The `vtkMRMLPlotChartNode`.
    on_click
        Called with the value below the pointer on the axis of slices.
    """

    def __init__(self, widget: Any, chart: Any, *, on_click: Callable[[float], Any]) -> None:
        self._view = widget.plotView()
        self._on_click = on_click
        self._pressed: tuple[int, int] | None = None
        node = widget.mrmlPlotViewNode()
        self._dress(inline=False, bars=_BAND, padding=_PADDING)
        node.SetPlotChartNodeID(chart.GetID())
        # A drag moves the chart and the wheel zooms, as in Slicer; scenes of earlier versions selected points.
        node.SetInteractionMode(node.InteractionModePanView)
        self._interactor = self._view.renderWindow().GetInteractor()
        self._tags = [
            self._interactor.AddObserver(vtk.vtkCommand.LeftButtonPressEvent, self._on_press, _BEFORE),
            self._interactor.AddObserver(vtk.vtkCommand.LeftButtonReleaseEvent, self._on_release, _AFTER),
        ]

    def close(self) -> None:
        """Leave the plot view as other charts expect it."""
        for tag in self._tags:
            self._interactor.RemoveObserver(tag)
        self._tags = []
        self._dress(inline=True, bars=_SLICER_BAR_SHARE, padding=_SLICER_PADDING)

    def _dress(self, *, inline: bool, bars: float, padding: int) -> None:
        """Put the legend beside the curves instead of over them, and let bars touch; nodes say nothing of either."""
        chart = self._view.chart()
        chart.GetLegend().SetInline(inline)
        chart.GetLegend().SetPadding(padding)
        chart.SetBarWidthFraction(bars)
        self._view.scene().SetDirty(True)

    def _on_press(self, interactor: Any, _event: str) -> None:
        self._pressed = interactor.GetEventPosition()

    def _on_release(self, interactor: Any, _event: str) -> None:
        pressed, self._pressed = self._pressed, None
        here = interactor.GetEventPosition()
        if pressed is None or max(abs(a - b) for a, b in zip(pressed, here, strict=True)) > _CLICK_PIXELS:
            return
        self._view.RemovePlotSelections()
        value = self._value_at(here[0])
        if value is not None:
            self._on_click(value)

    def _value_at(self, pixel: int) -> float | None:
        """Return the value on the axis of slices below a pixel; None beside the axis."""
        axis = self._view.chart().GetAxis(vtk.vtkAxis.BOTTOM)
        first, last = axis.GetPoint1()[0], axis.GetPoint2()[0]
        if last <= first or not first <= pixel <= last:
            return None
        low, high = axis.GetUnscaledMinimum(), axis.GetUnscaledMaximum()
        return low + (pixel - first) / (last - first) * (high - low)
