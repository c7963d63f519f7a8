"""The vertical line in a result's chart that stands at the slice which the slice view shows."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from AcuteFindingsLib.scene.application import load_slicer
from AcuteFindingsLib.scene.chart_nodes import SLICE
from AcuteFindingsLib.scene.naming import slice_number
from AcuteFindingsLib.scene.nodes import ATTRIBUTE, ROLE
from AcuteFindingsLib.scene.results import CURSOR, CURSOR_TABLE, SceneResult, chart_series

NAME = "This slice"
_HEIGHT = "Height"
# None of the lines' colors nor the threshold's; 4 to 1 and more against a white and a black background and the band of
# positive runs (WCAG 2.2, contrast of graphical objects, asks for 3 to 1).
COLOR = (0.75, 0.0, 0.85)


@dataclass(frozen=True)
class Cursor:
    """The line: a plot series, and the table of its two ends."""

    series: Any
    table: Any

    @property
    def slice_number(self) -> int:
        """The slice at which the line stands, counted from 1 as in the chart."""
        return int(self.table.GetTable().GetValueByName(0, SLICE).ToInt())

    def move_to(self, slice_number: int) -> None:
        """Move the line to a slice, counted from 1; nothing is drawn again where it already stands there."""
        table = self.table.GetTable()
        if table is None or self.slice_number == slice_number:
            return
        column = table.GetColumnByName(SLICE)
        for row in range(2):
            column.SetValue(row, int(slice_number))
        column.Modified()
        table.Modified()
        self.table.Modified()


def add_cursor(result: SceneResult) -> Cursor | None:
    """Add the line to a result's chart, at its first slice; a chart that has one keeps it.

    Returns None where there is no chart.
    """
    chart, scene = result.chart, result.scene
    if chart is None or scene is None:
        return None
    found = next((series for series in chart_series(chart) if series.GetAttribute(ROLE) == CURSOR), None)
    if found is not None and found.GetTableNode() is not None and _is_whole(found.GetTableNode()):
        return Cursor(found, found.GetTableNode())
    if found is not None:
        scene.RemoveNode(found)
    table = _add_table(scene, slice_number(result.finding.slices[0]))
    series = _add_series(scene, table)
    for node, role in ((table, CURSOR_TABLE), (series, CURSOR)):
        node.SetAttribute(ATTRIBUTE, result.finding.detector)
        node.SetAttribute(ROLE, role)
    chart.AddAndObservePlotSeriesNodeID(series.GetID())
    return Cursor(series, table)


def _is_whole(table_node: Any) -> bool:
    table = table_node.GetTable()
    return table is not None and table.GetNumberOfRows() == 2 and table.GetColumnByName(SLICE) is not None


def _add_table(scene: Any, number: int) -> Any:
    from vtkmodules.util.numpy_support import numpy_to_vtk

    _, vtk = load_slicer()
    table = vtk.vtkTable()
    for title, values in ((SLICE, np.full(2, number, np.int32)), (_HEIGHT, np.array([0.0, 1.0]))):
        column = numpy_to_vtk(values, deep=True)
        column.SetName(title)
        table.AddColumn(column)
    node = scene.AddNewNodeByClass("vtkMRMLTableNode", scene.GenerateUniqueName(f"{NAME} line"))
    # Two numbers that nobody wants to read in the lists of tables.
    node.SetHideFromEditors(True)
    node.SetUseColumnTitleAsColumnHeader(True)
    node.SetAndObserveTable(table)
    return node


def _add_series(scene: Any, table: Any) -> Any:
    slicer, _ = load_slicer()
    # Not made unique: the name stands in the legend.
    node = scene.AddNewNodeByClass("vtkMRMLPlotSeriesNode", NAME)
    node.SetHideFromEditors(True)
    node.SetAndObserveTableNodeID(table.GetID())
    node.SetXColumnName(SLICE)
    node.SetYColumnName(_HEIGHT)
    node.SetPlotType(slicer.vtkMRMLPlotSeriesNode.PlotTypeScatter)
    node.SetMarkerStyle(slicer.vtkMRMLPlotSeriesNode.MarkerStyleNone)
    node.SetLineStyle(slicer.vtkMRMLPlotSeriesNode.LineStyleSolid)
    node.SetLineWidth(3)
    node.SetColor(*COLOR)
    return node
