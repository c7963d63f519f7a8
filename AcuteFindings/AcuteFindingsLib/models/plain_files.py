"""Small text files of a model package or bundle, read within limits; nothing in them is followed or run."""

import json
import stat
from pathlib import Path
from typing import Any

from AcuteFindingsLib import json_text
from AcuteFindingsLib.budgets import budgets
from AcuteFindingsLib.errors import ModelError

_MOST_VALUES = 1_000_000


def require_plain_file(path: Path, *, inside: Path | None = None) -> None:
    """Refuse what is no file of its own: a link, a pipe, a device, or one that links lead out of `inside`.

    Raises
    ------
    ModelError
        Names the file.
    """
    try:
        mode = path.lstat().st_mode
        outside = inside is not None and not path.resolve().is_relative_to(inside.resolve())
    except FileNotFoundError as error:
        raise ModelError(f"{path} is missing from the model package; fetch the package again.") from error
    except (OSError, ValueError, RuntimeError) as error:
        raise ModelError(f"{path} could not be read: {error}.") from error
    if stat.S_ISLNK(mode) or outside:
        raise ModelError(f"{path} is a link; a model package may hold plain files only. Replace it by the file.")
    if not stat.S_ISREG(mode):
        raise ModelError(f"{path} is not a file (a folder, pipe or device); do not use this package.")


def read_text(path: Path, *, inside: Path | None = None) -> str:
    """Return the text of a small file of a package; raises `ModelError` as `require_plain_file`."""
    require_plain_file(path, inside=inside)
    try:
        if path.stat().st_size > budgets().settings_bytes:
            raise ModelError(
                f"{path} is larger than {budgets().settings_bytes >> 20} MB, more than such a file ever needs; "
                "do not use it."
            )
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ModelError(f"{path} could not be read: {error}.") from error


def read_json(path: Path, *, inside: Path | None = None) -> Any:
    """Return what a small JSON file of a package holds; raises `ModelError` as `read_text` and `parse_json`."""
    return parse_json(read_text(path, inside=inside), source=str(path))


def parse_json(text: str | bytes, *, source: str) -> Any:
    """Return what JSON holds, within the limits of `require_bounded`.

    Raises
    ------
    ModelError
        Names `source`.
    """
    try:
        data = json_text.parse_json(text.encode("utf-8", "surrogatepass") if isinstance(text, str) else text)
    except json.JSONDecodeError as error:
        raise ModelError(f"{source} is no valid JSON: {error}.") from error
    except ValueError as error:
        raise ModelError(f"{source} {error}; do not use it.") from error
    return require_bounded(data, source=source)


def require_bounded(data: Any, *, source: str) -> Any:
    """Return `data` where its depth is within `Budgets.nesting` and it holds no more than a million values.

    Raises
    ------
    ModelError
        Names `source`.
    """
    level, depth, count = [data], 0, 0
    while level:
        count += len(level)
        if depth > budgets().nesting:
            raise ModelError(_too_deep(source))
        if count > _MOST_VALUES:
            raise ModelError(f"{source} holds more than {_MOST_VALUES:,} values; do not use it.")
        inner: list[Any] = []
        for item in level:
            if isinstance(item, dict):
                inner.extend(item.values())
            elif isinstance(item, list | tuple):
                inner.extend(item)
        level, depth = inner, depth + 1
    return data


def _too_deep(source: str) -> str:
    return f"{source} is nested more than {budgets().nesting} levels deep; do not use it."
