"""The summary of a run as one page."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jinja2 import Environment, FileSystemLoader, select_autoescape

from AcuteFindingsLib import RESEARCH_USE_ONLY
from AcuteFindingsLib.training.recipes.schema import Recipe

if TYPE_CHECKING:
    from AcuteFindingsLib.training.runs.summary import Row


def render_page(recipe: Recipe, rows: "Sequence[Row]", folds: Sequence[dict[str, Any]], curves: str) -> str:
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
