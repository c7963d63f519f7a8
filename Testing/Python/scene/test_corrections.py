import csv
import json
import os
from dataclasses import replace
from datetime import datetime
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

pytest.importorskip("slicer", reason="slicer-core is not installed")

from AcuteFindingsLib.errors import ExportError, SceneError
from AcuteFindingsLib.scene import correction_files
from AcuteFindingsLib.scene.application import new_scene
from AcuteFindingsLib.scene.bundle import load_bundle, save_bundle
from AcuteFindingsLib.scene.corrections import (
    labels,
    mask_changed,
    save_correction,
    segment_status,
    set_label,
    set_segment_status,
)
from AcuteFindingsLib.scene.nodes import show_finding
from AcuteFindingsLib.scene.results import SceneResult, results_in
from AcuteFindingsLib.study.grid import image_ijk_to_ras


@pytest.fixture
def scene():
    """Held for as long as the test runs: a scene's nodes do not hold it."""
    return new_scene()


@pytest.fixture
def result(scene, head) -> SceneResult:
    finding = replace(head.finding, series_instance_uid="1.2.3.4")
    show_finding(finding, head.study, scene=scene)
    return results_in(scene)[0]


def segment_id(result: SceneResult, number: int = 0) -> str:
    return result.segmentation.GetSegmentation().GetNthSegmentID(number)


def redraw(result: SceneResult, array: np.ndarray, slicer, number: int = 0) -> None:
    """Put a mask in the place of a segment's, as the Segment Editor does."""
    import vtk
    from vtkmodules.util.numpy_support import numpy_to_vtk

    labelmap, matrix = slicer.vtkOrientedImageData(), vtk.vtkMatrix4x4()
    labelmap.SetDimensions(*array.shape[::-1])
    labelmap.GetPointData().SetScalars(numpy_to_vtk(array.ravel(), deep=True))
    result.volume.GetIJKToRASMatrix(matrix)
    labelmap.SetGeometryFromImageToWorldMatrix(matrix)
    assert slicer.vtkSlicerSegmentationsModuleLogic.SetBinaryLabelmapToSegment(
        labelmap,
        result.segmentation,
        segment_id(result, number),
        slicer.vtkSlicerSegmentationsModuleLogic.MODE_REPLACE,
    )


def test_no_slice_is_labeled_at_first(result: SceneResult) -> None:
    assert labels(result) == {}
    assert result.table.GetTable().GetColumnByName("Corrected") is None


def test_labels_are_kept_changed_and_taken_back(result: SceneResult) -> None:
    for index, label in ((3, "present"), (11, "absent"), (12, "unsure"), (3, "unsure"), (11, "")):
        set_label(result, index, label)
    assert labels(result) == {3: "unsure", 12: "unsure"}


def test_a_label_stands_in_the_row_of_its_slice(result: SceneResult) -> None:
    set_label(result, 11, "absent")
    table = result.table.GetTable()
    column = table.GetColumnByName("Corrected")
    stands = {table.GetValueByName(row, "Slice").ToInt(): column.GetValue(row) for row in range(24)}
    assert stands.pop(12) == "absent"
    assert set(stands.values()) == {""}


def test_a_label_finds_its_slice_in_a_sorted_table(result: SceneResult) -> None:
    set_label(result, 5, "present")
    table = result.table.GetTable()
    for number in range(table.GetNumberOfColumns()):
        column = table.GetColumn(number)
        for row, value in enumerate([column.GetValue(row) for row in reversed(range(24))]):
            column.SetValue(row, value)
    set_label(result, 6, "absent")
    assert labels(result) == {5: "present", 6: "absent"}


@pytest.mark.parametrize(("index", "label"), [(3, "maybe"), (99, "present"), (-1, "absent")])
def test_what_is_no_label_and_no_slice_is_refused(result: SceneResult, index: int, label: str) -> None:
    with pytest.raises(ValueError, match=r"expected one of|not in the result"):
        set_label(result, index, label)
    assert labels(result) == {}


def test_without_its_table_a_result_takes_no_label(result: SceneResult) -> None:
    result.scene.RemoveNode(result.table)
    gone = results_in(result.scene)[0]
    assert labels(gone) == {}
    with pytest.raises(SceneError, match="no longer in the scene"):
        set_label(gone, 3, "present")


def test_the_chart_draws_as_before_beside_labels(result: SceneResult) -> None:
    def drawn() -> list:
        points = []
        for series in result.series.values():
            table = series.GetTableNode().GetTable()
            columns = [table.GetColumnByName(name) for name in (series.GetXColumnName(), series.GetYColumnName())]
            points.append([[column.GetValue(row) for row in range(24)] for column in columns])
        return points

    before = drawn()
    told = []
    result.table.AddObserver("ModifiedEvent", lambda *_: told.append(1))
    set_label(result, 3, "present")
    assert drawn() == before
    assert told
    assert result.chart.GetNumberOfPlotSeriesNodes() == 4
    # The plot's own check, without which it draws nothing.
    assert all(
        series.IsXColumnRequired() and series.GetTableNode() is result.table for series in result.series.values()
    )


def test_labels_survive_saving_twice(result: SceneResult, tmp_path: Path) -> None:
    set_label(result, 3, "present")
    set_label(result, 20, "absent")
    scene = load_bundle(save_bundle(result.scene, tmp_path / "first.mrb"))
    loaded = results_in(scene)[0]
    assert labels(loaded) == {3: "present", 20: "absent"}
    set_label(loaded, 3, "")
    set_label(loaded, 0, "unsure")
    again = load_bundle(save_bundle(scene, tmp_path / "second.mrb"))
    assert labels(results_in(again)[0]) == {0: "unsure", 20: "absent"}


def test_a_mask_as_the_model_gave_it_is_not_changed(result: SceneResult, tmp_path: Path) -> None:
    assert not mask_changed(result)
    scene = load_bundle(save_bundle(result.scene, tmp_path / "scene.mrb"))
    assert not mask_changed(results_in(scene)[0])


def test_one_voxel_is_a_change_and_taking_it_back_is_none(result: SceneResult, head, slicer) -> None:
    mask = head.finding.masks[0].array.copy()
    mask[2, 10, 10] = 1
    redraw(result, mask, slicer)
    assert mask_changed(result)
    redraw(result, head.finding.masks[0].array, slicer)
    assert not mask_changed(result)


def test_a_change_is_still_one_after_saving_and_loading(result: SceneResult, head, slicer, tmp_path: Path) -> None:
    mask = head.finding.masks[0].array.copy()
    mask[14, 105] = 0
    redraw(result, mask, slicer)
    scene = load_bundle(save_bundle(result.scene, tmp_path / "scene.mrb"))
    loaded = results_in(scene)[0]
    assert mask_changed(loaded)
    folder = save_correction(loaded, tmp_path / "out")
    assert np.array_equal(read(folder / "ai_mask.nrrd")[0], head.finding.masks[0].array)
    assert np.array_equal(read(folder / "corrected_mask.nrrd")[0], mask)


def test_segments_that_come_or_go_are_changes(result: SceneResult, head, slicer) -> None:
    segmentation = result.segmentation.GetSegmentation()
    segmentation.AddEmptySegment("", "Second bleed")
    assert not mask_changed(result)
    redraw(result, head.finding.masks[0].array, slicer, number=1)
    assert mask_changed(result)
    segmentation.RemoveSegment(segment_id(result, 1))
    assert not mask_changed(result)
    segmentation.RemoveSegment(segment_id(result))
    assert mask_changed(result)


def test_a_deleted_segmentation_is_a_change(result: SceneResult) -> None:
    result.scene.RemoveNode(result.segmentation)
    assert mask_changed(results_in(result.scene)[0])


def test_a_result_without_masks_has_none_to_change(scene, head) -> None:
    show_finding(replace(head.finding, masks=()), head.study, scene=scene)
    assert not mask_changed(results_in(scene)[0])


@pytest.mark.parametrize("status", ["in progress", "completed", "not started", "flagged"])
def test_slicer_knows_the_status_of_a_segment(result: SceneResult, slicer, status: str) -> None:
    segment = result.segmentation.GetSegmentation().GetSegment(segment_id(result))
    set_segment_status(segment, status)
    logic = slicer.vtkSlicerSegmentationsModuleLogic
    text = logic.GetSegmentStatusAsHumanReadableString(logic.GetSegmentStatus(segment))
    assert text.lower() == status
    assert segment_status(segment) == status


def test_a_status_survives_saving_and_another_is_refused(result: SceneResult, tmp_path: Path) -> None:
    segment = result.segmentation.GetSegmentation().GetSegment(segment_id(result))
    set_segment_status(segment, "completed")
    with pytest.raises(ValueError, match="done"):
        set_segment_status(segment, "done")
    scene = load_bundle(save_bundle(result.scene, tmp_path / "scene.mrb"))
    loaded = results_in(scene)[0]
    assert segment_status(loaded.segmentation.GetSegmentation().GetSegment(segment_id(loaded))) == "completed"


def read(path: Path) -> tuple[np.ndarray, np.ndarray]:
    image = sitk.ReadImage(str(path))
    return sitk.GetArrayFromImage(image), image_ijk_to_ras(image)


def overlap(one: np.ndarray, other: np.ndarray) -> float:
    """ITK's own Dice coefficient."""
    filter_ = sitk.LabelOverlapMeasuresImageFilter()
    filter_.Execute(*(sitk.GetImageFromArray((mask != 0).astype(np.uint8)) for mask in (one, other)))
    return filter_.GetDiceCoefficient(1)


def test_a_correction_holds_image_and_masks_at_their_place(result: SceneResult, head, slicer, tmp_path: Path) -> None:
    mask = head.finding.masks[0].array
    corrected = np.roll(mask, 5, axis=2)
    redraw(result, corrected, slicer)
    folder = save_correction(result, tmp_path, annotator="Reader 1")
    assert {item.name for item in folder.iterdir()} == {
        "image.nrrd", "ai_mask.nrrd", "corrected_mask.nrrd", "slice_labels.csv", "correction.json",
    }  # fmt: skip
    expected = {"image": head.study.array, "ai_mask": mask, "corrected_mask": corrected}
    for name, array in expected.items():
        found, matrix = read(folder / f"{name}.nrrd")
        assert np.array_equal(found, array)
        assert np.allclose(matrix, head.study.ijk_to_ras)
    record = json.loads((folder / "correction.json").read_text())
    assert record["dice"] == pytest.approx(overlap(mask, corrected))
    assert record["segments"][0]["dice"] == record["dice"]
    assert 0 < record["dice"] < 1


def test_a_correction_says_who_when_and_by_which_model(result: SceneResult, tmp_path: Path) -> None:
    set_segment_status(result.segmentation.GetSegmentation().GetSegment(segment_id(result)), "completed")
    before = datetime.now().astimezone().replace(microsecond=0)
    record = json.loads((save_correction(result, tmp_path, annotator="Dr. Ümit") / "correction.json").read_text())
    assert record["annotator"] == "Dr. Ümit"
    assert before <= datetime.fromisoformat(record["saved_at"]) <= datetime.now().astimezone()
    model = {"id": "test-model", "version": "0.1", "sha256": "0" * 64, "trained_on": "phantoms"}
    assert record["model"] == {**model, "never_saw": "", "chosen": "", "runtime": "", "device": "", "beside": []}
    assert record["series_instance_uid"] == "1.2.3.4"
    assert record["dice"] == 1.0
    assert record["segments"][0]["status"] == "completed"
    assert json.loads((save_correction(result, tmp_path) / "correction.json").read_text())["annotator"] == ""


def test_slice_labels_stand_beside_what_was_predicted(result: SceneResult, head, tmp_path: Path) -> None:
    set_label(result, 11, "absent")
    set_label(result, 5, "present")
    with (save_correction(result, tmp_path) / "slice_labels.csv").open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert list(rows[0]) == ["slice", "sop_instance_uid", "probability", "predicted", "corrected"]
    assert [int(row["slice"]) for row in rows] == list(range(1, 25))
    assert [row["sop_instance_uid"] for row in rows] == [f"1.2.3.{k}" for k in range(24)]
    expected = [item.probabilities["any"] for item in head.finding.slices]
    assert np.allclose([float(row["probability"]) for row in rows], expected, atol=1e-6)
    assert [number for number, row in enumerate(rows) if row["predicted"] == "present"] == list(range(11, 18))
    assert {number: row["corrected"] for number, row in enumerate(rows) if row["corrected"]} == {
        11: "absent",
        5: "present",
    }


def test_segments_that_overlap_and_that_were_added_are_kept_whole(result, head, slicer, tmp_path: Path) -> None:
    mask = head.finding.masks[0].array
    second = np.roll(mask, 8, axis=1)
    result.segmentation.GetSegmentation().AddEmptySegment("", "Second bleed")
    redraw(result, second, slicer, number=1)
    redraw(result, mask, slicer, number=0)
    folder = save_correction(result, tmp_path)
    found = read(folder / "corrected_mask.nrrd")[0]
    record = json.loads((folder / "correction.json").read_text())
    assert [(one["name"], one["value"]) for one in record["segments"]] == [("Hemorrhage", 1), ("Second bleed", 2)]
    assert np.array_equal(found & 1, mask)
    assert np.array_equal((found & 2) // 2, second)
    assert np.array_equal(read(folder / "ai_mask.nrrd")[0], mask)
    voxels = np.count_nonzero
    assert record["dice"] == pytest.approx(2 * voxels(mask) / (2 * voxels(mask) + voxels(second)))
    assert [one["dice"] for one in record["segments"]] == [1.0, 0.0]


def test_a_deleted_segment_is_saved_as_taken_away(result: SceneResult, head, tmp_path: Path) -> None:
    result.segmentation.GetSegmentation().RemoveSegment(segment_id(result))
    folder = save_correction(result, tmp_path)
    record = json.loads((folder / "correction.json").read_text())
    assert record["segments"][0]["in_corrected_mask"] is False
    assert record["dice"] == 0.0
    assert not read(folder / "corrected_mask.nrrd")[0].any()
    assert np.array_equal(read(folder / "ai_mask.nrrd")[0], head.finding.masks[0].array)


def test_a_result_without_masks_is_saved_with_its_labels(scene, head, tmp_path: Path) -> None:
    show_finding(replace(head.finding, masks=()), head.study, scene=scene)
    folder = save_correction(results_in(scene)[0], tmp_path)
    record = json.loads((folder / "correction.json").read_text())
    assert {item.name for item in folder.iterdir()} == {"image.nrrd", "slice_labels.csv", "correction.json"}
    assert (record["files"]["ai_mask"], record["dice"], record["segments"]) == (None, None, [])


def test_a_second_correction_never_touches_the_first(result: SceneResult, tmp_path: Path) -> None:
    folders = [save_correction(result, tmp_path, annotator=str(number)) for number in range(3)]
    assert len(set(folders)) == 3
    found = [json.loads((folder / "correction.json").read_text())["annotator"] for folder in folders]
    assert found == ["0", "1", "2"]
    assert all(folder.name.startswith("hemorrhage-2") for folder in folders)
    assert sorted(item.name for item in tmp_path.iterdir()) == sorted(folder.name for folder in folders)


def test_in_the_same_second_the_number_goes_on(result: SceneResult, tmp_path: Path, monkeypatch) -> None:
    from AcuteFindingsLib.scene import corrections

    class Stopped(datetime):
        @classmethod
        def now(cls, tz=None):
            return cls(2026, 3, 4, 5, 6, 7, tzinfo=tz)

    monkeypatch.setattr(corrections, "datetime", Stopped)
    names = [save_correction(result, tmp_path).name for _ in range(3)]
    assert names == [f"hemorrhage-20260304-050607-{number}" for number in (1, 2, 3)]


def test_a_name_taken_between_question_and_move_is_left_alone(result: SceneResult, tmp_path: Path, monkeypatch) -> None:
    rename, taken = Path.rename, []

    def late(self: Path, target: Path) -> Path:
        if not taken:
            target.mkdir()
            (target / "theirs.txt").write_text("x")
            taken.append(target)
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", late)
    folder = save_correction(result, tmp_path)
    assert folder != taken[0]
    assert [item.name for item in taken[0].iterdir()] == ["theirs.txt"]
    assert (folder / "correction.json").is_file()


def test_a_failure_leaves_nothing_behind(result: SceneResult, tmp_path: Path, monkeypatch) -> None:
    def full(*args, **kwargs):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(correction_files, "_write_labels", full)
    with pytest.raises(ExportError, match="No space left"):
        save_correction(result, tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_that_cannot_be_written_is_named(result: SceneResult, tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(ExportError, match=str(tmp_path)):
        save_correction(result, tmp_path / "sub")


def test_a_file_in_the_folders_place_is_named(result: SceneResult, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(ExportError, match="could not be saved"):
        save_correction(result, tmp_path / "file")


def test_without_its_volume_a_result_cannot_be_saved(result: SceneResult, tmp_path: Path) -> None:
    result.scene.RemoveNode(result.volume)
    with pytest.raises(ExportError, match="no longer in the scene"):
        save_correction(results_in(result.scene)[0], tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_nothing_saved_names_the_patient(result: SceneResult, tmp_path: Path) -> None:
    result.volume.SetName("Mustermann Erika")
    folder = save_correction(result, tmp_path)
    for item in folder.iterdir():
        assert b"Mustermann" not in item.read_bytes()
    assert "Mustermann" not in folder.name


def test_a_radiograph_is_saved_as_it_was_loaded(scene, radiograph, tmp_path: Path) -> None:
    show_finding(radiograph.finding, radiograph.study, scene=scene)
    folder = save_correction(results_in(scene)[0], tmp_path)
    assert folder.name.startswith("pneumothorax-")
    assert np.array_equal(read(folder / "image.nrrd")[0], radiograph.study.array)
    assert np.array_equal(read(folder / "ai_mask.nrrd")[0], radiograph.finding.masks[0].array)


@pytest.mark.parametrize("name", ["../../../x", "/tmp/x", "a/b", "", "pe\n", "..", "__class__", "x" * 500, 7, None])
def test_a_scene_whose_detector_is_a_path_gives_no_result_and_writes_nowhere(result, scene, tmp_path, name) -> None:
    with pytest.raises(ExportError, match="detector"):
        save_correction(replace(result, finding=replace(result.finding, detector=name)), tmp_path / "deep" / "er")
    assert not list(tmp_path.rglob("*"))
    data = json.loads(result.finding_node.GetText())
    result.finding_node.SetText(json.dumps({**data, "detector": name}))
    assert results_in(scene) == []


def test_a_finding_nested_without_end_is_no_result(result, scene) -> None:
    result.finding_node.SetText("[" * 100_000)
    assert results_in(scene) == []
