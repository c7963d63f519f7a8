"""What the commands share: options, consoles, progress."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeRemainingColumn

from AcuteFindingsLib.errors import StudyError

# Without markup: file names and explanations may hold square brackets.
out_console = Console(highlight=False, soft_wrap=True, markup=False)
err_console = Console(stderr=True, highlight=False, soft_wrap=True, markup=False)

DETECTORS = ("pe", "hemorrhage", "pneumothorax")

Input = Annotated[Path, typer.Argument(metavar="INPUT", help="A DICOM file or folder, NIfTI/NRRD/MHA, PNG or JPEG.")]
Out = Annotated[Path, typer.Option("--out", help="Folder for the results.")]
Model = Annotated[str | None, typer.Option("--model", help="Id of a model package, or a folder that holds one.")]
ModelFolders = Annotated[
    list[Path] | None, typer.Option("--models-folder", help="A folder with your own model packages; may be repeated.")
]
Device = Annotated[str, typer.Option("--device", help="auto, cpu or cuda.")]


def help_without_command(context: typer.Context) -> None:
    """Print the help where no command was named."""
    if context.invoked_subcommand is None:
        print(context.get_help())


def one_of(option: str, value: str, choices: tuple[str, ...]) -> None:
    """Raise `StudyError` for a value that is not among the choices."""
    if value not in choices:
        raise StudyError(f"{option} {value}: choose one of {', '.join(choices)}.")


def device_name(device: str) -> str:
    """Return the device asked for; raises `StudyError` for an unknown one."""
    one_of("--device", device, ("auto", "cpu", "cuda"))
    return device


@contextmanager
def progress_bar() -> Iterator:
    """Show what is being done, how much of it, and how long it will take; on stderr, gone when done."""
    with Progress(
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.percentage:>3.0f} %"),
        TimeRemainingColumn(),
        console=err_console,
        transient=True,
        disable=not err_console.is_terminal,
    ) as bar:
        task = bar.add_task("", total=1.0)
        yield lambda text, fraction: bar.update(task, description=text, completed=fraction)
