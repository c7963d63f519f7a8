"""Workers on this computer: one process each, which loads every network once; the cores are divided among them."""

import multiprocessing
import os
import signal
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnContext, SpawnProcess
from typing import Any

from AcuteFindingsLib.progress import Cancelled, stop_if
from AcuteFindingsLib.threads import core_count, use_threads
from AcuteFindingsLib.worklist.engines.engine import (
    READER,
    Done,
    MakeReader,
    Told,
    answer_of,
    reader_of,
    tell_nobody,
)
from AcuteFindingsLib.worklist.engines.tries import Tries
from AcuteFindingsLib.worklist.exams import Exam
from AcuteFindingsLib.worklist.reading import ReadSettings

_LOOK_SECONDS, _SAY_SECONDS = 0.2, 0.2
_THREADS = ("OMP_NUM_THREADS", "ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS")


@dataclass
class _Worker:
    process: SpawnProcess
    pipe: Connection
    number: int | None = None


class LocalEngine:
    """See `engine.Engine`; with one worker too, the driver's own process reads nothing and stays small."""

    name = "local"

    def __init__(self, workers: int = 1, *, keep: bool = False) -> None:
        """Start nothing yet; with `keep` the workers stay from run to run, until `close`."""
        self.workers = max(1, workers)
        self._keep = keep
        self._kept: list[_Worker] = []
        self._kept_for: tuple[ReadSettings, MakeReader] | None = None

    def close(self) -> None:
        """End workers that were kept."""
        for worker in self._kept:
            _end(worker)
        self._kept = []

    def run(
        self,
        exams: Sequence[Exam],
        settings: ReadSettings,
        *,
        done: Done,
        cancelled: Cancelled,
        reader: MakeReader = READER,
        told: Told = tell_nobody,
    ) -> None:
        """See `engine.Engine.run`."""
        tries = Tries(exams, done)
        if self._kept_for != (settings, reader):
            self.close()
        workers, self._kept, self._kept_for = self._kept, [], (settings, reader)
        context = multiprocessing.get_context("spawn")
        try:
            with _shared_cores(self.workers):
                more = min(self.workers, len(exams)) - len(workers)
                workers += [_start(context, settings, reader) for _ in range(more)]
                while tries.left or any(worker.number is not None for worker in workers):
                    stop_if(cancelled)
                    for worker in workers:
                        if worker.number is None and (following := tries.next()) is not None:
                            worker.number, exam = following
                            with suppress(OSError):  # It is gone; that is seen below.
                                worker.pipe.send(exam)
                    ready = wait([worker.pipe for worker in workers], timeout=_LOOK_SECONDS)
                    for place, worker in enumerate(workers):
                        if worker.pipe not in ready:
                            continue
                        number = worker.number
                        try:
                            answer = worker.pipe.recv()
                            if isinstance(answer, Said):
                                if number is not None:
                                    told(exams[number], answer.text, answer.fraction)
                                continue
                            worker.number = None
                        except (EOFError, OSError):
                            worker.number = None
                            _end(worker)
                            workers[place] = _start(context, settings, reader)
                            if number is not None:
                                tries.lost(number)
                            continue
                        if number is not None:
                            tries.answered(number, answer)
            if self._keep:
                self._kept, workers = workers, []
        finally:
            for worker in workers:
                _end(worker)


def _start(context: SpawnContext, settings: ReadSettings, reader: MakeReader) -> _Worker:
    ours, theirs = context.Pipe()
    process = context.Process(target=_work, args=(theirs, settings, reader), daemon=True)
    with _no_script():
        process.start()
    theirs.close()
    return _Worker(process, ours)


def _end(worker: _Worker) -> None:
    worker.pipe.close()
    worker.process.kill()
    worker.process.join()


def _work(pipe: Connection, settings: ReadSettings, reader: MakeReader) -> None:
    """Read what comes until nobody asks any more."""
    # Ctrl+C goes to the whole group; the driver decides what becomes of it.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    reads = reader_of(reader, settings)
    while True:
        try:
            exam = pipe.recv()
        except (EOFError, OSError):
            return
        answer = answer_of(reads, exam, SaidProgress(pipe))
        with suppress(OSError):
            pipe.send(answer)


@dataclass(frozen=True)
class Said:
    """What a worker says over its pipe while it reads."""

    text: str
    fraction: float


class SaidProgress:
    """The progress of one examination over a worker's pipe: where the stage changes, else a few times a second."""

    def __init__(self, pipe: Connection) -> None:
        self._pipe = pipe
        self._text, self._next = "", 0.0

    def __call__(self, text: str, fraction: float) -> None:
        """See `progress.Progress`."""
        now = time.monotonic()
        if text == self._text and now < self._next:
            return
        self._text, self._next = text, now + _SAY_SECONDS
        with suppress(OSError):  # Nobody is there to hear; the reading ends by itself.
            self._pipe.send(Said(text, fraction))


@contextmanager
def _no_script() -> Iterator[None]:
    """Keep a process that starts in the block from running the script of this one: it may have no guard against it."""
    script = sys.modules["__main__"].__dict__
    kept: dict[str, Any] = {name: script[name] for name in ("__file__", "__spec__") if name in script}
    script["__spec__"] = None
    script.pop("__file__", None)
    try:
        yield
    finally:
        script.update(kept)


@contextmanager
def _shared_cores(workers: int) -> Iterator[None]:
    """Let processes that start in the block compute on their share of the cores, unless the user said how many."""
    if os.environ.get(_THREADS[0]):
        yield
        return
    before = {name: os.environ.get(name) for name in _THREADS}
    use_threads(max(1, core_count() // workers))
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
