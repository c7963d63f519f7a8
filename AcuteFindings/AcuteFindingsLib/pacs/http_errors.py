"""What went wrong on the web, in words that say what to do. Never an address with its query: it names patients."""

from urllib.parse import urlsplit

import requests

from AcuteFindingsLib.errors import PacsError
from AcuteFindingsLib.pacs.reach import explain_socket, probe_tls
from AcuteFindingsLib.pacs.servers import DicomwebServer
from AcuteFindingsLib.pacs.tls import client_context
from AcuteFindingsLib.web import RefusedAnswerError


def explain_request(server: DicomwebServer, error: requests.RequestException) -> PacsError:
    """Turn what `requests` raised into one sentence."""
    where = f"{server.name} ({server.url})"
    if isinstance(error, RefusedAnswerError):
        return PacsError(f"{where} {error}.")
    if isinstance(error, requests.HTTPError) and error.response is not None:
        return PacsError(f"{where} {explain_status(error.response.status_code)}.")
    if isinstance(error, requests.exceptions.ProxyError):
        return PacsError(f"The proxy of {where} cannot be reached or refuses; check proxy.")
    if isinstance(error, requests.exceptions.ChunkedEncodingError | requests.exceptions.ContentDecodingError):
        return PacsError(
            f"{where} broke off in the middle of an answer; run the same command again, what has arrived is kept."
        )
    if isinstance(error, requests.exceptions.ReadTimeout):
        return PacsError(
            f"{where} did not answer within {server.timeout:g} s; try again, or set a longer timeout for it."
        )
    if isinstance(error, requests.exceptions.JSONDecodeError):
        return not_dicomweb(server)
    if isinstance(error, requests.exceptions.TooManyRedirects):
        return PacsError(f"{where} redirects in a loop; check the url.")
    reason = explain_socket(error)
    if server.encrypted and not server.proxy and "it closed the connection" in (reason or ""):
        parts = urlsplit(server.url)
        timeout = min(10.0, server.timeout)
        reason = probe_tls(server.host_name, parts.port or 443, client_context(server), timeout=timeout) or reason
        if server.certificate_file is None and "closed the connection" in (reason or ""):
            reason = f"{reason}; it may also ask for our certificate: set certificate_file and key_file"
    if reason is None and "timed out" in str(error):
        reason = "it does not answer; check the host, and that no firewall blocks it"
    return PacsError(f"{where} cannot be reached: {reason or type(error).__name__}.")


def explain_status(status: int) -> str:
    """Say what an HTTP status means here."""
    if status == 401:
        return "rejects the login (HTTP 401): check user and password, or the token"
    if status == 403:
        return "does not allow this (HTTP 403): the login is known but lacks the right; ask the administrator"
    if status == 404:
        return "has nothing there (HTTP 404): check that url ends in the DICOMweb root, often /dicom-web"
    if status == 406:
        return "cannot give that in the form asked for (HTTP 406)"
    if status == 409:
        return "could not store it (HTTP 409)"
    if status == 413:
        return "refuses it as too large (HTTP 413); ask the administrator to raise the limit"
    if status == 415:
        return "does not take that kind of content (HTTP 415)"
    if status == 429:
        return "received too many requests (HTTP 429); try again later"
    if status >= 500:
        return f"has an internal error (HTTP {status}); try again later, and tell the administrator if it stays"
    return f"refused (HTTP {status})"


def not_dicomweb(server: DicomwebServer) -> PacsError:
    """Say that what answers is no DICOMweb server."""
    return PacsError(
        f"{server.name} ({server.url}) answers, but not as DICOMweb does; check that url ends in the DICOMweb root, "
        "often /dicom-web."
    )
