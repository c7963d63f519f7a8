"""RSNA STR Pulmonary Embolism: ``train.csv``, 17 columns, ``train/Study/Series/SOP.dcm`` (docs/sources.md 2)."""

from pathlib import Path

import pandas as pd

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
from AcuteFindingsLib.training.data.tasks import task_of

KIND = "rsna-pe"
TABLE = "train.csv"
_UIDS = ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID")

# Of the slice: the main label of whom it is read for.
MAIN = "pe_present_on_image"
# Column to label of the examination: as the models of this project call them.
LABELS = {
    "negative_exam_for_pe": "negative_exam",
    "indeterminate": "indeterminate",
    "leftsided_pe": "left",
    "rightsided_pe": "right",
    "central_pe": "central",
    "rv_lv_ratio_gte_1": "rv_lv_ge_1",
    "rv_lv_ratio_lt_1": "rv_lv_lt_1",
    "chronic_pe": "chronic",
    "acute_and_chronic_pe": "acute_and_chronic",
    "qa_motion": "motion",
    "qa_contrast": "poor_contrast",
    "flow_artifact": "flow_artifact",
    "true_filling_defect_not_pe": "other_filling_defect",
}


def fits(folder: Path) -> bool:
    """Whether the folder holds this data set."""
    table = folder / TABLE
    return table.is_file() and {MAIN, "StudyInstanceUID"} <= column_names(table)


def read(folder: Path, *, task: Task | None, cache: Path | None, progress: Progress) -> DataTable:  # noqa: ARG001
    """Read and check it; `patient` is the study, of which the data set has one a patient.

    The main label is of the slice, all others are of the examination; ``pe_present`` is neither negative nor
    indeterminate.
    """
    problems = Problems()
    progress("Reading train.csv", 0.0)
    types: dict[str, str] = {**dict.fromkeys(_UIDS[:2], "category"), _UIDS[2]: "object"}
    own = task_of(KIND, task)
    names = {MAIN: own.main_label, **LABELS}
    frame = read_csv(folder / TABLE, [*_UIDS, *names], usecols=[*_UIDS, *names], dtype=types)
    frame = without_repeats(frame, "SOPInstanceUID", TABLE, problems, labels=list(names))
    progress("Checking labels", 0.4)
    for column, name in names.items():
        frame[name] = binary(frame[column], TABLE, problems)
    frame["pe_present"] = ((frame["negative_exam"] == 0) & (frame["indeterminate"] == 0)).astype(float)
    _report_contradictions(frame, own.main_label, problems)
    study, series = (frame[name].astype(object) for name in _UIDS[:2])
    frame["key"], frame["patient"], frame["series"] = frame["SOPInstanceUID"], study, series
    progress("Looking for the images", 0.6)
    place = "train/" if (folder / "train").is_dir() else ""
    wanted = place + study + "/" + series + "/" + frame["SOPInstanceUID"] + ".dcm"
    frame["source"] = existing(folder, wanted, problems, what=f"{place}Study/Series/image.dcm")
    return build_table(
        frame,
        kind=KIND,
        task=own.id,
        label_names=[own.main_label, "pe_present", *LABELS.values()],
        facts=(),
        root=folder,
        problems=problems,
    )


def _report_contradictions(frame: pd.DataFrame, label: str, problems: Problems) -> None:
    wrong = (frame[label] == 1) & (frame["negative_exam"] == 1)
    if wrong.any():
        studies = frame.loc[wrong, "StudyInstanceUID"].nunique()
        text = f"{int(wrong.sum())} slices with embolism are in {studies} examinations called negative."
        problems.add("warn", TABLE, "negative_exam_for_pe", text)
    within = frame.groupby("StudyInstanceUID", observed=True)["negative_exam"].nunique()
    if (within > 1).any():
        text = f"{int((within > 1).sum())} examinations are called both negative and not."
        problems.add("warn", TABLE, "negative_exam_for_pe", text)
