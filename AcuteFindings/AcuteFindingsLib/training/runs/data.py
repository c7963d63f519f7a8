"""The data of a run: read or made, added to, drawn from, divided by patient."""

from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np

from AcuteFindingsLib.detectors.phantoms import find_generator, make_phantom
from AcuteFindingsLib.errors import DataError, TrainingError
from AcuteFindingsLib.phantoms.write_dicom import write_phantom
from AcuteFindingsLib.progress import Progress
from AcuteFindingsLib.training.cache import DiskCache, digest_of
from AcuteFindingsLib.training.data.folds import folds, inseparable, split
from AcuteFindingsLib.training.data.read import detect_kind, read_data
from AcuteFindingsLib.training.data.sampling import choose_per_class
from AcuteFindingsLib.training.data.table import DataTable
from AcuteFindingsLib.training.recipes.schema import Recipe
from AcuteFindingsLib.training.runs.labels import trained_labels

Tell = Callable[[str], None]

PHANTOMS = "phantoms"
_FEW = 8


@dataclass(frozen=True)
class RunData:
    """What a run trains and measures on.

    Attributes
    ----------
    table
        What is divided.
    extra
        Corrections, which are trained on only; None where there are none.
    words
        The data set in words, for cards.
    """

    table: DataTable
    extra: DataTable | None
    words: str

    @property
    def phantoms_only(self) -> bool:
        """Whether no patient's image is among them."""
        return self.table.kind == PHANTOMS and self.extra is None

    def digest(self) -> str:
        """Return a text that differs where images, whose they are, or what is known of them differ."""
        tables = [table for table in (self.table, self.extra) if table is not None]
        named = ["\n".join(map(str, table.rows[name])) for table in tables for name in ("key", "patient", "group")]
        return digest_of(named, [{name: table.label(name) for name in table.label_names} for table in tables])


@dataclass(frozen=True)
class Parts:
    """One turn: whom is trained on, who chooses epoch and operating points, who is measured on."""

    train: DataTable
    validation: DataTable
    test: DataTable


def open_data(
    recipe: Recipe,
    folder: Path | None,
    *,
    kind: str | None = None,
    corrections: Path | None,
    cache: Path,
    workers: int,
    progress: Progress,
    tell: Tell,
) -> RunData:
    """Read the data set, or make phantoms where no folder is named, and say what is wrong with it.

    Its kind is told by what lies there where `kind` is None.

    Raises
    ------
    DataError
        Where the data set cannot be trained on.
    """
    if folder is None:
        folder, kind = (
            phantom_folder(recipe, cache / "phantoms", workers=workers, progress=progress, tell=tell),
            PHANTOMS,
        )
    else:
        kind = kind or detect_kind(folder)
        if kind != recipe.data.kind:
            tell(f"{folder.name} is read as {kind}; the experiment was published on {recipe.data.kind}.")
    table = _usable(read_data(kind, folder, task=recipe.task, cache=cache / "headers", progress=progress), recipe, tell)
    extra = None
    if corrections is not None:
        found = read_data("corrections", corrections, task=recipe.task, progress=progress)
        found = without(_usable(found, recipe, tell), recipe.data.leave_out)
        extra = found if len(found) else None
        tell(f"{len(found)} corrected images are trained on and not measured on.")
    table = drawn(recipe, table)
    return RunData(table, extra, _words(recipe, table, extra))


def phantom_folder(recipe: Recipe, cache: Path, *, workers: int, progress: Progress, tell: Tell) -> Path:
    """Return the folder of the recipe's phantoms, as `acutefindings phantom` writes them; those missing are made."""
    plan = recipe.data.phantoms
    folder = DiskCache(cache, find_generator(recipe.phantom_kind), write_phantom).path(recipe.phantom_kind, plan)
    folder.mkdir(parents=True, exist_ok=True)
    seeds = range(plan.seed, plan.seed + plan.count)
    missing = [seed for seed in seeds if not (folder / f"{recipe.phantom_kind}-{seed:04d}" / "truth").is_dir()]
    if missing:
        tell(f"Making {len(missing)} {recipe.phantom_kind} phantoms; they are kept in {folder}.")
    make = partial(_write_one, recipe.phantom_kind, folder, dict(plan.options))
    for number, _ in enumerate(_each(make, missing, workers), 1):
        progress(f"Making phantom {number} of {len(missing)}", number / len(missing))
    return folder


def drawn(recipe: Recipe, table: DataTable) -> DataTable:
    """Return what the recipe takes of a data set: all but who is left out, or so many of each class at random."""
    table = without(table, recipe.data.leave_out)
    count = recipe.data.per_class
    if count is None:
        return table
    found = table.count()
    # As many of each class, also where there are fewer than the recipe asks for.
    return choose_per_class(table, per_class=min(count, found.positive, found.negative), seed=recipe.seed)


def without(table: DataTable, patients: Sequence[str]) -> DataTable:
    """Return the images of all but some patients."""
    return table.take(~table.rows["patient"].isin(patients).to_numpy()) if patients else table


def parts(recipe: Recipe, table: DataTable, fold: int) -> Parts:
    """Divide a data set for one fold, by patient; see `Split`."""
    plan = recipe.data.split
    nobody = table.take(np.empty(0, np.int64))
    rest, test = table, nobody
    if plan.test:
        divided = split(table, {"rest": 1 - plan.test, "test": plan.test}, seed=plan.seed)
        rest, test = divided["rest"], divided["test"]
    if plan.folds > 1:
        turn = folds(rest, count=plan.folds, seed=plan.seed)[fold]
        if plan.test:
            return Parts(turn.train, turn.held_out, test)
        rest, test = turn.train, turn.held_out
    if not plan.validation:
        return Parts(rest, nobody, test)
    divided = split(rest, {"train": 1 - plan.validation, "validation": plan.validation}, seed=plan.seed)
    return Parts(divided["train"], divided["validation"], test)


def not_measured_on(extra: DataTable, part: Parts) -> DataTable:
    """Return the corrections of patients who are neither in the validation nor in the test part."""
    kept_aside = {
        str(value)
        for table in (part.validation, part.test)
        for field in ("patient", "key", "series", "group")
        for value in table.rows[field]
        if value
    }
    apart = ~extra.rows[["patient", "key", "series", "group"]].isin(kept_aside).any(axis=1)
    return extra.take(apart.to_numpy())


def people(table: DataTable) -> int:
    """Return how many patients a table holds, as far as its data set tells them apart."""
    return len(np.unique(inseparable(table))) if len(table) else 0


def _usable(table: DataTable, recipe: Recipe, tell: Tell) -> DataTable:
    for problem in table.problems:
        if problem.severity != "info":
            place = f"{problem.file}, {problem.field}" if problem.field else problem.file
            tell(f"{problem.severity}: {place}: {problem.text}")
    if table.task != recipe.task:
        raise DataError(f"The data set is for {table.task}; the recipe {recipe.id} trains {recipe.task}.")
    wanted = trained_labels(recipe)
    missing = [name for name in wanted if name not in table.label_names]
    if wanted and missing == list(wanted) and recipe.stages.segment is None:
        raise DataError(
            f"The {table.kind} data set has none of the labels {', '.join(wanted)}; it has "
            f"{', '.join(table.label_names)}. Name those to train on with --set data.labels."
        )
    if missing:
        tell(f"The data set has no label {', '.join(missing)}: unknown in every image, so nothing is learned of it.")
    return table.require_usable()


def _words(recipe: Recipe, table: DataTable, extra: DataTable | None) -> str:
    words = f"the data set {table.kind}, {len(table)} images"
    if table.kind == PHANTOMS:
        words = f"computer-made {recipe.phantom_kind} phantoms"
    return words if extra is None else f"{words} and {len(extra)} images corrected by annotators"


def _write_one(kind: str, folder: Path, options: dict[str, Any], seed: int) -> None:
    write_phantom(make_phantom(kind, seed, **options), folder)


def _each(make: Callable[[int], None], seeds: list[int], workers: int) -> Any:
    if workers <= 1 or len(seeds) < _FEW:
        yield from map(make, seeds)
        return
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        yield from pool.map(make, seeds)


def require_both_classes(positive: np.ndarray, what: str) -> None:
    """Refuse to train where there is nothing to tell apart.

    Raises
    ------
    TrainingError
        Where all, or none, of the examples are positive.
    """
    if not len(positive) or positive.all() or not positive.any():
        kind = "none is" if not positive.any() else "all are"
        raise TrainingError(
            f"Of the {len(positive)} {what} to fit to {kind} positive; training needs both, so add data."
        )
