"""The worklist of the home module: rows, reading, answers, and the study of a row in the scene."""

import json
import runpy
from datetime import UTC, datetime, timedelta
from pathlib import Path
from time import perf_counter
from types import SimpleNamespace

import numpy as np
import pytest

from AcuteFindingsLib.scene.bundle import write_scene
from AcuteFindingsLib.scene.corrections import labels
from AcuteFindingsLib.worklist.records import RECORD, Record, ResultsFolder, record_bytes

CASES = runpy.run_path(str(Path(__file__).parents[1] / "scene" / "conftest.py"))

AT = "2026-11-30T08:00:00.000+00:00"


def _row(key, **facts):
    from AcuteFindingsLib.widgets.worklist.rows import Row

    return Row(key, **{"detector": "hemorrhage", "state": "done", "arrived": AT, **facts})


# A worker in miniature: it reads what it is told to, at once or never.
TOY = """
import json, os, sys
say = lambda **message: print(json.dumps(message), flush=True)
say(event="started", process=os.getpid())
held = None
for line in sys.stdin:
    message = json.loads(line)
    if "cancel" in message:
        if held == message["cancel"]:
            say(id=held, event="cancelled")
            held = None
        continue
    number, place = message["id"], message["place"]
    if place == 999:
        held = number
        say(id=number, event="progress", text="Reading", fraction=0.5)
    elif place == 666:
        os._exit(3)
    elif place == 777:
        say(id=number, event="error", text="No disk.", kind="DataError")
    else:
        record = {"key": "k%d" % place, "detector": "pe", "state": "done"}
        say(id=number, event="done", result={"outcomes": [{"record": record, "skipped": False}]})
"""


@pytest.fixture
def queue(host, tmp_path):
    from AcuteFindingsLib.widgets.worker.process import WorkerProcess
    from AcuteFindingsLib.widgets.worklist.reading_queue import ReadingQueue

    worker = WorkerProcess(program=TOY, patience_ms=2000)
    made = ReadingQueue(lambda: worker)
    made.read = []
    made.on_read = lambda _folder, records: made.read.extend(record["key"] for record in records)
    made.put = lambda *places: made.add(
        {"exams": [[place, ""] for place in places], "arrived": AT}, tmp_path / "exams", tmp_path, "auto"
    )
    yield made
    made.close()
    worker.stop()


def test_two_thousand_rows_are_shown_within_a_tenth_of_a_second(host):
    from AcuteFindingsLib.widgets.worklist.row_table import RowTable

    table = RowTable(on_choose=lambda _row: None, on_open=lambda _row: None)
    table.widget.resize(480, 400)
    table.widget.show()
    # A window's first painting is not the table's.
    host.process_events()
    rows = [_row(str(number), verdict="negative", probability=number / 4000, urgency=0.1) for number in range(2000)]
    times = []
    for act in (
        lambda: table.show(rows),
        lambda: table.sort_by(1),
        lambda: table.filter("negative 0.4"),
        lambda: table.filter(""),
        lambda: table.widget.verticalScrollBar().setValue(1500),
    ):
        started = perf_counter()
        act()
        host.process_events()
        times.append(perf_counter() - started)
    print("seconds to show, sort, filter, unfilter, scroll:", [round(one, 3) for one in times])
    assert max(times) < 0.1
    assert table.widget.item(1500, 1).text()
    assert table.widget.item(700, 1) is None


def test_rows_are_sorted_by_a_click_and_back_and_found_by_words(host):
    from AcuteFindingsLib.widgets.worklist.row_table import RowTable

    table = RowTable(on_choose=lambda _row: None, on_open=lambda _row: None)
    older = (datetime.fromisoformat(AT) - timedelta(days=3)).isoformat()
    table.show(
        [
            _row("a", verdict="negative", probability=0.1, urgency=0.03),
            _row("b", verdict="positive", probability=0.7, urgency=0.9, answer="agree"),
            _row("c", verdict="positive", probability=0.9, urgency=0.97, arrived=older, detector="pe"),
        ]
    )
    shown = lambda: "".join(one.key for one in table.rows)  # noqa: E731
    table.sort_by(1)
    assert shown() == "cba"
    table.sort_by(1)
    assert shown() == "abc"
    table.sort_by(1)
    assert shown() == "abc"
    table.sort_by(3)
    assert shown()[0] == "c"
    table.filter("POSITIVE agree")
    assert shown() == "b"
    table.filter("nothing of the kind")
    assert shown() == ""
    assert table.current is None


def test_the_chosen_row_stays_chosen_when_the_order_changes(host):
    from AcuteFindingsLib.widgets.worklist.row_table import RowTable

    chosen = []
    table = RowTable(on_choose=chosen.append, on_open=lambda _row: None)
    table.show([_row("a"), _row("b"), _row("c")])
    assert table.step(1).key == "a"
    assert table.step(1).key == "b"
    table.show([_row("b"), _row("c"), _row("a")])
    assert table.current.key == chosen[-1].key == "b"
    assert table.step(-1) is None


def test_what_waits_stands_before_what_is_answered_and_age_is_in_words(host):
    from AcuteFindingsLib.widgets.worklist.rows import age_text, texts, with_waiting

    rows = with_waiting([_row("a"), _row("b", answer="agree")], [_row("w", state="waiting")])
    assert [one.key for one in rows] == ["a", "w", "b"]
    assert [age_text(minutes) for minutes in (-1, 0.5, 59, 60, 2879, 2880)] == [
        "",
        "0 min",
        "59 min",
        "1 h",
        "47 h",
        "2 days",
    ]
    assert texts(_row("a", arrived="yesterday"), datetime.now(UTC))[3] == ""


def test_studies_are_read_one_after_the_other(host, queue):
    queue.put(1, 2)
    queue.put(3)
    host.wait_until(lambda: not queue.rows, 20)
    assert queue.read == ["k1", "k2", "k3"]
    assert queue.text == "Read: 3."


def test_paused_hands_no_further_study_over_and_resume_goes_on(host, queue):
    queue.pause()
    queue.put(1, 2)
    host.wait(0.2)
    assert [one.state for one in queue.rows] == ["waiting", "waiting"]
    queue.resume()
    assert [one.state for one in queue.rows] == ["reading", "waiting"]
    queue.pause()
    host.wait_until(lambda: queue.read == ["k1"], 20)
    assert [one.state for one in queue.rows] == ["waiting"]
    queue.resume()
    host.wait_until(lambda: not queue.rows, 20)
    assert queue.read == ["k1", "k2"]


def test_a_cancelled_study_waits_again_in_the_first_place(host, queue):
    queue.put(999, 2)
    host.wait_until(lambda: "Study 1 of 2" in queue.text, 20)
    first = queue.rows[0].key
    queue.cancel()
    host.wait_until(lambda: not queue.reading, 20)
    assert [one.state for one in queue.rows] == ["waiting", "waiting"]
    assert queue.rows[0].key == first
    assert queue.paused
    queue.clear()
    assert not queue.rows


def test_a_study_at_which_the_worker_dies_is_left_and_two_stop_the_queue(host, queue):
    queue.put(666, 1)
    host.wait_until(lambda: not queue.rows, 20)
    assert queue.read == ["k1"]
    queue.put(666, 666, 2)
    host.wait_until(lambda: queue.paused, 20)
    assert len(queue.rows) == 2
    assert queue.text.startswith("✖ ")


def test_what_is_wrong_with_all_studies_stops_the_queue_with_its_sentence(host, queue):
    queue.put(777, 1)
    host.wait_until(lambda: queue.paused, 20)
    assert queue.text == "✖ No disk."
    assert len(queue.rows) == 2


@pytest.fixture
def results(tmp_path):
    """A folder of results of two studies, the positive one with its scene."""
    case = CASES["head"].__wrapped__()
    folder = ResultsFolder(tmp_path / "results")
    for key, verdict, probability in (("aa", "negative", 0.2), ("bb", "positive", 0.9)):
        own = folder.results(key)
        own.mkdir()
        record = Record(key, "hemorrhage", "done", verdict=verdict, probability=probability, arrived=AT, finished=AT)
        (own / RECORD).write_bytes(record_bytes(record))
        case.finding.save(own)
    write_scene(case.finding, case.study, folder.results("bb") / "scene.mrb")
    return folder.folder


@pytest.fixture
def home(host, results):
    """The home module with the list unfolded, on a folder of results."""
    import qt

    from AcuteFindingsLib.widgets.worklist.worklist_panel import FOLDER

    qt.QSettings().setValue(FOLDER, str(results))
    shown = host.open_panel("AcuteFindings")
    shown.ui.worklistCollapsibleButton.collapsed = False
    host.wait_until(lambda: len(shown.panel.worklist.table.rows) == 2, 60)
    yield shown
    qt.QSettings().remove(FOLDER)


@pytest.fixture
def panel(home):
    return home.panel.worklist


def _answers(results):
    return sorted(json.loads(file.read_text())["answer"] for file in (results / "answers").glob("*.json"))


def test_the_list_is_made_only_when_it_is_unfolded(host):
    home = host.open_panel("AcuteFindings")
    assert home.panel.worklist is None


def test_the_most_urgent_study_is_on_top_and_answers_are_kept_by_keys(host, panel, results):
    assert [one.key for one in panel.table.rows] == ["bb", "aa"]
    assert not panel.answer_buttons["agree"].enabled
    host.press_key(panel.widget, "N")
    assert panel.table.current.key == "bb"
    host.press_key(panel.widget, "A")
    assert panel.table.current.answer == "agree"
    host.press_key(panel.widget, "P" if panel.table.rows[0].key == "aa" else "N")
    assert panel.table.current.key == "aa"
    host.press_key(panel.widget, "D")
    host.wait_until(lambda: (results / "answers").is_dir() and len(_answers(results)) == 2, 30)
    assert _answers(results) == ["agree", "disagree"]
    panel.refresh()
    host.wait_until(lambda: {one.answer for one in panel.table.rows} == {"agree", "disagree"}, 30)


def test_letters_typed_into_the_filter_answer_nothing(host, panel, results):
    panel.table.step(1)
    host.type_text(panel.filter_edit, "aa du")
    assert panel.filter_edit.text == "aa du"
    assert not (results / "answers").exists()


def test_a_double_click_shows_study_finding_layout_and_chart(host, scene, home, panel):
    from AcuteFindingsLib.scene.layouts import is_own_layout
    from AcuteFindingsLib.scene.results import results_in

    panel.table.widget.setCurrentCell(0, 0)
    panel.open(panel.table.current)
    host.wait_until(lambda: panel.opened.key == "bb" or panel.told_label.text.startswith("✖"), 20)
    assert panel.opened.key == "bb", panel.told_label.text
    [result] = results_in(scene)
    assert result.volume.GetImageData().GetDimensions() == (160, 160, 24)
    assert result.segmentation is not None
    assert is_own_layout(scene.GetFirstNodeByClass("vtkMRMLLayoutNode").GetViewArrangement())
    composite = scene.GetNthNodeByClass(0, "vtkMRMLSliceCompositeNode")
    assert composite.GetBackgroundVolumeID() == result.volume.GetID()
    assert home.ui.studySelector.currentNode() is result.volume
    panel.answer("agree")
    host.wait_until(lambda: len(labels(result)) == 7, 20)
    assert set(labels(result).values()) == {"present"}
    # Opened again, it does not come twice.
    panel.open(panel.table.rows[[one.key for one in panel.table.rows].index("bb")])
    assert len(results_in(scene)) == 1
    assert scene.GetNumberOfNodesByClass("vtkMRMLScalarVolumeNode") == 1 + (result.heatmap is not None)


def test_what_was_found_is_seen_also_after_another_scene_with_segments(host, scene, panel):
    former = scene.AddNewNodeByClass("vtkMRMLSegmentationNode")
    former.CreateDefaultDisplayNodes()
    former.GetSegmentation().AddEmptySegment("of the scene before")
    scene.Clear(0)
    host.process_events()
    panel.open(next(row for row in panel.table.rows if row.key == "bb"))
    host.wait_until(lambda: panel.opened.key == "bb" or panel.told_label.text.startswith("✖"), 20)
    segmentation = panel.opened.result.segmentation
    assert list(segmentation.GetDisplayNode().GetVisibleSegmentIDs()) == list(
        segmentation.GetSegmentation().GetSegmentIDs()
    )


def test_a_study_without_a_scene_is_told(host, panel):
    panel.open(next(one for one in panel.table.rows if one.key == "aa"))
    host.wait_until(lambda: panel.told_label.text.startswith("✖"), 30)
    assert "no scene" in panel.told_label.text


def test_answers_are_exported_as_truth(host, panel, results, tmp_path):
    assert not panel.export_button.enabled
    panel.table.step(1)
    panel.answer("agree")
    host.wait_until(lambda: (results / "answers").is_dir(), 30)
    out = tmp_path / "labels"
    out.mkdir()
    host.dialogs.answer(str(out))
    host.click(panel.export_button)
    host.wait_until(lambda: "labeled" in panel.told_label.text, 30)
    assert (out / "study-labels.csv").read_text().split() == ["study,any", "bb,1"]


def test_a_folder_of_studies_is_read_into_the_list(host, panel, results, tmp_path):
    studies = tmp_path / "studies"
    studies.mkdir()
    (studies / "no-image.nii").write_text("nothing")
    panel.detector_box.setCurrentIndex(1)
    host.dialogs.answer(str(studies))
    panel.add_folder()
    host.wait_until(lambda: any(one.state == "failed" for one in panel.table.rows), 90)
    [failed] = [one for one in panel.table.rows if one.state == "failed"]
    assert "no-image" not in failed.said
    assert panel.queue.text == "Read: 1."
    assert len(panel.table.rows) == 3


def test_loaded_volumes_become_studies_by_their_files(host, scene, tmp_path):
    import slicer

    from AcuteFindingsLib.widgets.worklist.sources import files_of_loaded_volumes

    file = tmp_path / "volume.nrrd"
    node = slicer.util.addVolumeFromArray(np.zeros((3, 4, 5), np.int16), name="Made here")
    assert files_of_loaded_volumes() == ([], ["Made here"])
    node.AddDefaultStorageNode(str(file))
    assert node.GetStorageNode().WriteData(node)
    assert files_of_loaded_volumes() == ([str(file)], [])


def test_chosen_series_are_those_of_the_dicom_module(host, monkeypatch):
    import slicer

    from AcuteFindingsLib.widgets.worklist.sources import files_of_chosen_series

    monkeypatch.setattr(slicer.modules, "DICOMWidget", None, raising=False)
    assert files_of_chosen_series() == []
    browser = SimpleNamespace(browserWidget=SimpleNamespace(fileLists=[("a", "b"), ("c",)]))
    monkeypatch.setattr(slicer.modules, "DICOMWidget", browser, raising=False)
    assert files_of_chosen_series() == ["a", "b", "c"]


def test_missing_packages_are_named_with_their_size(host, monkeypatch, results):
    from AcuteFindingsLib.packages import WORKLIST
    from AcuteFindingsLib.widgets.worklist import worklist_panel

    monkeypatch.setattr(worklist_panel, "missing_packages", lambda _needed: list(WORKLIST))
    made = worklist_panel.WorklistPanel()
    made.enter()
    assert "SQLAlchemy (6 MB)" in made.install_label.text
    assert "7 MB" in made.install_button.text
    assert made.table.rows == []
    made.close()
