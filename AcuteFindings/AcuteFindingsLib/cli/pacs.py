"""The commands that speak with an image archive."""

import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from AcuteFindingsLib.cli.common import (
    AsJson,
    err_console,
    help_without_command,
    one_of,
    out_console,
    print_json,
    progress_bar,
)
from AcuteFindingsLib.cli.pacs_report import (
    push_as_json,
    report_incomplete,
    report_pull,
    report_push,
    show_instances,
    show_matches,
    show_series,
    show_studies,
)
from AcuteFindingsLib.cli.tables import print_rows
from AcuteFindingsLib.errors import CancelledError, PacsError

if TYPE_CHECKING:
    from AcuteFindingsLib.pacs.connection import Connection
    from AcuteFindingsLib.pacs.matches import StudyMatch

_FAILED = 1
_MOST_STUDIES = 200

ServerName = Annotated[str, typer.Argument(metavar="SERVER", help="A server's name in the file of servers.")]
ServersFile = Annotated[
    Path | None, typer.Option("--servers", help="The file of servers.  [default: ~/.config/acutefindings/servers.toml]")
]
StudyUid = Annotated[str | None, typer.Option("--study", help="Study Instance UID.")]
Accession = Annotated[str | None, typer.Option("--accession", help="Accession number, exactly.")]
PatientId = Annotated[str | None, typer.Option("--patient-id", help="Patient ID, exactly.")]
Date = Annotated[str | None, typer.Option("--date", help="YYYYMMDD, or a range YYYYMMDD-YYYYMMDD.")]
ModalityOption = Annotated[str | None, typer.Option("--modality", help="CT, DX, SEG, SR …")]
SeriesUid = Annotated[str | None, typer.Option("--series", help="Series Instance UID.")]
ShowPatient = Annotated[bool, typer.Option("--show-patient", help="Show names and numbers of patients.")]

servers_app = typer.Typer(help="The archives that find, pull and push use.")


def find(
    server: ServerName,
    study: StudyUid = None,
    accession: Accession = None,
    patient_id: PatientId = None,
    date: Date = None,
    modality: ModalityOption = None,
    series: SeriesUid = None,
    level: Annotated[
        str,
        typer.Option("--level", help="study, series or instance; auto: series of one study, instances of one series."),
    ] = "auto",
    limit: Annotated[int, typer.Option("--limit", min=1, help="Studies at most.")] = _MOST_STUDIES,
    show_patient: ShowPatient = False,
    as_json: AsJson = False,
    servers: ServersFile = None,
) -> int:
    """List the studies, series or instances of an archive; exit status 2 if the list is incomplete."""
    one_of("--level", level, ("auto", "study", "series", "instance"))
    if level == "auto":
        level = "instance" if series else "series" if study else "study"
    connection = connection_to(server, servers)
    # A series' own modality decides below; some servers do not search for it across a study.
    studies = _find_studies(
        connection,
        study=study,
        accession=accession,
        patient_id=patient_id,
        date=date,
        modality=modality if level == "study" else None,
        show_patient=show_patient,
        limit=limit,
    )
    uncounted: list[str] = []
    if level == "study":
        show_matches(studies, show_studies, as_json=as_json)
    else:
        found = []
        for one in studies:
            listed = connection.find_series(one.study_uid)
            uncounted += _fewer(one.series_count, len(listed), f"series in study {one.study_uid}")
            found += listed
        found = [match for match in found if series in (None, match.series_uid) and modality in (None, match.modality)]
        if level == "series":
            show_matches(found, show_series, as_json=as_json)
        else:
            instances = []
            for match in found:
                items = connection.find_instances(match.study_uid, match.series_uid)
                uncounted += _fewer(match.instance_count, len(items), f"instances in series {match.series_uid}")
                instances += items
            show_matches(instances, show_instances, as_json=as_json)
    if len(studies) == limit:
        err_console.print(f"There may be more: --limit allows {'1 study' if limit == 1 else f'{limit} studies'}.")
    return report_incomplete([*(shortfall.text for shortfall in connection.shortfalls), *uncounted])


def pull(
    server: ServerName,
    out: Annotated[Path, typer.Option("--out", help="Folder; each study becomes a folder named by its UID.")],
    study: StudyUid = None,
    accession: Accession = None,
    patient_id: PatientId = None,
    date: Date = None,
    series: SeriesUid = None,
    modality: ModalityOption = None,
    all_studies: Annotated[
        bool, typer.Option("--all", help="Fetch all studies that fit, not only a single one.")
    ] = False,
    show_patient: ShowPatient = False,
    servers: ServersFile = None,
) -> int:
    """Fetch a study from an archive; run it again after an interruption to fetch only what is missing.

    Exit status 2 where something did not come.
    """
    from AcuteFindingsLib.pacs.pull import pull_studies

    connection = connection_to(server, servers)
    studies = _find_studies(
        connection, study=study, accession=accession, patient_id=patient_id, date=date, show_patient=show_patient
    )
    if not studies:
        report_incomplete([shortfall.text for shortfall in connection.shortfalls])
        raise PacsError(f"{server} has no such study.")
    show_studies(studies)
    if len(studies) > 1 and not all_studies:
        raise PacsError(f"{len(studies)} studies fit; choose one with --study UID, or fetch all with --all.")
    with _stop_on_interrupt() as cancelled, progress_bar() as progress:
        pulled = pull_studies(
            connection, studies, out, series_uid=series, modality=modality, progress=progress, cancelled=cancelled
        )
    shortfalls = [shortfall.text for shortfall in connection.shortfalls if shortfall.level != "instance"]
    if len(studies) == _MOST_STUDIES:
        shortfalls.append(f"{_MOST_STUDIES} studies are taken at once, and the server has more; narrow --date")
    if series is None and modality is None:
        empty = {one.study_uid for one in studies} - {result.series.study_uid for result in pulled}
        shortfalls += [f"the server lists no series in study {uid}" for uid in sorted(empty)]
    return report_pull(pulled, shortfalls)


def _fewer(counted: int | None, listed: int, what: str) -> list[str]:
    """Say that a server lists fewer than it counts, where it does."""
    return [f"the server counts {counted} {what} and lists {listed}"] if (counted or 0) > listed else []


def push(
    server: ServerName,
    paths: Annotated[list[Path], typer.Argument(metavar="PATH...", help="DICOM files, or folders with DICOM files.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print every instance's answer as JSON.")] = False,
    servers: ServersFile = None,
) -> int:
    """Send DICOM files unchanged to an archive; exit status 1 if anything was not stored."""
    from AcuteFindingsLib.pacs.push import collect_files, push_files

    connection = connection_to(server, servers)
    with _stop_on_interrupt() as cancelled, progress_bar() as progress:
        found = collect_files(paths, progress=progress, cancelled=cancelled)
        answers = push_files(connection, found.files, progress=progress, cancelled=cancelled)
    if as_json:
        print_json(push_as_json(found, answers))
    else:
        report_push(found, answers)
    return 0 if all(answer.stored for answer in answers) and not found.damaged else _FAILED


@servers_app.callback(invoke_without_command=True)
def _root(context: typer.Context) -> None:
    help_without_command(context)


@servers_app.command("list")
def list_servers(servers: ServersFile = None, as_json: AsJson = False) -> None:
    """Show the servers of the file."""
    from AcuteFindingsLib.pacs.servers import read_servers

    rows = []
    for name, entry in read_servers(_servers_file(servers)).items():
        login = "keyring" if entry.password or entry.token else "file" if entry.has_login else "none"
        rows.append((name, entry.kind, "yes" if entry.encrypted else "no", login, entry.address))
    columns = ("name", "kind", "TLS", "login", "where")
    if as_json:
        print_json([dict(zip(columns, row, strict=True)) for row in rows])
    else:
        print_rows(columns, rows)


@servers_app.command("test")
def try_servers(
    names: Annotated[
        list[str] | None, typer.Argument(metavar="[SERVER]...", help="Which servers; default: all.")
    ] = None,
    servers: ServersFile = None,
) -> int:
    """Test the connection and the login of each server; exit status 1 if one fails."""
    from AcuteFindingsLib.pacs.connect import connect
    from AcuteFindingsLib.pacs.servers import find_server, read_servers

    file = _servers_file(servers)
    entries = [find_server(file, name) for name in names] if names else list(read_servers(file).values())
    failed = 0
    for entry in entries:
        try:
            out_console.print(f"{entry.name}: works. {connect(entry).test()}.")
        except PacsError as error:
            failed += 1
            out_console.print(f"{entry.name}: FAILS. {error}")
    return _FAILED if failed else 0


@servers_app.command("example")
def example_servers() -> None:
    """Print a template for the file of servers."""
    from AcuteFindingsLib.pacs.servers import EXAMPLE

    print(EXAMPLE, end="")


def _servers_file(servers: Path | None) -> Path:
    from AcuteFindingsLib.pacs.servers import default_servers_file

    return servers or default_servers_file()


def connection_to(name: str, servers: Path | None) -> "Connection":
    """Return the connection to a server of the file of servers; raises `PacsError` where there is none."""
    from AcuteFindingsLib.pacs.connect import connect
    from AcuteFindingsLib.pacs.servers import find_server

    return connect(find_server(_servers_file(servers), name))


def _find_studies(
    connection: "Connection", *, show_patient: bool, limit: int = _MOST_STUDIES, **asked: str | None
) -> list["StudyMatch"]:
    from AcuteFindingsLib.pacs.matches import StudyQuery
    from AcuteFindingsLib.pacs.study_search import find_studies

    query = StudyQuery(
        study_uid=asked.get("study"),
        accession=asked.get("accession"),
        patient_id=asked.get("patient_id"),
        date=asked.get("date"),
        modality=asked.get("modality"),
    )
    return find_studies(connection, query, show_patient=show_patient, limit=limit)


@contextmanager
def _stop_on_interrupt() -> Iterator[Callable[[], bool]]:
    """Let the first Ctrl-C end the work after the current instance, and the second at once."""
    asked = False

    def stop(*_: object) -> None:
        nonlocal asked
        if asked:
            raise KeyboardInterrupt
        asked = True
        print("Stopping after this instance; press Ctrl-C again to stop at once.", file=sys.stderr)

    before = signal.signal(signal.SIGINT, stop)
    try:
        yield lambda: asked
    except CancelledError as error:
        err_console.print(str(error))
        raise typer.Abort from error
    finally:
        signal.signal(signal.SIGINT, before)
