"""Phantoms turned into the arrays a network trains on, made once and kept on disk."""

import hashlib
import json
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np

from AcuteFindingsLib.files import replace_when_written

Arrays = dict[str, np.ndarray]

# Seeds no two sets share; the demo's own sample lies beyond all of them.
TRAIN_SEED, TUNE_SEED, TEST_SEED = 0, 500_000, 800_000


def phantom_arrays(
    make: Callable[..., Arrays],
    seeds: Sequence[int],
    *,
    cache: Path,
    workers: int = 2,
    report: Callable[[str], None] = print,
    sources: Sequence[str],
    **options: Any,
) -> list[Arrays]:
    """Return ``make(seed, **options)`` for every seed, from `cache` where it is there already.

    The name of a cached file holds a digest of the function, its options, and the files that `sources` names (patterns
    below the library's folder), so an array made by older code is never used.
    """
    folder = cache / f"{make.__name__}-{_digest(make, options, sources)}"
    folder.mkdir(parents=True, exist_ok=True)
    missing = [seed for seed in seeds if not (folder / f"{seed}.npz").is_file()]
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        for number, _ in enumerate(pool.map(partial(_make_one, make, folder, options), missing, chunksize=4), 1):
            if number % 50 == 0 or number == len(missing):
                report(f"{make.__name__}: {number} of {len(missing)} made")
    return [_load(folder / f"{seed}.npz") for seed in seeds]


def _make_one(make: Callable[..., Arrays], folder: Path, options: dict[str, Any], seed: int) -> None:
    with replace_when_written(folder / f"{seed}.npz") as partial_file, partial_file.open("wb") as stream:
        arrays: dict[str, Any] = make(seed, **options)
        np.savez(stream, **arrays)


def _load(path: Path) -> Arrays:
    with np.load(path) as stored:
        return {name: stored[name] for name in stored.files}


def _digest(make: Callable[..., Arrays], options: dict[str, Any], sources: Sequence[str]) -> str:
    library = Path(__file__).resolve().parents[1]
    digest = hashlib.sha256(f"{make.__module__}.{make.__qualname__}{json.dumps(options, sort_keys=True)}".encode())
    shared = ("__init__", "as_study", "noise", "phantom")
    common = ("preprocessing/*.py", "training/first_arrays.py", *(f"phantoms/{name}.py" for name in shared))
    for pattern in (*common, *sources):
        for source in sorted(library.glob(pattern)):
            digest.update(source.read_bytes())
    return digest.hexdigest()[:16]
