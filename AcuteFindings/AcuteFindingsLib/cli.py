"""The command `acutefindings`."""

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn, cast

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeRemainingColumn
from rich.table import Column, Table

from AcuteFindingsLib import RESEARCH_USE_ONLY, __version__
from AcuteFindingsLib.errors import AcuteFindingsError, StudyError

if TYPE_CHECKING:
    from AcuteFindingsLib.jobs.run_study import StudyResult

app = typer.Typer(
    add_completion=False,
    pretty_exceptions_enable=False,
    help=f"Find pulmonary embolism, intracranial hemorrhage and pneumothorax, with evidence. {RESEARCH_USE_ONLY}",
)
models_app = typer.Typer(help="List, show and verify model packages.")
app.add_typer(models_app, name="models")

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


# What a wrong command line raises; newer versions of typer do not make the class itself public.
_UsageError: type[Exception] = typer.BadParameter.__mro__[1]

_STOPPED = 130
_NO_MODELS = "No model package was found; name a folder that holds some with --models-folder."


def main() -> None:
    """Run the command; a bad input ends in one line on stderr and exit status 2."""
    try:
        status = app(standalone_mode=False)
    except (AcuteFindingsError, OSError) as error:
        _fail(str(error), 2)
    except _UsageError as error:
        context = getattr(error, "ctx", None)
        hint = f" ({context.command_path} --help tells more.)" if context else ""
        _fail(f"{error.format_message()}{hint}", 2)  # type: ignore[attr-defined]
    except (typer.Abort, KeyboardInterrupt):
        status = _STOPPED
    if status == _STOPPED:
        _fail("stopped on request.", _STOPPED)
    sys.exit(status or 0)


def _fail(text: str, status: int) -> NoReturn:
    print(f"acutefindings: {' '.join(text.split())}", file=sys.stderr)
    sys.exit(status)


@app.callback(invoke_without_command=True)
def _root(
    context: typer.Context, version: Annotated[bool, typer.Option("--version", help="Show the version.")] = False
) -> None:
    if version:
        out_console.print(f"acutefindings {__version__}")
        raise typer.Exit
    _help_without_command(context)


@models_app.callback(invoke_without_command=True)
def _help_without_command(context: typer.Context) -> None:
    if context.invoked_subcommand is None:
        print(context.get_help())


@app.command()
def run(
    input: Input,
    out: Out,
    detector: Annotated[str, typer.Option("--detector", help="pe, hemorrhage, pneumothorax or auto.")] = "auto",
    model: Model = None,
    device: Device = "auto",
    force: Annotated[bool, typer.Option("--force", help="Run although the check refuses the study.")] = False,
    models_folder: ModelFolders = None,
) -> None:
    """Detect in one study; write finding.json, report.html, pictures and a Slicer scene."""
    from AcuteFindingsLib.jobs.run_study import StudyRequest, run_study

    _one_of("--detector", detector, (*DETECTORS, "auto"))
    request = StudyRequest(
        source=input,
        out=out,
        detector=detector,
        model=model,
        device=_device(device),
        force=force,
        model_folders=tuple(models_folder or ()),
    )
    with _progress() as progress:
        result = run_study(request, progress=progress)
    _print_result(result)


@app.command()
def check(
    input: Input,
    detector: Annotated[str, typer.Option("--detector", help="pe, hemorrhage or pneumothorax.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Say whether a study is one that a detector was made for."""
    from AcuteFindingsLib.study.checks import check_study
    from AcuteFindingsLib.study.notice import refusals
    from AcuteFindingsLib.study.reader import read_study

    _one_of("--detector", detector, DETECTORS)
    with _progress() as progress:
        notices = check_study(read_study(input, detector=detector, progress=progress), detector)
    fits = not refusals(notices)
    if as_json:
        answer = {
            "input": input.name,
            "detector": detector,
            "fits": fits,
            "notices": [asdict(notice) for notice in notices],
        }
        print(json.dumps(answer, indent=2, ensure_ascii=False))
        return
    table = Table(
        "severity", "code", "what it means", title=f"{input.name}: {'fits' if fits else 'REFUSED'} ({detector})"
    )
    for notice in notices:
        table.add_row(notice.severity, notice.code, notice.text)
    out_console.print(table if notices else f"{input.name}: fits ({detector}); nothing to remark.")


@app.command()
def predict(
    detector: Annotated[str, typer.Option("--detector", help="hemorrhage, pneumothorax, chest or lungs.")],
    images: Annotated[Path, typer.Option("--images", help="Folder with the images.")],
    out: Annotated[Path, typer.Option("--out", help="A .csv file, or a folder for the table and the masks.")],
    listing: Annotated[Path | None, typer.Option("--list", help="CSV whose column 'image' names the images.")] = None,
    model: Model = None,
    device: Device = "auto",
    models_folder: ModelFolders = None,
) -> None:
    """Score many single images: a table of probabilities, and masks as PNG for lungs and pneumothorax."""
    from AcuteFindingsLib.jobs.predict_images import TASKS, ImagesRequest, predict_images
    from AcuteFindingsLib.models.metadata import Task

    _one_of("--detector", detector, TASKS)
    request = ImagesRequest(
        task=cast(Task, detector),
        images=images,
        out=out,
        listing=listing,
        model=model,
        device=_device(device),
        model_folders=tuple(models_folder or ()),
    )
    with _progress() as progress:
        result = predict_images(request, progress=progress)
    out_console.print(f"{result.count} images scored. {RESEARCH_USE_ONLY}")
    if result.table:
        out_console.print(f"  table   {result.table}")
    if result.masks:
        out_console.print(f"  masks   {len(result.masks)} PNG files in {result.masks[0].parent}")


@app.command()
def phantom(
    kind: Annotated[str, typer.Argument(metavar="KIND", help="head-ct, ctpa or chest-xray.")],
    out: Out,
    count: Annotated[int, typer.Option("--count", min=1, help="How many studies.")] = 1,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Seed of the first; each further one is one more.")] = 0,
    positive: Annotated[
        bool | None, typer.Option("--positive/--negative", help="With or without the finding; else drawn by the seed.")
    ] = None,
) -> None:
    """Make procedural studies as DICOM with truth; they depict no person."""
    from AcuteFindingsLib.phantoms import KINDS, make_phantom
    from AcuteFindingsLib.phantoms.write_dicom import write_phantom

    _one_of("KIND", kind, KINDS)
    with _progress() as progress:
        for number in range(count):
            progress(f"Making {kind} {seed + number}", number / count)
            folder = write_phantom(make_phantom(kind, seed + number, positive=positive), out)
            out_console.print(str(folder))


@app.command()
def demo(
    out: Out = Path("demo-output"),
    seed: Annotated[int, typer.Option("--seed", min=0, help="Seed of the sample studies.")] = 900_001,
    device: Device = "auto",
) -> None:
    """Make one sample study for each detector and run all three."""
    from AcuteFindingsLib.jobs.demo import run_demo

    with _progress() as progress:
        results = run_demo(out, seed=seed, device=_device(device), progress=progress)
    for result in results:
        _print_result(result)


@models_app.command("list")
def models_list(models_folder: ModelFolders = None) -> None:
    """List the model packages that are found, in the order in which they are looked for."""
    from AcuteFindingsLib.models.find import list_packages

    table = Table(Column("id", no_wrap=True), "task", "version", "size", "licence", "trained on", "where")
    for entry in list_packages(folders=tuple(models_folder or ())):
        table.add_row(*entry.row())
    out_console.print(table if table.row_count else _NO_MODELS)


@models_app.command("show")
def models_show(model: Annotated[str, typer.Argument(metavar="ID|FOLDER")], models_folder: ModelFolders = None) -> None:
    """Show the model card of a package."""
    from rich.markdown import Markdown

    from AcuteFindingsLib.models.find import find_package

    out_console.print(Markdown(find_package(model, folders=tuple(models_folder or ())).read_card_text()))


@models_app.command("verify")
def models_verify(
    model: Annotated[str | None, typer.Argument(metavar="[ID|FOLDER]")] = None, models_folder: ModelFolders = None
) -> None:
    """Check every file's checksum and every tensor's name and shape; without an id, of all packages."""
    from AcuteFindingsLib.models.find import find_package, list_packages

    folders = tuple(models_folder or ())
    packages = [find_package(model, folders=folders)] if model else list_packages(folders=folders)
    if not packages:
        out_console.print(_NO_MODELS)
    for package in packages:
        package.verify()
        out_console.print(f"{package.id}: files, tensor names and shapes are as stated")


def _print_result(result: "StudyResult") -> None:
    finding = result.finding
    verdict = finding.verdict
    out_console.print(
        f"{finding.detector}: {verdict.label.upper()}  probability {verdict.probability:.2f} "
        f"(operating point {verdict.threshold:.2f}), model {finding.model.id} {finding.model.version}"
    )
    out_console.print(f"  {verdict.explanation}")
    for notice in finding.warnings:
        if notice.severity != "info":
            out_console.print(f"  {notice.severity}: {notice.text}")
    out_console.print(f"  report    {result.report}")
    if result.pictures:
        out_console.print(f"  pictures  {result.pictures[0].path.parent} ({len(result.pictures)})")
    if result.scene:
        out_console.print(f"  scene     {result.scene}")
    out_console.print(f"  finding   {result.finding_file}")
    for remark in result.remarks:
        out_console.print(f"  note: {remark}")
    out_console.print(f"  {RESEARCH_USE_ONLY}")


def _one_of(option: str, value: str, choices: tuple[str, ...]) -> None:
    if value not in choices:
        raise StudyError(f"{option} {value}: choose one of {', '.join(choices)}.")


def _device(device: str) -> str:
    _one_of("--device", device, ("auto", "cpu", "cuda"))
    return device


@contextmanager
def _progress() -> Iterator:
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
