"""Plots of how good predictions are: ROC, precision and recall, reliability, intervals, sizes, agreement."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Protocol

import numpy as np
from markupsafe import Markup
from matplotlib.axes import Axes
from sklearn.calibration import CalibrationDisplay
from sklearn.metrics import PrecisionRecallDisplay, RocCurveDisplay

from AcuteFindingsLib.pages.style import ACCENT, DOTTED, INK, PAGE, SERIES, SOFT, as_svg, canvas, line, styled

_SIDE = 3.7
_GUESS: Any = {"color": SOFT, "linewidth": 0.8, "linestyle": DOTTED}
_CURVE = 1.8
_UNIT = (-0.015, 1.015)


class Points(Protocol):
    """A curve: both axes 0..1."""

    @property
    def x(self) -> Sequence[float]:
        """From left to right."""
        ...

    @property
    def y(self) -> Sequence[float]:
        """As many."""
        ...


@styled
def roc(curves: Mapping[str, Points], marks: Sequence[tuple[float, float, str]] = ()) -> Markup:
    """Draw ROC curves: sensitivity over 1 - specificity; `marks` are such points with a few words."""
    figure, axes = canvas(_SIDE, _SIDE)
    axes.plot([0, 1], [0, 1], **_GUESS)
    for number, curve in enumerate(curves.values()):
        shown = RocCurveDisplay(fpr=np.array(curve.x), tpr=np.array(curve.y)).plot(ax=axes)
        shown.line_.set(**line(number), linewidth=_CURVE)
    taken: list[float] = []
    for x, y, words in marks:
        axes.plot(x, y, marker="o", markersize=6.5, markerfacecolor=PAGE, markeredgecolor=INK, markeredgewidth=1.4)
        below = y - 0.05
        while any(abs(below - other) < 0.055 for other in taken):
            below -= 0.06
        taken.append(below)
        side: Any = {"x": x - 0.03, "ha": "right"} if x > 0.6 else {"x": x + 0.03, "ha": "left"}
        axes.text(**side, y=below, s=words, fontsize=8, va="center")
    axes.set(xlabel="1 − specificity", ylabel="Sensitivity", title="ROC", xlim=_UNIT, ylim=_UNIT)
    if len(curves) > 1:
        axes.legend(axes.lines[1 : len(curves) + 1], list(curves), loc="lower right", handlelength=2.6)
    return as_svg(figure, f"ROC curve: {', '.join(curves)}.")


@styled
def precision_recall(name: str, curve: Points, prevalence: float) -> Markup:
    """Draw precision over recall; `prevalence` is the precision of guessing."""
    figure, axes = canvas(_SIDE, _SIDE)
    display = PrecisionRecallDisplay(
        precision=np.array(curve.y)[::-1], recall=np.array(curve.x)[::-1], prevalence_pos_label=prevalence
    )
    shown = display.plot(ax=axes, plot_chance_level=True, chance_level_kw=_GUESS)
    shown.line_.set(**line(0), linewidth=_CURVE)
    _remove_legend(axes)
    above = prevalence < 0.9
    axes.text(
        0.01,
        prevalence + (0.015 if above else -0.015),
        f"guessing: {prevalence:.2f}",
        color=SOFT,
        fontsize=8,
        va="bottom" if above else "top",
    )
    axes.set(
        xlabel="Recall (sensitivity)",
        ylabel="Precision (PPV)",
        title="Precision and recall",
        xlim=_UNIT,
        ylim=_UNIT,
    )
    return as_svg(figure, f"Precision and recall: {name}; guessing gives a precision of {prevalence:.2f}.")


@styled
def reliability(name: str, bins: Iterable[tuple[float, float, float, float, int]]) -> Markup:
    """Draw the observed share over the stated probability, and below how many cases each bin holds.

    Parameters
    ----------
    bins
        Lower and upper limit, mean stated probability, observed share and number of cases of each bin that has some.
    """
    low, high, stated, observed, count = np.array(list(bins), float).reshape(-1, 5).T
    figure, (upper, lower) = canvas(_SIDE, _SIDE, nrows=2, height_ratios=(4, 1), sharex=True)
    upper.plot([0, 1], [0, 1], **_GUESS)
    upper.bar((low + high) / 2, observed, 0.92 * (high - low), color=ACCENT, alpha=0.35)
    shown = CalibrationDisplay(observed, stated, stated).plot(ax=upper, name="observed", ref_line=False)
    shown.line_.set(color=ACCENT, marker="o", markersize=3.5, linewidth=1.2)
    _remove_legend(upper)
    upper.set(xlabel="", ylabel="Observed share", title="Reliability", xlim=(0, 1), ylim=(0, 1.02))
    lower.bar((low + high) / 2, count, 0.92 * (high - low), color=SOFT)
    lower.set(xlabel="Stated probability", ylabel="Cases")
    lower.grid(visible=False)
    lower.locator_params(axis="y", nbins=2, integer=True)
    said = ", ".join(f"{a:.2f} stated {b:.2f} observed" for a, b in zip(stated, observed, strict=True))
    return as_svg(figure, f"Reliability of {name}: {said}.")


@styled
def forest(
    rows: Sequence[tuple[str, float | None, tuple[float, float] | None]], *, title: str, reference: float | None = None
) -> Markup:
    """Draw a value with its interval for each row, such as the AUC of each subgroup."""
    figure, axes = canvas(5.6, 0.75 + 0.3 * len(rows))
    if reference is not None:
        axes.axvline(reference, color=SOFT, linewidth=0.9, linestyle=(0, (4, 3)))
    for place, (_, value, interval) in enumerate(rows):
        if value is not None:
            axes.plot(interval or (value, value), [place, place], color=ACCENT, linewidth=1.6)
            axes.plot(value, place, marker="s", markersize=5, color=ACCENT)
    axes.set_yticks(range(len(rows)), [name for name, *_ in rows])
    axes.set(title=title, ylim=(len(rows) - 0.5, -0.5))
    axes.grid(visible=False, axis="y")
    axes.tick_params(axis="y", colors=INK, length=0)
    return as_svg(figure, f"{title}: " + "; ".join(f"{name} {v:.3f}" for name, v, _ in rows if v is not None) + ".")


@styled
def size_difference(true: np.ndarray, size: np.ndarray, unit: str, limits: tuple[float, float] | None) -> Markup:
    """Draw predicted minus true size over their mean (Bland and Altman), with the limits of agreement."""
    figure, axes = canvas(_SIDE, _SIDE)
    axes.axhline(0, color=SOFT, linewidth=0.8)
    axes.scatter((true + size) / 2, size - true, s=14, color=ACCENT, alpha=0.7, linewidths=0)
    for edge in limits or ():
        axes.axhline(edge, color=SERIES[0], linewidth=1, linestyle=(0, (6, 3)))
    axes.set(xlabel=f"Mean of predicted and true size, {unit}", ylabel=f"Predicted − true, {unit}", title="Size")
    return as_svg(figure, f"Predicted minus true size over their mean, of {len(true)} images.")


@styled
def dice(values: Sequence[float]) -> Markup:
    """Draw how many images have which Dice."""
    figure, axes = canvas(_SIDE, _SIDE)
    axes.hist(values, bins=np.linspace(0, 1, 21).tolist(), color=ACCENT, rwidth=0.92)
    axes.set(xlabel="Dice, images with a true mask", ylabel="Images", title="Dice", xlim=(0, 1))
    axes.locator_params(axis="y", integer=True)
    return as_svg(figure, f"Dice of {len(values)} images with a true mask.")


@styled
def kappas(sets: Sequence[str], values: np.ndarray, title: str) -> Markup:
    """Draw kappa of every pair of label sets, ``(n, n)`` with NaN where there is none, as colors with numbers."""
    side = 1.6 + 0.62 * len(sets)
    figure, axes = canvas(side + 0.6, side)
    for (row, column), value in np.ndenumerate(values):
        if not np.isnan(value):
            box = ([column - 0.48, column + 0.48], row - 0.48, row + 0.48)
            axes.fill_between(*box, color=ACCENT, alpha=0.08 + 0.5 * min(max(value, 0.0), 1.0))
            axes.text(column, row, f"{value:.2f}", ha="center", va="center")
    short = [name if len(name) <= 18 else f"{name[:17]}…" for name in sets]
    axes.set_xticks(range(len(sets)), short, rotation=30, ha="right")
    axes.set_yticks(range(len(sets)), short)
    axes.set(xlim=(-0.5, len(sets) - 0.5), ylim=(len(sets) - 0.5, -0.5), title=title)
    axes.grid(visible=False)
    axes.spines[:].set_visible(False)
    axes.tick_params(length=0, colors=INK)
    return as_svg(figure, f"{title} of {', '.join(sets)}.")


def _remove_legend(axes: Axes) -> None:
    """Remove what scikit-learn puts there; whether it does depends on its version."""
    if legend := axes.get_legend():
        legend.remove()
