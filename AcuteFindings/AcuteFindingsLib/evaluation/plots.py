"""Figures of an evaluation as SVG that stands in a page and follows its colors."""

import io
import re
from collections.abc import Sequence
from typing import Any, Literal

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure as Canvas

from AcuteFindingsLib.evaluation.schema import Bin, Curve, Figure, MaskRow, Point

# Drawn in these, then exchanged for the page's own variables (report.css), so that dark pages have dark figures.
_INK, _SOFT, _RULE, _PAGE = "#1b2530", "#566473", "#d5dce3", "#fefefe"
SERIES = ("#1f5f99", "#b3261e", "#17633f", "#8a5300", "#6a3d9a", "#00707a", "#7a4a3a")
_VARIABLES = {
    _INK: "--ink",
    _SOFT: "--soft",
    _RULE: "--rule",
    _PAGE: "--page",
    "#1f5f99": "--c1",
    "#b3261e": "--c0",
    "#17633f": "--c2",
    "#8a5300": "--c3",
    "#6a3d9a": "--c4",
    "#00707a": "--c5",
    "#7a4a3a": "--c6",
}
_DASHES = ("-", (0, (6, 2)), (0, (2, 2)), (0, (6, 2, 2, 2)), (0, (1, 1)), (0, (8, 2, 1, 2, 1, 2)), (0, (4, 4)))
_STYLE: Any = {
    "svg.fonttype": "none",
    "svg.hashsalt": "acutefindings",
    "font.family": "sans-serif",
    "font.size": 9,
    "axes.edgecolor": _SOFT,
    "axes.labelcolor": _INK,
    "axes.titlecolor": _INK,
    "axes.titlesize": 10,
    "axes.titleweight": "bold",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": _RULE,
    "grid.linewidth": 0.6,
    "text.color": _INK,
    "xtick.color": _SOFT,
    "ytick.color": _SOFT,
    "legend.frameon": False,
    "legend.fontsize": 8.5,
    "figure.facecolor": "none",
    "axes.facecolor": "none",
    "savefig.facecolor": "none",
}


def roc_figure(curves: Sequence[tuple[str, Curve]], points: Sequence[tuple[float, float, str]] = ()) -> str:
    """Draw ROC curves; `points` are (1 - specificity, sensitivity, words) of operating points."""
    with mpl.rc_context(_STYLE):
        canvas, axes = _square()
        axes.plot([0, 1], [0, 1], color=_SOFT, linewidth=0.8, linestyle=(0, (2, 3)))
        for number, (name, curve) in enumerate(curves):
            axes.plot(curve.x, curve.y, label=name, **_line(number))
        _mark(axes, points)
        axes.set(xlabel="1 − specificity", ylabel="Sensitivity", title="ROC")
        _legend(axes, "lower right", len(curves))
        return _svg(canvas)


def precision_recall_figure(curves: Sequence[tuple[str, Curve]], prevalence: float | None) -> str:
    """Draw precision-recall curves; `prevalence` is what guessing gives."""
    with mpl.rc_context(_STYLE):
        canvas, axes = _square()
        if prevalence is not None:
            axes.axhline(prevalence, color=_SOFT, linewidth=0.8, linestyle=(0, (2, 3)))
            above = prevalence < 0.9
            axes.text(
                0.01,
                prevalence + (0.015 if above else -0.015),
                f"guessing: {prevalence:.2f}",
                color=_SOFT,
                fontsize=8,
                va="bottom" if above else "top",
            )
        for number, (name, curve) in enumerate(curves):
            axes.plot(curve.x, curve.y, label=name, drawstyle="steps-pre", **_line(number))
        axes.set(xlabel="Recall (sensitivity)", ylabel="Precision (PPV)", title="Precision and recall")
        _legend(axes, "lower left", len(curves))
        return _svg(canvas)


def reliability_figure(bins: Sequence[Bin]) -> str:
    """Draw observed share over stated probability, and below how many cases each bin holds."""
    with mpl.rc_context(_STYLE):
        canvas = Canvas(figsize=(3.7, 3.7), layout="constrained")
        FigureCanvasSVG(canvas)
        upper, lower = canvas.subplots(2, 1, height_ratios=(4, 1), sharex=True)
        upper.plot([0, 1], [0, 1], color=_SOFT, linewidth=0.8, linestyle=(0, (2, 3)))
        filled = [item for item in bins if item.count]
        width = bins[0].high - bins[0].low if bins else 1.0
        upper.bar(
            [(item.low + item.high) / 2 for item in filled],
            [item.observed or 0.0 for item in filled],
            width=width * 0.92,
            color=SERIES[0],
            alpha=0.35,
        )
        upper.plot(
            [item.stated for item in filled],
            [item.observed for item in filled],
            color=SERIES[0],
            marker="o",
            markersize=3.5,
            linewidth=1.2,
        )
        upper.set(ylabel="Observed share", title="Reliability", xlim=(0, 1), ylim=(0, 1.02))
        lower.bar(
            [(item.low + item.high) / 2 for item in filled],
            [item.count for item in filled],
            width=width * 0.92,
            color=_SOFT,
        )
        lower.set(xlabel="Stated probability", ylabel="Cases")
        lower.grid(visible=False)
        lower.locator_params(axis="y", nbins=2, integer=True)
        return _svg(canvas)


def forest_figure(rows: Sequence[tuple[str, Figure]], *, title: str, reference: float | None = None) -> str:
    """Draw a value with its first interval for each row, such as the AUC of each subgroup."""
    with mpl.rc_context(_STYLE):
        canvas = Canvas(figsize=(5.6, 0.75 + 0.3 * len(rows)), layout="constrained")
        FigureCanvasSVG(canvas)
        axes = canvas.subplots()
        if reference is not None:
            axes.axvline(reference, color=_SOFT, linewidth=0.9, linestyle=(0, (4, 3)))
        for place, (_, figure) in enumerate(rows):
            if figure.value is None:
                continue
            if figure.intervals:
                span = figure.intervals[0]
                axes.plot([span.low, span.high], [place, place], color=SERIES[0], linewidth=1.6)
            axes.plot(figure.value, place, marker="s", markersize=5, color=SERIES[0])
        axes.set_yticks(range(len(rows)), [name for name, _ in rows])
        axes.set_ylim(len(rows) - 0.5, -0.5)
        axes.set(title=title)
        axes.grid(visible=False, axis="y")
        axes.tick_params(axis="y", colors=_INK, length=0)
        return _svg(canvas)


def agreement_figure(rows: Sequence[MaskRow], unit: str, limits: tuple[float, float] | None) -> str:
    """Draw predicted minus true size over their mean (Bland and Altman), with the limits of agreement."""
    with mpl.rc_context(_STYLE):
        canvas, axes = _square(equal=False)
        true, size = np.array([row.true_size for row in rows]), np.array([row.size for row in rows])
        axes.axhline(0, color=_SOFT, linewidth=0.8)
        axes.scatter((true + size) / 2, size - true, s=14, color=SERIES[0], alpha=0.7, linewidths=0)
        for edge in limits or ():
            axes.axhline(edge, color=SERIES[1], linewidth=1, linestyle=(0, (6, 3)))
        axes.set(xlabel=f"Mean of predicted and true size, {unit}", ylabel=f"Predicted − true, {unit}", title="Size")
        return _svg(canvas)


def dice_figure(rows: Sequence[MaskRow]) -> str:
    """Draw how many images with a true mask have which Dice."""
    with mpl.rc_context(_STYLE):
        canvas, axes = _square(equal=False)
        filled = [row.dice for row in rows if row.true_size > 0]
        axes.hist(filled, bins=np.linspace(0, 1, 21).tolist(), color=SERIES[0], rwidth=0.92)
        axes.set(xlabel="Dice, images with a true mask", ylabel="Images", title="Dice", xlim=(0, 1))
        axes.locator_params(axis="y", integer=True)
        return _svg(canvas)


def kappa_figure(sets: Sequence[str], kappas: Sequence[Sequence[float | None]], title: str) -> str:
    """Draw kappa of every pair of label sets as a table of colors with the numbers inside."""
    with mpl.rc_context({**_STYLE, "axes.grid": False}):
        side = 1.6 + 0.62 * len(sets)
        canvas = Canvas(figsize=(side + 0.6, side), layout="constrained")
        FigureCanvasSVG(canvas)
        axes = canvas.subplots()
        for row, values in enumerate(kappas):
            for column, value in enumerate(values):
                if value is None or row == column:
                    continue
                strength = min(max(value, 0.0), 1.0)
                axes.fill_between(
                    [column - 0.48, column + 0.48], row - 0.48, row + 0.48, color=SERIES[0], alpha=0.08 + 0.5 * strength
                )
                axes.text(column, row, f"{value:.2f}", ha="center", va="center")
        short = [name if len(name) <= 18 else f"{name[:17]}…" for name in sets]
        axes.set_xticks(range(len(sets)), short, rotation=30, ha="right")
        axes.set_yticks(range(len(sets)), short)
        axes.set(xlim=(-0.5, len(sets) - 0.5), ylim=(len(sets) - 0.5, -0.5), title=title)
        axes.spines[:].set_visible(False)
        axes.tick_params(length=0, colors=_INK)
        return _svg(canvas)


def operating_marks(points: Sequence[Point]) -> list[tuple[float, float, str]]:
    """Return where the operating points lie on a ROC curve."""
    marks = []
    for number, item in enumerate(points):
        sensitivity, specificity = item.figures["sensitivity"].value, item.figures["specificity"].value
        if sensitivity is not None and specificity is not None:
            words = f"{item.threshold:.2f}" if item.stated_beforehand else f"{item.threshold:.2f} (best here)"
            marks.append((1 - specificity, sensitivity, words if number < 3 else ""))
    return marks


def _square(*, equal: bool = True) -> tuple[Canvas, Axes]:
    canvas = Canvas(figsize=(3.7, 3.7), layout="constrained")
    FigureCanvasSVG(canvas)
    axes = canvas.subplots()
    if equal:
        axes.set(xlim=(-0.015, 1.015), ylim=(-0.015, 1.015), aspect="equal")
    return canvas, axes


def _line(number: int) -> dict:
    return {
        "color": SERIES[number % len(SERIES)],
        "linestyle": _DASHES[number % len(_DASHES)],
        "linewidth": 1.8,
    }


def _mark(axes: Axes, points: Sequence[tuple[float, float, str]]) -> None:
    taken: list[float] = []
    for x, y, words in points:
        axes.plot(x, y, marker="o", markersize=6.5, markerfacecolor=_PAGE, markeredgecolor=_INK, markeredgewidth=1.4)
        below = y - 0.05
        while any(abs(below - other) < 0.055 for other in taken):
            below -= 0.06
        taken.append(below)
        right = x > 0.6
        axes.text(
            x - 0.03 if right else x + 0.03, below, words, fontsize=8, ha="right" if right else "left", va="center"
        )


def _legend(axes: Axes, place: Literal["lower right", "lower left"], curves: int) -> None:
    if curves > 1:
        axes.legend(loc=place, handlelength=2.6)


def _svg(canvas: Canvas) -> str:
    stream = io.StringIO()
    canvas.savefig(stream, format="svg", metadata={"Date": None, "Creator": None, "Format": None, "Type": None})
    text = stream.getvalue()
    text = text[text.index("<svg") :]
    # The style sheet that matplotlib puts inside would reach the whole page; the rest names ids that repeat.
    text = re.sub(r"<style.*?</style>", "", text, flags=re.DOTALL)
    text = re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.DOTALL)
    text = re.sub(r'<g id="[^"]*">', "<g>", text)
    text = re.sub(r'(<svg [^>]*?)width="[^"]*" ?', r'\1class="plot" ', text, count=1)
    text = re.sub(r'(<svg [^>]*?)height="[^"]*" ?', r"\1", text, count=1)
    for color, variable in _VARIABLES.items():
        text = text.replace(color, f"var({variable})")
    return text
