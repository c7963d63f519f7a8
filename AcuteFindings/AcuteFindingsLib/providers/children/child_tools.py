"""What the programs in this folder share: a request from a file, progress and errors as JSON lines, a result file.

FOLDER holds ``request.json``; ``result.json`` is written there last. On stdout go JSON lines alone,
``{"text", "share"}`` or, before exit status 1, ``{"error"}``; whatever a package prints goes to stderr.
"""

import codecs
import contextlib
import hashlib
import json
import os
import pickle
import sys
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any


class ChildError(Exception):
    """What went wrong, in one sentence for a person."""


class Telling:
    """Says what is being done."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream

    def __call__(self, text: str, share: float) -> None:
        """Say what is being done and the share of the whole that is done, 0..1."""
        self._line({"text": text, "share": round(float(share), 4)})

    def error(self, text: str) -> None:
        """Say why the program ends."""
        self._line({"error": text})

    def _line(self, message: dict[str, Any]) -> None:
        print(json.dumps(message), file=self._stream, flush=True)


def serve(work: Callable[[dict[str, Any], Path, Telling], dict[str, Any]]) -> int:
    """Do what the request in the folder on the command line asks; return the exit status."""
    tell = Telling(os.fdopen(os.dup(1), "w", encoding="utf-8"))
    os.dup2(2, 1)
    folder = Path(sys.argv[1])
    try:
        result = work(json.loads((folder / "request.json").read_text(encoding="utf-8")), folder, tell)
        partial = folder / "result.partial.json"
        partial.write_text(json.dumps(result), encoding="utf-8")
        partial.replace(folder / "result.json")
    except ChildError as error:
        tell.error(str(error))
        return 1
    except ModuleNotFoundError as error:
        traceback.print_exc()
        tell.error(f"The Python package {error.name!r} is missing or damaged.")
        return 1
    # A package may end the process (SystemExit) as well as raise anything.
    except (Exception, SystemExit) as error:
        traceback.print_exc()
        tell.error(f"The package stopped with {type(error).__name__}: {error}")
        return 1
    return 0


def time_left(seconds: float, done: int, count: int) -> str:
    """Return how long the rest will take as a part of a sentence, ``", about 3 min left"``; empty below ten seconds."""
    left = seconds / max(done, 1) * (count - done)
    if left < 10:
        return ""
    return f", about {left:.0f} s left" if left < 100 else f", about {left / 60:.0f} min left"


def require_memory(needed: float, *, what: str) -> None:
    """Refuse a run that would end for want of memory, after minutes and without a word.

    Parameters
    ----------
    needed
        Bytes.
    what
        What takes them: ``"nnU-Net"``.

    Raises
    ------
    ChildError
        Less is free; not where the system does not say how much is (it is asked on Linux alone).
    """
    free = free_memory()
    if free is not None and needed > free:
        raise ChildError(
            f"{what} needs about {needed / 1e9:.1f} GB of memory for this study, and {free / 1e9:.1f} GB are free: "
            "close other programs, or give it a series of fewer or thicker slices."
        )


def free_memory(system: Path = Path("/proc/meminfo"), group: Path = Path("/sys/fs/cgroup")) -> int | None:
    """Return the bytes that are free, within a container's share; None where the system does not say."""
    try:
        lines = dict(line.split(":", 1) for line in system.read_text(encoding="utf-8").splitlines() if ":" in line)
        free = int(lines["MemAvailable"].split()[0]) * 1024
    except (OSError, KeyError, ValueError):
        return None
    try:
        most = int((group / "memory.max").read_text(encoding="utf-8"))
        used = int((group / "memory.current").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        # No container, or one without a limit ("max").
        return free
    return min(free, max(0, most - used))


def file_sha256(path: Path) -> str:
    """Return the SHA-256 of a file in hexadecimal."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


@contextlib.contextmanager
def nothing_executed() -> Iterator[None]:
    """Let `torch.load` read tensors, plain values and NumPy scalars only, whatever the package asks for.

    nnU-Net opens its checkpoints as pickles that may run code. What its checkpoints hold beside tensors are NumPy
    scalars of the training log (https://github.com/MIC-DKFZ/nnUNet/pull/2683).

    Raises
    ------
    ChildError
        From `torch.load`, where a file asks for more.
    """
    import numpy as np
    import torch

    scalar = np.float64(0).__reduce__()[0]
    types = [getattr(np.dtypes, name) for name in dir(np.dtypes) if name.endswith("DType")]
    allowed = [np.dtype, np.ndarray, codecs.encode, *types]
    allowed += [(scalar, f"numpy.{core}.multiarray.scalar") for core in ("core", "_core")]
    original = torch.load

    def load(file: Any, *arguments: Any, **named: Any) -> Any:
        try:
            with torch.serialization.safe_globals(allowed):
                return original(file, *arguments, **{**named, "weights_only": True})
        except pickle.UnpicklingError as error:
            name = file if isinstance(file, str | os.PathLike) else getattr(file, "name", "a weights file")
            reason = next((line.strip() for line in str(error).splitlines() if "GLOBAL" in line), str(error))
            raise ChildError(
                f"{name} holds more than weights, and opening it would run code ({reason[:200]}); "
                "delete the file, so that it is fetched again, or report it to the package's authors."
            ) from error

    torch.load = load  # type: ignore[assignment]
    try:
        yield
    finally:
        torch.load = original
