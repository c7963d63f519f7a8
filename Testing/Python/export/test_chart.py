from dataclasses import replace

import pytest

from AcuteFindingsLib.detectors.wording import probability_text
from AcuteFindingsLib.export.chart import finding_chart, run_text
from AcuteFindingsLib.pages import charts


@pytest.fixture
def drawn(monkeypatch):
    """Return what a finding's chart was drawn on: every line by its name, and the axes."""

    def draw(finding):
        kept = {}
        genuine = charts.draw_slices

        def keep(axes, *arguments, **options):
            genuine(axes, *arguments, **options)
            kept["axes"] = axes

        monkeypatch.setattr(charts, "draw_slices", keep)
        finding_chart(finding, {label: label for label in finding.labels})
        return kept["axes"]

    return draw


def lines(axes) -> dict:
    return {line.get_label(): line for line in axes.lines if not line.get_label().startswith("_")}


def test_every_label_is_a_line_over_every_slice_and_the_main_one_lies_on_top(finding, drawn):
    found = lines(drawn(finding))
    assert set(found) == set(finding.labels)
    assert max(found, key=lambda name: found[name].get_zorder()) == "any"
    assert [line.get_zorder() for line in found.values()].count(found["any"].get_zorder()) == 1
    assert all(len(line.get_xdata()) == 28 for line in found.values())


def test_labels_of_one_meaning_are_a_line_each(finding):
    chart = finding_chart(finding, dict.fromkeys(finding.labels, "Bleeding"))
    assert chart.count("Bleeding") == len(finding.labels)


def test_points_lie_at_their_slice_and_probability(finding, drawn):
    line = lines(drawn(finding))["any"]
    assert list(line.get_xdata()) == [item.index + 1 for item in finding.slices]
    assert list(line.get_ydata()) == [item.probabilities["any"] for item in finding.slices]


def test_a_run_is_shaded_from_its_first_slice_to_its_last_and_named(finding, drawn):
    axes = drawn(finding)
    (run,) = axes.patches
    assert run.get_extents().transformed(axes.transData.inverted()).intervalx.tolist() == pytest.approx([9.5, 16.5])
    assert "slices 10 to 16" in [text.get_text() for text in axes.texts]


def test_runs_at_the_ends_stay_inside_the_chart(finding, drawn):
    axes = drawn(replace(finding, positive_runs=((0, 1), (27, 27))))
    low, high = axes.get_xlim()
    for run in axes.patches:
        left, right = run.get_extents().transformed(axes.transData.inverted()).intervalx
        assert left >= low - 1e-6
        assert right <= high + 1e-6
    assert all(low < text.get_position()[0] <= high for text in axes.texts)


@pytest.mark.slow
@pytest.mark.parametrize("count", [2, 3, 28, 96, 275, 800])
def test_the_axis_has_few_round_slice_numbers_whatever_the_count(finding, drawn, count):
    slices = tuple(replace(finding.slices[0], index=n) for n in range(count))
    axes = drawn(replace(finding, slices=slices, positive_runs=()))
    low, high = axes.get_xlim()
    numbers = [tick for tick in axes.get_xticks() if low <= tick <= high]
    assert 2 <= len(numbers) <= 13
    assert numbers == sorted(set(numbers))
    assert all(number == int(number) for number in numbers)
    assert numbers[0] >= 1
    assert numbers[-1] <= count


def test_one_slice_has_no_chart(finding):
    assert finding_chart(replace(finding, slices=finding.slices[:1]), {}) is None


def test_the_chart_is_described_in_words(finding):
    said = finding_chart(finding, {label: label for label in finding.labels})
    assert said.count("28 slices") == 2  # for those who point at it, and for those who cannot see it
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
