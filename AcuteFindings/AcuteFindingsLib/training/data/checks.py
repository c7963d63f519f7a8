"""What every reader checks before anything is trained: tables, columns, labels, files, patients, repeated rows."""

import os
from collections.abc import Iterable, Mapping, Sequence, Sized
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from AcuteFindingsLib.errors import DataError, EvaluationError
from AcuteFindingsLib.evaluation.table_files import first_rows, open_table
from AcuteFindingsLib.models.metadata import Task
from AcuteFindingsLib.study.file_kinds import is_leftover
from AcuteFindingsLib.training.data.table import FIELDS, Box, DataTable, MaskSource, Problem, Severity

_RANK = {"error": 0, "warn": 1, "info": 2}
_NAMED = 3


class Problems:
    """What a reader found so far."""

    def __init__(self) -> None:
        self._found: list[Problem] = []

    def add(self, severity: Severity, file: str, field: str, text: str, names: Iterable[Any] = ()) -> None:
        """Note one problem; see `Problem`. Of the names the first few are kept."""
        self._found.append(Problem(severity, file, field, text, tuple(str(one) for one in islice(names, _NAMED))))

    def sorted(self) -> tuple[Problem, ...]:
        """Return all, the worst first."""
        return tuple(sorted(self._found, key=lambda one: _RANK[one.severity]))


def read_csv(path: Path, columns: Sequence[str], **options: Any) -> pd.DataFrame:
    """Read a table of any form that `evaluation.table_files` reads; blanks around column names are dropped.

    Parameters
    ----------
    columns
        Names that must be there.
    options
        For `pandas.read_csv`; names in `usecols` and `dtype` are those without blanks.

    Raises
    ------
    DataError
        Where the file cannot be read or a column is missing; names both.
    """
    try:
        file = open_table(path)
        form: dict[str, Any] = {"sep": file.separator, "decimal": "," if file.decimal_comma else "."}
        header = pd.read_csv(file.open(), nrows=0, **form)
        stripped = {name: str(name).strip() for name in header.columns}
        missing = [name for name in columns if name not in stripped.values()]
        if missing:
            raise DataError(
                f"{path.name} has no column {missing[0]!r}; expected {', '.join(columns)}, "
                f"found {', '.join(stripped.values())}."
            )
        back = {new: old for old, new in stripped.items()}
        if "usecols" in options:
            options["usecols"] = [back[name] for name in options["usecols"] if name in back]
        if isinstance(options.get("dtype"), Mapping):
            options["dtype"] = {back[name]: kind for name, kind in options["dtype"].items() if name in back}
        return pd.read_csv(file.open(), **form, **options).rename(columns=stripped)
    except EvaluationError as error:
        raise DataError(str(error)) from error
    except (OSError, ValueError, pd.errors.ParserError) as error:
        raise DataError(f"{path.name} cannot be read as a table: {' '.join(str(error).split())[:200]}") from error


def column_names(path: Path) -> set[str]:
    """Return the column names of a table; none where it cannot be read as one."""
    try:
        return set(next(iter(first_rows(path)), []))
    except EvaluationError:
        return set()


def table_with(folder: Path, patterns: Sequence[str], columns: Sequence[str]) -> Path | None:
    """Return the table of a folder that has these columns, whatever it is called; None where there is none.

    Of several the one whose name fits the earliest of `patterns`, and of those the last by name (a newer version).
    """
    tables = {file for pattern in (*patterns, "*.csv*", "*.xlsx") for file in folder.glob(pattern) if file.is_file()}
    fitting = [file for file in tables if not is_leftover(file) and set(columns) <= column_names(file)]
    ranks = {
        file: next((rank for rank, pattern in enumerate(patterns) if file.match(pattern)), len(patterns))
        for file in fitting
    }
    return max(fitting, key=lambda file: (-ranks[file], file.name), default=None)


def only_one(folder: Path, patterns: Sequence[str], what: str) -> Path:
    """Return the one file of a folder that fits; of several the last by name (a newer version).

    Raises
    ------
    DataError
        Where there is none.
    """
    for pattern in patterns:
        found = sorted(folder.glob(pattern))
        if found:
            return found[-1]
    raise DataError(f"{folder.name} holds no {what} ({' or '.join(patterns)}); give the folder of the data set.")


def files_below(folder: Path, suffixes: Sequence[str]) -> pd.Series:
    """Return the files below a folder with these endings: their path relative to it, by name without ending.

    Walks once, so that a million files are not asked for one by one. Of files with one name the first is taken.
    """
    names, paths = [], []
    for place, folders, files in os.walk(folder):
        folders.sort()
        prefix = "" if place == str(folder) else f"{Path(place).relative_to(folder).as_posix()}/"
        for file in sorted(files):
            if file.lower().endswith(tuple(suffixes)) and not file.startswith("."):
                names.append(file)
                paths.append(prefix + file)
    found = pd.Series(paths, index=pd.Index(names, dtype=object), dtype=object)
    return found[~found.index.duplicated()]


def existing(folder: Path, wanted: pd.Series, problems: Problems, *, what: str) -> pd.Series:
    """Return relative paths with those that do not exist replaced by ``""``; says which are missing."""
    parents = {path.rpartition("/")[0] for path in wanted.unique().tolist()}
    present: set[str] = set()
    for parent in parents:
        place = folder / parent
        if place.is_dir():
            present.update(f"{parent}/{one.name}" if parent else one.name for one in place.iterdir())
    there = wanted.isin(present)
    report_missing(wanted, there, problems, what=what)
    return wanted.where(there, "")


def report_missing(wanted: pd.Series, there: pd.Series, problems: Problems, *, what: str) -> None:
    """Say which files are missing: an error where all are, else a warning."""
    lost = int((~there).sum())
    if not lost:
        return
    if lost == len(wanted):
        text = f"none of the {lost} images exists; put them next to the table."
        problems.add("error", what, "", text, wanted)
    else:
        text = f"{lost} of {len(wanted)} images are missing and left out."
        problems.add("warn", what, "", text, wanted[~there])


def binary(values: pd.Series, file: str, problems: Problems) -> pd.Series:
    """Return a label column as float with what is neither 0 nor 1 as NaN; says which values those were."""
    numbers = pd.to_numeric(values, errors="coerce").astype(float)
    wrong = ~numbers.isin([0.0, 1.0])
    if wrong.any():
        text = f"{counted(wrong, 'label')} neither 0 nor 1 (first in row {first_row(wrong)}); unknown."
        problems.add("warn", file, str(values.name), text, values[wrong].unique())
    return numbers.mask(wrong)


def without_repeats(
    frame: pd.DataFrame, key: str, file: str, problems: Problems, *, labels: Sequence[str]
) -> pd.DataFrame:
    """Return one row a key. Rows that say the same once more are dropped; where labels differ they become NaN."""
    repeated = frame.duplicated(key, keep=False)
    if not repeated.any():
        return frame
    kept = frame.drop_duplicates(key).copy()
    groups = frame.loc[repeated].groupby(key, sort=False)
    differs = (groups[list(labels)].nunique(dropna=False) > 1) if labels else pd.DataFrame()
    torn = differs.any(axis=1) if labels else pd.Series(dtype=bool)
    dropped = len(frame) - len(kept)
    text = f"{dropped} {'row repeats' if dropped == 1 else 'rows repeat'} an image; one of each is used."
    problems.add("info" if not torn.any() else "warn", file, key, text, groups.groups)
    if torn.any():
        for name in labels:
            kept.loc[kept[key].isin(differs.index[differs[name]]), name] = np.nan
        text = f"{counted(torn, 'image')} with rows that contradict each other; the label is unknown."
        problems.add("warn", file, ", ".join(labels[:_NAMED]), text, torn.index[torn])
    return kept


def with_value(frame: pd.DataFrame, column: str, file: str, problems: Problems) -> pd.DataFrame:
    """Return the rows in which a column is filled; says how many were left out."""
    empty = frame[column].isna() | (frame[column].astype(str).str.strip() == "")
    if empty.all():
        problems.add(
            "error", file, column, "no row has a value; without it images of one patient cannot be kept together."
        )
        return frame
    if empty.any():
        text = f"{counted(empty, 'row')} without a value (first in row {first_row(empty)}), left out."
        problems.add("warn", file, column, text)
    return frame[~empty]


def plausible_age(values: pd.Series, file: str, problems: Problems) -> pd.Series:
    """Return ages in years; ``"058Y"`` is read as DICOM writes it, and what nobody reaches is unknown."""
    numbers = pd.to_numeric(values, errors="coerce").astype(float)
    written = values.astype(str).str.extract(r"^\s*(\d{1,3})([DWMY])\s*$")
    years = pd.to_numeric(written[0], errors="coerce") * written[1].map(
        {"Y": 1.0, "M": 1 / 12, "W": 7 / 365.25, "D": 1 / 365.25}
    )
    ages = numbers.fillna(years)
    wrong = (ages < 0) | (ages > _OLDEST)
    if wrong.any():
        text = f"{counted(wrong, 'age')} below 0 or above {_OLDEST} (first in row {first_row(wrong)}); unknown."
        problems.add("warn", file, str(values.name), text)
    return ages.mask(wrong)


_OLDEST = 115


def sex(values: pd.Series) -> pd.Series:
    """Return ``"F"``, ``"M"`` or ``""``."""
    letters = values.astype(str).str.strip().str.upper().str[:1]
    return letters.where(letters.isin(["F", "M"]), "")


def counted(what: Sized | pd.Series, noun: str) -> str:
    """Return ``"1 image"`` or ``"3 images"``: how many there are, or how many are true."""
    count = int(what.sum()) if isinstance(what, pd.Series) and what.dtype == bool else len(what)
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def first_row(wrong: pd.Series) -> int:
    """Return the line of the file in which the first of these rows stands (the header is line 1)."""
    return int(wrong.index[wrong.to_numpy()][0]) + 2


def build_table(
    frame: pd.DataFrame,
    *,
    kind: str,
    task: Task,
    label_names: Sequence[str],
    facts: Sequence[str],
    root: Path,
    problems: Problems,
    masks: Mapping[int, Mapping[str, MaskSource]] | None = None,
    boxes: Mapping[int, tuple[Box, ...]] | None = None,
) -> DataTable:
    """Return the table of a frame with the columns `FIELDS`, the labels and the facts, one row an example.

    What a layout does not have may be left out: `patient` and `group` are then the key, `series` is empty.
    """
    frame = frame.reset_index(drop=True)
    keys = frame["key"].astype(object)
    rows = pd.DataFrame(
        {
            "key": keys,
            "patient": frame.get("patient", keys),
            "group": frame.get("group", keys),
            "series": frame.get("series", ""),
            "order": frame.get("order", float("nan")),
            "source": frame["source"],
            "frame": frame.get("frame", 0),
        },
        columns=list(FIELDS),
    ).astype({**dict.fromkeys(("key", "patient", "group", "series", "source"), object), "order": float, "frame": int})
    if not len(rows):
        problems.add("error", root.name, "", "no image is left after the checks.")
    return DataTable(
        kind=kind,
        task=task,
        label_names=tuple(label_names),
        rows=rows,
        labels=frame[list(label_names)].astype(np.float32) if label_names else pd.DataFrame(index=rows.index),
        facts=frame[[name for name in facts if name in frame]],
        root=root,
        masks=masks or {},
        boxes=boxes or {},
        problems=problems.sorted(),
    )
