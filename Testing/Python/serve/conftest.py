"""Servers on this computer, with a pretended reader where it does not matter what a network says."""

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

pytest.importorskip("fastapi")

from starlette.testclient import TestClient

HERE = Path(__file__).resolve().parent
if str(HERE) not in sys.path:
    sys.path.insert(0, str(HERE))

import pretended_uploads  # noqa: E402
from served import Server, start  # noqa: E402

from AcuteFindingsLib.serve.app import make_app  # noqa: E402
from AcuteFindingsLib.serve.settings import ServeSettings  # noqa: E402
from AcuteFindingsLib.worklist.engines.local import LocalEngine  # noqa: E402
from AcuteFindingsLib.worklist.records import UPLOAD, Record, now  # noqa: E402
from AcuteFindingsLib.worklist.store import Store  # noqa: E402

LOCAL = "http://127.0.0.1:8080"


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
