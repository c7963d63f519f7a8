"""Pictures of images with maps over them, one by one and together on a sheet."""

import string
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine

from AcuteFindingsLib.errors import EvaluationError
from AcuteFindingsLib.evaluation.case_names import case_key, plain
from AcuteFindingsLib.evaluation.schema import Agreement
from AcuteFindingsLib.files import replace_when_written
from AcuteFindingsLib.pages.style import styled
from AcuteFindingsLib.progress import Cancelled, Progress, never_cancelled, no_progress, stop_if

_BACK, _INK, _SOFT = "#12171d", "#e8edf2", "#a3b0bd"
_DPI = 110
_LOWEST, _OPACITY = 0.15, 0.55
_MASK_COLOR = "#3ddc84"
_SHEET_COLUMNS = 4
_LETTERS_PER_INCH = 14
_DISAGREEMENT_COLUMNS = 6
_SUFFIXES = (".png", ".jpg", ".jpeg")


@dataclass(frozen=True)
class Panel:
    """One picture: `image` ``(y, x)`` in 0..1, what lies over it, and what stands above and below it.

    `heat` is ``(y, x)`` in 0..1, dark below 0.15; `outline` ``(y, x)`` bool is drawn as a line.
    """

    image: np.ndarray
    title: str = ""
    note: str = ""
    heat: np.ndarray | None = None
    outline: np.ndarray | None = None


def write_row(panels: Sequence[Panel], target: Path) -> Path:
    """Write panels side by side as one PNG."""
    return _write([list(panels)], target, columns=len(panels), side=3.0)


def write_sheet(panels: Sequence[Panel], target: Path, *, columns: int = _SHEET_COLUMNS) -> Path:
    """Write many panels as one contact sheet, row by row."""
    rows = [list(panels[start : start + columns]) for start in range(0, len(panels), columns)]
    return _write(rows, target, columns=columns, side=2.3)


def disagreement_sheets(
    result: Agreement,
    images: Path,
    folder: Path,
    *,
    progress: Progress = no_progress,
    cancelled: Cancelled = never_cancelled,
) -> dict[str, Path]:
    """Write a sheet a label of the images on which label sets disagree most, with who says what.

    Label sets are lettered; those who see the label stand first. Images that `images` lacks are left out; a label
    without any has no sheet.

    Raises
    ------
    EvaluationError
        When `images` is not a folder or none of the images is there.
    """
    if not images.is_dir():
        raise EvaluationError(f"--images {images} is not a folder.")
    files = {case_key(file.name): file for file in sorted(images.rglob("*")) if file.suffix.lower() in _SUFFIXES}
    sheets = {}
    for number, item in enumerate(result.labels):
        stop_if(cancelled)
        progress(f"Drawing disagreements: {item.label}", number / len(result.labels))
        letters = dict(zip(item.sets, string.ascii_uppercase, strict=False))
        panels = []
        for entry in item.disagreements:
            file = files.get(case_key(entry["case"]).rsplit("/", 1)[-1])
            if file is not None:
                present = [letters.get(name, name) for name, vote in entry["votes"].items() if vote]
                absent = [letters.get(name, name) for name, vote in entry["votes"].items() if not vote]
                note = f"present: {' '.join(present) or '–'}   absent: {' '.join(absent) or '–'}"
                panels.append(Panel(_read_gray(file), title=file.stem, note=note))
        if panels:
            target = folder / f"disagreements-{plain(item.label)}.png"
            sheets[item.label] = write_sheet(panels, target, columns=min(_DISAGREEMENT_COLUMNS, len(panels)))
    if not sheets and any(item.disagreements for item in result.labels):
        raise EvaluationError(f"--images {images} holds none of the images on which the label sets disagree.")
    return sheets


@styled
def _write(rows: Sequence[Sequence[Panel]], target: Path, *, columns: int, side: float) -> Path:
    lines = max((panel.title.count("\n") + 1 for row in rows for panel in row if panel.title), default=0)
    height = side + 0.2 * lines + (0.2 if any(panel.note for row in rows for panel in row) else 0)
    layout = ConstrainedLayoutEngine(w_pad=0.03, h_pad=0.03, wspace=0.02, hspace=0.02)
    figure = Figure(figsize=(side * columns, height * len(rows)), facecolor=_BACK, layout=layout)
    grid = figure.subplots(len(rows), columns, squeeze=False)
    for axes in grid.ravel():
        axes.set_axis_off()
    for row, line in enumerate(rows):
        for column, panel in enumerate(line):
            _draw(grid[row, column], panel, int(_LETTERS_PER_INCH * side))
    with replace_when_written(target) as partial:
        FigureCanvasAgg(figure).print_png(str(partial))
    return target


def _draw(axes: Axes, panel: Panel, letters: int) -> None:
    axes.imshow(panel.image, cmap="gray", vmin=0, vmax=1, interpolation="bilinear")
    if panel.heat is not None:
        axes.imshow(
            panel.heat,
            cmap="inferno",
            vmin=0,
            vmax=1,
            alpha=np.where(panel.heat >= _LOWEST, _OPACITY, 0.0),
            interpolation="bilinear",
        )
    if panel.outline is not None and panel.outline.any():
        axes.contour(panel.outline.astype(float), levels=[0.5], colors=[_MASK_COLOR], linewidths=1.1)
    title = "\n".join(one if len(one) <= letters else f"…{one[1 - letters :]}" for one in panel.title.splitlines())
    axes.set_title(title, color=_INK, fontsize=8, fontweight="normal", pad=3)
    if panel.note:
        axes.text(0.5, -0.02, panel.note, color=_SOFT, fontsize=7, ha="center", va="top", transform=axes.transAxes)


def _read_gray(file: Path) -> np.ndarray:
    from PIL import Image

    with Image.open(file) as picture:
        gray = np.asarray(picture.convert("F"), float)
    span = float(gray.max() - gray.min())
    return (gray - gray.min()) / span if span else np.zeros_like(gray)
