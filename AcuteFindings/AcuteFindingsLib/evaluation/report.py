"""Self-contained pages that show an evaluation, a comparison or an agreement to a person, and the JSON beside them."""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import BaseModel

from AcuteFindingsLib.evaluation.schema import (
    Agreement,
    Comparison,
    Evaluation,
    Figure,
    LabelAgreement,
    LabelResult,
    LevelComparison,
    LevelResult,
    MaskResult,
    Point,
)
from AcuteFindingsLib.pages import curves
from AcuteFindingsLib.pages.page import picture_source, render, write_page

METRIC_NAMES = {
    "sensitivity": "Sensitivity (recall)",
    "specificity": "Specificity",
    "accuracy": "Accuracy",
    "ppv": "PPV (precision)",
    "npv": "NPV",
    "f1": "F1",
}
_LEVELS = {"slice": "Slices", "study": "Studies", "image": "Images"}
_MOST_FOREST_ROWS = 40


def write_evaluation(result: Evaluation, folder: Path, *, made: datetime | None = None) -> tuple[Path, Path]:
    """Write ``evaluation.json`` and ``evaluation.html`` below `folder`; return both paths.

    Raises
    ------
    ExportError
        When they cannot be written.
    """
    return _write(result, folder, "evaluation", render_evaluation(result, made=made))


def write_comparison(result: Comparison, folder: Path, *, made: datetime | None = None) -> tuple[Path, Path]:
    """Write ``comparison.json`` and ``comparison.html``, as `write_evaluation` does."""
    return _write(result, folder, "comparison", render_comparison(result, made=made))


def write_agreement(
    result: Agreement, folder: Path, *, pictures: Mapping[str, Path] | None = None, made: datetime | None = None
) -> tuple[Path, Path]:
    """Write ``agreement.json`` and ``agreement.html``, as `write_evaluation` does; `pictures` by label are shown."""
    return _write(result, folder, "agreement", render_agreement(result, pictures=pictures, made=made))


def render_evaluation(result: Evaluation, *, made: datetime | None = None) -> str:
    """Return the page of an evaluation."""
    return render_page(
        "evaluation.html.jinja",
        made=made,
        result=result,
        metric_names=METRIC_NAMES,
        level_names=_LEVELS,
        figures=[_level_figures(level) for level in result.levels],
        mask_figures=[_mask_figures(item) for item in result.masks],
    )


def render_comparison(result: Comparison, *, made: datetime | None = None) -> str:
    """Return the page of a comparison."""
    return render_page(
        "comparison.html.jinja",
        made=made,
        result=result,
        level_names=_LEVELS,
        figures=[
            [curves.roc({"A": item.roc_a, "B": item.roc_b}) if item.roc_a.x else "" for item in level.labels]
            for level in result.levels
        ],
    )


def render_agreement(
    result: Agreement, *, pictures: Mapping[str, Path] | None = None, made: datetime | None = None
) -> str:
    """Return the page of an agreement between label sets."""
    return render_page(
        "agreement.html.jinja",
        made=made,
        result=result,
        figures=[_kappa_figure(item) for item in result.labels],
        pictures={label: picture_source(path) for label, path in (pictures or {}).items()},
    )


def render_page(template: str, *, made: datetime | None, **values: Any) -> str:
    """Return a page whose template knows figures with intervals."""
    filters: dict[str, Callable[..., str]] = {
        "number": number_text,
        "interval": interval_text,
        "others": other_intervals,
        "p": p_text,
        "cases": cases_text,
    }
    return render(template, made=made, filters=filters, **values)


def number_text(figure: Figure | float | None, decimals: int = 3) -> str:
    """Return a figure's value, a dash where it is undefined."""
    value = figure.value if isinstance(figure, Figure) else figure
    return "–" if value is None else f"{value:.{decimals}f}"


def interval_text(figure: Figure, decimals: int = 3) -> str:
    """Return the interval to read: ``"0.91 to 0.97"``."""
    return _span(figure.intervals[0], decimals) if figure.intervals else ""


def other_intervals(figure: Figure, decimals: int = 3) -> str:
    """Return every interval with how it was found."""
    return "; ".join(f"{item.method}: {_span(item, decimals)}" for item in figure.intervals)


def p_text(value: float | None) -> str:
    """Return a p-value as papers print it."""
    if value is None:
        return "–"
    return "< 0.001" if value < 0.001 else f"{value:.3f}"


def cases_text(level: LevelResult | LevelComparison) -> str:
    """Return how many cases of how many patients: ``"803 images, 208 patients (column Patient ID)"``."""
    text = f"{level.cases:,} {_LEVELS[level.level].lower()}"
    if level.patients == level.cases:
        return text
    if level.grouped_by == "study":
        return f"{text}, {level.patients:,} studies"
    kind = "patients" if "patient" in level.grouped_by.lower() else "groups"
    return f"{text}, {level.patients:,} {kind} (column {level.grouped_by})"


def _write(result: BaseModel, folder: Path, name: str, page: str) -> tuple[Path, Path]:
    numbers = write_page(result.model_dump_json(indent=2), folder / f"{name}.json")
    return numbers, write_page(page, folder / f"{name}.html")


def _span(item: Any, decimals: int) -> str:
    return f"{item.low:.{decimals}f} to {item.high:.{decimals}f}"


def _level_figures(level: LevelResult) -> dict[str, Any]:
    return {
        "labels": [_label_figures(item) for item in level.labels],
        "overview": curves.forest([_forest_row(item.label, item.auc) for item in level.labels], title="AUC")
        if len(level.labels) > 1
        else "",
        "subgroups": [
            curves.forest(
                [_forest_row(f"{row.group} (n = {row.cases})", row.auc) for row in group.rows],
                title=f"AUC by {group.column}",
                reference=next(item.auc.value for item in level.labels if item.label == group.label),
            )
            if len(group.rows) <= _MOST_FOREST_ROWS
            else ""
            for group in level.subgroups
        ],
    }


def _label_figures(item: LabelResult) -> dict[str, str]:
    bins = [
        (one.low, one.high, one.stated, one.observed, one.count)
        for one in item.calibration.bins
        if one.stated is not None and one.observed is not None
    ]
    return {
        "roc": curves.roc({item.label: item.roc}, _operating_marks(item.points)) if item.roc.x else "",
        "precision_recall": curves.precision_recall(item.label, item.precision_recall, item.positives / item.cases)
        if item.precision_recall.x
        else "",
        "reliability": curves.reliability(item.label, bins) if item.cases else "",
    }


def _operating_marks(points: Sequence[Point]) -> list[tuple[float, float, str]]:
    """Return where the operating points lie on a ROC curve; only the first three have words."""
    marks = []
    for number, item in enumerate(points):
        sensitivity, specificity = item.figures["sensitivity"].value, item.figures["specificity"].value
        if sensitivity is not None and specificity is not None:
            words = f"{item.threshold:.2f}" if item.stated_beforehand else f"{item.threshold:.2f} (best here)"
            marks.append((1 - specificity, sensitivity, words if number < 3 else ""))
    return marks


def _forest_row(name: str, figure: Figure) -> tuple[str, float | None, tuple[float, float] | None]:
    span = figure.intervals[0] if figure.intervals else None
    return name, figure.value, None if span is None else (span.low, span.high)


def _mask_figures(item: MaskResult) -> tuple[str, str]:
    true, size = np.array([row.true_size for row in item.rows]), np.array([row.size for row in item.rows])
    dice = curves.dice([row.dice for row in item.rows if row.true_size > 0])
    return dice, curves.size_difference(true, size, item.unit, item.limits_of_agreement)


def _kappa_figure(item: LabelAgreement) -> str:
    order = list(item.sets)
    if len(order) < 3:
        return ""
    values = np.full((len(order), len(order)), np.nan)
    for pair in item.pairs:
        if pair.kappa.value is not None:
            a, b = order.index(pair.first), order.index(pair.second)
            values[a, b] = values[b, a] = pair.kappa.value
    return curves.kappas(order, values, "Cohen's kappa")
