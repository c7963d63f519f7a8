"""The list as a table and as a page beside the results, for who has neither Slicer nor the command at hand."""

import io
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from AcuteFindingsLib.csv_text import CsvWriter
from AcuteFindingsLib.detectors.registry import known_kind
from AcuteFindingsLib.pages.page import render, write_page
from AcuteFindingsLib.worklist.item import WorklistItem, by_urgency, minutes_between
from AcuteFindingsLib.worklist.urgency import UrgencySettings

TABLE, PAGE = "worklist.csv", "worklist.html"

COLUMNS = (
    "key", "detector", "state", "verdict", "probability", "urgency", "arrived", "finished", "model", "study_uid",
    "series_uid", "answer", "reader", "note", "said", "report",
)  # fmt: skip
"""Of the table: as `WorklistItem` has them, and the report's path from the table's folder."""


def write_listing(items: Sequence[WorklistItem], folder: Path, settings: UrgencySettings) -> tuple[Path, Path]:
    """Write `TABLE` and `PAGE` into a folder of results, the most urgent first, and return their paths.

    Raises
    ------
    ExportError
        When they cannot be written.
    """
    ordered = by_urgency(items, settings)
    page = render("worklist.html.jinja", rows=[_shown(item, folder) for item in ordered], counts=counts(items))
    return write_page(table_text(ordered, folder), folder / TABLE), write_page(page, folder / PAGE)


def table_text(items: Sequence[WorklistItem], folder: Path) -> str:
    """Return rows as CSV, in the order given."""
    stream = io.StringIO()
    writer = CsvWriter(stream, lineterminator="\n")
    writer.writerow(COLUMNS)
    for item in items:
        values: Mapping[str, Any] = {**vars(item), "report": report_of(item, folder)}
        writer.writerow(["" if values[name] is None else values[name] for name in COLUMNS])
    return stream.getvalue()


def report_of(item: WorklistItem, folder: Path) -> str:
    """Return the path of a study's report from the folder of results; empty where it has none."""
    report = Path(item.key) / "report.html"
    return report.as_posix() if item.state == "done" and (folder / report).is_file() else ""


def counts(items: Sequence[WorklistItem]) -> dict[str, int]:
    """Return how many studies are in each state, and of those done how many have each verdict."""
    found: dict[str, int] = {}
    for item in items:
        word = item.verdict if item.state == "done" and item.verdict else item.state
        found[word] = found.get(word, 0) + 1
    order = ("positive", "indeterminate", "negative", "waiting", "reading", "refused", "failed")
    return {word: found[word] for word in order if word in found}


def finding_words(detector: str) -> str:
    """Return what a detector looks for, in words; its name where it is not installed here."""
    kind = known_kind(detector)
    return detector if kind is None else kind.finding


def _shown(item: WorklistItem, folder: Path) -> dict[str, Any]:
    minutes = minutes_between(item.arrived, item.finished)
    return {
        "key": item.key,
        "finding": finding_words(item.detector),
        "state": item.state,
        "verdict": item.verdict or "",
        "probability": item.probability,
        "urgency": item.urgency,
        "arrived": _clock(item.arrived),
        "arrived_sort": item.arrived,
        "minutes": None if minutes != minutes else minutes,
        "answer": f"{item.answer}, {item.reader}".strip(", "),
        "note": item.note,
        "said": item.said,
        "model": item.model,
        "report": report_of(item, folder),
    }


def _clock(text: str) -> str:
    try:
        return datetime.fromisoformat(text).strftime("%Y-%m-%d %H:%M")
    except ValueError:
        return ""
