"""`acutefindings explore`: look at a data set before anything is trained on it."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from AcuteFindingsLib.cli.common import AsJson, listed, one_of, out_console, print_json, progress_bar
from AcuteFindingsLib.cli.tables import print_rows
from AcuteFindingsLib.counting import counted
from AcuteFindingsLib.detectors.registry import model_tasks

if TYPE_CHECKING:
    from AcuteFindingsLib.training.data.table import DataTable


def explore(
    data: Annotated[Path, typer.Argument(metavar="DATA", help="Folder of the data set, in its published layout.")],
    kind: Annotated[str | None, typer.Option("--kind", help="Layout; recognized by default.")] = None,
    out: Annotated[Path, typer.Option("--out", help="Folder for explore.html and explore.json.")] = Path(
        "explore-output"
    ),
    task: Annotated[
        str | None,
        typer.Option("--task", help=f"{listed(model_tasks())}, if a set holds several."),
    ] = None,
    images: Annotated[int, typer.Option("--images", min=1, help="How many images to open.")] = 200,
    cache: Annotated[
        Path | None, typer.Option("--cache", help="Folder that stores what was read from headers.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Check a data set and show its counts, classes, people, sizes and pictures."""
    from AcuteFindingsLib.places import models_cache
    from AcuteFindingsLib.training.data.look.page import write_look
    from AcuteFindingsLib.training.data.look.sample import open_sample
    from AcuteFindingsLib.training.data.read import KINDS, read_data

    if kind is not None:
        one_of("--kind", kind, KINDS)
    if task is not None:
        one_of("--task", task, tuple(model_tasks()))
    with progress_bar() as progress:
        table = read_data(
            kind,
            data,
            task=task,
            cache=cache or models_cache(),
            progress=lambda text, share: progress(text, 0.7 * share),
        )
        sample = open_sample(table, count=images, progress=lambda text, share: progress(text, 0.7 + 0.3 * share))
        page, numbers = write_look(table, sample, out)
    if as_json:
        print_json(json.loads(numbers.read_text(encoding="utf-8")))
        return
    counts = f"{counted(len(table), 'image')} of {counted(table.rows['patient'].nunique(), 'patient')}"
    if table.main_label:
        found = table.count()
        counts += f", {found.positive} positive and {found.negative} negative ({table.main_label})"
    out_console.print(f"{table.kind}: {counts}")
    _print_problems(table)
    out_console.print(f"  report   {page}")
    out_console.print(f"  numbers  {numbers}")


def _print_problems(table: "DataTable") -> None:
    """Print what is missing or wrong, the worst first, with a few names each."""
    if not table.problems:
        out_console.print("  Nothing is missing or wrong.")
        return
    words = {"error": "error", "warn": "warning", "info": "note"}
    counts = [
        counted(sum(one.severity == severity for one in table.problems), word) for severity, word in words.items()
    ]
    rows = [(one.severity, one.file, one.field, one.line) for one in table.problems]
    print_rows(
        ("severity", "file", "column", "what is missing or wrong"), rows, title=f"{table.kind}: {', '.join(counts)}"
    )
