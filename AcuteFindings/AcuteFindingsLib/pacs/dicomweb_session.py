"""The HTTP side of DICOMweb: a session with the server's TLS and login, whose answers are looked at before use."""

import ssl
from collections.abc import Iterator
from typing import Any

import requests
from dicomweb_client import DICOMwebClient
from requests.auth import AuthBase, HTTPBasicAuth
from urllib3.util.retry import Retry

from AcuteFindingsLib.pacs.instance_files import refuse_growth
from AcuteFindingsLib.pacs.login import read_password, read_token
from AcuteFindingsLib.pacs.servers import DicomwebServer
from AcuteFindingsLib.pacs.tls import client_context
from AcuteFindingsLib.web import GuardedAdapter, GuardedSession, same_origin_only

_BUSY = (429, 503)


class Client(DICOMwebClient):
    """Looks at each part of an answer before it is unpacked."""

    def _decode_multipart_message(self, response: requests.Response, stream: bool) -> Iterator[bytes]:
        for part in super()._decode_multipart_message(response, stream):
            refuse_growth(bytes(part))
            yield part


class Session(GuardedSession):
    """Also notes where a server says that it held answers back (PS3.18 8.3.4.4, a Warning header of code 299)."""

    def __init__(self) -> None:
        super().__init__(same_origin_only)
        self.more_stated = False
        self.hooks["response"] += [self._note_warning, self._look_at_single]

    def _note_warning(self, response: requests.Response, **_: Any) -> None:
        text = response.headers.get("Warning", "")
        held_back = response.status_code == requests.codes.partial_content or (
            "299" in text and "additional" in text.lower()
        )
        self.more_stated = self.more_stated or held_back

    def _look_at_single(self, response: requests.Response, **_: Any) -> None:
        """Look at an instance that comes without an envelope, too."""
        if response.headers.get("Content-Type", "").partition(";")[0].strip().lower() == "application/dicom":
            refuse_growth(response.content)


class _TrustingAdapter(GuardedAdapter):
    """Connects with our own TLS settings, which requests would replace by its bundled list of authorities."""

    def __init__(self, context: ssl.SSLContext, session: GuardedSession, retry: Retry) -> None:
        self._context = context
        super().__init__(session.sockets, max_retries=retry)

    def init_poolmanager(self, *arguments: Any, **settings: Any) -> None:
        super().init_poolmanager(*arguments, **settings, ssl_context=self._context)

    def proxy_manager_for(self, proxy: str, **settings: Any) -> Any:
        return super().proxy_manager_for(proxy, **settings, ssl_context=self._context)

    def cert_verify(self, conn: Any, url: Any, verify: Any, cert: Any) -> None:
        """Leave the connection as the context has it."""


class _BearerAuth(AuthBase):
    def __init__(self, token: str) -> None:
        self._token = token

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        request.headers["Authorization"] = f"Bearer {self._token}"
        return request


def open_session(server: DicomwebServer) -> Session:
    """Return a session with the server's own TLS settings, proxy and login; raises `PacsError` as `client_context`."""
    session = Session()
    # Neither a login from ~/.netrc nor a proxy or authorities from the environment: the server's entry says it all.
    session.trust_env = False
    if server.proxy:
        session.proxies = {"http": server.proxy, "https": server.proxy}
    # Only questions are repeated, and only where the server says that it is busy.
    retry = Retry(
        2,
        connect=0,
        read=False,
        other=0,
        backoff_factor=0.5,
        status_forcelist=_BUSY,
        allowed_methods=("GET",),
        # A server does not say for how long we sleep.
        respect_retry_after_header=False,
    )
    retry.raise_on_status = False
    session.mount("http://", GuardedAdapter(session.sockets, max_retries=retry))
    if server.encrypted:
        session.mount("https://", _TrustingAdapter(client_context(server), session, retry))
    password, token = read_password(server), read_token(server)
    if password is not None:
        # As bytes: requests would otherwise encode them as Latin-1.
        session.auth = HTTPBasicAuth((server.user or "").encode(), password.get_secret_value().encode())
    elif token is not None:
        session.auth = _BearerAuth(token.get_secret_value())
    return session
