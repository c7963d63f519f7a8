"""Where a finding stands in the subject hierarchy: below the study it is about."""

from typing import Any

from AcuteFindingsLib.detectors.finding import Finding
from AcuteFindingsLib.detectors.wording import names_of
from AcuteFindingsLib.scene.application import load_slicer
from AcuteFindingsLib.study.study import Study

# The plugins that own such items in Slicer. The application chooses them itself when a node is added, but not when a
# scene that was written without the application is loaded.
_OWNERS = {
    "vtkMRMLScalarVolumeNode": "Volumes",
    "vtkMRMLSegmentationNode": "Segmentations",
    "vtkMRMLTableNode": "Tables",
    "vtkMRMLTextNode": "Texts",
    "vtkMRMLPlotChartNode": "Plots",
    "vtkMRMLPlotSeriesNode": "Plots",
}


def place_under_study(
    scene: Any, finding: Finding, study: Study, volume: Any, nodes: tuple[Any, ...]
) -> tuple[int, int]:
    """Put the volume under a study item and the nodes into a folder of that study.

    A volume that already stands below a study (loaded through Slicer's DICOM module) stays there and its study is used.
    A study item made here is called after the kind of study, never after the patient.

    Returns
    -------
    tuple of int
        The study's item and the folder's item.
    """
    slicer, _ = load_slicer()
    constants = slicer.vtkMRMLSubjectHierarchyConstants
    hierarchy = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(scene)
    level = constants.GetDICOMLevelStudy()
    volume_item = _item(hierarchy, volume)
    study_item = hierarchy.GetItemAncestorAtLevel(volume_item, level)
    if study_item == hierarchy.GetInvalidItemID():
        uid = study.dicom.study_instance_uid
        study_item = hierarchy.GetItemByUID(constants.GetDICOMUIDName(), uid) if uid else study_item
    if study_item == hierarchy.GetInvalidItemID():
        names = names_of(finding.detector)
        study_item = hierarchy.CreateStudyItem(hierarchy.GetSceneItemID(), f"{names.study} study")
        hierarchy.SetItemOwnerPluginName(study_item, "DICOM")
        if study.dicom.study_instance_uid:
            hierarchy.SetItemUID(study_item, constants.GetDICOMUIDName(), study.dicom.study_instance_uid)
    if hierarchy.GetItemAncestorAtLevel(volume_item, level) != study_item:
        hierarchy.SetItemParent(volume_item, study_item)

    folder_item = hierarchy.CreateFolderItem(study_item, f"{names_of(finding.detector).finding} finding")
    hierarchy.SetItemOwnerPluginName(folder_item, "Folder")
    for node in nodes:
        hierarchy.SetItemParent(_item(hierarchy, node), folder_item)
        if node.IsA("vtkMRMLSegmentationNode"):
            _add_segment_items(hierarchy, node)
    return study_item, folder_item


def _item(hierarchy: Any, node: Any) -> int:
    """Return a node's item, made where the application has not made it."""
    item = hierarchy.GetItemByDataNode(node)
    if item == hierarchy.GetInvalidItemID():
        item = hierarchy.CreateItem(hierarchy.GetSceneItemID(), node, _OWNERS.get(node.GetClassName(), ""))
    return int(item)


def _add_segment_items(hierarchy: Any, segmentation_node: Any) -> None:
    """Add an item a segment, as the application does when a segment is added but not when a scene is loaded."""
    slicer, vtk = load_slicer()
    parent = hierarchy.GetItemByDataNode(segmentation_node)
    children = vtk.vtkIdList()
    hierarchy.GetItemChildren(parent, children)
    if children.GetNumberOfIds():
        return
    constants = slicer.vtkMRMLSubjectHierarchyConstants
    branch = constants.GetSubjectHierarchyVirtualBranchAttributeName()
    hierarchy.SetItemAttribute(parent, branch, "1")
    segmentation = segmentation_node.GetSegmentation()
    for index in range(segmentation.GetNumberOfSegments()):
        segment_id = segmentation.GetNthSegmentID(index)
        item = hierarchy.CreateHierarchyItem(parent, segmentation.GetNthSegment(index).GetName(), branch)
        hierarchy.SetItemAttribute(item, segmentation_node.GetSegmentIDAttributeName(), segment_id)
        hierarchy.SetItemOwnerPluginName(item, "Segments")
