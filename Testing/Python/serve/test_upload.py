"""Uploads come piece by piece, under names of ours, within limits; what is cut off leaves nothing behind."""

import asyncio
import errno
from dataclasses import replace
from pathlib import Path

import pytest
from starlette.requests import ClientDisconnect

from AcuteFindingsLib.budgets import budgets, set_budgets
from AcuteFindingsLib.serve import board, job_routes, upload
from AcuteFindingsLib.serve.problem import Problem
from AcuteFindingsLib.serve.upload import receive_upload

NAMES = [
    "../../../etc/passwd",
    "/etc/cron.d/evil.dcm",
    "C:\\Windows\\evil.nii.gz",
    "DOE^JANE 1970-01-01.dcm",
    "a.nii.gz/../../b.nii",
    "nul.dcm",
    "x" * 3000 + ".png",
    ".job.json",
    "Ä\u202egnp.exe",
    "a\tb.zip",
]


def uploads(client) -> list[Path]:
    folder = client.app._settings.results / "uploads"
    return sorted(path for path in folder.rglob("*") if path.is_file())


@pytest.mark.parametrize("name", NAMES)
def test_no_part_of_a_clients_name_becomes_a_path_but_a_known_ending(app, name):
    client = app()
    answer = client.post("/api/v1/studies", files={"files": (name, b"x")})
    assert answer.status_code == 202
    files = [path.relative_to(client.app._settings.results / "uploads") for path in uploads(client)]
    job = answer.json()["id"]
    assert {path.parts[:-1] for path in files} == {(job,), (job, "files")}
    stored = next(path.name for path in files if len(path.parts) == 3)
    assert stored.partition(".")[0] == "00001"
    assert stored.partition(".")[2] in ("", "dcm", "nii.gz", "nii", "png", "zip")
    assert "DOE" not in client.get(f"/api/v1/jobs/{job}").text


def test_files_arrive_as_they_were_sent_with_what_was_asked_for(app):
    client = app()
    sent = [b"\r\n--x\r\n" + bytes([number]) * 70_000 for number in range(3)]
    answer = client.post(
        "/api/v1/studies", files=[("files", ("same.dcm", one)) for one in sent], data={"detector": "hemorrhage"}
    )
    assert answer.status_code == 202
    assert answer.headers["location"] == f"/api/v1/jobs/{answer.json()['id']}"
    assert answer.json()["detector"] == "hemorrhage"
    assert answer.json()["state"] == "waiting"
    assert [path.read_bytes() for path in uploads(client) if path.parent.name == "files"] == sent


@pytest.mark.parametrize(
    ("request_of", "status", "said"),
    [
        ({"files": {"files": ("a.dcm", b"x")}, "data": {"detector": "none"}}, 422, "no such detector"),
        ({"files": {"files": ("a.dcm", b"x")}, "data": {"model": "/etc"}}, 422, "no such model"),
        ({"files": {"files": ("a.dcm", b"x")}, "data": {"model": "../models/evil"}}, 422, "no such model"),
        ({"files": {"files": ("a.dcm", b"x")}, "data": {"detector": "x" * 300}}, 422, "too long"),
        ({"files": {"other": ("a.dcm", b"x")}}, 422, "No file"),
        ({"data": {"files": "text"}}, 415, "multipart"),
        ({"json": {"files": "text"}}, 415, "multipart"),
        ({"content": b""}, 415, "multipart"),
        ({"content": b"--b\r\n", "headers": {"Content-Type": "multipart/form-data"}}, 415, "multipart"),
        (
            {"content": b"--", "headers": {"Content-Type": f"multipart/form-data; boundary={'b' * 300}"}},
            415,
            "multipart",
        ),
        ({"content": b"nonsense", "headers": {"Content-Type": "multipart/form-data; boundary=b"}}, 400, "whole form"),
        (
            {
                "content": b'--b\r\nContent-Disposition: form-data; name="files"; filename="a"\r\n\r\nhalf',
                "headers": {"Content-Type": "multipart/form-data; boundary=b"},
            },
            400,
            "cut short",
        ),
        (
            {
                "content": b'--b\r\nContent-Disposition: form-data; name="files"\r\n\r\ntext\r\n--b--\r\n',
                "headers": {"Content-Type": "multipart/form-data; boundary=b"},
            },
            422,
            "file name",
        ),
        (
            {
                "content": b"--b\r\nX: " + b"y" * 20_000 + b"\r\n\r\n--b--\r\n",
                "headers": {"Content-Type": "multipart/form-data; boundary=b"},
            },
            400,
            "form",
        ),
    ],
)
def test_what_is_no_upload_is_told_in_a_sentence_and_leaves_nothing(app, request_of, status, said):
    client = app()
    answer = client.post("/api/v1/studies", **request_of)
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"
    assert said in answer.json()["detail"]
    assert uploads(client) == []


def test_a_form_of_endless_parts_is_given_up(app):
    client = app()
    before = budgets()
    set_budgets(replace(before, archive_members=50))
    try:
        part = b'--b\r\nContent-Disposition: form-data; name="x"\r\n\r\n\r\n'
        answer = client.post(
            "/api/v1/studies", content=part * 100, headers={"Content-Type": "multipart/form-data; boundary=b"}
        )
    finally:
        set_budgets(before)
    assert answer.status_code == 413
    assert uploads(client) == []


@pytest.mark.parametrize("length_is_told", [True, False])
def test_too_large_an_upload_is_refused_and_leaves_nothing(app, length_is_told):
    client = app()
    before = budgets()
    set_budgets(replace(before, upload_bytes=2**16))
    body = b'--b\r\nContent-Disposition: form-data; name="files"; filename="a.dcm"\r\n\r\n' + b"x" * 10**6
    try:
        answer = client.post(
            "/api/v1/studies",
            content=body if length_is_told else iter([body[:50_000]] * 5),
            headers={"Content-Type": "multipart/form-data; boundary=b"},
        )
    finally:
        set_budgets(before)
    assert answer.status_code == 413
    assert uploads(client) == []


def test_uploads_leave_room_on_the_disk_also_those_that_do_not_tell_their_size(app, monkeypatch):
    client = app()
    free = iter([2**30, 10])
    monkeypatch.setattr(upload, "_LOOK_BYTES", 2**16)
    monkeypatch.setattr(upload.shutil, "disk_usage", lambda _folder: type("Free", (), {"free": next(free)})())
    start = b'--b\r\nContent-Disposition: form-data; name="files"; filename="a.dcm"\r\n\r\n'
    answer = client.post(
        "/api/v1/studies",
        content=iter([start, *[b"x" * 50_000] * 5]),
        headers={"Content-Type": "multipart/form-data; boundary=b"},
    )
    assert answer.status_code == 507
    assert uploads(client) == []


def test_an_upload_that_cannot_fit_on_the_disk_is_refused_before_it_comes(app, monkeypatch):
    client = app()
    monkeypatch.setattr(upload.shutil, "disk_usage", lambda _folder: type("Free", (), {"free": 10})())
    answer = client.post("/api/v1/studies", files={"files": ("a.dcm", b"x" * 1000)})
    assert answer.status_code == 507
    assert uploads(client) == []


@pytest.mark.parametrize("moment", ["file", "job"])
def test_a_disk_that_fills_up_is_told_as_such_and_leaves_nothing(app, monkeypatch, moment):
    client = app()

    def full(*_given):
        raise OSError(errno.ENOSPC, "No space left on device", "/secret/place")

    if moment == "file":
        monkeypatch.setattr(upload._Form, "write", full)
    else:
        monkeypatch.setattr(board.Board, "add", full)
    answer = client.post("/api/v1/studies", files={"files": ("a.dcm", b"x" * 1000)})
    assert answer.status_code == 507
    assert "secret" not in answer.text
    assert uploads(client) == []


def test_too_many_waiting_uploads_are_turned_away_for_a_time(app, monkeypatch):
    client = app()
    monkeypatch.setattr(job_routes, "MOST_WAITING", 2)
    answers = [client.post("/api/v1/studies", files={"files": ("a.dcm", b"x")}) for _ in range(3)]
    assert [one.status_code for one in answers] == [202, 202, 429]
    assert int(answers[2].headers["retry-after"]) > 0
    assert client.get("/api/v1/jobs/" + answers[1].json()["id"]).json()["text"] == "Waiting: 1 before it"
    assert len([path for path in uploads(client) if path.parent.name == "files"]) == 2


def received(pieces, folder: Path, length: int = 0):
    return asyncio.run(receive_upload("multipart/form-data; boundary=b", length, pieces, folder))


def test_an_upload_that_goes_silent_or_drips_is_given_up(tmp_path, monkeypatch):
    async def silent():
        yield b"--b\r\n"
        await asyncio.sleep(30)

    async def dripping():
        while True:
            yield b"-"

    monkeypatch.setattr(upload, "_SILENT_SECONDS", 0.05)
    with pytest.raises(Problem, match="too slowly") as given_up:
        received(silent(), tmp_path)
    assert given_up.value.status == 408
    monkeypatch.setattr(upload, "_RATE_FROM_SECONDS", -1.0)
    monkeypatch.setattr(upload, "_LEAST_RATE", 1e12)
    with pytest.raises(Problem, match="too slowly"):
        received(dripping(), tmp_path)


def test_a_client_that_goes_away_leaves_nothing(app, monkeypatch):
    client = app()

    async def gone(*_given):
        raise ClientDisconnect

    monkeypatch.setattr(job_routes, "receive_upload", gone)
    assert client.post("/api/v1/studies", files={"files": ("a.dcm", b"x")}).status_code == 400
    assert uploads(client) == []
    assert client.get("/api/v1/jobs").json() == []
