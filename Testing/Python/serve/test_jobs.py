"""Jobs are read one after the other, tell what they are doing, and outlive the server's process."""

import contextlib
import json
import socket
import threading
import time
from collections.abc import Callable
from typing import Any

import httpx
import pretended_uploads
import pytest
from served import Server, start

from AcuteFindingsLib.errors import ServeError
from AcuteFindingsLib.serve import run as run_module
from AcuteFindingsLib.serve.run import serve
from AcuteFindingsLib.serve.settings import ServeSettings
from AcuteFindingsLib.worklist.engines.local import LocalEngine

_SECONDS = 240.0


def upload(client: httpx.Client, text: str) -> dict[str, Any]:
    answer = client.post("/studies", files={"files": ("a.nii", text.encode())}, data={"detector": "hemorrhage"})
    assert answer.status_code == 202, answer.text
    return answer.json()


def until(look: Callable[[], Any]) -> Any:
    end = time.monotonic() + _SECONDS
    while time.monotonic() < end:
        if found := look():
            return found
        time.sleep(0.05)
    raise AssertionError("this did not come about in time")


def state_of(client: httpx.Client, job: dict[str, Any], *states: str) -> dict[str, Any]:
    """Wait until a job is in one of some states, by default until it has ended."""

    def look():
        now = client.get(f"/jobs/{job['id']}").json()
        return now if now["state"] in (states or ("done", "refused", "failed")) else None

    return until(look)


def events(client: httpx.Client, address: str, name: str, enough: Callable[[list[Any]], bool]) -> list[Any]:
    """Return the data of server-sent events until they are enough or the stream ends."""
    heard: list[Any] = []
    with client.stream("GET", address) as stream:
        assert stream.headers["content-type"].startswith("text/event-stream")
        kind = ""
        for line in stream.iter_lines():
            if line.startswith("event: "):
                kind = line[7:]
            elif line.startswith("data: "):
                assert kind == name
                heard.append(json.loads(line[6:]))
                if enough(heard):
                    break
    return heard


def test_a_job_tells_by_events_what_it_is_doing_until_it_is_done(server: Server):
    with server.client() as client:
        job = upload(client, "slow 1.5 positive first")
        heard = events(client, f"/jobs/{job['id']}/events", "job", lambda _: False)
        assert heard[-1]["state"] == "done"
        assert heard[-1]["text"] == "Intracranial hemorrhage: positive, 0.90."
        assert heard[-1]["progress"] == 1.0
        reading = [one for one in heard if one["state"] == "reading"]
        assert any(one["text"].startswith("Pretending to read") for one in reading)
        shares = [one["progress"] for one in reading]
        assert shares == sorted(shares)
        assert 0 < max(shares) < 1
        # Who comes later hears how it ended, at once.
        assert events(client, f"/jobs/{job['id']}/events", "job", lambda _: False) == [heard[-1]]
        (study,) = heard[-1]["studies"]
        assert heard[-1]["study"] == study
        item = client.get(f"/studies/{study}").json()
        assert (item["verdict"], item["state"], item["radiograph"]) == ("positive", "done", False)
        assert client.get(f"/studies/{study}/finding").json()["verdict"]["probability"] == 0.9
    assert not (server.results / "uploads" / job["id"] / "files").exists()


@pytest.mark.parametrize(("word", "state"), [("refuse", "refused"), ("fail", "failed"), ("die", "failed")])
def test_what_cannot_be_read_is_a_sentence_and_the_next_job_is_read(server: Server, word: str, state: str):
    with server.client() as client:
        ended = state_of(client, upload(client, f"{word} {state}"))
        assert ended["state"] == state
        assert "memory ran out" in ended["text"] if word == "die" else f"It was told to {word}." in ended["text"]
        assert str(server.results) not in ended["text"]
        if word != "die":
            assert client.get(f"/studies/{ended['study']}").json()["said"] == f"It was told to {word}."
            assert client.get(f"/studies/{ended['study']}/finding").status_code == 404
        assert state_of(client, upload(client, f"after {len(word)} {state}"))["state"] == "done"


def test_what_holds_no_image_is_refused_in_a_sentence(server: Server):
    with server.client() as client:
        job = client.post("/studies", files={"files": ("a.txt", b"a letter")}).json()
        ended = state_of(client, job)
        assert ended["state"] == "failed"
        assert "can be read as an image" in ended["text"]
        assert ended["studies"] == []


def test_a_job_that_is_deleted_stops_and_leaves_nothing(server: Server):
    with server.client() as client:
        slow = upload(client, "slow 30 deleted")
        waits = upload(client, "deleted while it waits")
        state_of(client, slow, "reading")
        until(lambda: client.get(f"/jobs/{slow['id']}").json()["text"].startswith("Pretending"))
        assert client.delete(f"/jobs/{waits['id']}").status_code == 204
        assert client.delete(f"/jobs/{slow['id']}").status_code == 204
        for job in (slow, waits):
            assert client.get(f"/jobs/{job['id']}").status_code == 404
            until(lambda job=job: not (server.results / "uploads" / job["id"]).exists())
        assert client.delete(f"/jobs/{slow['id']}").status_code == 404
        total = client.get("/studies").json()["total"]
        assert state_of(client, upload(client, "after deleted"))["state"] == "done"
        assert client.get("/studies").json()["total"] == total + 1


def test_a_study_that_is_uploaded_twice_is_read_once_and_answers_both(server: Server):
    with server.client() as client:
        first, second = upload(client, "slow 0.5 twice"), upload(client, "slow 0.5 twice")
        ended = [state_of(client, job) for job in (first, second)]
        assert ended[0]["studies"] == ended[1]["studies"]
        assert pretended_uploads.kept(server.results).count(ended[0]["study"]) == 1


def test_the_list_tells_when_it_has_changed(server: Server):
    with server.client() as client, server.client() as other:
        study = state_of(client, upload(client, "answered"))["study"]
        heard: list[Any] = []

        def listen() -> None:
            heard.extend(events(other, "/studies/events", "list", lambda found: len(found) == 2))

        thread = threading.Thread(target=listen)
        thread.start()
        time.sleep(1.5)
        assert client.post(f"/studies/{study}/answer", json={"answer": "unsure", "note": "n"}).status_code == 204
        thread.join(_SECONDS)
        assert len(heard) == 2
        assert heard[0] != heard[1]


def test_the_list_is_filtered_and_cut_and_the_urgent_stand_first(server: Server):
    with server.client() as client:
        urgent = state_of(client, upload(client, "positive urgent"))["study"]
        calm = state_of(client, upload(client, "calm"))["study"]
        listed = client.get("/studies").json()
        places = {item["id"]: item["standing"] for item in listed["studies"]}
        assert places[urgent] < places[calm]
        assert [item["standing"] for item in listed["studies"]] == list(range(1, listed["total"] + 1))
        positive = client.get("/studies", params={"verdict": "positive"}).json()
        assert {item["verdict"] for item in positive["studies"]} == {"positive"}
        part = client.get("/studies", params={"limit": 1, "offset": 1}).json()
        assert part == {"total": listed["total"], "studies": [listed["studies"][1]]}
        assert client.get("/studies", params={"detector": "pe"}).json() == {"total": 0, "studies": []}
        assert client.get("/studies", params={"limit": 0}).status_code == 422


def spoken(server: Server, said: bytes, *, hang_up: bool = False) -> bytes:
    """Return what a server answers to bytes."""
    port = int(server.address.rstrip("/").rpartition(":")[2])
    with socket.create_connection(("127.0.0.1", port), timeout=20) as wire:
        wire.sendall(said)
        if hang_up:
            return b""
        answer = b""
        while piece := wire.recv(65536):
            answer += piece
    return answer


def test_huge_heads_and_what_is_no_request_are_refused_and_the_server_goes_on(server: Server):
    for said in (
        b"GET / HTTP/1.1\r\nHost: localhost\r\nX: " + b"x" * 10**6 + b"\r\n\r\n",
        b"GET /" + b"x" * 10**6 + b" HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"GET / HTTP/1.1\r\n" + b"A: b\r\n" * 10**5 + b"\r\n",
        b"\x16\x03\x01 no request at all \r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: localhost\r\nHost: evil.example\r\n\r\n",
    ):
        with contextlib.suppress(ConnectionError):
            assert spoken(server, said).startswith((b"HTTP/1.1 4", b""))
    with server.client() as client:
        assert client.get("/version").status_code == 200


def test_an_upload_whose_client_hangs_up_leaves_nothing(server: Server):
    before = set((server.results / "uploads").iterdir())
    head = b"POST /api/v1/studies HTTP/1.1\r\nHost: localhost\r\nContent-Type: multipart/form-data; boundary=b\r\n"
    part = b'--b\r\nContent-Disposition: form-data; name="files"; filename="a.nii"\r\n\r\n' + b"x" * 10**5
    spoken(server, head + b"Content-Length: 9999999\r\n\r\n" + part, hang_up=True)
    time.sleep(0.3)
    until(lambda: set((server.results / "uploads").iterdir()) == before)


def test_a_connection_that_asks_for_nothing_is_hung_up():
    hung_up = []
    protocol = run_module._Protocol.__new__(run_module._Protocol)
    protocol.cycle = None
    protocol.transport = type("Wire", (), {"is_closing": lambda _: False, "close": lambda _: hung_up.append(1)})()
    protocol._hang_up_silent()
    protocol.cycle = object()
    protocol._hang_up_silent()
    assert hung_up == [1]


def test_certificates_that_cannot_be_used_are_told(tmp_path):
    (tmp_path / "none.pem").write_text("none")
    with pytest.raises(ServeError, match="--tls-certificate"):
        serve(
            ServeSettings(tmp_path / "results", port=0), LocalEngine(),
            certificate=tmp_path / "none.pem", key=tmp_path / "none.pem",
        )  # fmt: skip


def test_a_second_server_of_the_same_folder_and_a_taken_port_are_refused(server: Server, tmp_path):
    with pytest.raises(ServeError, match="Another server uses"):
        serve(ServeSettings(server.results, port=0), LocalEngine())
    port = int(server.address.rstrip("/").rpartition(":")[2])
    with pytest.raises(ServeError, match="choose another --port"):
        serve(ServeSettings(tmp_path / "results", port=port), LocalEngine())


def test_jobs_go_on_after_the_server_was_killed_and_it_ends_when_told_to(tmp_path):
    first = start(tmp_path / "results")
    with first.client() as client:
        done = state_of(client, upload(client, "before"))
        slow = upload(client, "slow 3 killed")
        waits = upload(client, "waits")
        state_of(client, slow, "reading")
        until(lambda: client.get(f"/jobs/{slow['id']}").json()["progress"] > 0)
    half = "0" * 20
    (tmp_path / "results" / "uploads" / half / "files").mkdir(parents=True)
    first.kill()
    second = start(tmp_path / "results")
    with second.client() as client:
        assert client.get(f"/jobs/{done['id']}").json() == done
        ended = [state_of(client, job) for job in (slow, waits)]
        assert [one["state"] for one in ended] == ["done", "done"]
        kept = pretended_uploads.kept(tmp_path / "results")
        assert sorted(kept) == sorted({one["study"] for one in (done, *ended)})
        assert client.get("/studies").json()["total"] == 3
        assert not (tmp_path / "results" / "uploads" / half).exists()
        upload(client, "slow 30 left")
        with client.stream("GET", "/studies/events") as stream:
            next(stream.iter_lines())
            second.stop()
        assert second.process.returncode == 0
