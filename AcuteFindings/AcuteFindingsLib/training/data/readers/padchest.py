"""PadChest: ``PADCHEST_chest_x_ray_images_labels_160K*.csv`` and pictures in numbered folders (docs/sources.md 5)."""

import json
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

import pandas as pd

from AcuteFindingsLib.models.metadata import Task
from AcuteFindingsLib.progress import Progress
from AcuteFindingsLib.training.data.checks import (
    Problems,
    build_table,
    counted,
    files_below,
    only_one,
    read_csv,
    report_missing,
    sex,
    table_with,
    with_value,
    without_repeats,
)
from AcuteFindingsLib.training.data.table import DataTable
from AcuteFindingsLib.training.data.tasks import task_of

KIND = "padchest"
PROJECTIONS = ("PA", "AP", "AP_horizontal")
"""The projections that docs/sources.md 5 keeps."""

# Label to PadChest's own words for it and for what lies below it in its tree.
LABELS: Mapping[str, list[str]] = MappingProxyType(
    json.loads(Path(__file__).with_suffix(".json").read_text(encoding="utf-8"))
)
# What stands for an image about which nothing is said.
_SAYS_NOTHING = frozenset({"exclude", "unchanged", "suboptimal study", ""})
_TABLES = ("PADCHEST_chest_x_ray_images_labels*.csv*", "*[Pp]ad[Cc]hest*.csv*", "*PADCHEST*.csv*")
_COLUMNS = ("ImageID", "ImageDir", "PatientID", "Projection", "Labels")
_FACTS = ("PatientSex_DICOM", "PatientBirth", "StudyDate_DICOM", "MethodLabel", "SpatialResolution_DICOM", "StudyID")


def fits(folder: Path) -> bool:
    """Whether the folder holds this data set: a table with its columns, whatever it is called."""
    return table_with(folder, _TABLES, _COLUMNS) is not None


def read(folder: Path, *, task: Task | None, cache: Path | None, progress: Progress) -> DataTable:  # noqa: ARG001
    """Read and check it. Lateral and other views are left out; images with "exclude" only have unknown labels."""
    problems = Problems()
    path = table_with(folder, _TABLES, _COLUMNS) or only_one(folder, _TABLES, "table of labels")
    progress(f"Reading {path.name}", 0.0)
    frame = read_csv(
        path, _COLUMNS, usecols=[*_COLUMNS, *_FACTS], dtype=dict.fromkeys((*_COLUMNS, "StudyID"), str), low_memory=False
    )
    frame = _frontal(frame, path.name, problems)
    frame = with_value(frame, "PatientID", path.name, problems)
    frame = without_repeats(frame, "ImageID", path.name, problems, labels=[]).reset_index(drop=True)
    progress("Reading the labels", 0.3)
    _read_labels(frame, path.name, problems)
    progress("Looking for the images", 0.6)
    found = files_below(folder, (".png", ".jpg", ".jpeg"))
    sources = frame["ImageID"].map(found)
    report_missing(frame["ImageDir"].fillna("?") + "/" + frame["ImageID"], sources.notna(), problems, what="images")
    frame["source"] = sources.fillna("").astype(object)
    frame["key"], frame["patient"] = frame["ImageID"], frame["PatientID"].str.strip()
    _read_facts(frame, path.name, problems)
    return build_table(
        frame,
        kind=KIND,
        task=task_of(KIND, task, LABELS).id,
        label_names=list(LABELS),
        facts=("sex", "age", "view", "projection", "findings", "label_method", "spacing_mm"),
        root=folder,
        problems=problems,
    )


def _frontal(frame: pd.DataFrame, file: str, problems: Problems) -> pd.DataFrame:
    projection = frame["Projection"].fillna("").str.strip()
    kept = projection.isin(PROJECTIONS)
    if (~kept).any():
        counts = ", ".join(f"{count} {name or 'unstated'}" for name, count in projection[~kept].value_counts().items())
        text = f"{counted(~kept, 'image')} of another projection than PA, AP or AP horizontal ({counts}); left out."
        problems.add("info", file, "Projection", text)
    return frame[kept]


def _read_labels(frame: pd.DataFrame, file: str, problems: Problems) -> None:
    """Add a 0/1 column a label and `findings`, PadChest's own words joined by ``|``."""
    text = frame["Labels"].fillna("").str.strip()
    listed = text.str.startswith("[") & text.str.endswith("]")
    if (~listed).any():
        lost = int((~listed).sum())
        problems.add("warn", file, "Labels", f"{lost} entries are not a list ['…', '…']; their labels are unknown.")
    # Labels hold no commas and no quotes but those around them.
    inside = text.where(listed, "").str.strip("[]").str.replace(r"[\"']", "", regex=True)
    words = inside.str.split(",").explode().str.strip().str.lower()
    for name, meant in LABELS.items():
        frame[name] = words.isin(meant).groupby(level=0).any().astype(float)
    silent = words.isin(_SAYS_NOTHING).groupby(level=0).all()
    if silent.any():
        said = int((silent & listed).sum())
        if said:
            text = f"{said} images of which nothing is said but that they are to be excluded or unchanged; unknown."
            problems.add("info", file, "Labels", text, frame.loc[silent & listed, "ImageID"])
        frame.loc[silent, list(LABELS)] = float("nan")
    frame["findings"] = words[words != ""].groupby(level=0).agg("|".join).reindex(frame.index).fillna("")


def _read_facts(frame: pd.DataFrame, file: str, problems: Problems) -> None:
    frame["projection"] = frame["Projection"].str.strip()
    frame["view"] = frame["projection"].str[:2]
    if "PatientSex_DICOM" in frame:
        frame["sex"] = sex(frame["PatientSex_DICOM"].fillna(""))
    if {"PatientBirth", "StudyDate_DICOM"} <= set(frame):
        born = pd.to_numeric(frame["PatientBirth"], errors="coerce")
        taken = pd.to_numeric(frame["StudyDate_DICOM"], errors="coerce") // 10_000
        age = taken - born
        wrong = (age < 0) | (age > 115)
        if wrong.any():
            text = f"{counted(wrong, 'age')} below 0 or above 115; unknown."
            problems.add("warn", file, "PatientBirth", text)
        frame["age"] = age.mask(wrong)
    if "MethodLabel" in frame:
        frame["label_method"] = frame["MethodLabel"].fillna("")
    if "SpatialResolution_DICOM" in frame:
        frame["spacing_mm"] = pd.to_numeric(frame["SpatialResolution_DICOM"], errors="coerce")
