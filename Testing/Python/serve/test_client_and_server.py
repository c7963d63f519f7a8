"""Client and server together, over the network of this computer; what a network of a detector says does not matter."""

import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np
import pytest
from pretended_uploads import finding
from served import HERE, Server, start

from AcuteFindingsLib.errors import CancelledError, RemoteError
from AcuteFindingsLib.serve.address import Address
from AcuteFindingsLib.serve.client import Client


@pytest.fixture
def client(server: Server) -> Iterator[Client]:
    with Client(Address(server.address)) as made:
        yield made


@pytest.fixture
def upload(tmp_path: Path) -> Callable[[Client, str], str]:
    """Upload a text that the pretended reader does as it says; return the job's id."""

    def upload(client: Client, words: str) -> str:
        # It takes a volume's ending for an examination.
        file = tmp_path / "study.nii.gz"
        file.write_text(words)
        return client.upload([file], detector="hemorrhage").id

    return upload


def test_the_server_is_known_and_says_what_it_has(client: Client) -> None:
    assert client.version()["api"] == 1
    assert {"pe", "hemorrhage", "pneumothorax"} <= {one["id"] for one in client.detectors()}
    assert all(one["id"] for one in client.models())


def test_an_upload_is_followed_to_its_finding_answered_and_removed(
    client: Client, upload: Callable[[Client, str], str], tmp_path: Path
) -> None:
    told: list[tuple[str, float]] = []
    job = client.follow(upload(client, "positive slow 2"), progress=lambda *said: told.append(said))
    assert job.state == "done"
    assert any(text.startswith("Pretending to read") for text, _ in told)
    assert [share for _, share in told] == sorted(share for _, share in told)
    found, expected = client.finding(job.studies[0], tmp_path / "finding"), finding(0.9)
    assert found.to_dict() == expected.to_dict()
    for mask, other in zip(found.masks, expected.masks, strict=True):
        np.testing.assert_array_equal(mask.array, other.array)
    assert found.heatmap is not None
    assert expected.heatmap is not None
    np.testing.assert_array_equal(found.heatmap.array, expected.heatmap.array)
    client.answer(job.studies[0], "disagree", reader="A. Reader", note="artifact")
    [row] = [one for one in client.studies()["studies"] if one["id"] == job.studies[0]]
    assert (row["answer"], row["reader"], row["note"]) == ("disagree", "A. Reader", "artifact")
    client.delete(job.studies[0])
    with pytest.raises(RemoteError, match="no such study"):
        client.finding(job.studies[0], tmp_path / "gone")


@pytest.mark.parametrize("word", ["refuse", "fail"])
def test_why_there_is_no_finding_is_told(client: Client, upload: Callable[[Client, str], str], word: str) -> None:
    job = client.follow(upload(client, word))
    assert job.state == {"refuse": "refused", "fail": "failed"}[word]
    assert f"told to {word}" in job.text


def test_who_stops_stops_the_job_on_the_server(client: Client, upload: Callable[[Client, str], str]) -> None:
    number, told = upload(client, "slow 60"), []
    with pytest.raises(CancelledError):
        client.follow(number, progress=lambda text, _: told.append(text), cancelled=lambda: bool(told))
    with pytest.raises(RemoteError, match="no such job"):
        client.job(number)
    assert number not in {job.id for job in client.jobs()}


def test_a_server_that_is_killed_while_it_reads_goes_on_and_is_waited_for(
    upload: Callable[[Client, str], str], tmp_path: Path
) -> None:
    first = start(tmp_path / "results")
    port, told = str(urlsplit(first.address).port), []
    second: list[Server] = []

    def again() -> None:
        second.append(start(first.results, str(HERE / "pretended_server.py"), str(first.results), port))

    def heard(text: str, _share: float) -> None:
        if text.startswith("Pretending") and first.process.poll() is None:
            first.kill()
            threading.Thread(target=again).start()
        told.append(text)

    try:
        with Client(Address(first.address)) as client:
            job = client.follow(upload(client, "slow 3"), progress=heard)
        assert job.state == "done"
        assert "The server does not answer; trying again" in told
        assert len(second) == 1
    finally:
        for server in (first, *second):
            if server.process.poll() is None:
                server.stop()
