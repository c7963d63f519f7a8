"""What went wrong on the web, in words that say what to do. Never an address with its query: it names patients."""

import re
import socket
import ssl

import requests

from AcuteFindingsLib.errors import PacsError
from AcuteFindingsLib.pacs.servers import DicomwebServer

_TLS_HINTS = (
    (
        "hostname mismatch|doesn't match|not valid for",
        "its certificate is for another host; use the name that it is for",
    ),
    ("expired", "its certificate has expired; tell the server's administrator"),
    (
        "self.signed|unable to get (local )?issuer|verify failed",
        "nobody this computer trusts vouches for its certificate; set ca_file to the authority's certificate",
    ),
    (
        "certificate.required|handshake.failure|bad.certificate|unknown.ca|certificate.unknown",
        "it did not take our certificate, or asks for one; set certificate_file and key_file",
    ),
    ("wrong.version|unknown.protocol|http.request|record.layer", "it does not speak TLS there; check address and port"),
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
            return "it does not answer; check the host, and that no firewall stands between"
        if isinstance(current, ConnectionResetError | BrokenPipeError):
            return "it closed the connection; check that address and port are the right service, and TLS"
        queue += [current.__cause__, current.__context__, getattr(current, "reason", None)]
        queue += [part for part in getattr(current, "args", ()) if isinstance(part, BaseException)]
    return None


def explain_request(server: DicomwebServer, error: requests.RequestException) -> PacsError:
    """Turn what `requests` raised into one sentence."""
    where = f"{server.name} ({server.url})"
    if isinstance(error, requests.HTTPError) and error.response is not None:
        return PacsError(f"{where} {explain_status(error.response.status_code)}.")
    if isinstance(error, requests.exceptions.ProxyError):
        return PacsError(f"The proxy of {where} cannot be reached or refuses; check proxy.")
    if isinstance(error, requests.exceptions.ChunkedEncodingError | requests.exceptions.ContentDecodingError):
        return PacsError(
            f"{where} broke off in the middle of an answer; run the same command again, what has come is kept."
        )
    if isinstance(error, requests.exceptions.ReadTimeout):
        return PacsError(
            f"{where} did not answer within {server.timeout:g} s; try again, or set a longer timeout for it."
        )
    if isinstance(error, requests.exceptions.JSONDecodeError):
        return not_dicomweb(server)
    if isinstance(error, requests.exceptions.TooManyRedirects):
        return PacsError(f"{where} sends us in circles; check the url.")
    reason = explain_socket(error)
    if reason is None and "timed out" in str(error):
        reason = "it does not answer; check the host, and that no firewall stands between"
    return PacsError(f"{where} cannot be reached: {reason or type(error).__name__}.")


def explain_status(status: int) -> str:
    """Say what an HTTP status means here."""
    if status == 401:
        return "wants another login (HTTP 401): check user and password, or the token"
    if status == 403:
        return "does not allow this (HTTP 403): the login is known but lacks the right; ask the administrator"
    if status == 404:
        return "has nothing there (HTTP 404): check that url ends in the DICOMweb root, often /dicom-web"
    if status == 406:
        return "cannot give that in the form asked for (HTTP 406)"
    if status == 409:
        return "could not store it (HTTP 409)"
    if status == 413:
        return "finds it too large (HTTP 413); ask the administrator to raise the limit"
    if status == 415:
        return "does not take that kind of content (HTTP 415)"
    if status == 429:
        return "is asked too often (HTTP 429); try again later"
    if status >= 500:
        return f"has a fault of its own (HTTP {status}); try again later, and tell the administrator if it stays"
    return f"refused (HTTP {status})"


def not_dicomweb(server: DicomwebServer) -> PacsError:
    """Say that what answers is no DICOMweb server."""
    return PacsError(
        f"{server.name} ({server.url}) answers, but not as DICOMweb does; check that url ends in the DICOMweb root, "
        "often /dicom-web."
    )
