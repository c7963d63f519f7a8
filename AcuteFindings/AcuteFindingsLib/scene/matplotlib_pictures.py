"""The planned pictures without OpenGL and without Slicer: the same slices, names and captions, drawn by matplotlib."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image

from AcuteFindingsLib.detectors.finding import Finding
from AcuteFindingsLib.files import replace_when_written
from AcuteFindingsLib.pages.charts import draw_slices
from AcuteFindingsLib.pages.style import drawing, styled
from AcuteFindingsLib.scene.chart_nodes import LINE_COLORS, RUN_COLOR, THRESHOLD_COLOR
from AcuteFindingsLib.scene.naming import chart_title, label_words, slice_number, title_lines
from AcuteFindingsLib.scene.nodes import HEATMAP_LOWEST
from AcuteFindingsLib.scene.overlay_text import (
    BACKGROUND_OPACITY,
    VERDICT_COLORS,
    legend_of,
    note_lines,
    wanted_letters,
)
from AcuteFindingsLib.scene.picture_plan import (
    HEATMAP_OPACITY,
    PNG_LEVEL,
    Picture,
    Plane,
    PlannedPicture,
    as_pictures,
    plan_pictures,
)
from AcuteFindingsLib.study.study import Study

DPI = 100
HOTTEST = 330
"""Puts the hottest value on the map's yellow: its white would not be seen over bone."""
MARGIN = 1.08

# RAS axis across the plane, along the picture's width and along its height. To the right lies the patient's left (or
# back, in a sagittal picture), at the top the front (or the head): the planes as Slicer presets them.
_AXES: dict[Plane, tuple[int, int, int]] = {"Axial": (2, 0, 1), "Sagittal": (0, 1, 2), "Coronal": (1, 0, 2)}
_LETTERS: dict[Plane, dict[str, str]] = {
    "Axial": {"left": "R", "right": "L", "top": "A", "bottom": "P"},
    "Sagittal": {"left": "A", "right": "P", "top": "S", "bottom": "I"},
    "Coronal": {"left": "R", "right": "L", "top": "S", "bottom": "I"},
}


@dataclass(frozen=True)
class Cut:
    """A plane of a grid as a picture: ``(row, column)`` from the upper left.

    `extent` is left, right, bottom, top in mm; to the right and to the top it grows, in patient coordinates (the first
    two negated, as the picture's right is the patient's left or back).
    """

    image: np.ndarray
    extent: tuple[float, float, float, float]


def draw_with_matplotlib(finding: Finding, study: Study, folder: Path) -> tuple[Picture, ...]:
    """Draw the pictures of a finding as PNG files into `folder`."""

    def write(pixels: np.ndarray, path: Path) -> None:
        with replace_when_written(path) as partial:
            Image.fromarray(pixels).save(partial, "PNG", compress_level=PNG_LEVEL)

    plans = plan_pictures(finding, study)
    # Compressing a picture takes as long as drawing it.
    with ThreadPoolExecutor(1) as background:
        written = [
            background.submit(
                write,
                _pixels(_chart(finding, plan) if plan.kind == "chart" else _slice(finding, study, plan)),
                folder / plan.file_name,
            )
            for plan in plans
        ]
    for one in written:
        one.result()
    return as_pictures(plans, folder)


def cut(array: np.ndarray, ijk_to_ras: np.ndarray, plane: Plane, position_ras: tuple[float, float, float]) -> Cut:
    """Return the plane of a ``(z, y, x)`` grid nearest to a point, turned as a radiologist looks at it.

    On an oblique grid it is the grid's own plane nearest to the one asked for, not interpolated.
    """
    matrix = np.asarray(ijk_to_ras, float)
    normal_ras, across_ras, up_ras = _AXES[plane]
    steps = np.abs(matrix[:3, :3]) / np.linalg.norm(matrix[:3, :3], axis=0)
    normal = int(np.argmax(steps[normal_ras]))
    across, up = sorted((axis for axis in range(3) if axis != normal), key=lambda axis: -steps[across_ras, axis])
    ijk = np.linalg.inv(matrix) @ [*position_ras, 1.0]
    ijk[normal] = np.clip(round(float(ijk[normal])), 0, array.shape[2 - normal] - 1)
    image = np.take(array, int(ijk[normal]), axis=2 - normal)
    if across > up:  # numpy's last axis is i, then j, then k: the larger of the two is the slower one
        image = image.T
    extent: list[float] = []
    for axis, ras, sign in ((across, across_ras, -1.0), (up, up_ras, 1.0)):
        ends = []
        for index in (-0.5, array.shape[2 - axis] - 0.5):
            place = ijk.copy()
            place[axis] = index
            ends.append(sign * float((matrix @ place)[ras]))
        extent += sorted(ends)
        wants_flip = ends[0] > ends[1] if axis == across else ends[0] < ends[1]
        if wants_flip:
            image = np.flip(image, axis=1 if axis == across else 0)
    return Cut(image, (extent[0], extent[1], extent[2], extent[3]))


def _pixels(figure: Figure) -> np.ndarray:
    """Return a figure as ``(y, x, 4)`` uint8, RGBA."""
    canvas = FigureCanvasAgg(figure)
    with drawing:
        canvas.draw()
    return np.asarray(canvas.buffer_rgba())


@styled
def _slice(finding: Finding, study: Study, plan: PlannedPicture) -> Figure:
    figure = Figure(figsize=(8, 8), dpi=DPI, facecolor="black")
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set_axis_off()
    background = cut(study.array, study.ijk_to_ras, plan.plane, plan.position_ras)
    level, width = finding.display_window
    axes.imshow(
        background.image,
        cmap="gray",
        vmin=level - width / 2,
        vmax=level + width / 2,
        extent=background.extent,
        interpolation="bilinear",
    )
    if plan.heatmap and finding.heatmap is not None:
        heat = cut(finding.heatmap.array, finding.heatmap.ijk_to_ras, plan.plane, plan.position_ras)
        opacity = np.where(heat.image >= HEATMAP_LOWEST, HEATMAP_OPACITY, 0.0)
        axes.imshow(heat.image, cmap="hot", vmin=0, vmax=HOTTEST, alpha=opacity, extent=heat.extent)
    if plan.masks != "none":
        for mask in finding.masks:
            marked = cut(mask.array, finding.ijk_to_ras, plan.plane, plan.position_ras)
            _mark(axes, marked, mask.color, filled=plan.masks == "filled")
    _frame(axes, background.extent)
    _words(figure, finding, plan)
    return figure


def _mark(axes: Any, marked: Cut, color: tuple[float, float, float], *, filled: bool) -> None:
    if not marked.image.any():
        return
    if filled:
        paint = np.zeros((*marked.image.shape, 4))
        paint[marked.image > 0] = (*color, 0.3)
        axes.imshow(paint, extent=marked.extent, interpolation="nearest")
    axes.contour(marked.image, levels=[0.5], colors=[color], linewidths=1.5, extent=marked.extent, origin="upper")


def _frame(axes: Any, extent: tuple[float, float, float, float]) -> None:
    """Show the whole cut in a square, with a margin."""
    half = MARGIN * max(extent[1] - extent[0], extent[3] - extent[2]) / 2
    x, y = (extent[0] + extent[1]) / 2, (extent[2] + extent[3]) / 2
    axes.set_xlim(x - half, x + half)
    axes.set_ylim(y - half, y + half)


def _words(figure: Figure, finding: Finding, plan: PlannedPicture) -> None:
    behind = {"facecolor": "black", "edgecolor": "none", "alpha": BACKGROUND_OPACITY, "pad": 1}
    white: dict[str, Any] = {"color": "white", "fontsize": 10, "bbox": behind}
    big: dict[str, Any] = {"color": "white", "fontsize": 15, "fontweight": "bold", "bbox": behind}
    color = VERDICT_COLORS.get(finding.verdict.label, (1.0, 1.0, 1.0))
    title = title_lines(plan.title)
    figure.text(0.015, 0.985, title, color=color, fontsize=12, fontweight="bold", va="top", bbox=behind)
    figure.text(0.985, 0.985, plan.place, ha="right", va="top", **white)
    figure.text(0.015, 0.015, note_lines(plan, finding), **{**white, "fontsize": 8})
    for row, (name, hue) in enumerate(reversed(legend_of(plan, finding))):
        figure.text(
            0.985, 0.015 + 0.028 * row, name, color=hue, fontsize=10, fontweight="bold", ha="right", bbox=behind
        )
    places = {
        "left": (0.015, 0.5, "left", "center"),
        "right": (0.985, 0.5, "right", "center"),
        "top": (0.5, 0.985, "center", "top"),
        "bottom": (0.5, 0.015, "center", "bottom"),
    }
    for edge, letter in wanted_letters(plan, _LETTERS[plan.plane]).items():
        x, y, horizontal, vertical = places[edge]
        figure.text(x, y, letter, ha=horizontal, va=vertical, **big)


@styled
def _chart(finding: Finding, plan: PlannedPicture) -> Figure:
    figure = Figure(figsize=(10, 5.6), dpi=DPI, facecolor="white")
    axes = figure.add_axes((0.07, 0.13, 0.9, 0.79))
    numbers = [slice_number(result) for result in finding.slices]
    by_index = {result.index: slice_number(result) for result in finding.slices}
    main_first = sorted(finding.labels, key=lambda name: name != finding.main_label)
    draw_slices(
        axes,
        numbers,
        [(label_words(finding, name), [one.probabilities[name] for one in finding.slices]) for name in main_first],
        threshold=finding.slice_threshold,
        runs=[(by_index[first], by_index[last]) for first, last in finding.positive_runs],
        colors=LINE_COLORS,
        threshold_color=THRESHOLD_COLOR,
        run_color=RUN_COLOR,
    )
    axes.set_title(chart_title(finding), fontsize=12)
    names = [*(line.get_label() for line in axes.lines[:-1]), f"Operating point {finding.slice_threshold:.2f}"]
    bands = [(axes.patches[0], "Positive run")] if axes.patches else []
    handles = [*zip(axes.lines, names, strict=True), *bands]
    axes.legend(*zip(*handles, strict=True), loc="upper right", fontsize=9, frameon=True, facecolor="white")
    figure.text(0.985, 0.012, plan.note, ha="right", color="0.4", fontsize=8)
    return figure
