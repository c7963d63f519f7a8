import numpy as np
import pytest

pytest.importorskip("slicer", reason="slicer-core is not installed")

from AcuteFindingsLib.scene.application import new_scene
from AcuteFindingsLib.scene.chart_nodes import add_chart
from AcuteFindingsLib.scene.nodes import FindingNodes, show_finding


@pytest.fixture
def nodes(head) -> FindingNodes:
    return show_finding(head.finding, head.study, scene=new_scene())


def column(nodes: FindingNodes, name: str) -> np.ndarray:
    values = nodes.table.GetTable().GetColumnByName(name)
    return np.array([values.GetValue(row) for row in range(values.GetNumberOfValues())])


def test_the_table_has_a_column_a_label_and_a_row_a_slice(nodes: FindingNodes, head) -> None:
    table = nodes.table.GetTable()
    names = [table.GetColumnName(index) for index in range(table.GetNumberOfColumns())]
    assert names == [
        *("Slice", "R (mm)", "A (mm)", "S (mm)", "any", "epidural"),
        *("Threshold", "Positive", "Positive run", "SOP Instance UID"),
    ]
    assert table.GetNumberOfRows() == len(head.finding.slices)


def test_the_table_says_what_the_finding_says(nodes: FindingNodes, head) -> None:
    results = head.finding.slices
    assert column(nodes, "Slice").tolist() == [result.index + 1 for result in results]
    assert np.allclose(column(nodes, "S (mm)"), [result.position_ras[2] for result in results])
    for label in ("any", "epidural"):
        assert np.allclose(column(nodes, label), [result.probabilities[label] for result in results])
    assert column(nodes, "SOP Instance UID").tolist() == [result.sop_instance_uid for result in results]


def test_the_flags_follow_the_threshold_and_the_runs(nodes: FindingNodes, head) -> None:
    expected = [int(result.probabilities["any"] >= 0.5) for result in head.finding.slices]
    assert column(nodes, "Positive").tolist() == expected
    assert np.flatnonzero(column(nodes, "Positive run")).tolist() == list(range(11, 18))
    assert np.all(column(nodes, "Threshold") == 0.5)


def test_every_series_draws_its_column_over_the_slice(nodes: FindingNodes) -> None:
    drawn = {role: series.GetYColumnName() for role, series in nodes.chart.series.items()}
    assert drawn == {
        "run": "Positive run",
        "series:any": "any",
        "series:epidural": "epidural",
        "threshold": "Threshold",
    }
    for series in nodes.chart.series.values():
        assert series.GetXColumnName() == "Slice"
        assert series.GetTableNode() is nodes.table


def test_the_chart_holds_all_series_with_title_and_axes(nodes: FindingNodes, slicer) -> None:
    chart = nodes.chart.chart
    assert chart.GetNumberOfPlotSeriesNodes() == 4
    assert chart.GetTitle() == "Intracranial hemorrhage: probability by slice"
    assert (chart.GetXAxisTitle(), chart.GetYAxisTitle()) == ("Slice", "Probability")
    assert chart.GetYAxisRange() == (0.0, 1.02)
    assert nodes.chart.series["threshold"].GetLineStyle() == slicer.vtkMRMLPlotSeriesNode.LineStyleDash


def test_the_legend_speaks_in_words_the_same_for_a_second_result(nodes: FindingNodes, head) -> None:
    second = show_finding(head.finding, head.study, scene=nodes.scene)
    expected = ["Positive run", "Any hemorrhage", "Epidural", "Operating point 0.50"]
    for one in (nodes, second):
        assert [series.GetName() for series in one.chart.series.values()] == expected


def test_bars_of_positive_runs_have_no_border(nodes: FindingNodes, slicer) -> None:
    assert nodes.chart.series["run"].GetLineStyle() == slicer.vtkMRMLPlotSeriesNode.LineStyleNone


def test_the_axis_of_slices_ends_with_the_slices(nodes: FindingNodes) -> None:
    assert nodes.chart.chart.GetXAxisRange() == (0.5, 24.5)


def test_without_a_positive_run_there_is_no_series_for_one(head) -> None:
    from dataclasses import replace

    nodes = show_finding(replace(head.finding, positive_runs=()), head.study, scene=new_scene())
    assert "run" not in nodes.chart.series


def test_one_image_makes_no_chart(radiograph) -> None:
    nodes = show_finding(radiograph.finding, radiograph.study, scene=new_scene())
    assert nodes.chart is None
    assert nodes.table.GetTable().GetNumberOfRows() == 1
    assert add_chart(nodes.scene, radiograph.finding, nodes.table, "x") is None
