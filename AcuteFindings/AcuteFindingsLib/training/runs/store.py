"""Prepared arrays on disk, made once; each folder is named by a digest of everything that shapes what is in it."""

from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from multiprocessing import get_context
from pathlib import Path

import numpy as np

from AcuteFindingsLib.csv_text import CsvWriter
from AcuteFindingsLib.errors import AcuteFindingsError, TrainingError
from AcuteFindingsLib.files import replace_when_written
from AcuteFindingsLib.models.files import WEIGHTS
from AcuteFindingsLib.progress import Progress
from AcuteFindingsLib.training.cache import DiskCache
from AcuteFindingsLib.training.data.table import DataTable, Example
from AcuteFindingsLib.training.runs.arrays import Preparation, prepared_arrays
from AcuteFindingsLib.training.runs.items import TRUTH, Item

# Fewer than this are made here: starting processes would take longer.
_FEW = 16


@dataclass(frozen=True)
class LeftOut:
    """A series or image that could not be prepared, and why."""

    key: str
    reason: str


@dataclass(frozen=True)
class Prepared:
    """Items by key of series or image, and what was left out."""

    items: dict[str, Item]
    left_out: tuple[LeftOut, ...]

    def of(self, table: DataTable, *, series: bool) -> list[Item]:
        """Return the items of a part of the data set."""
        return [self.items[key] for key in units(table, series=series) if key in self.items]


def units(table: DataTable, *, series: bool) -> dict[str, tuple[int, ...]]:
    """Return what is prepared together: row numbers by key, whole series where `series`, else single images."""
    keys = table.keys
    if not series:
        return {str(key): (row,) for row, key in enumerate(keys)}
    together = {name: tuple(int(row) for row in rows) for name, rows in table.series_rows().items()}
    alone = np.flatnonzero((table.rows["series"] == "").to_numpy())
    return {**together, **{str(keys[row]): (int(row),) for row in alone}}


def prepare(
    table: DataTable, plan: Preparation, folder: Path, *, workers: int, progress: Progress, text: str = "Preparing"
) -> Prepared:
    """Make the arrays of a data set, or find them in `folder` where they were made before.

    Raises
    ------
    TrainingError
        Where nothing could be prepared; names the first reason.
    """
    groups = units(table, series=plan.series)
    jobs = {key: tuple(table.example(row) for row in rows) for key, rows in groups.items()}
    cache = DiskCache(folder, prepared_arrays, plan.prepares, plan, _weights(plan))
    places = {key: cache.path(examples) for key, examples in jobs.items()}
    missing = [key for key, place in places.items() if not (place / TRUTH).is_file()]
    left_out = []
    for number, (key, reason) in enumerate(_make_all([(k, jobs[k], places[k]) for k in missing], plan, workers), 1):
        if reason:
            left_out.append(LeftOut(key, reason))
        progress(f"{text} {number} of {len(missing)}", number / len(missing))
    out = {one.key for one in left_out}
    items = {
        key: Item(key=key, patient=jobs[key][0].patient or key, folder=place)
        for key, place in places.items()
        if key not in out
    }
    if not items:
        reason = f": {left_out[0].reason}" if left_out else ""
        raise TrainingError(f"None of the {len(jobs)} {'series' if plan.series else 'images'} can be used{reason}")
    return Prepared(items, tuple(left_out))


def write_left_out(left_out: Sequence[LeftOut], target: Path) -> None:
    """Write what was left out as a table."""
    with replace_when_written(target) as part, part.open("w", newline="", encoding="utf-8") as stream:
        writer = CsvWriter(stream)
        writer.writerow(("key", "reason"))
        writer.writerows((one.key, one.reason) for one in left_out)


_Job = tuple[str, tuple[Example, ...], Path]


def _make_all(jobs: Sequence[_Job], plan: Preparation, workers: int) -> Iterator[tuple[str, str]]:
    if workers <= 1 or len(jobs) < _FEW:
        yield from map(partial(_make, plan), jobs)
        return
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        yield from pool.map(partial(_make, plan), jobs, chunksize=2)


def _make(plan: Preparation, job: _Job) -> tuple[str, str]:
    """Prepare one item; returns its key and, where that is not possible, the reason."""
    key, examples, place = job
    try:
        Item.write(prepared_arrays(examples, plan), place)
    except AcuteFindingsError as error:
        return key, str(error)
    return key, ""


def _weights(plan: Preparation) -> tuple[Path, ...]:
    """Return the weights that shape the arrays: those of the lungs model."""
    return () if plan.lungs is None else tuple(sorted(plan.lungs.glob(f"{Path(WEIGHTS[0]).parent}/*")))
