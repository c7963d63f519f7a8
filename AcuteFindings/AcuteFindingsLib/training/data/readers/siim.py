"""SIIM-ACR pneumothorax: ``train-rle.csv`` and DICOM radiographs in nested folders (docs/sources.md 3)."""

from pathlib import Path

import pandas as pd

from AcuteFindingsLib.errors import StudyError
from AcuteFindingsLib.models.metadata import Task
from AcuteFindingsLib.progress import Progress
from AcuteFindingsLib.study.rle import is_empty, run_numbers
from AcuteFindingsLib.training.data.checks import (
    Problems,
    build_table,
    counted,
    files_below,
    only_one,
    plausible_age,
    read_csv,
    report_missing,
    sex,
    table_with,
)
from AcuteFindingsLib.training.data.headers import scan_headers
from AcuteFindingsLib.training.data.table import DataTable, MaskSource
from AcuteFindingsLib.training.data.tasks import task_of

KIND = "siim"
_COLUMNS = ("ImageId", "EncodedPixels")
_TABLES = ("train-rle.csv", "stage_2_train.csv", "*train*rle*.csv*")


def fits(folder: Path) -> bool:
    """Whether the folder holds this data set: a table with its columns, whatever it is called."""
    return table_with(folder, _TABLES, _COLUMNS) is not None


def read(folder: Path, *, task: Task | None, cache: Path | None, progress: Progress) -> DataTable:
    """Read and check it; one example an image, with all its masks. ``-1`` is an empty mask."""
    problems = Problems()
    own = task_of(KIND, task)
    label = own.main_label
    path = table_with(folder, _TABLES, _COLUMNS) or only_one(folder, _TABLES, "table of run-length masks")
    progress(f"Reading {path.name}", 0.0)
    rows = read_csv(path, ["ImageId", "EncodedPixels"], dtype=str, keep_default_na=False)
    frame, runs = _by_image(rows, path.name, problems)
    found = files_below(folder, (".dcm",))
    found.index = found.index.str.removesuffix(".dcm")
    sources = frame["key"].map(found)
    there = sources.notna()
    report_missing(frame["key"] + ".dcm", there, problems, what="…/ImageId.dcm")
    frame["source"] = sources.fillna("").astype(object)
    unlisted = found.index.difference(frame["key"])
    if len(unlisted):
        text = f"{counted(unlisted, 'DICOM file')} not in the table; not used."
        problems.add("info", path.name, "ImageId", text, unlisted)
    headers = scan_headers(folder, frame.loc[there, "source"].tolist(), cache=cache, progress=progress)
    frame = _with_headers(frame, headers, problems)
    masks = _masks(frame, runs, label, path.name, problems)
    frame[label] = [float(bool(masks[row][label].runs)) if row in masks else float("nan") for row in range(len(frame))]
    return build_table(
        frame,
        kind=KIND,
        task=own.id,
        label_names=[label],
        facts=("sex", "age", "view", "spacing_mm"),
        root=folder,
        problems=problems,
        masks=masks,
    )


def _by_image(rows: pd.DataFrame, file: str, problems: Problems) -> tuple[pd.DataFrame, dict[str, tuple[str, ...]]]:
    rows = rows.apply(lambda column: column.str.strip())
    unnamed = rows["ImageId"] == ""
    if unnamed.any():
        problems.add("warn", file, "ImageId", f"{counted(unnamed, 'row')} without an image; left out.")
        rows = rows[~unnamed]
    repeats = rows.duplicated()
    if repeats.any():
        problems.add("info", file, "", f"{counted(repeats, 'row')} said twice; one each is used.")
        rows = rows[~repeats]
    empty = rows["EncodedPixels"].map(is_empty)
    marked = rows[~empty].groupby("ImageId", sort=False)["EncodedPixels"].agg(tuple)
    both = rows.loc[empty, "ImageId"][rows.loc[empty, "ImageId"].isin(marked.index)]
    if len(both):
        text = f"{counted(both, 'image')} with both a mask and -1; the mask is used."
        problems.add("warn", file, "EncodedPixels", text, both)
    frame = pd.DataFrame({"key": rows["ImageId"].drop_duplicates()}).reset_index(drop=True)
    return frame, marked.to_dict()


def _with_headers(frame: pd.DataFrame, headers: pd.DataFrame, problems: Problems) -> pd.DataFrame:
    what = "…/ImageId.dcm"
    damaged = headers.index[headers["unreadable"] != ""]
    if len(damaged):
        text = f"{counted(damaged, 'file')} that cannot be read as DICOM; left out."
        problems.add("warn", what, "", text, (Path(one).name for one in damaged))
        frame.loc[frame["source"].isin(damaged), "source"] = ""
    of_image = headers.reindex(frame["source"])
    of_image.index = frame.index
    known = of_image["patient"].notna() & (of_image["patient"] != "")
    lacking = int(((frame["source"] != "") & ~known).sum())
    if lacking:
        text = f"{counted(range(lacking), 'image')} without a patient; each is treated as a separate patient."
        problems.add("warn", what, "PatientID (0010,0020)", text)
    frame["patient"] = of_image["patient"].where(known, frame["key"])
    frame["sex"] = sex(of_image["sex"].fillna(""))
    frame["age"] = plausible_age(of_image["age"], what, problems)
    frame["view"] = of_image["view"].fillna("")
    for name in ("spacing_mm", "rows", "columns", "turned"):
        frame[name] = of_image[name]
    return frame


def _masks(
    frame: pd.DataFrame, runs: dict[str, tuple[str, ...]], label: str, file: str, problems: Problems
) -> dict[int, dict[str, MaskSource]]:
    """Return the masks by row; those that do not fit their image are left out, and with them the label."""
    masks, wrong, turned = {}, [], []
    for row, (key, height, width, other_way) in enumerate(
        zip(frame["key"], frame["rows"], frame["columns"], frame["turned"], strict=True)
    ):
        size = (int(height), int(width)) if height == height and width == width else None
        texts = runs.get(key, ())
        if texts and other_way == 1:
            turned.append(key)
        elif all(_fits(text, size) for text in texts):
            masks[row] = {label: MaskSource(runs=texts, size=size)}
        else:
            wrong.append(key)
    if wrong:
        text = (
            f"{counted(wrong, 'mask')} not in pairs of whole numbers, or larger than the image; image without mask and "
            "label."
        )
        problems.add("warn", file, "EncodedPixels", text, wrong)
    if turned:
        text = f"{counted(turned, 'image')} with a mask stored turned or mirrored; left out."
        problems.add("warn", "…/ImageId.dcm", "PatientOrientation (0020,0020)", text, turned)
        frame.loc[frame["key"].isin(turned), "source"] = ""
    return masks


def _fits(text: str, size: tuple[int, int] | None) -> bool:
    try:
        numbers = run_numbers(text)
    except StudyError:
        return False
    return size is None or int(numbers.sum()) <= size[0] * size[1]
