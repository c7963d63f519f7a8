"""RSNA Intracranial Hemorrhage Detection: ``stage_2_train.csv`` with one row an image and subtype, flat DICOM files."""

from pathlib import Path

import numpy as np
import pandas as pd

from AcuteFindingsLib.errors import DataError
from AcuteFindingsLib.evaluation.table_files import first_rows
from AcuteFindingsLib.models.metadata import Task
from AcuteFindingsLib.progress import Progress
from AcuteFindingsLib.training.data.checks import (
    Problems,
    binary,
    build_table,
    counted,
    only_one,
    plausible_age,
    read_csv,
    report_missing,
    sex,
    table_with,
)
from AcuteFindingsLib.training.data.headers import scan_headers
from AcuteFindingsLib.training.data.table import DataTable
from AcuteFindingsLib.training.data.tasks import task_of

KIND = "rsna-hemorrhage"
SUBTYPES = ("any", "epidural", "intraparenchymal", "intraventricular", "subarachnoid", "subdural")
_COLUMNS = ("ID", "Label")
_TABLES = ("stage_2_train.csv", "stage_1_train.csv", "stage_*_train.csv*")
_IMAGES = ("stage_2_train", "stage_2_train_images", "stage_1_train_images", "stage_1_train", "images", "")


def fits(folder: Path) -> bool:
    """Whether the folder holds this data set: a table with its columns, whatever it is called."""
    table = table_with(folder, _TABLES, _COLUMNS)
    rows = first_rows(table, 2)[1:] if table is not None else []
    # Many tables have these columns; the subtype in the identifier is this one's own.
    return any(entry.endswith(tuple(f"_{one}" for one in SUBTYPES)) for row in rows for entry in row)


def read(folder: Path, *, task: Task | None, cache: Path | None, progress: Progress) -> DataTable:
    """Read and check it; patient, series and position come from the headers, the table has none of them."""
    problems = Problems()
    path = table_with(folder, _TABLES, _COLUMNS) or only_one(folder, _TABLES, "table of labels")
    progress(f"Reading {path.name}", 0.0)
    frame = _wide(read_csv(path, ["ID", "Label"], dtype={"ID": "object", "Label": "object"}), path.name, problems)
    images = next(name for name in _IMAGES if not name or (folder / name).is_dir())
    place = f"{images}/" if images else ""
    progress("Looking for the images", 0.1)
    present = {one.name for one in (folder / images).iterdir()}
    files = frame["key"] + ".dcm"
    there = files.isin(present)
    report_missing(place + files, there, problems, what=f"{place}ID_….dcm")
    frame["source"] = (place + files).where(there, "")
    names = frame.loc[there, "source"].tolist()
    headers = scan_headers(folder, names, cache=cache, progress=lambda text, share: progress(text, 0.1 + 0.9 * share))
    frame = _with_headers(frame, headers, place, problems)
    return build_table(
        frame,
        kind=KIND,
        task=task_of(KIND, task).id,
        label_names=SUBTYPES,
        facts=("sex", "age", "spacing_mm", "thickness_mm"),
        root=folder,
        problems=problems,
    )


def _wide(rows: pd.DataFrame, file: str, problems: Problems) -> pd.DataFrame:
    """Return one row an image with a column a subtype; the public table repeats some rows."""
    parts = rows["ID"].str.strip().str.rpartition("_")
    rows = pd.DataFrame({"key": parts[0].astype(object), "subtype": parts[2], "Label": rows["Label"]})
    unknown = ~rows["subtype"].isin(SUBTYPES) | (rows["key"] == "")
    if unknown.all():
        raise DataError(f"{file}: column 'ID' must hold ID_…_subtype with a subtype of {', '.join(SUBTYPES)}.")
    if unknown.any():
        text = f"{counted(unknown, 'row')} not of the form ID_…_subtype; left out."
        problems.add("warn", file, "ID", text, (parts[0] + parts[1] + parts[2])[unknown])
    rows["Label"] = binary(rows["Label"], file, problems)
    rows = rows[~unknown]
    repeats = rows.duplicated(["key", "subtype"])
    if repeats.any():
        text = f"{counted(repeats, 'row')} said twice (the public table repeats some); one each is used."
        problems.add("info", file, "ID", text)
        doubled = rows[rows.duplicated(["key", "subtype"], keep=False)]
        torn = doubled.groupby(["key", "subtype"], sort=False)["Label"].nunique(dropna=False) > 1
        rows = rows[~repeats].copy()
        if torn.any():
            pairs = pd.MultiIndex.from_frame(rows[["key", "subtype"]])
            rows.loc[pairs.isin(torn.index[torn]), "Label"] = np.nan
            text = f"{counted(torn, 'label')} given both as 0 and as 1; unknown."
            problems.add("warn", file, "Label", text)
    codes, keys = pd.factorize(rows["key"])
    values = np.full((len(keys), len(SUBTYPES)), np.nan)
    values[codes, pd.Categorical(rows["subtype"], categories=SUBTYPES).codes] = rows["Label"]
    frame = pd.DataFrame(values, columns=list(SUBTYPES))
    frame["key"] = np.asarray(keys, object)
    lacking = frame[list(SUBTYPES)].isna().any(axis=1)
    if lacking.any():
        text = f"{counted(lacking, 'image')} without a label of some subtype; unknown."
        problems.add("warn", file, "ID", text, frame.loc[lacking, "key"])
    torn_any = frame["any"].notna() & (frame["any"] != frame[list(SUBTYPES[1:])].max(axis=1)) & ~lacking
    if torn_any.any():
        text = f"{counted(torn_any, 'image')} with an 'any' that the subtypes contradict; it is used unchanged."
        problems.add("warn", file, "any", text, frame.loc[torn_any, "key"])
    return frame


def _with_headers(frame: pd.DataFrame, headers: pd.DataFrame, place: str, problems: Problems) -> pd.DataFrame:
    what = f"{place}ID_….dcm"
    damaged = headers.index[headers["unreadable"] != ""]
    if len(damaged):
        text = f"{counted(damaged, 'file')} that cannot be read as DICOM; left out."
        problems.add("warn", what, "", text, damaged)
        frame.loc[frame["source"].isin(damaged), "source"] = ""
    of_image = headers.reindex(frame["source"])
    of_image.index = frame.index
    known = of_image["patient"].notna() & (of_image["patient"] != "")
    readable = frame["source"] != ""
    if (readable & ~known).any():
        text = f"{counted(readable & ~known, 'image')} without a patient; each is treated as a separate patient."
        problems.add("warn", what, "PatientID (0010,0020)", text)
    frame["patient"] = of_image["patient"].where(known, frame["key"])
    frame["series"] = of_image["series"].fillna("")
    frame["order"] = of_image["position"]
    frame["sex"] = sex(of_image["sex"].fillna(""))
    frame["age"] = plausible_age(of_image["age"], what, problems)
    frame["spacing_mm"], frame["thickness_mm"] = of_image["spacing_mm"], of_image["thickness_mm"]
    return frame
