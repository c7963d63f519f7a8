"""Single head CT slices as pictures: ``labels.csv`` (image, hemorrhage, duplicate_group), ``images``."""

from pathlib import Path

from AcuteFindingsLib.models.metadata import Task
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

KIND = "head-slices"
TABLE = "labels.csv"


def fits(folder: Path) -> bool:
    """Whether the folder holds this data set."""
    return (folder / TABLE).is_file() and {"image", "hemorrhage"} <= column_names(folder / TABLE)


def read(folder: Path, *, task: Task | None, cache: Path | None, progress: Progress) -> DataTable:  # noqa: ARG001
    """Read and check it. Every slice is of another person; near-identical ones share ``duplicate_group``."""
    problems = Problems()
    progress(f"Reading {TABLE}", 0.0)
    frame = read_csv(folder / TABLE, ["image", "hemorrhage"], dtype={"image": "object"})
    frame = without_repeats(frame, "image", TABLE, problems, labels=["hemorrhage"])
    frame["any"] = binary(frame["hemorrhage"], TABLE, problems)
    frame["key"] = frame["image"]
    if "duplicate_group" in frame:
        known = frame["duplicate_group"].notna()
        frame["group"] = ("duplicates-" + frame["duplicate_group"].astype(str)).where(known, frame["key"])
        torn = int((frame.groupby("group")["any"].nunique() > 1).sum())
        if torn:
            text = f"{torn} groups of near-identical images hold both labels."
            problems.add("warn", TABLE, "hemorrhage", text)
    else:
        problems.add("warn", TABLE, "duplicate_group", "no such column: near-identical images may be on both sides.")
    place = "images/" if (folder / "images").is_dir() else ""
    frame["source"] = existing(folder, place + frame["image"], problems, what=f"{place}image")
    return build_table(
        frame, kind=KIND, task="hemorrhage", label_names=["any"], facts=(), root=folder, problems=problems
    )
