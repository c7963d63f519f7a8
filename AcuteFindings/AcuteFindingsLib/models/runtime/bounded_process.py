"""A program of a model computed apart: what ``python -m`` this module does for `bounded.load_bounded`."""

import faulthandler
import importlib
import json
import os
import signal
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from queue import SimpleQueue
from threading import Thread
from typing import IO, Any

import numpy as np

from AcuteFindingsLib.errors import ModelError
from AcuteFindingsLib.last_resort import out_of_memory
from AcuteFindingsLib.models.runtime.bounded import Run, pack, unpack


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
        from AcuteFindingsLib.models.runtime.onnx import open_onnx as load

        importlib.import_module("onnxruntime")
    else:
        from AcuteFindingsLib.models.runtime.torchscript import open_torchscript as load
    _limit_memory(settings)
    _send(answers, {})
    run = _guarded(answers, settings, lambda: load(Path(settings["path"]), device=settings["device"]))
    if run is None:
        return
    _send(answers, _where(run))
    while True:
        batch = batches.get()
        outputs = _guarded(answers, settings, lambda: run(batch))  # noqa: B023
        if outputs is not None:
            _send(answers, {"names": list(outputs), **_where(run)}, list(outputs.values()))


def _where(run: Run) -> dict[str, Any]:
    return {"runtime": run.runtime, "device": run.device, "notices": [asdict(notice) for notice in run.notices]}


def _take(stream: IO[bytes], batches: "SimpleQueue[np.ndarray]") -> None:
    while (message := unpack(stream)) is not None:
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
    answers.write(pack(told, values))
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
