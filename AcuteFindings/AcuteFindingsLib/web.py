"""Requests to servers that may answer anything: where they may lead, how much may come, how long it may take."""

import threading
import time
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from json import JSONDecodeError
from socket import SHUT_RDWR
from typing import Any
from urllib.parse import urljoin, urlsplit

import requests
from requests.adapters import HTTPAdapter
from urllib3 import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.connection import HTTPConnection, HTTPSConnection

from AcuteFindingsLib.budgets import budgets
from AcuteFindingsLib.errors import AcuteFindingsError
from AcuteFindingsLib.json_text import parse_json

_WATCH_INTERVAL = 0.1
_READ_BYTES = 64 * 1024
_DEFAULT_PORTS = {"http": 80, "https": 443}


class RefusedAnswerError(requests.RequestException):
    """An answer that is not followed or not read to its end; the text goes after the server's name."""


class TooSlowError(RefusedAnswerError, requests.Timeout):
    """The answer did not come within the time that it had."""


LeadsTo = Callable[[requests.Response, str], str]
"""Says why a redirect is not followed, after the server's name; an empty text where it is."""


class GuardedSession(requests.Session):
    """A session whose redirects and answers are bounded; adapters of its own must be `GuardedAdapter`s.

    Parameters
    ----------
    leads_to
        Asked about every redirect, on every hop.

    Attributes
    ----------
    sockets
        The connections that are open, for `GuardedAdapter`.
    """

    def __init__(self, leads_to: LeadsTo) -> None:
        super().__init__()
        self.sockets: weakref.WeakSet[Any] = weakref.WeakSet()
        self._leads_to = leads_to
        self._allowance = Allowance(seconds=float("inf"), most_bytes=budgets().text_bytes)
        self.hooks["response"].append(self._bound)
        self.mount("http://", GuardedAdapter(self.sockets))
        self.mount("https://", GuardedAdapter(self.sockets))

    def get_redirect_target(self, resp: requests.Response) -> str | None:
        """Return where an answer leads; raises `RefusedAnswerError` where it may not lead there."""
        target = super().get_redirect_target(resp)
        if target is not None:
            reason = self._leads_to(resp, urljoin(resp.url, target))
            if reason:
                resp.close()
                raise RefusedAnswerError(reason)
        return target

    @contextmanager
    def within(self, *, seconds: float, most_bytes: int) -> Iterator["Allowance"]:
        """Bound what is asked in the block: connections that take longer are broken off, whatever they wait for.

        Raises
        ------
        TooSlowError
            At the end of the block, where the time was over.
        """
        allowance = self._allowance = Allowance(seconds=seconds, most_bytes=most_bytes)
        over = threading.Event()

        def watch() -> None:
            while not over.wait(_WATCH_INTERVAL):
                if allowance.is_over():
                    for connection in list(self.sockets):
                        with suppress(OSError):
                            connection.shutdown(SHUT_RDWR)
                    return

        thread = threading.Thread(target=watch, name="time of an answer", daemon=True)
        thread.start()
        try:
            yield allowance
        except Exception as error:
            # What a connection raises that was broken off depends on where it was.
            if allowance.expired and not isinstance(error, AcuteFindingsError):
                raise TooSlowError(allowance.sentence) from error
            raise
        finally:
            over.set()
            thread.join()
        if allowance.expired:
            raise TooSlowError(allowance.sentence)

    def _bound(self, response: requests.Response, **_: Any) -> None:
        """Let no more be read of an answer than is allowed, however it is read, and no JSON beyond the budgets."""
        read = response.iter_content

        def iter_content(chunk_size: int | None = 1, **options: Any) -> Iterator[Any]:
            for part in read(min(chunk_size or _READ_BYTES, _READ_BYTES), **options):
                if not self._allowance.take(len(part)):
                    response.close()
                    raise RefusedAnswerError(f"sends more than {self._allowance.most_bytes / 1e6:,.0f} MB in one piece")
                yield part

        def json(**_: Any) -> Any:
            try:
                return parse_json(response.content.decode("utf-8", "replace").encode())
            except JSONDecodeError as error:
                raise requests.exceptions.JSONDecodeError(error.msg, error.doc, error.pos) from error
            except ValueError as error:
                raise RefusedAnswerError(f"gives an answer that {error}") from error

        response.iter_content = iter_content  # type: ignore[assignment, method-assign]
        response.json = json  # type: ignore[method-assign]


class Allowance:
    """How many bytes and seconds the next piece of an answer may take."""

    def __init__(self, *, seconds: float, most_bytes: int) -> None:
        self._seconds = seconds
        self.most_bytes = most_bytes
        self.expired = False
        self.restart()

    def restart(self) -> None:
        """Allow as much again: a piece has come whole."""
        self._end = time.monotonic() + self._seconds
        self._left = self.most_bytes

    def take(self, count: int) -> bool:
        """Count bytes that came; False where they are too many."""
        self._left -= count
        return self._left >= 0

    def is_over(self) -> bool:
        """Note and tell whether the time is over."""
        self.expired = self.expired or time.monotonic() > self._end
        return self.expired

    @property
    def sentence(self) -> str:
        """What to say where it is, after the server's name."""
        return f"did not finish its answer within {self._seconds:g} s; try again later"


class GuardedAdapter(HTTPAdapter):
    """Notes the connections it opens, so that a deadline can end them."""

    def __init__(self, sockets: "weakref.WeakSet[Any]", **settings: Any) -> None:
        self._pools = _pools(sockets)
        super().__init__(**settings)

    def init_poolmanager(self, *arguments: Any, **settings: Any) -> None:
        """Make the pool of connections."""
        super().init_poolmanager(*arguments, **settings)
        self.poolmanager.pool_classes_by_scheme = self._pools

    def proxy_manager_for(self, proxy: str, **settings: Any) -> Any:
        """Make the pool of connections to a proxy."""
        manager = super().proxy_manager_for(proxy, **settings)
        manager.pool_classes_by_scheme = self._pools
        return manager


def same_origin_only(response: requests.Response, target: str) -> str:
    """Allow redirects of questions within scheme, host and port: who asks shows a login, and means this server."""
    if response.request.method not in ("GET", "HEAD"):
        return "redirects what is sent to it; give the address that it redirects to"
    if _origin(response.url) != _origin(target):
        return f"redirects to {_shown_origin(target)}; if that is the right server, give its address"
    return ""


def never_to_plain(response: requests.Response, target: str) -> str:
    """Allow redirects to other hosts, but from https to https only, and to nothing that is not the web."""
    scheme = urlsplit(target).scheme
    if scheme not in _DEFAULT_PORTS or (urlsplit(response.url).scheme == "https" and scheme != "https"):
        return f"redirects to {_shown_origin(target)}, which is not encrypted with https; it was not followed"
    return ""


def _origin(url: str) -> tuple[str, str, int | None]:
    parts = urlsplit(url)
    return parts.scheme, parts.hostname or "", parts.port or _DEFAULT_PORTS.get(parts.scheme)


def _shown_origin(url: str) -> str:
    """Return scheme and host of an address from the network, without anything that could spoil a terminal."""
    parts = urlsplit(url)
    host = parts.netloc.rpartition("@")[2]
    return "".join(sign for sign in f"{parts.scheme}://{host}"[:100] if sign.isprintable())


def _pools(sockets: "weakref.WeakSet[Any]") -> dict[str, Any]:
    class Plain(HTTPConnection):
        def connect(self) -> None:
            super().connect()
            sockets.add(self.sock)

    class Secure(HTTPSConnection):
        def connect(self) -> None:
            super().connect()
            sockets.add(self.sock)

    class PlainPool(HTTPConnectionPool):
        ConnectionCls = Plain

    class SecurePool(HTTPSConnectionPool):
        ConnectionCls = Secure

    return {"http": PlainPool, "https": SecurePool}
