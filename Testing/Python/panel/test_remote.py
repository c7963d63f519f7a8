"""A detector that runs on a server: settings, progress, result, cancel, and what is told where it cannot."""

import os
import runpy
import stat
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from AcuteFindingsLib.detectors.phantoms import make_phantom
from AcuteFindingsLib.errors import RemoteError
from AcuteFindingsLib.phantoms.as_study import phantom_study

pytest.importorskip("fastapi", reason="the server needs fastapi: pip install .[web]")

JOBS = runpy.run_path(str(Path(__file__).parents[1] / "jobs" / "conftest.py"))
TOKEN = "a-token-of-twenty-letters"
MODEL = "tiny-hemorrhage"


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models")
    JOBS["write_tiny"]("hemorrhage", folder)
    return folder


@pytest.fixture(scope="module")
def server(tmp_path_factory, models):
    """Address of a server that knows `TOKEN`."""
    folder = tmp_path_factory.mktemp("server")
    tokens = folder / "tokens"
    tokens.touch(0o600)
    tokens.write_text(f"reader:{TOKEN}\n")
    program = "import sys; from AcuteFindingsLib.cli import main; sys.argv[0] = 'acutefindings'; main()"
    words = ["serve", "--port", "0", "--results", folder / "results", "--token-file", tokens, "--models-folder", models]
    process = subprocess.Popen(
        [sys.executable, "-u", "-c", program, *map(str, words)], stdout=subprocess.PIPE, text=True, cwd=folder
    )
    try:
        line = next(line for line in process.stdout if line.startswith("serving "))
        yield line.split()[1].rstrip("/")
    finally:
        process.terminate()
        process.communicate(timeout=30)


@pytest.fixture(scope="module")
def worker(_application):
    from AcuteFindingsLib.widgets.worker.process import WorkerProcess

    made = WorkerProcess()
    yield made
    made.stop()


@pytest.fixture
def settings(host):
    import qt

    made = qt.QSettings()
    made.clear()
    yield made
    made.clear()


@pytest.fixture
def kept(settings, server):
    """The settings, with the server kept."""
    from AcuteFindingsLib.widgets.worker.server_settings import keep_server

    keep_server(settings, address=server, token=TOKEN, certificates="", unencrypted=False)
    return settings


@pytest.fixture(scope="module")
def head():
    return phantom_study(make_phantom("head-ct", 900_001, positive=True, matrix=128, slice_spacing=8))


def add_volume(array, matrix=None):
    import slicer

    return slicer.util.addVolumeFromArray(np.rint(array).astype(np.int16), ijkToRAS=matrix, name="Head")


@pytest.fixture
def panel(host):
    """The panel of Hemorrhage Detect, its device REMOTE."""

    def open_panel():
        widget = host.open_panel("HemorrhageDetect")
        host.choose(widget.ui.deviceComboBox, "REMOTE")
        return widget

    return open_panel


def jobs(server):
    from AcuteFindingsLib.serve.address import Address
    from AcuteFindingsLib.serve.client import Client

    with Client(Address(server, TOKEN)) as client:
        return client.jobs()


@pytest.mark.slow
def test_a_run_on_a_server_gives_the_result_of_a_run_here(host, kept, worker, head, models):
    from AcuteFindingsLib.widgets.models.rows import set_user_folders
    from AcuteFindingsLib.widgets.worker.run_controller import run_blocking

    set_user_folders(kept, [models])
    volume, told = add_volume(head.array, head.ijk_to_ras), []
    there = run_blocking(
        "hemorrhage",
        volume,
        MODEL,
        "remote",
        worker=worker,
        settings=kept,
        progress=lambda text, share: told.append((text, share)),
    )
    here = run_blocking("hemorrhage", volume, MODEL, "cpu", worker=worker, settings=kept)
    found, expected = there.finding.to_dict(), here.finding.to_dict()
    for one in (found, expected):
        one["timings"] = {}
    assert found == expected
    words = [text for text, _ in told]
    assert {"Packing the study", "Sending the study", "Fetching the result", "Done"} <= set(words)
    # The server tells a few times a second; which of its words come depends on how fast it is.
    assert {"Checking the study", "Loading the model", "Reading slices", "Weighing the verdict"} & set(words)
    shares = [share for _, share in told]
    assert shares == sorted(shares)


@pytest.mark.slow
def test_cancel_stops_the_job_on_the_server_and_keeps_the_process(host, kept, worker, head, server):
    from AcuteFindingsLib.widgets.worker.run_controller import RunController

    controller, told, ended = RunController("hemorrhage", worker=worker, settings=kept), [], []
    controller.on_progress = lambda text, *_: told.append(text)
    controller.on_cancelled = ended.append
    controller.on_error = ended.append
    controller.start(add_volume(np.concatenate([head.array] * 10), head.ijk_to_ras), MODEL, "remote")
    host.wait_until(lambda: ended or any("slices" in text for text in told), 60)
    process = worker.process_id
    before = {job.id for job in jobs(server)}
    controller.cancel()
    host.wait_until(lambda: ended, 10)
    assert ended == [""]
    assert worker.process_id == process
    assert len({job.id for job in jobs(server)}) == len(before) - 1
    controller.close()


@pytest.mark.slow
def test_a_study_that_the_server_refuses_is_told_and_not_run_all_the_same(host, kept, panel, monkeypatch):
    import slicer

    monkeypatch.setattr(slicer.util, "confirmYesNoDisplay", lambda *_, **__: pytest.fail("it was offered"))
    shown = []
    monkeypatch.setattr(slicer.util, "errorDisplay", lambda text, *_, **__: shown.append(text))
    volume = add_volume(np.full((12, 64, 64), -1000))
    widget = panel()
    widget.ui.inputSelector.setCurrentNode(volume)
    host.click(widget.ui.applyButton)
    host.wait_until(lambda: shown, 60)
    assert "does not fit" in widget.ui.progressLabel.text
    assert widget.ui.progressLabel.text == f"✖ {shown[0]}"


def told_by(host, worker, settings, server_now):
    """Return what a run with these settings comes to."""
    from AcuteFindingsLib.widgets.worker.run_controller import run_blocking
    from AcuteFindingsLib.widgets.worker.server_settings import keep_server

    keep_server(settings, **{"token": TOKEN, "certificates": "", "unencrypted": False, **server_now})
    with pytest.raises(RemoteError) as caught:
        run_blocking("hemorrhage", add_volume(np.zeros((3, 8, 8))), "", "remote", worker=worker, settings=settings)
    return str(caught.value)


def test_where_no_run_is_possible_one_sentence_says_why(host, worker, settings, server):
    assert "No server is named yet" in told_by(host, worker, settings, {"address": ""})
    assert "nothing answers at that port" in told_by(host, worker, settings, {"address": "http://127.0.0.1:9"})
    assert "does not take the token" in told_by(host, worker, settings, {"address": server, "token": "x" * 20})
    assert "unencrypted" in told_by(host, worker, settings, {"address": "http://10.0.0.5"})
    assert "not whole" in told_by(host, worker, settings, {"address": "somewhere"})


def test_the_token_lies_in_a_file_of_this_account_alone(settings):
    from AcuteFindingsLib.widgets.worker import server_settings as module

    module.keep_server(settings, address="https://a.example", token=TOKEN, certificates="", unencrypted=True)
    assert module.token_file().read_text() == f"{TOKEN}\n"
    if os.name == "posix":
        assert stat.S_IMODE(module.token_file().stat().st_mode) == 0o600
    assert all(TOKEN not in str(settings.value(key)) for key in settings.allKeys())
    assert module.server_fields(settings) == {
        "address": "https://a.example",
        "token_file": str(module.token_file()),
        "ca_file": "",
        "unencrypted": True,
    }


def test_a_token_is_for_the_server_that_it_was_given_for(settings):
    from AcuteFindingsLib.widgets.worker import server_settings as module

    rest = {"certificates": "", "unencrypted": False}
    module.keep_server(settings, address="https://a.example", token=TOKEN, **rest)
    module.keep_server(settings, address="https://a.example", token="", **rest)
    assert module.server_fields(settings)["token_file"]
    module.keep_server(settings, address="https://b.example", token="", **rest)
    assert module.server_fields(settings)["token_file"] is None
    module.keep_server(settings, address="https://b.example", token=TOKEN, **rest)
    module.forget_server(settings)
    assert module.server_address(settings) == ""
    assert not module.token_file().exists()


def test_remote_is_offered_where_a_server_is_named(host, settings, panel):
    import qt

    from AcuteFindingsLib.widgets.worker.server_settings import keep_server

    def row():
        combo = host.open_panel("HemorrhageDetect").ui.deviceComboBox
        [number] = [number for number in range(combo.count) if combo.itemText(number) == "REMOTE"]
        return combo.model().item(number).isEnabled(), combo.itemData(number, qt.Qt.ToolTipRole)

    enabled, tip = row()
    assert not enabled
    assert "Acute Findings" in tip
    host.leave_panel("HemorrhageDetect")
    keep_server(settings, address="https://a.example", token="", certificates="", unencrypted=False)
    assert row() == (True, "The server at https://a.example")


def test_a_scene_that_names_a_server_runs_here_where_none_is_known(host, settings):
    logic = host.open_panel("HemorrhageDetect").logic
    host.leave_panel("HemorrhageDetect")
    logic.getParameterNode().parameterNode.SetParameter("device", "REMOTE")
    assert host.open_panel("HemorrhageDetect").ui.deviceComboBox.currentText == "AUTO"


def test_apply_asks_for_the_package_that_reaches_a_server(host, kept, panel, monkeypatch):
    from AcuteFindingsLib.packages import Package
    from AcuteFindingsLib.widgets.panel import run_bar

    asked = []
    monkeypatch.setattr(run_bar, "ensure_packages", lambda _parent, *, needed: asked.append(needed))
    monkeypatch.setattr(run_bar, "missing_packages", lambda _needed: [Package("httpx", "httpx>=0.27", 0.5)])
    widget = panel()
    widget.ui.inputSelector.setCurrentNode(add_volume(np.zeros((3, 8, 8))))
    host.click(widget.ui.applyButton)
    assert "httpx" in {package.name for package in asked[0]}
    assert widget.ui.progressLabel.text == "✖ Not run: these packages are missing: httpx (less than 1 MB)."


@pytest.mark.slow
def test_home_connects_to_a_server_and_forgets_it(host, settings, server):
    from AcuteFindingsLib.widgets.worker.server_settings import server_fields

    widget = host.open_panel("AcuteFindings")
    ui = widget.ui
    ui.serverCollapsibleButton.collapsed = False
    widget.panel.server.connect()
    assert "Enter the address" in ui.serverLabel.text
    ui.serverAddressLineEdit.setText(f" {server}/ ")
    ui.serverTokenLineEdit.setText("x" * 20)
    host.click(ui.serverConnectButton)
    host.wait_until(lambda: "does not take the token" in ui.serverLabel.text, 60)
    ui.serverTokenLineEdit.setText(TOKEN)
    widget.panel.server.connect()
    host.wait_until(lambda: "Connected to AcuteFindings" in ui.serverLabel.text, 60)
    assert ui.serverTokenLineEdit.text == ""
    assert ui.serverTokenLineEdit.placeholderText == "A token is kept"
    assert server_fields(settings)["address"] == f"{server}/"
    host.click(ui.serverForgetButton)
    assert ui.serverLabel.text == "Forgotten."
    assert not ui.serverForgetButton.enabled
    assert server_fields(settings)["token_file"] is None
