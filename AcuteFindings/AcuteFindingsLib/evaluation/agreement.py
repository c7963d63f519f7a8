"""How far label sets agree: pairs (Cohen), all at once (Fleiss), and on which images they do not."""

from collections.abc import Mapping, Sequence
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np

from AcuteFindingsLib import __version__
from AcuteFindingsLib.errors import EvaluationError
from AcuteFindingsLib.evaluation import tables
from AcuteFindingsLib.evaluation.case_names import case_key, plain
from AcuteFindingsLib.evaluation.columns import looks_like_label
from AcuteFindingsLib.evaluation.resampling import Bootstrap, Measure, of_all
from AcuteFindingsLib.evaluation.schema import Agreement, Figure, LabelAgreement, PairAgreement

_READER_COLUMNS = ("reader", "annotator", "radiologist", "rater")
_MOST_DISAGREEMENTS = 24

LabelSet = Mapping[str, Mapping[str, float]]
"""By label, by case: 1 present, 0 absent; cases that the set does not label are left out."""


def read_label_sets(paths: Sequence[Path], labels: Sequence[str] = ()) -> dict[str, LabelSet]:
    """Read label sets: one a table, or one a reader where a table has a column ``reader`` or ``annotator``.

    Parameters
    ----------
    paths
        CSV tables with a column that names the case, and one of 0 and 1 a label or one of lists
        (``Finding Labels``).
    labels
        Which; every one that a column is named after when empty.

    Raises
    ------
    EvaluationError
        When fewer than two sets come out, or one has no column of cases.
    """
    sets: dict[str, LabelSet] = {}
    for path in paths:
        table = tables.read_table(path)
        who = tables.find_column(table, None, _READER_COLUMNS, what="the readers", path=path)
        parts = {path.stem: table} if who is None else {str(name): own for name, own in table.groupby(who)}
        for name, own in parts.items():
            unique = name if name not in sets else f"{path.stem} {name}"
            sets[unique] = _label_set(tables.one_row_a_case(own, path), path, labels, who)
    if len(sets) < 2:
        raise EvaluationError("Agreement needs two label sets: two tables, or one with a column 'reader'.")
    return sets


def agreement(sets: Mapping[str, LabelSet], labels: Sequence[str] = ()) -> Agreement:
    """Compare label sets on every label that at least two of them hold.

    Raises
    ------
    EvaluationError
        When no label is in two sets, or no case is.
    """
    wanted = list(labels) or list(dict.fromkeys(label for held in sets.values() for label in held))
    results, notices, done = [], [], set[str]()
    for label in wanted:
        holders = {name: _held(held, label) for name, held in sets.items()}
        named = {name: answers for name, answers in holders.items() if answers}
        if len(named) < 2 or any(tables.same_finding(label, other) for other in done):
            continue
        done.add(label)
        result = _one_label(label, named)
        if not any(pair.cases for pair in result.pairs):
            notices.append(f"{label}: no case is labeled by two sets.")
        else:
            results.append(result)
    if not results:
        raise EvaluationError(
            " ".join(notices) or f"No label is in two of the sets {tables.names(sets)}; columns must be named alike."
        )
    return Agreement(sets=list(sets), software=__version__, labels=results, notices=notices)


def cohen_kappa(first: np.ndarray, second: np.ndarray, bootstrap: Bootstrap | None = None) -> Figure:
    """Return Cohen's kappa of two raters' answers ``(n,)``; undefined (None) where both only ever say one thing."""
    a, b = np.asarray(first, int), np.asarray(second, int)
    if not len(a) or (len(np.unique(np.concatenate([a, b]))) < 2):
        return Figure(value=None, count=len(a))
    return _figure(_cohen_measure(a, b), len(a), bootstrap)


def fleiss(answers: np.ndarray, bootstrap: Bootstrap | None = None) -> Figure:
    """Return Fleiss' kappa of ``(n, raters)`` answers 0 or 1; undefined (None) where all only ever say one thing."""
    answers = np.asarray(answers, int)
    if not len(answers) or len(np.unique(answers)) < 2:
        return Figure(value=None, count=len(answers))
    present = answers.sum(1)
    counts = np.stack([answers.shape[1] - present, present], axis=1)
    return _figure(_fleiss_measure(counts), len(answers), bootstrap)


def _figure(measure: Measure, count: int, bootstrap: Bootstrap | None) -> Figure:
    span = (bootstrap or Bootstrap(np.arange(count), by="case")).interval(measure, within=(-1.0, 1.0))
    return Figure(value=of_all(measure, count), intervals=[span] if span else [], count=count)


def _label_set(table: Any, path: Path, labels: Sequence[str], who: str | None) -> LabelSet:
    case = tables.find_column(table, None, tables.CASE_COLUMNS, what="the cases", path=path)
    if case is None:
        raise EvaluationError(f"{path} has no column that names the images; call it 'image'.")
    rest = table.drop(columns=[case, *([who] if who else [])])
    found = list(labels) or _labels_in(rest)
    held: dict[str, dict[str, float]] = {}
    keys = [case_key(name) if isinstance(name, str) else "" for name in table[case]]
    for label in found:
        column = tables.label_column(rest, label)
        if column is None:
            continue
        values = tables.label_values(table, column, label, path)
        held[label] = {key: value for key, value in zip(keys, values, strict=True) if key and not np.isnan(value)}
    return held


def _labels_in(table: Any) -> list[str]:
    own = [name for name in table.columns if looks_like_label(table, name)]
    lists = [name for name in table.columns if plain(name) in tables.LIST_COLUMNS and name not in own]
    listed = [item for name in lists for item in tables.listed_labels(table[name])]
    return list(dict.fromkeys([*own, *listed]))


def _held(held: LabelSet, label: str) -> Mapping[str, float]:
    return held.get(label) or next((held[own] for own in held if tables.same_finding(own, label)), {})


def _one_label(label: str, sets: Mapping[str, Mapping[str, float]]) -> LabelAgreement:
    pairs = [_pair(a, b, sets[a], sets[b]) for a, b in combinations(sets, 2)]
    shared = sorted(set.intersection(*(set(answers) for answers in sets.values())))
    answers = np.array([[answered[case] for answered in sets.values()] for case in shared]).reshape(-1, len(sets))
    return LabelAgreement(
        label=label,
        sets={name: int(sum(answered.values())) for name, answered in sets.items()},
        pairs=pairs,
        fleiss=fleiss(answers),
        disagreements=_disagreements(sets),
    )


def _pair(first: str, second: str, a: Mapping[str, float], b: Mapping[str, float]) -> PairAgreement:
    shared = sorted(set(a) & set(b))
    x, y = np.array([a[case] for case in shared], bool), np.array([b[case] for case in shared], bool)
    return PairAgreement(
        first=first,
        second=second,
        cases=len(shared),
        both=int((x & y).sum()),
        only_first=int((x & ~y).sum()),
        only_second=int((~x & y).sum()),
        neither=int((~x & ~y).sum()),
        observed=float((x == y).mean()) if shared else 0.0,
        kappa=cohen_kappa(x, y),
    )


def _disagreements(sets: Mapping[str, Mapping[str, float]]) -> list[dict[str, Any]]:
    """Return the cases on which the sets are most evenly split, with each set's answer."""
    cases = sorted(set().union(*sets.values()))
    split = []
    for case in cases:
        votes = {name: int(answered[case]) for name, answered in sets.items() if case in answered}
        if len(set(votes.values())) == 2:
            share = sum(votes.values()) / len(votes)
            split.append((abs(share - 0.5), -len(votes), case, votes))
    split.sort(key=lambda item: item[:3])
    return [{"case": case, "votes": votes} for _, _, case, votes in split[:_MOST_DISAGREEMENTS]]


def _cohen_measure(a: np.ndarray, b: np.ndarray) -> Measure:
    parts = np.stack([(a == 1) & (b == 1), (a == 1) & (b == 0), (a == 0) & (b == 1), (a == 0) & (b == 0)], axis=1)

    def measure(weights: np.ndarray) -> np.ndarray:
        both, first, second, neither = (weights @ parts.astype(float) / weights.sum(1, keepdims=True)).T
        by_chance = (both + first) * (both + second) + (neither + first) * (neither + second)
        return _beyond_chance(both + neither, by_chance)

    return measure


def _fleiss_measure(counts: np.ndarray) -> Measure:
    raters = counts[0].sum()
    within = (counts * (counts - 1)).sum(1) / (raters * (raters - 1))
    shares = counts / raters

    def measure(weights: np.ndarray) -> np.ndarray:
        total = weights.sum(1)
        by_chance = ((weights @ shares / total[:, None]) ** 2).sum(1)
        return _beyond_chance(weights @ within / total, by_chance)

    return measure


def _beyond_chance(observed: np.ndarray, by_chance: np.ndarray) -> np.ndarray:
    room = 1 - by_chance
    return np.divide(observed - by_chance, room, out=np.full_like(observed, np.nan), where=room > 1e-12)
