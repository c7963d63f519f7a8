"""`acutefindings batch`: many studies, each once."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from AcuteFindingsLib import RESEARCH_USE_ONLY
from AcuteFindingsLib.cli.common import (
    Calibration,
    Device,
    Model,
    ModelFolders,
    Threads,
    device_name,
    err_console,
    listed,
    one_of,
    out_console,
    plain,
    progress_bar,
)
from AcuteFindingsLib.cli.pacs import ServersFile, connection_to
from AcuteFindingsLib.cli.worklist import Database, Urgency
from AcuteFindingsLib.counting import counted
from AcuteFindingsLib.detectors.registry import detector_ids
from AcuteFindingsLib.errors import EngineError
from AcuteFindingsLib.worklist.words import ENGINES

if TYPE_CHECKING:
    from AcuteFindingsLib.worklist.engines.engine import Answer
    from AcuteFindingsLib.worklist.exams import Exam, Found

_MOST_NAMED = 50


def batch(
    source: Annotated[
        Path,
        typer.Argument(
            metavar="SOURCE", help="Folder of studies, a table with a column 'path', or a saved query (TOML)."
        ),
    ],
    out: Annotated[Path, typer.Option("--out", help="Folder for the results of all studies.")],
    detector: Annotated[str, typer.Option("--detector", help=f"{listed((*detector_ids(), 'auto'))}.")] = "auto",
    engine: Annotated[str, typer.Option("--engine", help=f"Where to compute: {listed(ENGINES)}.")] = "local",
    workers: Annotated[
        int | None,
        typer.Option("--workers", min=1, help="Studies read at once; default: 1, on a Ray cluster all that fit."),
    ] = None,
    address: Annotated[
        str | None, typer.Option("--address", help="Of a Ray cluster; by default Ray runs on this computer.")
    ] = None,
    gpus_each: Annotated[
        float | None, typer.Option("--gpus-each", min=0, help="Graphics cards of a Ray worker; 0.5: two share one.")
    ] = None,
    slurm: Annotated[
        list[str] | None,
        typer.Option("--slurm", metavar="NAME=VALUE", help="An option of sbatch, such as partition=gpu; repeatable."),
    ] = None,
    model: Model = None,
    calibration: Calibration = None,
    device: Device = "auto",
    threads: Threads = None,  # noqa: ARG001
    models_folder: ModelFolders = None,
    dicom: Annotated[
        bool, typer.Option("--dicom", help="Also write DICOM Segmentation and Structured Report.")
    ] = False,
    retry_failed: Annotated[bool, typer.Option("--retry-failed", help="Read again what failed before.")] = False,
    database: Database = None,
    urgency: Urgency = None,
    servers: ServersFile = None,
    show_patient: Annotated[
        bool, typer.Option("--show-patient", help="Keep name and number of patients in your account, for the list.")
    ] = False,
) -> None:
    """Read many studies, each once; a batch that was stopped goes on where it was. Exit status 1 if any failed."""
    from AcuteFindingsLib.worklist.batch import read_batch
    from AcuteFindingsLib.worklist.batch_list import BatchList
    from AcuteFindingsLib.worklist.engines.choose import make_engine
    from AcuteFindingsLib.worklist.exams import find_exams
    from AcuteFindingsLib.worklist.reading import ReadSettings
    from AcuteFindingsLib.worklist.urgency import read_urgency

    one_of("--detector", detector, (*detector_ids(), "auto"))
    one_of("--engine", engine, ENGINES)
    settings = ReadSettings(
        out=out.absolute(),
        detector=detector,
        model=model,
        calibration=calibration,
        device=device_name(device),
        model_folders=tuple(folder.absolute() for folder in models_folder or ()),
        dicom=dicom,
        retry_failed=retry_failed,
    )
    settings_of_urgency = None if urgency is None else read_urgency(urgency)
    failed: list[str] = []

    def told(exam: "Exam", answer: "Answer") -> None:
        shown.heard(exam, answer)
        if isinstance(answer, str):
            failed.append(f"{exam.source}: {answer}")
            return
        failed.extend(
            f"{exam.source}: {one.record.detector}: {one.record.said}"
            for one in answer
            if one.record.state == "failed" and not one.skipped
        )

    reads = make_engine(engine, workers=workers, address=address, gpus=gpus_each, options=_options(slurm))
    problems: tuple[str, ...] = ()
    if source.suffix.lower() == ".toml":
        found, problems = _fetched(source, settings.out, servers)
    else:
        with progress_bar() as progress:
            found = find_exams(source.absolute(), progress=progress)
    shown = BatchList(settings.out, url=database, settings=settings_of_urgency, patients=show_patient)
    shown.waiting(found.exams)
    try:
        with progress_bar() as progress:
            result = read_batch(found, settings, reads, told=told, begun=shown.begun, progress=progress)
    finally:
        table, page = shown.finish()
    for line in failed[:_MOST_NAMED]:
        err_console.print(f"  failed  {plain(line)}")
    if (more := len(failed) - _MOST_NAMED) > 0:
        err_console.print(f"  failed  and {more} more")
    for path in found.missing[:_MOST_NAMED]:
        err_console.print(f"  missing  {plain(path)}")
    for problem in problems[:_MOST_NAMED]:
        err_console.print(f"  archive  {plain(problem)}")
    if found.unreadable:
        err_console.print(f"  {counted(len(found.unreadable), 'file')} that should be DICOM cannot be read.")
    out_console.print(f"{counted(len(found.exams), 'examination')}: {result.line()}. {RESEARCH_USE_ONLY}")
    if found.others:
        out_console.print(f"  {counted(found.others, 'examination')} of modalities that no detector reads left alone")
    out_console.print(f"  results  {out}")
    out_console.print(f"  list     {table}")
    out_console.print(f"  page     {page}")
    if result.wrong or found.missing or found.unreadable or problems:
        raise typer.Exit(1)


def _fetched(source: Path, out: Path, servers: Path | None) -> "tuple[Found, tuple[str, ...]]":
    """Fetch what a saved query asks for into the spool of the results; also returns what did not come."""
    from AcuteFindingsLib.worklist.intake.saved_query import fetch_studies, read_saved_query
    from AcuteFindingsLib.worklist.intake.spool import Spool

    saved = read_saved_query(source)
    connection = connection_to(saved.server, servers)
    with progress_bar() as progress:
        fetched = fetch_studies(connection, saved.query, Spool(out / "incoming"), progress=progress)
    return fetched.found, fetched.problems


def _options(pairs: list[str] | None) -> dict[str, str]:
    """Return options of sbatch by name; two dashes before a name are left out."""
    options = {}
    for pair in pairs or ():
        name, equals, value = pair.partition("=")
        if not equals or not name.strip("-"):
            raise EngineError(f"--slurm {pair}: write NAME=VALUE, such as partition=gpu.")
        options[name.removeprefix("--").replace("-", "_")] = value
    return options
