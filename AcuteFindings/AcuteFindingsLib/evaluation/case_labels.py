"""Which columns of predictions and truth are labels, and which belong together."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from AcuteFindingsLib.errors import EvaluationError
from AcuteFindingsLib.evaluation import tables
from AcuteFindingsLib.evaluation.case_names import plain
from AcuteFindingsLib.evaluation.columns import describes_the_case, looks_like_label, says_present_or_absent
from AcuteFindingsLib.evaluation.predictions import Scores

# How a column is called that holds the truth about the one finding of a table.
_TRUTH_NAMES = (
    "label", "target", "truth", "class", "y", "y_true", "gt", "ground_truth", "finding", "outcome", "diagnosis",
)  # fmt: skip


def chosen_labels(
    scores: Scores, table: pd.DataFrame, labels: Mapping[str, str] | Sequence[str], path: Path
) -> list[tuple[str, str]]:
    """Return each label that is looked at with its column of the truth.

    Raises
    ------
    EvaluationError
        A label or a column that is asked for is not there, or none belong together.
    """
    wanted = dict(labels) if isinstance(labels, Mapping) else {label: "" for label in labels}
    chosen = []
    for label in wanted or scores.labels:
        known = next((own for own in scores.labels if plain(own) == plain(label)), None)
        if known is None:
            raise EvaluationError(f"The predictions have no label {label!r}; they have {tables.names(scores.labels)}.")
        column = wanted.get(label) or tables.label_column(table, known)
        if column is not None and column not in table.columns:
            raise EvaluationError(f"{path} has no column {column!r}; it has {tables.names(table.columns)}.")
        if column is not None and (wanted or _can_be_label(known, table[column])):
            chosen.append((known, column))
        elif wanted:
            raise EvaluationError(
                f"{path} has no column for {label!r} (it has {tables.names(table.columns)}); "
                f"say which with --label {label}=COLUMN."
            )
    if not chosen:
        chosen = _only_label(scores, table)
    if not chosen:
        raise EvaluationError(
            f"{path} has no column for any of {tables.names(scores.labels)}; it has {tables.names(table.columns)}. "
            "Say which belong together with --label PREDICTED=COLUMN."
        )
    return chosen


def _can_be_label(name: str, entries: pd.Series) -> bool:
    """Whether a column that both tables have can be a label; one that is named as a finding is, whatever it holds."""
    if describes_the_case(name):
        return False
    if plain(entries.name) in tables.LIST_COLUMNS or tables.is_finding(name):
        return True
    # An odd word among labels is told of later; a column of ages or of scores is none.
    stated = entries.dropna()
    return says_present_or_absent(stated) or not tables.numbers(stated).notna().all()


def predicted(truth: np.ndarray, values: np.ndarray) -> list[bool]:
    """Return which labels were predicted; a column of 0 and 1 that both tables hold alike was carried along.

    Where that holds for all of them, all count as predicted.
    """
    carried = [bool(np.array_equal(one, other, equal_nan=True)) for one, other in zip(truth.T, values.T, strict=True)]
    return [True] * len(carried) if all(carried) else [not alike for alike in carried]


def not_scored(scores: Scores, table: pd.DataFrame, chosen: Sequence[str]) -> list[str]:
    """Return the columns that both tables have and that were not taken for labels."""
    named = {plain(name) for name in table.columns}
    return [name for name in scores.labels if plain(name) in named and name not in chosen]


def _only_label(scores: Scores, table: pd.DataFrame) -> list[tuple[str, str]]:
    """Pair the one label of the predictions with the truth's column ``label``, or its only column of 0 and 1."""
    own = [name for name in scores.labels if not describes_the_case(name)]
    if len(own) != 1:
        return []
    named = [name for name in table.columns if plain(name) in _TRUTH_NAMES[:4]]
    others = [name for name in table.columns if looks_like_label(table, name)]
    column = next(iter(named), others[0] if len(others) == 1 else None)
    if column is None or (tables.is_finding(column) and not tables.same_finding(column, own[0])):
        return []
    return [(own[0], column)]


def paired(label: str, column: str) -> list[str]:
    """Say that a column was taken for a label only because there is no other, where its name is not a usual one."""
    if tables.same_finding(label, column) or plain(column) in (*_TRUTH_NAMES, *tables.LIST_COLUMNS):
        return []
    return [
        f"{label} was measured against the truth's column {column!r}, its only one of 0 and 1; if that is another "
        f"finding, these figures are meaningless (--label {label}=COLUMN names the right one)."
    ]
