"""The page and the numbers of drift."""

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from markupsafe import Markup
from matplotlib.colors import to_rgba

from AcuteFindingsLib.pages.page import render, write_page
from AcuteFindingsLib.pages.style import (
    ACCENT,
    INK,
    PAGE,
    SERIES,
    SOFT,
    add_legend,
    add_tip,
    as_svg,
    canvas,
    line,
    styled,
)
from AcuteFindingsLib.trust.drift import MUCH
from AcuteFindingsLib.worklist.drift import Change, Drift, Span

DRIFT_PAGE, DRIFT_NUMBERS = "drift.html", "drift.json"

_MOST_COURSES = 6
_MOST_LINES = 4
_MOST_TICKS = 26


def write_drift(drifts: Sequence[Drift], folder: Path) -> tuple[Path, Path]:
    """Write `DRIFT_PAGE` and `DRIFT_NUMBERS` into a folder and return their paths; raises `ExportError` as they do."""
    page = render("drift.html.jinja", drifts=[drawn(drift) for drift in drifts])
    numbers = json.dumps([drift_numbers(drift) for drift in drifts], indent=2, allow_nan=False) + "\n"
    return write_page(page, folder / DRIFT_PAGE), write_page(numbers, folder / DRIFT_NUMBERS)


def drift_numbers(drift: Drift) -> dict[str, Any]:
    """Return what was found of a detector's studies, for programs; only counts and distributions, no study."""
    return {
        "detector": drift.detector,
        "reference": drift.reference,
        "reference_studies": drift.base.count,
        "said": drift.said,
        "left_out": list(drift.left_out),
        "changes": [
            {"variable": one.variable, "spans": list(one.spans), "lasting": one.lasting, "largest": asdict(one.largest)}
            for one in drift.changes
        ],
        "spans": [_span_numbers(span) for span in drift.spans],
        "latest_together": None if drift.recent is None else _span_numbers(drift.recent),
    }


def _span_numbers(span: Span) -> dict[str, Any]:
    return {
        "name": span.name,
        "first": span.first.isoformat(),
        "last": span.last.isoformat(),
        "studies": span.sample.count,
        "variables": [asdict(shift) | {"changed": shift.changed} for shift in span.shifts],
    }


def change_words(change: Change) -> str:
    """Return in one sentence in which weeks a variable changed, and from what to what."""
    first, last = change.spans[0], change.spans[-1]
    if len(change.spans) == 1:
        when = f"in {first}"
    elif change.lasting:
        when = f"in {len(change.spans)} spans from {first} to the latest"
    else:
        when = f"in {len(change.spans)} spans from {first} to {last}"
    how = "moved much" if change.largest.psi > MUCH else "moved"
    return f"{how} {when}: {change.largest.before} before, {change.largest.now} then (PSI {change.largest.psi:.2f})."


def drawn(drift: Drift) -> dict[str, Any]:
    """Return what a page shows of a detector's drift."""
    return {
        "drift": drift,
        "changes": [(change.variable, change_words(change), change.lasting) for change in drift.changes],
        "map": draw_map(drift) if drift.spans else "",
        "courses": [draw_course(drift, change.variable) for change in drift.changes[:_MOST_COURSES]],
    }


@styled
def draw_map(drift: Drift) -> Markup:
    """Draw how much every variable moved in every span: the darker the more; what counts as a change is framed."""
    columns: list[tuple[float, Span]] = list(enumerate(drift.spans))
    if drift.recent is not None:
        columns.append((len(drift.spans) + 0.4, drift.recent))
    compared = {shift.variable for _, span in columns for shift in span.shifts}
    names = [name for name in (*drift.base.numbers, *drift.base.names) if name in compared]
    figure, axes = canvas(max(5.0, min(9.0, 3.2 + 0.35 * len(drift.spans))), 0.9 + 0.24 * len(names))
    for column, span in columns:
        for shift in span.shifts:
            row = names.index(shift.variable)
            shade = min(shift.psi / (4 * MUCH), 1.0)
            cell = axes.bar(
                column,
                0.84,
                width=0.9,
                bottom=row - 0.42,
                facecolor=to_rgba(SERIES[0] if shift.changed else SOFT, 0.06 + 0.74 * shade),
                edgecolor=SERIES[0] if shift.changed else "none",
                linewidth=1.4 if shift.changed else 0,
            )[0]
            add_tip(cell, f"{span.name}, {shift.variable}: PSI {shift.psi:.2f}, p {shift.adjusted:.3g}; {shift.now}")
    step = -(-len(drift.spans) // _MOST_TICKS)
    shown = range(0, len(drift.spans), step)
    ticks: list[tuple[float, str]] = [(place, drift.spans[place].name.split(" ")[0]) for place in shown]
    if drift.recent is not None:
        ticks.append((columns[-1][0], "latest together"))
    axes.set_xticks([place for place, _ in ticks], [words for _, words in ticks], rotation=60, ha="right")
    axes.set_yticks(range(len(names)), names)
    axes.set(xlim=(-0.6, columns[-1][0] + 0.6), ylim=(len(names) - 0.4, -0.6))
    axes.grid(visible=False)
    axes.tick_params(length=0)
    said = "; ".join(f"{one.variable} {change_words(one)}" for one in drift.changes) or "Nothing changed."
    return as_svg(figure, f"How much each variable moved by week, against {drift.reference}. {said}")


@styled
def draw_course(drift: Drift, name: str) -> Markup:
    """Draw one variable by week: median and quartiles of a number, the shares of the most frequent names else."""
    figure, axes = canvas(4.9, 2.6)
    places = np.arange(len(drift.spans))
    if name in drift.base.numbers:
        held = [np.array(span.sample.numbers.get(name, ())) for span in drift.spans]
        low, middle, high = np.array(
            [np.percentile(one, (25, 50, 75)) if len(one) else np.full(3, np.nan) for one in held]
        ).T
        before = np.percentile(drift.base.numbers[name], (25, 50, 75))
        axes.axhspan(before[0], before[2], facecolor=to_rgba(SOFT, 0.16), linewidth=0)
        axes.axhline(before[1], color=SOFT, linewidth=1)
        axes.fill_between(places, low, high, color=to_rgba(ACCENT, 0.2), linewidth=0)
        axes.plot(places, middle, color=ACCENT, marker="o", markersize=3.5, markerfacecolor=PAGE)
        described = "median and quartiles by week; gray: the reference"
    else:
        counts = [span.sample.names.get(name, {}) for span in drift.spans]
        total: dict[str, int] = dict(drift.base.names[name])
        for one in counts:
            for word, count in one.items():
                total[word] = total.get(word, 0) + count
        words = sorted(total, key=lambda word: -total[word])[:_MOST_LINES]
        for number, word in enumerate(words):
            shares = [100 * one.get(word, 0) / max(sum(one.values()), 1) for one in counts]
            axes.plot(places, shares, marker="o", markersize=3.5, markerfacecolor=PAGE, **line(number))
        axes.set(ylim=(-3, 103), ylabel="% of the studies")
        add_legend(figure, axes.lines, words, columns=2)
        described = "share by week"
    for place, span in enumerate(drift.spans):
        if any(shift.variable == name for shift in span.changed):
            axes.axvline(place, color=SERIES[0], linewidth=5, alpha=0.16)
    step = -(-len(drift.spans) // 6)
    shown = places[::step]
    axes.set_xticks(shown, [drift.spans[place].name.split(" ")[0] for place in shown], color=INK)
    axes.set_title(name, loc="left")
    axes.grid(visible=False, axis="x")
    return as_svg(figure, f"{name}: {described}; weeks that count as changed are marked.")
