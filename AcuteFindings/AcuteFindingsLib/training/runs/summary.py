"""What came out of a recipe over all its folds and runs: JSON for programs, Markdown and a page for people."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from AcuteFindingsLib import RESEARCH_USE_ONLY
from AcuteFindingsLib.files import replace_when_written
from AcuteFindingsLib.pages.page import render
from AcuteFindingsLib.training.recipes.schema import Recipe
from AcuteFindingsLib.training.runs.curves import draw_curves
from AcuteFindingsLib.training.runs.predictions import write_all_runs

FOLD = "fold.json"


@dataclass(frozen=True)
class Row:
    """One figure over the folds and runs in which it was measured."""

    metric: str
    values: tuple[float, ...]
    intervals: tuple[tuple[float, float], ...]
    counts: tuple[int, ...]
    published: float | None

    @property
    def mean(self) -> float:
        """Return the mean over folds and runs."""
        return float(np.mean(self.values))

    @property
    def spread(self) -> float:
        """Return the standard deviation over folds and runs; 0 of a single one."""
        return float(np.std(self.values, ddof=1)) if len(self.values) > 1 else 0.0


@dataclass(frozen=True)
class Summary:
    """All folds, as their ``fold.json`` says.

    Attributes
    ----------
    folds
        What each fold's file says, with its folder under ``"folder"``.
    """

    recipe: Recipe
    folds: tuple[dict[str, Any], ...]

    @property
    def rows(self) -> list[Row]:
        """Return every figure over folds and runs."""
        published = {one.metric: one.value for one in self.recipe.published}
        found: dict[str, list[dict[str, Any]]] = {}
        for fold in self.folds:
            for figure in fold["evaluation"]:
                found.setdefault(figure["metric"], []).append(figure)
        return [
            Row(
                metric=metric,
                values=tuple(one["value"] for one in figures),
                intervals=tuple((one["low"], one["high"]) for one in figures),
                counts=tuple(one["count"] for one in figures),
                published=published.get(metric),
            )
            for metric, figures in found.items()
        ]

    @property
    def best_fold(self) -> dict[str, Any] | None:
        """Return the fold with the lowest validation loss in its last stage; the first where none was validated."""
        if not self.folds:
            return None
        return min(self.folds, key=_loss)

    @property
    def best(self) -> Path | None:
        """Return the model package of the best fold."""
        fold = self.best_fold
        return None if fold is None else Path(fold["folder"]) / "model"


def summarize(recipe: Recipe, folders: Sequence[Path], out: Path) -> Summary:
    """Gather what the folds say and write ``summary.json``, ``summary.md`` and ``summary.html`` into `out`."""
    told = [{**json.loads((folder / FOLD).read_text(encoding="utf-8")), "folder": folder} for folder in folders]
    summary = Summary(recipe, tuple(told))
    best = summary.best_fold
    values = {
        "recipe": recipe.id,
        "title": recipe.title,
        "best": None if best is None else {"run": best["run"], "fold": best["fold"]},
        "figures": [
            {
                "metric": row.metric,
                "mean": row.mean,
                "standard_deviation": row.spread,
                "values": row.values,
                "intervals": row.intervals,
                "counts": row.counts,
                "published": row.published,
            }
            for row in summary.rows
        ],
        "folds": [{**fold, "folder": str(fold["folder"].relative_to(out))} for fold in told],
    }
    with replace_when_written(out / "summary.json") as partial:
        partial.write_text(json.dumps(values, indent=2) + "\n", encoding="utf-8")
    with replace_when_written(out / "summary.md") as partial:
        partial.write_text(_markdown(summary), encoding="utf-8")
    with replace_when_written(out / "summary.html") as partial:
        partial.write_text(
            render(
                "run.html.jinja",
                recipe=recipe,
                rows=summary.rows,
                folds=told,
                curves=draw_curves(folders, list(recipe.stages.present())),
            ),
            encoding="utf-8",
        )
    # The same images are kept aside in every run of a fold.
    first = [folder for folder, fold in zip(folders, told, strict=True) if fold["fold"] == told[0]["fold"]]
    write_all_runs(first, out / "predictions-runs.csv")
    return summary


def _markdown(summary: Summary) -> str:
    folds = f"{len(summary.folds)} fold{'s' if len(summary.folds) > 1 else ''} and runs"
    lines = [
        f"# {summary.recipe.title}",
        f"Recipe `{summary.recipe.id}`; {folds}. Source: {summary.recipe.source}",
        RESEARCH_USE_ONLY,
        "",
        "| Figure | Mean | Spread (SD) | Each, with 95 % interval | Published |",
        "| --- | --- | --- | --- | --- |",
    ]
    for row in summary.rows:
        each = ", ".join(
            f"{value:.3f} ({low:.3f} to {high:.3f})"
            for value, (low, high) in zip(row.values, row.intervals, strict=True)
        )
        spread = f"{row.spread:.3f}" if len(row.values) > 1 else ""
        published = "" if row.published is None else f"{row.published:.3f}"
        lines.append(f"| {row.metric} | {row.mean:.3f} | {spread} | {each} | {published} |")
    return "\n".join(lines) + "\n"


def _loss(fold: dict[str, Any]) -> float:
    losses = [stage["best_val_loss"] for stage in fold["stages"] if stage["best_val_loss"] is not None]
    return float(losses[-1]) if losses else float("inf")
