"""Why a server could not be reached, in words that say what to do."""

import re
import socket
import ssl
from contextlib import suppress

_TLS_HINTS = (
    (
        "hostname mismatch|doesn't match|not valid for",
        "its certificate is for another host; use the name that it is for",
    ),
    ("expired", "its certificate has expired; tell the server's administrator"),
    (
        "self.signed|unable to get (local )?issuer|verify failed",
        "its certificate is not signed by an authority that this computer trusts; set ca_file to the authority's "
        "certificate",
    ),
    (
        "certificate.required|handshake.failure|bad.certificate|unknown.ca|certificate.unknown",
        "it did not take our certificate, or asks for one; set certificate_file and key_file",
    ),
    ("wrong.version|unknown.protocol|http.request|record.layer", "it does not use TLS there; check address and port"),
)


def explain_tls(reason: str) -> str:
    """Say what a TLS library's message means and what to do."""
    for pattern, hint in _TLS_HINTS:
        if re.search(pattern, reason.replace("_", " "), re.IGNORECASE):
            return hint
    return f"{reason[:120]}; check ca_file, certificate_file and key_file"


def explain_socket(error: BaseException | None) -> str | None:
    """Say why a connection could not be made; None where the chain of causes holds no such reason."""
    seen: set[int] = set()
    queue = [error]
    while queue:
        current = queue.pop(0)
        if current is None or id(current) in seen:
            continue
        seen.add(id(current))
        if isinstance(current, ssl.SSLError):
            return f"TLS failed: {explain_tls(current.reason or str(current))}"
        if isinstance(current, socket.gaierror):
            return "no such host is known; check the host's name, and the network or VPN"
        if isinstance(current, ConnectionRefusedError):
            return "nothing answers at that port; check the port and that the server runs"
        if isinstance(current, TimeoutError):
            return "it does not answer; check the host, and that no firewall blocks it"
        if isinstance(current, ConnectionResetError | BrokenPipeError):
            return "it closed the connection; check that address and port are the right service, and TLS"
        queue += [current.__cause__, current.__context__, getattr(current, "reason", None)]
        queue += [part for part in getattr(current, "args", ()) if isinstance(part, BaseException)]
    return None


def probe_tls(host: str, port: int, context: ssl.SSLContext, *, timeout: float) -> str | None:
    """Shake hands once more and only listen: why TLS fails, which a failed request does not always tell.

    Under TLS 1.3 a server says only after the handshake that it does not take our certificate, and a client that is
    sending by then may see nothing but a closed connection. None where TLS works.
    """
    try:
        with (
            socket.create_connection((host, port), timeout=timeout) as plain,
            context.wrap_socket(plain, server_hostname=host) as secure,
        ):
            secure.settimeout(1.0)
            with suppress(TimeoutError):
                secure.recv(1)
            return None
    except ssl.SSLEOFError:
        return "TLS failed: it closed the connection; check the port, and whether it uses TLS there"
    except OSError as error:
        return explain_socket(error) or str(error)
