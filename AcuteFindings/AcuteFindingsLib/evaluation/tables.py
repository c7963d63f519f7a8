"""Tables as people have them: which column names the case, which the patient, which holds a label."""

import ast
import re
from collections.abc import Iterable, Sequence
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd

from AcuteFindingsLib.detectors.registry import model_tasks
from AcuteFindingsLib.errors import EvaluationError
from AcuteFindingsLib.evaluation.case_names import plain
from AcuteFindingsLib.evaluation.table_files import is_unclear, number, open_table

CASE_COLUMNS = (
    "image",
    "filename",
    "file",
    "image_index",
    "imageid",
    "image_id",
    "id",
    "sop_instance_uid",
    "sopinstanceuid",
    "name",
    "case",
    "study",
    "scan",
    "studyinstanceuid",
    "seriesinstanceuid",
    "series_instance_uid",
    "path",
    "filepath",
    "file_path",
    "image_path",
    "file_name",
    "image_name",
    "imagename",
    "dicom_id",
    "img",
    "key",
)
PATIENT_COLUMNS = ("patient", "patient_id", "patientid", "subject", "subject_id", "duplicate_group")
STUDY_COLUMNS = ("study", "studyinstanceuid", "study_instance_uid", "seriesinstanceuid", "series_instance_uid", "scan")

# Also the truth values that spreadsheets in German, French, Italian and Spanish write.
PRESENT = {
    "1", "1.0", "true", "yes", "y", "t", "positive", "pos", "present", "wahr", "ja", "positiv", "vrai", "oui",
    "positif", "vero", "verdadero", "positivo", "si", "s\u00ed",
}  # fmt: skip
ABSENT = {
    "0", "0.0", "false", "no", "n", "f", "negative", "neg", "absent", "falsch", "nein", "negativ", "faux", "non",
    "n\u00e9gatif", "falso", "negativo",
}  # fmt: skip
# CheXpert and MIMIC-CXR write -1 where the report leaves it open (Irvin et al., AAAI 2019, "uncertain").
UNCERTAIN = {"-1", "-1.0", "uncertain", "unsure", "indeterminate", "equivocal"}
LIST_COLUMNS = ("finding_labels", "labels")
_CHEXPERT = r"(?:^|/)(patient\d+)/study\d+/"


# Words for "no entry", as pandas has them.
_MISSING = {
    "", "#N/A", "#N/A N/A", "#NA", "-1.#IND", "-1.#QNAN", "-NaN", "-nan", "1.#IND", "1.#QNAN", "<NA>", "N/A", "NA",
    "NULL", "NaN", "None", "n/a", "nan", "null",
}  # fmt: skip


def read_table(path: Path) -> pd.DataFrame:
    """Read a table with every entry as text, missing ones as NaN; see `table_files` for what is read.

    What a person should know of how it was read stands in ``attrs["remarks"]``.

    Raises
    ------
    EvaluationError
        When it cannot be read, holds no rows, or names a column twice with different entries.
    """
    file = open_table(path)
    rows = file.rows()
    header = next(rows, [])
    columns: list[list[str | None]] = [[] for _ in header]
    for row in rows:
        for place, column in enumerate(columns):
            entry = row[place] if place < len(row) else ""
            column.append(None if entry in _MISSING else entry)
    if not columns or not columns[0]:
        raise EvaluationError(f"{path} holds no rows.")
    by_name: dict[str, list[str | None]] = {}
    for name, column in zip(header, columns, strict=True):
        if by_name.setdefault(name, column) != column:
            raise EvaluationError(f"{path} has two columns {name!r} with different entries; name each column once.")
    table = pd.DataFrame({name: pd.Series(column, dtype="str") for name, column in by_name.items()})
    table.attrs["remarks"] = file.remarks
    return table


def numbers(entries: pd.Series) -> pd.Series:
    """Return what a column states as float: also decimal commas and percent; NaN where it states no number."""
    values = pd.to_numeric(entries, errors="coerce").astype(float)
    other = entries[values.isna() & entries.notna()]
    if len(other):
        commas = other[other.str.contains(",", regex=False)]
        # R and SAS write 1 as 1,000 beside 0,923.
        sure = any(not is_unclear(text) and not np.isnan(number(text)) for text in commas)
        values[other.index] = [number(text, decimal_comma=sure) for text in other]
    return values


@cache
def _synonyms() -> tuple[frozenset[str], ...]:
    """Return the names that models, challenges and data sets give each finding that has several."""
    labels = (label for task in model_tasks().values() for label in task.labels if label.spellings)
    return tuple({frozenset((label.name, *label.spellings)): None for label in labels})


def run_length_column(table: pd.DataFrame) -> tuple[str, str] | None:
    """Return the column that gives a finding's mask as run lengths, and the finding's label; None without one."""
    by_name = {plain(name): name for name in reversed(list(table.columns))}
    labels = (label for task in model_tasks().values() for label in task.labels)
    return next(((by_name[label.run_lengths], label.name) for label in labels if label.run_lengths in by_name), None)


def same_finding(first: str, second: str) -> bool:
    """Whether two names mean one finding."""
    first, second = plain(first), plain(second)
    return first == second or any({first, second} <= group for group in _synonyms())


def is_finding(name: str) -> bool:
    """Whether a name is one of those that models and challenges give to a finding."""
    return any(plain(name) in group for group in _synonyms())


def find_column(table: pd.DataFrame, wanted: str | None, known: Sequence[str], *, what: str, path: Path) -> str | None:
    """Return the column that the user named, or the first known one; None where there is none.

    Raises
    ------
    EvaluationError
        When the named column is not there.
    """
    by_name = {plain(name): name for name in reversed(list(table.columns))}
    if wanted is not None:
        if plain(wanted) not in by_name:
            raise EvaluationError(f"{path} has no column {wanted!r} for {what}; it has {names(table.columns)}.")
        return by_name[plain(wanted)]
    return next((by_name[name] for name in known if name in by_name), None)


def one_row_a_case(table: pd.DataFrame, path: Path) -> pd.DataFrame:
    """Return a table whose rows are cases, whatever its form; rows that repeat each other are dropped.

    Run-length masks (``EncodedPixels``, several rows an image) become a column of their label; the rows
    ``ID_…_subtype`` with one ``Label`` (RSNA intracranial hemorrhage) become a column a subtype; of CheXpert's ``Path``
    the patient becomes a column.

    Raises
    ------
    EvaluationError
        When an image and subtype come twice with different labels.
    """
    by_name = {plain(name): name for name in table.columns}
    case = find_column(table, None, CASE_COLUMNS, what="the cases", path=path)
    run_lengths = run_length_column(table)
    if case is not None and run_lengths is not None:
        column, label = run_lengths
        masked = ~table[column].fillna("-1").isin({"-1", ""})
        present = masked.groupby(table[case]).transform("any").astype(int).astype(str)
        return table.drop(columns=column).assign(**{label: present}).drop_duplicates(case)
    if case is not None and set(by_name) == {plain(case), "label"} and table[case].str.count("_").ge(2).all():
        parts = table[case].str.rsplit("_", n=1, expand=True)
        long = pd.DataFrame({case: parts[0], "subtype": parts[1], "value": table[by_name["label"]]}).drop_duplicates()
        if long.duplicated([case, "subtype"]).any():
            raise EvaluationError(f"{path}: column {case!r} names an image and subtype twice, with different labels.")
        return long.pivot(index=case, columns="subtype", values="value").reset_index()
    if case is not None and not any(plain(name) in PATIENT_COLUMNS for name in table.columns):
        people = table[case].str.extract(_CHEXPERT, expand=False)
        if people.notna().all():
            table = table.assign(patient=people)
    return table.drop_duplicates()


def label_values(table: pd.DataFrame, column: str, label: str, path: Path) -> np.ndarray:
    """Return a label as ``(n,)`` float: 1 present, 0 absent, NaN not said.

    A column of lists (``Finding Labels`` of ChestX-ray14, ``Labels`` of PadChest) holds the label or not.

    Raises
    ------
    EvaluationError
        When an entry is neither.
    """
    entries = table[column]
    if plain(column) in LIST_COLUMNS:
        found = entries.map(_listed, na_action="ignore")
        return np.array([np.nan if x is np.nan else float(any(same_finding(label, y) for y in x)) for x in found])
    low = entries.str.lower()
    values = np.full(len(table), np.nan)
    values[low.isin(PRESENT).to_numpy()] = 1.0
    values[low.isin(ABSENT).to_numpy()] = 0.0
    rest = low[np.isnan(values) & low.notna().to_numpy() & ~low.isin(UNCERTAIN).to_numpy()]
    stated = numbers(rest)
    for meant in (0.0, 1.0):
        values[np.flatnonzero(low.index.isin(stated.index[stated == meant]))] = meant
    odd = rest[~stated.isin((0.0, 1.0, -1.0))].unique()
    if len(odd):
        raise EvaluationError(
            f"{path}: column {column!r} holds {names(odd)}; a label is 1 or 0, -1 if a reader was unsure, and empty "
            "where nobody said."
        )
    return values


def unsure_and_silent(table: pd.DataFrame, column: str) -> tuple[int, int]:
    """Return how many entries of a label say that a reader was unsure, and how many say nothing."""
    if plain(column) in LIST_COLUMNS:
        return 0, 0
    low = table[column].str.lower()
    return int(low.isin(UNCERTAIN).sum()), int(low.isna().sum())


def label_column(table: pd.DataFrame, label: str) -> str | None:
    """Return the column that holds a label; a column of lists where no column is named after it."""
    own = [name for name in table.columns if plain(name) == plain(label)]
    alike = [name for name in table.columns if same_finding(name, label)]
    lists = [name for name in table.columns if plain(name) in LIST_COLUMNS and holds_lists(table[name])]
    return next(iter([*own, *alike, *lists]), None)


def listed_labels(entries: pd.Series) -> list[str]:
    """Return every label that a column of lists names, sorted."""
    return sorted({item for text in entries.dropna().unique() for item in _listed(text) if item})


def names(values: Iterable[object], *, most: int = 8) -> str:
    """Return a few names as they stand in a sentence."""
    listed = [repr(str(value)) for value in values]
    more = f" and {len(listed) - most} more" if len(listed) > most else ""
    return ", ".join(listed[:most]) + more


def holds_lists(entries: pd.Series) -> bool:
    """Whether a column names findings, instead of saying 1 or 0 of one."""
    said = entries.dropna().str.lower()
    return said.empty or not bool(said.isin(PRESENT | ABSENT | UNCERTAIN).all())


def _listed(text: str) -> list[str]:
    if text.startswith("["):
        try:
            return [str(item).strip() for item in ast.literal_eval(text)]
        except (ValueError, SyntaxError):
            return re.findall(r"'([^']*)'", text)
    return [item.strip() for item in text.split("|")]
