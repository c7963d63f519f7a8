from dataclasses import replace

import numpy as np
import pytest

from AcuteFindingsLib.detectors.finding import Mask

pytest.importorskip("slicer", reason="slicer-core is not installed")

from AcuteFindingsLib.scene.application import new_scene
from AcuteFindingsLib.scene.nodes import (
    ATTRIBUTE,
    POINT,
    FindingNodes,
    add_volume,
    show_finding,
    show_finding_steps,
)
from AcuteFindingsLib.scene.picture_plan import suspicious_point
from AcuteFindingsLib.scene.views import show_in_window


@pytest.fixture
def nodes(head) -> FindingNodes:
    return show_finding(head.finding, head.study, scene=new_scene())


def voxels(image) -> np.ndarray:
    from vtkmodules.util.numpy_support import vtk_to_numpy

    return vtk_to_numpy(image.GetPointData().GetScalars()).reshape(image.GetDimensions()[::-1])


def ijk_to_ras(node) -> np.ndarray:
    import vtk

    matrix = vtk.vtkMatrix4x4()
    node.GetIJKToRASMatrix(matrix)
    return np.array([[matrix.GetElement(row, column) for column in range(4)] for row in range(4)])


def segment_voxels(nodes: FindingNodes, slicer, index: int = 0) -> np.ndarray:
    """A segment's labelmap on the grid of the volume, which is how Slicer's own array functions read it."""
    import vtk

    labelmap, matrix = slicer.vtkOrientedImageData(), vtk.vtkMatrix4x4()
    segment_id = nodes.segmentation.GetSegmentation().GetNthSegmentID(index)
    nodes.segmentation.GetBinaryLabelmapRepresentation(segment_id, labelmap)
    reference = slicer.vtkOrientedImageData()
    reference.ShallowCopy(nodes.volume.GetImageData())
    nodes.volume.GetIJKToRASMatrix(matrix)
    reference.SetGeometryFromImageToWorldMatrix(matrix)
    resampled = slicer.vtkOrientedImageData()
    slicer.vtkOrientedImageDataResample.ResampleOrientedImageToReferenceOrientedImage(labelmap, reference, resampled)
    return voxels(resampled)


def test_the_volume_holds_every_voxel_at_its_place_in_the_patient(nodes: FindingNodes, head) -> None:
    assert np.array_equal(voxels(nodes.volume.GetImageData()), head.study.array)
    assert voxels(nodes.volume.GetImageData()).dtype == np.int16
    assert np.allclose(ijk_to_ras(nodes.volume), head.study.ijk_to_ras)


def test_fractional_hu_are_rounded_and_not_cut_off(head) -> None:
    study = replace(head.study, array=np.full((2, 4, 4), -0.6, np.float32))
    node = add_volume(new_scene(), study, head.finding, name="x")
    assert np.all(voxels(node.GetImageData()) == -1)


def test_a_radiograph_keeps_its_fractions(radiograph) -> None:
    nodes = show_finding(radiograph.finding, radiograph.study, scene=new_scene())
    assert np.array_equal(voxels(nodes.volume.GetImageData()), radiograph.study.array)


def test_the_volume_is_shown_in_the_findings_window(nodes: FindingNodes) -> None:
    display = nodes.volume.GetDisplayNode()
    assert (display.GetLevel(), display.GetWindow(), display.GetAutoWindowLevel()) == (40, 80, 0)


def test_a_segment_holds_the_masks_voxels_at_their_place(nodes: FindingNodes, head, slicer) -> None:
    assert np.array_equal(segment_voxels(nodes, slicer), head.finding.masks[0].array)


def test_a_segment_keeps_no_more_than_the_box_of_its_mask(nodes: FindingNodes, head) -> None:
    labelmap = nodes.segmentation.GetSegmentation().GetNthSegment(0).GetRepresentation("Binary labelmap")
    k, j, i = np.nonzero(head.finding.masks[0].array)
    assert labelmap.GetExtent() == (i.min(), i.max(), j.min(), j.max(), k.min(), k.max())


def test_a_segment_has_name_color_and_terminology_of_the_mask(nodes: FindingNodes, head) -> None:
    segment = nodes.segmentation.GetSegmentation().GetNthSegment(0)
    assert segment.GetName() == "Hemorrhage"
    assert segment.GetColor() == head.finding.masks[0].color
    assert segment.GetTerminology() == (
        "Segmentation category and type - DICOM master list"
        "~SCT^49755003^Morphologically Altered Structure~SCT^50960005^Hemorrhage~^^"
        "~Anatomic codes - DICOM master list~SCT^12738006^Brain~^^"
    )


def test_slicers_own_parser_reads_the_terminology(nodes: FindingNodes, slicer) -> None:
    entry = slicer.vtkSlicerTerminologyEntry()
    text = nodes.segmentation.GetSegmentation().GetNthSegment(0).GetTerminology()
    assert slicer.vtkSlicerTerminologiesModuleLogic().DeserializeTerminologyEntry(text, entry)
    assert entry.GetTypeObject().GetCodeMeaning() == "Hemorrhage"
    assert entry.GetRegionObject().GetCodeValue() == "12738006"


def test_the_segmentation_has_the_volume_as_its_reference_geometry(nodes: FindingNodes) -> None:
    role = nodes.segmentation.GetReferenceImageGeometryReferenceRole()
    assert nodes.segmentation.GetNodeReferenceID(role) == nodes.volume.GetID()


def test_a_mask_without_a_voxel_still_is_a_segment(head, slicer) -> None:
    mask: Mask = replace(head.finding.masks[0], array=np.zeros(head.study.array.shape, np.uint8))
    nodes = show_finding(replace(head.finding, masks=(mask,)), head.study, scene=new_scene())
    assert nodes.segmentation.GetSegmentation().GetNumberOfSegments() == 1
    assert not segment_voxels(nodes, slicer).any()


def test_a_finding_without_masks_and_heat_map_has_no_such_nodes(head) -> None:
    nodes = show_finding(replace(head.finding, masks=(), heatmap=None), head.study, scene=new_scene())
    assert nodes.segmentation is None
    assert nodes.heatmap is None


def test_the_heat_map_lies_on_its_own_grid_and_hides_what_is_cold(nodes: FindingNodes, head) -> None:
    assert np.array_equal(voxels(nodes.heatmap.GetImageData()), head.finding.heatmap.array)
    assert np.allclose(ijk_to_ras(nodes.heatmap), head.finding.heatmap.ijk_to_ras)
    display = nodes.heatmap.GetDisplayNode()
    assert display.GetApplyThreshold()
    assert display.GetLowerThreshold() == 64
    assert display.GetColorNode().GetName() == "Iron"


def test_the_verdict_stands_in_the_text_node(nodes: FindingNodes) -> None:
    text = nodes.text.GetText()
    for part in ("POSITIVE", "0.97", "three or more", "14.2 mL", "thicker", "test-model 0.1", "Research use only"):
        assert part in text


def test_every_node_is_found_again_from_the_text_node(nodes: FindingNodes) -> None:
    for role, node in (("volume", nodes.volume), ("table", nodes.table), ("chart", nodes.chart.chart)):
        assert nodes.text.GetNodeReference(f"AcuteFindings.{role}") is node
        assert node.GetAttribute(ATTRIBUTE) == "hemorrhage"
        assert node.GetAttribute("AcuteFindings.Role") == role


def test_a_second_finding_in_a_scene_gets_names_of_its_own(nodes: FindingNodes, head) -> None:
    second = show_finding(head.finding, head.study, scene=nodes.scene)
    assert second.segmentation.GetName() != nodes.segmentation.GetName()
    assert second.volume is not nodes.volume


def test_a_volume_that_is_there_is_used_and_left_as_it_is(head) -> None:
    scene = new_scene()
    volume = add_volume(scene, head.study, head.finding, name="Loaded by the user")
    volume.GetDisplayNode().SetWindowLevel(1500, 300)
    nodes = show_finding(head.finding, head.study, scene=scene, volume_node=volume)
    assert nodes.volume is volume
    assert volume.GetName() == "Loaded by the user"
    assert volume.GetDisplayNode().GetWindow() == 1500
    assert volume.GetAttribute(ATTRIBUTE) is None


def test_steps_leave_nothing_behind_where_they_are_not_taken_to_the_end(head) -> None:
    scene = new_scene()
    before = {scene.GetNthNode(number).GetID() for number in range(scene.GetNumberOfNodes())}
    steps = show_finding_steps(head.finding, head.study, scene=scene)
    for _ in range(6):
        next(steps)
    steps.close()
    left = [scene.GetNthNode(number) for number in range(scene.GetNumberOfNodes())]
    shown = ("vtkMRMLSegmentationNode", "vtkMRMLScalarVolumeNode", "vtkMRMLTableNode", "vtkMRMLPlotSeriesNode")
    assert [node.GetName() for node in left if node.GetClassName() in shown and node.GetID() not in before] == []


def test_the_verdict_says_the_point_that_views_are_moved_to(head) -> None:
    nodes = show_finding(head.finding, head.study, scene=new_scene())
    point = [float(value) for value in nodes.text.GetAttribute(POINT).split()]
    assert point == pytest.approx(suspicious_point(head.finding, head.study), abs=0.001)


def test_a_volume_that_is_shown_already_comes_into_the_window_of_its_kind(head) -> None:
    nodes = show_finding(head.finding, head.study, scene=new_scene())
    display = nodes.volume.GetDisplayNode()
    display.SetWindowLevel(1500, -600)
    show_in_window(nodes.volume, head.finding)
    assert (display.GetWindow(), display.GetLevel()) == (80, 40)


def test_a_picture_whose_values_are_no_hu_keeps_its_window(radiograph) -> None:
    nodes = show_finding(radiograph.finding, radiograph.study, scene=new_scene())
    nodes.volume.GetDisplayNode().SetWindowLevel(3000, 2000)
    show_in_window(nodes.volume, radiograph.finding)
    assert nodes.volume.GetDisplayNode().GetWindow() == 3000
