"""Splits in which no patient and no near-duplicate is on both sides."""

import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from math import isclose

import numpy as np
import pandas as pd
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from sklearn.model_selection import GroupKFold, StratifiedGroupKFold

from AcuteFindingsLib.errors import DataError
from AcuteFindingsLib.training.data.table import DataTable

# Shares are met to a twentieth, the finest that published splits ask for (docs/sources.md 2 and 4).
_PIECES = 20


@dataclass(frozen=True)
class Fold:
    """One turn of a cross-validation."""

    number: int
    train: DataTable
    held_out: DataTable


def inseparable(table: DataTable) -> np.ndarray:
    """Return a number an example ``(n,)``; those that must stay on one side of any split share it.

    Patient and near-duplicate group join examples, also in a chain: where an image of patient A nearly equals one of
    patient B, all images of both stay together.
    """
    count = len(table)
    patients, _ = pd.factorize(table.rows["patient"])
    groups, _ = pd.factorize(table.rows["group"])
    people = int(patients.max(initial=-1)) + 1
    nodes = people + int(groups.max(initial=-1)) + 1
    links = coo_array((np.ones(count, np.int8), (patients, people + groups)), shape=(nodes, nodes))
    _, component = connected_components(links, directed=False)
    return np.asarray(component)[patients] if count else np.zeros(0, np.int64)


def folds(table: DataTable, *, count: int = 5, seed: int = 0, label: str | None = None) -> tuple[Fold, ...]:
    """Return the turns of a cross-validation: by patient and near-duplicates, classes alike in all as far as possible.

    Parameters
    ----------
    table
        What to divide; the order of its rows does not matter.
    count
        Five where nothing else is asked for (docs/sources.md 1).
    seed
        Decides who goes where.
    label
        The label whose share is kept alike; the one that the task is about when None.

    Raises
    ------
    DataError
        Where there are fewer separable patients than folds.
    """
    numbers = _pieces(table, count, seed, label)
    return tuple(Fold(one, table.take(numbers != one), table.take(numbers == one)) for one in range(count))


def split(
    table: DataTable, shares: Mapping[str, float], *, seed: int = 0, label: str | None = None
) -> dict[str, DataTable]:
    """Return the table in parts, for example ``{"train": 0.7, "test": 0.3}`` (docs/sources.md 4), as `folds` divides.

    Raises
    ------
    DataError
        Where the shares do not add up to 1, or there are fewer separable patients than parts.
    """
    if not shares or min(shares.values()) <= 0 or not isclose(sum(shares.values()), 1, abs_tol=1e-6):
        given = ", ".join(f"{name} {share:g}" for name, share in shares.items())
        raise DataError(f"The shares of a split must be above 0 and add up to 1; got {given or 'none'}.")
    people = len(np.unique(inseparable(table)))
    if people < len(shares):
        raise DataError(f"{people} separable patients cannot be divided into {len(shares)} parts; add data.")
    pieces = _pieces(table, _piece_count(shares, people), seed, label)
    sizes = np.bincount(pieces)
    parts: dict[str, list[int]] = {name: [] for name in shares}
    for piece in np.argsort(-sizes, kind="stable").tolist():
        lacking = {name: share * len(table) - sizes[parts[name]].sum() for name, share in shares.items()}
        empty = [name for name in shares if not parts[name]]
        left = len(sizes) - sum(map(len, parts.values()))
        # The last pieces go to the parts that would stay empty.
        choice = empty if len(empty) >= left else list(shares)
        parts[max(choice, key=lacking.__getitem__)].append(piece)
    return {name: table.take(np.isin(pieces, chosen)) for name, chosen in parts.items()}


def _pieces(table: DataTable, count: int, seed: int, label: str | None) -> np.ndarray:
    """Return the piece 0..count-1 of each example ``(n,)``."""
    if count < 2:
        raise DataError(f"A split needs at least two parts; got {count}.")
    together = inseparable(table)
    people = len(np.unique(together))
    if people < count:
        raise DataError(
            f"{people} separable patients (those who share near-duplicates count as one) cannot be divided into "
            f"{count} parts; ask for fewer or add data."
        )
    values = table.label(label or table.label_names[0]) if table.label_names else np.zeros(len(table))
    strata = np.where(np.isnan(values), 2, values >= 0.5).astype(np.int64)
    # Sorted by key, so that the same examples in another order are divided alike.
    order = np.argsort(table.keys, kind="stable")
    pieces = np.zeros(len(table), np.int64)
    pieces[order] = _divide(strata[order], _renumbered(together[order]), count, seed)
    return pieces


def _divide(strata: np.ndarray, together: np.ndarray, count: int, seed: int) -> np.ndarray:
    pieces = np.zeros(len(strata), np.int64)
    if np.bincount(strata).max() >= count:
        with warnings.catch_warnings():
            # A class with fewer members than folds cannot be in all of them; the tables of counts show it.
            warnings.filterwarnings("ignore", message="The least populated class", category=UserWarning)
            divider = StratifiedGroupKFold(count, shuffle=True, random_state=seed)
            for number, (_, held_out) in enumerate(divider.split(strata, strata, together)):
                pieces[held_out] = number
        if len(np.unique(pieces)) == count:
            return pieces
    for number, (_, held_out) in enumerate(
        GroupKFold(count, shuffle=True, random_state=seed).split(strata, strata, together)
    ):
        pieces[held_out] = number
    return pieces


def _renumbered(numbers: np.ndarray) -> np.ndarray:
    """Number by first appearance, so that only the examples decide and not how they were counted."""
    _, first, inverse = np.unique(numbers, return_index=True, return_inverse=True)
    rank = np.empty(len(first), np.int64)
    rank[np.argsort(first)] = np.arange(len(first))
    return np.asarray(rank[inverse])


def _piece_count(shares: Mapping[str, float], people: int) -> int:
    """Return the fewest equal pieces that the shares can be put together from."""
    most = min(_PIECES, people)
    for count in range(2, most + 1):
        if all(isclose(share * count, round(share * count), abs_tol=1e-6) for share in shares.values()):
            return max(count, len(shares))
    return max(most, len(shares))
