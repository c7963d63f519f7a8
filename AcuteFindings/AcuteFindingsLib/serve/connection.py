"""One server over HTTP: requests within limits, and what goes wrong with them in one sentence."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO, Any

import httpx

from AcuteFindingsLib.budgets import budgets
from AcuteFindingsLib.errors import RemoteError, UnreachableError
from AcuteFindingsLib.json_text import parse_json
from AcuteFindingsLib.names import printable
from AcuteFindingsLib.pacs.reach import explain_socket
from AcuteFindingsLib.progress import Cancelled, Progress, stop_if
from AcuteFindingsLib.serve.address import Address, checked, tls_of

LONGEST_DETAIL = 500
"""Letters of a sentence from a server that are shown."""

# Less than the application waits for a cancelled request before it ends the worker.
_CONNECT_SECONDS = 4.0
_ANSWER_SECONDS = 60.0


class NotFoundError(RemoteError):
    """There is no such thing on the server."""


class Connection:
    """A server; raises `RemoteError` where it cannot be reached, refuses or answers something else."""

    def __init__(self, address: Address, *, transport: httpx.BaseTransport | None = None) -> None:
        self.url = address.url.strip().rstrip("/")
        self._http = httpx.Client(
            base_url=checked(address),
            headers={"Authorization": f"Bearer {address.token}"} if address.token else {},
            verify=tls_of(address),
            transport=transport,
            timeout=httpx.Timeout(_ANSWER_SECONDS, connect=_CONNECT_SECONDS),
            # Straight there: images and token are for this server alone.
            trust_env=False,
            follow_redirects=False,
        )

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def events(self, path: str) -> Iterator[Any]:
        """Yield the data of server-sent events; each is one line (WHATWG HTML 9.2)."""
        with self._open("GET", path, headers={"Accept": "text/event-stream"}) as response:
            rest, most = b"", budgets().settings_bytes
            for part in response.iter_bytes():
                *lines, rest = (rest + part).split(b"\n")
                if len(rest) > most:
                    raise self.not_ours()
                for line in lines:
                    if line.startswith(b"data:"):
                        yield self._parsed(line[5:].strip())

    def json(self, method: str, path: str, **options: Any) -> Any:
        """Return the JSON of an answer; None of an empty one. Options are those of a request in `httpx`."""
        with self._open(method, path, **options) as response:
            data = self._read(response)
        return self._parsed(data) if data else None

    def _parsed(self, data: bytes) -> Any:
        try:
            return parse_json(data)
        except ValueError as error:
            raise self.not_ours() from error

    def fetch(self, path: str, sink: IO[bytes], progress: Progress, cancelled: Cancelled) -> None:
        """Write the bytes of an answer into a file as they come; raises `CancelledError` when `cancelled` says so."""
        most, done = budgets().archive_bytes, 0
        with self._open("GET", path) as response:
            length = response.headers.get("Content-Length", "")
            for part in response.iter_bytes():
                stop_if(cancelled)
                done += len(part)
                if done > most:
                    raise RemoteError(f"The server at {self.url} sends more than any finding has; it was not read.")
                sink.write(part)
                progress("Fetching the result", min(done / max(int(length), 1), 1.0) if length.isdecimal() else 0.5)

    @contextmanager
    def _open(self, method: str, path: str, **options: Any) -> Iterator[httpx.Response]:
        """Yield an answer that says yes, and turn what goes wrong into one sentence."""
        try:
            with self._http.stream(method, path, **options) as response:
                if not response.is_success:
                    raise self._refused(response)
                yield response
        except httpx.HTTPError as error:
            plain = self.url.startswith("http:") and isinstance(error, httpx.RemoteProtocolError)
            hint = ", or an address that begins with https" if plain else ""
            raise UnreachableError(f"The server at {self.url} {_reason(error)}{hint}.") from error

    def _read(self, response: httpx.Response) -> bytes:
        data, most = bytearray(), budgets().text_bytes
        for part in response.iter_bytes():
            data += part
            if len(data) > most:
                raise self.not_ours()
        return bytes(data)

    def _refused(self, response: httpx.Response) -> RemoteError:
        """Return what an answer that says no means."""
        status, detail = response.status_code, ""
        if response.headers.get("Content-Type", "").startswith("application/problem+json"):
            said = self._parsed(self._read(response))
            detail = printable(str(said.get("detail", ""))) if isinstance(said, dict) else ""
        if status == 401:
            said = "does not take the token" if "Authorization" in self._http.headers else "asks for a token"
            return RemoteError(f"The server at {self.url} {said}; ask whoever runs it for one, and enter it.")
        if detail:
            kind = NotFoundError if status == 404 else RemoteError
            return kind(f"The server at {self.url} says: {detail[:LONGEST_DETAIL]}")
        if status >= 500:
            return UnreachableError(f"The server at {self.url} has an error (HTTP {status}); try again later.")
        return self.not_ours()

    def not_ours(self) -> RemoteError:
        """Return what is wrong where something else answers than a server of this software."""
        return RemoteError(
            f"What answers at {self.url} is not an AcuteFindings server of this kind; check the address, and that the "
            "same version of AcuteFindings runs on both computers."
        )


def _reason(error: httpx.HTTPError) -> str:
    if isinstance(error, httpx.ConnectTimeout):
        return "cannot be reached: it does not answer; check the address, and that no firewall blocks it"
    if isinstance(error, httpx.TimeoutException):
        return f"did not answer within {_ANSWER_SECONDS:g} s; try again"
    # Whoever reads this has a field for it, and no file of servers.
    reason = (explain_socket(error) or "").replace("set ca_file to", "give")
    if isinstance(error, httpx.ConnectError):
        return f"cannot be reached: {reason or 'check the address and the network'}"
    return f"broke off: {reason or 'the connection was lost'}; try again"
