"""Chart and slice views move together, through genuine layout, slice and plot nodes."""

import runpy
from pathlib import Path

import pytest
import vtk

from AcuteFindingsLib.scene.layouts import RADIOGRAPH_LAYOUT, STACK_LAYOUT
from AcuteFindingsLib.scene.navigation import jump_to_slice
from AcuteFindingsLib.scene.nodes import POINT, show_finding
from AcuteFindingsLib.scene.results import remove_result, result_of

CASES = runpy.run_path(str(Path(__file__).parents[1] / "scene" / "conftest.py"))


def put(scene, name):
    case = CASES[name].__wrapped__()
    return result_of(show_finding(case.finding, case.study, scene=scene).text)


@pytest.fixture
def result(scene):
    return put(scene, "head")


@pytest.fixture
def link(host, result):
    """A link that writes down which slices the views came to."""
    from AcuteFindingsLib.widgets.panel.chart_link import ChartLink

    heard = []
    made = ChartLink(result, on_slice=heard.append)
    made.heard = heard
    yield made
    made.close()


def red(scene):
    return scene.GetSingletonNode("Red", "vtkMRMLSliceNode")


def cursor_number(link):
    return link._cursor.slice_number


def test_shows_the_stack_with_its_chart(host, scene, link, result):
    import slicer

    manager = slicer.app.layoutManager()
    assert manager.layout == STACK_LAYOUT
    assert manager.plotWidget(0).mrmlPlotViewNode().GetPlotChartNodeID() == result.chart.GetID()
    composite = manager.sliceWidget("Red").mrmlSliceCompositeNode()
    assert composite.GetBackgroundVolumeID() == result.volume.GetID()


def test_clicking_a_point_of_the_chart_jumps_to_its_slice(host, scene, link, result):
    host.click_chart(result.series["series:any"], 5)
    assert red(scene).GetSliceOffset() == pytest.approx(-46 + 5 * 4)
    assert link.heard[-1] == 5
    assert cursor_number(link) == 6


def test_clicking_a_second_line_of_the_chart_jumps_too(host, scene, link, result):
    host.click_chart(result.series["series:epidural"], 20)
    assert red(scene).GetSliceOffset() == pytest.approx(-46 + 20 * 4)


def test_clicking_the_cursor_line_itself_moves_nothing(host, scene, link, result):
    red(scene).SetSliceOffset(-46 + 9 * 4)
    host.click_chart(link._cursor.series, 1)
    assert red(scene).GetSliceOffset() == pytest.approx(-46 + 9 * 4)


def test_every_click_beside_a_point_goes_to_the_slice_below_the_pointer(host, scene, link, result):
    for number, height in [(1, 0.9), (24, 0.1), (24, 0.9), (12.3, 0.95), (11.7, 0.02), (3, 0.7), (12, 0.7), (3, 0.7)]:
        red(scene).SetSliceOffset(-46 + 7 * 4)
        host.click_chart_at(number, height)
        assert red(scene).GetSliceOffset() == pytest.approx(-46 + 4 * (round(number) - 1)), (number, height)


def test_a_click_after_a_click_on_a_point_is_about_its_own_place(host, scene, link, result):
    host.click_chart(result.series["series:any"], 14)
    host.click_chart_at(5, 0.8)
    assert red(scene).GetSliceOffset() == pytest.approx(-46 + 4 * 4)


def test_a_click_beside_the_axes_moves_nothing(host, scene, link, result):
    red(scene).SetSliceOffset(-46 + 5 * 4)
    host.click_chart_at(-0.5)
    assert red(scene).GetSliceOffset() == pytest.approx(-46 + 5 * 4)


def test_a_drag_across_the_chart_moves_nothing(host, scene, link, result):
    import slicer

    red(scene).SetSliceOffset(-46 + 5 * 4)
    interactor = slicer.app.layoutManager().plotWidget(0).plotView().renderWindow().GetInteractor()
    for place, event in ((100, vtk.vtkCommand.LeftButtonPressEvent), (180, vtk.vtkCommand.LeftButtonReleaseEvent)):
        interactor.SetEventInformation(place, 60)
        interactor.InvokeEvent(event)
    assert red(scene).GetSliceOffset() == pytest.approx(-46 + 5 * 4)


def test_the_chart_has_its_legend_beside_the_curves_and_gives_the_plot_view_back(host, scene, link, result):
    import slicer

    chart = slicer.app.layoutManager().plotWidget(0).plotView().chart()
    assert not chart.GetLegend().GetInline()
    link.close()
    assert chart.GetLegend().GetInline()


def test_scrolling_the_slice_view_takes_the_cursor_along(host, scene, link):
    red(scene).SetSliceOffset(-46 + 17 * 4 + 1.1)
    assert cursor_number(link) == 18
    assert link.heard[-1] == 17


def test_each_slice_is_told_once(host, scene, link):
    red(scene).SetSliceOffset(-46 + 3 * 4)
    told = len(link.heard)
    red(scene).SetSliceOffset(-46 + 3 * 4 + 0.5)
    red(scene).SetFieldOfView(100, 100, 1)
    assert len(link.heard) == told


def test_the_corner_of_the_views_says_the_verdict_and_says_it_again_after_slicer_wrote_there(host, scene, link):
    import slicer

    corner = slicer.app.layoutManager().sliceWidget("Red").sliceView().cornerAnnotation()
    assert "POSITIVE" in corner.GetText(vtk.vtkCornerAnnotation.UpperRight)
    corner.SetText(vtk.vtkCornerAnnotation.UpperRight, "something else")
    red(scene).SetSliceOffset(-46 + 8 * 4)
    host.wait_until(lambda: "POSITIVE" in corner.GetText(vtk.vtkCornerAnnotation.UpperRight))
    link.close()
    assert not corner.GetText(vtk.vtkCornerAnnotation.UpperRight)


@pytest.mark.slow
def test_the_verdict_stands_in_one_corner_alone(host, scene, link):
    import slicer

    manager = slicer.app.layoutManager()
    host.wait(0.3)
    said = [
        manager.sliceWidget(name).sliceView().cornerAnnotation().GetText(vtk.vtkCornerAnnotation.UpperRight)
        for name in manager.sliceViewNames()
    ]
    assert ["POSITIVE" in (text or "") for text in said].count(True) == 1


@pytest.mark.slow
def test_views_are_fitted_in_their_new_sizes_and_stay_at_the_finding(host, scene, link, result):
    import slicer

    manager = slicer.app.layoutManager()
    jump_to_slice(result, 14)
    host.wait_until(lambda: not link._fit.running)
    point = [float(value) for value in result.text.GetAttribute(POINT).split()]
    for axis, name in enumerate(("Yellow", "Green", "Red")):
        node = manager.sliceWidget(name).mrmlSliceNode()
        assert node.GetSliceToRAS().GetElement(axis, 3) == pytest.approx(point[axis], abs=0.01)
        before = node.GetFieldOfView()
        manager.sliceWidget(name).sliceLogic().FitSliceToAll()
        assert node.GetFieldOfView() == pytest.approx(before)


def test_a_closed_link_follows_nothing_any_more(host, scene, link, result):
    link.close()
    link.close()
    told = len(link.heard)
    red(scene).SetSliceOffset(-46 + 11 * 4)
    host.click_chart(result.series["series:any"], 2)
    assert len(link.heard) == told
    assert red(scene).GetSliceOffset() == pytest.approx(-46 + 11 * 4)


def test_removing_the_result_or_closing_the_scene_under_a_link_does_no_harm(host, scene, link, result):
    remove_result(scene, result)
    red(scene).SetSliceOffset(0)
    scene.Clear(0)
    link.close()


def test_a_radiograph_has_one_view_and_no_chart(host, scene):
    import slicer

    from AcuteFindingsLib.widgets.panel.chart_link import ChartLink

    link = ChartLink(put(scene, "radiograph"))
    assert slicer.app.layoutManager().layout == RADIOGRAPH_LAYOUT
    assert link.current == 0
    link.close()


def test_views_that_a_loaded_scene_brought_are_left_alone(host, scene, result):
    import slicer

    from AcuteFindingsLib.widgets.panel.chart_link import ChartLink

    before = slicer.app.layoutManager().layout
    link = ChartLink(result, arrange=False)
    assert slicer.app.layoutManager().layout == before
    link.close()


def test_without_a_main_window_nothing_is_linked(host, scene):
    from AcuteFindingsLib.widgets.panel.chart_link import ChartLink

    scene = host.renew(main_window=False)
    link = ChartLink(put(scene, "head"))
    assert not link.linked
    link.close()
