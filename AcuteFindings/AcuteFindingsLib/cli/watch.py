"""`acutefindings watch`: studies read as they arrive."""

import contextlib
import signal
import threading
from collections.abc import Callable
from functools import partial
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Annotated

import typer

from AcuteFindingsLib.cli.common import (
    Calibration,
    Device,
    Model,
    ModelFolders,
    Threads,
    device_name,
    err_console,
    keep_telling,
    listed,
    one_of,
    out_console,
    plain,
)
from AcuteFindingsLib.cli.pacs import ServersFile, connection_to
from AcuteFindingsLib.cli.worklist import Database, Urgency
from AcuteFindingsLib.detectors.registry import detector_ids
from AcuteFindingsLib.errors import WorklistError

if TYPE_CHECKING:
    from AcuteFindingsLib.worklist.intake.listener import ListenSettings


def watch(
    out: Annotated[Path, typer.Option("--out", help="Folder for the results of all studies.")],
    folder: Annotated[
        list[Path] | None, typer.Option("--folder", help="A folder into which studies are put; repeatable.")
    ] = None,
    listen: Annotated[int | None, typer.Option("--listen", min=1, max=65535, help="Port of a DICOM receiver.")] = None,
    host: Annotated[str, typer.Option("--host", help="Address to listen on; by default this computer alone.")] = (
        "127.0.0.1"
    ),
    ae_title: Annotated[str, typer.Option("--ae-title", help="What senders call the receiver.")] = "ACUTEFINDINGS",
    sender: Annotated[
        list[str] | None, typer.Option("--sender", help="AE title that may send; repeatable. Default: any.")
    ] = None,
    tls_certificate: Annotated[
        Path | None, typer.Option("--tls-certificate", help="PEM certificate of the receiver, which then encrypts.")
    ] = None,
    tls_key: Annotated[Path | None, typer.Option("--tls-key", help="Its private key.")] = None,
    tls_authorities: Annotated[
        Path | None, typer.Option("--tls-authorities", help="PEM of who vouches for senders.")
    ] = None,
    poll: Annotated[
        list[str] | None, typer.Option("--poll", metavar="SERVER", help="An archive to ask for studies; repeatable.")
    ] = None,
    modality: Annotated[str | None, typer.Option("--modality", help="Of the series to fetch: CT, DX …")] = None,
    days: Annotated[int, typer.Option("--days", min=0, help="Ask for today and so many days before.")] = 1,
    every: Annotated[float, typer.Option("--every", min=1, help="Seconds from one question to the next.")] = 60.0,
    quiet: Annotated[
        float, typer.Option("--quiet", min=0, help="Seconds without a further image after which a study is complete.")
    ] = 60.0,
    keep_hours: Annotated[
        float, typer.Option("--keep-hours", min=0, help="How long received images stay, for late ones to join them.")
    ] = 24.0,
    spool: Annotated[
        Path | None, typer.Option("--spool", help="Folder for received images; default: OUT/incoming.")
    ] = None,
    return_to: Annotated[
        str | None, typer.Option("--return-to", metavar="SERVER", help="Archive that gets SEG and SR of each result.")
    ] = None,
    webhook: Annotated[
        str | None, typer.Option("--webhook", metavar="URL", help="Told of each verdict; names no patient.")
    ] = None,
    detector: Annotated[str, typer.Option("--detector", help=f"{listed((*detector_ids(), 'auto'))}.")] = "auto",
    workers: Annotated[int, typer.Option("--workers", min=1, help="Studies read at once.")] = 1,
    model: Model = None,
    calibration: Calibration = None,
    device: Device = "auto",
    threads: Threads = None,  # noqa: ARG001
    models_folder: ModelFolders = None,
    database: Database = None,
    urgency: Urgency = None,
    servers: ServersFile = None,
) -> None:
    """Read studies as they arrive, from folders, archives or a DICOM receiver, until stopped (Ctrl+C)."""
    from AcuteFindingsLib.worklist.engines.local import LocalEngine
    from AcuteFindingsLib.worklist.intake.deliver import Delivery
    from AcuteFindingsLib.worklist.intake.listener import ListenSettings, listener
    from AcuteFindingsLib.worklist.intake.poll import Poll
    from AcuteFindingsLib.worklist.intake.spool import Spool
    from AcuteFindingsLib.worklist.intake.watch import Watch, WatchSettings
    from AcuteFindingsLib.worklist.reading import ReadSettings
    from AcuteFindingsLib.worklist.store import Store
    from AcuteFindingsLib.worklist.urgency import read_urgency

    one_of("--detector", detector, (*detector_ids(), "auto"))
    if not (folder or listen or poll):
        raise WorklistError("Nothing to watch: give --folder, --listen or --poll.")
    out = out.absolute()
    ports = (
        None
        if listen is None
        else ListenSettings(listen, host, ae_title, tuple(sender or ()), tls_certificate, tls_key, tls_authorities)
    )
    store = Store(out, url=database, settings=None if urgency is None else read_urgency(urgency))
    engine = LocalEngine(workers, keep=True)
    stopped = _until_stopped()
    watching = Watch(
        ReadSettings(
            out,
            detector,
            model,
            device_name(device),
            tuple(one.absolute() for one in models_folder or ()),
            dicom=return_to is not None,
            calibration=calibration,
        ),
        WatchSettings(quiet, keep=3600 * keep_hours, folders=tuple(one.absolute() for one in folder or ())),
        engine,
        Spool(spool.absolute() if spool is not None else out / "incoming"),
        store,
        [Poll(name, partial(connection_to, name, servers), modality, days, every, _complain) for name in poll or ()],
        Delivery(
            out,
            connect=None if return_to is None else partial(connection_to, return_to, servers),
            webhook=webhook,
            say=_complain,
        ),
        keep_telling,
    )
    # What is named wrongly is told before anything is waited for.
    for server in (*(poll or ()), *([return_to] if return_to else ())):
        connection_to(server, servers)
    try:
        with listener(ports, watching.spool, say=_complain) if ports else contextlib.nullcontext():
            _announce(ports, folder or (), poll or ())
            watching.run(stopped)
    finally:
        engine.close()
        store.close()
    out_console.print(f"stopped; the list is in {out / 'worklist.html'}")


def _announce(ports: "ListenSettings | None", folders: list[Path] | tuple[()], polls: list[str] | tuple[()]) -> None:
    if ports is not None:
        who = f"from {', '.join(ports.senders)}" if ports.senders else "from any sender"
        how = "encrypted" if ports.certificate else "not encrypted"
        out_console.print(f"listening on {ports.host}:{ports.port} as {ports.ae_title}, {who}, {how}")
        if ports.open_to_all:
            err_console.print(
                "  warning  patients' images cross the network unencrypted; give --tls-certificate, or keep this port "
                "inside a closed network"
            )
    for place in folders:
        out_console.print(f"watching {plain(place)}")
    for name in polls:
        out_console.print(f"asking {plain(name)}")


def _until_stopped() -> Callable[[], bool]:
    """Return whether Ctrl+C or the system has asked this program to end."""
    asked = threading.Event()

    def ask(_signal: int, _frame: FrameType | None) -> None:
        asked.set()

    for name in ("SIGINT", "SIGTERM"):
        signal.signal(getattr(signal, name), ask)
    return asked.is_set


def _complain(line: str) -> None:
    keep_telling(f"  {line}", wrong=True)
