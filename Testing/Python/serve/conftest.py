"""Servers on this computer, with a pretended reader where it does not matter what a network says."""

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

pytest.importorskip("fastapi")

import httpx
from starlette.testclient import TestClient

HERE = Path(__file__).resolve().parent
if str(HERE) not in sys.path:
    sys.path.insert(0, str(HERE))

import pretended_uploads  # noqa: E402

from AcuteFindingsLib.serve.app import make_app  # noqa: E402
from AcuteFindingsLib.serve.settings import ServeSettings  # noqa: E402
from AcuteFindingsLib.worklist.engines.local import LocalEngine  # noqa: E402
from AcuteFindingsLib.worklist.records import UPLOAD, Record, now  # noqa: E402
from AcuteFindingsLib.worklist.store import Store  # noqa: E402

LOCAL = "http://127.0.0.1:8080"
_START_SECONDS = 240.0


@dataclass
class Server:
    """A server in a process of its own."""

    process: subprocess.Popen[str]
    address: str
    results: Path

    def client(self) -> httpx.Client:
        """Return what asks it."""
        return httpx.Client(base_url=f"{self.address}api/v1", timeout=30.0)

    def kill(self) -> None:
        """End it as a power failure does."""
        self.process.kill()
        self.process.wait()

    def stop(self) -> str:
        """Let it end by itself and return what it printed further."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.communicate(timeout=120)[0]


def start(results: Path, *command: str) -> Server:
    """Start a server and return it when it answers."""
    path = os.pathsep.join(filter(None, [str(HERE), os.environ.get("PYTHONPATH", "")]))
    process = subprocess.Popen(
        [sys.executable, *(command or (str(HERE / "pretended_server.py"), str(results)))],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1", "PYTHONUNBUFFERED": "1"},
    )
    assert process.stdout is not None
    said = ""
    until = time.monotonic() + _START_SECONDS
    while time.monotonic() < until and (line := process.stdout.readline()):
        said += line
        if found := re.search(r"serving (https?://\S+)", line):
            return Server(process, found[1], results)
    process.kill()
    raise AssertionError(f"the server did not start: {said}")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server with a pretended reader, one for all tests of a file."""
    running = start(tmp_path_factory.mktemp("served") / "results")
    yield running
    if running.process.poll() is None:
        running.stop()


@pytest.fixture
def app(tmp_path: Path) -> Callable[..., TestClient]:
    """Make clients of an app in this process; no job runs."""

    def make(address: str = LOCAL, **settings: object) -> TestClient:
        asked = ServeSettings(tmp_path / "results", reader=pretended_uploads.REFERENCE, **settings)
        served = make_app(asked, LocalEngine(1), say=lambda _line: None)
        return TestClient(served, base_url=address, raise_server_exceptions=False)  # type: ignore[arg-type]

    return make


@pytest.fixture
def uploaded(tmp_path: Path) -> Callable[..., Record]:
    """Write the results of an uploaded study, or of one of a batch, below the folder of results of `app`."""

    def write(content: str = "a", origin: str = UPLOAD) -> Record:
        store = Store(tmp_path / "results")
        key = store.folder.key_of_upload(pretended_uploads.DETECTOR, content, "")
        record = Record(
            key, pretended_uploads.DETECTOR, "done", instances=content, arrived=now(), attempts=1, origin=origin
        )
        record = pretended_uploads.write_result(store.folder, record, pretended_uploads.finding(0.9))
        store.put(record)
        store.close()
        return record

    return write
