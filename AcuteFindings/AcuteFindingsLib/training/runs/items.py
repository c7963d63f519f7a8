"""What is trained on, ready for a network and kept on disk: one folder a series or image."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import BaseModel

from AcuteFindingsLib.files import replace_when_written
from AcuteFindingsLib.preprocessing.pe_input import as_channels, with_neighbors
from AcuteFindingsLib.training.recipes.data_plans import DATA

TRUTH = "truth.npz"
IMAGES = "images.npy"
MASKS = "masks.npy"

Arrays = dict[str, np.ndarray]


@dataclass(frozen=True, eq=False)
class Item:
    """One series, or one single image as a series of one slice.

    Attributes
    ----------
    key
        Of the example, or of the series.
    patient
        Whose it is.
    source
        Of a mixture, or ``data``.
    folder
        Where its arrays are: ``images.npy`` ``(n, y, x)`` and ``masks.npy`` ``(n, y', x')`` as bytes, and
        ``truth.npz``.
    """

    key: str
    patient: str
    folder: Path
    source: str = DATA

    @cached_property
    def _truth(self) -> Arrays:
        with np.load(self.folder / TRUTH) as stored:
            return {name: stored[name] for name in stored.files}

    @property
    def labels(self) -> np.ndarray:
        """Labels ``(n, L)`` float32 in the recipe's order, NaN where unknown."""
        return self._truth["labels"]

    @property
    def mask_known(self) -> np.ndarray:
        """Which slices have a mask that can be trusted, ``(n,)`` bool."""
        return self._truth["mask_known"]

    @property
    def exam(self) -> np.ndarray:
        """Labels of the whole exam ``(k,)`` float32, NaN where unknown."""
        return self._truth["exam"]

    @property
    def keys(self) -> np.ndarray:
        """Names of the slices ``(n,)``, for tables."""
        return self._truth["keys"]

    @property
    def positive(self) -> np.ndarray:
        """Which slices show what the task is about, ``(n,)`` bool: by the first label, else by the mask."""
        return self._truth["positive"].astype(bool)

    @property
    def count(self) -> int:
        """How many slices."""
        return len(self.labels)

    @classmethod
    def write(cls, arrays: Arrays, folder: Path) -> None:
        """Write what `arrays.prepared_arrays` gives to where an item is kept, whole or not at all."""
        rest: dict[str, Any] = dict(arrays)
        # Pictures lie in files of their own, to be mapped.
        with replace_when_written(folder) as partial:
            partial.mkdir()
            np.save(partial / IMAGES, rest.pop("images"))
            np.save(partial / MASKS, rest.pop("masks"))
            np.savez(partial / TRUTH, **rest)

    def images(self, part: slice = slice(None)) -> np.ndarray:
        """Return some pictures ``(n, y, x)`` as bytes."""
        return np.load(self.folder / IMAGES, mmap_mode="r")[part]

    def pictures(self, part: slice, settings: BaseModel) -> np.ndarray:
        """Return some pictures as the network of those settings sees them: ``(n, channels, y, x)`` bytes."""
        wide, places = with_neighbors(part, self.count, getattr(settings, "reach", 0))
        return as_channels(self.images(wide), places, getattr(settings, "channels", 1))

    def masks(self, part: slice = slice(None)) -> np.ndarray:
        """Return their masks, 0/1 as bytes."""
        return np.load(self.folder / MASKS, mmap_mode="r")[part]
