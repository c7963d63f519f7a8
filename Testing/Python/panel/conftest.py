"""Panels run in a host: `host` is its module, `scene` an empty scene for each test.

Inside the application (`make test-in-slicer`) the host is the application itself, elsewhere the stand-in.
"""

import contextlib
import importlib.util
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

TESTING = Path(__file__).resolve().parents[2]
if str(TESTING / "Host") not in sys.path:
    sys.path.insert(0, str(TESTING / "Host"))

pytest.importorskip("slicer", reason="panels need slicer-core: pip install .[scene]")
import slicer  # noqa: E402

IN_APPLICATION = type(getattr(slicer, "app", None)).__name__ == "qSlicerApplication"

if IN_APPLICATION:
    import application_host as _host
else:
    pytest.importorskip("PySide6", reason="panels need PySide6-Essentials: pip install .[test]")
    # Torch's compiler and Mesa's software renderer each bring an LLVM; the process dies when torch comes second.
    with contextlib.suppress(ImportError):
        import torch._dynamo  # noqa: F401

    import host as _host

# Test modules import panels, which import what only `start` brings; but tests of other folders that run before must not
# find an application.
_host.start()
_host.stop()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Leave out what is about the stand-in where the application is the host, and what only that one can show."""
    for item in items:
        if not IN_APPLICATION and item.get_closest_marker("in_application"):
            item.add_marker(pytest.mark.skip(reason="only the application can show it (make test-in-slicer)"))
        if IN_APPLICATION and item.get_closest_marker("stand_in"):
            item.add_marker(pytest.mark.skip(reason="about the stand-in, which the application does without"))


@pytest.fixture(scope="module", autouse=True)
def _application() -> Iterator[None]:
    _host.start()
    yield
    _host.stop()


@pytest.fixture(autouse=True)
def _no_models_of_the_user(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))


@pytest.fixture(autouse=True)
def scene(_application: None) -> Iterator[Any]:
    """The application's scene, empty; fails a test in which a slot raised or a dialog's answer was never asked for."""
    made = _host.renew(main_window=True)
    yield made
    _host.close_panels()
    errors, unasked = list(_host.errors), _host.dialogs.clear()
    _host.errors.clear()
    assert not errors, f"slots raised: {errors}"
    assert not unasked, f"dialogs that never opened were answered: {unasked}"


@pytest.fixture
def host(scene: Any) -> ModuleType:
    """The test host with an empty scene and a main window; see `Testing/Host/host.py`."""
    return _host


@pytest.fixture(scope="session")
def _builders() -> ModuleType:
    # The small models of the job tests.
    spec = importlib.util.spec_from_file_location("_job_builders", TESTING / "Python" / "jobs" / "conftest.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def write_tiny(_builders: ModuleType) -> Any:
    """Write a small model package of your own: `write_tiny("hemorrhage", folder, threshold=0.0)`."""
    return _builders.write_tiny


@pytest.fixture(scope="session")
def tiny_models(_builders: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of the small model packages, one a task."""
    folder = tmp_path_factory.mktemp("models")
    for task in _builders.TINY:
        _builders.write_tiny(task, folder)
    return folder
