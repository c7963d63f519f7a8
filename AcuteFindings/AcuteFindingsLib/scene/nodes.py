"""A finding as genuine Slicer nodes: volume, segmentation, heat map, table, chart and verdict, under one study."""

import json
from collections.abc import Generator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from AcuteFindingsLib import RESEARCH_USE_ONLY
from AcuteFindingsLib.detectors.finding import Finding, Heatmap, Mask
from AcuteFindingsLib.detectors.verdict_words import BEARINGS, computed_words, likeness_words
from AcuteFindingsLib.detectors.wording import names_of, unit_text, value_text
from AcuteFindingsLib.scene.application import current_scene, load_slicer
from AcuteFindingsLib.scene.chart_nodes import ChartNodes, add_chart, add_table
from AcuteFindingsLib.scene.hierarchy import place_under_study
from AcuteFindingsLib.scene.naming import verdict_line
from AcuteFindingsLib.scene.node_headers import PHANTOM
from AcuteFindingsLib.scene.packed_mask import mask_box, pack_mask
from AcuteFindingsLib.scene.picture_plan import suspicious_point
from AcuteFindingsLib.scene.segment_voxels import same_grid, volume_ijk_to_ras, vtk_matrix
from AcuteFindingsLib.scene.terminology import terminology_entry
from AcuteFindingsLib.study.nrrd_writer import as_kind
from AcuteFindingsLib.study.study import Study

ATTRIBUTE = "AcuteFindings.Detector"
"""Every node that a finding made carries its detector's name under this attribute: a panel finds it again."""

ROLE = "AcuteFindings.Role"
"""What a node is to the finding that made it: ``"text"``, ``"table"``, ``"series:LABEL"`` and so on."""

REFERENCE = "AcuteFindings."
"""Before a role: the role under which the verdict's node refers to another."""

POINT = "AcuteFindings.Point"
"""Attribute of the verdict's node: R, A and S (mm) of the point that views are moved to, parted by spaces."""

TEXT, FINDING = "text", "finding"

HEATMAP_LOWEST = 64
"""Heat below a quarter of its range is not shown: it would tint the whole picture."""


@dataclass(frozen=True)
class FindingNodes:
    """The nodes of one finding. What the finding does not have is None.

    Attributes
    ----------
    scene
        The `vtkMRMLScene` that holds them.
    volume
        The study, a scalar volume node.
    text
        The verdict in words; it refers to every other node: reference role ``"AcuteFindings.table"`` for the node whose
        attribute ``"AcuteFindings.Role"`` is ``"table"``, and so on. The series are the chart's.
    finding
        The finding itself as JSON, `Finding.to_dict`, and under ``"segments"`` the masks as the model gave them
        (`pack_mask`), each with the ID of its segment: what a person corrects is held against it.
    study_item, folder_item
        Places in the subject hierarchy: the study, and below it the folder that holds everything but the volume.
    """

    scene: Any
    volume: Any
    segmentation: Any | None
    heatmap: Any | None
    table: Any
    chart: ChartNodes | None
    text: Any
    finding: Any
    study_item: int
    folder_item: int


def show_finding(
    finding: Finding, study: Study, *, scene: Any = None, volume_node: Any = None, shared: bool = False
) -> FindingNodes:
    """Add a finding to a scene.

    Parameters
    ----------
    finding, study
        The result and the study it is about; masks lie on the study's grid.
    scene
        A `vtkMRMLScene`; by default the application's, or a new one where there is no application.
    volume_node
        The volume node that already shows `study` (left as it is); by default one is made.
    shared
        Whether the volume node made uses the study's own voxels, which must not change while the scene is there,
        instead of a copy of them.

    Raises
    ------
    SceneError
        When Slicer's libraries are not installed.
    """
    steps = show_finding_steps(finding, study, scene=scene, volume_node=volume_node, shared=shared)
    while True:
        try:
            next(steps)
        except StopIteration as end:
            nodes: FindingNodes = end.value
            return nodes


def show_finding_steps(
    finding: Finding, study: Study, *, scene: Any = None, volume_node: Any = None, shared: bool = False
) -> Generator[None, None, FindingNodes]:
    """Add a finding to a scene as `show_finding` does, a node or so between two yields: a window answers meanwhile.

    Where the generator is closed or fails before its end, the nodes that it made are removed again.
    """
    scene = current_scene() if scene is None else scene
    made: list[Any] = []
    try:
        nodes = yield from _show(finding, study, scene, volume_node, made, shared=shared)
    except BaseException:
        for node in reversed(made):
            if node.GetScene() is scene:
                scene.RemoveNode(node)
        raise
    return nodes


def _show(
    finding: Finding, study: Study, scene: Any, volume_node: Any, made_so_far: list[Any], *, shared: bool
) -> Generator[None, None, FindingNodes]:
    names = names_of(finding.detector)

    def keep(*nodes: Any) -> None:
        made_so_far.extend(node for node in nodes if node is not None)

    volume = volume_node
    if volume_node is None:
        volume = add_volume(scene, study, finding, name=names.study, shared=shared)
        keep(volume)
    yield
    segmentation = _add_segmentation(scene, finding, volume, f"{names.short} segmentation")
    keep(segmentation)
    for mask in finding.masks:
        yield
        _add_segment(segmentation, mask, finding.ijk_to_ras)
    yield
    heatmap = _add_heatmap(scene, finding.heatmap, f"{names.short} heat map", shared=shared)
    keep(heatmap)
    yield
    table = add_table(scene, finding, f"{names.short} slices")
    keep(table)
    yield
    chart = add_chart(scene, finding, table, f"{names.short} chart")
    keep(*(chart.series.values() if chart else ()), chart.chart if chart else None)
    yield
    text = scene.AddNewNodeByClass("vtkMRMLTextNode", scene.GenerateUniqueName(f"{names.short} verdict"))
    keep(text)
    text.SetText(verdict_text(finding))
    text.SetAttribute(POINT, " ".join(f"{value:.3f}" for value in suspicious_point(finding, study)))
    yield
    packed = finding_json(finding, segmentation)
    yield
    source = scene.AddNewNodeByClass("vtkMRMLTextNode", scene.GenerateUniqueName(f"{names.short} finding"))
    keep(source)
    source.SetText(packed)
    yield

    parts = {"segmentation": segmentation, "heatmap": heatmap, "table": table, TEXT: text, FINDING: source}
    parts |= {"chart": chart.chart, **chart.series} if chart else {}
    made = {role: node for role, node in parts.items() if node is not None}
    for role, node in made.items() if volume_node is not None else {**made, "volume": volume}.items():
        node.SetAttribute(ATTRIBUTE, finding.detector)
        node.SetAttribute(ROLE, role)
    for role, node in {**made, "volume": volume}.items():
        # A scene file parts role from ID by a colon, so roles that hold one are not read back; series are the chart's.
        if node is not text and ":" not in role:
            text.SetNodeReferenceID(REFERENCE + role, node.GetID())
    study_item, folder_item = place_under_study(scene, finding, study, volume, tuple(made.values()))
    return FindingNodes(scene, volume, segmentation, heatmap, table, chart, text, source, study_item, folder_item)


def add_volume(scene: Any, study: Study, finding: Finding, *, name: str, shared: bool = False) -> Any:
    """Add a study as a scalar volume node, shown in the finding's window; `shared` as for `show_finding`."""
    stored = study.array.dtype if shared else stored_kind(study)
    node = add_array(
        scene, "vtkMRMLScalarVolumeNode", study.array, study.ijk_to_ras, name, stored=stored, shared=shared
    )
    level, width = finding.display_window
    node.GetDisplayNode().SetWindowLevel(width, level)
    if finding.phantom:
        node.SetAttribute(PHANTOM, "1")
    return node


def stored_kind(study: Study) -> np.dtype:
    """Return the type of a study's voxels in a scene.

    HU are 16-bit integers, rounded: half the memory of the array and what CT volumes are in Slicer.
    """
    return np.dtype(np.int16 if study.intensity == "HU" else np.float32)


def verdict_text(finding: Finding) -> str:
    """Return verdict, rule, measurements, warnings and model in plain lines."""
    verdict, model = finding.verdict, finding.model
    lines = [
        verdict_line(finding),
        f"Threshold: {verdict.threshold:.2f}",
        f"Rule: {verdict.rule}",
        verdict.explanation,
        *(f"{item.name}: {value_text(item)} {unit_text(item.unit)}".rstrip() for item in finding.measurements),
        *(f"{item.severity.capitalize()}: {item.text}" for item in finding.warnings if item.severity != "info"),
        *(f"{BEARINGS[item.bearing][1]}: {item.text}" for item in finding.reasons),
        likeness_words(finding.likeness) if finding.likeness is not None else "",
        f"Model: {model.id} {model.version}, trained on {model.trained_on}",
        f"Computed by {computed_words(model)}" if model.runtime else "",
        RESEARCH_USE_ONLY,
    ]
    return "\n".join(line for line in lines if line)


def finding_json(finding: Finding, segmentation: Any | None) -> str:
    """Return a finding as the scene keeps it; `segmentation` holds its masks as segments, in their order."""
    segments = [
        {"id": segmentation.GetSegmentation().GetNthSegmentID(number), "name": mask.name, **pack_mask(mask.array)}
        for number, mask in enumerate(finding.masks)
        if segmentation is not None
    ]
    return json.dumps({**finding.to_dict(), "segments": segments}, allow_nan=False)


def _add_segmentation(scene: Any, finding: Finding, volume: Any, name: str) -> Any | None:
    if not finding.masks:
        return None
    node = scene.AddNewNodeByClass("vtkMRMLSegmentationNode", scene.GenerateUniqueName(name))
    node.CreateDefaultDisplayNodes()
    node.SetReferenceImageGeometryParameterFromVolumeNode(volume)
    if volume.GetParentTransformNode() is not None or not same_grid(volume_ijk_to_ras(volume), finding.ijk_to_ras):
        _set_reference_grid(node, finding.masks[0].array.shape, finding.ijk_to_ras)
    display = node.GetDisplayNode()
    display.SetOpacity2DFill(0.3)
    display.SetOpacity2DOutline(1.0)
    display.SetSliceIntersectionThickness(2)
    return node


def _set_reference_grid(node: Any, shape: tuple[int, ...], ijk_to_ras: np.ndarray) -> None:
    """Edit segments on the masks' own grid: tilted or uneven slices in the volume make another one."""
    slicer, _ = load_slicer()
    depth, height, width = shape
    grid = slicer.vtkOrientedImageData()
    grid.SetExtent(0, width - 1, 0, height - 1, 0, depth - 1)
    grid.SetGeometryFromImageToWorldMatrix(vtk_matrix(ijk_to_ras))
    converter = slicer.vtkSegmentationConverter
    node.GetSegmentation().SetConversionParameter(
        converter.GetReferenceImageGeometryParameterName(), converter.SerializeImageGeometry(grid)
    )


def _add_segment(node: Any, mask: Mask, ijk_to_ras: np.ndarray) -> None:
    slicer, _ = load_slicer()
    labelmap = slicer.vtkOrientedImageData()
    # Only the box that holds the mask, as Slicer keeps its own segments; the reference geometry tells the whole grid.
    array = mask.array.astype(np.uint8, copy=False)
    z, y, x = mask_box(array) or (slice(0, 1),) * 3
    _fill(labelmap, array[z, y, x], first=(z.start, y.start, x.start))
    labelmap.SetGeometryFromImageToWorldMatrix(vtk_matrix(ijk_to_ras))
    segment_id = node.AddSegmentFromBinaryLabelmapRepresentation(labelmap, mask.name, list(mask.color), "")
    if not segment_id:  # Slicer declines to make a segment from an image without a set voxel on some versions
        segment_id = node.GetSegmentation().AddEmptySegment("", mask.name, list(mask.color))
    segment = node.GetSegmentation().GetSegment(segment_id)
    segment.SetTerminology(terminology_entry(mask))
    segment.SetNameAutoGenerated(False)
    segment.SetColorAutoGenerated(False)


def _add_heatmap(scene: Any, heatmap: Heatmap | None, name: str, *, shared: bool) -> Any | None:
    if heatmap is None:
        return None
    array = np.asarray(heatmap.array, np.uint8)
    node = add_array(scene, "vtkMRMLScalarVolumeNode", array, heatmap.ijk_to_ras, name, shared=shared)
    display = node.GetDisplayNode()
    display.SetAndObserveColorNodeID("vtkMRMLColorTableNodeIron")
    display.SetWindowLevelMinMax(0, 255)
    display.SetLowerThreshold(HEATMAP_LOWEST)
    display.SetUpperThreshold(255)
    display.ApplyThresholdOn()
    return node


def add_array(
    scene: Any,
    node_class: str,
    array: np.ndarray,
    ijk_to_ras: np.ndarray,
    name: str,
    *,
    stored: DTypeLike | None = None,
    shared: bool = False,
) -> Any:
    """Add a ``(z, y, x)`` array as a volume node with a display node whose window is left to the caller.

    Its voxels are of the type `stored`, or the array's own where they are `shared` with it.
    """
    _, vtk = load_slicer()
    node = scene.AddNewNodeByClass(node_class, scene.GenerateUniqueName(name))
    image = vtk.vtkImageData()
    if shared and array.flags.c_contiguous:
        _refer(image, array)
    else:
        _fill(image, array, stored=stored)
    node.SetIJKToRASMatrix(vtk_matrix(ijk_to_ras))
    # The display first, and without a window of its own choice: Slicer would count all voxels for one.
    node.CreateDefaultDisplayNodes()
    node.GetDisplayNode().SetAutoWindowLevel(False)
    node.SetAndObserveImageData(image)
    return node


def _fill(
    image: Any, array: np.ndarray, *, first: tuple[int, int, int] = (0, 0, 0), stored: DTypeLike | None = None
) -> None:
    """Copy ``(z, y, x)`` voxels into a VTK image, once.

    `first` is the index of the first voxel on the image's grid; `stored` another type to keep them in, integers
    rounded and held within its range.
    """
    from vtkmodules.util.numpy_support import get_vtk_array_type, vtk_to_numpy

    kind = np.dtype(stored or array.dtype)
    last = [start + size - 1 for start, size in zip(first, array.shape, strict=True)]
    image.SetExtent(first[2], last[2], first[1], last[1], first[0], last[0])
    image.AllocateScalars(get_vtk_array_type(kind), 1)
    voxels = vtk_to_numpy(image.GetPointData().GetScalars()).reshape(array.shape)
    # Plane by plane: a rounded copy of a long chest CT would be another gigabyte.
    for target, plane in zip(voxels, array, strict=True):
        target[...] = as_kind(plane, kind)


def _refer(image: Any, array: np.ndarray) -> None:
    """Let a VTK image use the memory of ``(z, y, x)`` voxels; it keeps the array alive."""
    from vtkmodules.util.numpy_support import numpy_to_vtk

    image.SetDimensions(*array.shape[::-1])
    image.GetPointData().SetScalars(numpy_to_vtk(array.ravel(), deep=False))
