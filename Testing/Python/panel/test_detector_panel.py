"""A whole module's panel: a person chooses, applies, reads, corrects, saves the scene and comes back to it.

The worker process is a real one; in place of a network it gives a finding that the test prepared.
"""

import json
import os
import runpy
from dataclasses import replace
from pathlib import Path

import pytest

from AcuteFindingsLib.jobs.arrays import save_result
from AcuteFindingsLib.scene.bundle import save_bundle
from AcuteFindingsLib.scene.corrections import labels
from AcuteFindingsLib.scene.layouts import RADIOGRAPH_LAYOUT, STACK_LAYOUT
from AcuteFindingsLib.scene.nodes import add_volume, show_finding
from AcuteFindingsLib.scene.results import result_of, results_in

CASES = runpy.run_path(str(Path(__file__).parents[1] / "scene" / "conftest.py"))

WORKER = """
import json, os, shutil, sys, time
say = lambda **message: print(json.dumps(message), flush=True)
say(event="started", process=os.getpid())
plan = json.loads({plan!r})
for line in sys.stdin:
    message = json.loads(line)
    if "cancel" in message:
        continue
    number, do = message["id"], message["do"]
    if do == "check":
        say(id=number, event="done", result=plan["check"])
    elif do == "detect" and plan.get("refuse") and not message["force"]:
        say(id=number, event="error", text=plan["refuse"], kind="StudyRefusedError")
    elif do == "detect" and plan.get("error"):
        say(id=number, event="error", text=plan["error"], kind=plan.get("kind", "DetectionError"))
    elif do == "detect":
        say(id=number, event="progress", text="Looking at slices", fraction=0.4)
        # Waits for the test, or for the cancel that it sends.
        while plan.get("wait") and not os.path.exists(plan["wait"]):
            time.sleep(0.01)
        if plan.get("cancel"):
            json.loads(sys.stdin.readline())
            say(id=number, event="cancelled")
            continue
        shutil.copytree(plan["result"], message["out"])
        say(id=number, event="done", result=dict(finding=message["out"] + "/finding.json"))
    elif do == "report":
        os.makedirs(message["out"])
        with open(message["out"] + "/report.html", "w") as page:
            page.write("a report")
        say(id=number, event="done", result=dict(report=message["out"] + "/report.html"))
    else:
        say(id=number, event="done", result=dict())
"""

MODULES = {"head": "HemorrhageDetect", "radiograph": "PneumothoraxSeg"}


@pytest.fixture(scope="module")
def cases():
    return {name: CASES[name].__wrapped__() for name in MODULES}


@pytest.fixture
def make_worker(host, monkeypatch, tmp_path, cases):
    """Give the modules a worker that answers with the finding of a case."""
    from AcuteFindingsLib.widgets.worker import process as worker_process

    made = []

    def make(case="head", **plan):
        save_result(cases[case].finding, tmp_path / "prepared")
        plan = {"check": {"fits": True, "notices": []}, "result": str(tmp_path / "prepared"), **plan}
        worker = worker_process.WorkerProcess(program=WORKER.format(plan=json.dumps(plan)))
        monkeypatch.setattr(worker_process, "_shared", worker)
        made.append(worker)
        return worker

    yield make
    for worker in made:
        worker.stop()


@pytest.fixture(autouse=True)
def corrections_folder(host, tmp_path):
    import qt

    from AcuteFindingsLib.widgets.panel import corrections_panel, export_panel

    settings = qt.QSettings()
    settings.setValue(corrections_panel.FOLDER, str(tmp_path / "corrections"))
    settings.setValue(export_panel.FOLDER, str(tmp_path))
    for module in MODULES.values():
        settings.remove(f"AcuteFindings/{module}/model")
    yield tmp_path / "corrections"
    settings.remove(corrections_panel.FOLDER)
    settings.remove(export_panel.FOLDER)


@pytest.fixture
def open_module(host, make_worker, scene, cases):
    """Load a case's volume and open its module on it; the worker is `make_worker`'s with what is named."""

    def open_it(case="head", **plan):
        import slicer

        make_worker(case, **plan)
        study, finding = cases[case].study, cases[case].finding
        volume = add_volume(slicer.mrmlScene, study, finding, name="A volume")
        widget = host.open_panel(MODULES[case], size=(420, 1500))
        host.choose(widget.ui.inputSelector, volume.GetName())
        return widget

    return open_it


def run(host, widget):
    host.click(widget.ui.applyButton)
    host.wait_until(lambda: widget.panel.controller.state == "idle", seconds=20)
    host.process_events()


def has(path):
    return path.exists() and any(path.iterdir())


def test_without_a_volume_there_is_nothing_to_apply(host, make_worker):
    make_worker()
    widget = host.open_panel("HemorrhageDetect")
    assert not widget.ui.applyButton.enabled
    assert widget.ui.checkLabel.text == "Choose a volume."


def test_a_volume_that_cannot_fit_is_told_at_once_with_those_that_do(host, open_module, cases):
    import slicer

    widget = open_module("radiograph")
    stack = add_volume(slicer.mrmlScene, cases["head"].study, cases["head"].finding, name="A stack")
    host.choose(widget.ui.inputSelector, stack.GetName())
    assert widget.ui.checkLabel.text.startswith("✖ Does not fit: a stack of 24 slices")
    assert "Volumes that fit: A volume." in widget.ui.checkLabel.text


@pytest.mark.slow
def test_the_series_check_is_told_before_apply(host, open_module):
    notice = {"code": "thick-slices", "severity": "warn", "text": "The slices are thick."}
    widget = open_module(check={"fits": True, "notices": [notice]})
    assert widget.ui.checkLabel.text.startswith("✔ Fits as far as the volume tells")
    host.wait_until(lambda: "thick" in widget.ui.checkLabel.text)
    assert widget.ui.checkLabel.text == "⚠ Warning: The slices are thick."


def test_apply_runs_and_shows_the_result_in_panel_and_views(host, open_module):
    import slicer

    widget = open_module()
    run(host, widget)
    panel = widget.panel
    assert panel.results.banner.verdict_label.text == "▲ POSITIVE"
    assert slicer.app.layoutManager().layout == STACK_LAYOUT
    assert panel.parameter_node.verdict is panel.result.text
    assert panel.result.volume.GetName() == "A volume"
    red = slicer.mrmlScene.GetSingletonNode("Red", "vtkMRMLSliceNode")
    assert red.GetSliceOffset() == pytest.approx(-46 + 14 * 4)
    assert widget.ui.progressLabel.text == "Done."
    assert not widget.ui.progressBar.visible


def test_choosing_a_volume_shows_it_and_the_results_own_brings_the_result_back(host, open_module, scene, cases):
    widget = open_module()
    run(host, widget)
    other = add_volume(scene, cases["head"].study, cases["head"].finding, name="Another volume")
    composite = scene.GetSingletonNode("Red", "vtkMRMLSliceCompositeNode")
    host.choose(widget.ui.inputSelector, "Another volume")
    assert composite.GetBackgroundVolumeID() == other.GetID()
    host.choose(widget.ui.inputSelector, "A volume")
    assert composite.GetBackgroundVolumeID() == widget.panel.result.volume.GetID()


def test_opening_a_module_leaves_the_views_as_they_are(host, open_module, scene, cases):
    widget = open_module()
    chosen = widget.ui.inputSelector.currentNode()
    other = add_volume(scene, cases["head"].study, cases["head"].finding, name="Another volume")
    host.leave_panel(MODULES["head"])
    composite = scene.GetSingletonNode("Red", "vtkMRMLSliceCompositeNode")
    composite.SetBackgroundVolumeID(other.GetID())
    host.open_panel(MODULES["head"])
    host.process_events()
    assert widget.ui.inputSelector.currentNode() is chosen
    assert composite.GetBackgroundVolumeID() == other.GetID()


def test_a_renamed_node_shows_its_new_name_at_once(host, open_module):
    widget = open_module()
    run(host, widget)
    result = widget.panel.result
    result.volume.SetName("Head of Monday")
    result.text.SetName("First verdict")
    assert widget.panel.selector.box.currentText == "positive, Head of Monday (First verdict)"
    host.process_events()
    assert widget.ui.inputSelector.currentNode() is result.volume


def test_a_result_of_a_sequences_frame_says_which_and_hides_on_others(host, open_module, scene):
    import slicer

    widget = open_module()
    volume = scene.GetFirstNodeByName("A volume")
    sequence = scene.AddNewNodeByClass("vtkMRMLSequenceNode", "Frames")
    for number in range(3):
        sequence.SetDataNodeAtValue(volume, str(number))
    browser = scene.AddNode(slicer.vtkMRMLSequenceBrowserNode())
    browser.SetAndObserveMasterSequenceNodeID(sequence.GetID())
    browser.AddProxyNode(volume, sequence, False)
    browser.SetSelectedItemNumber(1)
    run(host, widget)
    panel = widget.panel
    mask = panel.result.segmentation.GetDisplayNode()
    assert "frame 2 of 3" in panel.results.banner.probability_label.text
    assert "frame 2 of 3" in panel.selector.box.currentText
    assert mask.GetVisibility()
    assert not panel.not_shown.widget.visible
    browser.SetSelectedItemNumber(2)
    host.wait_until(lambda: panel.not_shown.widget.visible)
    assert "frame 2 of 3" in panel.not_shown.label.text
    assert not mask.GetVisibility()
    assert not panel.results.widget.enabled
    host.click(panel.not_shown.show_button)
    assert browser.GetSelectedItemNumber() == 1
    host.wait_until(lambda: not panel.not_shown.widget.visible)
    assert mask.GetVisibility()


def test_a_double_click_on_apply_is_one_apply(host, open_module, scene, monkeypatch):
    import slicer

    widget = open_module()
    monkeypatch.setattr(slicer.app, "doubleClickInterval", 10_000)
    host.click(widget.ui.applyButton)
    host.click(widget.ui.applyButton)
    assert widget.panel.controller.state != "idle"
    host.wait_until(lambda: widget.panel.controller.state == "idle", seconds=20)
    host.click(widget.ui.applyButton)
    assert widget.panel.controller.state == "idle"
    assert len(results_in(scene)) == 1


def test_apply_becomes_cancel_and_cancel_leaves_nothing(host, open_module, scene):
    widget = open_module(cancel=True)
    host.click(widget.ui.applyButton)
    assert widget.ui.applyButton.text == "Cancel"
    assert not widget.ui.inputSelector.enabled
    host.wait_until(lambda: "Looking at slices" in widget.ui.progressLabel.text)
    assert widget.ui.progressBar.visible
    assert 0 < widget.ui.progressBar.value < 100
    host.click(widget.ui.applyButton)
    host.wait_until(lambda: widget.ui.applyButton.text == "Apply")
    assert widget.ui.progressLabel.text == "Cancelled."
    assert widget.ui.applyButton.enabled
    assert results_in(scene) == []


def test_a_failed_run_is_told(host, open_module):
    import qt

    widget = open_module(error="The model is damaged.")
    host.dialogs.answer(qt.QMessageBox.Ok)
    run(host, widget)
    assert widget.ui.progressLabel.text == "✖ The model is damaged."
    assert host.dialogs.asked == ["The model is damaged."]


def test_a_refused_study_runs_only_when_the_person_insists(host, open_module):
    import qt

    widget = open_module(refuse="This is no head.")
    host.dialogs.answer(qt.QMessageBox.No)
    run(host, widget)
    assert widget.panel.result is None
    assert "This is no head." in host.dialogs.asked[0]
    host.dialogs.answer(qt.QMessageBox.Yes)
    run(host, widget)
    assert widget.panel.result is not None


def test_a_model_that_needs_torch_asks_for_it_and_runs_once_it_is_there(host, open_module, monkeypatch):
    import qt

    from AcuteFindingsLib.widgets.panel import run_bar

    asked, missing = [], ["torch"]

    def ensure(what, _parent):
        asked.append(what)
        missing.clear()
        return True

    widget = open_module(error="This needs PyTorch.", kind="TorchMissingError")
    # Only a run meets it: packages are there.
    monkeypatch.setattr(run_bar, "missing_packages", lambda _needed: list(missing))
    monkeypatch.setattr(run_bar, "ensure_torch", ensure)
    starts = []
    start = widget.panel.controller.start
    monkeypatch.setattr(widget.panel.controller, "start", lambda *args: starts.append(args) or start(*args))
    host.dialogs.answer(qt.QMessageBox.Ok)
    run(host, widget)
    assert asked == ["The model hemorrhage-radnet-small"]
    # The second time nothing is missing, so what the worker says is shown and nothing is asked again.
    host.wait_until(lambda: "This needs PyTorch." in widget.ui.progressLabel.text)
    assert len(starts) == 2
    assert starts[0] == starts[1]


def test_without_consent_to_torch_nothing_runs_and_the_panel_says_why(host, open_module, monkeypatch):
    from AcuteFindingsLib.widgets.panel import run_bar

    widget = open_module(error="This needs PyTorch.", kind="TorchMissingError")
    monkeypatch.setattr(run_bar, "missing_packages", lambda _needed: ["torch"])
    monkeypatch.setattr(run_bar, "ensure_torch", lambda _what, _parent: False)
    run(host, widget)
    text = "✖ Not run: the model hemorrhage-radnet-small needs PyTorch, which is not installed."
    assert widget.ui.progressLabel.text == text


def test_a_run_goes_on_while_another_module_is_shown(host, open_module, tmp_path):
    widget = open_module(wait=str(tmp_path / "go"))
    host.click(widget.ui.applyButton)
    host.wait_until(lambda: "Looking at slices" in widget.ui.progressLabel.text)
    host.leave_panel("HemorrhageDetect")
    (tmp_path / "go").touch()
    host.wait_until(lambda: widget.panel.controller.state == "idle")
    host.open_panel("HemorrhageDetect")
    assert widget.panel.results.banner.verdict_label.text == "▲ POSITIVE"


@pytest.mark.slow
def test_closing_the_scene_during_a_run_ends_it(host, open_module, scene, tmp_path):
    widget = open_module(cancel=True)
    host.click(widget.ui.applyButton)
    host.wait_until(lambda: "Looking at slices" in widget.ui.progressLabel.text)
    scene.Clear(0)
    host.wait(0.2)
    assert widget.panel.controller.state == "idle"
    assert "scene was closed" in widget.ui.progressLabel.text


@pytest.mark.slow
def test_removing_the_volume_during_a_run_ends_it(host, open_module, scene):
    widget = open_module(cancel=True)
    host.click(widget.ui.applyButton)
    host.wait_until(lambda: "Looking at slices" in widget.ui.progressLabel.text)
    scene.RemoveNode(widget.ui.inputSelector.currentNode())
    host.wait(0.2)
    assert widget.panel.controller.state == "idle"
    assert "volume was removed" in widget.ui.progressLabel.text


def test_chart_table_views_and_labels_belong_together(host, open_module, scene):
    widget = open_module()
    run(host, widget)
    panel = widget.panel
    host.click_chart(panel.result.series["series:any"], 4)
    assert panel.results.slices.widget.currentRow() == 4
    assert panel.corrections.slice_label.text == "Slice 5: not corrected"
    widget.ui.correctionsCollapsibleButton.collapsed = False
    host.press_key(widget.ui.applyButton, "1")
    assert labels(panel.result) == {4: "present"}
    assert panel.results.slices.widget.item(4, 3).text() == "present"
    scene.GetSingletonNode("Red", "vtkMRMLSliceNode").SetSliceOffset(-46 + 15 * 4)
    assert panel.results.slices.widget.currentRow() == 15
    host.press_key(widget.ui.applyButton, "P")
    assert panel.results.current == 14


def test_a_new_run_asks_for_unsaved_corrections_first(host, open_module, scene, corrections_folder):
    import qt

    widget = open_module()
    run(host, widget)
    widget.panel.corrections.set_label("absent")
    host.dialogs.answer(qt.QMessageBox.Cancel)
    host.click(widget.ui.applyButton)
    assert widget.panel.controller.state == "idle"
    assert len(results_in(scene)) == 1
    host.dialogs.answer(qt.QMessageBox.Save)
    run(host, widget)
    assert len(results_in(scene)) == 2
    assert has(corrections_folder)


def test_switching_results_asks_for_unsaved_corrections_first(host, open_module, scene):
    import qt

    widget = open_module()
    run(host, widget)
    first = widget.panel.result
    run(host, widget)
    second = widget.panel.result
    widget.panel.corrections.set_label("absent")
    box = widget.panel.selector.box
    host.dialogs.answer(qt.QMessageBox.Cancel)
    host.choose(box, box.itemText(0))
    assert widget.panel.result == second
    assert box.currentIndex == 1
    host.dialogs.answer(qt.QMessageBox.Discard)
    host.choose(box, box.itemText(0))
    assert widget.panel.result == first
    assert labels(second) == {14: "absent"}


def test_closing_the_scene_asks_for_unsaved_corrections(host, open_module, scene, corrections_folder):
    import qt

    widget = open_module()
    run(host, widget)
    widget.panel.corrections.set_label("absent")
    host.dialogs.answer(qt.QMessageBox.Save)
    scene.Clear(0)
    host.process_events()
    assert has(corrections_folder)
    assert widget.panel.result is None
    assert widget.panel.results.empty_label.visible
    assert not widget.panel.selector.widget.visible


def test_removing_a_result_takes_its_nodes_and_leaves_the_volume(host, open_module, scene):
    widget = open_module()
    run(host, widget)
    volume = widget.panel.result.volume
    host.click(widget.panel.selector.remove_button)
    assert results_in(scene) == []
    assert volume.GetScene() is scene
    assert widget.panel.results.empty_label.visible


def test_a_result_deleted_elsewhere_leaves_the_panel(host, open_module, scene):
    widget = open_module()
    run(host, widget)
    scene.RemoveNode(widget.panel.result.text)
    host.process_events()
    assert widget.panel.result is None


@pytest.mark.slow
@pytest.mark.parametrize("part", ["segmentation", "heatmap", "table", "chart", "volume"])
def test_a_part_deleted_elsewhere_leaves_the_rest_shown(host, open_module, scene, part):
    widget = open_module()
    run(host, widget)
    scene.RemoveNode(getattr(widget.panel.result, part))
    host.process_events()
    assert getattr(widget.panel.result, part) is None
    assert widget.panel.results.banner.verdict_label.text == "▲ POSITIVE"
    widget.panel.results.go_to(3)
    if part == "segmentation":
        assert not widget.panel.corrections.correct_button.enabled
    widget.panel.corrections.set_label("absent")
    assert labels(widget.panel.result) == ({} if part == "table" else {3: "absent"})


@pytest.mark.slow
def test_everything_survives_saving_and_loading_the_scene(host, open_module, scene, tmp_path):
    import slicer

    widget = open_module()
    host.choose(widget.ui.deviceComboBox, "CPU")
    run(host, widget)
    widget.panel.show_result(result_of(show_second(scene, widget.panel.result).text))
    run_first = results_in(scene)[0]
    widget.panel.show_result(run_first)
    widget.panel.results.go_to(5)
    widget.ui.correctionsCollapsibleButton.collapsed = False
    host.process_events()
    host.press_key(widget.ui.applyButton, "3")
    host.choose(widget.panel.corrections.status_box, "Completed")
    host.dialogs.answer(str(tmp_path / "kept.mrb"))
    widget.ui.exportCollapsibleButton.collapsed = False
    host.process_events()
    host.click(widget.panel.export.scene_button)
    assert (tmp_path / "kept.mrb").exists()
    widget.panel.corrections.confirm_discard = lambda **_: True
    scene.Clear(0)
    del widget.panel.corrections.confirm_discard
    host.process_events()
    assert widget.panel.result is None

    slicer.util.loadScene(str(tmp_path / "kept.mrb"))
    host.process_events()
    panel = widget.panel
    assert panel.results.banner.verdict_label.text == "▲ POSITIVE"
    assert len(results_in(scene)) == 2
    assert panel.selector.box.currentIndex == 0
    host.wait_until(lambda: panel.results.slices.widget.item(5, 3) is not None)
    assert panel.results.slices.widget.item(5, 3).text() == "unsure"
    assert panel.corrections.unsaved()
    assert panel.corrections.status_box.currentText == "Completed"
    assert widget.ui.inputSelector.currentNode().GetName() == "A volume"
    assert widget.ui.deviceComboBox.currentText == "CPU"
    assert slicer.app.layoutManager().layout == STACK_LAYOUT
    host.click_chart(panel.result.series["series:any"], 2)
    assert panel.results.current == 2
    host.testing(True)


@pytest.mark.slow
def test_a_scene_loaded_while_another_module_is_shown_opens_on_the_result_that_was_shown(
    host, open_module, scene, tmp_path
):
    import slicer

    widget = open_module()
    run(host, widget)
    first = widget.panel.result
    widget.panel.show_result(result_of(show_second(scene, first).text))
    widget.panel.show_result(first)
    save_bundle(scene, tmp_path / "kept.mrb")
    host.leave_panel("HemorrhageDetect")
    scene.Clear(0)
    slicer.util.loadScene(str(tmp_path / "kept.mrb"))
    host.open_panel("HemorrhageDetect")
    assert widget.panel.results.banner.verdict_label.text == "▲ POSITIVE"
    assert widget.panel.selector.box.currentIndex == 0


def test_a_scene_that_names_a_missing_model_says_so_and_runs_no_other(host, open_module, scene, tmp_path):
    import slicer

    widget = open_module()
    widget.logic.getParameterNode().model = "a-model-from-elsewhere"
    save_bundle(scene, tmp_path / "kept.mrb")
    scene.Clear(0)
    slicer.util.loadScene(str(tmp_path / "kept.mrb"))
    host.process_events()
    assert "a-model-from-elsewhere, which is not installed" in widget.ui.progressLabel.text
    host.wait_until(lambda: widget.ui.inputSelector.currentNode() is not None)
    host.click(widget.ui.applyButton)
    assert widget.panel.controller.state == "idle"
    assert results_in(scene) == []
    assert widget.logic.getParameterNode().model == "a-model-from-elsewhere"
    # Choosing one that is there is all that it needs.
    shipped = widget.panel.model_loader.default.id
    host.click_row(widget.panel.model_loader.table, row_of(widget.panel.model_loader, shipped))
    host.wait_until(lambda: widget.panel.model_loader.model == shipped)
    assert not widget.ui.progressLabel.visible
    run(host, widget)
    assert len(results_in(scene)) == 1


def test_a_closed_scene_takes_the_model_that_it_asked_for_along(host, open_module, scene):
    widget = open_module()
    own = widget.panel.model_loader.default.id
    widget.panel.model_loader.choose(own)
    host.wait_until(lambda: widget.logic.getParameterNode().model == own)
    widget.logic.getParameterNode().model = "a-model-from-elsewhere"
    host.leave_panel("HemorrhageDetect")
    host.open_panel("HemorrhageDetect")
    assert widget.panel.model_loader.obstacle
    scene.Clear(0)
    host.wait_until(lambda: not widget.panel.model_loader.obstacle)
    assert widget.logic.getParameterNode().model == own


def test_the_choices_of_a_scene_come_back_as_they_were_also_the_default_model(host, open_module, scene, tmp_path):
    import slicer

    widget = open_module()
    loader = widget.panel.model_loader
    loader.choose("")
    assert widget.logic.getParameterNode().model == ""
    save_bundle(scene, tmp_path / "kept.mrb")
    loader.choose(loader.default.id)
    host.wait_until(lambda: widget.logic.getParameterNode().model == loader.default.id)
    slicer.util.loadScene(str(tmp_path / "kept.mrb"))
    host.process_events()
    assert widget.logic.getParameterNode().model == loader.model == ""


def row_of(loader, model):
    return next(number for number, row in enumerate(loader.rows) if row.id == model)


def show_second(scene, result):
    case = CASES["head"].__wrapped__()
    finding = replace(case.finding, verdict=replace(case.finding.verdict, label="negative"))
    return show_finding(finding, case.study, scene=scene, volume_node=result.volume)


def test_a_radiograph_has_its_own_part_and_layout(host, open_module, tmp_path):
    import slicer

    widget = open_module("radiograph")
    run(host, widget)
    panel = widget.panel
    assert slicer.app.layoutManager().layout == RADIOGRAPH_LAYOUT
    assert panel.radiograph.widget.visible
    assert panel.radiograph.bars["Chest drain"].text == "0.10"
    panel.radiograph.heatmap_slider.setValue(50)
    composite = slicer.app.layoutManager().sliceWidget("Red").mrmlSliceCompositeNode()
    assert composite.GetForegroundVolumeID() == panel.result.heatmap.GetID()


@pytest.mark.slow
def test_works_without_a_main_window(host, make_worker, cases):
    scene = host.renew(main_window=False)
    make_worker()
    add_volume(scene, cases["head"].study, cases["head"].finding, name="A volume")
    widget = host.open_panel("HemorrhageDetect")
    run(host, widget)
    assert widget.panel.results.banner.verdict_label.text == "▲ POSITIVE"
    host.click(widget.panel.results.previous_button)
    assert widget.panel.results.current == 13
    assert widget.panel.corrections.slice_label.text.startswith("Slice 14")


@pytest.mark.slow
@pytest.mark.parametrize("case", list(MODULES))
def test_the_panel_fits_into_420_pixels(host, open_module, tmp_path, case):
    """The picture is for looking at: it lies in $PANEL_SCREENSHOTS where that is set."""
    widget = open_module(case)
    run(host, widget)
    for name in ("correctionsCollapsibleButton", "exportCollapsibleButton"):
        getattr(widget.ui, name).collapsed = False
    widget.panel.results.go_to(0)
    widget.panel.results.go_to_next()
    host.wait(0.3)
    assert widget.parent.minimumSizeHint.width() <= 420
    widget.parent.resize(420, widget.parent.sizeHint.height())
    folder = Path(os.environ.get("PANEL_SCREENSHOTS", tmp_path))
    assert host.screenshot(widget, folder / f"{MODULES[case]}.png").stat().st_size > 5000


@pytest.mark.slow
@pytest.mark.parametrize("case", list(MODULES))
def test_every_control_has_a_tooltip(host, open_module, case):
    import qt

    widget = open_module(case)
    run(host, widget)
    kinds = (qt.QPushButton, qt.QComboBox, qt.QLineEdit, qt.QSlider, qt.QTableWidget, qt.QProgressBar)
    bare = [
        f"{child.className()} {child.objectName}"
        for kind in kinds
        for child in widget.parent.findChildren(kind)
        if not child.toolTip and not _part_of_a_control(child)
    ]
    assert bare == []


def _part_of_a_control(child):
    """Whether it is the inside of a widget that has a tooltip itself."""
    parent = child.parentWidget()
    while parent is not None and not parent.isWindow():
        if parent.toolTip and parent.className() not in ("ctkCollapsibleButton", "QGroupBox"):
            return True
        parent = parent.parentWidget()
    return False
