from dataclasses import replace

import pytest

from AcuteFindingsLib.detectors.wording import probability_text
from AcuteFindingsLib.export.chart import BOTTOM, HEIGHT, LEFT, RIGHT, TOP, WIDTH, run_text, slice_chart


def test_every_label_is_a_line_over_every_slice_and_the_main_one_lies_on_top(finding):
    chart = slice_chart(finding)
    assert {series.label for series in chart.series} == set(finding.labels)
    assert chart.series[-1].label == "any"
    assert [series.main for series in chart.series].count(True) == 1
    assert all(len(series.points.split()) == 28 for series in chart.series)


def test_points_lie_at_their_slice_and_probability(finding):
    chart = slice_chart(finding)
    marks = chart.series[-1].marks
    assert marks[0][0] == LEFT
    assert marks[-1][0] == WIDTH - RIGHT
    for item, (x, y) in zip(finding.slices, marks, strict=True):
        assert x == pytest.approx(LEFT + (WIDTH - LEFT - RIGHT) * item.index / 27, abs=0.01)
        assert y == pytest.approx(HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * item.probabilities["any"], abs=0.01)
    assert chart.threshold_y == (TOP + HEIGHT - BOTTOM) / 2


def test_a_run_is_shaded_from_its_first_slice_to_its_last_and_named(finding):
    (run,) = slice_chart(finding).runs
    step = (WIDTH - LEFT - RIGHT) / 27
    assert run.text == "slices 10 to 16"
    assert run.x == pytest.approx(LEFT + 8.5 * step, abs=0.01)
    assert run.width == pytest.approx(7 * step, abs=0.02)


def test_runs_at_the_ends_stay_inside_the_chart(finding):
    chart = slice_chart(replace(finding, positive_runs=((0, 1), (27, 27))))
    assert chart.runs[0].x == LEFT
    assert chart.runs[1].x + chart.runs[1].width == pytest.approx(WIDTH - RIGHT)


@pytest.mark.parametrize("count", [2, 3, 28, 96, 275, 800])
def test_the_axis_has_few_round_slice_numbers_whatever_the_count(finding, count):
    slices = tuple(replace(finding.slices[0], index=n) for n in range(count))
    numbers = [int(tick.text) for tick in slice_chart(replace(finding, slices=slices, positive_runs=())).x_ticks]
    assert 2 <= len(numbers) <= 13
    assert numbers == sorted(set(numbers))
    assert numbers[0] >= 1
    assert numbers[-1] <= count


def test_one_slice_has_no_chart(finding):
    assert slice_chart(replace(finding, slices=finding.slices[:1])) is None


def test_the_chart_is_described_in_words(finding):
    said = slice_chart(finding).described
    assert "28 slices" in said
    assert "any is highest at slice 13 with 0.97" in said
    assert "Positive runs: slices 10 to 16." in said


def test_runs_are_counted_from_one():
    assert [run_text(4, 8), run_text(0, 0)] == ["slices 5 to 9", "slice 1"]


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.0, "0.00"), (0.004, "< 0.01"), (0.005, "0.01"), (0.5, "0.50"), (0.9951, "> 0.99"), (1.0, "1.00")],
)
def test_a_probability_is_never_shown_as_certain_when_it_is_not(value, text):
    assert probability_text(value) == text
