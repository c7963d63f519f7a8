"""The chart of a finding, drawn off screen from the very nodes that Slicer's plot view shows.

Slicer's plot view is a Qt widget and is not part of the wheel; it draws with VTK's `vtkChartXY`, and so does this, by
the same properties of the same nodes.
"""

from typing import Any

from AcuteFindingsLib.scene.application import load_slicer
from AcuteFindingsLib.scene.nodes import FindingNodes
from AcuteFindingsLib.scene.offscreen import new_window
from AcuteFindingsLib.scene.slice_picture import pixels

WIDTH, HEIGHT = 1000, 560
MARGIN = 10


def draw_chart(nodes: FindingNodes, note: str) -> Any:
    """Draw a finding's chart, with a note at the lower right; return its pixels (`vtkImageData`).

    Raises
    ------
    SceneError
        When nothing can be drawn off screen on this machine.
    """
    _, vtk = load_slicer()
    assert nodes.chart is not None, "a single image has no chart"
    chart = vtk.vtkChartXY()
    chart.SetBarWidthFraction(1.0)
    chart.SetAutoSize(False)
    chart.SetSize(vtk.vtkRectf(MARGIN, MARGIN, WIDTH - 3 * MARGIN, HEIGHT - 2 * MARGIN))
    series_nodes = nodes.chart.series.values()
    for series in series_nodes:
        _add_plot(chart, series)
    _dress(chart, nodes.chart.chart, nodes.table)

    # Not vtkContextView: it makes a window of its own first, which complains where there is no display.
    window = new_window(WIDTH, HEIGHT)
    renderer = vtk.vtkRenderer()
    renderer.SetBackground(1.0, 1.0, 1.0)
    window.AddRenderer(renderer)
    actor = vtk.vtkContextActor()
    actor.GetScene().AddItem(chart)
    actor.GetScene().SetRenderer(renderer)
    renderer.AddActor(actor)
    text = vtk.vtkTextActor()
    text.SetInput(note)
    text.SetPosition(WIDTH - 12, 8)
    look = text.GetTextProperty()
    look.SetFontFamilyToArial()
    look.SetFontSize(12)
    look.SetColor(0.4, 0.4, 0.4)
    look.SetJustificationToRight()
    renderer.AddViewProp(text)
    window.Render()
    drawn = pixels(window)
    window.Finalize()
    return drawn


def _add_plot(chart: Any, series: Any) -> None:
    slicer, vtk = load_slicer()
    kinds = slicer.vtkMRMLPlotSeriesNode
    bars = series.GetPlotType() in (kinds.PlotTypeBar, kinds.PlotTypeScatterBar)
    plot = chart.AddPlot(vtk.vtkChart.BAR if bars else vtk.vtkChart.LINE)
    plot.SetInputData(series.GetTableNode().GetTable(), series.GetXColumnName(), series.GetYColumnName())
    plot.SetLabel(series.GetName())
    plot.SetWidth(series.GetLineWidth())
    plot.SetColorF(*series.GetColor())
    plot.SetOpacity(series.GetOpacity())
    plot.GetPen().SetOpacityF(0.0 if bars else series.GetOpacity())
    if not bars:
        dashes = {kinds.LineStyleDash: vtk.vtkPen.DASH_LINE, kinds.LineStyleNone: vtk.vtkPen.NO_PEN}
        plot.GetPen().SetLineType(dashes.get(series.GetLineStyle(), vtk.vtkPen.SOLID_LINE))
        circle = series.GetMarkerStyle() == kinds.MarkerStyleCircle
        plot.SetMarkerStyle(vtk.vtkPlotLine.CIRCLE if circle else vtk.vtkPlotLine.NONE)
        plot.SetMarkerSize(series.GetMarkerSize())


def _dress(chart: Any, node: Any, table: Any) -> None:
    _, vtk = load_slicer()
    chart.SetTitle(node.GetTitle())
    chart.GetTitleProperties().SetFontSize(16)
    chart.GetTitleProperties().SetBold(True)
    chart.SetShowLegend(True)
    chart.GetLegend().SetHorizontalAlignment(vtk.vtkChartLegend.RIGHT)
    chart.GetLegend().SetVerticalAlignment(vtk.vtkChartLegend.TOP)
    chart.GetLegend().GetLabelProperties().SetFontSize(14)
    left, bottom = chart.GetAxis(vtk.vtkAxis.LEFT), chart.GetAxis(vtk.vtkAxis.BOTTOM)
    left.SetTitle(node.GetYAxisTitle())
    bottom.SetTitle(node.GetXAxisTitle())
    left.SetBehavior(vtk.vtkAxis.FIXED)
    left.SetRange(*node.GetYAxisRange())
    bottom.SetBehavior(vtk.vtkAxis.FIXED)
    bottom.SetRange(0.5, table.GetNumberOfRows() + 0.5)
    bottom.SetNotation(vtk.vtkAxis.FIXED_NOTATION)
    bottom.SetPrecision(0)
    for axis in (left, bottom):
        axis.GetTitleProperties().SetFontSize(16)
        axis.GetTitleProperties().SetBold(False)
        axis.GetLabelProperties().SetFontSize(13)
        axis.GetGridPen().SetColorF(0.9, 0.9, 0.9)
