from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("slicer", reason="slicer-core is not installed")

from AcuteFindingsLib.scene.application import new_scene
from AcuteFindingsLib.scene.bundle import load_bundle, save_bundle
from AcuteFindingsLib.scene.cursor import add_cursor
from AcuteFindingsLib.scene.nodes import show_finding
from AcuteFindingsLib.scene.results import SceneResult, results_in


@pytest.fixture
def scene():
    """Held for as long as the test runs: a scene's nodes do not hold it."""
    return new_scene()


@pytest.fixture
def result(scene, head) -> SceneResult:
    show_finding(head.finding, head.study, scene=scene)
    return results_in(scene)[0]


def ends(cursor) -> list[tuple[float, float]]:
    """What the plot draws: the numbers of the columns that the series names."""
    table = cursor.series.GetTableNode().GetTable()
    columns = [table.GetColumnByName(name) for name in (cursor.series.GetXColumnName(), cursor.series.GetYColumnName())]
    return [(columns[0].GetValue(row), columns[1].GetValue(row)) for row in range(table.GetNumberOfRows())]


def test_the_line_runs_from_0_to_1_at_the_slice(result: SceneResult) -> None:
    cursor = add_cursor(result)
    assert ends(cursor) == [(1, 0.0), (1, 1.0)]
    cursor.move_to(14)
    assert ends(cursor) == [(14, 0.0), (14, 1.0)]
    assert cursor.slice_number == 14


def test_the_chart_holds_one_more_series_and_the_result_no_more(result: SceneResult) -> None:
    cursor = add_cursor(result)
    assert result.chart.GetNumberOfPlotSeriesNodes() == 5
    assert result.chart.HasPlotSeriesNodeID(cursor.series.GetID())
    assert results_in(result.scene)[0].series == result.series


def test_a_second_cursor_is_the_first(result: SceneResult) -> None:
    cursor = add_cursor(result)
    cursor.move_to(5)
    again = add_cursor(result)
    assert again == cursor
    assert again.slice_number == 5
    assert result.chart.GetNumberOfPlotSeriesNodes() == 5


def test_a_move_is_told_once_and_no_move_not_at_all(result: SceneResult) -> None:
    cursor, told = add_cursor(result), []
    cursor.series.GetTableNode().AddObserver("ModifiedEvent", lambda *_: told.append(1))
    cursor.move_to(1)
    assert told == []
    cursor.move_to(2)
    assert told


def test_the_line_is_saved_and_found_again(result: SceneResult, tmp_path: Path) -> None:
    add_cursor(result).move_to(9)
    scene = load_bundle(save_bundle(result.scene, tmp_path / "scene.mrb"))
    loaded = results_in(scene)[0]
    cursor = add_cursor(loaded)
    assert loaded.chart.GetNumberOfPlotSeriesNodes() == 5
    assert np.allclose(ends(cursor), [(9, 0), (9, 1)])
    cursor.move_to(20)
    assert np.allclose(ends(cursor), [(20, 0), (20, 1)])


def test_a_line_that_lost_its_table_is_made_anew(result: SceneResult) -> None:
    cursor = add_cursor(result)
    result.scene.RemoveNode(cursor.table)
    assert ends(add_cursor(result)) == [(1, 0.0), (1, 1.0)]
    assert result.chart.GetNumberOfPlotSeriesNodes() == 5


def test_one_image_has_no_chart_and_no_line(radiograph) -> None:
    scene = new_scene()
    show_finding(radiograph.finding, radiograph.study, scene=scene)
    assert add_cursor(results_in(scene)[0]) is None
