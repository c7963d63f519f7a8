"""Fetching over classic DICOM: C-MOVE to a receiver of our own, C-GET for what does not come that way."""

import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from pydicom.dataset import Dataset
from pynetdicom import AE, ALL_TRANSFER_SYNTAXES, AllStoragePresentationContexts, Association, evt
from pynetdicom.presentation import PresentationContext, build_context, build_role
from pynetdicom.sop_class import (  # type: ignore[attr-defined]
    StudyRootQueryRetrieveInformationModelGet,
    StudyRootQueryRetrieveInformationModelMove,
)

from AcuteFindingsLib.detectors.detector import Cancelled
from AcuteFindingsLib.errors import PacsError
from AcuteFindingsLib.pacs.association import association
from AcuteFindingsLib.pacs.connection import stop_if
from AcuteFindingsLib.pacs.instance_files import UNREADABLE, Inbox, disk_error
from AcuteFindingsLib.pacs.matches import InstanceMatch
from AcuteFindingsLib.pacs.servers import DimseServer
from AcuteFindingsLib.pacs.tls import receiver_context

# A list of UIDs longer than this exceeds what some servers take in one request.
_BATCH = 50
# PS3.8 9.3.2.2: context identifiers are the odd numbers up to 255; one is the request's own.
_MAX_CONTEXTS = 128
_SUCCESS, _PARTLY, _UNKNOWN_DESTINATION, _CANCELLED = 0x0000, 0xB000, 0xA801, 0xFE00
_PENDING = 0xFF00
_REFUSED, _CANNOT_UNDERSTAND, _OUT_OF_ROOM = 0x0124, 0xC000, 0xA700
_WATCH_INTERVAL = 0.1


def retrieve(
    server: DimseServer, wanted: Sequence[InstanceMatch], inbox: Inbox, *, complete: bool, cancelled: Cancelled
) -> None:
    """Bring instances of one series into the inbox.

    Raises
    ------
    PacsError
        Where no way of retrieving works at all; single instances that do not come stay missing in the inbox.
    CancelledError
        When asked to stop; what has come is kept.
    """
    ways = []
    if server.retrieve == "move" or (server.retrieve == "auto" and server.receive_port):
        ways.append(("C-MOVE", _move))
    if server.retrieve in ("auto", "get"):
        ways.append(("C-GET", _get))
    reasons = []
    for name, way in ways:
        try:
            reason = way(server, wanted, inbox, complete=complete, cancelled=cancelled)
        except PacsError as error:
            if inbox.failure is not None:
                raise
            reason = str(error)
        if not inbox.missing:
            return
        if reason and reason not in reasons:
            reasons.append(reason if len(ways) == 1 else f"{name}: {reason}")
    inbox.refused.extend(reasons)
    if len(inbox.missing) == len(wanted):
        raise PacsError(f"{server.name} sent nothing. {' '.join(reasons)}".strip())


def _move(
    server: DimseServer, wanted: Sequence[InstanceMatch], inbox: Inbox, *, complete: bool, cancelled: Cancelled
) -> str:
    """Ask the server to send to our receiver; returns why not all came, or nothing."""
    model = StudyRootQueryRetrieveInformationModelMove
    reason = ""
    with (
        _receiver(server, wanted, inbox),
        association(server, [build_context(model)], service="retrieval by C-MOVE") as opened,
    ):
        for identifier in _identifiers(wanted, inbox, complete=complete):
            answers = opened.send_c_move(identifier, server.own_ae_title, model)
            reason = _follow(server, opened, answers, model, inbox, cancelled) or reason
            if not opened.is_established:
                break
    return reason


def _get(
    server: DimseServer, wanted: Sequence[InstanceMatch], inbox: Inbox, *, complete: bool, cancelled: Cancelled
) -> str:
    """Fetch over our own association; returns why not all came, or nothing."""
    model = StudyRootQueryRetrieveInformationModelGet
    storage = _contexts_for(wanted)
    kinds = dict.fromkeys(str(context.abstract_syntax) for context in storage)
    roles = [build_role(uid, scp_role=True) for uid in kinds]
    handlers = [(evt.EVT_C_STORE, _take, [inbox])]
    reason = ""
    with association(
        server, [build_context(model), *storage], service="retrieval by C-GET", roles=roles, handlers=handlers
    ) as opened:
        if not any(context.abstract_syntax == model for context in opened.accepted_contexts):
            return "the server does not offer it to us; ask its administrator to permit it."
        for identifier in _identifiers(wanted, inbox, complete=complete and len(inbox.missing) == len(wanted)):
            answers = opened.send_c_get(identifier, model)
            reason = _follow(server, opened, answers, model, inbox, cancelled) or reason
            if not opened.is_established:
                break
    return reason


def _identifiers(wanted: Sequence[InstanceMatch], inbox: Inbox, *, complete: bool) -> Iterator[Dataset]:
    """Ask for the series as a whole where all of it is wanted, else for lists of instances."""
    missing = inbox.missing
    if complete:
        identifier = Dataset()
        identifier.QueryRetrieveLevel = "SERIES"
        identifier.StudyInstanceUID = wanted[0].study_uid
        identifier.SeriesInstanceUID = wanted[0].series_uid
        yield identifier
        return
    for start in range(0, len(missing), _BATCH):
        identifier = Dataset()
        identifier.QueryRetrieveLevel = "IMAGE"
        identifier.StudyInstanceUID = wanted[0].study_uid
        identifier.SeriesInstanceUID = wanted[0].series_uid
        identifier.SOPInstanceUID = [match.sop_uid for match in missing[start : start + _BATCH]]
        yield identifier


def _contexts_for(wanted: Sequence[InstanceMatch]) -> list[PresentationContext]:
    """One context for each kind of object and transfer syntax, so that the server can send each as it is stored."""
    classes = list(dict.fromkeys(match.sop_class_uid for match in wanted if match.sop_class_uid))
    room = _MAX_CONTEXTS - 1
    if not classes:
        usual = [context.abstract_syntax for context in AllStoragePresentationContexts]
        return [build_context(uid, ALL_TRANSFER_SYNTAXES) for uid in usual[:room] if uid]
    if len(classes) * len(ALL_TRANSFER_SYNTAXES) > room:
        return [build_context(uid, ALL_TRANSFER_SYNTAXES) for uid in classes[:room]]
    return [build_context(uid, syntax) for uid in classes for syntax in ALL_TRANSFER_SYNTAXES]


@contextmanager
def _receiver(server: DimseServer, wanted: Sequence[InstanceMatch], inbox: Inbox) -> Iterator[None]:
    """Listen for what C-MOVE brings, only for as long as it is needed, and only for what was asked for."""
    if server.receive_port is None:
        raise PacsError(f"{server.name}: C-MOVE needs receive_port, where the server sends to; ask its administrator.")
    entity = AE(ae_title=server.own_ae_title)
    entity.require_called_aet = True
    entity.network_timeout = server.timeout
    entity.maximum_pdu_size = 0
    classes = {match.sop_class_uid for match in wanted}
    if "" in classes:
        classes = {str(context.abstract_syntax) for context in AllStoragePresentationContexts}
    for uid in sorted(classes):
        entity.add_supported_context(uid, ALL_TRANSFER_SYNTAXES)
    encrypted = server.tls if server.receive_tls is None else server.receive_tls
    secure = receiver_context(server) if encrypted else None
    try:
        listening = entity.start_server(
            (server.receive_host, server.receive_port),
            block=False,
            ssl_context=secure,
            evt_handlers=[(evt.EVT_C_STORE, _take, [inbox])],
        )
    except OSError as error:
        raise PacsError(
            f"{server.name}: port {server.receive_port} cannot be listened on ({error.strerror or error}); another "
            "program has it, perhaps another pull. Wait for that, or have the server send to another port."
        ) from error
    try:
        yield
    finally:
        if listening is not None:
            listening.shutdown()


def _take(event: evt.Event, inbox: Inbox) -> int:
    """Keep one instance that the server sends; returns the status to answer with (PS3.4 B.2.3)."""
    try:
        return _SUCCESS if inbox.take_bytes(event.encoded_dataset()) else _REFUSED
    except OSError:
        return _OUT_OF_ROOM
    except UNREADABLE:
        return _CANNOT_UNDERSTAND


def _follow(
    server: DimseServer,
    opened: Association,
    answers: Iterator[tuple[Dataset, Dataset | None]],
    model: str,
    inbox: Inbox,
    cancelled: Cancelled,
) -> str:
    """Read the answers to one request to their end; returns why not all came, or nothing."""
    with _Watch(server, opened, model, inbox, cancelled) as watch:
        code = None
        for status, _ in answers:
            watch.heard()
            code = int(status.Status) if "Status" in status else None
            if code is None:
                break
    if inbox.failure is not None:
        raise disk_error(inbox.folder, inbox.failure) from inbox.failure
    stop_if(lambda: watch.stopped or cancelled())
    if code == _SUCCESS and not inbox.missing:
        return ""
    return _explain(server, code, quiet=watch.quiet)


class _Watch:
    """Ends a retrieval when the user asks to stop, or when nothing has come for the server's timeout."""

    def __init__(
        self, server: DimseServer, opened: Association, model: str, inbox: Inbox, cancelled: Cancelled
    ) -> None:
        self._server, self._opened, self._model = server, opened, model
        self._inbox, self._cancelled = inbox, cancelled
        self._over = threading.Event()
        self._last = time.monotonic()
        self._left = len(inbox.missing)
        self._thread = threading.Thread(target=self._watch, name="retrieval watch", daemon=True)
        self.stopped = self.quiet = False
        self._usual = opened.dimse_timeout

    def heard(self) -> None:
        """Note that the server answered."""
        self._last = time.monotonic()

    def __enter__(self) -> "_Watch":
        # The watch knows of instances that come between the answers, which the association's timeout does not.
        self._opened.dimse_timeout = None
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()
        self._opened.dimse_timeout = self._usual

    def _watch(self) -> None:
        while not self._over.wait(_WATCH_INTERVAL):
            left = len(self._inbox.missing)
            if left != self._left:
                self._left = left
                self.heard()
            self.stopped = self._cancelled() or self._inbox.failure is not None
            self.quiet = time.monotonic() - self._last > self._server.timeout
            if self.stopped or self.quiet:
                if self._opened.is_established:
                    self._opened.send_c_cancel(1, query_model=self._model)
                self._opened.abort()
                # Wakes the thread that waits for an answer, as the library does when the connection breaks.
                self._opened.dimse.msg_queue.put((None, None))
                return


def _explain(server: DimseServer, code: int | None, *, quiet: bool) -> str:
    """Say what the final status of a retrieval means (PS3.4 C.4.2.1.5) and what to do."""
    if quiet:
        return f"nothing came for {server.timeout:g} s; try again, or set a longer timeout."
    if code is None:
        return "the connection broke; run the same command again, what has come is kept."
    if code == _UNKNOWN_DESTINATION:
        return (
            f"the server does not know where to send to; ask its administrator to register AE title "
            f"{server.own_ae_title} with this computer's address and port {server.receive_port}."
        )
    if code in (_SUCCESS, _PARTLY, 0xA702) or 0xC000 <= code <= 0xCFFF:
        return (
            f"the server could not send everything (0x{code:04X}); check that it knows {server.own_ae_title} at this "
            f"computer's address and port {server.receive_port or '(none given)'}, and that no firewall stands between."
        )
    if code == _CANCELLED:
        return "the server stopped the transfer."
    return f"the server answers 0x{code:04X}; its log says why."
