"""Cross-validation: every case answered by a network that saw neither it nor what belongs to it."""

from collections.abc import Callable, Iterable, Iterator

import numpy as np

from AcuteFindingsLib.training.data import DataTable, folds
from AcuteFindingsLib.training.phantom_sets import Arrays
from AcuteFindingsLib.training.remembered import Remembered

Turn = tuple[np.ndarray, np.ndarray]
"""Indices of the cases that are fitted to, and of those held out."""


def turns_of(table: DataTable, count: int) -> Iterator[Turn]:
    """Yield `count` turns over a data set; patients and near-duplicates stay together."""
    places = {key: number for number, key in enumerate(table.keys)}
    for fold in folds(table, count=count):
        inside, outside = ([places[key] for key in part.keys] for part in (fold.train, fold.held_out))
        yield np.array(inside), np.array(outside)


def out_of_fold(
    name: str,
    turns: Iterable[Turn],
    answer: Callable[[np.ndarray, np.ndarray], Arrays],
    kept: Remembered | None = None,
    *,
    report: Callable[[int, Arrays], None] = lambda _number, _answers: None,
) -> Arrays:
    """Answer for what each turn holds out.

    Parameters
    ----------
    name
        Under which `kept` holds the turns that are done.
    answer
        Function of a turn's indices that gives arrays with one row a held-out case.
    report
        Is told each turn's number, from 1, and its answers.

    Returns
    -------
    dict
        The arrays with one row a case, and ``"fold"`` ``(n,)``: in which turn it was held out, from 1.
    """
    kept = kept or Remembered(None)
    parts, places = [], []
    for number, (inside, outside) in enumerate(turns, 1):
        part = kept.part(f"{name}-fold-{number}", lambda i=inside, o=outside: answer(i, o))  # type: ignore[misc]
        report(number, part)
        parts.append({**part, "fold": np.full(len(outside), number)})
        places.append(outside)
    order = np.argsort(np.concatenate(places))
    return {key: np.concatenate([part[key] for part in parts])[order] for key in parts[0]}
