"""Cases of one table found among the names of another: paths, file names, and what spreadsheets make of them."""

from collections.abc import Callable, Mapping, Sequence

import pandas as pd

from AcuteFindingsLib.evaluation import tables
from AcuteFindingsLib.evaluation.case_names import case_key, loose_key, plain
from AcuteFindingsLib.evaluation.predictions import Scores

# Of a path: CheXpert's patient, study and file are three.
_MOST_PARTS = 6


def match(keys: Sequence[tuple[str, ...]], names: Sequence[object]) -> list[list[int]]:
    """Return for each case the places in `names` that name it.

    Names are compared as written without suffix, then by their last parts, down to the file name alone. What names the
    most cases is taken, as long as no two cases and no two names become the same by it. Where that names more of
    them, capitals, leading zeros and a final ``.0``, which spreadsheets change, do not count.
    """
    exact = _matched(keys, names, case_key)
    if all(exact):
        return exact
    loose = _matched(keys, names, loose_key)
    return loose if sum(map(bool, loose)) > sum(map(bool, exact)) else exact


def _matched(
    keys: Sequence[tuple[str, ...]], names: Sequence[object], compared: Callable[[str], str]
) -> list[list[int]]:
    best: list[list[int]] = [[] for _ in keys]
    deepest = max((key.count("/") for own in keys for key in map(case_key, own)), default=0) + 1
    for parts in (0, *range(min(deepest, _MOST_PARTS), 0, -1)):
        places: dict[str, list[int]] = {}
        for place, name in enumerate(names):
            if isinstance(name, str):
                places.setdefault(compared(_last(case_key(name), parts)), []).append(place)
        shortened = ([compared(_last(case_key(key), parts)) for key in own] for own in keys)
        hits = [next((short for short in own if short in places), None) for own in shortened]
        used = [hit for hit in hits if hit is not None]
        as_written = not parts and compared is case_key
        clear = len(set(used)) == len(used) and (as_written or _is_clear({hit: places[hit] for hit in used}, names))
        if clear and len(used) > sum(bool(rows) for rows in best):
            best = [places[hit] if hit is not None else [] for hit in hits]
    return best


def _last(key: str, parts: int) -> str:
    """Return the last parts of a path; all of it for 0."""
    return "/".join(key.split("/")[-parts:])


def _is_clear(places: Mapping[str, Sequence[int]], names: Sequence[object]) -> bool:
    """Whether each short name stands for one whole name only: two folders may hold images of one name."""
    return all(len({case_key(str(names[row])) for row in rows}) == 1 for rows in places.values())


def best_match(scores: Scores, table: pd.DataFrame) -> list[list[int]]:
    """Return for each case the rows of the truth that name it, by the column that names the most."""
    known = (*tables.CASE_COLUMNS, *tables.STUDY_COLUMNS)
    if scores.level == "study":
        # An image may be called as its study is; the column that names studies goes first.
        known = (*tables.STUDY_COLUMNS, *tables.CASE_COLUMNS)
    columns = sorted(
        (name for name in table.columns if plain(name) in known),
        key=lambda name: known.index(plain(name)),
    )
    best: list[list[int]] = [[] for _ in scores.keys]
    for column in columns:
        found = match(scores.keys, table[column].tolist())
        if sum(map(bool, found)) > sum(map(bool, best)):
            best = found
    return best
