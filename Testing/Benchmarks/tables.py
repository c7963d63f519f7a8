"""Tables and facts of what was measured, as Markdown."""

import os
import platform
from collections.abc import Sequence
from datetime import date
from importlib.metadata import PackageNotFoundError, version
from statistics import median

PACKAGES = ("onnxruntime", "torch", "numpy", "scipy", "pydicom", "SimpleITK")


def machine() -> dict[str, str]:
    """Say on what it was measured; names neither the machine nor a place on it."""
    return {
        "date": date.today().isoformat(),
        "processor": f"{platform.machine()}, {os.cpu_count()} cores, no graphics card used",
        "system": platform.system(),
        "Python": platform.python_version(),
        **{name: _version(name) for name in PACKAGES},
    }


def facts(said: dict[str, str]) -> str:
    """Return what `machine` said, as a sentence."""
    return "Measured on: " + "; ".join(f"{name} {value}" for name, value in said.items()) + "."


def as_markdown(rows: Sequence[Sequence[str]]) -> str:
    """Return a table whose columns are as wide as their widest cell."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = [
        "| " + " | ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) + " |" for row in rows
    ]
    lines.insert(1, "|" + "|".join("-" * (width + 2) for width in widths) + "|")
    return "\n".join(lines)


def times(count: int, what: str) -> str:
    """Return a count with its noun: ``"1 round"``, ``"3 rounds"``."""
    return f"{count} {what}{'' if count == 1 else 's'}"


def goal(text: str, reached: float, most: float, *, digits: int = 2) -> str:
    """Return a goal, whether it was met, and by what."""
    met = "Met" if reached <= most else "Missed"
    return f"Goal: {text}. {met}: {reached:.{digits}f}."


def spread(seconds: Sequence[float]) -> str:
    """Return the median with the lowest and highest, in seconds."""
    return f"{median(seconds):.2f} ({min(seconds):.2f} to {max(seconds):.2f})"


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"
