"""Programs of models that may not end, in a process of their own with an end to its time and memory.

What a file computes cannot be told from its code where that holds a loop whose turns are computed. Such a file is run
here; one without runs in this process, at no cost. This module is the side that asks; `bounded_process` computes.
"""

import io
import json
import struct
import subprocess
import sys
import weakref
from collections.abc import Sequence
from pathlib import Path
from queue import Empty, SimpleQueue
from threading import Thread
from typing import IO, Any, Protocol

import numpy as np

from AcuteFindingsLib.budgets import budgets
from AcuteFindingsLib.errors import ModelError
from AcuteFindingsLib.last_resort import killed
from AcuteFindingsLib.study.notice import Notice


class Run(Protocol):
    """A program, with `runtime`, `device` and `notices` as `Predictor` has them."""

    @property
    def runtime(self) -> str: ...  # noqa: D102

    @property
    def device(self) -> str: ...  # noqa: D102

    @property
    def notices(self) -> tuple[Notice, ...]: ...  # noqa: D102

    def __call__(self, batch: np.ndarray) -> dict[str, np.ndarray]:
        """Return the outputs of a batch by name, in their order."""
        ...


_LIBRARY = Path(__file__).resolve().parents[3]
_COMPUTING = "AcuteFindingsLib.models.runtime.bounded_process"
# The process that computes ends itself so long after it should have been ended.
_GRACE_S = 5.0
# PyTorch from a slow disk; nothing of the file is run before.
_START_S = 120.0


def load_bounded(kind: str, path: Path, *, device: str) -> Run:
    """Load a program into a process of its own.

    Parameters
    ----------
    kind
        ``"torchscript"`` or ``"onnx"``.
    path
        The file, checked already.
    device
        Where it computes.

    Raises
    ------
    ModelError
        It cannot be loaded, or takes longer than `Budgets.program_seconds` or more memory than
        `Budgets.program_bytes`; what is returned raises the same for a batch.
    """
    return _Bounded(kind, path, device)


class _Bounded:
    """The side that asks. After a program was ended once it is not started again."""

    def __init__(self, kind: str, path: Path, device: str) -> None:
        self._path, self._seconds = path, budgets().program_seconds
        self.runtime, self.device = "", device
        self.notices: tuple[Notice, ...] = ()
        settings = {
            "kind": kind,
            "path": str(path.resolve()),
            "device": device,
            "seconds": self._seconds + _GRACE_S,
            "bytes": budgets().program_bytes,
        }
        self._process = subprocess.Popen(
            [sys.executable, "-m", _COMPUTING, json.dumps(settings)],
            cwd=_LIBRARY,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
        # Also where this object is dropped; where this process dies, the other one sees the end of its input.
        weakref.finalize(self, _end, self._process)
        self._answers: SimpleQueue[tuple[dict[str, Any], list[np.ndarray]] | None] = SimpleQueue()
        self._ended = ""
        Thread(target=_listen, args=(self._process.stdout, self._answers), daemon=True).start()
        self._answer("to start", _START_S)
        self._answer("to load", self._seconds)

    def __call__(self, batch: np.ndarray) -> dict[str, np.ndarray]:
        if self._ended:
            raise ModelError(self._ended)
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(pack({}, [batch]))
            self._process.stdin.flush()
        except OSError:
            pass  # It has ended; `_answer` says how.
        told, values = self._answer("for one batch", self._seconds)
        return dict(zip(told["names"], values, strict=True))

    def _answer(self, what: str, seconds: float) -> tuple[dict[str, Any], list[np.ndarray]]:
        try:
            answer = self._answers.get(timeout=seconds)
        except Empty:
            _end(self._process)
            self._ended = (
                f"{self._path.name} was stopped: its program took more than {seconds:.0f} s {what} and may never "
                "end. Do not use this model."
            )
            raise ModelError(self._ended) from None
        except BaseException:
            # Interrupted: an answer that comes later is not the answer to a later question.
            _end(self._process)
            self._ended = f"{self._path.name} was stopped on request; load it again."
            raise
        if answer is None:
            status = self._process.wait()
            why = killed(status) or "Its file may be damaged, or it asks for more memory than there is."
            self._ended = f"The program of {self._path.name} ended unexpectedly (status {status}). {why}"
            raise ModelError(self._ended)
        if "error" in answer[0]:
            raise ModelError(str(answer[0]["error"]))
        if "runtime" in answer[0]:
            self.runtime, self.device = answer[0]["runtime"], answer[0]["device"]
            self.notices = tuple(Notice(**notice) for notice in answer[0]["notices"])
        return answer


def _end(process: subprocess.Popen[bytes]) -> None:
    process.kill()
    process.wait()


def _listen(stream: IO[bytes], answers: "SimpleQueue[tuple[dict[str, Any], list[np.ndarray]] | None]") -> None:
    while (message := unpack(stream)) is not None:
        answers.put(message)
    answers.put(None)


def pack(told: dict[str, Any], values: Sequence[np.ndarray]) -> bytes:
    """Return one message: two lengths, JSON, and arrays as NumPy writes them."""
    text, arrays = json.dumps(told).encode(), io.BytesIO()
    np.savez(arrays, *values)
    return struct.pack(">QQ", len(text), arrays.tell()) + text + arrays.getbuffer()


def unpack(stream: IO[bytes]) -> tuple[dict[str, Any], list[np.ndarray]] | None:
    """Return the next message, None where the stream ends."""
    head = stream.read(16)
    if len(head) < 16:
        return None
    text, arrays = (stream.read(length) for length in struct.unpack(">QQ", head))
    try:
        with np.load(io.BytesIO(arrays), allow_pickle=False) as file:
            return json.loads(text), [file[f"arr_{number}"] for number in range(len(file.files))]
    except (ValueError, OSError, EOFError):
        return None  # Cut off as the other side ended.
