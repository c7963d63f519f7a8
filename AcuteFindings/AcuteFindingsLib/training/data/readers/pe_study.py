"""The PE study's own table: ``train.csv`` with files under ``Study/Series/file`` (docs/sources.md 1)."""

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
    with_value,
    without_repeats,
)
from AcuteFindingsLib.training.data.readers.rsna_pe import TABLE
from AcuteFindingsLib.training.data.table import DataTable
from AcuteFindingsLib.training.data.tasks import task_of

KIND = "pe-study"
COLUMNS = (
    "PatientID",
    "StudyInstanceUID",
    "SeriesInstanceUID",
    "SOPInstanceUID",
    "dcm_filename",
    "label",
    "dataset_label",
)
# Beside the table, or in the folder that the study's code names.
_PLACES = ("", "data_dcm/", "data/")


def fits(folder: Path) -> bool:
    """Whether the folder holds this data set."""
    return (folder / TABLE).is_file() and {"PatientID", "dcm_filename", "label"} <= column_names(folder / TABLE)


def read(folder: Path, *, task: Task | None, cache: Path | None, progress: Progress) -> DataTable:  # noqa: ARG001
    """Read and check it. The main label is of the slice; ``pe_present`` is whether any slice of the series has it."""
    problems = Problems()
    progress("Reading train.csv", 0.0)
    frame = read_csv(folder / TABLE, COLUMNS, usecols=COLUMNS, dtype=dict.fromkeys(COLUMNS[:5], "object"))
    frame = with_value(frame, "PatientID", TABLE, problems)
    frame = without_repeats(frame, "SOPInstanceUID", TABLE, problems, labels=["label"])
    own = task_of(KIND, task)
    label = own.main_label
    frame[label] = binary(frame["label"], TABLE, problems)
    frame["key"], frame["patient"], frame["series"] = (
        frame[name] for name in ("SOPInstanceUID", "PatientID", "SeriesInstanceUID")
    )
    frame["pe_present"] = frame.groupby("series", sort=False)[label].transform("max")
    progress("Looking for the images", 0.5)
    below = frame["StudyInstanceUID"] + "/" + frame["SeriesInstanceUID"] + "/" + frame["dcm_filename"]
    place = next((one for one in _PLACES if (folder / f"{one}{below.iloc[0]}").is_file()), _PLACES[0])
    if not (folder / f"{place}{below.iloc[0]}").is_file():
        # The first file may be the one that is missing.
        studies = set(frame["StudyInstanceUID"])
        place = next(
            (one for one in _PLACES if any((folder / one / name).is_dir() for name in sorted(studies))), _PLACES[0]
        )
    frame["source"] = existing(folder, place + below, problems, what=f"{place}Study/Series/file")
    others = frame.groupby("SeriesInstanceUID")["PatientID"].nunique()
    if (others > 1).any():
        problems.add("warn", TABLE, "PatientID", f"{int((others > 1).sum())} series belong to several patients.")
    return build_table(
        frame,
        kind=KIND,
        task=own.id,
        label_names=[label, "pe_present"],
        facts=("dataset_label",),
        root=folder,
        problems=problems,
    )
