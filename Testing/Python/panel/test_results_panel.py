"""The results panel as a person reads and works it."""

import runpy
from dataclasses import replace
from pathlib import Path
from time import perf_counter

import numpy as np
import pytest

from AcuteFindingsLib.detectors.finding import Likeness, Measurement, Reason, SliceResult
from AcuteFindingsLib.scene.nodes import show_finding
from AcuteFindingsLib.scene.results import result_of
from AcuteFindingsLib.study.notice import Notice

CASES = runpy.run_path(str(Path(__file__).parents[1] / "scene" / "conftest.py"))


def put(scene, case, **changes):
    finding = replace(case.finding, **changes)
    return result_of(show_finding(finding, case.study, scene=scene).text)


@pytest.fixture(scope="module")
def head():
    return CASES["head"].__wrapped__()


@pytest.fixture
def result(scene, head):
    return put(scene, head)


@pytest.fixture
def panel(host):
    from AcuteFindingsLib.widgets.panel.results_panel import ResultsPanel

    made = ResultsPanel("hemorrhage")
    made.widget.resize(420, 800)
    made.widget.show()
    host.process_events()
    yield made
    made.close()


def shown(panel, host, result):
    panel.show(result)
    host.process_events()
    return panel


def cells(table, row):
    return [table.item(row, column).text() for column in range(table.columnCount)]


def red_offset(scene):
    return scene.GetSingletonNode("Red", "vtkMRMLSliceNode").GetSliceOffset()


def test_without_a_result_says_what_to_do(panel):
    assert panel.empty_label.visible
    assert "Apply" in panel.empty_label.text
    assert not panel.banner.widget.visible
    assert not panel.slices.widget.visible


def test_banner_says_verdict_probability_rule_model_and_that_it_is_no_diagnosis(panel, host, result):
    banner = shown(panel, host, result).banner
    assert banner.verdict_label.text == "▲ POSITIVE"
    assert banner.probability_label.text == "Intracranial hemorrhage: probability 0.97 (threshold 0.50)"
    assert "Slices 12 to 18 are positive." in banner.rule_label.text
    assert "three or more consecutive slices" in banner.rule_label.text
    assert "test-model 0.1" in banner.model_label.text
    assert "Research use only" in banner.research_label.text


@pytest.mark.parametrize(("label", "words"), [("negative", "● NEGATIVE"), ("indeterminate", "◆ INDETERMINATE")])
def test_each_verdict_has_a_symbol_and_a_word_of_its_own(panel, host, scene, head, label, words):
    other = put(scene, head, verdict=replace(head.finding.verdict, label=label))
    assert shown(panel, host, other).banner.verdict_label.text == words


def test_measurements_and_warnings_can_be_read(panel, host, result):
    shown(panel, host, result)
    assert cells(panel.measurements, 0) == ["Volume", "14.2 mL"]
    assert panel.warnings_label.text == "⚠ Warning: The slices are thicker than the model has seen."


REASONS = (
    Reason("dense", "against", "Outline 1 reaches 118 HU: " + "density suggests calcification rather than blood. " * 3,
           "docs/sources.md 4", (Measurement("95th percentile", 118.4, "[hnsf'U]"),), 5),
    Reason("symmetric", "caution", "The other side looks the same.", index=None),
)  # fmt: skip


def test_reasons_stand_in_full_and_lead_to_their_slice(panel, host, scene, head):
    shown(panel, host, put(scene, head, reasons=REASONS))
    table = panel.reasons.table
    assert cells(table, 0) == ["− Against", REASONS[0].text, "6"]
    assert cells(table, 1) == ["! Caution", "The other side looks the same.", ""]
    assert "95th percentile: 118 HU" in table.item(0, 1).toolTip()
    heights = []
    for width in (320, 700, 320):
        panel.widget.resize(width, 1600)
        host.wait_until(lambda width=width: panel.widget.width == width)
        host.wait_until(lambda: table.height >= table.rowHeight(0) + table.rowHeight(1))
        host.process_events()
        heights.append(table.rowHeight(0))
        assert table.horizontalScrollBar().maximum == 0
    line = table.fontMetrics().height()
    lines = table.fontMetrics().horizontalAdvance(REASONS[0].text) / table.columnWidth(1)
    assert heights[0] == heights[2] >= lines * line
    assert heights[1] < heights[0]
    table.setCurrentCell(1, 1)
    assert panel.current != 5
    table.setCurrentCell(0, 1)
    assert panel.current == 5


def test_without_reasons_there_is_no_empty_table(panel, host, result):
    shown(panel, host, result)
    assert not panel.reasons.widget.visible


def test_likeness_is_said_and_what_is_unlike_stands_beside_the_verdict(panel, host, scene, head):
    unlike = Likeness("unlike", 2.5, "600 computer-made phantoms", ("noise finer than in any of them",))
    verdict = replace(head.finding.verdict, label="indeterminate", by_rule="positive")
    shown(panel, host, put(scene, head, likeness=unlike, verdict=verdict))
    assert panel.banner.verdict_label.text == "◆ INDETERMINATE · unlike the images that this model was made from"
    assert "noise finer than in any of them" in panel.reasons.likeness_label.text
    assert not panel.reasons.table.visible


def test_slice_table_lists_every_slice_with_what_the_model_says(panel, host, result):
    table = shown(panel, host, result).slices.widget
    assert table.rowCount == 24
    host.wait_until(lambda: table.item(23, 3) is not None)
    titles = [table.horizontalHeaderItem(place).text() for place in range(table.columnCount)]
    assert titles == ["Slice", "Probability", "Predicted", "Corrected"]
    assert cells(table, 14) == ["15", "1.00", "▲ present", ""]
    assert cells(table, 0)[2] == "absent"


@pytest.mark.parametrize("width", [300, 340, 420, 520])
def test_slice_table_never_scrolls_sideways(panel, host, result, width):
    table = shown(panel, host, result).slices.widget
    host.wait_until(lambda: table.item(23, 3) is not None)
    panel.widget.resize(width, 1200)
    host.wait_until(lambda: panel.widget.width == width)
    host.process_events()
    assert table.horizontalScrollBar().maximum == 0
    assert sum(table.columnWidth(place) for place in range(4)) <= table.viewport().width


@pytest.mark.parametrize("width", [300, 340, 420, 520, 900, 320])
def test_every_text_has_the_height_that_its_lines_need(panel, host, scene, head, width):
    import qt

    long = "The slices of this series are not evenly spaced; results beside the gaps may be wrong. " * 2
    notices = tuple(Notice(severity, severity, long) for severity in ("info", "warn", "refuse"))
    verdict = replace(head.finding.verdict, rule=long, explanation=long)
    shown(panel, host, put(scene, head, warnings=notices, verdict=verdict))
    panel.widget.resize(width, 1600)
    host.wait_until(lambda: panel.widget.width == width)
    host.process_events()
    texts = [one for one in panel.widget.findChildren(qt.QLabel) if one.wordWrap and one.visible and one.text]
    assert len(texts) >= 6
    for one in texts:
        assert one.height >= one.heightForWidth(one.width), one.text


def test_warnings_stand_gravest_first_whatever_their_order(panel, host, scene, head):
    notices = tuple(Notice(f"n-{severity}", severity, severity) for severity in ("info", "warn", "refuse"))
    shown(panel, host, put(scene, head, warnings=notices))
    lines = panel.warnings_label.text.splitlines()
    assert lines == ["✖ Does not fit: refuse", "⚠ Warning: warn", "Note: info"]
    assert panel.banner.verdict_label.text == "REFUSED, FORCED: ▲ POSITIVE"


def test_banner_says_what_computed_the_result_and_where(panel, host, scene, head):
    model = replace(head.finding.model, runtime="ONNX Runtime 1.23.2", device="coreml")
    shown(panel, host, put(scene, head, model=model))
    assert panel.banner.model_label.text.splitlines()[1] == "Computed by ONNX Runtime 1.23.2 on coreml"


def test_of_a_finding_of_an_earlier_version_nothing_is_said_of_what_computed_it(panel, host, scene, head):
    shown(panel, host, put(scene, head, model=replace(head.finding.model, runtime="", device="")))
    assert "Computed" not in panel.banner.model_label.text


def test_a_device_that_failed_is_a_warning_like_others(panel, host, scene, head):
    failed = Notice("device-failed", "warn", "The device cuda failed; the processor computed this result.")
    shown(panel, host, put(scene, head, warnings=(failed,)))
    assert panel.warnings_label.text == "⚠ Warning: The device cuda failed; the processor computed this result."


def test_the_types_of_the_chosen_slice_stand_above_the_table(panel, host, result):
    slices = shown(panel, host, result).slices
    assert slices.details_label.text == "Slice 15: epidural 0.33"
    host.click_row(slices.widget, 3)
    types = result.finding.slices[3].probabilities
    assert slices.details_label.text == f"Slice 4: epidural {types['epidural']:.2f}"


def test_clicking_a_row_moves_the_slice_views_there(panel, host, scene, result):
    table = shown(panel, host, result).slices.widget
    host.click_row(table, 3)
    assert red_offset(scene) == pytest.approx(-46 + 3 * 4)
    host.click_row(table, 20)
    assert red_offset(scene) == pytest.approx(-46 + 20 * 4)
    assert panel.current == 20


def test_next_and_previous_positive_slice_by_button_and_by_key(panel, host, scene, result):
    shown(panel, host, result).go_to(0)
    host.click(panel.next_button)
    assert panel.current == 11
    host.press_key(panel.widget, "N")
    assert panel.current == 12
    assert red_offset(scene) == pytest.approx(-46 + 12 * 4)
    host.press_key(panel.widget, "P")
    assert panel.current == 11
    assert not panel.previous_button.enabled
    host.press_key(panel.widget, "P")
    assert panel.current == 11


def test_keys_rest_while_another_module_is_shown(panel, host, result):
    shown(panel, host, result).go_to(0)
    panel.set_keys_enabled(False)
    host.press_key(panel.widget, "N")
    assert panel.current == 0


def test_starts_at_the_most_suspicious_slice(panel, host, result):
    assert shown(panel, host, result).current == 14
    assert panel.slices.widget.currentRow() == 14


def test_following_the_views_does_not_move_them(panel, host, scene, result):
    shown(panel, host, result).go_to(2)
    panel.show_slice(9)
    assert panel.slices.widget.currentRow() == 9
    assert red_offset(scene) == pytest.approx(-46 + 2 * 4)


def test_one_image_has_no_slice_table(panel, host, scene):
    one = put(scene, CASES["radiograph"].__wrapped__())
    shown(panel, host, one)
    assert not panel.slices.widget.visible
    assert not panel.next_button.visible
    assert panel.banner.widget.visible


def test_a_long_series_never_holds_the_window_up(panel, host, scene, head):
    slices = tuple(
        SliceResult(
            k, (0.0, 0.0, float(k)), f"1.2.{k}", {"any": k % 2 / 1.0, "epidural": 0.1, "subdural": 0.2}, float(k)
        )
        for k in range(1500)
    )
    long = put(scene, head, slices=slices, positive_runs=())
    start = perf_counter()
    panel.show(long)
    assert perf_counter() - start < 0.2
    host.wait_until(lambda: panel.slices.widget.item(1499, 3) is not None)
    assert cells(panel.slices.widget, 1499)[:2] == ["1500", "1.00"]


def test_showing_another_result_while_rows_are_filled_in_leaves_only_its_own(panel, host, scene, head, result):
    slices = tuple(
        SliceResult(k, (0.0, 0.0, float(k)), f"1.2.{k}", {"any": 0.5}, float(k)) for k in np.arange(600).tolist()
    )
    panel.show(put(scene, head, slices=slices, positive_runs=()))
    shown(panel, host, result)
    host.wait_until(lambda: panel.slices.widget.item(23, 3) is not None)
    assert panel.slices.widget.rowCount == 24
    assert cells(panel.slices.widget, 23)[0] == "24"


def test_every_control_says_what_it_is_for(panel):
    for widget in (panel.next_button, panel.previous_button, panel.slices.widget, panel.measurements):
        assert widget.toolTip


def test_a_verdict_that_cannot_stand_alone_says_so_in_banner_and_selector(panel, host, scene, head):
    other = put(
        scene,
        head,
        model=replace(head.finding.model, never_saw="a patient"),
        warnings=(Notice("not-axial", "refuse", "The slices are coronal."),),
    )
    said = shown(panel, host, other).banner.verdict_label.text
    assert said == "REFUSED, FORCED: ▲ POSITIVE · demonstration model, never saw a patient"
    phantom = put(scene, head, model=replace(head.finding.model, never_saw="a patient"), phantom=True)
    assert shown(panel, host, phantom).banner.verdict_label.text == "▲ POSITIVE"
