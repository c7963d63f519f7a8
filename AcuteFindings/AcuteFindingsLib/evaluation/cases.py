"""Predictions brought beside the truth: one row a case, the same order, the patient of each."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import compress
from pathlib import Path

import numpy as np
import pandas as pd

from AcuteFindingsLib.counting import plural
from AcuteFindingsLib.errors import EvaluationError
from AcuteFindingsLib.evaluation import tables
from AcuteFindingsLib.evaluation.case_labels import chosen_labels, not_scored, paired, predicted
from AcuteFindingsLib.evaluation.columns import describes_the_case, looks_like_label
from AcuteFindingsLib.evaluation.matching import best_match
from AcuteFindingsLib.evaluation.predictions import Level, Scores, check_probabilities, study_scores

_SLICES, _STUDY = "slices.csv", "study.csv"


@dataclass(frozen=True)
class Truth:
    """What is known: a table for single images and slices, and one for studies where a folder holds both."""

    path: Path
    rows: pd.DataFrame
    studies: pd.DataFrame | None = None

    def at(self, level: Level) -> pd.DataFrame:
        """Return the table for a level."""
        return self.studies if level == "study" and self.studies is not None else self.rows


@dataclass(frozen=True)
class Cases:
    """Scores and truth of the same cases.

    Attributes
    ----------
    names
        ``(n,)``: the first name of each case.
    labels, columns
        The labels, and the truth's column of each.
    truth, values
        ``(n, labels)``: 1, 0 or NaN where nobody said; probabilities, NaN where the model gives none.
    patients, grouped_by
        ``(n,)`` and what they are.
    table
        The truth's rows in the same order, for subgroups.
    places
        ``(n,)``: which row of the truth each case is.
    """

    level: Level
    names: tuple[str, ...]
    labels: tuple[str, ...]
    columns: tuple[str, ...]
    truth: np.ndarray
    values: np.ndarray
    patients: np.ndarray
    grouped_by: str
    table: pd.DataFrame
    places: np.ndarray
    keys: tuple[tuple[str, ...], ...]
    thresholds: Mapping[str, float] = field(default_factory=dict)
    runs: Mapping[str, np.ndarray] = field(default_factory=dict)
    notices: tuple[str, ...] = ()

    def only(self, kept: np.ndarray) -> "Cases":
        """Return the cases that the indices `kept` name, in that order."""
        return replace(
            self,
            names=tuple(self.names[i] for i in kept),
            truth=self.truth[kept],
            values=self.values[kept],
            patients=self.patients[kept],
            table=self.table.iloc[kept],
            places=self.places[kept],
            keys=tuple(self.keys[i] for i in kept),
            runs={name: run[kept] for name, run in self.runs.items()},
        )


def read_truth(path: Path) -> Truth:
    """Read a table of labels, or a folder of phantoms (``slices.csv`` and ``study.csv`` at any depth).

    Raises
    ------
    EvaluationError
        When there is no table.
    """
    if not path.is_dir():
        return Truth(path, tables.one_row_a_case(tables.read_table(path), path))
    slices, studies = _gathered(path, _SLICES), _gathered(path, _STUDY)
    if slices is None and studies is None:
        raise EvaluationError(f"{path} holds neither {_SLICES} nor {_STUDY}; name a CSV table of labels.")
    if slices is None or studies is None:
        known = studies if slices is None else slices
        assert known is not None
        return Truth(path, known)
    if "slice" in slices.columns:
        number = pd.to_numeric(slices["slice"]) + 1
        slices = slices.assign(case=slices["study"] + "#" + number.astype(int).astype(str))
    return Truth(path, slices, studies)


def align(
    scores: Scores, truth: Truth, *, labels: Mapping[str, str] | Sequence[str] = (), patient: str | None = None
) -> Cases:
    """Bring scores and truth together by the names of the cases.

    Parameters
    ----------
    scores
        At one level.
    truth
        Whose columns name the cases.
    labels
        Which labels to look at: names, or the truth's column by label. All that both know when empty. For scores
        without label names, the names in the order of the columns.
    patient
        Column that names the patients; found by its name when None, each case its own patient where there is none.

    Raises
    ------
    EvaluationError
        When no case or no label is in both, a column is missing, or a probability is not one.
    """
    table = truth.at(scores.level)
    if not scores.keys:
        scores, members = _by_order(scores, table, labels, truth.path), [[row] for row in range(len(table))]
        kept = np.arange(len(table))
    else:
        found = best_match(scores, table)
        kept = np.array([number for number, rows in enumerate(found) if rows], int)
        members = [found[number] for number in kept]
        if not len(kept):
            raise EvaluationError(
                f"None of the {len(scores.keys)} predicted cases is named in {truth.path} "
                f"(columns {tables.names(table.columns)}); both must name the {plural(scores.level)} alike."
            )
    chosen = chosen_labels(scores, table, labels, truth.path)
    places = np.array([rows[0] for rows in members], int)
    columns = tuple(column for _, column in chosen)
    matrix = np.full((len(kept), len(chosen)), np.nan)
    for number, (label, column) in enumerate(chosen):
        entries = tables.label_values(table, column, label, truth.path)
        matrix[:, number] = [_one(entries[rows], scores.level, column, truth.path) for rows in members]
    order = [scores.labels.index(label) for label, _ in chosen]
    values = scores.values[kept][:, order]
    own_ones = [True] * len(chosen) if labels else predicted(matrix, values)
    chosen, columns = list(compress(chosen, own_ones)), tuple(compress(columns, own_ones))
    order, matrix, values = list(compress(order, own_ones)), matrix[:, own_ones], values[:, own_ones]
    if scores.level == "image" or scores.runs:
        for number, (label, _) in enumerate(chosen):
            check_probabilities(values[:, number], label, "The predictions")
    own = table.iloc[places]
    patients, grouped_by = _patients(own, scores, kept, patient, truth.path)
    return Cases(
        level=scores.level,
        names=tuple(scores.keys[number][0] for number in kept),
        labels=tuple(label for label, _ in chosen),
        columns=columns,
        truth=matrix,
        values=values,
        patients=patients,
        grouped_by=grouped_by,
        table=own,
        places=places,
        keys=tuple(scores.keys[number] for number in kept),
        thresholds=scores.thresholds,
        runs={name: run[kept][:, order] for name, run in scores.runs.items()},
        notices=(
            *(text for pair in chosen if not labels for text in paired(*pair)),
            *_notices(scores, table, members, chosen),
            *_open_entries(own, columns),
        ),
    )


def by_study(scores: Scores, truth: Truth, column: str | None) -> Scores:
    """Return a study's highest slice, for a table of slices whose truth names the studies.

    Raises
    ------
    EvaluationError
        When the truth has no column of studies.
    """
    table = truth.rows
    named = tables.find_column(table, column, tables.STUDY_COLUMNS, what="the studies", path=truth.path)
    if named is None:
        raise EvaluationError(
            f"{truth.path} has no column that names the studies (it has {tables.names(table.columns)}); "
            "name it with --study."
        )
    found = [[row] for row in range(len(table))] if not scores.keys else best_match(scores, table)
    kept = [number for number, rows in enumerate(found) if rows and isinstance(table[named].iloc[rows[0]], str)]
    part = replace(
        scores,
        values=scores.values[kept],
        runs={name: run[kept] for name, run in scores.runs.items()},
    )
    return study_scores(part, [table[named].iloc[found[number][0]] for number in kept])


def _by_order(scores: Scores, table: pd.DataFrame, labels: Mapping | Sequence[str], path: Path) -> Scores:
    rows, classes = scores.values.shape
    if len(table) != rows:
        raise EvaluationError(
            f"{path} has {len(table)} rows and the predictions {rows}; predictions without names stand in the truth's "
            "order, one each."
        )
    chosen = list(labels) or [name for name in table.columns if looks_like_label(table, name)]
    if len(chosen) != classes:
        raise EvaluationError(
            f"The predictions hold {classes} classes without names, and {path} has {len(chosen)} columns of labels "
            f"({tables.names(chosen) or 'none'}); name them in order with --label, once for each class."
        )
    case = tables.find_column(table, None, tables.CASE_COLUMNS, what="the cases", path=path)
    keys = table[case].fillna("").tolist() if case else [f"row {number}" for number in range(1, rows + 1)]
    return replace(scores, keys=tuple((key,) for key in keys), labels=tuple(chosen))


def _one(entries: np.ndarray, level: Level, column: str, path: Path) -> float:
    """Return what several rows of one case say: of a study's slices the highest, else what all say."""
    said = entries[~np.isnan(entries)]
    if not len(said):
        return float("nan")
    if level != "study" and said.min() != said.max():
        raise EvaluationError(
            f"{path}: column {column!r} says both 1 and 0 for one {level} that is named several times; keep one row."
        )
    return float(said.max())


def _patients(
    own: pd.DataFrame, scores: Scores, kept: np.ndarray, patient: str | None, path: Path
) -> tuple[np.ndarray, str]:
    column = tables.find_column(own, patient, tables.PATIENT_COLUMNS, what="the patients", path=path)
    if column is not None:
        said = own[column].tolist()
        named = [value if isinstance(value, str) else f"\0{number}" for number, value in enumerate(said)]
        return np.unique(named, return_inverse=True)[1], column
    if scores.groups is not None:
        return np.unique([scores.groups[number] for number in kept], return_inverse=True)[1], "study"
    return np.arange(len(kept)), "case"


def _notices(
    scores: Scores, table: pd.DataFrame, members: Sequence[Sequence[int]], chosen: Sequence[tuple[str, str]]
) -> tuple[str, ...]:
    notices = []
    lost = len(scores.keys) - len(members)
    if lost:
        notices.append(
            f"{lost} of {len(scores.keys)} predicted {plural(scores.level)} are not in the truth and left out."
        )
    used = {row for rows in members for row in rows}
    if scores.level != "study" and len(used) < len(table):
        notices.append(f"{len(table) - len(used)} of {len(table)} rows of the truth have no prediction.")
    taken = [label for label, _ in chosen]
    columns = [name for pair in chosen for name in pair]
    aside = not_scored(scores, table, taken)
    if aside:
        notices.append(
            f"Not scored, because they are not labels: {', '.join(aside)} (--label scores a column by name)."
        )
    without = [
        label
        for label in scores.labels
        if label not in aside
        and not describes_the_case(label)
        and not any(tables.same_finding(label, name) for name in columns)
    ]
    if without:
        notices.append(f"Without a column in the truth, so left out: {', '.join(without)}.")
    return tuple(notices)


def _open_entries(own: pd.DataFrame, columns: Sequence[str]) -> list[str]:
    """Say how many of the cases a reader left open (-1), and beside them how many have no entry."""
    said = []
    for column in dict.fromkeys(columns):
        unsure, silent = tables.unsure_and_silent(own, column)
        if unsure:
            said.append(
                f"{column}: {unsure} cases are stated as uncertain (-1) and {silent} not at all; both are left out. "
                "Write 1 or 0 there to count them."
            )
    return said


def _gathered(folder: Path, name: str) -> pd.DataFrame | None:
    parts = []
    for file in sorted(folder.rglob(name)):
        place = file.parent.parent if file.parent.name == "truth" else file.parent
        relative = place.relative_to(folder).as_posix() if place != folder else folder.name
        table = tables.read_table(file)
        parts.append(table.assign(study=relative))
    return pd.concat(parts, ignore_index=True) if parts else None
