"""What is said and kept when something goes wrong that nobody expected: a sentence, a log without patient data."""

import contextlib
import errno
import os
import platform
import tempfile
import traceback
from collections.abc import Iterator
from concurrent.futures.process import BrokenProcessPool
from datetime import datetime
from pathlib import Path
from subprocess import CalledProcessError

from AcuteFindingsLib import __version__
from AcuteFindingsLib.errors import AcuteFindingsError
from AcuteFindingsLib.packages import extra_missing
from AcuteFindingsLib.places import models_cache

KEPT_LOGS = 20

_OUT_OF_MEMORY = "There is not enough memory for this; close other programs and volumes, or take a smaller study."
_GRAPHICS_OUT_OF_MEMORY = (
    "The memory of the graphics card is full; choose the device cpu (--device cpu), or close other programs that use "
    "the card."
)
_KILLED = (
    "A program that this one had started was ended by the system, most often because memory ran out; close other "
    "programs and volumes, or take a smaller study."
)

# How PyTorch (CPU, CUDA, ROCm, Apple), ONNX Runtime, ITK and the system say it in errors that have no class of their
# own. Compared in lower case.
_MEMORY_WORDS = (
    "defaultcpuallocator",
    "can't allocate memory",
    "cannot allocate memory",
    "failed to allocate memory",
    "unable to allocate",
    "not enough memory",
    "out of memory",
    "std::bad_alloc",
    "bad allocation",
    "alloc_failed",
)
_GRAPHICS_WORDS = ("cuda", "cublas", "cudnn", "cufft", "hip out", "mps backend", "gpu")
_KILLED_WORDS = ("killed by signal: killed", "terminated abruptly")
_SIGKILL = (-9, 137)


def sentence(error: BaseException, *, kept: bool = False) -> str:
    """Return what went wrong in one sentence for the person at the screen.

    With `kept` it becomes part of a result, or is told to another computer: a foreign error's own message is left out.

    An error that was raised because memory ran out is told as such, whoever wrapped it. A foreign error's own message
    may hold names out of files: it is for the screen, never for a log or a result.
    """
    for cause in _chain(error):
        text = _memory(cause)
        if text:
            return text
    if isinstance(error, AcuteFindingsError):
        return str(error)
    if isinstance(error, RecursionError):
        return "The input is nested too deeply to be read; check the file, or export it again."
    if needed := extra_missing(error):
        return needed
    if isinstance(error, ModuleNotFoundError):
        return f"The Python package {error.name!r} is missing or damaged; install the packages again."
    if isinstance(error, OSError):
        return _about_file(error)
    if isinstance(error, RuntimeError) and "home directory" in str(error):
        return "No home folder is known for this user; set the variable HOME to a folder that can be written to."
    told = "" if kept else " ".join(str(error).split())
    return f"Something unexpected went wrong ({type(error).__name__}{': ' if told else ''}{told[:300]})."


def out_of_memory(error: BaseException) -> bool:
    """Whether an error, or what it was raised from, says that memory ran out: the system's, Python's or a card's."""
    return any(_memory(cause) for cause in _chain(error))


def killed(status: int) -> str:
    """Return what to do where a program's exit status says that the system ended it, else an empty text."""
    return _KILLED if status in _SIGKILL else ""


def expected(error: BaseException) -> bool:
    """Whether `sentence` says all there is to say: nobody would want a log of it."""
    return isinstance(error, AcuteFindingsError | OSError | ModuleNotFoundError) or out_of_memory(error)


def write_log(error: BaseException, *, doing: str = "", folder: Path | None = None) -> Path | None:
    """Write where an error came from; return the file, or None where no folder takes one.

    The log holds classes of errors, places in programs, versions and the system. It holds no message, no value and no
    command line: those may name patients or their files.

    Parameters
    ----------
    error
        With all that it was raised from.
    doing
        The command or job, without what it was asked about.
    folder
        For the log; by default the first that can be written to of ``logs`` in the folder of downloaded models and the
        system's temporary folder.
    """
    now = datetime.now()
    name = f"error-{now:%Y%m%d-%H%M%S-%f}-{os.getpid()}.log"
    for place in [folder] if folder else _folders():
        # A second error here would hide the first; the caller says that there is no log.
        with contextlib.suppress(Exception):
            place.mkdir(parents=True, exist_ok=True)
            path = place / name
            with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as stream:
                stream.write(log_text(error, doing=doing, when=now))
            for old in sorted(place.glob("error-*.log"))[:-KEPT_LOGS]:
                old.unlink(missing_ok=True)
            return path
    return None


def log_text(error: BaseException, *, doing: str = "", when: datetime | None = None) -> str:
    """Return the text of a log: where the error and its causes came from, without their messages."""
    lines = [
        f"AcuteFindings {__version__}, Python {platform.python_version()}, {platform.platform()}",
        f"{when or datetime.now():%Y-%m-%d %H:%M:%S}  {doing}".rstrip(),
        "Messages and values are left out: they may hold names out of the files that were read.",
    ]
    for cause in _chain(error):
        kind = type(cause)
        lines += ["", f"{kind.__module__}.{kind.__qualname__}"]
        lines += [
            f'  File "{frame.filename}", line {frame.lineno}, in {frame.name}\n    {frame.line}'
            for frame in traceback.extract_tb(cause.__traceback__)
        ]
    return "\n".join(lines) + "\n"


def where_logged(path: Path | None) -> str:
    """Return the words that follow a sentence: where the log is, or that there is none."""
    return f"The log {path} tells where." if path else "No log could be written: no folder takes one."


def _chain(error: BaseException) -> Iterator[BaseException]:
    """Yield an error and what it was raised from, the last first."""
    seen: set[int] = set()
    current: BaseException | None = error
    while current is not None and id(current) not in seen:
        seen.add(id(current))
        yield current
        current = current.__cause__ or (None if current.__suppress_context__ else current.__context__)


def _memory(error: BaseException) -> str:
    """Return what to do where this error says that memory ran out, else an empty text."""
    if isinstance(error, AcuteFindingsError):
        return ""
    told = str(error).lower()
    if isinstance(error, CalledProcessError) and killed(error.returncode):
        return _KILLED
    if isinstance(error, BrokenProcessPool) or any(word in told for word in _KILLED_WORDS):
        return _KILLED
    # By name: torch has a class of its own, and need not be there.
    named = isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError"
    said = isinstance(error, RuntimeError | OSError | ValueError) or type(error).__module__.startswith("onnxruntime")
    if isinstance(error, OSError) and error.errno == errno.ENOMEM:
        named = True
    if not named and not (said and any(word in told for word in _MEMORY_WORDS)):
        return ""
    return _GRAPHICS_OUT_OF_MEMORY if any(word in told for word in _GRAPHICS_WORDS) else _OUT_OF_MEMORY


def _about_file(error: OSError) -> str:
    told = error.strerror or str(error)
    place = f": {error.filename}" if error.filename else ""
    if error.errno in (errno.ENOSPC, getattr(errno, "EDQUOT", errno.ENOSPC)):
        return f"The disk is full, so nothing more could be written{place}; free some space and run again."
    if "usable temporary directory" in told:
        return "No folder for temporary files can be written to; set the variable TMPDIR to one."
    return f"{told}{place}."


def _folders() -> Iterator[Path]:
    # The home folder and the temporary one may both be unknown.
    with contextlib.suppress(AcuteFindingsError, OSError):
        yield models_cache() / "logs"
    with contextlib.suppress(OSError):
        yield Path(tempfile.gettempdir())
