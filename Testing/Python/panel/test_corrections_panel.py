"""What an annotator does: labels, the mask, saving, and the questions before anything is lost."""

import json
import runpy
from pathlib import Path

import pytest
import vtk

from AcuteFindingsLib.scene.corrections import labels
from AcuteFindingsLib.scene.nodes import show_finding
from AcuteFindingsLib.scene.results import result_of

CASES = runpy.run_path(str(Path(__file__).parents[1] / "scene" / "conftest.py"))


@pytest.fixture
def result(scene):
    case = CASES["head"].__wrapped__()
    return result_of(show_finding(case.finding, case.study, scene=scene).text)


@pytest.fixture
def panel(host, tmp_path):
    import qt

    from AcuteFindingsLib.widgets.panel import corrections_panel

    def forget():
        for key in (corrections_panel.ANNOTATOR, corrections_panel.FOLDER):
            qt.QSettings().remove(key)

    forget()
    told = []
    made = corrections_panel.CorrectionsPanel(lambda: made.slice, on_label=lambda: told.append(1))
    made.slice, made.told = 13, told
    made.folder_edit.currentPath = str(tmp_path / "corrections")
    made.widget.resize(420, 500)
    made.widget.show()
    yield made
    made.close()
    forget()


def open_panel(panel, host, result):
    panel.show(result)
    host.process_events()


def edit_mask(result):
    """Add to the mask through the call by which the Segment Editor's effects change a segment."""
    import slicer

    logic = slicer.vtkSlicerSegmentationsModuleLogic
    segment_id = result.segmentation.GetSegmentation().GetNthSegmentID(0)
    added = slicer.vtkOrientedImageData()
    added.SetExtent(20, 29, 20, 29, 14, 14)
    added.AllocateScalars(vtk.VTK_UNSIGNED_CHAR, 1)
    added.GetPointData().GetScalars().Fill(1)
    matrix = vtk.vtkMatrix4x4()
    result.volume.GetIJKToRASMatrix(matrix)
    added.SetGeometryFromImageToWorldMatrix(matrix)
    assert logic.SetBinaryLabelmapToSegment(added, result.segmentation, segment_id, logic.MODE_MERGE_MAX)


def test_without_a_result_there_is_nothing_to_correct(panel):
    assert not panel.widget.enabled
    assert not panel.unsaved()
    assert panel.confirm_discard()


def test_labels_by_button(panel, host, result):
    open_panel(panel, host, result)
    assert panel.slice_label.text == "Slice 14: not corrected"
    host.click(panel.label_buttons["absent"])
    assert labels(result) == {13: "absent"}
    assert panel.slice_label.text == "Slice 14: absent"
    host.click(panel.label_buttons[""])
    assert labels(result) == {}
    assert len(panel.told) == 2


def test_labels_by_key_go_to_the_slice_that_is_shown(panel, host, result):
    open_panel(panel, host, result)
    for number, (key, word) in enumerate((("1", "present"), ("2", "absent"), ("3", "unsure"))):
        panel.slice = number
        host.press_key(panel.widget, key)
        assert labels(result)[number] == word


def test_a_number_typed_into_the_annotators_name_labels_nothing(panel, host, result):
    open_panel(panel, host, result)
    panel.annotator_edit.setFocus()
    host.type_text(panel.annotator_edit, "reader 2")
    assert panel.annotator_edit.text == "reader 2"
    assert labels(result) == {}


def test_keys_rest_while_another_module_is_shown(panel, host, result):
    open_panel(panel, host, result)
    panel.set_keys_enabled(False)
    host.press_key(panel.widget, "1")
    assert labels(result) == {}


def test_correct_mask_opens_the_segment_editor_on_the_mask_with_undo(panel, host, result):
    open_panel(panel, host, result)
    host.click(panel.correct_button)
    editor = panel.mask_editor.editor
    assert editor.segmentationNode() is result.segmentation
    assert editor.sourceVolumeNode() is result.volume
    assert editor.currentSegmentID() == result.segmentation.GetSegmentation().GetNthSegmentID(0)
    assert editor.undoEnabled
    assert panel.mask_editor.is_open
    assert panel.status_box.currentText == "In progress"
    host.click(panel.correct_button)
    assert not panel.mask_editor.is_open


def test_opening_the_editor_alone_is_no_correction(panel, host, result):
    open_panel(panel, host, result)
    host.click(panel.correct_button)
    host.click(panel.correct_button)
    assert not panel.unsaved()


def test_a_changed_mask_is_unsaved(panel, host, result):
    open_panel(panel, host, result)
    host.click(panel.correct_button)
    edit_mask(result)
    assert panel.unsaved()
    assert panel.state_label.text == "Corrections are not saved."


def test_status_is_kept_with_the_segment(panel, host, result):
    from AcuteFindingsLib.scene.corrections import segment_status

    open_panel(panel, host, result)
    assert panel.status_box.currentText == "Not started"
    host.choose(panel.status_box, "Completed")
    assert segment_status(result.segmentation.GetSegmentation().GetNthSegment(0)) == "completed"
    panel.show(None)
    panel.show(result)
    assert panel.status_box.currentText == "Completed"


def test_save_writes_a_training_example_and_a_second_one_beside_it(panel, host, result, tmp_path):
    open_panel(panel, host, result)
    host.type_text(panel.annotator_edit, "reader 2")
    host.click(panel.label_buttons["unsure"])
    edit_mask(result)
    host.click(panel.save_button)
    assert not panel.unsaved()
    host.click(panel.save_button)
    folders = sorted((tmp_path / "corrections").iterdir())
    assert len(folders) == 2
    names = {path.name for path in folders[0].iterdir()}
    assert {"image.nrrd", "ai_mask.nrrd", "corrected_mask.nrrd", "slice_labels.csv", "correction.json"} <= names
    assert "reader 2" in (folders[0] / "correction.json").read_text(encoding="utf-8")
    assert "unsure" in (folders[0] / "slice_labels.csv").read_text(encoding="utf-8")
    assert json.loads((folders[0] / "correction.json").read_text(encoding="utf-8"))
    assert str(tmp_path) in panel.state_label.text


def test_a_folder_that_cannot_be_written_is_told_and_nothing_is_lost(panel, host, result, tmp_path):
    import qt

    open_panel(panel, host, result)
    host.click(panel.label_buttons["unsure"])
    (tmp_path / "a file").write_text("in the way", encoding="utf-8")
    panel.folder_edit.currentPath = str(tmp_path / "a file")
    host.dialogs.answer(qt.QMessageBox.Ok)
    host.click(panel.save_button)
    assert "not saved" in host.dialogs.asked[0]
    assert panel.unsaved()


@pytest.mark.parametrize(
    ("button", "goes_on", "still_unsaved", "saved"),
    [("Cancel", False, True, 0), ("Discard", True, False, 0), ("Save", True, False, 1)],
)
def test_unsaved_corrections_are_asked_for(panel, host, result, tmp_path, button, goes_on, still_unsaved, saved):
    import qt

    open_panel(panel, host, result)
    host.click(panel.label_buttons["present"])
    host.dialogs.answer(getattr(qt.QMessageBox, button))
    assert panel.confirm_discard() is goes_on
    assert panel.unsaved() is still_unsaved
    folder = tmp_path / "corrections"
    assert len(list(folder.iterdir()) if folder.exists() else []) == saved
    assert labels(result) == {13: "present"}


def test_in_testing_mode_nobody_is_asked(panel, host, result):
    open_panel(panel, host, result)
    host.click(panel.label_buttons["present"])
    host.testing(True)
    assert panel.confirm_discard()
    assert host.dialogs.asked == []


def test_the_annotators_name_is_remembered(panel, host, result):
    from AcuteFindingsLib.widgets.panel.corrections_panel import CorrectionsPanel

    open_panel(panel, host, result)
    host.type_text(panel.annotator_edit, "reader 7")
    host.click(panel.save_button)
    assert CorrectionsPanel(lambda: 0).annotator_edit.text == "reader 7"


def test_every_control_says_what_it_is_for(panel):
    controls = [*panel.label_buttons.values(), panel.correct_button, panel.status_box, panel.annotator_edit]
    for widget in (*controls, panel.folder_edit, panel.save_button):
        assert widget.toolTip


def test_while_the_mask_is_corrected_the_keys_are_the_editors(panel, host, result):
    open_panel(panel, host, result)
    host.click(panel.correct_button)
    editor = panel.mask_editor.editor
    host.press_key(panel.widget, "1")
    assert labels(result) == {}
    host.click(panel.correct_button)
    assert not panel.mask_editor.is_open
    host.press_key(panel.widget, "1")
    assert labels(result) == {13: "present"}
    assert editor.activeEffect() is None


@pytest.mark.stand_in
def test_undo_and_redo_work_by_key_until_the_module_is_left(panel, host, result, monkeypatch):
    from native_mrml import qMRMLSegmentEditorWidget

    told = []
    monkeypatch.setattr(qMRMLSegmentEditorWidget, "undo", lambda _editor: told.append("undo"))
    monkeypatch.setattr(qMRMLSegmentEditorWidget, "redo", lambda _editor: told.append("redo"))
    open_panel(panel, host, result)
    host.click(panel.correct_button)
    for enabled in (True, False, True):
        panel.set_keys_enabled(enabled)
        told.append(enabled)
        host.press_key(panel.widget, "Ctrl+Z")
        host.press_key(panel.widget, "Ctrl+Y")
    assert told == [True, "undo", "redo", False, True, "undo", "redo"]


def test_a_double_click_saves_one_example(panel, host, result, tmp_path, monkeypatch):
    import slicer

    open_panel(panel, host, result)
    monkeypatch.setattr(slicer.app, "doubleClickInterval", 10_000)
    host.click(panel.save_button)
    host.click(panel.save_button)
    assert len(list((tmp_path / "corrections").iterdir())) == 1
