"""One arm of a comparison: a recipe of this folder trained on phantoms, what it answered, and what that took."""

import hashlib
import json
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
import pandas as pd

from AcuteFindingsLib.files import replace_when_written
from AcuteFindingsLib.models.find import find_package
from AcuteFindingsLib.models.metadata import Task
from AcuteFindingsLib.models.package import ModelPackage
from AcuteFindingsLib.models.runtime.torch_weights import load_network
from AcuteFindingsLib.training.data.read import read_data
from AcuteFindingsLib.training.data.table import DataTable
from AcuteFindingsLib.training.recipes.read import read_recipe, recipe_yaml
from AcuteFindingsLib.training.recipes.schema import Recipe
from AcuteFindingsLib.training.runs.arrays import preparation_of
from AcuteFindingsLib.training.runs.data import PHANTOMS, parts, phantom_folder
from AcuteFindingsLib.training.runs.experiment import MODEL, RunRequest, run_recipe
from AcuteFindingsLib.training.runs.fit_stage import Hardware
from AcuteFindingsLib.training.runs.items import Item
from AcuteFindingsLib.training.runs.score import Scored, score_items
from AcuteFindingsLib.training.runs.store import prepare
from AcuteFindingsLib.training.runs.summary import FOLD

RECIPES = Path(__file__).resolve().parents[1] / "recipes"
_TIME = "time.json"
_FIRST_FOLD = Path("run-0") / "fold-0"


@dataclass(frozen=True)
class Place:
    """Where an experiment puts things.

    Attributes
    ----------
    results
        Tables and pictures.
    work
        Phantoms, arrays and trained arms; what lies there already is not made again.
    quick
        Two steps on a handful of phantoms: to see that everything runs.
    command
        That repeats the experiment.
    workers
        Processes that make phantoms and arrays.
    tell
        Takes a line for the screen.
    """

    results: Path
    work: Path
    quick: bool
    command: str
    workers: int = 0
    tell: Callable[[str], None] = print


@dataclass(frozen=True)
class Taken:
    """Time that something took: on the clock, and of the processor."""

    seconds: float
    processor_seconds: float

    def __add__(self, other: "Taken") -> "Taken":
        return Taken(self.seconds + other.seconds, self.processor_seconds + other.processor_seconds)


@dataclass(frozen=True)
class Trained:
    """A trained arm.

    Attributes
    ----------
    name
        As the table calls it.
    folder
        Of the run, as `acutefindings train` leaves it.
    told
        What its ``fold.json`` says.
    """

    name: str
    recipe: Recipe
    folder: Path
    told: dict[str, Any]
    taken: Taken

    @property
    def fold(self) -> Path:
        """Return the folder with predictions and truth."""
        return self.folder / _FIRST_FOLD

    @property
    def package(self) -> ModelPackage:
        """Return the model package."""
        return find_package(self.folder / MODEL)

    def threshold(self, level: str) -> float:
        """Return the operating point that was chosen on the validation part."""
        return next(float(one["threshold"]) for one in self.told["operating_points"] if one["level"] == level)

    def answers(self, level: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return truth ``(n,)`` bool, score ``(n,)`` and patients ``(n,)`` of the phantoms that were kept aside."""
        said = pd.read_csv(self.fold / f"predictions-{level}.csv")
        known = pd.read_csv(self.fold / f"truth-{level}.csv", dtype={"patient": str})
        return known.iloc[:, 2].to_numpy() >= 0.5, said.iloc[:, 1].to_numpy(), known["patient"].to_numpy()


def arm_recipe(name: str, changes: Sequence[str] = ()) -> Recipe:
    """Return a recipe of this folder, changed as ``--set`` would."""
    return read_recipe(RECIPES / f"{name}.yaml", overrides=tuple(changes))


def train(name: str, recipe: Recipe, place: Place, *, data: Path | None = None) -> Trained:
    """Train an arm, go on with it, or take it as it lies there; its folder is named by everything the recipe says."""
    digest = hashlib.sha256(f"{recipe_yaml(recipe)}{data.name if data else ''}".encode()).hexdigest()[:8]
    folder = place.work / "arms" / f"{recipe.id}-{digest}"
    request = RunRequest(
        recipe=recipe,
        out=folder,
        cache=place.work,
        data=data,
        resume=True,
        hardware=Hardware(accelerator="cpu", tell=lambda line: place.tell(f"  {line}")),
        command=place.command,
    )
    if not (folder / _FIRST_FOLD / FOLD).is_file():
        place.tell(f"{name}: training")
        with timed(folder / _TIME):
            run_recipe(request, progress=_silent)
    told = json.loads((folder / _FIRST_FOLD / FOLD).read_text(encoding="utf-8"))
    return Trained(name, recipe, folder, told, taken(folder / _TIME))


def kept_items(recipe: Recipe, place: Place, *, data: Path | None = None, part: str | None = None) -> list[Item]:
    """Return the prepared phantoms of a part (``train``, ``validation``, ``test``), or all, making those missing."""
    folder = data or phantom_folder(
        recipe, place.work / "phantoms", workers=place.workers, progress=_silent, tell=lambda line: None
    )
    table = _table(folder, recipe.task)
    prepared = prepare(table, preparation_of(recipe), place.work / "arrays", workers=place.workers, progress=_silent)
    chosen = table if part is None else getattr(parts(recipe, table, 0), part)
    return prepared.of(chosen, series=recipe.reads_series)


@lru_cache(maxsize=8)
def _table(folder: Path, task: Task) -> DataTable:
    """Read phantoms that are all there; the same ones are asked for by every arm."""
    return read_data(PHANTOMS, folder, task=task)


def answers_of(arm: Trained, items: Sequence[Item]) -> Scored:
    """Let a trained arm answer for some phantoms."""
    package = arm.package
    return score_items(load_network(package), arm.recipe, package.card, items, _silent)


@contextmanager
def timed(file: Path) -> Iterator[None]:
    """Add the time that the block takes to a file, also where the block is interrupted."""
    clock, processor = perf_counter(), _processor_seconds()
    try:
        yield
    finally:
        total = taken(file) + Taken(perf_counter() - clock, _processor_seconds() - processor)
        file.parent.mkdir(parents=True, exist_ok=True)
        with replace_when_written(file) as partial:
            partial.write_text(
                json.dumps({"seconds": total.seconds, "processor_seconds": total.processor_seconds}) + "\n"
            )


def taken(file: Path) -> Taken:
    """Return the time that a file holds; none where there is no file."""
    return Taken(**json.loads(file.read_text(encoding="utf-8"))) if file.is_file() else Taken(0.0, 0.0)


def _processor_seconds() -> float:
    """Return what this process and the finished ones that it started took."""
    return sum(os.times()[:4])


def _silent(_text: str, _share: float) -> None:
    pass
