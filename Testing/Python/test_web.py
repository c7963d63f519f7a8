"""Redirects, sizes and times of web servers are bounded on every hop, whoever asks."""

import contextlib
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
import requests

from AcuteFindingsLib.budgets import budgets
from AcuteFindingsLib.json_text import parse_json
from AcuteFindingsLib.web import GuardedSession, RefusedAnswerError, TooSlowError, never_to_plain, same_origin_only

Respond = Callable[[BaseHTTPRequestHandler], None]


@pytest.fixture
def serve() -> Iterator[Callable[[Respond], str]]:
    running = []

    def start(respond: Respond) -> str:
        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                with contextlib.suppress(OSError):
                    respond(self)

            do_POST = do_GET

            def log_message(self, *_: object) -> None:
                pass

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        server.daemon_threads, server.block_on_close = True, False
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        running.append(server)
        return f"http://127.0.0.1:{server.server_address[1]}"

    yield start
    for server in running:
        server.shutdown()
        server.server_close()


def answer(body: bytes = b"", *, to: str = "") -> Respond:
    def respond(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(302 if to else 200)
        if to:
            handler.send_header("Location", to)
        handler.end_headers()
        handler.wfile.write(body)

    return respond


def response_from(url: str, method: str = "GET") -> requests.Response:
    response = requests.Response()
    response.url, response.request = url, requests.Request(method, url).prepare()
    return response


@pytest.mark.parametrize(
    ("start", "target", "followed"),
    [
        ("https://a.example/x", "https://a.example/y", True),
        ("https://a.example/x", "https://a.example:443/y", True),
        ("https://a.example/x", "https://A.example/y", True),
        ("https://a.example/x", "http://a.example/x", False),
        ("http://a.example/x", "https://a.example/x", False),
        ("https://a.example/x", "https://b.example/x", False),
        ("https://a.example/x", "https://a.example:8443/x", False),
        ("https://a.example/x", "https://a.example@b.example/x", False),
        ("https://a.example/x", "file:///etc/passwd", False),
    ],
)
def test_where_an_archive_may_lead(start: str, target: str, followed: bool) -> None:
    assert (same_origin_only(response_from(start), target) == "") is followed
    assert same_origin_only(response_from(start, "POST"), target)


@pytest.mark.parametrize(
    ("start", "target", "followed"),
    [
        ("https://a.example/x", "https://b.example/y", True),
        ("http://a.example/x", "https://b.example/y", True),
        ("http://a.example/x", "http://b.example/y", True),
        ("https://a.example/x", "http://a.example/x", False),
        ("HTTPS://a.example/x", "http://a.example/x", False),
        ("http://a.example/x", "ftp://a.example/x", False),
        ("http://a.example/x", "file:///etc/passwd", False),
        ("http://a.example/x", "data:,x", False),
    ],
)
def test_where_a_download_may_lead(start: str, target: str, followed: bool) -> None:
    assert (never_to_plain(response_from(start), target) == "") is followed


def test_every_hop_is_asked_about(serve) -> None:
    asked = []
    last = serve(answer(b"there"))
    middle = serve(answer(to=f"{last}/c"))
    first = serve(answer(to=f"{middle}/b"))

    def leads_to(response: requests.Response, target: str) -> str:
        asked.append((response.url, target))
        return ""

    session = GuardedSession(leads_to)
    assert session.get(f"{first}/a").content == b"there"
    assert list(dict.fromkeys(asked)) == [(f"{first}/a", f"{middle}/b"), (f"{middle}/b", f"{last}/c")]

    refusing = GuardedSession(lambda response, target: "leads astray" if target == f"{last}/c" else "")
    with pytest.raises(RefusedAnswerError, match="leads astray"):
        refusing.get(f"{first}/a")


@pytest.mark.parametrize("stream", [False, True])
def test_no_more_is_read_than_is_allowed(stream: bool, serve) -> None:
    url, session = serve(answer(b"x" * 100_000)), GuardedSession(same_origin_only)
    with session.within(seconds=5, most_bytes=100_000):
        assert len(session.get(url, stream=stream).content) == 100_000
    with pytest.raises(RefusedAnswerError, match="sends more than"), session.within(seconds=5, most_bytes=99_999):
        assert session.get(url, stream=stream).content


@pytest.mark.slow
def test_what_comes_in_pieces_may_take_its_time_and_what_drips_may_not(serve) -> None:
    def drip(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(200)
        handler.end_headers()
        for _ in range(30):
            handler.wfile.write(b"x")
            time.sleep(0.05)

    url, session = serve(drip), GuardedSession(same_origin_only)
    with session.within(seconds=0.6, most_bytes=100) as allowance:
        for _ in session.get(url, stream=True).iter_content(1):
            allowance.restart()
    start = time.monotonic()
    with pytest.raises(TooSlowError, match=r"within 0.6 s"), session.within(seconds=0.6, most_bytes=100):
        assert session.get(url).content
    assert time.monotonic() - start < 1.4
    assert not [thread for thread in threading.enumerate() if thread.name == "time of an answer"]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (b"[" * 33 + b"]" * 33, "nested deeper than 32 levels"),
        (b"[" * 5_000_000, "nested deeper"),
        (b'{"a":' * 40 + b"1" + b"}" * 40, "nested deeper"),
        (b"{", "Expecting"),
        (b"\xff", "not UTF-8"),
    ],
)
def test_json_beyond_the_budgets_is_no_json(text: bytes, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        parse_json(text)


def test_brackets_within_texts_are_no_depth() -> None:
    text = b'["' + b"[{" * 1000 + b'", "\\\\", "\\"[[[[", ' + b"[" * 31 + b"]" * 31 + b"]"
    assert parse_json(text)[1:3] == ["\\", '"[[[[']
    assert budgets().nesting == 32


def test_a_text_without_end_is_read_in_one_pass() -> None:
    start = time.monotonic()
    with pytest.raises(ValueError, match="Unterminated"):
        parse_json(b'["' + b'\\"' * 2_000_000)
    assert time.monotonic() - start < 3
