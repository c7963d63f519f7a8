"""Fetching over classic DICOM: C-MOVE to a receiver of our own, C-GET for what does not come that way."""

import threading
import time
from collections.abc import Iterator, Sequence

from pydicom.dataset import Dataset
from pynetdicom import ALL_TRANSFER_SYNTAXES, AllStoragePresentationContexts, Association, evt
from pynetdicom.presentation import PresentationContext, build_context, build_role
from pynetdicom.sop_class import (  # type: ignore[attr-defined]
    StudyRootQueryRetrieveInformationModelGet,
    StudyRootQueryRetrieveInformationModelMove,
)

from AcuteFindingsLib.errors import PacsError
from AcuteFindingsLib.pacs.association import association
from AcuteFindingsLib.pacs.connection import KEPT
from AcuteFindingsLib.pacs.dimse_receiver import receiver, receiving_bounds, store_handler
from AcuteFindingsLib.pacs.instance_files import Inbox, disk_error
from AcuteFindingsLib.pacs.matches import InstanceMatch
from AcuteFindingsLib.pacs.servers import DimseServer
from AcuteFindingsLib.progress import Cancelled, stop_if

# A list of UIDs longer than this exceeds what some servers take in one request.
_BATCH = 50
# PS3.8 9.3.2.2: context identifiers are the odd numbers up to 255; one is the request's own.
_MAX_CONTEXTS = 128
_SUCCESS, _PARTLY, _UNKNOWN_DESTINATION, _CANCELLED = 0x0000, 0xB000, 0xA801, 0xFE00
_PENDING = 0xFF00
_WATCH_INTERVAL = 0.1
# A server that fetches from a tape says for long that it is at work; without one instance it has as many timeouts.
_IDLE_TIMEOUTS = 60
# How many instances there are in a request of a whole series (PS3.4 C.4.2.1.6 to 9).
_SUBOPERATIONS = (
    "NumberOfRemainingSuboperations", "NumberOfCompletedSuboperations",
    "NumberOfFailedSuboperations", "NumberOfWarningSuboperations",
)  # fmt: skip


def retrieve(
    server: DimseServer, wanted: Sequence[InstanceMatch], inbox: Inbox, *, complete: bool, cancelled: Cancelled
) -> None:
    """Bring instances of one series into the inbox.

    Raises
    ------
    PacsError
        Where no way of retrieving works at all; single instances that do not come stay missing in the inbox.
    CancelledError
        When asked to stop; what has arrived is kept.
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
        if not inbox.lacking:
            return
        if reason and reason not in reasons:
            reasons.append(reason if len(ways) == 1 else f"{name}: {reason}")
    for reason in reasons:
        inbox.refuse(reason)
    if not inbox.received and not inbox.repeats:
        raise PacsError(f"{server.name} sent nothing. {' '.join(reasons)}".strip())


def _move(
    server: DimseServer, wanted: Sequence[InstanceMatch], inbox: Inbox, *, complete: bool, cancelled: Cancelled
) -> str:
    """Ask the server to send to our receiver; returns why not all came, or nothing."""
    model = StudyRootQueryRetrieveInformationModelMove
    reason = ""
    classes = {match.sop_class_uid for match in wanted}
    with (
        receiver(server, () if "" in classes else classes, inbox),
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
    handlers = [(evt.EVT_C_STORE, store_handler, [inbox])]
    reason = ""
    with association(
        server,
        [build_context(model), *storage],
        service="retrieval by C-GET",
        roles=roles,
        handlers=handlers,
        bounds=receiving_bounds(server),
    ) as opened:
        if not any(context.abstract_syntax == model for context in opened.accepted_contexts):
            return "the server does not offer it to us; ask its administrator to permit it."
        # What the server counts and did not name can only be asked for with the whole series.
        unnamed = inbox.lacking > len(inbox.missing)
        for identifier in _identifiers(wanted, inbox, complete=complete and (unnamed or not inbox.received)):
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
            # At the end nothing remains, whatever a server says (PS3.4 C.4.2.1.6).
            counts = _SUBOPERATIONS if code in (_PENDING, _CANCELLED) else _SUBOPERATIONS[1:]
            inbox.state(sum(int(status.get(keyword) or 0) for keyword in counts))
    if isinstance(inbox.failure, OSError):
        raise disk_error(inbox.folder, inbox.failure) from inbox.failure
    if inbox.failure is not None:
        raise inbox.failure
    stop_if(lambda: watch.stopped or cancelled(), left=KEPT)
    if code == _SUCCESS and not inbox.lacking:
        return ""
    return _explain(server, code, quiet=watch.quiet, idle=watch.idle)


class _Watch:
    """Ends a retrieval when the user asks to stop, or when nothing has come for the server's timeout."""

    def __init__(
        self, server: DimseServer, opened: Association, model: str, inbox: Inbox, cancelled: Cancelled
    ) -> None:
        self._server, self._opened, self._model = server, opened, model
        self._inbox, self._cancelled = inbox, cancelled
        self._over = threading.Event()
        self._last = self._last_instance = time.monotonic()
        self._received = inbox.received
        self._thread = threading.Thread(target=self._watch, name="retrieval watch", daemon=True)
        self.stopped = self.quiet = self.idle = False
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
            received = self._inbox.received
            if received != self._received:
                self._received = received
                self.heard()
                self._last_instance = time.monotonic()
            self.stopped = self._cancelled() or self._inbox.failure is not None
            self.quiet = time.monotonic() - self._last > self._server.timeout
            self.idle = time.monotonic() - self._last_instance > _IDLE_TIMEOUTS * self._server.timeout
            if self.stopped or self.quiet or self.idle:
                if self._opened.is_established:
                    self._opened.send_c_cancel(1, query_model=self._model)
                self._opened.abort()
                # Wakes the thread that waits for an answer, as the library does when the connection breaks.
                self._opened.dimse.msg_queue.put((None, None))
                return


def _explain(server: DimseServer, code: int | None, *, quiet: bool, idle: bool) -> str:
    """Say what the final status of a retrieval means (PS3.4 C.4.2.1.5) and what to do."""
    if quiet:
        return f"nothing arrived for {server.timeout:g} s; try again, or set a longer timeout."
    if idle:
        return f"no instance arrived for {_IDLE_TIMEOUTS * server.timeout:g} s although the server says it is at work."
    if code is None:
        return "the connection broke; run the same command again, what has arrived is kept."
    if code == _UNKNOWN_DESTINATION:
        return (
            f"the server does not know where to send to; ask its administrator to register AE title "
            f"{server.own_ae_title} with this computer's address and port {server.receive_port}."
        )
    if code in (_SUCCESS, _PARTLY, 0xA702) or 0xC000 <= code <= 0xCFFF:
        loopback = (
            f" Our receiver listens on {server.receive_host}, which only this computer reaches: set receive_host to "
            "this computer's address in the archive's network."
        )
        return (
            f"the server could not send everything (0x{code:04X}); check that it knows {server.own_ae_title} at this "
            f"computer's address and port {server.receive_port or '(none given)'}, and that no firewall stands "
            f"between.{loopback * bool(server.receive_port and server.receiver_unreachable)}"
        )
    if code == _CANCELLED:
        return "the server stopped the transfer."
    return f"the server answers 0x{code:04X}; its log says why."
