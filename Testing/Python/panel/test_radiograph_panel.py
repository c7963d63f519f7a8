"""Bars and sliders of a radiograph's result."""

import runpy
from dataclasses import replace
from pathlib import Path

import pytest

from AcuteFindingsLib.detectors.finding import Measurement
from AcuteFindingsLib.scene.nodes import show_finding
from AcuteFindingsLib.scene.results import result_of

CASES = runpy.run_path(str(Path(__file__).parents[1] / "scene" / "conftest.py"))


@pytest.fixture
def result(scene):
    """As the detector itself writes it: labels on the slice, clinicians' words in the measurements."""
    case = CASES["radiograph"].__wrapped__()
    probabilities = {"pneumothorax": 0.88, "effusion": 0.2, "chest_drain": 0.91, "endotracheal": 0.05}
    measurements = (
        Measurement("Pneumothorax probability, whole picture", 0.88, "1"),
        Measurement("Pneumothorax probability, lungs only", 0.52, "1"),
        Measurement("Pneumothorax probability, lungs removed", 0.12, "1"),
        Measurement("Pneumothorax area, right", 4012.0, "mm2"),
        Measurement("Probability: Pneumothorax", 0.7, "1"),
        Measurement("Probability: Pleural effusion", 0.2, "1"),
        Measurement("Probability: Chest drain", 0.91, "1"),
        Measurement("Probability: Endotracheal tube", 0.05, "1"),
    )
    slices = (replace(case.finding.slices[0], probabilities=probabilities),)
    finding = replace(case.finding, slices=slices, measurements=measurements)
    return result_of(show_finding(finding, case.study, scene=scene).text)


@pytest.fixture
def panel(host):
    from AcuteFindingsLib.widgets.panel.overlays import show_in_views
    from AcuteFindingsLib.widgets.panel.radiograph_panel import RadiographPanel

    made = RadiographPanel()
    made.widget.resize(420, 700)
    made.widget.show()
    made.open = lambda result: (show_in_views(result), made.show(result), host.process_events())
    return made


def composite():
    import slicer

    return slicer.app.layoutManager().sliceWidget("Red").mrmlSliceCompositeNode()


def test_bars_name_what_a_clinician_knows_and_say_the_number(panel, result):
    panel.open(result)
    assert {name: bar.text for name, bar in panel.bars.items()} == {
        "whole picture": "0.88",
        "lungs only": "0.52",
        "lungs removed": "0.12",
        "Chest drain": "0.91",
        "Endotracheal tube": "0.05",
        "Pleural effusion": "0.20",
    }
    assert panel.bars["Chest drain"].value == 91


def test_tubes_stand_apart_from_other_findings(panel, result):
    panel.open(result)
    parent = panel.bars["Chest drain"].parentWidget()
    assert parent.title == "Tubes"
    assert panel.bars["Endotracheal tube"].parentWidget() == parent
    assert panel.bars["Pleural effusion"].parentWidget().title == "Other findings"


def test_the_measurements_table_keeps_what_has_no_bar(host, panel, result):
    from AcuteFindingsLib.widgets.panel.results_panel import ResultsPanel

    results = ResultsPanel("pneumothorax")
    results.show(result)
    names = [results.measurements.item(row, 0).text() for row in range(results.measurements.rowCount)]
    assert names == ["Pneumothorax area, right"]
    assert results.measurements.item(0, 1).text() == "4012 mm²"


def test_without_words_in_the_measurements_the_labels_are_shown(panel, host, scene):
    case = CASES["radiograph"].__wrapped__()
    panel.open(result_of(show_finding(case.finding, case.study, scene=scene).text))
    assert set(panel.bars) == {"Chest drain"}
    assert not panel.shortcut_group.visible


def test_sliders_draw_mask_and_heat_map_more_or_less_strongly(panel, result, host):
    panel.open(result)
    assert panel.mask_slider.value == 100
    assert panel.heatmap_slider.value == 0
    panel.mask_slider.setValue(40)
    panel.heatmap_slider.setValue(55)
    assert result.segmentation.GetDisplayNode().GetOpacity() == pytest.approx(0.4)
    assert composite().GetForegroundVolumeID() == result.heatmap.GetID()
    assert composite().GetForegroundOpacity() == pytest.approx(0.55)


def test_sliders_show_what_the_nodes_have_when_the_result_is_opened_again(panel, result):
    panel.open(result)
    panel.mask_slider.setValue(40)
    panel.heatmap_slider.setValue(55)
    panel.show(None)
    panel.show(result)
    assert (panel.mask_slider.value, panel.heatmap_slider.value) == (40, 55)


def test_a_result_without_mask_or_heat_map_has_dead_sliders(panel, scene):
    case = CASES["radiograph"].__wrapped__()
    bare = replace(case.finding, masks=(), heatmap=None)
    panel.open(result_of(show_finding(bare, case.study, scene=scene).text))
    assert not panel.mask_slider.enabled
    assert not panel.heatmap_slider.enabled


def test_showing_another_result_leaves_no_bar_of_the_first(panel, result, host, scene):
    panel.open(result)
    case = CASES["radiograph"].__wrapped__()
    panel.open(result_of(show_finding(case.finding, case.study, scene=scene).text))
    assert set(panel.bars) == {"Chest drain"}


def test_hidden_without_a_result(panel):
    panel.show(None)
    assert not panel.widget.visible
