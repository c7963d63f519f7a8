"""Builders shared by every test."""

import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

# Tests have home folders of their own, and what is kept must lie in these.
for _name in ("XDG_CACHE_HOME", "XDG_CONFIG_HOME"):
    os.environ.pop(_name, None)


# Packages that these write have no graphs, which take seconds each; `models/graphs` tests those.
_WITHOUT_GRAPHS = tuple(ROOT / "Testing" / "Python" / place for place in ("training", "models/importing"))
_graphs = pytest.MonkeyPatch()


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Leave graphs out before any fixture of the test writes a package, however long that fixture lives."""
    if any(item.path.is_relative_to(place) for place in _WITHOUT_GRAPHS):
        _graphs.setattr("AcuteFindingsLib.models.write._with_graphs", lambda metadata, *_args, **_kwargs: metadata)


@pytest.hookimpl(trylast=True)
def pytest_runtest_teardown() -> None:
    """Write graphs again."""
    _graphs.undo()


@pytest.fixture(scope="session")
def data_folder() -> Path:
    """The folder of real images, read in place; `ACUTEFINDINGS_DATA` overrides where it is."""
    folder = Path(os.environ.get("ACUTEFINDINGS_DATA", ROOT.parent / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip(f"the real images are not here: {folder} (set ACUTEFINDINGS_DATA)")
    return folder


@pytest.fixture
def no_connections(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Refuse every connection and look-up of an address, and fail the test that tried one."""
    tried: list[object] = []

    def refuse(*arguments: object, **_named: object) -> None:
        tried.append(arguments)
        raise OSError("no connections in this test")

    for name in ("connect", "connect_ex", "sendto"):
        monkeypatch.setattr(socket.socket, name, refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    yield
    assert tried == []


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print in every run's log what tests recorded by ``record_property("log", ...)``, whichever process ran them."""
    reports = [*terminalreporter.getreports("passed"), *terminalreporter.getreports("failed")]
    said = [
        text for report in reports if report.when == "call" for name, text in report.user_properties if name == "log"
    ]
    if said:
        terminalreporter.section("said by other programs")
        for text in said:
            terminalreporter.write_line(str(text))
