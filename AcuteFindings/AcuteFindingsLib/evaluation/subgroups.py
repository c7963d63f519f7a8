"""The same figures by sex, age, view or any other column: does the model serve all alike?"""

import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from AcuteFindingsLib.errors import EvaluationError
from AcuteFindingsLib.evaluation.case_names import plain
from AcuteFindingsLib.evaluation.cases import Cases
from AcuteFindingsLib.evaluation.labels import auc_figure
from AcuteFindingsLib.evaluation.operating_points import Threshold, decision_figures
from AcuteFindingsLib.evaluation.resampling import Bootstrap
from AcuteFindingsLib.evaluation.schema import SubgroupRow, Subgroups
from AcuteFindingsLib.evaluation.tables import names, numbers

_ALIASES = {
    "sex": ("sex", "gender", "patient_sex", "patient_gender", "patientsex_dicom"),
    "age": ("age", "patient_age", "patientage"),
    "view": ("view", "view_position", "projection", "viewposition_dicom"),
}
_AGES = ((0, 18, "under 18"), (18, 40, "18 to 39"), (40, 65, "40 to 64"), (65, 1000, "65 and over"))
_MOST_GROUPS = 12
_UNKNOWN = "not stated"


def subgroup_column(table: pd.DataFrame, wanted: str, path: Path) -> str:
    """Return the column for ``"sex"``, ``"age"``, ``"view"`` or the name of any other.

    Raises
    ------
    EvaluationError
        When there is none.
    """
    accepted = (plain(wanted), *_ALIASES.get(plain(wanted), ()))
    by_name = {plain(name): name for name in table.columns}
    found = next((by_name[name] for name in accepted if name in by_name), None)
    if found is None:
        raise EvaluationError(f"{path} has no column {wanted!r} for subgroups; it has {names(table.columns)}.")
    return found


def group_names(entries: pd.Series, *, age: bool) -> list[str]:
    """Return each case's group: ages in four bands, few values as they are, many numbers in quarters."""
    if age:
        years = entries.map(_years, na_action="ignore").astype(float)
        return [next((name for low, high, name in _AGES if low <= year < high), _UNKNOWN) for year in years]
    if entries.nunique() > _MOST_GROUPS:
        stated = numbers(entries)
        if stated.notna().sum() == entries.notna().sum():
            quarters = pd.qcut(stated, 4, duplicates="drop", precision=2)
            return [
                f"{item.left:g} to {item.right:g}" if isinstance(item, pd.Interval) else _UNKNOWN for item in quarters
            ]
        raise EvaluationError(
            f"Column {entries.name!r} has {entries.nunique()} different entries; subgroups need at most {_MOST_GROUPS}."
        )
    return [value if isinstance(value, str) else _UNKNOWN for value in entries]


def subgroups(cases: Cases, label: str, column: str, threshold: Threshold, path: Path) -> Subgroups:
    """Return the figures of every group of a column for one label."""
    name = subgroup_column(cases.table, column, path)
    entries = cases.table[name]
    age = plain(name) in _ALIASES["age"]
    groups = np.array(group_names(entries, age=age))
    number = cases.labels.index(label)
    truth, score = cases.truth[:, number], cases.values[:, number]
    known = ~np.isnan(truth) & ~np.isnan(score)
    rows = [
        _row(group, truth[inside] == 1, score[inside], cases.patients[inside], threshold, cases.grouped_by)
        for group in _in_order(groups[known], age=age)
        for inside in [known & (groups == group)]
    ]
    return Subgroups(column=name, label=label, threshold=threshold.value, rows=rows)


def _row(
    group: str, truth: np.ndarray, score: np.ndarray, patients: np.ndarray, threshold: Threshold, by: str
) -> SubgroupRow:
    bootstrap = Bootstrap(patients, by=by)
    figures = decision_figures(truth, score >= threshold.value, bootstrap)
    return SubgroupRow(
        group=group,
        cases=len(truth),
        positives=int(truth.sum()),
        patients=bootstrap.patients,
        auc=auc_figure(truth, score, bootstrap),
        sensitivity=figures["sensitivity"],
        specificity=figures["specificity"],
    )


def _in_order(groups: Sequence[str] | np.ndarray, *, age: bool) -> list[str]:
    if age:
        present = set(groups)
        return [name for name in (*(band[2] for band in _AGES), _UNKNOWN) if name in present]
    return sorted(set(groups), key=lambda name: (name == _UNKNOWN, _number_first(name), name))


def _number_first(name: str) -> float:
    found = re.match(r"-?\d+(\.\d+)?", name)
    return float(found.group()) if found else float("inf")


def _years(text: str) -> float:
    """Return an age in years; DICOM writes ``058Y``, ``011M``, ``003W``, ``020D``."""
    found = re.fullmatch(r"\s*(\d+(?:[.,]\d+)?)\s*([YyMmWwDd]?)\s*", str(text))
    if not found:
        return float("nan")
    per_year = {"": 1.0, "y": 1.0, "m": 12.0, "w": 52.18, "d": 365.25}[found.group(2).lower()]
    return float(found.group(1).replace(",", ".")) / per_year
