import errno
import threading
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from AcuteFindingsLib.errors import SceneError

pytest.importorskip("slicer", reason="slicer-core is not installed")

from AcuteFindingsLib.scene.application import new_scene
from AcuteFindingsLib.scene.bundle import load_bundle, save_bundle, write_scene
from AcuteFindingsLib.scene.nodes import FindingNodes, add_volume
from AcuteFindingsLib.scene.picture_plan import suspicious_point
from AcuteFindingsLib.scene.segment_voxels import volume_array, volume_ijk_to_ras
from AcuteFindingsLib.scene.voxel_files import Voxels, pack_bundle, set_aside


@pytest.fixture(scope="module")
def bundle(head, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path, _ = write_scene(head.finding, head.study, tmp_path_factory.mktemp("bundle") / "scene.mrb")
    return path


def test_the_bundle_is_a_zip_with_one_scene_and_relative_paths(bundle: Path) -> None:
    with zipfile.ZipFile(bundle) as archive:
        names = archive.namelist()
        scene = archive.read("scene/scene.mrml").decode()
    assert all(name.startswith("scene/") for name in names)
    assert {"scene/Data/Head CT.nrrd", "scene/Data/Hemorrhage segmentation.seg.nrrd"} <= set(names)
    assert str(bundle.parent) not in scene
    assert 'fileName="Data/Head%20CT.nrrd"' in scene


def test_nothing_is_left_beside_the_bundle(bundle: Path) -> None:
    assert [item.name for item in bundle.parent.iterdir()] == ["scene.mrb"]


def test_a_fresh_scene_reads_everything_back(bundle: Path, head) -> None:
    from vtkmodules.util.numpy_support import vtk_to_numpy

    scene = load_bundle(bundle)
    text = scene.GetFirstNodeByName("Hemorrhage verdict")
    volume = text.GetNodeReference("AcuteFindings.volume")
    array = vtk_to_numpy(volume.GetImageData().GetPointData().GetScalars()).reshape(head.study.array.shape)
    assert np.array_equal(array, head.study.array)
    assert "POSITIVE" in text.GetText()

    segment = text.GetNodeReference("AcuteFindings.segmentation").GetSegmentation().GetNthSegment(0)
    assert segment.GetName() == "Hemorrhage"
    assert "SCT^50960005^Hemorrhage" in segment.GetTerminology()
    labelmap = segment.GetRepresentation("Binary labelmap")
    marked = vtk_to_numpy(labelmap.GetPointData().GetScalars()) == segment.GetLabelValue()
    assert np.count_nonzero(marked) == np.count_nonzero(head.finding.masks[0].array)


@pytest.fixture
def overlapping(head, tmp_path: Path) -> Path:
    """A bundle whose two segments share voxels: Slicer stores them as layers, several values per voxel."""
    mask = head.finding.masks[0]
    grown = replace(mask, name="Region", array=np.maximum(mask.array, np.roll(mask.array, 3, axis=2)))
    both = replace(head.finding, masks=(mask, grown))
    return write_scene(both, head.study, tmp_path / "scene.mrb")[0]


def test_segments_that_overlap_are_read_back(overlapping: Path) -> None:
    scene = load_bundle(overlapping)
    segmentation = scene.GetFirstNodeByClass("vtkMRMLSegmentationNode").GetSegmentation()
    assert segmentation.GetNumberOfSegments() == 2
    assert segmentation.GetNumberOfLayers("Binary labelmap") == 2


def test_layers_that_are_cut_short_are_refused_by_name(overlapping: Path, tmp_path: Path) -> None:
    cut = tmp_path / "cut.mrb"
    with zipfile.ZipFile(overlapping) as source, zipfile.ZipFile(cut, "w") as target:
        for name in source.namelist():
            data = source.read(name)
            target.writestr(name, data[:-40] if name.endswith(".seg.nrrd") else data)
    with pytest.raises(SceneError, match=r"damaged \(Hemorrhage segmentation.seg.nrrd\)"):
        load_bundle(cut)


def test_the_chart_draws_from_numbers_after_reading(bundle: Path, head) -> None:
    scene = load_bundle(bundle)
    chart = scene.GetFirstNodeByName("Hemorrhage chart")
    assert chart.GetNumberOfPlotSeriesNodes() == 4
    series = scene.GetFirstNodeByName("Any hemorrhage")
    values = series.GetTableNode().GetTable().GetColumnByName(series.GetYColumnName())
    assert values.GetDataTypeAsString() == "double"
    expected = [result.probabilities["any"] for result in head.finding.slices]
    assert np.allclose([values.GetValue(row) for row in range(values.GetNumberOfValues())], expected, atol=1e-4)


def test_the_scene_opens_on_the_most_suspicious_slice(bundle: Path, head) -> None:
    scene = load_bundle(bundle)
    point = suspicious_point(head.finding, head.study)
    for name, plane, axis in (("Red", "Axial", 2), ("Yellow", "Sagittal", 0), ("Green", "Coronal", 1)):
        node = scene.GetSingletonNode(name, "vtkMRMLSliceNode")
        assert node.GetOrientation() == plane
        assert node.GetSliceToRAS().GetElement(axis, 3) == pytest.approx(point[axis])
    composite = scene.GetSingletonNode("Red", "vtkMRMLSliceCompositeNode")
    assert composite.GetBackgroundVolumeID() == scene.GetFirstNodeByName("Head CT").GetID()
    view = scene.GetFirstNodeByClass("vtkMRMLPlotViewNode")
    assert view.GetPlotChartNodeID() == scene.GetFirstNodeByName("Hemorrhage chart").GetID()


def test_the_subject_hierarchy_is_read_back(bundle: Path, slicer) -> None:
    scene = load_bundle(bundle)
    hierarchy = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(scene)
    item = hierarchy.GetItemByDataNode(scene.GetFirstNodeByName("Hemorrhage segmentation"))
    folder = hierarchy.GetItemParent(item)
    assert hierarchy.GetItemName(folder) == "Intracranial hemorrhage finding"
    assert hierarchy.GetItemName(hierarchy.GetItemParent(folder)) == "Head CT study"


def test_saving_twice_replaces_the_first(bundle: Path, head, tmp_path: Path) -> None:
    path, nodes = write_scene(head.finding, head.study, tmp_path / "scene.mrb")
    nodes.text.SetText("changed")
    save_bundle(nodes.scene, path)
    assert load_bundle(path).GetFirstNodeByName("Hemorrhage verdict").GetText() == "changed"


def test_the_file_is_written_while_the_caller_works_with_the_nodes(head, tmp_path: Path) -> None:
    seen = []

    def meanwhile(nodes: FindingNodes) -> None:
        seen.append(volume_array(nodes.volume).shape)

    path, _ = write_scene(head.finding, head.study, tmp_path / "scene.mrb", meanwhile=meanwhile)
    assert seen == [head.study.array.shape]
    assert np.array_equal(volume_array(load_bundle(path).GetFirstNodeByName("Head CT")), head.study.array)


def test_the_scene_holds_no_second_copy_of_the_study(head) -> None:
    _, nodes = write_scene(head.finding, head.study, None)
    assert np.shares_memory(volume_array(nodes.volume), head.study.array)


def test_voxels_that_nothing_may_write_to_are_shown_and_saved_too(head, tmp_path: Path) -> None:
    array = head.study.array.copy()
    array.setflags(write=False)
    path, _ = write_scene(head.finding, replace(head.study, array=array), tmp_path / "scene.mrb")
    assert np.array_equal(volume_array(load_bundle(path).GetFirstNodeByName("Head CT")), array)


def test_a_heat_map_is_in_the_file(radiograph, tmp_path: Path) -> None:
    heat = radiograph.finding.heatmap
    path, nodes = write_scene(radiograph.finding, radiograph.study, tmp_path / "scene.mrb")
    read = load_bundle(path).GetFirstNodeByName(nodes.heatmap.GetName())
    assert np.array_equal(volume_array(read), heat.array)
    assert np.allclose(volume_ijk_to_ras(read), heat.ijk_to_ras)


def test_names_that_no_file_can_have_do_not_keep_voxels_from_their_place(head, tmp_path: Path) -> None:
    scene = new_scene()
    volume = add_volume(scene, head.study, head.finding, name="CT: head/neck, 5 % é")
    voxels = Voxels(volume, head.study.array, np.dtype(np.int16), head.study.ijk_to_ras)
    folder = tmp_path / "whole"
    folder.mkdir()
    with set_aside([voxels]):
        scene.SaveSceneToSlicerDataBundleDirectory(str(folder))
    pack_bundle(folder, [voxels], tmp_path / "whole.mrb", stop=lambda: False)
    read = load_bundle(tmp_path / "whole.mrb").GetFirstNodeByClass("vtkMRMLScalarVolumeNode")
    assert np.array_equal(volume_array(read), head.study.array)


def test_an_error_of_the_caller_leaves_no_file_and_no_thread(head, tmp_path: Path) -> None:
    def fails(nodes: FindingNodes) -> None:
        raise KeyboardInterrupt

    threads = threading.active_count()
    with pytest.raises(KeyboardInterrupt):
        write_scene(head.finding, head.study, tmp_path / "scene.mrb", meanwhile=fails)
    assert list(tmp_path.iterdir()) == []
    assert threading.active_count() == threads


def test_a_full_disk_is_told_in_one_sentence_and_leaves_no_file(
    head, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("AcuteFindingsLib.scene.bundle.pack_bundle", full)
    with pytest.raises(SceneError, match="see that the disk has space"):
        write_scene(head.finding, head.study, tmp_path / "scene.mrb")
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_is_no_bundle_is_named(tmp_path: Path) -> None:
    before = Path.cwd()
    path = tmp_path / "notes.mrb"
    path.write_text("no zip")
    with pytest.raises(SceneError, match=r"notes\.mrb"):
        load_bundle(path)
    assert Path.cwd() == before


def test_a_zip_without_a_scene_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "other.mrb"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("other/readme.txt", "hello")
    with pytest.raises(SceneError, match=r"no scene"):
        load_bundle(path)


def test_writing_quietly(head, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    write_scene(head.finding, head.study, tmp_path / "scene.mrb")
    captured = capfd.readouterr()
    assert (captured.out, captured.err) == ("", "")


def test_a_bundle_that_is_damaged_within_is_refused_before_slicer_reads_it(bundle: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(bundle) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    name = next(name for name in members if name.endswith(".seg.nrrd"))
    members[name] = members[name][: len(members[name]) * 2 // 3]
    damaged = tmp_path / "damaged.mrb"
    with zipfile.ZipFile(damaged, "w") as archive:
        for member, data in members.items():
            archive.writestr(member, data)
    with pytest.raises(SceneError, match="damaged"):
        load_bundle(damaged)


def test_a_bundle_whose_zip_is_damaged_anywhere_is_refused(bundle: Path, tmp_path: Path) -> None:
    data = bundle.read_bytes()
    damaged = tmp_path / "damaged.mrb"
    for at in range(60, len(data), max(1, len(data) // 12)):
        damaged.write_bytes(data[:at] + bytes(b ^ 0xFF for b in data[at : at + 20]) + data[at + 20 :])
        with pytest.raises(SceneError):
            load_bundle(damaged)
