"""Associations of classic DICOM (PS3.8): opened, checked and closed, and why one could not be."""

import socket
import ssl
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from pydicom.dataset import Dataset
from pynetdicom import AE, Association, _config
from pynetdicom.pdu_primitives import SCP_SCU_RoleSelectionNegotiation, UserIdentityNegotiation
from pynetdicom.presentation import PresentationContext

from AcuteFindingsLib.budgets import budgets
from AcuteFindingsLib.errors import PacsError
from AcuteFindingsLib.pacs.dimse_bounds import Bounds
from AcuteFindingsLib.pacs.login import hidden_in_logs, read_password
from AcuteFindingsLib.pacs.reach import explain_socket, probe_tls
from AcuteFindingsLib.pacs.servers import DimseServer
from AcuteFindingsLib.pacs.tls import client_context

# Else the log of a program that turns pynetdicom's on would hold names and numbers of patients.
_config.LOG_REQUEST_IDENTIFIERS = _config.LOG_RESPONSE_IDENTIFIERS = False

_CONNECT_TIMEOUT = 10.0
_USER_AND_PASSCODE = 2
_BY_USER, _BY_PRESENTATION = 1, 3


@contextmanager
def association(
    server: DimseServer,
    contexts: Sequence[PresentationContext],
    *,
    service: str,
    roles: Sequence[SCP_SCU_RoleSelectionNegotiation] = (),
    handlers: Sequence[tuple[Any, ...]] = (),
    bounds: Bounds | None = None,
) -> Iterator[Association]:
    """Open an association and close it, by release where all went well and by abort where not.

    Parameters
    ----------
    server
        The server.
    contexts
        What is proposed, 128 at most.
    service
        What it is for, in words, for the error where the server offers none of it.
    roles, handlers
        For what the server sends back over the same association.
    bounds
        On what the server may send; None: those of a search.

    Raises
    ------
    PacsError
        Where the server cannot be reached, rejects us, offers none of the contexts, or sends more than is allowed.
    """
    most = budgets().text_bytes
    bounds = bounds or Bounds(seconds=server.timeout, message_bytes=most, total_bytes=most)
    context = client_context(server) if server.tls else None
    password = read_password(server)
    identity = []
    if password is not None:
        item = UserIdentityNegotiation()
        item.user_identity_type = _USER_AND_PASSCODE
        item.primary_field = (server.user or "").encode()
        item.secondary_field = password.get_secret_value().encode()
        identity.append(item)
    entity = AE(ae_title=server.own_ae_title)
    entity.connection_timeout = min(_CONNECT_TIMEOUT, server.timeout)
    entity.acse_timeout = entity.dimse_timeout = server.timeout
    # The answers' own timeout decides; this one would end a long retrieval that goes well.
    entity.network_timeout = None
    with hidden_in_logs(password):
        try:
            opened = entity.associate(
                server.host,
                server.port,
                contexts=list(contexts),
                ae_title=server.ae_title,
                ext_neg=[*roles, *identity],
                tls_args=(context, server.host) if context else None,
                evt_handlers=[*handlers, bounds.handler],
            )
        except OSError as error:
            raise PacsError(f"{_where(server)} cannot be reached: {explain_socket(error) or error}.") from error
        if not opened.is_established:
            raise _out_of_bounds(server, bounds) or _explain(server, opened, context, service)
        try:
            yield opened
        except BaseException as error:
            opened.abort()
            if isinstance(error, PacsError) and bounds.broken:
                raise _out_of_bounds(server, bounds) or error from error
            raise
        opened.release()


def require_answer(server: DimseServer, status: Dataset, what: str) -> int:
    """Return the status code; raises `PacsError` where no answer came."""
    if "Status" not in status:
        raise PacsError(
            f"{_where(server)} gave no answer to {what}: it closed the connection or {server.timeout:g} s went by. Ask "
            f"its administrator whether {server.own_ae_title} may do that; else try again, or set a longer timeout."
        )
    return int(status.Status)


def _out_of_bounds(server: DimseServer, bounds: Bounds) -> PacsError | None:
    if not bounds.broken:
        return None
    return PacsError(
        f"{_where(server)} {bounds.broken[0]}, so the connection was ended; its administrator may know why."
    )


def _where(server: DimseServer) -> str:
    return f"{server.name} ({server.address})"


def _explain(server: DimseServer, tried: Association, context: ssl.SSLContext | None, service: str) -> PacsError:
    where = _where(server)
    answer = tried.acceptor.primitive
    if tried.is_rejected and answer is not None:
        source, reason = answer.result_source, answer.diagnostic
        if (source, reason) == (_BY_USER, 7):
            return PacsError(f"{where} says that it is not called {server.ae_title}; correct ae_title.")
        if (source, reason) == (_BY_USER, 3):
            return PacsError(
                f"{where} does not know us as {server.own_ae_title}; ask its administrator to add that AE title, or "
                "set own_ae_title to one that it knows."
            )
        if source == _BY_PRESENTATION:
            return PacsError(f"{where} is too busy for another connection ({answer.reason_str}); try again later.")
        login = ", and the login" if server.has_login else ""
        return PacsError(
            f"{where} rejects us without saying why; check with its administrator that it knows the AE title "
            f"{server.own_ae_title} at this computer's address{login}."
        )
    if tried.rejected_contexts:
        return PacsError(
            f"{where} accepts us as {server.own_ae_title} but does not offer {service}; ask its administrator to "
            "permit that for this AE title."
        )
    return PacsError(f"{where} cannot be reached: {_probe(server, context)}.")


def _probe(server: DimseServer, context: ssl.SSLContext | None) -> str:
    """Connect once more, plainly, to learn what went wrong: the association itself does not say."""
    wait = min(_CONNECT_TIMEOUT, server.timeout)
    if context is not None:
        return (
            probe_tls(server.host, server.port, context, timeout=wait)
            or "it takes the encrypted connection but does not answer as DICOM does; check the port"
        )
    try:
        with socket.create_connection((server.host, server.port), timeout=wait):
            return (
                "it takes the connection but does not answer as DICOM does; check the port, and whether it wants TLS "
                "(tls = true)"
            )
    except OSError as error:
        return explain_socket(error) or str(error)
