"""Programs of models that may not end, in a process of their own with an end to its time and memory.

What a file computes cannot be told from its code where that holds a loop whose turns are computed. Such a file is run
here; one without runs in this process, at no cost. This module is both sides: `load_bounded` for the one that asks, and
``python -m AcuteFindingsLib.models.bounded_program`` for the one that computes.
"""

import faulthandler
import importlib
import io
import json
import os
import signal
import struct
import subprocess
import sys
import weakref
from collections.abc import Callable, Sequence
from pathlib import Path
from queue import Empty, SimpleQueue
from threading import Thread
from typing import IO, Any

import numpy as np

from AcuteFindingsLib.budgets import budgets
from AcuteFindingsLib.errors import ModelError
from AcuteFindingsLib.last_resort import killed, out_of_memory

Run = Callable[[np.ndarray], dict[str, np.ndarray]]
"""A program: from a batch to its outputs by name, in their order."""

_LIBRARY = Path(__file__).resolve().parents[2]
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
        settings = {
            "kind": kind,
            "path": str(path.resolve()),
            "device": device,
            "seconds": self._seconds + _GRACE_S,
            "bytes": budgets().program_bytes,
        }
        self._process = subprocess.Popen(
            [sys.executable, "-m", __name__, json.dumps(settings)],
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
            self._process.stdin.write(_pack({}, [batch]))
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
        return answer


def _end(process: subprocess.Popen[bytes]) -> None:
    process.kill()
    process.wait()


def _listen(stream: IO[bytes], answers: "SimpleQueue[tuple[dict[str, Any], list[np.ndarray]] | None]") -> None:
    while (message := _read(stream)) is not None:
        answers.put(message)
    answers.put(None)


def _pack(told: dict[str, Any], values: Sequence[np.ndarray]) -> bytes:
    """Return one message: two lengths, JSON, and arrays as NumPy writes them."""
    text, arrays = json.dumps(told).encode(), io.BytesIO()
    np.savez(arrays, *values)
    return struct.pack(">QQ", len(text), arrays.tell()) + text + arrays.getbuffer()


def _read(stream: IO[bytes]) -> tuple[dict[str, Any], list[np.ndarray]] | None:
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


def main() -> None:
    """Load the program that the first argument names, then answer one batch after the other until the input ends."""
    settings = json.loads(sys.argv[1])
    # The one that asks is stopped by the keyboard, and ends this one.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    requests, answers = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    with open(os.devnull, "r+b") as nothing:  # noqa: PTH123
        # What the program prints is not for anybody.
        os.dup2(nothing.fileno(), 0)
        os.dup2(nothing.fileno(), 1)
    batches: SimpleQueue[np.ndarray] = SimpleQueue()
    Thread(target=_take, args=(requests, batches), daemon=True).start()
    if settings["kind"] == "onnx":
        from AcuteFindingsLib.models.onnx_program import open_onnx as load

        importlib.import_module("onnxruntime")
    else:
        from AcuteFindingsLib.models.torchscript_program import open_torchscript as load
    _limit_memory(settings)
    _send(answers, {})
    run = _guarded(answers, settings, lambda: load(Path(settings["path"]), device=settings["device"]))
    if run is None:
        return
    _send(answers, {})
    while True:
        batch = batches.get()
        outputs = _guarded(answers, settings, lambda: run(batch))  # noqa: B023
        if outputs is not None:
            _send(answers, {"names": list(outputs)}, list(outputs.values()))


def _take(stream: IO[bytes], batches: "SimpleQueue[np.ndarray]") -> None:
    while (message := _read(stream)) is not None:
        batches.put(message[1][0])
    # Nobody asks any more, whatever is being computed.
    os._exit(0)


def _guarded(answers: IO[bytes], settings: dict[str, Any], work: Callable[[], Any]) -> Any:
    """Return what `work` gives; None where it failed, which is then told. Ends this process when it takes too long."""
    # Does not wait for Python's lock, which a program may hold.
    faulthandler.dump_traceback_later(settings["seconds"], exit=True, file=2)
    try:
        return work()
    except Exception as error:
        name = Path(settings["path"]).name
        if out_of_memory(error):
            text = (
                f"The program of {name} asks for more memory than there is or than a model may take "
                f"({settings['bytes'] / 2**30:.0f} GB)."
            )
        else:
            text = str(error) if isinstance(error, ModelError) else f"{name} could not be run: {type(error).__name__}."
        _send(answers, {"error": text})
        return None
    finally:
        faulthandler.cancel_dump_traceback_later()


def _send(answers: IO[bytes], told: dict[str, Any], values: Sequence[np.ndarray] = ()) -> None:
    answers.write(_pack(told, values))
    answers.flush()


def _limit_memory(settings: dict[str, Any]) -> None:
    """Limit the memory of this process where the system can (Linux); a graphics card needs addresses without limit."""
    statm = Path("/proc/self/statm")
    if settings["device"] != "cpu" or not statm.exists():
        return
    import resource

    used = int(statm.read_text().split()[0]) * resource.getpagesize()
    hard = resource.getrlimit(resource.RLIMIT_AS)[1]
    limit = used + settings["bytes"]
    resource.setrlimit(resource.RLIMIT_AS, (limit if hard == resource.RLIM_INFINITY else min(limit, hard), hard))


if __name__ == "__main__":
    main()
