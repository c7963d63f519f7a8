"""DICOMweb servers that answer in parts, in circles, without end, or with addresses that lead elsewhere."""

import gzip
import http.server
import io
import json
import socket
import threading
import time
import tracemalloc
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pydicom
import pytest
from pydicom.uid import DeflatedExplicitVRLittleEndian

from AcuteFindingsLib.budgets import Budgets, set_budgets

STUDY, SERIES = "1.2.3", "1.2.3.4"


class Answer:
    """What a route gives: a body, how fast and where from."""

    def __init__(
        self,
        body: object = b"",
        status: int = 200,
        *,
        kind: str = "application/dicom+json",
        headers: dict[str, str] | None = None,
        pause: float = 0.0,
        length: int | None = None,
    ) -> None:
        self.body = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.status, self.kind, self.headers, self.pause, self.length = status, kind, headers or {}, pause, length


Route = Callable[[str, dict[str, list[str]]], Answer]


class Web:
    """A running server and what it was asked: path and headers of each request."""

    def __init__(self, route: Route) -> None:
        self.asked: list[tuple[str, dict[str, str]]] = []
        web = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def answer(self) -> None:
                self.rfile.read(int(self.headers.get("Content-Length") or 0))
                parts = urlsplit(self.path)
                web.asked.append((self.path, dict(self.headers.items())))
                answer = route(parts.path, parse_qs(parts.query))
                try:
                    self.send_response(answer.status)
                    self.send_header("Content-Type", answer.kind)
                    for name, value in answer.headers.items():
                        self.send_header(name, value)
                    if answer.length is not None:
                        self.send_header("Content-Length", str(answer.length))
                    self.end_headers()
                    if not answer.pause:
                        self.wfile.write(answer.body)
                    for position in range(0, len(answer.body) if answer.pause else 0):
                        self.wfile.write(answer.body[position : position + 1])
                        time.sleep(answer.pause)
                except OSError:
                    pass  # the client left, which is what most of these tests are about

            do_GET = do_POST = answer

            def log_message(self, *_: object) -> None:
                pass

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._server.block_on_close = False
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


@pytest.fixture
def web() -> Iterator[Callable[[Route], Web]]:
    running: list[Web] = []

    def start(route: Route) -> Web:
        running.append(Web(route))
        return running[-1]

    yield start
    for server in running:
        server.close()


@pytest.fixture
def servers(tmp_path: Path) -> Callable[..., Path]:
    def write(server: Web, *, timeout: float = 5, more: str = "") -> Path:
        path = tmp_path / "servers.toml"
        path.write_text(
            f'[web]\nkind = "dicomweb"\nurl = "{server.url}/dicom-web"\ntimeout = {timeout}\n{more}\n', encoding="utf-8"
        )
        return path

    return write


def study(uid: str = STUDY, **more: object) -> dict:
    return {"0020000D": {"vr": "UI", "Value": [uid]}, **more}


def series(uid: str, instances: int | None = None) -> dict:
    counted = {} if instances is None else {"00201209": {"vr": "IS", "Value": [instances]}}
    return study() | {"0020000E": {"vr": "UI", "Value": [uid]}, "00080060": {"vr": "CS", "Value": ["CT"]}} | counted


def paged(everything: list[dict], *, cap: int, ignores_offset: bool = False) -> Callable[[dict], Answer]:
    def page(query: dict[str, list[str]]) -> Answer:
        start = 0 if ignores_offset else int(query.get("offset", ["0"])[0])
        most = min(cap, int(query.get("limit", [str(cap)])[0]))
        part = everything[start : start + most]
        return Answer(part) if part else Answer(status=204)

    return page


def only(answer: Callable[[dict], Answer] | Answer) -> Route:
    return lambda _, query: answer if isinstance(answer, Answer) else answer(query)


def one_line(result: tuple[int, str, str]) -> str:
    status, out, err = result
    assert (status, out) == (2, "")
    (line,) = err.splitlines()
    return line


def test_studies_beyond_what_a_server_gives_at_once_are_found(web, servers, command) -> None:
    everything = [study(f"1.2.3.{number}") for number in range(25)]
    path = servers(web(only(paged(everything, cap=10))))
    status, out, err = command("find", "web", "--date", "20240101", "--json", "--servers", path)
    assert (status, err) == (0, "")
    assert len(json.loads(out)) == 25
    status, out, err = command("find", "web", "--date", "20240101", "--limit", "12", "--json", "--servers", path)
    assert (status, len(json.loads(out))) == (0, 12)
    assert "There may be more" in err


def test_a_server_that_ignores_the_offset_is_not_asked_for_ever_and_said_to_be_incomplete(
    web, servers, command
) -> None:
    everything = [study(f"1.2.3.{number}") for number in range(25)]
    server = web(only(paged(everything, cap=10, ignores_offset=True)))
    status, out, err = command("find", "web", "--date", "20240101", "--json", "--servers", servers(server))
    assert (status, len(json.loads(out)), len(server.asked)) == (2, 10, 2)
    assert (
        "incomplete: web: the list of studies may lack some, the server answers every page of it with the same" in err
    )


def test_a_server_that_ignores_the_offset_and_has_no_more_is_complete(web, servers, command) -> None:
    def route(path: str, _: dict) -> Answer:
        if path.endswith("/series"):
            return Answer([series(f"1.2.3.{number}") for number in range(12)])
        return Answer([study(**{"00201206": {"vr": "IS", "Value": [12]}})])

    status, out, err = command("find", "web", "--study", STUDY, "--json", "--servers", servers(web(route)))
    assert (status, len(json.loads(out)), err) == (0, 12, "")


@pytest.mark.parametrize(
    "withheld",
    [Answer([study()], headers={"Warning": '299 x "There are 15 additional results"'}), Answer([study()], 206)],
)
def test_a_server_that_says_that_it_holds_answers_back_is_believed(withheld, web, servers, command) -> None:
    path = servers(web(only(withheld)))
    status, out, err = command("find", "web", "--date", "20240101", "--json", "--servers", path)
    assert (status, len(json.loads(out))) == (2, 1)
    assert "the server says that there are more" in err


def test_fewer_series_than_the_server_counts_are_said_to_be_incomplete(web, servers, command) -> None:
    def route(path: str, query: dict) -> Answer:
        if path.endswith("/series"):
            return paged([series(SERIES, 3)], cap=10)(query)
        return paged([study(**{"00201206": {"vr": "IS", "Value": [2]}})], cap=10)(query)

    status, out, err = command("find", "web", "--study", STUDY, "--servers", servers(web(route)))
    assert status == 2
    assert SERIES in out
    assert f"incomplete: the server counts 2 series in study {STUDY} and lists 1." in err


def test_answers_without_end_are_ended(web, servers, command) -> None:
    def endless(query: dict) -> Answer:
        start = int(query.get("offset", ["0"])[0])
        return Answer([series(f"1.2.3.{start + number}") for number in range(10)])

    def route(path: str, query: dict) -> Answer:
        return endless(query) if path.endswith("/series") else Answer([study()])

    set_budgets(Budgets(answers=50))
    try:
        status, out, err = command("find", "web", "--study", STUDY, "--json", "--servers", servers(web(route)))
    finally:
        set_budgets(Budgets())
    assert (status, len(json.loads(out))) == (2, 50)
    assert "the list of series was ended after 50 answers" in err


@pytest.mark.parametrize(
    "body", [b"[" * 10_000_000, b'[{"a":' * 1000, b'[{"0020000D": {"vr": "SQ", "Value": [' * 100], ids=len
)
def test_an_answer_nested_deep_is_refused_at_once(body, web, servers, command) -> None:
    start = time.monotonic()
    line = one_line(command("find", "web", "--study", STUDY, "--servers", servers(web(only(Answer(body))))))
    assert "gives an answer that is nested deeper than 32 levels" in line
    assert time.monotonic() - start < 5


def test_an_answer_that_is_too_large_is_not_read_to_its_end(web, servers, command) -> None:
    line = one_line(
        command("find", "web", "--study", STUDY, "--servers", servers(web(only(Answer(b" " * 70 * 1024**2)))))
    )
    assert "sends more than 67 MB in one piece" in line


@pytest.mark.slow
def test_an_answer_packed_to_a_thousandth_is_not_unpacked_to_its_end(web, servers, command) -> None:
    packed = Answer(gzip.compress(b" " * 200 * 1024**2, 1), headers={"Content-Encoding": "gzip"})
    line = one_line(command("find", "web", "--study", STUDY, "--servers", servers(web(only(packed)))))
    assert "sends more than 67 MB" in line


@pytest.mark.slow
@pytest.mark.parametrize("length", [None, 4000])
def test_an_answer_that_drips_is_broken_off(length, web, servers, command) -> None:
    dripping = Answer(b" " * 4000, pause=0.05, length=length)
    start = time.monotonic()
    line = one_line(command("find", "web", "--study", STUDY, "--servers", servers(web(only(dripping)), timeout=0.3)))
    assert "did not finish its answer within 3 s" in line
    assert time.monotonic() - start < 8


@pytest.mark.slow
def test_a_busy_server_does_not_say_for_how_long_we_sleep(web, servers, command) -> None:
    busy = Answer(status=503, headers={"Retry-After": "86400"})
    start = time.monotonic()
    line = one_line(command("find", "web", "--study", STUDY, "--servers", servers(web(only(busy)))))
    assert "try again later" in line
    assert time.monotonic() - start < 5


@pytest.mark.slow
def test_a_head_of_an_answer_that_drips_is_broken_off(servers, command) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def drip() -> None:
            connection, _ = listening.accept()
            try:
                connection.sendall(b"HTTP/1.1 200 OK\r\nX-Long: ")
                for _ in range(400):
                    connection.sendall(b"a")
                    time.sleep(0.05)
            except OSError:
                pass
            finally:
                connection.close()

        thread = threading.Thread(target=drip, daemon=True)
        thread.start()

        class At:
            url = f"http://127.0.0.1:{listening.getsockname()[1]}"

        start = time.monotonic()
        line = one_line(command("find", "web", "--study", STUDY, "--servers", servers(At(), timeout=0.3)))
        assert "did not finish its answer within 3 s" in line
        assert time.monotonic() - start < 8
        thread.join()


@pytest.mark.slow
@pytest.mark.parametrize(
    "target",
    ["{other}/dicom-web/studies", "file:///etc/passwd", "ftp://127.0.0.1/x", "data:,[]", "https://127.0.0.1:9/"],
)
def test_a_redirect_to_another_place_is_not_followed_and_no_login_goes_there(
    target, web, servers, command, tmp_path
) -> None:
    other = web(only(Answer([study()])))
    secret = tmp_path / "secret"
    secret.touch(mode=0o600)
    secret.write_text("hush-hush")
    first = web(only(Answer(b"", 302, headers={"Location": target.format(other=other.url)})))
    path = servers(first, more='user = "me"\npassword_file = "secret"')
    line = one_line(command("find", "web", "--study", STUDY, "--servers", path))
    assert "redirects to " in line
    assert "if that is the right server, give its address" in line
    assert other.asked == []


def test_a_redirect_within_the_server_is_followed_and_checked_on_every_hop(web, servers, command) -> None:
    other = web(only(Answer([study()])))

    def hops(last: Answer) -> Route:
        def route(path: str, query: dict) -> Answer:
            if path.startswith("/b"):
                return last
            return Answer(b"", 307, headers={"Location": "/b/studies"})

        return route

    good = servers(web(hops(Answer([study()]))))
    assert STUDY in command("find", "web", "--date", "20240101", "--level", "study", "--servers", good)[1]
    bad = servers(web(hops(Answer(b"", 302, headers={"Location": other.url}))))
    assert "redirects to http" in one_line(command("find", "web", "--date", "20240101", "--servers", bad))
    assert other.asked == []


def test_what_is_sent_does_not_count_as_stored_because_a_redirect_answers(web, servers, sent_study, command) -> None:
    def route(path: str, _: dict) -> Answer:
        return Answer({}) if path == "/other" else Answer(b"", 302, headers={"Location": "/other"})

    status, out, _ = command("push", "web", sent_study.files[0], "--servers", servers(web(route)), "--json")
    (answer,) = json.loads(out)["instances"]
    assert (status, answer["state"]) == (1, "not sent")
    assert "redirects what is sent to it" in answer["text"]


def test_addresses_within_answers_are_never_asked_for(web, servers, command) -> None:
    other = web(only(Answer(b"[]")))
    pointing = study(
        **{
            "00081030": {"vr": "LO", "BulkDataURI": f"{other.url}/bulk"},
            "00080061": {"vr": "CS", "BulkDataURI": "file:///etc/passwd"},
            "00081190": {"vr": "UR", "Value": [f"{other.url}/studies/{STUDY}"]},
        }
    )
    path = servers(web(only(paged([pointing], cap=10))))
    status, out, _ = command("find", "web", "--date", "20240101", "--servers", path)
    assert status == 0
    assert "root:" not in out
    assert other.asked == []


def test_names_from_a_server_cannot_steer_the_terminal(web, servers, command) -> None:
    evil = study(**{"00081030": {"vr": "LO", "Value": ["\x1b]0;title\x07\x1b[2J\u202eevil"]}})
    path = servers(web(only(paged([evil], cap=10))))
    _, out, _ = command("find", "web", "--date", "20240101", "--servers", path)
    assert "evil" in out
    assert not set("\x1b\x07\u202e") & set(out)


def multipart(files: list[bytes], *, cut: int = 0) -> Answer:
    body = b"".join(b"--xx\r\nContent-Type: application/dicom\r\n\r\n" + file + b"\r\n" for file in files)
    body = (body + b"--xx--")[: -cut or None]
    return Answer(body, kind='multipart/related; type="application/dicom"; boundary=xx')


class Archive:
    """Routes of a server that lists a real series and gives it as told."""

    def __init__(self, files: list[Path], *, counted: int | None = None, listed: int | None = None) -> None:
        self.data = {str((data := pydicom.dcmread(file)).SOPInstanceUID): file.read_bytes() for file in files}
        self.study, self.series = str(data.StudyInstanceUID), str(data.SeriesInstanceUID)
        self.counted, self.listed = counted, listed
        self.more: dict = {}
        self.stream: Callable[[], Answer] = lambda: multipart(list(self.data.values()))
        self.single: Callable[[str], Answer] = lambda uid: multipart([self.data[uid]])

    def __call__(self, path: str, query: dict) -> Answer:
        *_, before, last = path.split("/")
        if last == "studies":
            return paged([study(self.study)], cap=10)(query)
        if last == "series":
            one = series(self.series, self.counted) | study(self.study) | self.more
            return paged([one], cap=10)(query)
        if last == "instances":
            known = list(self.data)[: self.listed]
            return paged([{"00080018": {"vr": "UI", "Value": [uid]}} for uid in known], cap=3)(query)
        return self.stream() if before == "series" else self.single(last)


@pytest.fixture
def archive(sent_study) -> Archive:
    return Archive(list(sent_study.files[:8]), counted=8)


def pull(command, servers, web, archive: Archive, out: Path) -> tuple[int, str, str]:
    return command("pull", "web", "--study", archive.study, "--out", out, "--servers", servers(web(archive)))


def came(out: Path) -> int:
    return len(list(out.rglob("*.dcm")))


def test_a_whole_series_comes_though_the_search_is_cut(archive, command, servers, web, tmp_path) -> None:
    archive.listed = 5
    status, _, err = pull(command, servers, web, archive, tmp_path / "out")
    assert (status, err, came(tmp_path / "out")) == (0, "", 8)


@pytest.mark.slow
@pytest.mark.parametrize("cut", [5, 700, 4000])
def test_a_stream_cut_in_the_middle_is_finished_singly(cut, archive, command, servers, web, tmp_path) -> None:
    archive.stream = lambda: multipart(list(archive.data.values()), cut=cut)
    status, _, err = pull(command, servers, web, archive, tmp_path / "out")
    assert (status, err, came(tmp_path / "out")) == (0, "", 8)
    for file in (tmp_path / "out").rglob("*.dcm"):
        assert pydicom.dcmread(file) == pydicom.dcmread(io.BytesIO(archive.data[file.stem]))


def test_texts_of_series_cannot_steer_the_terminal_while_they_are_fetched(
    archive, command, servers, web, tmp_path
) -> None:
    archive.more = {"00080060": {"vr": "CS", "Value": ["\x1b[2JCT\x07"]}, "0008103E": {"vr": "LO", "Value": ["\x9b2J"]}}
    status, out, err = pull(command, servers, web, archive, tmp_path / "out")
    assert status == 0
    assert not set("\x1b\x07\x9b") & set(out + err)


def test_what_is_missing_is_counted_by_series_and_comes_later(archive, command, servers, web, tmp_path) -> None:
    lost = list(archive.data)[6:]
    archive.stream = lambda: multipart(list(archive.data.values())[:6])
    whole = archive.single
    archive.single = lambda uid: Answer(b"", 404) if uid in lost else whole(uid)
    status, out, err = pull(command, servers, web, archive, tmp_path / "out")
    assert status == 2
    assert "CT: 6 fetched, 2 MISSING" in out
    assert "incomplete: 2 instances of 1 series did not arrive; run the same command again to fetch the rest." in err
    archive.single = whole
    status, out, _ = pull(command, servers, web, archive, tmp_path / "out")
    assert status == 0
    assert "CT: 2 fetched, 6 were here already" in out


@pytest.mark.slow
@pytest.mark.parametrize(
    "stream",
    [Answer(status=204), Answer(b"<html>login</html>", kind="text/html"), Answer(b"", kind="multipart/related")],
)
def test_a_stream_that_is_none_is_made_up_for_singly(stream, archive, command, servers, web, tmp_path) -> None:
    archive.stream = lambda: stream
    status, _, err = pull(command, servers, web, archive, tmp_path / "out")
    assert (status, err, came(tmp_path / "out")) == (0, "", 8)


def test_an_instance_other_than_the_one_asked_for_is_not_written(archive, command, servers, web, tmp_path) -> None:
    stranger = pydicom.dcmread(io.BytesIO(next(iter(archive.data.values()))))
    stranger.SOPInstanceUID, stranger.StudyInstanceUID = "1.2.3.4", "9.9.9"
    buffer = io.BytesIO()
    stranger.save_as(buffer)
    archive.stream = lambda: multipart([buffer.getvalue()] * 3)
    archive.single = lambda _: multipart([buffer.getvalue()])
    status, out, _ = pull(command, servers, web, archive, tmp_path / "out")
    assert (status, came(tmp_path / "out")) == (2, 0)
    assert "1.2.3.4, which was not requested" in out


def test_the_same_instances_again_and_again_end_the_transfer(archive, command, servers, web, tmp_path) -> None:
    archive.stream = lambda: multipart([next(iter(archive.data.values()))] * 1000)
    status, _, err = pull(command, servers, web, archive, tmp_path / "out")
    assert status == 2
    assert "so the transfer was ended" in err
    assert came(tmp_path / "out") == 1


def test_a_part_without_end_is_not_held_in_memory(archive, command, servers, web, tmp_path) -> None:
    archive.stream = lambda: multipart([b"x" * 3_000_000])
    set_budgets(Budgets(instance_bytes=1_000_000))
    try:
        status, _, err = pull(command, servers, web, archive, tmp_path / "out")
    finally:
        set_budgets(Budgets())
    assert status == 2
    assert "sends more than 1 MB in one piece" in err


def test_an_instance_nested_without_end_is_refused(archive, command, servers, web, tmp_path) -> None:
    uid, content = next(iter(archive.data.items()))
    item = b"\x08\x00\x40\x11SQ\x00\x00\xff\xff\xff\xff\xfe\xff\x00\xe0\xff\xff\xff\xff"
    start = content.index(b"\x08\x00\x60\x00CS")
    archive.data[uid] = content[:start] + item * 5000 + content[start:]
    status, _, err = pull(command, servers, web, archive, tmp_path / "out")
    assert status == 2
    assert "Traceback" not in err
    assert came(tmp_path / "out") == 7


@pytest.mark.slow
@pytest.mark.parametrize("envelope", [True, False])
def test_an_instance_that_unpacks_without_end_is_not_unpacked(
    envelope, archive, command, servers, web, tmp_path
) -> None:
    uid, content = next(iter(archive.data.items()))
    data = pydicom.dcmread(io.BytesIO(content))
    data.PixelData = b"\0" * 100_000_000
    data.Rows, data.Columns = 5000, 10_000
    data.file_meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian
    packed = io.BytesIO()
    data.save_as(packed)
    assert len(packed.getvalue()) < 200_000
    archive.stream = lambda: multipart([packed.getvalue()])
    whole = archive.single
    bomb = multipart([packed.getvalue()]) if envelope else Answer(packed.getvalue(), kind="application/dicom")
    archive.single = lambda asked: bomb if asked == uid else whole(asked)
    tracemalloc.start()
    status, out, _ = pull(command, servers, web, archive, tmp_path / "out")
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert (status, came(tmp_path / "out")) == (2, 7)
    assert f"{uid}: the server's answer cannot be read" in out
    assert peak < 60_000_000
