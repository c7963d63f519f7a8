"""Servers that are away, wrong or unwilling: each error is one sentence that says what to do."""

import http.server
import json
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from pynetdicom import AE, evt

STUDY = ("--study", "1.2.3")


@pytest.fixture
def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture
def servers(tmp_path: Path) -> Callable[..., Path]:
    def write(
        port: int, *, scheme: str = "http", host: str = "127.0.0.1", timeout: int = 20, classic: str = ""
    ) -> Path:
        path = tmp_path / "servers.toml"
        path.write_text(
            f"""
[web]
kind = "dicomweb"
url = "{scheme}://{host}:{port}/dicom-web"
timeout = {timeout}
[classic]
kind = "dicom"
host = "{host}"
port = {port}
ae_title = "ARCHIVE"
timeout = {timeout}
{classic}
""",
            encoding="utf-8",
        )
        return path

    return write


@pytest.fixture
def silent_port() -> Iterator[int]:
    """A port that takes connections and says nothing."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen()
        yield listening.getsockname()[1]


@pytest.fixture
def web() -> Iterator[Callable[..., int]]:
    """Start a web server that gives the same answer to everything; returns its port."""
    running = []

    def start(
        status: int, body: bytes = b"", *, kind: str = "application/dicom+json", length: int | None = None
    ) -> int:
        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def answer(self) -> None:
                self.rfile.read(int(self.headers.get("Content-Length") or 0))
                self.send_response(status)
                self.send_header("Content-Type", kind)
                self.send_header("Content-Length", str(len(body) if length is None else length))
                self.end_headers()
                self.wfile.write(body)
                self.close_connection = length is not None

            do_GET = do_POST = answer

            def log_message(self, *_: object) -> None:
                pass

        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        running.append(server)
        return server.server_address[1]

    yield start
    for server in running:
        server.shutdown()
        server.server_close()


@pytest.fixture
def peer() -> Iterator[Callable[..., int]]:
    """Start a classic DICOM server of our own making; returns its port."""
    running = []

    def start(contexts: list[str], handlers: list | None = None, **settings: object) -> int:
        entity = AE(ae_title="ARCHIVE")
        for context in contexts:
            entity.add_supported_context(context)
        for name, value in settings.items():
            setattr(entity, name, value)
        server = entity.start_server(("127.0.0.1", 0), block=False, evt_handlers=handlers or [])
        running.append(server)
        return server.server_address[1]

    yield start
    for server in running:
        server.shutdown()


def one_line(result: tuple[int, str, str]) -> str:
    status, out, err = result
    assert (status, out) == (2, "")
    (line,) = err.splitlines()
    assert line.startswith("acutefindings: ")
    assert "1.2.3" not in line
    return line


@pytest.mark.parametrize("way", ["web", "classic"])
def test_a_server_that_is_down(way, servers, free_port, command) -> None:
    line = one_line(command("find", way, *STUDY, "--servers", servers(free_port)))
    assert "nothing answers at that port; check the port and that the server runs" in line


@pytest.mark.parametrize("way", ["web", "classic"])
def test_a_host_that_does_not_exist(way, servers, command) -> None:
    line = one_line(command("find", way, *STUDY, "--servers", servers(104, host="no-such-host.invalid")))
    assert "no such host is known; check the host's name, and the network or VPN" in line


@pytest.mark.slow
def test_a_web_server_that_does_not_answer(servers, silent_port, command) -> None:
    line = one_line(command("find", "web", *STUDY, "--servers", servers(silent_port, timeout=1)))
    assert "did not answer within 1 s; try again, or set a longer timeout" in line


@pytest.mark.slow
def test_a_classic_server_that_does_not_answer(servers, silent_port, command) -> None:
    line = one_line(command("find", "classic", *STUDY, "--servers", servers(silent_port, timeout=1)))
    assert "does not answer as DICOM does; check the port, and whether it wants TLS" in line


@pytest.mark.slow
@pytest.mark.parametrize(
    ("status", "says"),
    [
        (401, "rejects the login (HTTP 401): check user and password, or the token"),
        (403, "does not allow this (HTTP 403)"),
        (404, "has nothing there (HTTP 404): check that url ends in the DICOMweb root"),
        (500, "has an internal error (HTTP 500); try again later"),
        (503, "has an internal error (HTTP 503); try again later"),
        (418, "refused (HTTP 418)"),
    ],
)
def test_a_refusal_of_the_web_server(status: int, says: str, servers, web, command) -> None:
    assert says in one_line(command("find", "web", *STUDY, "--servers", servers(web(status))))


@pytest.mark.slow
@pytest.mark.parametrize(
    "body", [b"<html>Welcome</html>", b'[{"0020000D": {"vr": "UI"', b'["text"]', b"[{}]", b"\xff\xfe"]
)
def test_an_answer_that_is_not_dicomweb(body: bytes, servers, web, command) -> None:
    result = command("find", "web", *STUDY, "--servers", servers(web(200, body)), "--level", "study")
    if body == b"[{}]":
        assert (result[0], result[1]) == (0, "Nothing fits.\n")
    else:
        assert "check that url ends in the DICOMweb root" in one_line(result)


def test_an_answer_that_breaks_off(servers, web, command) -> None:
    line = one_line(command("find", "web", *STUDY, "--servers", servers(web(200, b"[{", length=500))))
    assert "broke off in the middle of an answer; run the same command again, what has arrived is kept" in line


def test_a_path_in_place_of_a_uid_is_refused(servers, web, command, tmp_path) -> None:
    study = {"0020000D": {"vr": "UI", "Value": ["1.2.3"]}}
    series = study | {"0020000E": {"vr": "UI", "Value": ["../../evil"]}}
    port = web(200, json.dumps([series]).encode())
    line = command("pull", "web", *STUDY, "--out", tmp_path / "out", "--servers", servers(port))[2]
    assert "SeriesInstanceUID that cannot be used" in line
    assert not (tmp_path / "evil").exists()


def test_https_where_the_server_speaks_plainly(servers, web, command) -> None:
    line = one_line(command("find", "web", *STUDY, "--servers", servers(web(200, b"[]"), scheme="https")))
    assert "TLS failed: it does not use TLS there; check address and port" in line


@pytest.mark.slow
def test_tls_where_the_classic_server_speaks_plainly(servers, peer, command) -> None:
    port = peer(["1.2.840.10008.1.1"])
    line = one_line(command("find", "classic", *STUDY, "--servers", servers(port, classic="tls = true")))
    assert "TLS failed" in line


def test_a_server_of_another_name(archive, servers, command) -> None:
    path = servers(archive.dicom_port, classic="").read_text().replace('"ARCHIVE"', '"OTHER"')
    wrong = servers(archive.dicom_port)
    wrong.write_text(path)
    line = one_line(command("find", "classic", *STUDY, "--servers", wrong))
    assert "says that it is not called OTHER; correct ae_title" in line


@pytest.mark.slow
def test_a_server_that_does_not_know_us(servers, peer, command) -> None:
    port = peer(["1.2.840.10008.1.1"], require_calling_aet=["SOMEBODY"])
    line = one_line(command("find", "classic", *STUDY, "--servers", servers(port)))
    assert "does not know us as ACUTEFINDINGS; ask its administrator to add that AE title" in line


@pytest.mark.slow
def test_a_server_that_offers_no_queries(servers, peer, command) -> None:
    line = one_line(command("find", "classic", *STUDY, "--servers", servers(peer(["1.2.840.10008.1.1"]))))
    assert "accepts us as ACUTEFINDINGS but does not offer queries (C-FIND)" in line


def test_a_real_server_that_permits_no_queries_to_strangers(archive, servers, command) -> None:
    path = servers(archive.dicom_port, classic='own_ae_title = "STRANGER"')
    status, _, err = command("find", "classic", *STUDY, "--servers", path)
    assert status == 2
    assert "administrator" in err


@pytest.mark.slow
@pytest.mark.parametrize(
    ("code", "says"), [(0xA700, "out of resources"), (0xA900, "does not take"), (0xC001, "0xC001")]
)
def test_a_query_that_fails(code: int, says: str, servers, peer, command) -> None:
    def answer(event):
        yield code, None

    port = peer(["1.2.840.10008.5.1.4.1.2.2.1"], [(evt.EVT_C_FIND, answer)])
    line = one_line(command("find", "classic", *STUDY, "--servers", servers(port)))
    assert says in line


def test_a_server_that_ignores_what_is_asked_gives_no_other_patients_study(servers, web, command, tmp_path) -> None:
    other = {"0020000D": {"vr": "UI", "Value": ["9.9.9"]}, "00100020": {"vr": "LO", "Value": ["SOMEBODY-ELSE"]}}
    port = web(200, json.dumps([other]).encode())
    for asked in (STUDY, ("--patient-id", "ME"), ("--accession", "A1")):
        result = command("pull", "web", *asked, "--out", tmp_path / "out", "--servers", servers(port))
        assert result[:2] == (2, "")
        assert "has no such study" in result[2]


@pytest.mark.slow
@pytest.mark.parametrize("way", ["web", "classic"])
def test_a_push_to_a_server_that_is_down_names_every_instance(way, servers, free_port, sent_study, command) -> None:
    status, out, err = command("push", way, sent_study.folder, "--servers", servers(free_port), "--json")
    assert status == 1
    answers = json.loads(out)["instances"]
    assert len(answers) == len(sent_study.files)
    assert {answer["state"] for answer in answers} == {"not sent"}
    assert all("nothing answers at that port" in answer["text"] for answer in answers)
    status, out, err = command("push", way, sent_study.folder, "--servers", servers(free_port))
    assert "10 instances are NOT stored; run the same command again" in err


@pytest.mark.parametrize(
    ("status", "body", "code", "says"),
    [
        (413, b"", "HTTP 413", "too large"),
        (409, {"00081198": {"vr": "SQ", "Value": [{"00081197": {"vr": "US", "Value": [0xA700]}}]}}, "0xA700", "room"),
        (202, {"00081198": {"vr": "SQ", "Value": [{"00081197": {"vr": "US", "Value": [0x0122]}}]}}, "0x0122", "kind"),
    ],
)
def test_a_web_server_that_does_not_store(status, body, code, says, servers, web, sent_study, command) -> None:
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    path = servers(web(status, content))
    exit_status, out, _ = command("push", "web", sent_study.files[0], "--servers", path, "--json")
    (answer,) = json.loads(out)["instances"]
    assert exit_status == 1
    assert (answer["state"], answer["code"]) == ("refused", code)
    assert says in answer["text"]


@pytest.mark.parametrize("arguments", [(), ("--patient-id", "A*"), ("--study", "../x"), ("--date", "yesterday")])
def test_a_question_that_is_none(arguments, servers, command) -> None:
    status, _, err = command("find", "web", *arguments, "--servers", servers(104))
    assert status == 2
    assert "--" in err


def test_nothing_to_send_is_said(servers, tmp_path, command) -> None:
    (tmp_path / "text").mkdir()
    (tmp_path / "text" / "notes.txt").write_text("no DICOM here")
    path = servers(104)
    for what, says in (
        (tmp_path / "none", "There is no file or folder"),
        (tmp_path / "text", "There is no DICOM file in text"),
        (tmp_path / "text" / "notes.txt", "notes.txt is not a DICOM file"),
    ):
        status, _, err = command("push", "web", what, "--servers", path)
        assert status == 2
        assert says in err
