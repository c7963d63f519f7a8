"""Who gets in, and what every answer carries: tokens, addresses, origins, and the headers that browsers heed.

Without tokens only this computer can reach the server. A page of another site that a user has open could still reach it
through the user's browser: by a name that it lets point here (DNS rebinding, so the Host header is checked), or by
sending forms (so the Origin and Sec-Fetch-Site headers are checked; W3C Fetch Metadata).
"""

import ipaddress
from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from typing import Any

from starlette.requests import cookie_parser

from AcuteFindingsLib.errors import ServeError
from AcuteFindingsLib.serve.problem import problem
from AcuteFindingsLib.serve.settings import API, ServeSettings
from AcuteFindingsLib.serve.tokens import token_of, token_of_cookie

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

COOKIE = "acutefindings"
PAGE_HEADER, PAGE_VALUE = b"x-acutefindings", b"page"
"""What the page sends with everything that changes something: no form of another site can."""

PAGE_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
"""Of the page: its viewer draws its letters from a ``data:`` picture, and needs nothing else of elsewhere."""

FRAME_POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:; frame-ancestors 'self'; sandbox"
"""Of documents out of the results, which are shown in a frame of the page and may run nothing."""

MOST_BYTES = 2**16
"""Of the body of a request that uploads nothing."""

_SAFE = {"GET", "HEAD", "OPTIONS"}
_OPEN = {f"{API}/version", f"{API}/openapi.json"}
_ALWAYS = (
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"permissions-policy", b"camera=(), microphone=(), geolocation=()"),
)


def is_loopback(host: str) -> bool:
    """Whether an address to listen on can be reached from this computer alone."""
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host.casefold() == "localhost"


def check_place(settings: ServeSettings) -> None:
    """Raise `ServeError` where others could reach the server without a token."""
    if not settings.tokens and not is_loopback(settings.host):
        raise ServeError(
            f"--host {settings.host} lets other computers ask, and without --token-file everybody there could read "
            "patients' results; give a file of tokens, or leave --host out."
        )


class Access:
    """Stands before the app: lets through what may pass, and adds the headers."""

    def __init__(self, app: App, settings: ServeSettings) -> None:
        self._app, self._settings = app, settings

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """See the ASGI specification."""
        if scope["type"] != "http":
            if scope["type"] == "lifespan":
                await self._app(scope, receive, send)
            return
        heard = _Headers(scope["headers"])
        answer = with_headers(send, b"no-store" if scope["path"].startswith(API) else b"no-cache")
        refused = self._refused(scope, heard)
        if refused is not None:
            status, detail, extra = refused
            await problem(status, detail, extra)(scope, receive, answer)
            return
        uploads = scope["method"] == "POST" and scope["path"] == f"{API}/studies"
        await self._app(scope, receive if uploads else _limited(receive), answer)

    def _refused(self, scope: Scope, heard: "_Headers") -> tuple[int, str, dict[str, str]] | None:
        scope["state"] = {**scope.get("state", {}), "token": None}
        tokens = self._settings.tokens
        host = heard.one(b"host")
        if not tokens and not is_loopback(_name_of(host)):
            return 421, "Without tokens this server answers to the name of this computer alone (localhost).", {}
        safe = scope["method"] in _SAFE
        if not safe and heard.foreign(host):
            return 403, "A page of another site may not change anything here.", {}
        if heard.length(b"content-length") > MOST_BYTES and scope["path"] != f"{API}/studies":
            return 413, f"A request of this kind has at most {MOST_BYTES // 1024} KiB.", {}
        if not tokens:
            return None
        sent = heard.one(b"authorization")
        kind, _, secret = sent.partition(" ")
        token = token_of(tokens, secret.strip()) if kind.casefold() == "bearer" else None
        if token is None and not sent:
            token = token_of_cookie(tokens, cookie_parser(heard.one(b"cookie")).get(COOKIE, ""))
            if token is not None and not safe and heard.one(PAGE_HEADER) != PAGE_VALUE.decode():
                return 403, "A page changes something only with the header X-AcuteFindings: page.", {}
        scope["state"]["token"] = token
        private = scope["path"].startswith(f"{API}/") and scope["path"] not in _OPEN
        if token is None and private:
            return 401, "Give a token that this server knows: Authorization: Bearer TOKEN.", _CHALLENGE
        return None


_CHALLENGE = {"WWW-Authenticate": 'Bearer realm="AcuteFindings"'}


class _Headers:
    """Headers of a request; of one that is sent twice nothing is believed."""

    def __init__(self, pairs: Iterable[tuple[bytes, bytes]]) -> None:
        self._pairs = list(pairs)

    def one(self, name: bytes) -> str:
        found = [value for key, value in self._pairs if key == name]
        return found[0].decode("latin-1") if len(found) == 1 else ""

    def length(self, name: bytes) -> int:
        text = self.one(name)
        return int(text) if text.isascii() and text.isdecimal() and len(text) < 19 else 0

    def foreign(self, host: str) -> bool:
        """Whether a page of another site sent this, as far as its browser says."""
        origin = self.one(b"origin")
        if any(key == b"origin" for key, _ in self._pairs):
            return origin.partition("://")[2].casefold() != host.casefold()
        return self.one(b"sec-fetch-site") not in ("", "same-origin", "none")


def _name_of(host: str) -> str:
    """Return the name in a Host header, without the port."""
    if host.startswith("["):
        return host.partition("]")[0] + "]"
    return host.rpartition(":")[0] if host.count(":") == 1 else host


def _limited(receive: Receive) -> Receive:
    """Return what receives a body up to its limit; more is as if the client had gone."""
    heard = 0

    async def limited() -> Message:
        nonlocal heard
        message = await receive()
        heard += len(message.get("body", b""))
        return message if heard <= MOST_BYTES else {"type": "http.disconnect"}

    return limited


def with_headers(send: Send, caching: bytes) -> Send:
    """Return what sends answers with the headers that all have, where they name none of their own."""

    async def sending(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = list(message.get("headers", []))
            named = {key.lower() for key, _ in headers}
            wanted = [*_ALWAYS, (b"cache-control", caching), (b"content-security-policy", PAGE_POLICY.encode())]
            message["headers"] = [*headers, *(pair for pair in wanted if pair[0] not in named)]
        await send(message)

    return sending
