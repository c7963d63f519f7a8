"""What a model said of the part kept aside, as tables that `acutefindings evaluate` reads."""

import csv
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from AcuteFindingsLib.csv_text import CsvWriter
from AcuteFindingsLib.evaluation.predictions import write_runs
from AcuteFindingsLib.files import replace_when_written
from AcuteFindingsLib.training.recipes.schema import Recipe
from AcuteFindingsLib.training.runs.labels import card_labels
from AcuteFindingsLib.training.runs.score import Answers, Scored


def write_answers(recipe: Recipe, scored: Scored, folder: Path) -> list[Path]:
    """Write ``predictions-slice.csv`` and ``truth-slice.csv``, and the same for studies, with a row a case.

    Unknown truth is an empty cell. Returns the tables of predictions.
    """
    written = []
    names = [label.name for label in card_labels(recipe)]
    for level, answers in scored.levels.items():
        columns = names[: answers.score.shape[1]]
        written.append(folder / f"predictions-{level}.csv")
        _write(written[-1], columns, answers, answers.score, decimals=9, patients=False)
        _write(folder / f"truth-{level}.csv", columns, answers, answers.truth, decimals=3, patients=True)
    return written


def write_all_runs(folders: Sequence[Path], target: Path) -> Path | None:
    """Write the runs' probabilities for the same images as docs/sources.md 5 has them; None where the images differ."""
    tables = [_table(folder / "predictions-study.csv") for folder in folders]
    if len(tables) < 2 or any(one is None for one in tables):
        return None
    keys, values = zip(*(one for one in tables if one is not None), strict=True)
    if any(one != keys[0] for one in keys):
        return None
    return write_runs(target, values)


def _write(
    target: Path, columns: list[str], answers: Answers, values: np.ndarray, *, decimals: int, patients: bool
) -> None:
    with replace_when_written(target) as partial, partial.open("w", newline="", encoding="utf-8") as stream:
        writer = CsvWriter(stream)
        writer.writerow(("image", "patient", *columns) if patients else ("image", *columns))
        for key, patient, row in zip(answers.keys, answers.patients, values, strict=True):
            named = (key, patient) if patients else (key,)
            writer.writerow((*named, *("" if np.isnan(one) else f"{one:.{decimals}f}" for one in row)))


def _table(path: Path) -> tuple[list[str], np.ndarray] | None:
    if not path.is_file():
        return None
    with path.open(newline="", encoding="utf-8") as stream:
        rows = list(csv.reader(stream))[1:]
    return [row[0] for row in rows], np.array([[float(cell) for cell in row[1:]] for row in rows])
