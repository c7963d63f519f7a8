"""Our receiver of classic DICOM: where C-MOVE sends to, open for one pull and for what that pull asked for."""

import socket
import threading
import weakref
from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress
from socketserver import BaseServer
from typing import Any

from pynetdicom import AE, ALL_TRANSFER_SYNTAXES, AllStoragePresentationContexts, evt
from pynetdicom.transport import ThreadedAssociationServer

from AcuteFindingsLib.budgets import budgets
from AcuteFindingsLib.errors import PacsError
from AcuteFindingsLib.pacs.dimse_bounds import Bounds
from AcuteFindingsLib.pacs.instance_files import UNREADABLE, Inbox
from AcuteFindingsLib.pacs.servers import DimseServer
from AcuteFindingsLib.pacs.tls import receiver_context

# PS3.4 B.2.3, PS3.7 C: success; not authorized; data set does not match; out of resources; cannot understand.
_SUCCESS, _REFUSED, _OUT_OF_ROOM, _CANNOT_UNDERSTAND = 0x0000, 0x0124, 0xA700, 0xC000
# Seconds within which whoever connects must say who it is.
_GREETING_TIMEOUT = 10.0
# PS3.8 D.1: what we take in one piece; more is ended.
_PDU_BYTES = 1024 * 1024


@contextmanager
def receiver(server: DimseServer, classes: Collection[str], inbox: Inbox) -> Iterator[None]:
    """Listen for what C-MOVE brings, only for as long as the block runs.

    Connections are taken on `server.receive_host` alone, from the AE titles of `server.receive_from`, for our own AE
    title and the given SOP classes, and no more than the budgets allow; whoever is turned away is noted in the inbox.

    Parameters
    ----------
    server
        The server's entry.
    classes
        SOP classes that may come; empty where the server did not say.
    inbox
        Takes what was requested.

    Raises
    ------
    PacsError
        Where there is no port, or it cannot be listened on.
    """
    if server.receive_port is None:
        raise PacsError(f"{server.name}: C-MOVE needs receive_port, where the server sends to; ask its administrator.")
    entity = AE(ae_title=server.own_ae_title)
    entity.require_called_aet = True
    entity.require_calling_aet = server.receive_from or [server.ae_title]
    entity.network_timeout = server.timeout
    entity.acse_timeout = min(_GREETING_TIMEOUT, server.timeout)
    entity.maximum_pdu_size = _PDU_BYTES
    entity.maximum_associations = budgets().connections
    for uid in sorted(classes) or [str(context.abstract_syntax) for context in AllStoragePresentationContexts]:
        entity.add_supported_context(uid, ALL_TRANSFER_SYNTAXES)
    encrypted = server.tls if server.receive_tls is None else server.receive_tls
    secure = receiver_context(server) if encrypted else None
    bounds = receiving_bounds(server)

    def turned_away(event: evt.Event) -> None:
        caller = "".join(sign for sign in str(event.assoc.requestor.ae_title)[:16] if sign.isprintable())
        inbox.refuse(
            f"our receiver refused a connection from {caller!r}; where the archive sends under that AE title, add it "
            "to receive_from"
        )

    try:
        listening: Any = entity.make_server(
            (server.receive_host, server.receive_port),
            contexts=entity.supported_contexts,
            ssl_context=secure,
            evt_handlers=[
                (evt.EVT_C_STORE, store_handler, [inbox]),
                (evt.EVT_REJECTED, turned_away),
                bounds.handler,
            ],
            server_class=Listener,
        )
    except OSError as error:
        raise PacsError(
            f"{server.name}: port {server.receive_port} cannot be listened on ({error.strerror or error}); another "
            "program has it, perhaps another pull. Wait for that, or have the server send to another port."
        ) from error
    serving = threading.Thread(target=listening.serve_forever, kwargs={"poll_interval": 0.1}, name="receiver")
    serving.start()
    try:
        yield
    finally:
        listening.shutdown()
        serving.join()
        for sentence in bounds.broken:
            inbox.refuse(f"a connection to our receiver {sentence}, and was ended")


def receiving_bounds(server: DimseServer) -> Bounds:
    """Return what may come while a series is fetched."""
    limits = budgets()
    return Bounds(seconds=server.timeout, message_bytes=limits.instance_bytes, total_bytes=limits.series_bytes)


def store_handler(event: evt.Event, inbox: Inbox) -> int:
    """Keep one instance that the server sends; returns the status to answer with (PS3.4 B.2.3)."""
    if inbox.failure is not None:
        return _OUT_OF_ROOM
    try:
        announced = str(getattr(event.request, "AffectedSOPInstanceUID", ""))
        taken = inbox.take_bytes(event.encoded_dataset(), announced=announced)
    except OSError:
        return _OUT_OF_ROOM
    except UNREADABLE:
        inbox.refuse("the server sent an instance that cannot be read")
        return _CANNOT_UNDERSTAND
    return _SUCCESS if taken else _REFUSED


class Listener(ThreadedAssociationServer):
    """Takes no more connections than the budgets allow, and none that holds up the others while it says nothing."""

    def __init__(self, *arguments: Any, **settings: Any) -> None:
        self._connections: weakref.WeakSet[socket.socket] = weakref.WeakSet()
        super().__init__(*arguments, **settings)

    def get_request(self) -> tuple[socket.socket, Any]:
        """Accept a connection; its TLS begins with the first byte that is read, not here."""
        assert self.socket is not None
        connection, address = self.socket.accept()
        connection.settimeout(self.ae.network_timeout)
        if self.ssl_context:
            connection = self.ssl_context.wrap_socket(connection, server_side=True, do_handshake_on_connect=False)
        return connection, address

    def verify_request(self, request: Any, client_address: Any) -> bool:  # noqa: ARG002
        """Tell whether there is room for one more."""
        if sum(connection.fileno() != -1 for connection in self._connections) >= budgets().connections:
            return False
        self._connections.add(request)
        return True

    def shutdown(self) -> None:
        """End everything, also what is still open: nobody can keep this program running."""
        BaseServer.shutdown(self)
        self.server_close()
        for connection in list(self._connections):
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
