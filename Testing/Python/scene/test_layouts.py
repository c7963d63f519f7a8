import xml.etree.ElementTree as ElementTree

import pytest

pytest.importorskip("slicer", reason="slicer-core is not installed")

from AcuteFindingsLib.scene.application import new_scene
from AcuteFindingsLib.scene.layouts import (
    RADIOGRAPH_LAYOUT,
    RADIOGRAPH_XML,
    STACK_LAYOUT,
    STACK_XML,
    layout_of,
    register_layouts,
    show_layout,
)


def views(xml: str) -> list[str]:
    return [view.get("singletontag") for view in ElementTree.fromstring(xml).iter("view")]


def test_the_layouts_show_what_each_kind_of_study_has() -> None:
    assert views(STACK_XML) == ["Red", "Green", "Yellow", "PlotView1"]
    assert views(RADIOGRAPH_XML) == ["Red"]


def test_the_slices_get_more_room_than_what_stands_beside() -> None:
    top, below = ElementTree.fromstring(STACK_XML)
    red, beside = next(iter(top))
    assert int(top.get("splitSize")) > int(below.get("splitSize"))
    assert int(red.get("splitSize")) > int(beside.get("splitSize"))


def test_views_are_called_and_colored_as_in_slicers_own_layouts(slicer) -> None:
    own = ElementTree.fromstring(layout_node(new_scene(), slicer).GetLayoutDescription(37))
    expected = {view.get("singletontag"): [item.text for item in view] for view in own.iter("view")}
    found = {
        view.get("singletontag"): [item.text for item in view]
        for view in ElementTree.fromstring(STACK_XML).iter("view")
    }
    assert found == expected


def test_the_ids_are_none_of_slicers(slicer) -> None:
    node = layout_node(new_scene(), slicer)
    assert not node.IsLayoutDescription(STACK_LAYOUT)
    assert not node.IsLayoutDescription(RADIOGRAPH_LAYOUT)


def test_registering_twice_is_no_harm(slicer) -> None:
    node = layout_node(new_scene(), slicer)
    register_layouts(node)
    register_layouts(node)
    assert node.GetLayoutDescription(STACK_LAYOUT) == STACK_XML


@pytest.mark.parametrize(
    ("detector", "layout"), [("pe", STACK_LAYOUT), ("hemorrhage", STACK_LAYOUT), ("pneumothorax", RADIOGRAPH_LAYOUT)]
)
def test_each_detector_has_its_layout(detector: str, layout: int) -> None:
    scene = new_scene()
    assert layout_of(detector) == layout
    show_layout(scene, detector)
    assert scene.GetFirstNodeByClass("vtkMRMLLayoutNode").GetViewArrangement() == layout


def test_the_views_of_the_layout_are_made_and_the_layout_can_be_changed() -> None:
    scene = new_scene()
    show_layout(scene, "pneumothorax")
    show_layout(scene, "pe")
    assert scene.GetNumberOfNodesByClass("vtkMRMLLayoutNode") == 1
    assert scene.GetFirstNodeByClass("vtkMRMLLayoutNode").GetViewArrangement() == STACK_LAYOUT


def layout_node(scene, slicer):
    logic = slicer.vtkMRMLLayoutLogic()
    logic.SetMRMLScene(scene)
    return logic.GetLayoutNode()
