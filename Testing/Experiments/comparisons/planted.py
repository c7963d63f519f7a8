"""Radiograph phantoms whose chest drains go with the pneumothorax, or not."""

import hashlib
import json
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from functools import partial
from multiprocessing import get_context
from pathlib import Path

import numpy as np

from AcuteFindingsLib.phantoms import Phantom, make_phantom
from AcuteFindingsLib.phantoms.chest_xray import make_chest_xray
from AcuteFindingsLib.phantoms.write_dicom import write_phantom
from AcuteFindingsLib.training.data.cache import code_behind

# Keeps these draws apart from those of the phantoms themselves.
_STREAM = 0xD2A1
_POSITIVE_SHARE = 0.5


@dataclass(frozen=True)
class Drains:
    """Share of the pictures with, and without, a pneumothorax that show a chest drain."""

    with_pneumothorax: float
    without: float


PLANTED = Drains(0.95, 0.03)
BY_CHANCE = Drains(0.5, 0.5)


def drawn(seed: int, drains: Drains) -> tuple[bool, bool]:
    """Return whether a phantom has a pneumothorax, which depends on `seed` alone, and whether it has a drain."""
    generator = np.random.default_rng([_STREAM, seed])
    positive = bool(generator.random() < _POSITIVE_SHARE)
    return positive, bool(generator.random() < (drains.with_pneumothorax if positive else drains.without))


def planted_phantom(seed: int, drains: Drains, *, size: int) -> Phantom:
    """Make one phantom; no tube but the drain is in."""
    positive, drain = drawn(seed, drains)
    return make_phantom("chest-xray", seed, positive=positive, tubes=("chest_drain",) if drain else (), size=size)


def planted_folder(work: Path, seeds: Sequence[int], drains: Drains, *, size: int, workers: int) -> Path:
    """Return a folder with the phantoms of all seeds, as `acutefindings phantom` writes them, making those missing."""
    digest = hashlib.sha256(json.dumps([asdict(drains), size, seeds[0], len(seeds)]).encode())
    for file in code_behind(make_chest_xray):
        digest.update(file.read_bytes())
    folder = work / "phantoms" / f"planted-{digest.hexdigest()[:16]}"
    folder.mkdir(parents=True, exist_ok=True)
    missing = [seed for seed in seeds if not (folder / f"chest-xray-{seed:04d}" / "truth").is_dir()]
    write = partial(_write, folder, drains, size)
    if workers <= 1:
        for seed in missing:
            write(seed)
    else:
        with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
            list(pool.map(write, missing, chunksize=4))
    return folder


def _write(folder: Path, drains: Drains, size: int, seed: int) -> None:
    write_phantom(planted_phantom(seed, drains, size=size), folder)
