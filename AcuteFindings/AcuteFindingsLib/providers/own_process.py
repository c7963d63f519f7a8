"""A program in a process of its own that can be stopped at once, with everything it has started."""

import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any

from AcuteFindingsLib.errors import ProviderError
from AcuteFindingsLib.last_resort import killed
from AcuteFindingsLib.progress import Cancelled, Progress, never_cancelled, no_progress, stop_if

CHILDREN = Path(__file__).resolve().parent / "children"

_POLL_S = 0.1
_GRACE_S = 2.0


@dataclass(frozen=True)
class Ended:
    """How a program ended: exit status, and all that it printed."""

    status: int
    output: str

    @property
    def last_line(self) -> str:
        """Return the last line that is not empty."""
        return next((line.strip() for line in reversed(self.output.splitlines()) if line.strip()), "")

    @property
    def error_line(self) -> str:
        """Return the last line that speaks of an error, else the last line."""
        lines = [line.strip() for line in self.output.splitlines() if "error" in line.lower()]
        return lines[-1] if lines else self.last_line


def run_to_end(
    command: list[str],
    *,
    heard: Callable[[str], None] = lambda _line: None,
    cancelled: Cancelled = never_cancelled,
    environment: Mapping[str, str] | None = None,
    errors_to: Any = subprocess.STDOUT,
) -> Ended:
    """Run a program and return when it has ended.

    Parameters
    ----------
    command
        Program and arguments.
    heard
        Called with every line of its stdout, in the calling thread.
    cancelled
        Asked ten times a second; True ends the program and all that it started.
    environment
        Variables added to this process's own.
    errors_to
        Where its stderr goes; by default to its stdout.

    Raises
    ------
    CancelledError
        `cancelled` answered True.
    ProviderError
        The program cannot be started.
    """
    apart: dict[str, Any] = (
        {"creationflags": getattr(subprocess, "CREATE_NEW_PROCESS_GROUP", 0)}
        if sys.platform == "win32"
        else {"start_new_session": True}
    )
    try:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=errors_to,
            env={**os.environ, **environment} if environment else None,
            text=True,
            encoding="utf-8",
            errors="replace",
            **apart,
        )
    except OSError as error:
        raise ProviderError(f"{command[0]} could not be started: {error}.") from error
    lines: SimpleQueue[str | None] = SimpleQueue()
    threading.Thread(target=_listen, args=(process, lines), daemon=True).start()
    told: list[str] = []
    try:
        while True:
            stop_if(cancelled)
            try:
                line = lines.get(timeout=_POLL_S)
            except Empty:
                continue
            if line is None:
                break
            told.append(line)
            heard(line)
        return Ended(process.wait(), "".join(told))
    finally:
        _end(process)


def run_child(
    script: str,
    request: dict[str, Any],
    folder: Path,
    *,
    python: Path,
    environment: Mapping[str, str] | None = None,
    progress: Progress = no_progress,
    cancelled: Cancelled = never_cancelled,
) -> dict[str, Any]:
    """Run one of the programs in `children` and return its result.

    Parameters
    ----------
    script
        File name of the program.
    request
        What is asked of it.
    folder
        Empty folder for what goes between the two.
    python
        The Python that has the package.
    environment
        Variables added to this process's own.

    Raises
    ------
    ProviderError
        The program failed; says what it says.
    CancelledError
        `cancelled` answered True.
    """
    (folder / "request.json").write_text(json.dumps(request), encoding="utf-8")
    errors: list[str] = []

    def heard(line: str) -> None:
        try:
            message = json.loads(line)
        except ValueError:
            return
        if "error" in message:
            errors.append(str(message["error"]))
        else:
            progress(str(message["text"]), float(message["share"]))

    with tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace") as log:
        ended = run_to_end(
            [str(python), str(CHILDREN / script), str(folder)],
            heard=heard,
            cancelled=cancelled,
            environment=environment,
            errors_to=log,
        )
        result = folder / "result.json"
        if ended.status == 0 and result.is_file():
            return json.loads(result.read_text(encoding="utf-8"))
        log.seek(0)
        said = Ended(ended.status, log.read()).last_line
    name = Path(script).stem.removeprefix("run_")
    if errors:
        raise ProviderError(errors[-1])
    raise ProviderError(
        " ".join(filter(None, (f"{name} ended with status {ended.status}.", killed(ended.status), said)))
    )


def _listen(process: subprocess.Popen[str], lines: "SimpleQueue[str | None]") -> None:
    assert process.stdout is not None
    for line in process.stdout:
        lines.put(line)
    lines.put(None)


def _end(process: subprocess.Popen[str]) -> None:
    """End a process and all that it started; does nothing where it has ended."""
    if process.poll() is not None:
        return
    if sys.platform == "win32":
        subprocess.run(["taskkill", "/F", "/T", "/PID", str(process.pid)], capture_output=True, check=False)
    else:
        os.killpg(process.pid, signal.SIGTERM)
        try:
            process.wait(_GRACE_S)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
    process.wait()
