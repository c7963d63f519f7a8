"""Readers' answers as labels: two tables that ``evaluate --truth`` takes, one of studies and one of slices.

A reader who agrees with a positive verdict says that the finding is there, and where the model marked it: the slices of
its runs are labeled 1, the others stay open. A study without the finding has no slice with it: all are 0. Nothing is
said by answers that are unsure, nor by those to a verdict that is indeterminate. Readers saw the verdict before they
answered, so figures against this truth flatter the model.
"""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from AcuteFindingsLib.csv_text import CsvWriter
from AcuteFindingsLib.errors import WorklistError
from AcuteFindingsLib.files import replace_when_written
from AcuteFindingsLib.worklist.item import WorklistItem

STUDIES, SLICES = "study-labels.csv", "slice-labels.csv"


@dataclass(frozen=True)
class WrittenLabels:
    """The two tables, how many studies and slices they label, and how many answers say nothing of either."""

    studies_file: Path
    slices_file: Path
    studies: int
    slices: int
    left_out: int


def finding_present(verdict: str | None, answer: str) -> bool | None:
    """Return whether a reader's answer says that the finding is there; None where it says neither."""
    if verdict not in ("positive", "negative") or answer not in ("agree", "disagree"):
        return None
    return (verdict == "positive") == (answer == "agree")


def write_labels(items: Iterable[WorklistItem], results: Path, out: Path) -> WrittenLabels:
    """Write what readers answered as labels.

    Parameters
    ----------
    items
        The rows of the list, with their last answers.
    results
        The folder of results, with the findings that the answers are about.
    out
        Folder of the two tables; made where it does not exist.

    Raises
    ------
    WorklistError
        No answer says anything, or the tables cannot be written.
    """
    answered = [item for item in items if item.answer and item.state == "done"]
    studies: list[tuple[str, str, int]] = []
    slices: list[tuple[str, str, str, int]] = []
    for item in answered:
        present = finding_present(item.verdict, item.answer)
        finding = None if present is None else _finding(results / item.key / "finding.json")
        if present is None or finding is None:
            continue
        label = str(finding["main_label"])
        studies.append((item.key, label, int(present)))
        slices += [(uid, item.key, label, said) for uid, said in _slice_labels(finding, present, item)]
    if not studies:
        raise WorklistError(
            "No answer says yet that a finding is there or not; agree or disagree with a verdict first."
        )
    try:
        out.mkdir(parents=True, exist_ok=True)
        _write(out / STUDIES, ("study",), [((key,), label, said) for key, label, said in studies])
        _write(out / SLICES, ("sop_instance_uid", "study"), [((uid, key), name, x) for uid, key, name, x in slices])
    except OSError as error:
        raise WorklistError(f"The labels could not be written to {out}: {error.strerror or error}.") from error
    return WrittenLabels(out / STUDIES, out / SLICES, len(studies), len(slices), len(answered) - len(studies))


def _slice_labels(finding: dict[str, Any], present: bool, item: WorklistItem) -> list[tuple[str, int]]:
    """Return SOP Instance UIDs and labels of a study's slices; a single image is a study and has no slices."""
    if len(finding["slices"]) < 2 or (present and item.verdict != "positive"):
        return []
    inside = {index for first, last in finding["positive_runs"] for index in range(first, last + 1)}
    wanted = [one for one in finding["slices"] if not present or one["index"] in inside]
    return [(one["sop_instance_uid"], int(present)) for one in wanted if one["sop_instance_uid"]]


def _write(path: Path, columns: Sequence[str], rows: Sequence[tuple[tuple[str, ...], str, int]]) -> None:
    """Write a table with a column a label; a row knows one of them."""
    labels = list(dict.fromkeys(label for _, label, _ in rows))
    with replace_when_written(path) as partial, partial.open("w", newline="", encoding="utf-8") as stream:
        writer = CsvWriter(stream)
        writer.writerow([*columns, *labels])
        writer.writerows([*case, *(said if label == own else "" for own in labels)] for case, label, said in rows)


def _finding(path: Path) -> dict[str, Any] | None:
    """Return a finding as its file has it; None where the file is gone or damaged: the list outlives it."""
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    needed = ("main_label", "slices", "positive_runs")
    return data if isinstance(data, dict) and all(name in data for name in needed) else None
