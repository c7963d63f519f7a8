"""Parts of a long training, kept on disk so that a run that was stopped goes on where it was."""

import hashlib
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from AcuteFindingsLib.files import replace_when_written
from AcuteFindingsLib.training.phantom_sets import Arrays


class Remembered:
    """Arrays by what they were made of.

    Parameters
    ----------
    folder
        Where they are kept; None keeps none.
    made_of
        What shapes all of them: text (source too), arrays, tensors by name. Anything else there gives another digest,
        so what was made of it is not used.
    """

    def __init__(self, folder: Path | None, *made_of: Any) -> None:
        self.folder, self.made_of = folder, made_of

    def part(self, name: str, make: Callable[[], Arrays]) -> Arrays:
        """Return ``make()``, or what it gave when this part was last made of the same."""
        if self.folder is None:
            return make()
        path = self.folder / f"{name}-{digest_of([*self.made_of, name])}.npz"
        if not path.is_file():
            self.folder.mkdir(parents=True, exist_ok=True)
            arrays: dict[str, Any] = make()
            with replace_when_written(path) as partial, partial.open("wb") as stream:
                np.savez(stream, **arrays)
        with np.load(path) as stored:
            return {key: stored[key] for key in stored.files}


def digest_of(things: Iterable[Any]) -> str:
    """Return 16 hexadecimal digits that differ where text, numbers, arrays or tensors differ."""
    digest = hashlib.sha256()
    for thing in things:
        _add(digest, thing)
    return digest.hexdigest()[:16]


def _add(digest: Any, thing: Any) -> None:
    if isinstance(thing, Mapping):
        for key in sorted(thing):
            digest.update(f"{key}=".encode())
            _add(digest, thing[key])
    elif isinstance(thing, Tensor | np.ndarray):
        array = thing.detach().cpu().numpy() if isinstance(thing, Tensor) else thing
        digest.update(f"{array.dtype}{array.shape}".encode())
        digest.update(np.ascontiguousarray(array).tobytes())
    else:
        digest.update(f"{thing!r};".encode())
