from dataclasses import replace

import pytest

pytest.importorskip("slicer", reason="slicer-core is not installed")

from AcuteFindingsLib.scene.application import new_scene
from AcuteFindingsLib.scene.nodes import FindingNodes, add_volume, show_finding


def children(hierarchy, item: int) -> dict[str, int]:
    import vtk

    found = vtk.vtkIdList()
    hierarchy.GetItemChildren(item, found)
    items = [found.GetId(index) for index in range(found.GetNumberOfIds())]
    return {hierarchy.GetItemName(child): child for child in items}


@pytest.fixture
def nodes(head) -> FindingNodes:
    return show_finding(head.finding, head.study, scene=new_scene())


@pytest.fixture
def hierarchy(nodes: FindingNodes, slicer):
    return slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(nodes.scene)


def test_volume_and_finding_stand_under_one_study(nodes: FindingNodes, hierarchy) -> None:
    top = children(hierarchy, hierarchy.GetSceneItemID())
    assert top == {"Head CT study": nodes.study_item}
    assert hierarchy.GetItemLevel(nodes.study_item) == "Study"
    assert set(children(hierarchy, nodes.study_item)) == {"Head CT", "Intracranial hemorrhage finding"}
    assert hierarchy.GetItemUID(nodes.study_item, "DICOM") == "1.2.3"


def test_the_folder_holds_every_other_node(nodes: FindingNodes, hierarchy) -> None:
    inside = children(hierarchy, nodes.folder_item)
    assert {"Hemorrhage segmentation", "Hemorrhage heat map", "Hemorrhage slices", "Hemorrhage chart"} <= set(inside)
    assert len(inside) == 10
    assert list(children(hierarchy, inside["Hemorrhage segmentation"])) == ["Hemorrhage"]


def test_every_item_has_the_plugin_that_owns_it_in_slicer(nodes: FindingNodes, hierarchy) -> None:
    inside = children(hierarchy, nodes.folder_item)
    owners = {name: hierarchy.GetItemOwnerPluginName(item) for name, item in inside.items()}
    assert owners["Hemorrhage segmentation"] == "Segmentations"
    assert owners["Hemorrhage chart"] == "Plots"
    assert "" not in owners.values()


def test_a_volume_under_a_study_keeps_its_study(head, slicer) -> None:
    scene = new_scene()
    volume = add_volume(scene, head.study, head.finding, name="CT")
    hierarchy = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(scene)
    study_item = hierarchy.CreateStudyItem(hierarchy.GetSceneItemID(), "From the DICOM browser")
    item = hierarchy.CreateItem(study_item, volume)
    nodes = show_finding(head.finding, head.study, scene=scene, volume_node=volume)
    assert nodes.study_item == study_item
    assert hierarchy.GetItemParent(item) == study_item
    assert hierarchy.GetItemParent(nodes.folder_item) == study_item


def test_two_findings_of_one_study_share_its_item(nodes: FindingNodes, head) -> None:
    second = show_finding(replace(head.finding, detector="pe"), head.study, scene=nodes.scene, volume_node=nodes.volume)
    assert second.study_item == nodes.study_item
    assert second.folder_item != nodes.folder_item
