"""Downloading models in the panel: the list with licenses, the question before, progress, cancel, and what is left."""

import json
import runpy
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from AcuteFindingsLib import packages
from AcuteFindingsLib.models.download.mirror import write_mirror
from AcuteFindingsLib.models.package import read_package
from AcuteFindingsLib.places import models_cache
from AcuteFindingsLib.widgets.models import checks as model_checks
from AcuteFindingsLib.widgets.models.download import LICENSE, NAME, SIZE
from AcuteFindingsLib.widgets.models.loader import ModelLoader
from AcuteFindingsLib.widgets.worker.process import WorkerProcess

pytestmark = pytest.mark.slow

JOBS = runpy.run_path(str(Path(__file__).parents[1] / "jobs" / "conftest.py"))

# A process of its own: a thread would starve in the application's event loop. A file named "slow" in the folder makes
# the second half take minutes, so that no test comes too late to stop it.
SERVER = """
import http.server, os, sys, time

class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        file = sys.argv[1] + self.path
        if not os.path.isfile(file):
            self.send_error(404)
            return
        data = open(file, "rb").read()
        asked = self.headers.get("Range", "")
        start = int(asked[6:-1]) if asked else 0
        self.send_response(206 if start else 200)
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(data) - 1}/{len(data)}")
        self.send_header("Content-Length", str(len(data) - start))
        self.end_headers()
        while start < len(data):
            slow = os.path.exists(sys.argv[1] + "/slow")
            step = 1024 if slow and start > 0.4 * len(data) else 65536
            self.wfile.write(data[start:start + step])
            start += step
            if slow:
                time.sleep(0.2)

    def log_message(self, *arguments):
        print(self.path, self.headers.get("Range", ""), file=sys.stderr, flush=True)

server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
print(server.server_port, flush=True)
server.serve_forever()
"""


@pytest.fixture(scope="module")
def mirror(tmp_path_factory):
    folder = tmp_path_factory.mktemp("mirror")
    made = [
        read_package(JOBS["write_tiny"](task, tmp_path_factory.mktemp("models"))) for task in ("hemorrhage", "lungs")
    ]
    write_mirror(made, folder)
    return folder


@pytest.fixture
def served(mirror, tmp_path):
    """Address of a copy of the mirror, and its folder."""
    folder = shutil.copytree(mirror, tmp_path / "served")
    process = subprocess.Popen(
        [sys.executable, "-c", SERVER, str(folder)], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )
    yield f"http://127.0.0.1:{process.stdout.readline().strip()}", folder
    process.kill()
    process.wait()
    process.stdout.close()


@pytest.fixture(scope="module")
def worker(_application):
    made = WorkerProcess()
    yield made
    made.stop()


@pytest.fixture
def open_loader(host, worker, tmp_path, monkeypatch):
    import qt

    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setattr(model_checks, "_answers", {})
    settings = qt.QSettings()
    settings.clear()
    made = []

    def open_one(task="hemorrhage", downloader=worker):
        loader = ModelLoader(task, worker=worker, downloader=downloader, settings=settings)
        made.append(loader)
        loader.widget.resize(420, 700)
        loader.widget.show()
        host.process_events()
        host.click(loader.download_button)
        return loader

    yield open_one
    for loader in made:
        loader.close()
        loader.widget.hide()
    settings.clear()


@pytest.fixture
def offered(host, open_loader, served):
    """A loader that lists the served catalogue, with the one model for its task selected."""
    loader = open_loader()
    host.type_text(loader.download.address, f"{served[0]}/catalogue.json")
    loader.download.address.clearFocus()
    loader.download._on_address()
    host.wait_until(lambda: loader.download.offers, 240)
    host.click_row(loader.download.table, 0)
    return loader


def listed(loader):
    return [loader.download.table.item(row, NAME).text() for row in range(loader.download.table.rowCount)]


def installed():
    cache = models_cache()
    return sorted(path.name for path in cache.iterdir() if not path.name.startswith(".")) if cache.is_dir() else []


def start(host, loader):
    import qt

    host.dialogs.answer(qt.QMessageBox.Ok)
    host.click(loader.download.button)


def test_the_shipped_catalogue_offers_nothing_that_is_there_already(host, open_loader):
    loader = open_loader()
    assert listed(loader) == []
    assert "no further model" in loader.download.facts.text
    assert not loader.download.button.enabled
    assert not loader.download.bar.visible


def test_an_own_catalogue_is_listed_and_remembered(host, offered, open_loader, served):
    assert listed(offered) == ["tiny-hemorrhage"]
    table = offered.download.table
    size = json.loads((served[1] / "catalogue.json").read_text())["models"][0]["source"]["size"]
    assert table.item(0, SIZE).text() == f"{size / 1e6:.1f} MB"
    assert table.item(0, LICENSE).text() == "Apache-2.0"
    assert offered.download.button.enabled
    again = open_loader(None)
    host.wait_until(lambda: again.download.offers, 120)
    assert listed(again) == ["tiny-hemorrhage", "tiny-lungs"]


def test_a_model_is_downloaded_after_its_license_was_shown(host, offered):
    start(host, offered)
    asked = host.dialogs.asked[-1]
    assert "License: Apache-2.0" in asked
    assert "Please cite: AcuteFindings model tiny-hemorrhage" in asked
    assert "Size:" in asked
    assert offered.download.button.text == "Cancel"
    assert offered.download.bar.visible
    host.wait_until(lambda: "Added: tiny-hemorrhage" in offered.message.text, 240)
    assert installed() == ["tiny-hemorrhage"]
    assert "tiny-hemorrhage" in [row.id for row in offered.rows]
    assert listed(offered) == []
    assert "no further model" in offered.download.facts.text
    assert offered.download.button.text == "Download"
    assert not offered.download.bar.visible


def test_whoever_does_not_agree_downloads_nothing(host, offered):
    import qt

    host.dialogs.answer(qt.QMessageBox.Cancel)
    host.click(offered.download.button)
    assert not offered.download.running
    assert installed() == []


def test_cancel_keeps_the_part_and_the_next_download_goes_on(host, offered, served):
    (served[1] / "slow").touch()
    start(host, offered)
    host.wait_until(lambda: 5 < offered.download.bar.value < 80, 120)
    assert "Downloading tiny-hemorrhage" in offered.message.text
    host.click(offered.download.button)
    host.wait_until(lambda: not offered.download.running, 120)
    assert "continues from there" in offered.message.text
    assert installed() == []
    (kept,) = (models_cache() / ".downloads").glob("*.partial")
    had = kept.stat().st_size
    assert had > 0
    (served[1] / "slow").unlink()
    start(host, offered)
    host.wait_until(lambda: "Added" in offered.message.text, 240)
    assert installed() == ["tiny-hemorrhage"]


def test_a_download_that_fails_says_why_and_can_be_tried_again(host, offered, served):
    archive = served[1] / "tiny-hemorrhage-0.0.1.zip"
    data = archive.read_bytes()
    archive.unlink()
    start(host, offered)
    host.wait_until(lambda: not offered.download.running, 120)
    assert "is not there (HTTP 404)" in offered.message.text
    archive.write_bytes(data[:-10] + bytes(10))
    start(host, offered)
    host.wait_until(lambda: not offered.download.running, 120)
    assert "SHA-256" in offered.message.text
    assert installed() == []
    archive.write_bytes(data)
    start(host, offered)
    host.wait_until(lambda: "Added" in offered.message.text, 240)


def test_a_catalogue_that_cannot_be_read_is_told(host, open_loader, tmp_path):
    loader = open_loader()
    loader.download.address.text = str(tmp_path / "nowhere.json")
    loader.download._on_address()
    host.wait_until(lambda: "cannot be read" in loader.message.text, 120)
    assert listed(loader) == []
    loader.download.address.text = ""
    loader.download._on_address()
    assert loader.message.text == ""


def test_closing_the_panel_stops_the_download(host, offered, served, worker):
    (served[1] / "slow").touch()
    start(host, offered)
    host.wait_until(lambda: offered.download.bar.value > 5, 120)
    offered.close()
    host.wait_until(lambda: not worker.busy, 120)
    assert installed() == []
    assert not offered.download.running


def test_the_window_stays_alive_while_a_model_comes(host, offered, served):
    from time import perf_counter

    (served[1] / "slow").touch()
    started = perf_counter()
    start(host, offered)
    assert perf_counter() - started < 0.5
    while offered.download.bar.value < 30:
        turn = perf_counter()
        host.process_events()
        assert perf_counter() - turn < 0.5
        host.wait(0.01)
    host.click(offered.download.button)
    host.wait_until(lambda: not offered.download.running, 120)


def test_missing_packages_are_asked_for_and_without_them_nothing_comes(host, offered, monkeypatch):
    import qt

    real = packages.importlib.metadata.version
    monkeypatch.setattr(packages.importlib.metadata, "version", lambda name: "0.1" if name == "pooch" else real(name))
    host.dialogs.answer(qt.QMessageBox.Cancel)
    host.click(offered.download.button)
    assert "pooch" in host.dialogs.asked[0]
    assert "torch" not in host.dialogs.asked[0]
    assert "pooch" in offered.message.text
    assert not offered.download.running


def test_every_control_has_a_tooltip(open_loader):
    download = open_loader().download
    for control in (download.table, download.button, download.bar, download.address, download.facts):
        assert control.toolTip


def test_screenshot(host, offered, served, tmp_path):
    (served[1] / "slow").touch()
    start(host, offered)
    host.wait_until(lambda: offered.download.bar.value > 20, 120)
    picture = host.screenshot(offered.widget, tmp_path / "model_download.png")
    assert picture.stat().st_size > 5000
    host.click(offered.download.button)
    host.wait_until(lambda: not offered.download.running, 120)
