"""The commands that speak with an image archive."""

import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.box import SIMPLE
from rich.table import Table

from AcuteFindingsLib.cli.common import (
    PlainConsole,
    err_console,
    help_without_command,
    one_of,
    out_console,
    print_json,
    progress_bar,
)
from AcuteFindingsLib.errors import CancelledError, PacsError

if TYPE_CHECKING:
    from AcuteFindingsLib.pacs.connection import Connection, StoreAnswer
    from AcuteFindingsLib.pacs.matches import InstanceMatch, SeriesMatch, StudyMatch
    from AcuteFindingsLib.pacs.pull import PulledSeries
    from AcuteFindingsLib.pacs.push import ToSend

_FAILED = 1
# More lines of the same answer than this are told as one.
_LINES_A_SERIES = 10
# Wide, so that a UID is never broken and can be copied.
_TABLE_WIDTH = 400

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

servers_app = typer.Typer(help="The archives that find, pull and push know.")


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
    limit: Annotated[int, typer.Option("--limit", min=1, help="Studies at most.")] = 200,
    show_patient: ShowPatient = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    servers: ServersFile = None,
) -> None:
    """Ask an archive which studies, series or instances it has."""
    one_of("--level", level, ("auto", "study", "series", "instance"))
    if level == "auto":
        level = "instance" if series else "series" if study else "study"
    connection = _connect(server, servers)
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
    if level == "study":
        _show(studies, _study_table, as_json=as_json)
    else:
        found = [match for one in studies for match in connection.find_series(one.study_uid)]
        found = [match for match in found if series in (None, match.series_uid) and modality in (None, match.modality)]
        if level == "series":
            _show(found, _series_table, as_json=as_json)
        else:
            instances = [
                item for match in found for item in connection.find_instances(match.study_uid, match.series_uid)
            ]
            _show(instances, _instance_table, as_json=as_json)
    if len(studies) == limit:
        err_console.print(f"There may be more: {limit} studies are what --limit allows.")


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
    """Fetch a study from an archive; run again after a break, and only what is missing is fetched."""
    from AcuteFindingsLib.pacs.pull import pull_studies

    connection = _connect(server, servers)
    studies = _find_studies(
        connection, study=study, accession=accession, patient_id=patient_id, date=date, show_patient=show_patient
    )
    if not studies:
        raise PacsError(f"{server} has no such study.")
    _print_table(_study_table(studies))
    if len(studies) > 1 and not all_studies:
        raise PacsError(f"{len(studies)} studies fit; choose one with --study UID, or fetch all with --all.")
    with _stop_on_interrupt() as cancelled, progress_bar() as progress:
        pulled = pull_studies(
            connection, studies, out, series_uid=series, modality=modality, progress=progress, cancelled=cancelled
        )
    return _report_pull(pulled)


def push(
    server: ServerName,
    paths: Annotated[list[Path], typer.Argument(metavar="PATH...", help="DICOM files, or folders with DICOM files.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print every instance's answer as JSON.")] = False,
    servers: ServersFile = None,
) -> int:
    """Send DICOM files to an archive, as they are; exit status 1 where anything was not stored."""
    from AcuteFindingsLib.pacs.push import collect_files, push_files

    connection = _connect(server, servers)
    with _stop_on_interrupt() as cancelled, progress_bar() as progress:
        found = collect_files(paths, progress=progress, cancelled=cancelled)
        answers = push_files(connection, found.files, progress=progress, cancelled=cancelled)
    if as_json:
        print_json(_push_as_json(found, answers))
    else:
        _report_push(found, answers)
    return 0 if all(answer.stored for answer in answers) and not found.damaged else _FAILED


@servers_app.callback(invoke_without_command=True)
def _root(context: typer.Context) -> None:
    help_without_command(context)


@servers_app.command("list")
def list_servers(servers: ServersFile = None) -> None:
    """Show the servers of the file."""
    from AcuteFindingsLib.pacs.servers import read_servers

    table = Table("name", "kind", "where", "TLS", "login", box=SIMPLE)
    for name, entry in read_servers(_servers_file(servers)).items():
        login = "keyring" if entry.password or entry.token else "file" if entry.has_login else "none"
        table.add_row(name, entry.kind, entry.address, "yes" if entry.encrypted else "no", login)
    _print_table(table)


@servers_app.command("test")
def try_servers(
    names: Annotated[list[str] | None, typer.Argument(metavar="[SERVER]...", help="Which; none tests all.")] = None,
    servers: ServersFile = None,
) -> int:
    """Ask each server whether it is there and lets us in; exit status 1 where one does not."""
    from AcuteFindingsLib.pacs.connection import connect
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
    """Print a file of servers to begin with."""
    from AcuteFindingsLib.pacs.servers import EXAMPLE

    print(EXAMPLE, end="")


def _servers_file(servers: Path | None) -> Path:
    from AcuteFindingsLib.pacs.servers import default_servers_file

    return servers or default_servers_file()


def _connect(name: str, servers: Path | None) -> "Connection":
    from AcuteFindingsLib.pacs.connection import connect
    from AcuteFindingsLib.pacs.servers import find_server

    return connect(find_server(_servers_file(servers), name))


def _find_studies(
    connection: "Connection", *, show_patient: bool, limit: int = 200, **asked: str | None
) -> list["StudyMatch"]:
    from AcuteFindingsLib.pacs.matches import StudyQuery

    query = StudyQuery(
        study_uid=asked.get("study"),
        accession=asked.get("accession"),
        patient_id=asked.get("patient_id"),
        date=asked.get("date"),
        modality=asked.get("modality"),
    )
    return connection.find_studies(query, show_patient=show_patient, limit=limit)


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


def _show(matches: Sequence[Any], table: Callable[[Sequence[Any]], Table], *, as_json: bool) -> None:
    if as_json:
        print_json([asdict(match) for match in matches])
    elif matches:
        _print_table(table(matches))
    else:
        out_console.print("Nothing fits.")


def _print_table(table: Table) -> None:
    PlainConsole(width=_TABLE_WIDTH, highlight=False, markup=False).print(table)


def _study_table(studies: Sequence["StudyMatch"]) -> Table:
    patients = any(study.patient for study in studies)
    columns = ("patient", "patient ID", "born", "accession") if patients else ()
    table = Table("date", "modality", "description", "series", "instances", *columns, "study UID", box=SIMPLE)
    for study in studies:
        facts = study.patient
        shown = (facts.name, facts.patient_id, facts.birth_date, facts.accession) if facts else ()
        table.add_row(
            f"{study.date} {study.time[:4]}".strip(),
            "/".join(study.modalities),
            study.description,
            _count(study.series_count),
            _count(study.instance_count),
            *shown,
            study.study_uid,
        )
    return table


def _series_table(found: Sequence["SeriesMatch"]) -> Table:
    several = len({series.study_uid for series in found}) > 1
    columns = ("study UID",) if several else ()
    table = Table("number", "modality", "description", "instances", "series UID", *columns, box=SIMPLE)
    for series in found:
        facts = (_count(series.number), series.modality, series.description, _count(series.instance_count))
        table.add_row(*facts, series.series_uid, *((series.study_uid,) if several else ()))
    return table


def _instance_table(found: Sequence["InstanceMatch"]) -> Table:
    from pydicom.uid import UID

    table = Table("number", "kind", "instance UID", box=SIMPLE)
    for instance in found:
        kind = UID(instance.sop_class_uid).name if instance.sop_class_uid else ""
        table.add_row(_count(instance.number), kind, instance.sop_uid)
    return table


def _count(number: int | None) -> str:
    return "" if number is None else str(number)


def _report_pull(pulled: Sequence["PulledSeries"]) -> int:
    missing = 0
    for result in pulled:
        here = f", {result.present} were here already" if result.present else ""
        lacks = f", {len(result.missing)} MISSING" if result.missing else ""
        out_console.print(f"{result.series.modality}: {result.fetched} fetched{here}{lacks}")
        out_console.print(f"  {result.folder}")
        for remark in result.remarks:
            out_console.print(f"  {remark}")
        missing += len(result.missing)
    if missing:
        err_console.print(f"acutefindings: {missing} instances did not come; run the same command again to fetch them.")
    return _FAILED if missing else 0


def _report_push(found: "ToSend", answers: Sequence["StoreAnswer"]) -> None:
    def same(answer: "StoreAnswer") -> tuple[str, ...]:
        return answer.file.series_uid, answer.file.modality, answer.state, answer.code, answer.text

    for (series_uid, modality, state, _, text), grouped in groupby(answers, key=same):
        group = list(grouped)
        many = len(group) > _LINES_A_SERIES and state != "refused"
        for answer in group[:1] if many else group:
            what = f"{len(group)} instances of series {series_uid}" if many else answer.file.sop_uid
            code = f" ({answer.code})" if answer.code else ""
            said = "" if text == state else f": {text}"
            out_console.print(f"{state}{code}  {modality} {what}{said}")
            if not answer.stored and not many:
                out_console.print(f"  {answer.file.path}")
    for path in found.damaged:
        out_console.print(f"not sent  {path}: cut short, or without what identifies an instance")
    if found.others:
        out_console.print(f"{len(found.others)} files that are no DICOM objects were left out.")
    stored = sum(answer.stored for answer in answers)
    failed = len(answers) - stored + len(found.damaged)
    out_console.print(f"{stored} of {stored + failed} instances are stored.")
    if failed:
        err_console.print(f"acutefindings: {failed} instances are NOT stored; run the same command again to send them.")


def _push_as_json(found: "ToSend", answers: Sequence["StoreAnswer"]) -> dict[str, Any]:
    instances = [
        {
            "file": str(answer.file.path),
            "sop_instance_uid": answer.file.sop_uid,
            "state": answer.state,
            "code": answer.code,
            "text": answer.text,
        }
        for answer in answers
    ]
    return {
        "instances": instances,
        "damaged": [str(path) for path in found.damaged],
        "left_out": [str(path) for path in found.others],
    }
