"""The arrangements of views that show a result: for a stack of slices with its chart, and for one radiograph."""

from typing import Any

from AcuteFindingsLib.scene.application import load_slicer

# Slicer's own layouts end with vtkMRMLLayoutNode.SlicerLayoutUserView, 100; these are far from what others choose.
STACK_LAYOUT = 76310
RADIOGRAPH_LAYOUT = 76311


def _slice_view(name: str, orientation: str, letter: str, color: str) -> str:
    return (
        f'<view class="vtkMRMLSliceNode" singletontag="{name}">'
        f'<property name="orientation" action="default">{orientation}</property>'
        f'<property name="viewlabel" action="default">{letter}</property>'
        f'<property name="viewcolor" action="default">{color}</property>'
        "</view>"
    )


# Labels and colors are Slicer's own for these views.
_RED = _slice_view("Red", "Axial", "R", "#F34A33")
_GREEN = _slice_view("Green", "Coronal", "G", "#6EB04B")
_YELLOW = _slice_view("Yellow", "Sagittal", "Y", "#EDD54C")
_PLOT = (
    '<view class="vtkMRMLPlotViewNode" singletontag="PlotView1">'
    '<property name="viewlabel" action="default">P</property></view>'
)

STACK_XML = (
    '<layout type="vertical" split="true">'
    '<item splitSize="750"><layout type="horizontal" split="true">'
    f'<item splitSize="650">{_RED}</item>'
    '<item splitSize="350"><layout type="vertical" split="true">'
    f'<item splitSize="500">{_GREEN}</item><item splitSize="500">{_YELLOW}</item></layout></item>'
    "</layout></item>"
    f'<item splitSize="250">{_PLOT}</item>'
    "</layout>"
)
"""The slices large, the two planes across them beside, the chart below in a quarter of the height."""

RADIOGRAPH_XML = f'<layout type="horizontal"><item>{_RED}</item></layout>'

_LAYOUTS = {STACK_LAYOUT: STACK_XML, RADIOGRAPH_LAYOUT: RADIOGRAPH_XML}


def layout_of(detector: str) -> int:
    """Return the id of the layout that shows a detector's results."""
    # Layouts are registered at Slicer's start, which looks for no detectors.
    from AcuteFindingsLib.detectors.registry import known_kind

    kind = known_kind(detector)
    return RADIOGRAPH_LAYOUT if kind is not None and kind.layout == "radiograph" else STACK_LAYOUT


def is_own_layout(number: int) -> bool:
    """Whether a layout is one of these, which an application without the extension does not know."""
    return number in _LAYOUTS


def register_layouts(layout_node: Any) -> None:
    """Make the layouts known to a layout node; again is no harm.

    A scene keeps the number of its layout but not the description, so this comes before a scene is loaded.
    """
    for number, description in _LAYOUTS.items():
        if not layout_node.IsLayoutDescription(number):
            layout_node.AddLayoutDescription(number, description)


def show_layout(scene: Any, detector: str) -> None:
    """Arrange the views of a scene for a detector's results, and put the layout node there where there is none."""
    slicer, _ = load_slicer()
    layout_node = scene.GetFirstNodeByClass("vtkMRMLLayoutNode")
    logic = None
    if layout_node is None:
        # Outside the application nobody has made it; the logic also makes the views that a layout names.
        logic = slicer.vtkMRMLLayoutLogic()
        logic.SetMRMLScene(scene)
        layout_node = logic.GetLayoutNode()
    register_layouts(layout_node)
    layout_node.SetViewArrangement(layout_of(detector))
    if logic is not None:
        logic.SetMRMLScene(None)
