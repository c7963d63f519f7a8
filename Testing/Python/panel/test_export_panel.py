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
write_series = runpy.run_path(str(Path(__file__).parents[1] / "study" / "conftest.py"))["write_series"]

LONGEST_GAP_S = 0.1


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


@pytest.fixture(scope="module")
def dicom_files(head, tmp_path_factory):
    """The head as the DICOM series that its volume could have been loaded from."""
    folder = tmp_path_factory.mktemp("series")
    # Where the node shows it: first voxel at 63.6, 63.6, -46 RAS.
    return write_series(folder, head.study.array, spacing=(4.0, 0.8, 0.8), origin=(-63.6, -63.6, -46.0))


@pytest.fixture
def from_dicom(host, result, dicom_files):
    """The result on a volume whose slices are in Slicer's DICOM database."""
    import pydicom

    host.add_to_dicom_database(dicom_files[0].parent)
    uids = [str(pydicom.dcmread(file, stop_before_pixels=True).SOPInstanceUID) for file in dicom_files]
    result.volume.SetAttribute("DICOM.instanceUIDs", " ".join(uids))
    yield uids
    host.clear_dicom_database()


@pytest.fixture
def worker():
    return Worker()


@pytest.fixture
def panel(host, worker, result):
    import qt

    from AcuteFindingsLib.widgets.panel.export_panel import FOLDER, ExportPanel

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
    assert not any(button.enabled for button in (panel.seg_button, panel.sr_button, panel.sc_button))
    assert panel.scene_button.enabled


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


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="needs a folder that nobody can write into")
def test_a_folder_that_cannot_be_written_is_told(host, panel):
    host.dialogs.answer("/proc")
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


@pytest.mark.slow
@pytest.mark.parametrize(
    ("button", "job", "files"),
    [
        ("seg_button", "dicom_seg", ["segmentation.dcm", "heatmap.dcm"]),
        ("sr_button", "dicom_sr", ["segmentation.dcm", "heatmap.dcm", "report.dcm"]),
    ],
)
def test_dicom_is_written_by_the_worker_from_the_files_of_the_database(
    host, panel, worker, tmp_path, head, from_dicom, button, job, files
):
    from highdicom.seg import segread

    from AcuteFindingsLib.jobs.messages import Request
    from AcuteFindingsLib.jobs.tools import Tools
    from AcuteFindingsLib.jobs.worker_jobs import JOBS

    host.dialogs.answer(str(tmp_path))
    host.click(getattr(panel, button))
    assert not getattr(panel, button).enabled
    host.wait_until(lambda: worker.requests)
    do, fields, callbacks = worker.requests[0]
    assert do == job
    answer = JOBS[do](Request(1, do, fields), Tools(lambda _text, _share: None, lambda: False))
    assert [Path(file).name for file in answer["files"]] == files
    seg = segread(answer["files"][0])
    found = seg.get_pixels_by_source_instance(from_dicom, assert_missing_frames_are_empty=True)[..., 0]
    assert np.array_equal(found, head.finding.masks[0].array)
    callbacks["done"](answer)
    assert panel.state_label.text == f"Written: {', '.join(files)} in {fields['out']}"
    assert not Path(fields["study"]).exists()


def test_chart_is_asked_of_the_worker(host, panel, worker, tmp_path, from_dicom):
    host.dialogs.answer(str(tmp_path))
    host.click(panel.sc_button)
    host.wait_until(lambda: worker.requests)
    assert worker.requests[0][0] == "dicom_sc"
    worker.requests[0][2]["done"]({"folder": "/out", "files": ["/out/picture.dcm"], "remarks": ["Drawn otherwise."]})
    assert panel.state_label.text == "Written: picture.dcm in /out\nDrawn otherwise."


def test_a_volume_whose_images_the_database_lacks_is_told_at_once(host, panel, worker, tmp_path):
    host.dialogs.answer(str(tmp_path))
    host.click(panel.sr_button)
    host.wait_until(lambda: panel.sr_button.enabled)
    assert panel.state_label.text.startswith("Not written: ")
    assert "DICOM database" in panel.state_label.text
    assert not worker.requests


def test_dicom_can_be_cancelled_while_its_files_are_looked_up(host, panel, worker, tmp_path, from_dicom):
    host.dialogs.answer(str(tmp_path))
    panel.seg_button.click()
    panel.cancel()
    host.wait(0.1)
    assert panel.state_label.text == "Cancelled."
    assert not worker.requests
    assert panel.seg_button.enabled


def test_looking_files_up_leaves_the_window_alive(host, head):
    from time import perf_counter, sleep

    from AcuteFindingsLib.widgets.panel.source_files import find_source_files
    from AcuteFindingsLib.widgets.stepper import Stepper

    def slow(_uid):
        sleep(0.004)
        return "/a/file.dcm"

    found, turns = [], []
    search = Stepper(
        find_source_files(head.study, slow), done=found.append, failed=found.append, progress=lambda _: turns.append(1)
    )
    started = perf_counter()
    search.start()
    host.wait_until(lambda: found)
    assert all(source.file == Path("/a/file.dcm") for source in found[0].sources)
    assert len(turns) >= 24 * 0.004 / LONGEST_GAP_S
    assert perf_counter() - started < 5


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
