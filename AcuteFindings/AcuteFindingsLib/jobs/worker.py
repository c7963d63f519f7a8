"""The worker process: keeps models in memory and does one job after another, so that the application stays alive.

Started as ``python -m AcuteFindingsLib.jobs.worker``; see `jobs.messages` for what it reads and writes, and
`jobs.worker_jobs` for what it can do. It ends when its input ends.
"""

import faulthandler
import os
import signal
import sys
from collections.abc import Callable, Mapping
from queue import SimpleQueue
from threading import Event, Thread
from typing import IO, Any

from AcuteFindingsLib import __version__
from AcuteFindingsLib.errors import CancelledError, StudyRefusedError
from AcuteFindingsLib.jobs.messages import Answers, Cancel, MessageError, Request, lines_of, read_message
from AcuteFindingsLib.jobs.tools import Tools, WarmModels
from AcuteFindingsLib.jobs.worker_jobs import JOBS
from AcuteFindingsLib.last_resort import expected, out_of_memory, sentence, where_logged, write_log
from AcuteFindingsLib.packages import torch_missing

GRACE_S = 3.0
"""How long a job may take to stop once nobody listens any more."""

# The application draws while this process computes, often on the same few cores.
_NICENESS = 2


def main(jobs: Mapping[str, Callable[[Request, Tools], dict[str, Any]]] = JOBS) -> int:
    """Serve until the input ends; return the exit status.

    Parameters
    ----------
    jobs
        What it can be asked to do; a layer above adds its own.
    """
    faulthandler.enable()
    # Ctrl+C in the terminal that the application was started from is the application's business.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if hasattr(os, "nice"):
        os.nice(_NICENESS)
    requests, answers = _take_over_streams()
    worker = Worker(answers, jobs)
    Thread(target=worker.listen, args=(requests,), name="requests", daemon=True).start()
    try:
        answers.ready(__version__)
        worker.serve()
    except OSError:
        # Nobody reads the answers any more.
        return 1
    except Exception as error:  # a fault of the worker itself; the application shows what stands on stderr
        print(f"{sentence(error)} {where_logged(write_log(error, doing='worker'))}", file=sys.stderr)
        return 2
    return 0


class Worker:
    """Runs requests in the order they came while another thread listens for more, and for cancels."""

    def __init__(self, answers: Answers, jobs: Mapping[str, Callable[[Request, Tools], dict[str, Any]]] = JOBS) -> None:
        self._answers = answers
        self._jobs = jobs
        self._models = WarmModels()
        self._requests: SimpleQueue[Request | None] = SimpleQueue()
        self._cancelled: set[int | str] = set()
        self._closing = Event()
        self._over = Event()

    def listen(self, stream: IO[bytes]) -> None:
        """Take messages until the stream ends; then stop what runs, and the process where that takes too long."""
        try:
            for line in lines_of(stream):
                self._take(line)
        finally:
            self._closing.set()
            self._requests.put(None)
            if not self._over.wait(GRACE_S):
                os._exit(1)

    def serve(self) -> None:
        """Do what is asked for, one request at a time, until `listen` has ended."""
        try:
            while (request := self._requests.get()) is not None and not self._closing.is_set():
                self._answer(request)
                self._cancelled.discard(request.id)
        finally:
            self._over.set()

    def _take(self, line: bytes) -> None:
        try:
            message = read_message(line)
        except MessageError as error:
            self._answers.failed(None, str(error), MessageError.__name__)
            return
        if isinstance(message, Cancel):
            self._cancelled.add(message.id)
        else:
            self._cancelled.discard(message.id)
            self._requests.put(message)

    def _answer(self, request: Request) -> None:
        def cancelled() -> bool:
            return self._closing.is_set() or request.id in self._cancelled

        tools = Tools(self._answers.progress(request.id), cancelled, self._models)
        try:
            if cancelled():
                raise CancelledError
            job = self._jobs.get(request.do)
            if job is None:
                raise MessageError(f"The worker cannot {request.do!r}; it can {', '.join(self._jobs)}.")
            self._answers.done(request.id, job(request, tools))
        except CancelledError:
            self._answers.cancelled(request.id)
        # Whatever goes wrong in a job, the next one must find the worker alive.
        except (Exception, SystemExit) as error:
            self._tell(request.id, error)

    def _tell(self, number: int | str, error: BaseException) -> None:
        # The panel asks whether to install it.
        error = torch_missing(error) or error
        if out_of_memory(error):
            self._models.clear()
        text = sentence(error)
        if not expected(error):
            text = f"{text} {where_logged(write_log(error, doing='worker'))}"
        more = {"notices": [vars(notice) for notice in error.notices]} if isinstance(error, StudyRefusedError) else {}
        self._answers.failed(number, text, type(error).__name__, **more)


def _take_over_streams() -> tuple[IO[bytes], Answers]:
    """Return the pipes to the application; what libraries print goes to stderr, and they find nothing to read."""
    requests, answers = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    sys.stdout.flush()
    os.dup2(2, 1)
    sys.stdout = sys.stderr
    return requests, Answers(answers)


if __name__ == "__main__":
    sys.exit(main())
