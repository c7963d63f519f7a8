"""One style of plots, and plots as SVG that follow the colors of the page in which they stand."""

import io
import re
import warnings
from collections.abc import Callable, Sequence
from functools import wraps
from html import escape
from threading import RLock
from typing import Any, ParamSpec, TypeVar

import matplotlib as mpl
from markupsafe import Markup
from matplotlib.figure import Figure

# Drawn in these, then exchanged for the page's own variables (page.css), so that dark pages have dark plots.
INK, SOFT, RULE, PAGE = "#1b2530", "#566473", "#d5dce3", "#fefefe"
SERIES = ("#b3261e", "#1f5f99", "#17633f", "#8a5300", "#6a3d9a", "#00707a", "#7a4a3a")
ACCENT = SERIES[1]
# Lines are told apart without colors, too.
DASHES = ("-", (0, (6, 2)), (0, (2, 2)), (0, (6, 2, 2, 2)), (0, (1, 1)), (0, (8, 2, 1, 2, 1, 2)), (0, (4, 4)))
DOTTED: Any = (0, (2, 3))
STYLE: Any = {
    "svg.fonttype": "none",
    # Names out of files are data: no dollar sign starts a formula.
    "text.parse_math": False,
    "font.family": "sans-serif",
    "font.size": 9,
    "axes.edgecolor": SOFT,
    "axes.labelcolor": INK,
    "axes.titlecolor": INK,
    "axes.titlesize": 10,
    "axes.titleweight": "bold",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": RULE,
    "grid.linewidth": 0.6,
    "text.color": INK,
    "xtick.color": SOFT,
    "ytick.color": SOFT,
    "legend.frameon": False,
    "legend.fontsize": 8.5,
    "figure.facecolor": "none",
    "axes.facecolor": "none",
    "savefig.facecolor": "none",
}
drawing = RLock()
"""Held by whoever draws: matplotlib's settings and fonts are one for all threads."""

Drawing = ParamSpec("Drawing")
Drawn = TypeVar("Drawn")


def styled(draw: Callable[Drawing, Drawn]) -> Callable[Drawing, Drawn]:
    """Decorate what draws: in this style, one at a time."""

    @wraps(draw)
    def in_style(*args: Drawing.args, **kwargs: Drawing.kwargs) -> Drawn:
        with drawing, mpl.rc_context(STYLE):
            return draw(*args, **kwargs)

    return in_style


_VARIABLES = {INK: "ink", SOFT: "soft", RULE: "rule", PAGE: "page"} | {
    color: f"c{number}" for number, color in enumerate(SERIES)
}
_TIP = "tip:"
_LONGEST_NAME = 40
_PIXELS_PER_INCH = 115


def canvas(width: float, height: float, **grid: Any) -> tuple[Figure, Any]:
    """Return an empty figure of a size in inches, and its axes as `matplotlib.figure.Figure.subplots` gives them."""
    figure = Figure(figsize=(width, height), layout="constrained")
    return figure, figure.subplots(**grid)


def line(number: int) -> dict[str, Any]:
    """Return color and dashes of the line with a number; blue is the first, as red is for what is positive."""
    colors = (ACCENT, SERIES[0], *SERIES[2:])
    return {"color": colors[number % len(colors)], "linestyle": DASHES[number % len(DASHES)]}


def add_tip(artist: Any, text: str) -> None:
    """Show a text where the pointer rests on what was drawn."""
    artist.set_gid(_TIP + text)


def add_legend(
    figure: Figure, handles: Sequence[Any], names: Sequence[str], *, columns: int, length: float = 2.6
) -> None:
    """Put a legend below the plot; matplotlib leaves out names that begin with a low line, this does not."""
    legend = figure.legend(
        handles, ["name"] * len(names), loc="outside lower center", ncols=min(columns, len(names)), handlelength=length
    )
    for text, name in zip(legend.get_texts(), names, strict=True):
        text.set_text(name if len(name) <= _LONGEST_NAME else f"{name[: _LONGEST_NAME - 1]}…")


def as_svg(figure: Figure, described: str) -> Markup:
    """Return a figure as SVG that stands in a page, with its description for those who cannot see it."""
    stream = io.StringIO()
    with warnings.catch_warnings(), mpl.rc_context({"svg.hashsalt": described}):
        # The browser draws the letters, in a font of its own.
        warnings.filterwarnings("ignore", message="Glyph .* missing from")
        figure.savefig(stream, format="svg", metadata={"Date": None, "Creator": None, "Format": None, "Type": None})
    text = stream.getvalue()
    text = text[text.index("<svg") :]
    # The style sheet that matplotlib puts inside would reach the whole page; the rest names ids that repeat. Nothing
    # that is drawn reaches beyond its axes.
    text = re.sub(r"<(style|metadata|clipPath).*?</\1>", "", text, flags=re.DOTALL)
    text = re.sub(r' clip-path="[^"]*"', "", text)
    text = re.sub(rf'<g id="{_TIP}([^"]*)">', r"<g><title>\1</title>", text)
    text = re.sub(r'<g id="[^"]*">', "<g>", text)
    words, widest = escape(described), round(_PIXELS_PER_INCH * figure.get_figwidth())
    text = re.sub(
        r'<svg [^>]*?(viewBox="[^"]*")[^>]*>',
        lambda found: (
            f'<svg class="plot" style="max-width: {widest}px" {found[1]} role="img" aria-label="{words}">'
            f"<title>{words}</title>"
        ),
        text,
        count=1,
    )
    return Markup(re.sub(r"(?<=: )#[0-9a-f]{6}\b", lambda found: _variable(found[0]), text))


def _variable(color: str) -> str:
    return f"var(--{_VARIABLES[color]})" if color in _VARIABLES else color
