"""Preprocessed arrays, made once and kept on disk under a key of everything that shapes them."""

import ast
import hashlib
import importlib
import importlib.metadata
import importlib.util
import inspect
import json
import sys
import zipfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import fields, is_dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from torch.utils.data import DataLoader, Dataset

from AcuteFindingsLib.errors import DataError
from AcuteFindingsLib.files import replace_when_written
from AcuteFindingsLib.study.dicom_files import Progress
from AcuteFindingsLib.training.data.table import Example

Arrays = Mapping[str, np.ndarray]
Make = Callable[..., Arrays]

# What turns files into pixels: another version may decode or resample otherwise.
LIBRARIES = ("numpy", "scipy", "scikit-image", "SimpleITK", "pydicom", "pillow", "torch", "monai")
_OWN = "AcuteFindingsLib"
_SUFFIX = ".npz"


class ArrayCache:
    """Makes arrays from examples once and reads them from disk ever after.

    The name of a file holds a digest of the function's code and that of all modules of this library it reaches, its
    options, the versions of the libraries that decode and resample, the example itself and size and time (or content)
    of its files. Whatever of these changes, the array is made anew: a stale one is never found.

    Parameters
    ----------
    folder
        Where arrays are kept; made where it is missing.
    make
        A function of a module, ``make(examples, **options)``, that returns named arrays for the examples of one item:
        one image, or the slices of a series.
    options
        Keyword arguments: numbers, texts, lists, mappings, dataclasses.
    sources
        Further files that shape the result (network weights, for example).
    by_content
        Take the content of the image files into the key instead of their size and time: slower, and right also where
        times cannot be relied on.
    """

    def __init__(
        self,
        folder: Path,
        make: Make,
        *,
        options: Mapping[str, Any] | None = None,
        sources: Sequence[Path] = (),
        by_content: bool = False,
    ) -> None:
        if "<locals>" in make.__qualname__ or make.__name__ == "<lambda>":
            raise DataError(
                f"{make.__qualname__} is no function of a module: its code cannot be taken into the cache's key."
            )
        self.folder, self.make, self.options = Path(folder), make, dict(options or {})
        self.sources, self.by_content = tuple(sources), by_content

    @cached_property
    def recipe(self) -> str:
        """Digest of what shapes every array: code, options, further files, library versions."""
        digest = hashlib.sha256(f"{self.make.__module__}.{self.make.__qualname__}\n".encode())
        add_code(digest, self.make)
        for path in self.sources:
            digest.update(path.read_bytes())
        versions = {name: _version(name) for name in LIBRARIES}
        digest.update(json.dumps([_plain(self.options), versions], sort_keys=True).encode())
        return digest.hexdigest()[:16]

    def path(self, item: Sequence[Example]) -> Path:
        """Return where the arrays of an item are kept, whether they are there or not."""
        digest = hashlib.sha256(json.dumps([_plain(one) for one in item], sort_keys=True).encode())
        for file in sorted(_files(item)):
            digest.update(self._content(file).encode())
        return self.folder / f"{self.make.__name__}-{self.recipe}" / f"{digest.hexdigest()[:32]}{_SUFFIX}"

    def get(self, item: Sequence[Example]) -> dict[str, np.ndarray]:
        """Return the arrays of an item: read where they are kept, else made and kept."""
        path = self.path(item)
        if path.is_file():
            try:
                with np.load(path) as stored:
                    return {name: stored[name] for name in stored.files}
            except (OSError, ValueError, EOFError, KeyError, zipfile.BadZipFile):
                # Cut short by a full disk or a crash of the machine: what was to be kept is made again.
                path.unlink(missing_ok=True)
        arrays = dict(self.make(item, **self.options))
        with replace_when_written(path) as partial, partial.open("wb") as stream:
            np.savez(stream, **arrays)  # type: ignore[arg-type]
        return arrays

    def _content(self, file: Path) -> str:
        if self.by_content:
            with file.open("rb") as stream:
                return hashlib.file_digest(stream, "sha256").hexdigest()
        status = file.stat()
        return f"{file}-{status.st_size}-{status.st_mtime_ns}"

    def fill(
        self, items: Iterable[Sequence[Example]], *, workers: int = 0, progress: Progress | None = None
    ) -> "CachedItems":
        """Make what is missing, in worker processes where asked, and return all items as a data set."""
        listed = CachedItems(self, tuple(items))
        loader: DataLoader[Any] = prefetch(listed, workers=workers, batch_size=None)
        for number, _ in enumerate(loader, 1):
            if progress is not None:
                progress(f"Preparing images: {number} of {len(listed)}", number / len(listed))
        return listed


class CachedItems(Dataset[dict[str, np.ndarray]]):
    """Items of a cache as a torch data set: their arrays, made when they are first asked for."""

    def __init__(self, cache: ArrayCache, items: Sequence[Sequence[Example]]) -> None:
        self.cache, self.items = cache, tuple(items)

    def __len__(self) -> int:
        """How many items there are."""
        return len(self.items)

    def __getitem__(self, index: int) -> dict[str, np.ndarray]:
        """Return the arrays of one item."""
        return self.cache.get(self.items[index])


def prefetch(dataset: Dataset[Any], *, workers: int, **options: Any) -> DataLoader[Any]:
    """Return a DataLoader whose workers prepare batches ahead of the training; `options` are DataLoader's own.

    Workers are started fresh, not forked: a fork of a process with running threads can hang.
    """
    if workers:
        options = {
            "multiprocessing_context": "spawn",
            "prefetch_factor": 4,
            "persistent_workers": True,
            **options,
        }
    if options.get("batch_size", 1) is None:
        options.setdefault("collate_fn", _as_is)
    return DataLoader(dataset, num_workers=workers, **options)


def code_behind(function: Callable[..., Any]) -> list[Path]:
    """Return the source files that a function's result depends on: its module and all of this library it imports.

    Found by walking through what the modules import, so that nobody has to keep a list.
    """
    todo, seen = [function.__module__], dict[str, Path]()
    while todo:
        name = todo.pop()
        if name in seen:
            continue
        module = sys.modules.get(name) or importlib.import_module(name)
        source = inspect.getsourcefile(module)
        if source is None:
            continue
        seen[name] = Path(source)
        todo += [used for used in _imported(Path(source)) if used.startswith(f"{_OWN}.")]
    return [seen[name] for name in sorted(seen)]


def add_code(digest: "hashlib._Hash", function: Callable[..., Any]) -> None:
    """Let a digest depend on all the code that a function's result depends on."""
    for path in code_behind(function):
        digest.update(path.read_bytes())


def _imported(path: Path) -> set[str]:
    """Return the modules that a file imports anywhere in it, as far as they exist."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            found.add(node.module)
            if node.module.startswith(_OWN):
                found.update(name for alias in node.names if _exists(name := f"{node.module}.{alias.name}"))
    return found


def _exists(name: str) -> bool:
    try:
        return importlib.util.find_spec(name) is not None
    except ModuleNotFoundError:
        return False


def _version(name: str) -> str:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return ""


def _files(item: Sequence[Example]) -> set[Path]:
    images = {one.source for one in item if one.source is not None}
    masks = {mask.path for one in item for mask in one.masks.values() if mask.path is not None}
    return images | masks


def _as_is(item: Any) -> Any:
    return item


def _plain(value: Any) -> Any:
    """Return a value as JSON knows it; refuses what has no fixed text."""
    if is_dataclass(value) and not isinstance(value, type):
        return [type(value).__name__, {one.name: _plain(getattr(value, one.name)) for one in fields(value)}]
    if isinstance(value, Mapping):
        return {str(name): _plain(one) for name, one in sorted(value.items(), key=lambda pair: str(pair[0]))}
    if isinstance(value, (list, tuple)):
        return [_plain(one) for one in value]
    if isinstance(value, np.ndarray):
        return [value.dtype.str, value.shape, hashlib.sha256(np.ascontiguousarray(value).tobytes()).hexdigest()]
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, Path):
        return str(value)
    if value is None or isinstance(value, (bool, int, str)):
        return value
    if isinstance(value, float):
        return repr(value)
    if hasattr(value, "model_dump"):
        return [type(value).__name__, _plain(value.model_dump())]
    raise DataError(f"An option of type {type(value).__name__} cannot be taken into the cache's key.")
