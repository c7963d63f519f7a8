"""The process that does the heavy work: started on demand, kept warm, spoken to in lines of JSON."""

import json
import os
import signal
import sys
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import qt
import slicer
from slicer.i18n import tr as _

from AcuteFindingsLib.progress import Progress
from AcuteFindingsLib.widgets.last_resort import guarded

PATIENCE_MS = 5000
"""How long a cancelled request may take to answer before the process is killed."""

THREADS_KEY = "AcuteFindings/Threads"
"""In the application's settings: how many threads the worker computes on; 0 for as many as cores."""

_LIBRARY = Path(__file__).resolve().parents[3]
# The path is given in the program text because Slicer's Python sets its own environment. It names its own number:
# `sys.executable` is a launcher on some systems, and killing a launcher leaves the worker running.
_PROGRAM = (
    "import json, os, sys; "
    "print(json.dumps({{'event': 'started', 'process': os.getpid()}}), flush=True); "
    "sys.path.insert(0, {path!r}); "
    "from AcuteFindingsLib.threads import use_threads; "
    "use_threads({threads}); "
    "from AcuteFindingsLib.serve.worker import main; "
    "sys.exit(main())"
)


def chosen_threads() -> int:
    """Return how many threads the user wants the worker to compute on; 0 for as many as cores."""
    try:
        return max(0, int(qt.QSettings().value(THREADS_KEY, 0) or 0))
    except (TypeError, ValueError):
        return 0


def _nothing(*_arguments: Any) -> None:
    """Called where the caller did not want to know."""


@dataclass
class _Request:
    line: bytes
    progress: Progress
    done: Callable[[dict[str, Any]], None]
    failed: Callable[[str, str], None]
    cancelled: Callable[[], None]
    what: str
    cancelling: bool = False


class WorkerProcess:
    """Runs requests one after another in a process of its own.

    All callbacks are called from the application's event loop, and for every request exactly one of `done`, `failed`
    and `cancelled`, unless `stop` came first.

    Parameters
    ----------
    program
        Text of the Python program to run; by default the library's worker.
    patience_ms
        How long a cancelled request may take to answer.
    """

    def __init__(self, *, program: str | None = None, patience_ms: int = PATIENCE_MS) -> None:
        self._program = program
        self._requests: dict[int, _Request] = {}
        self._last_id = 0
        self._rest = b""
        self._complaints: deque[str] = deque(maxlen=20)
        self._started = False
        self._process_id = 0
        self._process = qt.QProcess()
        self._process.connect("started()", self._on_started)
        self._process.connect("readyReadStandardOutput()", self._read)
        self._process.connect("readyReadStandardError()", self._read_complaints)
        self._process.connect("finished(int,QProcess::ExitStatus)", self._on_finished)
        self._process.connect("errorOccurred(QProcess::ProcessError)", self._on_error)
        self._patience = qt.QTimer()
        self._patience.setInterval(patience_ms)
        self._patience.setSingleShot(True)
        self._patience.connect("timeout()", self._lose_patience)

    @property
    def running(self) -> bool:
        """Whether the process is there."""
        return self._process.state() != qt.QProcess.NotRunning

    @property
    def busy(self) -> bool:
        """Whether a request waits for its answer."""
        return bool(self._requests)

    @property
    def process_id(self) -> int:
        """Number of the process that runs the requests; 0 before it has spoken."""
        return self._process_id

    def request(
        self,
        do: str,
        fields: dict[str, Any],
        *,
        progress: Progress | None = None,
        done: Callable[[dict[str, Any]], None] | None = None,
        failed: Callable[[str, str], None] | None = None,
        cancelled: Callable[[], None] | None = None,
        what: str = "",
    ) -> int:
        """Ask for a job; the process is started where it is not there.

        Parameters
        ----------
        do
            Name of the job, as `AcuteFindingsLib.jobs.worker` lists them.
        fields
            What the job needs; paths are sent as text.
        progress
            Called with what is being done and the share of the job that is done; before the job begins, with what it
            waits for.
        done
            Called with the job's result.
        failed
            Called with one sentence for a person, and the name of the error's class ("WorkerStopped" where the process
            ended instead of answering).
        cancelled
            Called when the job has stopped after `cancel`.
        what
            What those who wait for this job read: ``"the run of PE Detect"``.

        Returns
        -------
        int
            Number of the request, for `cancel`.
        """
        self._last_id += 1
        line = json.dumps({"id": self._last_id, "do": do, **fields}, default=str).encode() + b"\n"
        self._requests[self._last_id] = _Request(
            line, progress or _nothing, done or _nothing, failed or _nothing, cancelled or _nothing, what
        )
        self._send(line)
        self._tell_waiting([self._last_id])
        return self._last_id

    def cancel(self, number: int) -> None:
        """Ask a request to stop; where it does not within the worker's patience, the process is killed.

        A request that has not begun is taken back at once. One that has been answered is left alone.
        """
        request = self._requests.get(number)
        if request is None or request.cancelling:
            return
        request.cancelling = True
        waits = next(iter(self._requests)) != number
        if self.running:
            self._process.write(json.dumps({"cancel": number}).encode() + b"\n")
        if waits:
            del self._requests[number]
            request.cancelled()
        else:
            self._patience.start()

    def wait(self, milliseconds: int) -> None:
        """Block until the process says something, `milliseconds` at most: for callers without an event loop."""
        if self.running:
            self._process.waitForReadyRead(milliseconds)

    def stop(self) -> None:
        """End the process now. Requests without an answer are forgotten: nobody is called.

        The next request starts a new one.
        """
        busy = bool(self._requests)
        self._requests.clear()
        self._patience.stop()
        if not self.running:
            return
        self._process.closeWriteChannel()
        # An idle worker ends with its input; a busy one would first finish.
        if busy or not self._process.waitForFinished(500):
            self._kill()
            self._process.waitForFinished(2000)

    def _send(self, line: bytes) -> None:
        if not self.running:
            self._rest, self._started, self._process_id = b"", False, 0
            self._complaints.clear()
            program = self._program or _PROGRAM.format(path=_LIBRARY.as_posix(), threads=chosen_threads() or None)
            self._process.start(sys.executable, ["-u", "-c", program])
        self._process.write(line)

    def _on_started(self) -> None:
        self._started = True

    def _read(self) -> None:
        # A read may end inside a line, even inside a character.
        *lines, self._rest = (self._rest + bytes(self._process.readAllStandardOutput().data())).split(b"\n")
        for line in lines:
            with suppress(ValueError):  # nothing but JSON is for us
                answer = json.loads(line.decode("utf-8"))
                if isinstance(answer, dict):
                    guarded(self._take, doing="answer of the worker")(answer)

    def _take(self, answer: dict[str, Any]) -> None:
        event, number = answer.get("event"), answer.get("id")
        if event == "started":
            self._process_id = int(answer["process"])
        request = self._requests.get(number) if isinstance(number, int) else None
        if request is None or number is None:
            return
        if event == "progress":
            if not request.cancelling:
                request.progress(str(answer.get("text", "")), float(answer.get("fraction", 0.0)))
            return
        if event not in ("done", "error", "cancelled"):
            return
        del self._requests[number]
        self._patience.stop()
        self._tell_waiting([*self._requests])
        # A job that ended before the request to stop reached it has still been cancelled for whoever asked.
        if event == "cancelled" or request.cancelling:
            request.cancelled()
        elif event == "done":
            request.done(answer.get("result") or {})
        else:
            request.failed(str(answer.get("text", "")), str(answer.get("kind", "")))

    def _tell_waiting(self, numbers: list[int]) -> None:
        """Tell requests that another has to end before they begin, and which; the first one waits for nothing."""
        first = next(iter(self._requests), None)
        if first is None:
            return
        what = self._requests[first].what or _("other work in the background")
        for number in numbers:
            if number != first:
                self._requests[number].progress(_("Waiting for {what}").format(what=what), 0.0)

    def _read_complaints(self) -> None:
        text = bytes(self._process.readAllStandardError().data()).decode("utf-8", "replace")
        self._complaints.extend(line.strip() for line in text.splitlines() if line.strip())

    def _on_error(self, _error: Any) -> None:
        # Other errors are followed by "finished"; this one is all that is heard of a process that could not start.
        if not self._started and not self.running:
            self._end([*self._requests], _("The worker process could not be started: {reason}."))

    def _on_finished(self, *_ignored: Any) -> None:
        self._read()
        self._read_complaints()
        # Only the first request was running. One that died before it spoke would die of the next one as well.
        numbers = [*self._requests] if not self._process_id else [*self._requests][:1]
        text = _(
            "The worker process stopped before it was done (out of memory?). Close other programs and volumes, or "
            "choose the device cpu, and run again. {reason}"
        )
        self._end(numbers, text)

    def _end(self, numbers: list[int], text: str) -> None:
        self._patience.stop()
        reason = " ".join([*self._complaints][-3:]) or self._process.errorString()
        ended = [self._requests.pop(number) for number in numbers]
        for request in self._requests.values():
            self._send(request.line)
        self._tell_waiting([*self._requests])
        for request in ended:
            if request.cancelling:
                request.cancelled()
            else:
                request.failed(text.format(reason=reason).strip(), "WorkerStopped")

    def _lose_patience(self) -> None:
        if any(request.cancelling for request in self._requests.values()):
            self._kill()

    def _kill(self) -> None:
        if self._process_id and self._process_id != self._process.processId():
            with suppress(OSError):
                os.kill(self._process_id, getattr(signal, "SIGKILL", signal.SIGTERM))
        self._process.kill()


_shared: WorkerProcess | None = None


def shared_worker() -> WorkerProcess:
    """Return the one worker that all modules use; it keeps its models loaded and ends with the application."""
    global _shared
    if _shared is None:
        _shared = WorkerProcess()
        slicer.app.connect("aboutToQuit()", _shared.stop)
    return _shared
