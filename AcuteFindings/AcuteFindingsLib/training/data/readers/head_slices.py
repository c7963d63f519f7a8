"""Single CT slices as pictures: ``labels.csv`` (image, the finding, duplicate_group), ``images``."""

from pathlib import Path

from AcuteFindingsLib.models.metadata import Task
from AcuteFindingsLib.models.task import ModelTask
from AcuteFindingsLib.progress import Progress
from AcuteFindingsLib.training.data.checks import (
    Problems,
    binary,
    build_table,
    column_names,
    existing,
    read_csv,
    without_repeats,
)
from AcuteFindingsLib.training.data.table import DataTable
from AcuteFindingsLib.training.data.tasks import task_of

KIND = "head-slices"
TABLE = "labels.csv"


def fits(folder: Path) -> bool:
    """Whether the folder holds this data set."""
    table = folder / TABLE
    return table.is_file() and "image" in column_names(table) and bool(_column(table, task_of(KIND, None)))


def read(folder: Path, *, task: Task | None, cache: Path | None, progress: Progress) -> DataTable:  # noqa: ARG001
    """Read and check it. Every slice is of another person; near-identical ones share ``duplicate_group``."""
    problems = Problems()
    progress(f"Reading {TABLE}", 0.0)
    own = task_of(KIND, task)
    label = own.main_label
    column = _column(folder / TABLE, own) or own.id
    frame = read_csv(folder / TABLE, ["image", column], dtype={"image": "object"})
    frame = without_repeats(frame, "image", TABLE, problems, labels=[column])
    frame[label] = binary(frame[column], TABLE, problems)
    frame["key"] = frame["image"]
    if "duplicate_group" in frame:
        known = frame["duplicate_group"].notna()
        frame["group"] = ("duplicates-" + frame["duplicate_group"].astype(str)).where(known, frame["key"])
        torn = int((frame.groupby("group")[label].nunique() > 1).sum())
        if torn:
            text = f"{torn} groups of near-identical images hold both labels."
            problems.add("warn", TABLE, column, text)
    else:
        problems.add("warn", TABLE, "duplicate_group", "no such column: near-identical images may be on both sides.")
    place = "images/" if (folder / "images").is_dir() else ""
    frame["source"] = existing(folder, place + frame["image"], problems, what=f"{place}image")
    return build_table(frame, kind=KIND, task=own.id, label_names=[label], facts=(), root=folder, problems=problems)


def _column(table: Path, task: ModelTask) -> str:
    """Return the column that holds the finding, by one of its spellings; empty where there is none."""
    main = task.labels[0]
    return next((name for name in (*main.spellings, main.name) if name in column_names(table)), "")
