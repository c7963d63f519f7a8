"""A receiver of classic DICOM (C-STORE, C-ECHO) that puts what it is sent into the spool before it acknowledges it."""

import io
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pydicom

from AcuteFindingsLib.budgets import budgets
from AcuteFindingsLib.errors import PacsError
from AcuteFindingsLib.pacs.dimse_bounds import Bounds
from AcuteFindingsLib.pacs.instance_files import PIXELS, UNREADABLE, has_full_lengths, refuse_growth
from AcuteFindingsLib.pacs.servers import DimseServer
from AcuteFindingsLib.pacs.tls import receiver_context
from AcuteFindingsLib.study.dicom_files import quiet_pydicom
from AcuteFindingsLib.worklist.intake.spool import Spool

LOOPBACK = ("127.0.0.1", "localhost", "::1")

# PS3.4 B.2.3, PS3.7 C: success; out of resources; cannot understand.
_SUCCESS, _OUT_OF_ROOM, _CANNOT_UNDERSTAND = 0x0000, 0xA700, 0xC000
# Verification SOP Class, PS3.4 A.4.
_VERIFICATION = "1.2.840.10008.1.1"
_GREETING_TIMEOUT = 10.0
_PDU_BYTES = 1024 * 1024


@dataclass(frozen=True)
class ListenSettings:
    """Where to listen, and to whom.

    Attributes
    ----------
    port, host
        Only this computer can send unless `host` names another address.
    ae_title
        Ours; a sender must call us by it.
    senders
        AE titles that may send; anybody where there are none.
    certificate, key, authorities
        PEM files: with a certificate, connections are encrypted, and senders must show one that `authorities` signed.
    timeout
        Seconds of silence after which a connection is ended.
    """

    port: int
    host: str = "127.0.0.1"
    ae_title: str = "ACUTEFINDINGS"
    senders: tuple[str, ...] = ()
    certificate: Path | None = None
    key: Path | None = None
    authorities: Path | None = None
    timeout: float = 60.0

    @property
    def open_to_all(self) -> bool:
        """Whether other computers can send without encryption."""
        return self.host not in LOOPBACK and self.certificate is None


@dataclass
class Received:
    """What came: instances kept, ones that were here already, and ones that were refused."""

    kept: int = 0
    repeats: int = 0
    refused: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)

    def count(self, name: str) -> None:
        """Count one more."""
        with self.lock:
            setattr(self, name, getattr(self, name) + 1)


@contextmanager
def listener(settings: ListenSettings, spool: Spool, *, say: Callable[[str], object]) -> Iterator[Received]:
    """Listen for as long as the block runs.

    Parameters
    ----------
    settings
        Where, and to whom.
    spool
        Takes what comes.
    say
        Told in one sentence of what was refused; of a sender it names the AE title alone.

    Raises
    ------
    PacsError
        The port cannot be listened on, a certificate cannot be used, or pynetdicom is not installed.
    """
    try:
        from pynetdicom import AE, ALL_TRANSFER_SYNTAXES, AllStoragePresentationContexts, evt

        from AcuteFindingsLib.pacs.dimse_receiver import Listener
    except ModuleNotFoundError as error:
        raise PacsError(
            f"The receiver needs the package {error.name}, which is missing; install: pip install 'acutefindings[pacs]'"
        ) from error
    received = Received()
    limits = budgets()
    entity = AE(ae_title=settings.ae_title)
    entity.require_called_aet = True
    entity.require_calling_aet = list(settings.senders)
    entity.network_timeout = settings.timeout
    entity.acse_timeout = min(_GREETING_TIMEOUT, settings.timeout)
    entity.maximum_pdu_size = _PDU_BYTES
    entity.maximum_associations = limits.connections
    entity.add_supported_context(_VERIFICATION)
    for context in AllStoragePresentationContexts:
        entity.add_supported_context(str(context.abstract_syntax), ALL_TRANSFER_SYNTAXES)
    bounds = Bounds(seconds=settings.timeout, message_bytes=limits.instance_bytes, total_bytes=2**62)

    def turned_away(event: Any) -> None:
        caller = "".join(sign for sign in str(event.assoc.requestor.ae_title)[:16] if sign.isprintable())
        say(f"A connection from {caller!r} was refused: it is not among the senders, or called us by another title.")

    def store(event: Any) -> int:
        return keep(event.encoded_dataset(), str(event.request.AffectedSOPInstanceUID or ""), spool, received, say)

    try:
        serving: Any = entity.make_server(
            (settings.host, settings.port),
            contexts=entity.supported_contexts,
            ssl_context=_encryption(settings),
            evt_handlers=[
                (evt.EVT_C_STORE, store),
                (evt.EVT_C_ECHO, lambda _event: _SUCCESS),
                (evt.EVT_REJECTED, turned_away),
                bounds.handler,
            ],
            server_class=Listener,
        )
    except OSError as error:
        raise PacsError(
            f"Port {settings.port} of {settings.host} cannot be listened on ({error.strerror or error}); name another "
            "with --listen."
        ) from error
    thread = threading.Thread(target=serving.serve_forever, kwargs={"poll_interval": 0.1}, name="listener")
    thread.start()
    try:
        yield received
    finally:
        serving.shutdown()
        thread.join()


def keep(content: bytes, announced: str, spool: Spool, received: Received, say: Callable[[str], object]) -> int:
    """Put one instance into the spool and return the status to answer with (PS3.4 B.2.3)."""
    try:
        refuse_growth(content)
        with quiet_pydicom():
            data = pydicom.dcmread(io.BytesIO(content))
            elements = list(data.elements())
        study, instance = (str(data.get(name) or "") for name in ("StudyInstanceUID", "SOPInstanceUID"))
        if not study or not instance or (announced and instance != announced):
            raise ValueError("another instance than announced")
        if not has_full_lengths(elements) or ("Rows" in data and not any(name in data for name in PIXELS)):
            raise ValueError("cut short")
    except UNREADABLE:
        received.count("refused")
        say("An instance was refused: it is cut short, no DICOM, or another one than was announced.")
        return _CANNOT_UNDERSTAND
    try:
        new = spool.put(study, instance, content)
    except OSError as error:
        received.count("refused")
        say(f"An instance could not be kept: {error.strerror or error}.")
        return _OUT_OF_ROOM
    received.count("kept" if new else "repeats")
    return _SUCCESS


def _encryption(settings: ListenSettings) -> Any:
    if settings.certificate is None:
        return None
    return receiver_context(
        DimseServer(
            name="--listen",
            folder=Path(),
            kind="dicom",
            host=settings.host,
            port=settings.port,
            ae_title=settings.ae_title,
            certificate_file=settings.certificate,
            key_file=settings.key,
            ca_file=settings.authorities,
        )
    )
