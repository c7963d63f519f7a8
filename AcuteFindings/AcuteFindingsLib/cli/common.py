"""What the commands share: options, consoles, progress."""

import io
import json
import os
import re
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Any

import typer
from rich import progress as bars
from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment

from AcuteFindingsLib.errors import StudyError
from AcuteFindingsLib.models.device import DEVICES, choose_onnx_device, is_device
from AcuteFindingsLib.progress import Progress
from AcuteFindingsLib.threads import use_threads

BROKEN_PIPE = 141
"""Exit status where nobody reads the output any more: 128 + SIGPIPE, as shells have it."""

# What a name or a text from a file could do to a terminal or to its reader: controls (C0, DEL, C1), marks that turn the
# direction of writing or cannot be seen (Unicode Technical Report 36, Annex 9), line separators, tags, and halves of
# characters, as which Python keeps bytes of a file name that are no UTF-8. Joiners stay: Persian and Hindi need them.
_BLANKS = re.compile("[\t\n\r\v\f\x85\u2028\u2029]+")
_UNSEEN = re.compile(
    "[\x00-\x1f\x7f-\x9f\xad\u061c\u200b\u200e\u200f\u2028-\u202e\u2060-\u2069\ufeff\ufff9-\ufffb\ud800-\udfff"
    "\U000e0000-\U000e007f]"
)
_UNSEEN_IN_LINES = re.compile(_UNSEEN.pattern.replace("\x00-\x1f", "\x00-\x08\x0b-\x1f", 1))


def plain(text: object) -> str:
    """Return a name or text from a file as one line that a terminal only shows.

    Line ends and tabs become a blank, every other control character and mark of direction a question mark.
    """
    return _UNSEEN.sub("?", _BLANKS.sub(" ", str(text)))


class PlainConsole(Console):
    """A console whose texts cannot steer the terminal; its own colors still do."""

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        """Render without control characters in any text; lines and tabs stay."""
        for segment in super().render(renderable, options):
            yield segment if segment.control else segment._replace(text=_UNSEEN_IN_LINES.sub("?", segment.text))

    def on_broken_pipe(self) -> None:
        """Leave without a word where the reader has gone, as `head` does; Python flushes once more at its end."""
        os.dup2(os.open(os.devnull, os.O_WRONLY), self.file.fileno())
        raise SystemExit(BROKEN_PIPE)


# Without markup: file names and explanations may hold square brackets.
out_console = PlainConsole(highlight=False, soft_wrap=True, markup=False)
err_console = PlainConsole(stderr=True, highlight=False, soft_wrap=True, markup=False)


def keep_telling(line: str, *, wrong: bool = False) -> None:
    """Print a line of a program that goes on for days, of what went `wrong` on standard error.

    Neither a log on a full disk nor a reader that has gone (`head`) ends such a program; other lines are lost then.
    """
    stream = sys.stderr if wrong else sys.stdout
    try:
        print(plain(line), file=stream, flush=True)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
    except OSError:
        return


def print_json(value: Any) -> None:
    """Print JSON for programs: what a terminal must not get, or cannot show, is escaped as JSON has it."""
    ascii_only = "utf" not in (getattr(sys.stdout, "encoding", None) or "ascii").lower()
    text = json.dumps(value, indent=2, ensure_ascii=ascii_only)
    print(_UNSEEN_IN_LINES.sub(lambda found: json.dumps(found.group())[1:-1], text))


def never_fail_to_print() -> None:
    """Let characters that the terminal's encoding lacks be written as escapes: no answer is lost for a dash."""
    # A shell may start a program without one of them.
    sys.stdout = sys.stdout or Path(os.devnull).open("w", encoding="utf-8")  # noqa: SIM115
    sys.stderr = sys.stderr or Path(os.devnull).open("w", encoding="utf-8")  # noqa: SIM115
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


Input = Annotated[
    Path, typer.Argument(metavar="INPUT", help="A DICOM file, folder or zip, NIfTI/NRRD/MHA, PNG or JPEG.")
]
Out = Annotated[Path, typer.Option("--out", help="Folder for the results.")]
Model = Annotated[str | None, typer.Option("--model", help="Id of a model package, or a folder that holds one.")]


def _calibration(asked: str | None) -> str | None:
    """Return the whole path of a calibration that can be read; a damaged one is refused before a study is read."""
    from AcuteFindingsLib.trust.site_files import NO_CALIBRATION, read_calibration

    if asked is None or asked == NO_CALIBRATION:
        return asked
    file = Path(asked).absolute()
    read_calibration(file)
    return str(file)


Calibration = Annotated[
    str | None,
    typer.Option(
        "--calibration",
        metavar="FILE|none",
        callback=_calibration,
        help="A site's calibration of the model, of `acutefindings calibrate`; default: the installed one, if any.",
    ),
]
Series = Annotated[
    str | None, typer.Option("--series", help="Series Instance UID of the series to read, if there are several.")
]
ModelFolders = Annotated[
    list[Path] | None, typer.Option("--models-folder", help="A folder with your own model packages; may be repeated.")
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]


def help_without_command(context: typer.Context) -> None:
    """Print the help where no command was named."""
    if context.invoked_subcommand is None:
        print(context.get_help())


def listed(names: Iterable[str], joined: str = "or") -> str:
    """Return names as a help text lists them: ``"a, b or c"``."""
    *most, last = names
    return f"{', '.join(most)} {joined} {last}" if most else last


def one_of(option: str, value: str, choices: tuple[str, ...]) -> None:
    """Raise `StudyError` for a value that is not among the choices."""
    if value not in choices:
        raise StudyError(f"{option} {value}: choose one of {', '.join(choices)}.")


def device_name(device: str) -> str:
    """Return the device asked for.

    Raises
    ------
    StudyError
        It is unknown.
    ModelError
        It is not here. Where PyTorch is installed it may have CUDA, and is asked when a model is loaded.
    """
    if not is_device(device):
        one_of("--device", device, DEVICES)
    if device not in ("auto", "cpu") and not (device.startswith("cuda") and find_spec("torch")):
        choose_onnx_device(device)
    return device


def _threads(count: int | None) -> int | None:
    use_threads(count)
    return count


Device = Annotated[str, typer.Option("--device", help=f"{listed(DEVICES)}.")]
Threads = Annotated[
    int | None,
    typer.Option(
        "--threads",
        min=1,
        envvar="ACUTEFINDINGS_THREADS",
        callback=_threads,
        help="On how many threads to compute; default: OMP_NUM_THREADS, else one a core.",
    ),
]


@contextmanager
def progress_bar() -> Iterator[Progress]:
    """Show what is being done, how much of it, and how long it will take; on stderr, gone when done.

    Where stderr is no terminal: a line a stage and a tenth.
    """
    if not err_console.is_terminal:
        yield progress_lines(lambda line: err_console.print(line))
        return
    with bars.Progress(
        bars.SpinnerColumn(),
        bars.TextColumn("{task.description}", markup=False),
        bars.BarColumn(),
        bars.TextColumn("{task.percentage:>3.0f} %"),
        bars.TimeRemainingColumn(),
        console=err_console,
        transient=True,
    ) as bar:
        task = bar.add_task("", total=1.0)
        yield lambda text, fraction: bar.update(task, description=plain(text), completed=fraction)


def progress_lines(write: Callable[[str], object]) -> Progress:
    """Return a progress that writes a line where a new stage begins and for each further tenth of the whole.

    A stage is known by its words without numbers: "slice 3 of 9" and "slice 4 of 9" are one.
    """
    said: set[str] = set()
    tenths = 0

    def tell(text: str, fraction: float) -> None:
        nonlocal tenths
        stage, done = re.sub(r"\d+", "", text), int(10 * min(max(fraction, 0.0), 1.0) + 1e-9)
        if stage in said and done <= tenths:
            return
        said.add(stage)
        tenths = max(tenths, done)
        # The work goes on where nobody can hear of it.
        with suppress(OSError):
            write(f"{plain(text)} ({100 * fraction:.0f} %)")

    return tell
