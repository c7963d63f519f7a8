"""Charts of a study, of a data set and of a training run."""

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.colors import to_rgba
from matplotlib.ticker import FuncFormatter, MaxNLocator

from AcuteFindingsLib.pages.style import (
    ACCENT,
    DASHES,
    INK,
    PAGE,
    SERIES,
    add_legend,
    add_tip,
    as_svg,
    canvas,
    line,
    styled,
)

_MOST_MARKS = 60
_MOST_NAMED = 4
_RUN = to_rgba(SERIES[0], 0.14)
_MOST_BINS = 20
_MOST_TICKS = 8
_ROUND = (1, 2, 5, 10)


def draw_slices(
    axes: Axes,
    numbers: Sequence[int],
    lines: Sequence[tuple[str, Sequence[float]]],
    *,
    threshold: float,
    runs: Sequence[tuple[int, int]],
    colors: Sequence[Any] = SERIES,
    threshold_color: Any = INK,
    run_color: Any = _RUN,
) -> None:
    """Draw probabilities over slice numbers.

    Parameters
    ----------
    numbers
        Slices as people count them, from 1.
    lines
        Names and probabilities; the first decides and lies on top.
    threshold
        At or above it a slice is positive.
    runs
        First and last number of each run of positive slices.
    """
    for first, last in runs:
        axes.axvspan(first - 0.5, last + 0.5, facecolor=run_color, linewidth=0)
    for place, (name, values) in enumerate(lines):
        main = place == 0
        axes.plot(
            numbers,
            values,
            label=name,
            color=colors[place % len(colors)],
            linestyle=DASHES[place % len(DASHES)],
            linewidth=2.2 if main else 1.2,
            marker="o" if main and len(numbers) <= _MOST_MARKS else "",
            markersize=4,
            markerfacecolor=PAGE,
            zorder=3 if main else 2,
        )
    axes.axhline(threshold, color=threshold_color, linestyle=(0, (6, 3)), linewidth=1.2)
    axes.set(xlabel="Slice number", ylabel="Probability", xlim=(numbers[0] - 0.5, numbers[-1] + 0.5), ylim=(0, 1.02))
    axes.xaxis.set_major_locator(MaxNLocator(12, integer=True, steps=_ROUND))
    axes.set_yticks(np.linspace(0, 1, 5))
    axes.grid(visible=False, axis="x")


@styled
def slice_chart(
    numbers: Sequence[int],
    lines: Sequence[tuple[str, Sequence[float]]],
    *,
    threshold: float,
    runs: Sequence[tuple[int, int]],
    described: str,
) -> Markup:
    """Return the chart that `draw_slices` draws, with a legend; runs and threshold have their numbers beside them."""
    figure, axes = canvas(9, 3.8)
    draw_slices(axes, numbers, lines, threshold=threshold, runs=runs)
    handles, names = [*axes.lines], [*(name for name, _ in lines), "slice threshold"]
    axes.text(numbers[-1] + 0.5, threshold + 0.02, f"threshold {threshold:.2f}", ha="right")
    span = numbers[-1] + 1 - numbers[0]
    for first, last in runs:
        axes.plot([first - 0.5, last + 0.5], [1.02, 1.02], color=SERIES[0], linewidth=3, clip_on=False)
        if len(runs) <= _MOST_NAMED or last + 1 - first > 0.08 * span:
            middle = min(max((first + last) / 2, numbers[0] + 0.05 * span), numbers[-1] - 0.05 * span)
            words = f"slice {first}" if first == last else f"slices {first} to {last}"
            axes.text(middle, 1.05, words, ha="center", va="bottom", color=SERIES[0], weight="bold")
    if len(lines) > 1:
        names[0] += " (decides)"
    if runs:
        handles.append(axes.patches[0])
        names.append("positive run")
    add_legend(figure, handles, names, columns=3)
    return as_svg(figure, described)


@styled
def histogram(title: str, axis: str, series: Mapping[str, np.ndarray], *, whole: bool = False) -> Markup | None:
    """Return a histogram of one or several series of numbers; None where there are not two different ones.

    Several are drawn in percent of each, so that a rare class can be compared with a frequent one.

    Parameters
    ----------
    title, axis
        What it shows, and what stands below the axis.
    series
        Name to values; NaN is left out.
    whole
        Whether the values are whole numbers, so that classes are too.
    """
    known = {name: values[~np.isnan(values)] for name, values in series.items()}
    known = {name: values for name, values in known.items() if len(values)}
    every = np.concatenate([*known.values(), np.zeros(0)])
    if len(np.unique(every)) < 2:
        return None
    low, high = float(every.min()), float(every.max())
    single = whole and high - low < _MOST_BINS
    if single:
        edges = np.arange(np.floor(low), np.floor(high) + 2) - 0.5
        names = [_number(edge + 0.5) for edge in edges[:-1]]
    else:
        edges = np.asarray(MaxNLocator(_MOST_BINS - 1, steps=_ROUND).tick_values(low, high))
        names = [f"{_number(first)} to {_number(last)}" for first, last in pairwise(edges)]
    counts = {name: np.histogram(values, edges)[0] for name, values in known.items()}
    return _bars(title, axis, counts, names, edges)


@styled
def categories(title: str, series: Mapping[str, Mapping[str, int]], *, axis: str = "") -> Markup | None:
    """Return bars over named classes, in percent of each series where there are several; None where all is empty."""
    known = {name: counts for name, counts in series.items() if sum(counts.values())}
    if not known:
        return None
    classes = list(dict.fromkeys(name for counts in known.values() for name in counts))
    heights = {name: np.array([counts.get(one, 0) for one in classes]) for name, counts in known.items()}
    return _bars(title, axis, heights, classes, None)


def _bars(
    title: str, axis: str, counts: Mapping[str, np.ndarray], classes: Sequence[str], edges: np.ndarray | None
) -> Markup:
    """Draw bars side by side; `edges` are the limits of the classes on the axis, None where they have names only."""
    several = len(counts) > 1
    limits = np.arange(len(classes) + 1) - 0.5 if edges is None else edges
    wide = np.diff(limits) * 0.84 / len(counts)
    figure, axes = canvas(4.9, 2.5 if several else 2.3)
    handles = []
    for number, (name, one) in enumerate(counts.items()):
        heights = 100 * one / one.sum() if several else one
        lefts = limits[:-1] + np.diff(limits) * 0.08 + wide * number
        bars = axes.bar(lefts, heights, wide, align="edge", color=SERIES[number] if several else ACCENT)
        handles.append(bars[0])
        for bar, label, count in zip(bars, classes, one, strict=True):
            add_tip(bar, f"{name}, {label}: {count}")
    axes.set_title(title, loc="left")
    axes.set(xlabel=axis, xlim=(limits[0], limits[-1]))
    axes.grid(visible=False, axis="x")
    axes.yaxis.set_major_locator(MaxNLocator(5, steps=_ROUND, integer=not several))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{_number(value)}{' %' if several else ''}"))
    if edges is None:
        axes.set_xticks(range(len(classes)), [one if len(one) <= 16 else f"{one[:15]}…" for one in classes])
        if len(classes) > 4:
            axes.tick_params(axis="x", rotation=25)
    else:
        axes.xaxis.set_major_locator(MaxNLocator(_MOST_TICKS, steps=_ROUND, integer=classes[0].isdigit()))
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: _number(value)))
    if several:
        add_legend(figure, handles, list(counts), columns=3, length=1)
    said = "; ".join(
        f"{name}: " + ", ".join(f"{label} {value}" for label, value in zip(classes, one, strict=True) if value)
        for name, one in counts.items()
    )
    return as_svg(figure, f"{title}. {said}")


@styled
def verdict_zones(
    present: np.ndarray, absent: np.ndarray, *, negative_below: float, positive_from: float, bins: int = 25
) -> Markup:
    """Return how many studies with (above the axis) and without a finding (below) have which probability.

    What lies between the two thresholds, where the verdict is indeterminate, is shaded.

    Parameters
    ----------
    present, absent
        ``(n,)`` and ``(m,)``: probabilities of the studies with and without the finding.
    """
    figure, axes = canvas(6.4, 3.4)
    edges = np.linspace(0, 1, bins + 1)
    above, below = np.histogram(present, edges)[0], np.histogram(absent, edges)[0]
    width = 0.84 / bins
    handles = [
        axes.bar(edges[:-1] + 0.08 / bins, counts, width, align="edge", color=color)[0]
        for counts, color in ((above, SERIES[0]), (-below, ACCENT))
    ]
    high = min(positive_from, 1.0)
    if high > negative_below:
        handles.append(axes.axvspan(negative_below, high, facecolor=to_rgba(INK, 0.12), linewidth=0))
    for threshold in {negative_below, high}:
        axes.axvline(threshold, color=INK, linestyle=(0, (6, 3)), linewidth=1.2)
    axes.axhline(0, color=INK, linewidth=0.8)
    axes.set(xlabel="Probability", ylabel="Studies", xlim=(0, 1))
    axes.grid(visible=False, axis="x")
    axes.yaxis.set_major_locator(MaxNLocator(7, integer=True, steps=_ROUND))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: _number(abs(value))))
    add_legend(figure, handles, ["with the finding", "without", "indeterminate"][: len(handles)], columns=3, length=1)
    said = (
        f"{len(present)} studies with and {len(absent)} without the finding by probability; negative below "
        f"{negative_below:.3g}, positive from {positive_from:.3g} on."
    )
    return as_svg(figure, said)


@styled
def loss_curves(stages: Mapping[str, Sequence[Mapping[str, tuple[Sequence[float], Sequence[float]]]]]) -> Markup:
    """Return losses by epoch, one panel a stage.

    Parameters
    ----------
    stages
        Stage to its runs; each run holds epochs and losses by name.
    """
    figure, grid = canvas(4.4 * len(stages), 3.2, ncols=len(stages), squeeze=False)
    for axes, (stage, runs) in zip(grid[0], stages.items(), strict=True):
        names = list(dict.fromkeys(name for run in runs for name in run))
        for run in runs:
            for number, name in enumerate(names):
                if name in run:
                    axes.plot(*run[name], marker="o", markersize=3, linewidth=1.4, **line(number))
        axes.set(title=f"Stage: {stage}", xlabel="Epoch", ylabel="Loss")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.legend(axes.lines[: len(names)], names, handlelength=2.6)
    return as_svg(figure, f"Loss by epoch, one panel a stage: {', '.join(stages)}.")


def _number(value: float) -> str:
    """Return a number as it stands on an axis."""
    return f"{value:,.4g}" if abs(value) < 10_000 else f"{value:,.0f}"
