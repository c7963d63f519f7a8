import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("slicer", reason="slicer-core is not installed")

from AcuteFindingsLib.scene.application import new_scene
from AcuteFindingsLib.scene.bundle import load_bundle, save_bundle
from AcuteFindingsLib.scene.corrections import labels, set_label
from AcuteFindingsLib.scene.cursor import add_cursor
from AcuteFindingsLib.scene.nodes import ATTRIBUTE, show_finding
from AcuteFindingsLib.scene.results import remove_result, results_in


@pytest.fixture
def full(head, radiograph):
    """A scene with two results about one head and one about a radiograph, as a person leaves it."""
    scene = new_scene()
    first = show_finding(head.finding, head.study, scene=scene)
    again = replace(head.finding, verdict=replace(head.finding.verdict, label="negative", probability=0.21))
    show_finding(again, head.study, scene=scene, volume_node=first.volume)
    show_finding(radiograph.finding, radiograph.study, scene=scene)
    return scene


def without_arrays(finding):
    return replace(finding, masks=(), heatmap=None)


def test_an_empty_scene_holds_no_results() -> None:
    assert results_in(new_scene()) == []


def test_results_are_found_by_detector_in_their_order(full) -> None:
    assert [item.finding.detector for item in results_in(full)] == ["hemorrhage", "hemorrhage", "pneumothorax"]
    assert [item.finding.verdict.probability for item in results_in(full, "hemorrhage")] == [0.97, 0.21]
    assert results_in(full, "pe") == []


def test_a_result_is_the_same_when_it_is_looked_up_again(full) -> None:
    assert results_in(full) == results_in(full)
    assert len(set(results_in(full))) == 3


def test_the_finding_is_whole_but_for_its_arrays(full, head) -> None:
    found = results_in(full, "hemorrhage")[0].finding
    assert found.to_dict() == without_arrays(head.finding).to_dict()


def test_after_saving_and_loading_every_result_has_its_own_nodes(full, head, tmp_path: Path) -> None:
    for item in results_in(full, "hemorrhage"):
        add_cursor(item)
    set_label(results_in(full, "hemorrhage")[1], 3, "unsure")
    scene = load_bundle(save_bundle(full, tmp_path / "scene.mrb"))
    first, second, third = results_in(scene)
    assert first.finding.to_dict() == without_arrays(head.finding).to_dict()
    assert "0.97" in first.text.GetText()
    assert "0.21" in second.text.GetText()
    assert first.volume is second.volume is not third.volume
    assert third.chart is None
    assert third.series == {}
    assert np.allclose(third.finding.ijk_to_ras, [[-2, 0, 0, 159], [0, -2, 0, 199], [0, 0, 1, 0], [0, 0, 0, 1]])
    for item in (first, second):
        assert set(item.series) == {"series:any", "series:epidural", "threshold", "run"}
        assert all(series.GetTableNode() is item.table for series in item.series.values())
        assert item.series["series:epidural"].GetYColumnName() == "epidural"
    parts = [
        {item.text, item.finding_node, item.segmentation, item.heatmap, item.table, item.chart} - {None}
        for item in (first, second, third)
    ]
    assert [len(one) for one in parts] == [6, 6, 5]
    assert len(set.union(*parts)) == 17
    assert [labels(item) for item in (first, second)] == [{}, {3: "unsure"}]


def test_every_reference_of_the_verdict_is_read_back(full, tmp_path: Path) -> None:
    def roles(scene) -> list[list[str]]:
        texts = [item.text for item in results_in(scene)]
        return [[one.GetNthNodeReferenceRole(n) for n in range(one.GetNumberOfNodeReferenceRoles())] for one in texts]

    again = load_bundle(save_bundle(full, tmp_path / "scene.mrb"))
    stored = [[role for role in own if role != "storage"] for own in roles(full)]
    loaded = [[role for role in own if role != "storage"] for own in roles(again)]
    assert loaded == stored
    assert "AcuteFindings.finding" in stored[0]


def test_results_are_found_after_a_bundle_is_added_to_a_scene_that_has_some(full, tmp_path: Path, slicer) -> None:
    """As "Add data" does: IDs of the nodes that come in are taken already."""
    import zipfile

    with zipfile.ZipFile(save_bundle(full, tmp_path / "scene.mrb")) as archive:
        archive.extractall(tmp_path)
    full.SetURL(str(next(tmp_path.glob("*/*.mrml"))))
    assert full.Import(slicer.vtkMRMLMessageCollection())
    found = results_in(full)
    assert len(found) == 6
    for old, new in zip(found[:3], found[3:], strict=True):
        assert new.finding.to_dict() == old.finding.to_dict()
        assert new.table is not old.table
        assert new.volume is not old.volume
        assert set(new.series) == set(old.series)
        assert not set(new.series.values()) & set(old.series.values())


def test_a_node_that_a_person_deleted_is_missing_and_nothing_else(full) -> None:
    result = results_in(full, "hemorrhage")[0]
    full.RemoveNode(result.heatmap)
    full.RemoveNode(result.volume)
    found = results_in(full, "hemorrhage")[0]
    assert (found.heatmap, found.volume) == (None, None)
    assert found.table is result.table


@pytest.mark.parametrize("text", ["", "notes", "[]", "{}", '{"format": 1}', "null"])
def test_a_finding_that_was_overwritten_is_no_result(full, text: str) -> None:
    results_in(full, "pneumothorax")[0].finding_node.SetText(text)
    assert results_in(full, "pneumothorax") == []
    assert len(results_in(full)) == 2


def test_a_text_of_a_persons_own_is_no_result(full) -> None:
    full.AddNewNodeByClass("vtkMRMLTextNode", "Notes")
    assert len(results_in(full)) == 3


def test_the_scene_keeps_the_finding_as_json(full, head) -> None:
    data = json.loads(results_in(full)[0].finding_node.GetText())
    segments = data.pop("segments")
    assert data == head.finding.to_dict()
    assert [entry["name"] for entry in segments] == ["Hemorrhage"]


def test_removing_a_result_leaves_the_volume_and_the_others(full, slicer) -> None:
    first, second, third = results_in(full)
    add_cursor(first)
    before = full.GetNumberOfNodes()
    remove_result(full, first)
    assert results_in(full) == [second, third]
    assert full.IsNodePresent(first.volume)
    assert first.scene is None
    # Segmentation, heat map and their displays, table, chart, four series, verdict and finding, the cursor's two.
    assert before - full.GetNumberOfNodes() == 14
    remove_result(full, second)
    assert [node.GetAttribute(ATTRIBUTE) for node in nodes_of(full) if node.GetAttribute(ATTRIBUTE)].count(
        "hemorrhage"
    ) == 1
    hierarchy = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(full)
    study = hierarchy.GetItemParent(hierarchy.GetItemByDataNode(first.volume))
    assert hierarchy.GetNumberOfItemChildren(study) == 1


def test_removing_what_is_partly_gone_is_no_error(full) -> None:
    result = results_in(full)[0]
    full.RemoveNode(result.table)
    full.RemoveNode(result.chart)
    remove_result(full, result)
    assert len(results_in(full)) == 2


def nodes_of(scene) -> list:
    return [scene.GetNthNode(number) for number in range(scene.GetNumberOfNodes())]
