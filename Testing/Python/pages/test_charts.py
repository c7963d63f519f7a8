"""What stands in a page as a chart: counts, names out of files, colors of the page."""

import re
import warnings
from concurrent.futures import ThreadPoolExecutor
from html.parser import HTMLParser

import matplotlib as mpl
import numpy as np
import pytest
from sklearn.metrics import precision_recall_curve, roc_curve

from AcuteFindingsLib.evaluation.schema import Curve
from AcuteFindingsLib.pages import curves
from AcuteFindingsLib.pages.charts import categories, histogram, loss_curves, slice_chart
from AcuteFindingsLib.pages.style import SERIES

WICKED = ["<script>alert(1)</script>", "$\\frac$ & $x$", '" onload="x', "_hidden", "肺"]


def tips(chart: str) -> list[str]:
    """Return what stands where the pointer rests on a bar."""
    return re.findall("<g><title>(.*?)</title>", chart)


def heights(chart: str) -> dict[str, float]:
    """Return the height of each bar by its name."""
    bars = re.findall(r'<title>([^<]*?): \d+</title>\s*<path d="M [\d.]+ ([\d.]+) [^"]*?L [\d.]+ ([\d.]+) \nz', chart)
    return {name: float(low) - float(high) for name, low, high in bars}


def test_a_histogram_counts_every_value_once() -> None:
    values = np.array([1.0, 2, 2, 3, 9.5, np.nan])
    chart = histogram("t", "a", {"all": values})
    assert sum(int(tip.rpartition(" ")[2]) for tip in tips(chart)) == 5
    whole = histogram("t", "a", {"all": values[:4]}, whole=True)
    assert tips(whole) == ["all, 1: 1", "all, 2: 2", "all, 3: 1"]
    assert histogram("t", "a", {"all": np.full(5, 3.0)}) is None


def test_two_classes_are_drawn_in_percent_of_each() -> None:
    chart = categories("t", {"positive": {"PA": 1, "AP": 1}, "negative": {"PA": 90, "AP": 10}})
    tall = heights(chart)
    assert tall["positive, PA"] == pytest.approx(tall["positive, AP"])
    assert tall["negative, PA"] == pytest.approx(9 * tall["negative, AP"], rel=0.01)
    assert categories("t", {"all": {}}) is None


def test_charts_follow_the_colors_of_the_page_and_reach_for_nothing_outside() -> None:
    chart = slice_chart([1, 2, 3], [("a", [0.1, 0.9, 0.2])], threshold=0.5, runs=[(2, 2)], described="Words.")
    assert "var(--c0)" in chart
    assert not [color for color in SERIES if color in chart]
    assert not re.search(r"<style|<script|http|url\(|<metadata", chart)
    assert 'role="img" aria-label="Words."' in chart


@pytest.mark.slow
@pytest.mark.parametrize("name", WICKED)
def test_names_out_of_files_are_shown_as_they_are(name: str) -> None:
    class Read(HTMLParser):
        def __init__(self) -> None:
            super().__init__()
            self.tags: set[str] = set()
            self.names: set[str] = set()
            self.text = ""

        def handle_starttag(self, tag, attrs) -> None:
            self.tags.add(tag)
            self.names |= {key for key, _ in attrs}

        def handle_data(self, data) -> None:
            self.text += data

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        drawn = [
            slice_chart([1, 2], [(name, [0.1, 0.9]), ("b", [0, 0])], threshold=0.5, runs=[], described=name),
            categories(name, {name: {name: 1}, "other": {name: 2}}, axis=name),
            curves.forest([(name, 0.5, None)], title=name),
            curves.kappas([name] * 3, np.full((3, 3), 0.5), name),
            curves.roc({name: Curve(x=[0, 1], y=[0, 1]), "b": Curve(x=[0, 1], y=[0, 1])}, [(0.5, 0.5, name)]),
            loss_curves({name: [{"training": ([1, 2], [0.5, 0.4])}]}),
        ]
    for chart in drawn:
        page = Read()
        page.feed(str(chart))
        assert name[:12] in page.text
        assert "script" not in page.tags
        assert "onload" not in page.names


def test_the_curves_are_those_of_scikit_learn(monkeypatch) -> None:
    figures = []
    genuine = curves.as_svg
    monkeypatch.setattr(curves, "as_svg", lambda figure, words: figures.append(figure) or genuine(figure, words))
    generator = np.random.default_rng(3)
    truth = generator.random(80) < 0.4
    score = np.clip(truth * 0.3 + generator.random(80) * 0.7, 0, 1)
    x, y, _ = roc_curve(truth, score)
    precision, recall, _ = precision_recall_curve(truth, score)
    curves.roc({"a": Curve(x=x.tolist(), y=y.tolist())})
    curves.precision_recall("a", Curve(x=recall[::-1].tolist(), y=precision[::-1].tolist()), 0.4)
    curves.reliability("a", [(0, 0.5, 0.2, 0.3, 7), (0.5, 1, 0.7, 0.9, 3)])
    shown = [[line.get_xydata().tolist() for line in figure.axes[0].lines] for figure in figures]
    assert np.column_stack([x, y]).tolist() in shown[0]
    assert np.column_stack([recall, precision]).tolist() in shown[1]
    assert [[0.2, 0.3], [0.7, 0.9]] in shown[2]
    # A curve that falls between two thresholds is a step, as average precision counts it.
    assert any(line.get_drawstyle() == "steps-post" for line in figures[1].axes[0].lines)


def test_charts_drawn_by_several_threads_are_those_drawn_one_after_the_other() -> None:
    def draw(number: int) -> str:
        values = [number / 10, 0.5, 0.1]
        return slice_chart([1, 2, 3], [("any", values)], threshold=0.5, runs=[(2, 2)], described=f"Chart {number}")

    expected = [draw(number) for number in range(4)]
    with ThreadPoolExecutor(4) as threads:
        assert list(threads.map(draw, range(4))) == expected
    assert mpl.rcParams["axes.spines.top"]
