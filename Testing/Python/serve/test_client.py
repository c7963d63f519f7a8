"""The client against servers that behave in every way: what it says is one sentence, and it believes nobody."""

import io
import json
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from AcuteFindingsLib import budgets
from AcuteFindingsLib.errors import CancelledError, RemoteError, UnreachableError
from AcuteFindingsLib.serve import client as module
from AcuteFindingsLib.serve.address import Address
from AcuteFindingsLib.serve.client import Client

httpx = pytest.importorskip("httpx")

URL = "https://ai.example.org"
VERSION = {"software": "9.9", "api": 1}
KEY = "0123456789abcdef0123"
JOB: dict[str, Any] = {
    "id": "j1",
    "state": "reading",
    "study": None,
    "studies": [],
    "text": "Reading slices",
    "progress": 0.5,
    "detector": "pe",
    "created": "",
    "expires": None,
}
DONE = {**JOB, "state": "done", "studies": [KEY], "text": "", "progress": 1.0}
Handler = Callable[[Any], Any]


def client_of(handler: Handler, **address: Any) -> Client:
    return Client(Address(**{"url": URL, **address}), transport=httpx.MockTransport(handler))


def problem(status: int, detail: str) -> Any:
    said = {"type": "about:blank", "title": "No", "status": status, "detail": detail}
    return httpx.Response(status, json=said, headers={"Content-Type": "application/problem+json"})


def events(*jobs: dict[str, Any], cut: bool = False) -> Any:
    class Stream(httpx.SyncByteStream):
        def __iter__(self) -> Iterator[bytes]:
            yield b": still here\n\n"
            for job in jobs:
                # A message may come in pieces.
                data = f"event: job\ndata: {json.dumps(job)}\n\n".encode()
                yield data[:20]
                yield data[20:]
            if cut:
                raise httpx.ReadError("cut")

    return httpx.Response(200, stream=Stream(), headers={"Content-Type": "text/event-stream"})


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_AGAIN_SECONDS", 0.0)
    monkeypatch.setattr(module, "_LOOK_SECONDS", 0.01)


@pytest.mark.parametrize(
    ("address", "said"),
    [
        ({"url": "ai.example.org"}, "not whole"),
        ({"url": "ftp://ai.example.org"}, "not whole"),
        ({"url": "https://"}, "not whole"),
        ({"url": "https://ai.example.org:port"}, "not whole"),
        ({"url": "https://ai.example.org:99999"}, "not whole"),
        ({"url": "https://ai.example.org/?a=1"}, "not whole"),
        ({"url": "https://me:secret@ai.example.org"}, "holds a login"),
        ({"url": "http://ai.example.org"}, "unencrypted"),
        ({"url": "http://10.0.0.5:8080"}, "unencrypted"),
        ({"token": "with blank"}, "token"),
        ({"token": "tökén"}, "token"),
        ({"token": "two\nlines"}, "token"),
        ({"ca_file": Path("/none/there.pem")}, "certificates"),
    ],
)
def test_an_address_that_cannot_be_used_is_told_before_anything_is_sent(address: dict[str, Any], said: str) -> None:
    with pytest.raises(RemoteError, match=said) as caught:
        client_of(lambda _: pytest.fail("something was sent"), **address)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("url", ["http://127.0.0.1:8080", "http://localhost:8080", "http://[::1]:8080"])
def test_this_computer_needs_no_encryption(url: str) -> None:
    assert client_of(lambda _: httpx.Response(200, json=VERSION), url=url).version() == VERSION


def test_an_unencrypted_address_can_be_allowed() -> None:
    client = client_of(lambda _: httpx.Response(200, json=VERSION), url="http://10.0.0.5/", unencrypted=True)
    assert client.version() == VERSION


def test_an_address_shows_no_token() -> None:
    assert "secret" not in repr(Address(URL, "secret"))


def test_the_token_is_sent_to_the_server_and_below_its_path() -> None:
    seen = []

    def handler(request: Any) -> Any:
        seen.append((str(request.url), request.headers["Authorization"]))
        return httpx.Response(200, json=VERSION)

    client_of(handler, url=f"{URL}/ai/", token="secret").version()
    assert seen == [(f"{URL}/ai/api/v1/version", "Bearer secret")]


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (httpx.Response(200, json={**VERSION, "api": 2}), "version 2 .* update AcuteFindings on this computer"),
        (httpx.Response(200, json={**VERSION, "api": 0}), "version 0 .* update the server"),
        (httpx.Response(200, html="<p>Welcome</p>"), "not an AcuteFindings server"),
        (httpx.Response(200, json=[]), "not an AcuteFindings server"),
        (httpx.Response(200, json={"api": 1}), "not an AcuteFindings server"),
        (httpx.Response(200, content=b"[" * 1000), "not an AcuteFindings server"),
        (httpx.Response(200), "not an AcuteFindings server"),
        (httpx.Response(404, html="<p>Nothing</p>"), "not an AcuteFindings server"),
        (problem(404, "There is nothing at this address."), "not an AcuteFindings server"),
        (httpx.Response(302, headers={"Location": "https://elsewhere.example.org/"}), "not an AcuteFindings server"),
        (httpx.Response(401), "asks for a token"),
        (problem(401, "Give a token."), "asks for a token"),
        (httpx.Response(502), r"has an error \(HTTP 502\)"),
        (problem(421, "This server answers to its own name alone."), "answers to its own name alone"),
    ],
)
def test_what_is_no_server_of_this_kind_is_told(answer: Any, said: str) -> None:
    with pytest.raises(RemoteError, match=said) as caught:
        client_of(lambda _: answer).version()
    assert URL in str(caught.value)
    assert str(caught.value).endswith(".")


def test_a_wrong_token_is_told() -> None:
    with pytest.raises(RemoteError, match="does not take the token") as caught:
        client_of(lambda _: httpx.Response(401), token="secret").detectors()
    assert "secret" not in str(caught.value)


def test_an_address_that_should_begin_with_https_is_told() -> None:
    def handler(_request: Any) -> Any:
        raise httpx.RemoteProtocolError("Server disconnected without sending a response.")

    with pytest.raises(UnreachableError, match="or an address that begins with https"):
        client_of(handler, url="http://127.0.0.1:8443").version()


def test_nobody_at_that_address_is_told() -> None:
    with Client(Address("http://127.0.0.1:9")) as client, pytest.raises(UnreachableError, match="nothing answers"):
        client.version()


def test_an_unknown_host_is_told() -> None:
    with Client(Address("https://none.invalid")) as client, pytest.raises(UnreachableError, match="no such host"):
        client.version()


def test_an_endless_answer_is_not_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(budgets, "_current", budgets.Budgets(text_bytes=1000))
    with pytest.raises(RemoteError, match="not an AcuteFindings server"):
        client_of(lambda _: httpx.Response(200, content=b" " * 5000)).version()


def test_what_a_server_says_steers_no_terminal_and_is_not_endless() -> None:
    with pytest.raises(RemoteError) as caught:
        client_of(lambda _: problem(429, "\x1b[2J" + "too many " * 1000)).jobs()
    assert "\x1b" not in str(caught.value)
    assert len(str(caught.value)) < 700


def test_files_are_sent_without_their_names_and_the_share_is_told(tmp_path: Path) -> None:
    (tmp_path / "Doe^Jane.nii.gz").write_bytes(b"1" * 100_000)
    (tmp_path / "second").write_bytes(b"2" * 100_000)
    bodies, told = [], []

    def handler(request: Any) -> Any:
        bodies.append(request.read())
        return httpx.Response(202, json=JOB)

    job = client_of(handler).upload(
        [tmp_path / "Doe^Jane.nii.gz", tmp_path / "second"],
        detector="pe",
        model="m",
        progress=lambda text, share: told.append((text, share)),
    )
    assert job.id == "j1"
    assert not job.over
    assert b"Doe" not in bodies[0]
    assert b'filename="000000.nii.gz"' in bodies[0]
    assert b'name="detector"\r\n\r\npe\r\n' in bodies[0]
    assert b'name="model"\r\n\r\nm\r\n' in bodies[0]
    assert [share for _, share in told] == sorted(share for _, share in told)
    assert told[-1] == ("Sending the study", 1.0)


def test_a_packed_study_is_sent_as_what_it_is(tmp_path: Path) -> None:
    (tmp_path / "study.zip").write_bytes(b"PK")
    bodies = []
    client = client_of(lambda request: bodies.append(request.read()) or httpx.Response(202, json=JOB))
    client.upload([tmp_path / "study.zip"], packed=True)
    assert b"Content-Type: application/vnd.acutefindings.study+zip" in bodies[0]


def test_sending_stops_when_asked(tmp_path: Path) -> None:
    (tmp_path / "study.zip").write_bytes(b"PK" * 100_000)
    with pytest.raises(CancelledError):
        client_of(lambda request: request.read()).upload([tmp_path / "study.zip"], cancelled=lambda: True)


def test_a_file_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(RemoteError, match="cannot be read"):
        client_of(lambda _: pytest.fail("something was sent")).upload([tmp_path / "none"])


@pytest.mark.parametrize(
    "change",
    [
        {"state": "unheard-of"},
        {"id": "../../admin"},
        {"studies": None},
        {"progress": "half"},
        {"progress": None},
    ],
)
def test_a_job_that_is_none_is_told(change: dict[str, Any]) -> None:
    with pytest.raises(RemoteError, match="not an AcuteFindings server"):
        client_of(lambda _: httpx.Response(200, json={**JOB, **change})).job("j1")


def test_a_job_is_followed_with_the_servers_words_to_its_end() -> None:
    told = []
    client = client_of(lambda _: events(JOB, {**JOB, "text": "Measuring", "progress": 0.8}, DONE))
    job = client.follow("j1", progress=lambda *said: told.append(said))
    assert (job.state, job.studies) == ("done", (KEY,))
    assert told == [("Reading slices", 0.5), ("Measuring", 0.8)]


def test_a_server_that_goes_away_is_waited_for() -> None:
    answers = [
        events(JOB, cut=True),
        httpx.ConnectError("gone"),
        httpx.ConnectError("gone"),
        httpx.Response(503),
        events({**JOB, "progress": 0.6}),
        httpx.Response(200, json={**JOB, "progress": 0.7}),
        events(DONE),
    ]
    told: list[str] = []

    def handler(_request: Any) -> Any:
        answer = answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    assert client_of(handler).follow("j1", progress=lambda text, _: told.append(text)).state == "done"
    assert "The server does not answer; trying again" in told
    assert not answers


def test_a_server_that_stays_away_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LOST_SECONDS", 0.05)

    def handler(_request: Any) -> Any:
        raise httpx.ConnectError("gone")

    with pytest.raises(UnreachableError):
        client_of(handler).follow("j1")


def test_a_job_that_was_deleted_is_told() -> None:
    with pytest.raises(RemoteError, match="no such job"):
        client_of(lambda _: problem(404, "There is no such job.")).follow("j1")


@pytest.mark.parametrize("offline", [False, True])
def test_who_stops_has_stopped_and_the_server_is_told(offline: bool) -> None:
    asked = []

    def handler(request: Any) -> Any:
        asked.append(request.method)
        if request.method == "GET":
            return events(*[JOB] * 3)
        if offline:
            raise httpx.ConnectError("gone")
        return httpx.Response(204)

    told: list[str] = []
    with pytest.raises(CancelledError):
        client_of(handler).follow("j1", progress=lambda text, _: told.append(text), cancelled=lambda: bool(told))
    assert asked[-1] == "DELETE"


def test_an_error_of_whoever_is_told_stops_the_job_too() -> None:
    asked = []

    def stop(_text: str, _share: float) -> None:
        raise CancelledError

    def handler(request: Any) -> Any:
        asked.append(request.method)
        return events(JOB) if request.method == "GET" else httpx.Response(204)

    with pytest.raises(CancelledError):
        client_of(handler).follow("j1", progress=stop)
    assert "DELETE" in asked


def zip_of(**members: bytes) -> Any:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        for name, data in members.items():
            archive.writestr(name.replace("__", "/"), data)
    return httpx.Response(200, content=stream.getvalue())


@pytest.mark.parametrize(
    "answer",
    [
        zip_of(**{"finding.json": b"{}"}),
        zip_of(**{"finding.json": b"[" * 1000}),
        zip_of(**{"heatmap.nrrd": b""}),
        zip_of(**{"..__..__escaped.txt": b"out"}),
        zip_of(**{"finding.json": b"{}", "program.exe": b"MZ"}),
        httpx.Response(200, content=b"no zip"),
        httpx.Response(200, content=b""),
    ],
)
def test_a_finding_that_is_none_is_told_and_nothing_is_written_elsewhere(answer: Any, tmp_path: Path) -> None:
    with pytest.raises(RemoteError, match="cannot read"):
        client_of(lambda _: answer).finding(KEY, tmp_path / "a" / "b" / "finding")
    assert not list(tmp_path.rglob("escaped.txt"))
    assert not list(tmp_path.rglob("program.exe"))


def test_a_finding_without_end_is_not_kept(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(budgets, "_current", budgets.Budgets(archive_bytes=1000))
    with pytest.raises(RemoteError, match="more than any finding"):
        client_of(lambda _: httpx.Response(200, content=b"1" * 5000)).finding(KEY, tmp_path / "finding")


def test_ids_that_are_none_become_no_address() -> None:
    client = client_of(lambda _: pytest.fail("something was sent"))
    for ask in (client.job, client.cancel, client.follow, client.delete):
        with pytest.raises(RemoteError):
            ask("../models")


def test_an_answer_is_kept_and_a_study_removed() -> None:
    seen = []

    def handler(request: Any) -> Any:
        seen.append((request.method, request.url.path, request.read()))
        return httpx.Response(204)

    client = client_of(handler)
    client.answer(KEY, "agree", reader="A", note="clear")
    client.delete(KEY)
    assert json.loads(seen[0][2]) == {"answer": "agree", "reader": "A", "note": "clear"}
    assert [one[:2] for one in seen] == [
        ("POST", f"/api/v1/studies/{KEY}/answer"),
        ("DELETE", f"/api/v1/studies/{KEY}"),
    ]


def test_the_array_of_a_finding_is_held_against_the_study() -> None:
    from dataclasses import replace

    from AcuteFindingsLib.detectors.code import Code
    from AcuteFindingsLib.detectors.finding import Finding, Mask, ModelIdentity, SliceResult, Verdict
    from AcuteFindingsLib.serve.worker import check_finding
    from AcuteFindingsLib.study.study import DicomFacts, SourceSlice, Study

    study = Study(
        np.zeros((2, 3, 4), np.float32),
        np.eye(4),
        "CT",
        "HU",
        "axial",
        tuple(SourceSlice(k, None, 0, f"1.{k}", (0.0, 0.0, float(k)), float(k)) for k in range(2)),
        DicomFacts(series_instance_uid="1.2"),
    )
    code = Code("SCT", "1", "x")
    finding = Finding(
        "pe",
        ModelIdentity("m", "1", "ab", ""),
        Verdict("negative", 0.1, 0.5, "", ""),
        tuple(SliceResult(k, (0.0, 0.0, float(k)), f"1.{k}", {"pe": 0.1}) for k in range(2)),
        "pe",
        0.5,
        np.eye(4),
        (0.0, 1.0),
        masks=(Mask("Clot", np.zeros((2, 3, 4), np.uint8), code, code, None, (1.0, 0.0, 0.0)),),
        series_instance_uid="1.2",
    )
    check_finding(finding, study, "pe", None)
    check_finding(finding, study, "pe", "m")
    others = (
        replace(finding, detector="hemorrhage"),
        replace(finding, series_instance_uid="1.3"),
        replace(finding, ijk_to_ras=np.diag([1.0, 1.0, 2.0, 1.0])),
        replace(finding, masks=(replace(finding.masks[0], array=np.zeros((2, 3, 5), np.uint8)),)),
        replace(finding, slices=(*finding.slices, replace(finding.slices[0], index=2))),
        replace(finding, slices=(replace(finding.slices[0], sop_instance_uid="9"),)),
    )
    for other in others:
        with pytest.raises(RemoteError, match="not about the study"):
            check_finding(other, study, "pe", None)
    with pytest.raises(RemoteError, match="not about the study"):
        check_finding(finding, study, "pe", "another")
