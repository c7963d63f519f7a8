"""What takes long to make, kept on disk under a digest of everything that shapes it."""

import ast
import hashlib
import importlib
import importlib.metadata
import importlib.util
import inspect
import sys
from collections.abc import Callable, Mapping
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import BaseModel
from torch import Tensor

from AcuteFindingsLib.errors import DataError
from AcuteFindingsLib.files import ZIP_FAILS, replace_when_written

Arrays = Mapping[str, np.ndarray]

# What turns files into pixels: another version may decode or resample otherwise.
LIBRARIES = ("numpy", "scipy", "scikit-image", "SimpleITK", "pydicom", "pillow", "torch", "monai")
_OWN = "AcuteFindingsLib"


class DiskCache:
    """A folder of arrays, files and folders, each named by a digest of what it was made of.

    Whatever of that changes, or the version of a library that decodes and resamples, the thing is made anew: a stale
    one is never found.

    Parameters
    ----------
    folder
        Where things are kept; made where it is missing.
    made_of
        What shapes all of them, as `digest_of` takes it; functions of modules stand for all the code that they reach.
    """

    def __init__(self, folder: Path, *made_of: Any) -> None:
        self.folder = Path(folder)
        self.made_of = digest_of(*made_of, {name: _version(name) for name in LIBRARIES})

    def path(self, *key: Any, suffix: str = "") -> Path:
        """Return where the thing of a key is kept, whether it is there or not."""
        return self.folder / f"{digest_of(self.made_of, *key)}{suffix}"

    def arrays(self, *key: Any, make: Callable[[], Arrays]) -> dict[str, np.ndarray]:
        """Return the arrays of a key: read where they are kept, else made and kept."""
        path = self.path(*key, suffix=".npz")
        if path.is_file():
            try:
                with np.load(path) as stored:
                    return {name: stored[name] for name in stored.files}
            except (*ZIP_FAILS, KeyError):
                # Cut short by a full disk or a crash of the machine: what was to be kept is made again.
                path.unlink(missing_ok=True)
        arrays = dict(make())
        with replace_when_written(path) as partial, partial.open("wb") as stream:
            np.savez(stream, **arrays)  # type: ignore[arg-type]
        return arrays


def digest_of(*things: Any) -> str:
    """Return 32 hexadecimal digits that differ where anything about the things differs.

    Parameters
    ----------
    things
        Numbers, texts, arrays, tensors, mappings, lists, dataclasses, pydantic models. Of a path its text counts, and
        size and time of the file that lies there; of a function of a module, all code of this library that it reaches.

    Raises
    ------
    DataError
        For anything else, which has no fixed content.
    """
    digest = hashlib.sha256()
    _add(digest, things)
    return digest.hexdigest()[:32]


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


def _add(digest: "hashlib._Hash", thing: Any) -> None:
    """Feed a thing to a digest, its type first, so that things that read alike differ."""
    if isinstance(thing, np.generic):
        thing = thing.item()
    digest.update(f"{type(thing).__name__}:".encode())
    if isinstance(thing, Mapping):
        for key, value in sorted(thing.items(), key=lambda pair: str(pair[0])):
            _add(digest, (str(key), value))
    elif isinstance(thing, (list, tuple)):
        for one in thing:
            _add(digest, one)
    elif isinstance(thing, (Tensor, np.ndarray)):
        array = thing.detach().cpu().numpy() if isinstance(thing, Tensor) else thing
        digest.update(f"{array.dtype.str}{array.shape}".encode())
        digest.update(np.ascontiguousarray(array).tobytes())
    elif isinstance(thing, BaseModel):
        _add(digest, thing.model_dump())
    elif is_dataclass(thing) and not isinstance(thing, type):
        _add(digest, {one.name: getattr(thing, one.name) for one in fields(thing)})
    elif isinstance(thing, Path):
        status = thing.stat() if thing.is_file() else None
        digest.update(f"{thing}{(status.st_size, status.st_mtime_ns) if status else ''}".encode())
    elif inspect.isfunction(thing):
        if "<" in thing.__qualname__:
            raise DataError(f"{thing.__qualname__} is not a function of a module: its code cannot be in a cache's key.")
        digest.update(f"{thing.__module__}.{thing.__qualname__}".encode())
        for path in code_behind(thing):
            digest.update(path.read_bytes())
    elif thing is None or isinstance(thing, (bool, int, float, str)):
        digest.update(repr(thing).encode())
    else:
        raise DataError(f"A value of type {type(thing).__name__} cannot be in a cache's key.")
    digest.update(b";")


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
