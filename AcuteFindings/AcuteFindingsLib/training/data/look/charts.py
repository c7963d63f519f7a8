"""Bars of a data set as plain geometry; `page.html.jinja` draws them, so they follow the page's colors."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

WIDTH, HEIGHT = 470.0, 210.0
LEFT, RIGHT, TOP, BOTTOM = 44.0, 20.0, 14.0, 40.0
_MOST_BINS = 20
_MOST_X_TICKS = 8


@dataclass(frozen=True)
class Bar:
    """One bar in picture units; `number` is its series, `text` what it stands for."""

    x: float
    y: float
    width: float
    height: float
    number: int
    text: str


@dataclass(frozen=True)
class Tick:
    """A place on an axis and what stands there."""

    at: float
    text: str


@dataclass(frozen=True)
class BarChart:
    """Bars side by side over classes of a value; heights are counts, or percent of each series."""

    title: str
    axis: str
    unit: str
    bars: tuple[Bar, ...]
    x_ticks: tuple[Tick, ...]
    y_ticks: tuple[Tick, ...]
    series: tuple[str, ...]
    described: str
    width: float = WIDTH
    height: float = HEIGHT
    left: float = LEFT
    right: float = WIDTH - RIGHT
    top: float = TOP
    bottom: float = HEIGHT - BOTTOM


def histogram(title: str, axis: str, series: dict[str, np.ndarray], *, whole: bool = False) -> BarChart | None:
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
    edges, single = _edges(every, whole=whole)
    counts = [np.histogram(values, edges)[0] for values in known.values()]
    if single:
        names = [ticks_text(edge + 0.5) for edge in edges[:-1].tolist()]
        places = edges[:-1] + 0.5
    else:
        names = [f"{ticks_text(low)} to {ticks_text(high)}" for low, high in pairwise(edges.tolist())]
        places = edges
    places = places[:: max(1, -(-len(places) // _MOST_X_TICKS))]
    ticks = [((place - edges[0]) / (edges[-1] - edges[0]), ticks_text(place)) for place in places.tolist()]
    return _chart(title, axis, list(known), counts, names, ticks)


def categories(title: str, series: dict[str, dict[str, int]], *, axis: str = "") -> BarChart | None:
    """Return bars over named classes, in percent of each series where there are several; None where all is empty."""
    known = {name: counts for name, counts in series.items() if sum(counts.values())}
    if not known:
        return None
    names = list(dict.fromkeys(name for counts in known.values() for name in counts))
    heights = [np.array([counts.get(name, 0) for name in names]) for counts in known.values()]
    ticks = [((n + 0.5) / len(names), name) for n, name in enumerate(names)]
    return _chart(title, axis, list(known), heights, names, ticks)


def ticks_text(value: float) -> str:
    """Return a number as it stands on an axis."""
    return f"{value:,.4g}" if abs(value) < 10_000 else f"{value:,.0f}"


def _edges(values: np.ndarray, *, whole: bool) -> tuple[np.ndarray, bool]:
    """Return the limits of at most 20 classes of one round width, and whether each class is one whole number."""
    low, high = float(values.min()), float(values.max())
    if whole and high - low < _MOST_BINS:
        return np.arange(np.floor(low), np.floor(high) + 2) - 0.5, True
    steps = [base * 10.0**power for power in range(-9, 10) for base in (1, 2, 5)]
    step = min(step for step in steps if (high - low) / step <= _MOST_BINS - 1)
    first = np.floor(low / step) * step
    count = int(np.floor((high - first) / step)) + 1
    return np.asarray(first + step * np.arange(count + 1)), False


def _chart(
    title: str,
    axis: str,
    names: Sequence[str],
    counts: Sequence[np.ndarray],
    classes: Sequence[str],
    ticks: Sequence[tuple[float, str]],
) -> BarChart:
    several = len(names) > 1
    heights = [100 * one / one.sum() if several else one.astype(float) for one in counts]
    top = max(float(one.max()) for one in heights) or 1.0
    step = _nice(top / 4)
    limit = step * np.ceil(top / step)
    inner, tall = WIDTH - LEFT - RIGHT, HEIGHT - TOP - BOTTOM
    slot = inner / len(classes)
    wide = slot * 0.84 / len(names)
    bars = []
    for number, (one, absolute) in enumerate(zip(heights, counts, strict=True)):
        for place, value in enumerate(one.tolist()):
            if value > 0:
                height = tall * value / limit
                said = f"{names[number]}, {classes[place]}: {int(absolute[place])}"
                x = LEFT + slot * (place + 0.08) + wide * number
                bars.append(Bar(_r(x), _r(HEIGHT - BOTTOM - height), _r(wide), _r(height), number, said))
    unit = "%" if several else ""
    levels = np.arange(0, limit + step / 2, step)
    described = f"{title}. " + "; ".join(
        f"{name}: " + ", ".join(f"{label} {int(value)}" for label, value in zip(classes, one, strict=True) if value)
        for name, one in zip(names, counts, strict=True)
    )
    return BarChart(
        title=title,
        axis=axis,
        unit=unit,
        bars=tuple(bars),
        x_ticks=tuple(Tick(_r(LEFT + inner * share), text) for share, text in ticks),
        y_ticks=tuple(
            Tick(_r(HEIGHT - BOTTOM - tall * level / limit), f"{ticks_text(float(level))}{unit and ' %'}")
            for level in levels
        ),
        series=tuple(names) if several else (),
        described=described,
    )


def _nice(step: float) -> float:
    power = 10.0 ** np.floor(np.log10(step))
    return float(next(base * power for base in (1, 2, 5, 10) if base * power >= step))


def _r(value: float) -> float:
    return round(float(value), 2)
