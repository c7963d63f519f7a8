"""A model beside human readers of the same cases."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd

from AcuteFindingsLib.errors import EvaluationError
from AcuteFindingsLib.evaluation import tables
from AcuteFindingsLib.evaluation.cases import Cases
from AcuteFindingsLib.evaluation.columns import looks_like_label
from AcuteFindingsLib.evaluation.comparison import mcnemar
from AcuteFindingsLib.evaluation.matching import match
from AcuteFindingsLib.evaluation.operating_points import Threshold, decision_figures
from AcuteFindingsLib.evaluation.resampling import Bootstrap
from AcuteFindingsLib.evaluation.schema import ReaderRow, Readers

_READER_COLUMNS = ("reader", "annotator", "radiologist", "rater")


def read_readers(path: Path, cases: Cases) -> dict[str, dict[str, np.ndarray]]:
    """Read what readers said: for each label and reader ``(n,)`` in the order of the cases, 1, 0 or NaN.

    Either a column ``reader`` and one a label; or one column a reader (``Rad. 1``), and where several labels were read
    ``reader:label``.

    Raises
    ------
    EvaluationError
        When no case, reader or label is found.
    """
    table = tables.read_table(path)
    case = tables.find_column(table, None, tables.CASE_COLUMNS, what="the cases", path=path)
    if case is None:
        raise EvaluationError(f"{path} has no column that names the cases; call it 'image' or 'study'.")
    who = tables.find_column(table, None, _READER_COLUMNS, what="the readers", path=path)
    said = _long(table, case, who, cases, path) if who else _wide(table, case, cases, path)
    if not any(said.values()):
        raise EvaluationError(
            f"{path} has no reader of {tables.names(cases.labels)}; columns 'reader' and one for each label, or one "
            "for each reader."
        )
    if not any(np.isfinite(answers).any() for by_reader in said.values() for answers in by_reader.values()):
        raise EvaluationError(f"{path}: column {case!r} names none of the predicted cases.")
    return said


def readers_table(
    label: str,
    truth: np.ndarray,
    score: np.ndarray,
    answers: Mapping[str, np.ndarray],
    threshold: Threshold,
    model: str,
) -> Readers:
    """Set a model beside readers, each on the cases that the reader read.

    The model's own row is on the cases that any reader read. McNemar's test compares right and wrong answers of the
    model and the reader on the same cases.
    """
    called = score >= threshold.value
    usable = ~np.isnan(truth) & ~np.isnan(score)
    read_by_any = usable & np.any([~np.isnan(said) for said in answers.values()], axis=0)
    rows = []
    for name, said in answers.items():
        kept = usable & ~np.isnan(said)
        present, answer = truth[kept] == 1, said[kept] == 1
        test = mcnemar("all", present, called[kept], answer)
        rows.append(
            ReaderRow(
                name=name,
                is_model=False,
                cases=int(kept.sum()),
                figures=decision_figures(present, answer, Bootstrap(np.arange(kept.sum()), by="case")),
                p_value=test.p_value,
            )
        )
    present = truth[read_by_any] == 1
    own = decision_figures(present, called[read_by_any], Bootstrap(np.arange(len(present)), by="case"))
    rows.append(ReaderRow(name=model, is_model=True, cases=len(present), figures=own, p_value=None))
    return Readers(label=label, threshold=threshold.value, rows=rows)


def _long(table: pd.DataFrame, case: str, who: str, cases: Cases, path: Path) -> dict[str, dict[str, np.ndarray]]:
    said: dict[str, dict[str, np.ndarray]] = {label: {} for label in cases.labels}
    for reader, own in table.groupby(who, sort=True):
        for label in cases.labels:
            column = tables.label_column(own.drop(columns=[case, who]), label)
            if column is not None:
                values = tables.label_values(own, column, label, path)
                said[label][str(reader)] = _in_order(cases, own[case].tolist(), values)
    return said


def _wide(table: pd.DataFrame, case: str, cases: Cases, path: Path) -> dict[str, dict[str, np.ndarray]]:
    said: dict[str, dict[str, np.ndarray]] = {label: {} for label in cases.labels}
    for column in table.columns:
        if column == case or not looks_like_label(table, column):
            continue
        reader, _, named = column.partition(":")
        if named:
            label = next((own for own in cases.labels if tables.same_finding(own, named)), None)
        elif any(tables.same_finding(own, column) for own in cases.labels):
            label = None
        else:
            label = cases.labels[0] if len(cases.labels) == 1 else None
            if label is None:
                raise EvaluationError(
                    f"{path}: column {column!r} does not say which of {tables.names(cases.labels)} was read; call it "
                    f"'{column}:{cases.labels[0]}', or choose one label with --label."
                )
        if label is not None:
            values = tables.label_values(table, column, label, path)
            said[label][reader.strip()] = _in_order(cases, table[case].tolist(), values)
    return said


def _in_order(cases: Cases, named: list, values: np.ndarray) -> np.ndarray:
    found = match(cases.keys, named)
    return np.array([values[rows[0]] if rows else np.nan for rows in found])
