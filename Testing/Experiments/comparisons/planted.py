"""Radiograph phantoms whose tracheostomy tubes go with the pneumothorax, or not."""

from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from multiprocessing import get_context
from pathlib import Path

import numpy as np

from AcuteFindingsLib.detectors.phantoms import make_phantom
from AcuteFindingsLib.phantoms.chest_xray.generate import make_chest_xray
from AcuteFindingsLib.phantoms.phantom import Phantom
from AcuteFindingsLib.phantoms.write_dicom import write_phantom
from AcuteFindingsLib.training.cache import DiskCache

# Keeps these draws apart from those of the phantoms themselves.
_STREAM = 0xD2A1
_POSITIVE_SHARE = 0.5
# Outside the lungs, always at the neck, and visible on few pixels; a chest drain is thin and half hidden in the lung.
TUBE = "tracheostomy"
# Larger ones are so easy that no model needs a shortcut.
_COLLAPSE = "apical"


@dataclass(frozen=True)
class Tubes:
    """Share of the pictures with, and without, a pneumothorax that show a tracheostomy tube."""

    with_pneumothorax: float
    without: float


PLANTED = Tubes(0.95, 0.03)
BY_CHANCE = Tubes(0.5, 0.5)


def drawn(seed: int, tubes: Tubes) -> tuple[bool, bool]:
    """Return whether a phantom has a pneumothorax, which depends on `seed` alone, and whether it has a tube."""
    generator = np.random.default_rng([_STREAM, seed])
    positive = bool(generator.random() < _POSITIVE_SHARE)
    return positive, bool(generator.random() < (tubes.with_pneumothorax if positive else tubes.without))


def planted_phantom(seed: int, tubes: Tubes, *, size: int) -> Phantom:
    """Make one phantom; no other tube is in, and a pneumothorax is a small apical one."""
    positive, tube = drawn(seed, tubes)
    kinds = (TUBE,) if tube else ()
    return make_phantom("chest-xray", seed, positive=positive, collapse=_COLLAPSE, tubes=kinds, size=size)


def planted_folder(work: Path, seeds: Sequence[int], tubes: Tubes, *, size: int, workers: int) -> Path:
    """Return a folder with the phantoms of all seeds, as `acutefindings phantom` writes them, making those missing."""
    kept = DiskCache(work / "phantoms", make_chest_xray, TUBE, _COLLAPSE)
    folder = kept.path(tubes, size, seeds[0], len(seeds))
    folder.mkdir(parents=True, exist_ok=True)
    missing = [seed for seed in seeds if not (folder / f"chest-xray-{seed:04d}" / "truth").is_dir()]
    write = partial(_write, folder, tubes, size)
    if workers <= 1:
        for seed in missing:
            write(seed)
    else:
        with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
            list(pool.map(write, missing, chunksize=4))
    return folder


def _write(folder: Path, tubes: Tubes, size: int, seed: int) -> None:
    write_phantom(planted_phantom(seed, tubes, size=size), folder)
