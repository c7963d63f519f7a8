"""The results that a scene holds, found by what `show_finding` wrote on the nodes; also after saving and loading."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from AcuteFindingsLib.detectors.finding import Finding, finding_from_dict
from AcuteFindingsLib.scene.application import load_slicer
from AcuteFindingsLib.scene.nodes import ATTRIBUTE, FINDING, REFERENCE, ROLE, TEXT

CURSOR, CURSOR_TABLE = "cursor", "cursor-table"
"""Roles of the series and the table that draw the current slice into a chart; see `cursor`."""


@dataclass(frozen=True, eq=False)
class SceneResult:
    """One detector's result in a scene. A node that the result does not have, or that a person deleted, is None.

    Two are equal where they are about the same verdict node.

    Attributes
    ----------
    text
        The verdict in words, the node that refers to all others.
    finding
        What the detector said; without the masks and the heat map, which are in nodes.
    volume, segmentation, heatmap, table, chart
        The study, the outlines, where the network looked, a row a slice, the plot of the probabilities.
    series
        The chart's series by role: ``"series:LABEL"``, ``"threshold"``, ``"run"``. The cursor is not among them.
    finding_node
        The text node that holds the finding as JSON.
    """

    text: Any
    finding: Finding
    volume: Any | None
    segmentation: Any | None
    heatmap: Any | None
    table: Any | None
    chart: Any | None
    series: dict[str, Any]
    finding_node: Any

    @property
    def scene(self) -> Any | None:
        """The scene that holds the result; None once it is removed."""
        return self.text.GetScene()

    def __eq__(self, other: object) -> bool:
        """Compare by the verdict node."""
        return isinstance(other, SceneResult) and self.text is other.text

    def __hash__(self) -> int:
        """Hash as `__eq__` compares."""
        return id(self.text)


def results_in(scene: Any, detector: str | None = None) -> list[SceneResult]:
    """Return the results of a scene, the oldest first.

    Parameters
    ----------
    scene
        A `vtkMRMLScene`.
    detector
        Id of its kind; by default the results of all.
    """
    found = (result_of(text) for text in _nodes(scene, "vtkMRMLTextNode"))
    return [item for item in found if item is not None and detector in (None, item.finding.detector)]


def result_of(text: Any) -> SceneResult | None:
    """Return the result whose verdict a text node holds; None where it is another node, or its finding is gone."""
    if text is None or text.GetAttribute(ROLE) != TEXT or not text.GetAttribute(ATTRIBUTE):
        return None
    finding_node = text.GetNodeReference(REFERENCE + FINDING)
    finding = None if finding_node is None else _read(finding_node.GetText())
    if finding is None:
        return None
    volume, segmentation, heatmap, table, chart = (
        text.GetNodeReference(REFERENCE + role) for role in ("volume", "segmentation", "heatmap", "table", "chart")
    )
    series = {} if chart is None else {series.GetAttribute(ROLE): series for series in chart_series(chart)}
    own = {role: node for role, node in series.items() if role and role != CURSOR}
    return SceneResult(text, finding, volume, segmentation, heatmap, table, chart, own, finding_node)


def remove_result(scene: Any, result: SceneResult) -> None:
    """Remove a result's nodes from a scene with all that only they use. The volume stays: it is the person's study."""
    slicer, _ = load_slicer()
    hierarchy = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(scene)
    nothing = hierarchy.GetInvalidItemID()
    folders = {hierarchy.GetItemParent(hierarchy.GetItemByDataNode(result.text))} - {nothing}
    cursor_series = [] if result.chart is None else [one for one in chart_series(result.chart) if _is_cursor(one)]
    cursor_tables = [one.GetTableNode() for one in cursor_series]
    # The verdict last: until it is gone, whoever watches the scene still finds the result.
    nodes = [
        result.chart,
        *result.series.values(),
        *cursor_series,
        *cursor_tables,
        result.heatmap,
        result.segmentation,
        result.table,
        result.finding_node,
        result.text,
    ]
    for node in nodes:
        if node is not None and scene.IsNodePresent(node):
            _remove(scene, node)
            # The application takes the item away with the node; a scene without it does not.
            if hierarchy.GetItemByDataNode(node) != nothing:
                hierarchy.RemoveItem(hierarchy.GetItemByDataNode(node), False, True)
    for folder in folders:
        if hierarchy.GetItemLevel(folder) == "Folder" and hierarchy.GetNumberOfItemChildren(folder) == 0:
            hierarchy.RemoveItem(folder)


def chart_series(chart: Any) -> list[Any]:
    """Return the series nodes of a chart in their order."""
    series = [chart.GetNthPlotSeriesNode(number) for number in range(chart.GetNumberOfPlotSeriesNodes())]
    return [node for node in series if node is not None]


def finding_data(result: SceneResult) -> dict[str, Any]:
    """Return the JSON that the finding's node holds: `Finding.to_dict` and what `show_finding` adds to it.

    Raises
    ------
    ValueError
        When the node was overwritten with something else.
    """
    data = json.loads(result.finding_node.GetText())
    if not isinstance(data, dict):
        raise ValueError("not a finding")
    return data


def _read(text: str | None) -> Finding | None:
    """Return the finding without its arrays; None where a person or another program wrote something else there."""
    try:
        data = json.loads(text or "")
        return finding_from_dict({**data, "masks": [], "heatmap": None}, Path())
    except (ValueError, TypeError, KeyError, IndexError, AttributeError, RecursionError, OverflowError):
        return None


def _is_cursor(series: Any) -> bool:
    return series.GetAttribute(ROLE) == CURSOR


def _nodes(scene: Any, node_class: str) -> Iterator[Any]:
    for number in range(scene.GetNumberOfNodesByClass(node_class)):
        yield scene.GetNthNodeByClass(number, node_class)


def _remove(scene: Any, node: Any) -> None:
    """Remove a node together with its display and storage nodes, which the scene keeps by itself."""
    belongings = [node.GetStorageNode()] if node.IsA("vtkMRMLStorableNode") else []
    if node.IsA("vtkMRMLDisplayableNode"):
        belongings += [node.GetNthDisplayNode(number) for number in range(node.GetNumberOfDisplayNodes())]
    scene.RemoveNode(node)
    for one in belongings:
        if one is not None and scene.IsNodePresent(one):
            scene.RemoveNode(one)
