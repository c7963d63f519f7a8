"""What leaves the panel: report, finding and scene, each where the person says and never over something else."""

import json
import runpy
from pathlib import Path

import numpy as np
import pytest

from AcuteFindingsLib.detectors.finding import load_finding
from AcuteFindingsLib.scene.bundle import load_bundle
from AcuteFindingsLib.scene.nodes import show_finding
from AcuteFindingsLib.scene.results import result_of, results_in

CASES = runpy.run_path(str(Path(__file__).parents[1] / "scene" / "conftest.py"))


class Worker:
    """Takes requests and answers when the test says so."""

    def __init__(self):
        self.requests, self.cancelled = [], []

    def request(self, do, fields, **callbacks):
        self.requests.append((do, fields, callbacks))
        return len(self.requests)

    def cancel(self, number):
        self.cancelled.append(number)


@pytest.fixture(scope="module")
def head():
    return CASES["head"].__wrapped__()


@pytest.fixture
def result(scene, head):
    return result_of(show_finding(head.finding, head.study, scene=scene).text)


@pytest.fixture
def worker():
    return Worker()


@pytest.fixture
def panel(host, worker, result):
    import qt

    from AcuteFindingsLib.widgets.export_panel import FOLDER, ExportPanel

    made = ExportPanel(worker=lambda: worker, folders=lambda: ["/models of mine"])
    made.widget.show()
    made.show(result)
    host.process_events()
    yield made
    made.close()
    qt.QSettings().remove(FOLDER)


def only_folder(path):
    (folder,) = [item for item in path.iterdir() if item.is_dir()]
    return folder


def test_without_a_result_only_the_scene_can_be_saved(panel):
    panel.show(None)
    assert not panel.report_button.enabled
    assert not panel.finding_button.enabled
    assert panel.scene_button.enabled


def test_dicom_buttons_wait_for_their_part(panel):
    import importlib.util

    there = importlib.util.find_spec("AcuteFindingsLib.export.dicom_seg") is not None
    assert panel.seg_button.visible is there


def test_finding_is_written_as_the_model_gave_it(host, panel, head, tmp_path):
    host.dialogs.answer(str(tmp_path))
    host.click(panel.finding_button)
    written = load_finding(only_folder(tmp_path) / "finding.json")
    assert written.verdict == head.finding.verdict
    assert np.array_equal(written.masks[0].array, head.finding.masks[0].array)
    assert np.array_equal(written.heatmap.array, head.finding.heatmap.array)
    assert str(tmp_path) in panel.state_label.text


def test_a_second_export_leaves_the_first_alone(host, panel, tmp_path):
    for _ in range(2):
        host.dialogs.answer(str(tmp_path))
        host.click(panel.finding_button)
    assert len(list(tmp_path.iterdir())) == 2


def test_a_declined_dialog_writes_nothing(host, panel, tmp_path):
    host.dialogs.answer("", "")
    host.click(panel.finding_button)
    host.click(panel.scene_button)
    assert panel.state_label.text == ""


def test_a_folder_that_cannot_be_written_is_told(host, panel, tmp_path):
    (tmp_path / "file").write_text("in the way", encoding="utf-8")
    host.dialogs.answer(str(tmp_path / "file"))
    host.click(panel.finding_button)
    assert panel.state_label.text.startswith("Not written: ")


def test_scene_is_saved_with_the_ending_that_slicer_needs(host, panel, tmp_path):
    host.dialogs.answer(str(tmp_path / "all of it"))
    host.click(panel.scene_button)
    assert len(results_in(load_bundle(tmp_path / "all of it.mrb"))) == 1


def test_report_is_written_by_the_worker_from_what_the_scene_holds(host, panel, worker, tmp_path, head):
    from AcuteFindingsLib.jobs.arrays import load_result, load_study

    host.dialogs.answer(str(tmp_path))
    host.click(panel.report_button)
    assert not panel.report_button.enabled
    host.wait_until(lambda: worker.requests)
    do, fields, callbacks = worker.requests[0]
    assert do == "report"
    assert fields["folders"] == ["/models of mine"]
    assert np.array_equal(load_result(fields["result"]).masks[0].array, head.finding.masks[0].array)
    assert load_study(fields["study"]).array.shape == head.study.array.shape
    assert Path(fields["out"]).parent == tmp_path
    callbacks["progress"]("Drawing pictures", 0.5)
    assert panel.state_label.text == "Drawing pictures"
    callbacks["done"]({"report": "/somewhere/report.html"})
    assert panel.state_label.text == "Written: /somewhere/report.html"
    assert panel.report_button.enabled
    assert not Path(fields["study"]).exists()


def test_a_report_can_be_cancelled(host, panel, worker, tmp_path):
    host.dialogs.answer(str(tmp_path))
    host.click(panel.report_button)
    host.wait_until(lambda: worker.requests)
    host.click(panel.cancel_button)
    assert worker.cancelled == [1]
    assert panel.state_label.text == "Cancelled."
    worker.requests[0][2]["done"]({"report": "too late"})
    assert panel.state_label.text == "Cancelled."


def test_a_failed_report_is_told(host, panel, worker, tmp_path):
    host.dialogs.answer(str(tmp_path))
    host.click(panel.report_button)
    host.wait_until(lambda: worker.requests)
    worker.requests[0][2]["failed"]("The disk is full.", "ExportError")
    assert panel.state_label.text == "Not written: The disk is full."
    assert panel.report_button.enabled


def test_a_volume_that_is_gone_is_told(host, panel, scene, result):
    scene.RemoveNode(result.volume)
    panel.show(results_in(scene)[0])
    host.click(panel.report_button)
    assert "no longer in the scene" in panel.state_label.text


def test_exported_json_holds_no_name_of_a_node_or_folder(host, panel, tmp_path, result):
    result.volume.SetName("Doe^Jane")
    host.dialogs.answer(str(tmp_path))
    host.click(panel.finding_button)
    text = (only_folder(tmp_path) / "finding.json").read_text(encoding="utf-8")
    assert "Doe" not in text
    assert json.loads(text)["detector"] == "hemorrhage"
