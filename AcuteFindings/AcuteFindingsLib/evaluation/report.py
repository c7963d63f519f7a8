"""Self-contained pages that show an evaluation, a comparison or an agreement to a person, and the JSON beside them."""

import base64
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from importlib.resources import files
from pathlib import Path
from typing import Any

import jinja2
from pydantic import BaseModel

from AcuteFindingsLib import RESEARCH_USE_ONLY, __version__
from AcuteFindingsLib.errors import EvaluationError
from AcuteFindingsLib.evaluation import plots
from AcuteFindingsLib.evaluation.schema import (
    Agreement,
    Comparison,
    Evaluation,
    Figure,
    LabelAgreement,
    LevelComparison,
    LevelResult,
)
from AcuteFindingsLib.files import replace_when_written

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
    EvaluationError
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
        mask_figures=[
            (plots.dice_figure(item.rows), plots.agreement_figure(item.rows, item.unit, item.limits_of_agreement))
            for item in result.masks
        ],
    )


def render_comparison(result: Comparison, *, made: datetime | None = None) -> str:
    """Return the page of a comparison."""
    return render_page(
        "comparison.html.jinja",
        made=made,
        result=result,
        level_names=_LEVELS,
        figures=[
            [plots.roc_figure([("A", item.roc_a), ("B", item.roc_b)]) if item.roc_a.x else "" for item in level.labels]
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
    """Return a page of this package's templates in the style of the study reports."""
    package = files("AcuteFindingsLib")
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(str(package / "evaluation"))),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "number": number_text,
        "interval": interval_text,
        "others": other_intervals,
        "p": p_text,
        "cases": cases_text,
    }
    css = [(package / "export" / "report.css"), (package / "evaluation" / "evaluation.css")]
    return environment.get_template(template).render(
        css="\n".join(item.read_text(encoding="utf-8") for item in css),
        made=(made or datetime.now(UTC)).strftime("%Y-%m-%d %H:%M UTC"),
        software=__version__,
        research_use_only=RESEARCH_USE_ONLY,
        **values,
    )


def picture_source(path: Path) -> str:
    """Return a PNG as it stands inside a page.

    Raises
    ------
    EvaluationError
        When it cannot be read.
    """
    try:
        return f"data:image/png;base64,{base64.b64encode(path.read_bytes()).decode('ascii')}"
    except OSError as error:
        raise EvaluationError(f"The picture {path} could not be read for the report: {error}.") from error


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


def write_json(result: BaseModel, target: Path) -> Path:
    """Write a result as JSON, whole or not at all.

    Raises
    ------
    EvaluationError
        When it cannot be written.
    """
    return write_text(result.model_dump_json(indent=2), target)


def write_text(text: str, target: Path) -> Path:
    """Write a text, whole or not at all; raises as `write_json`."""
    try:
        with replace_when_written(target) as partial:
            partial.write_text(text, encoding="utf-8")
    except OSError as error:
        raise EvaluationError(f"{target} could not be written: {error}. Choose another folder or make room.") from error
    return target


def _write(result: BaseModel, folder: Path, name: str, page: str) -> tuple[Path, Path]:
    return write_json(result, folder / f"{name}.json"), write_text(page, folder / f"{name}.html")


def _span(item: Any, decimals: int) -> str:
    return f"{item.low:.{decimals}f} to {item.high:.{decimals}f}"


def _level_figures(level: LevelResult) -> dict[str, Any]:
    return {
        "labels": [
            {
                "roc": plots.roc_figure([(item.label, item.roc)], plots.operating_marks(item.points))
                if item.roc.x
                else "",
                "precision_recall": plots.precision_recall_figure(
                    [(item.label, item.precision_recall)], item.positives / item.cases if item.cases else None
                )
                if item.precision_recall.x
                else "",
                "reliability": plots.reliability_figure(item.calibration.bins) if item.cases else "",
            }
            for item in level.labels
        ],
        "overview": plots.forest_figure([(item.label, item.auc) for item in level.labels], title="AUC")
        if len(level.labels) > 1
        else "",
        "subgroups": [
            plots.forest_figure(
                [(f"{row.group} (n = {row.cases})", row.auc) for row in group.rows],
                title=f"AUC by {group.column}",
                reference=next(item.auc.value for item in level.labels if item.label == group.label),
            )
            if len(group.rows) <= _MOST_FOREST_ROWS
            else ""
            for group in level.subgroups
        ],
    }


def _kappa_figure(item: LabelAgreement) -> str:
    order: Sequence[str] = list(item.sets)
    kappas: list[list[float | None]] = [[None] * len(order) for _ in order]
    for pair in item.pairs:
        a, b = order.index(pair.first), order.index(pair.second)
        kappas[a][b] = kappas[b][a] = pair.kappa.value
    return plots.kappa_figure(order, kappas, "Cohen's kappa") if len(order) > 2 else ""
