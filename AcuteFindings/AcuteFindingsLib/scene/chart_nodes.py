"""A finding's slices as one table node, and plot series and a chart that draw from it."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from AcuteFindingsLib.detectors.finding import Finding
from AcuteFindingsLib.scene.application import load_slicer
from AcuteFindingsLib.scene.naming import chart_title, label_words, slice_number

SLICE = "Slice"
POSITION = ("R (mm)", "A (mm)", "S (mm)")
THRESHOLD = "Threshold"
POSITIVE = "Positive"
RUN = "Positive run"
INSTANCE = "SOP Instance UID"

# Told apart also by people who do not see red and green apart (Okabe and Ito, "Color Universal Design", 2008).
LINE_COLORS = (
    (0.0, 0.45, 0.7),
    (0.0, 0.62, 0.45),
    (0.8, 0.47, 0.65),
    (0.34, 0.71, 0.91),
    (0.9, 0.62, 0.0),
    (0.4, 0.4, 0.4),
)
THRESHOLD_COLOR = (0.84, 0.37, 0.0)
RUN_COLOR = (1.0, 0.9, 0.7)
MOST_MARKERS = 80
"""Above so many slices markers run into one another."""


@dataclass(frozen=True)
class ChartNodes:
    """The chart node, and its series nodes by role: ``"series:LABEL"``, ``"threshold"``, ``"run"`` where any."""

    chart: Any
    series: dict[str, Any]


def add_table(scene: Any, finding: Finding, name: str) -> Any:
    """Add a table node with a row a source slice.

    Columns: the slice's number (from 1), its center in R, A and S (mm), a probability a label under the label's name,
    the threshold, whether the slice's main probability reaches it and whether the slice is part of a positive run (both
    0 or 1), and the SOP Instance UID.
    """
    _, vtk = load_slicer()
    results = finding.slices
    main = np.array([result.probabilities[finding.main_label] for result in results])
    in_run = np.zeros(len(results), np.int32)
    for first, last in finding.positive_runs:
        in_run[[first <= result.index <= last for result in results]] = 1
    table = vtk.vtkTable()
    _add_column(table, SLICE, np.array([slice_number(result) for result in results], np.int32))
    for axis, title in enumerate(POSITION):
        _add_column(table, title, np.array([result.position_ras[axis] for result in results], float))
    for label in finding.labels:
        _add_column(table, label, np.array([result.probabilities[label] for result in results], float))
    _add_column(table, THRESHOLD, np.full(len(results), finding.slice_threshold))
    _add_column(table, POSITIVE, (main >= finding.slice_threshold).astype(np.int32))
    _add_column(table, RUN, in_run)
    uids = vtk.vtkStringArray()
    uids.SetName(INSTANCE)
    for result in results:
        uids.InsertNextValue(result.sop_instance_uid)
    table.AddColumn(uids)
    node = scene.AddNewNodeByClass("vtkMRMLTableNode", scene.GenerateUniqueName(name))
    node.SetUseColumnTitleAsColumnHeader(True)
    node.SetAndObserveTable(table)
    node.SetLocked(True)
    return node


def add_chart(scene: Any, finding: Finding, table: Any, name: str) -> ChartNodes | None:
    """Add the chart of probability over slice: a line a label, the threshold dashed, positive runs as bars behind them.

    Returns None for a single image: one point makes no chart.
    """
    if len(finding.slices) < 2:
        return None
    slicer, _ = load_slicer()
    kinds = slicer.vtkMRMLPlotSeriesNode
    series: dict[str, Any] = {}
    if finding.positive_runs:
        bars = _add_series(scene, table, RUN, RUN_COLOR, column=RUN)
        bars.SetPlotType(kinds.PlotTypeScatterBar)
        # Slicer draws a bar's border in the style of the series' line (qMRMLPlotView).
        bars.SetLineStyle(kinds.LineStyleNone)
        series["run"] = bars
    main_first = sorted(finding.labels, key=lambda label: label != finding.main_label)
    for place, label in enumerate(main_first):
        line = _add_series(
            scene, table, label_words(finding, label), LINE_COLORS[place % len(LINE_COLORS)], column=label
        )
        line.SetLineWidth(3 if label == finding.main_label else 1.5)
        marked = label == finding.main_label and len(finding.slices) <= MOST_MARKERS
        line.SetMarkerStyle(kinds.MarkerStyleCircle if marked else kinds.MarkerStyleNone)
        line.SetMarkerSize(6)
        series[f"series:{label}"] = line
    threshold = _add_series(
        scene, table, f"Operating point {finding.slice_threshold:.2f}", THRESHOLD_COLOR, column=THRESHOLD
    )
    threshold.SetLineStyle(kinds.LineStyleDash)
    threshold.SetMarkerStyle(kinds.MarkerStyleNone)
    series["threshold"] = threshold

    chart = scene.AddNewNodeByClass("vtkMRMLPlotChartNode", scene.GenerateUniqueName(name))
    for node in series.values():
        chart.AddAndObservePlotSeriesNodeID(node.GetID())
    chart.SetTitle(chart_title(finding))
    chart.SetTitleFontSize(14)
    # A quarter of the window's height is little: the curves get it.
    chart.SetAxisTitleFontSize(13)
    chart.SetAxisLabelFontSize(11)
    chart.SetLegendFontSize(10)
    chart.SetXAxisTitle("Slice")
    chart.SetYAxisTitle("Probability")
    numbers = [slice_number(result) for result in finding.slices]
    chart.SetXAxisRangeAuto(False)
    chart.SetXAxisRange(min(numbers) - 0.5, max(numbers) + 0.5)
    chart.SetYAxisRangeAuto(False)
    chart.SetYAxisRange(0.0, 1.02)
    return ChartNodes(chart, series)


def _add_series(scene: Any, table: Any, name: str, color: tuple[float, float, float], *, column: str) -> Any:
    slicer, _ = load_slicer()
    # Not made unique: the name stands in the legend, for a second result as for the first.
    node = scene.AddNewNodeByClass("vtkMRMLPlotSeriesNode", name)
    node.SetAndObserveTableNodeID(table.GetID())
    node.SetXColumnName(SLICE)
    node.SetYColumnName(column)
    node.SetPlotType(slicer.vtkMRMLPlotSeriesNode.PlotTypeScatter)
    node.SetColor(*color)
    return node


def _add_column(table: Any, title: str, values: np.ndarray) -> None:
    from vtkmodules.util.numpy_support import numpy_to_vtk

    column = numpy_to_vtk(values, deep=True)
    column.SetName(title)
    table.AddColumn(column)
