"""Small pictures beside the tables."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure as Canvas

from AcuteFindingsLib.evaluation.schema import Curve, Figure
from AcuteFindingsLib.pages.style import ACCENT, DOTTED, INK, RULE, SERIES, SOFT

COLORS = (ACCENT, SERIES[0], *SERIES[2:])
_DPI = 110


def canvas(width: float, height: float, columns: int = 1, **options: object) -> tuple[Canvas, list[Axes]]:
    """Return an empty picture (inches) with some axes side by side."""
    drawing = Canvas(figsize=(width, height), layout="constrained", facecolor="white")
    FigureCanvasAgg(drawing)
    axes = drawing.subplots(1, columns, squeeze=False, **options)[0]  # type: ignore[arg-type]
    return drawing, list(axes)


def bars(
    axes: Axes,
    groups: Sequence[str],
    series: Sequence[tuple[str, Sequence[Figure | None]]],
    *,
    published: Sequence[Sequence[float | None]] = (),
    label: str,
) -> None:
    """Draw groups of bars with intervals; what was published stands as a line across its bar."""
    width = 0.8 / len(series)
    places = np.arange(len(groups))
    for number, (name, figures) in enumerate(series):
        x = places + (number - (len(series) - 1) / 2) * width
        values = [one.value if one is not None and one.value is not None else 0.0 for one in figures]
        axes.bar(x, values, 0.92 * width, color=COLORS[number], label=name)
        for at, one in zip(x, figures, strict=True):
            if one is not None and one.intervals:
                axes.plot([at, at], [one.intervals[0].low, one.intervals[0].high], color=INK, linewidth=1.1)
        if published:
            marked = [(at, value) for at, value in zip(x, published[number], strict=True) if value is not None]
            for order, (at, value) in enumerate(marked):
                words = "published, on patients" if number == len(series) - 1 and order == 0 else None
                axes.plot(
                    [at - 0.46 * width, at + 0.46 * width], [value, value], color="#e2a100", linewidth=2.6, label=words
                )
    axes.set_xticks(places, groups)
    axes.set(ylabel=label, ylim=(0, 1.02))
    _tidy(axes, grid="y")
    axes.figure.legend(loc="outside upper center", ncols=4, frameon=False, fontsize=8)


def roc(axes: Axes, curves: Sequence[tuple[str, Curve]], title: str) -> None:
    """Draw ROC curves."""
    axes.plot([0, 1], [0, 1], color=SOFT, linewidth=0.8, linestyle=DOTTED)
    for number, (name, curve) in enumerate(curves):
        axes.plot(curve.x, curve.y, color=COLORS[number], linewidth=1.8, label=name)
    axes.set(xlabel="1 − specificity", ylabel="Sensitivity", xlim=(-0.01, 1.01), ylim=(-0.01, 1.01), aspect="equal")
    axes.set_title(title, fontsize=10, color=INK)
    axes.legend(loc="lower right", frameon=False, fontsize=8)
    _tidy(axes, grid="both")


def picture(axes: Axes, image: np.ndarray, title: str, outlines: Sequence[tuple[np.ndarray, str]] = ()) -> None:
    """Show a gray picture ``(y, x)`` in 0..255 with the edges of some masks."""
    axes.imshow(image, cmap="gray", vmin=0, vmax=255, interpolation="bilinear")
    for mask, color in outlines:
        if mask.any() and not mask.all():
            axes.contour(mask.astype(float), [0.5], colors=[color], linewidths=1.3)
    axes.set_title(title, fontsize=8.5, color=INK)
    axes.set_xticks([])
    axes.set_yticks([])
    axes.spines[:].set_visible(False)


def save(drawing: Canvas, file: Path) -> None:
    """Write a PNG, the same bytes for the same drawing."""
    file.parent.mkdir(parents=True, exist_ok=True)
    drawing.savefig(file, dpi=_DPI, metadata={"Software": None})


def _tidy(axes: Axes, *, grid: str) -> None:
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color(SOFT)
    axes.grid(visible=True, axis=grid, color=RULE, linewidth=0.6)  # type: ignore[arg-type]
    axes.set_axisbelow(True)
    axes.tick_params(colors=SOFT, labelsize=8.5)
