"""What a run knows of the items of CLAIM 2024 and STARD-AI, filled in; the rest is listed as left to the authors.

Nothing is guessed: a sentence stands where the evaluation, the model's card or the findings state it.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Literal

from AcuteFindingsLib.evaluation import checklist_data as data
from AcuteFindingsLib.evaluation import checklist_figures as figures
from AcuteFindingsLib.evaluation import checklist_model as model
from AcuteFindingsLib.evaluation.checklist_items import CLAIM, STARD_AI, Guideline, Item
from AcuteFindingsLib.evaluation.checklist_known import Known
from AcuteFindingsLib.pages.page import render, write_page

Status = Literal["filled", "partly", "authors"]

GUIDELINES = (CLAIM, STARD_AI)
PAGE, NUMBERS = "checklist.html", "checklist.json"


KNOWN: Mapping[str, Callable[[Known], str]] = {
    "technology": model.technology,
    "intended_use": model.intended_use,
    "goal": model.goal,
    "sources": data.sources,
    "check": data.checked,
    "preprocessing": model.preprocessing,
    "selection": data.selection,
    "missing": data.missing,
    "acquisition": data.acquisition,
    "protocol": data.protocol,
    "devices": data.devices,
    "truth": data.truth,
    "partitions": model.partitions,
    "disjoint": data.disjoint,
    "sample": data.sample,
    "model": model.model,
    "software": model.software,
    "initialization": model.initialization,
    "training": model.training,
    "ensemble": model.ensemble,
    "metrics": figures.metrics,
    "uncertainty": figures.uncertainty,
    "subgroups": figures.subgroups_measured,
    "explanation": model.explanation,
    "counts": data.counts_of_cases,
    "characteristics": data.characteristics,
    "performance": figures.performance,
    "operating": figures.at_operating_points,
    "table": figures.cross_table,
    "failures": figures.failures,
    "limitations": model.limitations,
    "availability": model.availability,
    "cutoffs": figures.cutoffs,
    "blind": model.blind,
    "indeterminate": data.indeterminate,
    "prevalence": data.prevalence,
    "audit": data.audit,
}
"""What a run may know of an item, by the name that items use."""


@dataclass(frozen=True)
class Row:
    """An item as far as it is answered: `said` is what the run knows, `item.left` what is left to the authors."""

    item: Item
    status: Status
    said: str


@dataclass(frozen=True)
class Checklist:
    """A guideline with its items answered as far as a run can."""

    guideline: Guideline
    rows: tuple[Row, ...]

    def count(self, status: Status) -> int:
        """Return how many items have a status."""
        return sum(row.status == status for row in self.rows)


def checklists(known: Known) -> tuple[Checklist, ...]:
    """Return both guidelines, answered as far as the run can."""
    return tuple(Checklist(guideline, tuple(_row(item, known) for item in guideline.items)) for guideline in GUIDELINES)


def write_checklists(known: Known, folder: Path, *, made: datetime | None = None) -> tuple[Path, Path]:
    """Write ``checklist.json`` and ``checklist.html`` below `folder`; return both paths.

    Raises
    ------
    ExportError
        When they cannot be written.
    """
    answered = checklists(known)
    numbers = [
        {
            "guideline": one.guideline.name,
            "source": one.guideline.source,
            "filled": one.count("filled"),
            "partly": one.count("partly"),
            "authors": one.count("authors"),
            "items": [
                {
                    "number": row.item.number,
                    "section": row.item.section,
                    "asks": row.item.asks,
                    "status": row.status,
                    "said": row.said,
                    "left_to_the_authors": row.item.left,
                }
                for row in one.rows
            ],
        }
        for one in answered
    ]
    page = render("checklist.html.jinja", made=made, checklists=answered, result=known.result)
    text = json.dumps(numbers, indent=2, ensure_ascii=False) + "\n"
    return write_page(text, folder / NUMBERS), write_page(page, folder / PAGE)


def _row(item: Item, known: Known) -> Row:
    said = KNOWN[item.known](known) if item.known else ""
    if not said:
        return Row(item if item.left else replace(item, left="State it."), "authors", "")
    return Row(item, "partly" if item.left else "filled", said)
