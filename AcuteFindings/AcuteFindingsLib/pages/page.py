"""Self-contained HTML pages: everything inside, nothing run, data escaped, readable on screen and in print."""

import base64
import io
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path
from typing import Any

import jinja2
import numpy as np

from AcuteFindingsLib import RESEARCH_USE_ONLY, __version__
from AcuteFindingsLib.errors import ExportError
from AcuteFindingsLib.files import replace_when_written

_HERE = Path(__file__).resolve().parent
_MIME = {".png": "image/png", ".jpg": "image/jpeg", ".jpeg": "image/jpeg"}


def render(
    template: str,
    *,
    made: datetime | None = None,
    filters: Mapping[str, Callable[..., str]] | None = None,
    **values: Any,
) -> str:
    """Return the page of a template of this folder.

    Parameters
    ----------
    template
        The file's name.
    made
        When the page was made; now when None.
    filters
        What turns the caller's values into words.
    values
        What the page shows. All text is escaped; of charts only `markupsafe.Markup` stands as it is.
    """
    environment = _environment(tuple((filters or {}).items()))
    when = (made or datetime.now(UTC)).strftime("%Y-%m-%d %H:%M %Z").strip()
    return environment.get_template(template).render({**values, "made": when})


@lru_cache(maxsize=8)
def _environment(filters: tuple[tuple[str, Callable[..., str]], ...]) -> jinja2.Environment:
    """Return what keeps templates compiled, which takes longer than rendering them."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_HERE),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= dict(filters)
    environment.globals |= {
        "css": (_HERE / "page.css").read_text(encoding="utf-8"),
        "research_use_only": RESEARCH_USE_ONLY,
        "software": __version__,
    }
    return environment


def write_page(text: str, target: Path) -> Path:
    """Write a page, or the numbers beside it, whole or not at all.

    Raises
    ------
    ExportError
        When it cannot be written.
    """
    try:
        with replace_when_written(target) as partial:
            partial.write_text(text, encoding="utf-8")
    except OSError as error:
        raise ExportError(f"{target} could not be written: {error}. Choose another folder or make room.") from error
    return target


def picture_source(path: Path) -> str:
    """Return a PNG or JPEG file as it stands inside a page.

    Raises
    ------
    ExportError
        When it is neither, or cannot be read.
    """
    mime = _MIME.get(path.suffix.lower())
    if mime is None:
        raise ExportError(f"The picture {path} is not a PNG or JPEG and cannot be used in a report.")
    try:
        return _data_source(path.read_bytes(), mime)
    except OSError as error:
        raise ExportError(f"The picture {path} could not be read for the report: {error}.") from error


def pixels_source(pixels: np.ndarray) -> str:
    """Return ``(y, x, 3)`` uint8 as a PNG that stands inside a page."""
    from PIL import Image

    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "PNG", optimize=True)
    return _data_source(stream.getvalue(), "image/png")


def _data_source(data: bytes, mime: str) -> str:
    return f"data:{mime};base64,{base64.b64encode(data).decode('ascii')}"
