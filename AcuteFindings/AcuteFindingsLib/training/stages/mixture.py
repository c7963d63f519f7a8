"""Sources that are mixed with the data set in training: phantoms, and findings drawn into its own images."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from AcuteFindingsLib.detectors.phantoms import find_generator, make_phantom
from AcuteFindingsLib.errors import TrainingError
from AcuteFindingsLib.phantoms.write_dicom import write_phantom
from AcuteFindingsLib.places import temporary_folder
from AcuteFindingsLib.progress import Progress
from AcuteFindingsLib.training.cache import DiskCache
from AcuteFindingsLib.training.data.read import read_data
from AcuteFindingsLib.training.data.table import DataTable, Example
from AcuteFindingsLib.training.recipes.data_plans import Drawn
from AcuteFindingsLib.training.recipes.plans import Phantoms
from AcuteFindingsLib.training.recipes.schema import Recipe
from AcuteFindingsLib.training.runs.arrays import Preparation, prepared_arrays
from AcuteFindingsLib.training.runs.data import PHANTOMS
from AcuteFindingsLib.training.runs.items import TRUTH, Item
from AcuteFindingsLib.training.runs.store import Prepared, units
from AcuteFindingsLib.training.stages.drawn import draw_into

# Fewer than this are made here: starting processes would take longer.
_FEW = 4


@dataclass(frozen=True)
class Workshop:
    """What makes the items of further sources, prepared as the data set is.

    Attributes
    ----------
    cache
        Where their arrays are kept.
    workers
        Processes that make phantoms.
    """

    recipe: Recipe
    preparation: Preparation
    cache: Path
    workers: int
    progress: Progress

    def mixed(self, prepared: Prepared, table: DataTable) -> list[Item]:
        """Return the items of all sources that the recipe mixes with a training part."""
        found: list[Item] = []
        for name, source in self.recipe.data.mix.items():
            if source.phantoms is not None:
                found += self.phantoms(source.phantoms, name)
            if source.drawn is not None:
                found += self.drawn(source.drawn, name, prepared.items, self.known(prepared, table))
        return found

    def known(self, prepared: Prepared, table: DataTable) -> dict[str, list[Example]]:
        """Return the examples of each item of a part of the data set by its key."""
        rows = units(table, series=self.recipe.reads_series)
        return {key: [table.example(row) for row in of] for key, of in rows.items() if key in prepared.items}

    def phantoms(self, plan: Phantoms, source: str) -> list[Item]:
        """Return phantoms; made once, and only their arrays are kept."""
        kind = self.recipe.phantom_kind
        kept = DiskCache(
            self.cache / PHANTOMS,
            make_item,
            self.preparation.prepares,
            find_generator(kind),
            self.preparation,
            plan.options,
        )
        places = {seed: kept.path(seed) for seed in range(plan.seed, plan.seed + plan.count)}
        missing = [(seed, place) for seed, place in places.items() if not (place / TRUTH).is_file()]
        make = partial(make_item, kind, plan.options, self.preparation)
        for number, _ in enumerate(_each(make, missing, self.workers), 1):
            self.progress(f"Making phantom {number} of {len(missing)} ({source})", number / len(missing))
        return [Item(f"{kind}-{seed}", f"{kind}-{seed}", place, source) for seed, place in places.items()]

    def drawn(
        self, plan: Drawn, source: str, items: Mapping[str, Item], known: Mapping[str, Sequence[Example]]
    ) -> list[Item]:
        """Return versions, with findings drawn in, of images that show none.

        Parameters
        ----------
        items
            Of the data set by key.
        known
            Of the part that is drawn into: the examples of each key.

        Raises
        ------
        TrainingError
            Where no image has room for a finding.
        """
        kept = DiskCache(self.cache / "drawn", draw_into, self.preparation, plan)
        healthy = [key for key in known if not items[key].positive.any()]
        found = []
        for number, key in enumerate(healthy, 1):
            for version in range(plan.each):
                place = kept.path(items[key].folder.name, version)
                if not (place / TRUTH).is_file():
                    arrays = draw_into(items[key], known[key], self.preparation, plan, version)
                    if arrays is None:
                        continue
                    Item.write(arrays, place)
                found.append(Item(f"{key}-{source}-{version}", items[key].patient, place, source))
            self.progress(f"Drawing into image {number} of {len(healthy)}", number / len(healthy))
        if not found:
            raise TrainingError(f"{source}: none of {len(healthy)} images without a finding has room for one.")
        return found


def make_item(kind: str, options: dict[str, Any], preparation: Preparation, job: tuple[int, Path]) -> None:
    """Make one phantom, read it as a data set of its own, and write its arrays."""
    seed, place = job
    with temporary_folder() as folder:
        write_phantom(make_phantom(kind, seed, **options), folder)
        table = read_data(PHANTOMS, folder, task=preparation.task)
        Item.write(prepared_arrays(list(table.examples), preparation), place)


def _each(make: Callable[[tuple[int, Path]], None], jobs: list[tuple[int, Path]], workers: int) -> Iterator[None]:
    if workers <= 1 or len(jobs) < _FEW:
        yield from map(make, jobs)
        return
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        yield from pool.map(make, jobs)
