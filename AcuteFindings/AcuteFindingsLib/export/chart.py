"""Charts of a finding as plain geometry; `chart.svg.jinja` draws them, so they follow the page's colors."""

from dataclasses import dataclass
from math import ceil

from AcuteFindingsLib.detectors.finding import Finding

WIDTH, HEIGHT = 760.0, 300.0
LEFT, RIGHT, TOP, BOTTOM = 46.0, 14.0, 26.0, 44.0

_MOST_TICKS = 12
_MARKED_UP_TO = 60


@dataclass(frozen=True)
class Tick:
    """A place on an axis in picture units and what stands there."""

    at: float
    text: str


@dataclass(frozen=True)
class Series:
    """One label's line: `points` as SVG wants them, `marks` the same as pairs where there are few enough to draw."""

    label: str
    points: str
    marks: tuple[tuple[float, float], ...]
    number: int
    main: bool


@dataclass(frozen=True)
class Run:
    """A run of positive slices: where its band starts, how wide it is, and its slices in words."""

    x: float
    width: float
    text: str


@dataclass(frozen=True)
class SliceChart:
    """Probabilities over slice number. All numbers are SVG user units but for `described`."""

    width: float
    height: float
    left: float
    right: float
    top: float
    bottom: float
    x_ticks: tuple[Tick, ...]
    y_ticks: tuple[Tick, ...]
    series: tuple[Series, ...]
    runs: tuple[Run, ...]
    threshold_y: float
    threshold: str
    described: str


def slice_chart(finding: Finding) -> SliceChart | None:
    """Lay out the probabilities of every label over the slices; None where there are fewer than two slices.

    Slices are numbered from 1, as on a workstation. The main label is drawn last, over the others.
    """
    if len(finding.slices) < 2:
        return None
    first, last = finding.slices[0].index, finding.slices[-1].index
    inner = WIDTH - LEFT - RIGHT

    def x(index: float) -> float:
        return round(LEFT + inner * (index - first) / (last - first), 2)

    def y(probability: float) -> float:
        return round(HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * min(max(probability, 0.0), 1.0), 2)

    half = inner / (last - first) / 2
    runs = []
    for start, stop in finding.positive_runs:
        low, high = max(LEFT, x(start) - half), min(WIDTH - RIGHT, x(stop) + half)
        runs.append(Run(round(low, 2), round(high - low, 2), run_text(start, stop)))
    series = []
    for number, label in enumerate(finding.labels):
        pairs = tuple((x(item.index), y(item.probabilities[label])) for item in finding.slices)
        points = " ".join(f"{a:g},{b:g}" for a, b in pairs)
        main = label == finding.main_label
        series.append(Series(label, points, pairs if main and len(pairs) <= _MARKED_UP_TO else (), number, main))
    series.sort(key=lambda item: item.main)
    return SliceChart(
        width=WIDTH,
        height=HEIGHT,
        left=LEFT,
        right=WIDTH - RIGHT,
        top=TOP,
        bottom=HEIGHT - BOTTOM,
        x_ticks=tuple(Tick(x(number - 1), str(number)) for number in _tick_numbers(first + 1, last + 1)),
        y_ticks=tuple(Tick(y(value), f"{value:g}") for value in (0, 0.25, 0.5, 0.75, 1)),
        series=tuple(series),
        runs=tuple(runs),
        threshold_y=y(finding.slice_threshold),
        threshold=f"{finding.slice_threshold:.2f}",
        described=_described(finding),
    )


def run_text(first: int, last: int) -> str:
    """Return a run of slice indices in words, counted from 1: ``"slices 5 to 9"``."""
    return f"slice {first + 1}" if first == last else f"slices {first + 1} to {last + 1}"


def _tick_numbers(first: int, last: int) -> list[int]:
    span = last - first
    step = next(n for n in (1, 2, 5, 10, 20, 25, 50, 100, 200, 500, 10**9) if span / n <= _MOST_TICKS)
    return list(range(step * ceil(first / step), last + 1, step)) or [first, last]


def _described(finding: Finding) -> str:
    values = [item.probabilities[finding.main_label] for item in finding.slices]
    top = finding.slices[max(range(len(values)), key=values.__getitem__)].index + 1
    runs = ", ".join(run_text(*run) for run in finding.positive_runs) or "none"
    return (
        f"Line chart of slice probabilities for {', '.join(finding.labels)} over {len(values)} slices. "
        f"{finding.main_label} is highest at slice {top} with {max(values):.2f}; the slice threshold is "
        f"{finding.slice_threshold:.2f}. Positive runs: {runs}."
    )
