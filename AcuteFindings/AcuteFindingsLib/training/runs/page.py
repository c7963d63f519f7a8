"""The summary of a run as one page."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jinja2 import Environment, FileSystemLoader, select_autoescape

from AcuteFindingsLib import RESEARCH_USE_ONLY
from AcuteFindingsLib.training.recipes.schema import Recipe


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


def render_page(recipe: Recipe, rows: Sequence[Row], folds: Sequence[dict[str, Any]], curves: str) -> str:
    """Return the page.

    Parameters
    ----------
    rows
        Figures over folds and runs.
    folds
        What each ``fold.json`` says.
    curves
        A PNG in base64; empty for none.
    """
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=select_autoescape(default=True, default_for_string=True),
        trim_blocks=True,
        lstrip_blocks=True,
    )
    template = environment.get_template("summary.html.jinja")
    return template.render(recipe=recipe, rows=rows, folds=folds, curves=curves, research_use_only=RESEARCH_USE_ONLY)
