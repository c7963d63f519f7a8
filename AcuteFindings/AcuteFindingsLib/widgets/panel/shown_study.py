"""One study on screen: masks, heat maps and charts of the results whose image the views show, and of no others."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import qt
import slicer

from AcuteFindingsLib.scene.nodes import ATTRIBUTE, REFERENCE, ROLE, TEXT
from AcuteFindingsLib.scene.sequence_frame import is_of_shown_frame

CHOSEN = "AcuteFindings.Chosen"
"""Attribute of a verdict node: of the results about its image, the one that was chosen last."""

HIDDEN = "AcuteFindings.Hidden"
"""Attribute of a mask's display node that was hidden because its image is not shown; it comes back with it."""

VIEWS = "AcuteFindings.Views"
"""Attribute of a mask's display node whose list of views is kept here: some views show its image, others do not."""

OPACITY = "AcuteFindings.Opacity"
"""Attribute of a heat map: how strongly it was drawn when it was taken off views; it comes back with its image."""

CHART = "AcuteFindings.Chart"
"""Attribute of a plot view from which a result's chart was taken: the next one of a shown result comes there."""

MOSTLY = 0.5
"""A foreground drawn more strongly than this is what a slice view shows, no longer its background."""


@dataclass(frozen=True)
class _Verdict:
    """A result's nodes as the verdict node refers to them, without reading the finding; None where there is none."""

    text: Any
    volume: Any
    segmentation: Any
    heatmap: Any
    chart: Any


@dataclass(frozen=True)
class _View:
    """A slice view and the ID of the volume that a person sees in it."""

    node: Any
    composite: Any
    volume_id: str


class ShownStudy:
    """Watches what the slice views show, by whichever means it comes there, and keeps the results in step.

    A result is shown where its image is, and of several results about one image only the chosen one. What is taken off
    the views (masks, heat maps, charts) comes back with the image; what a person hid by hand stays hidden.

    Parameters
    ----------
    scene
        The application's `vtkMRMLScene`.
    """

    def __init__(self, scene: Any) -> None:
        self.scene = scene
        self._listeners: list[Callable[[], Any]] = []
        self._observed: dict[Any, int] = {}
        self._layers: dict[str, tuple[str, str]] = {}
        self._updating = False
        self._timer = qt.QTimer()
        events = slicer.vtkMRMLScene
        self._scene_tags = [
            scene.AddObserver(event, self._on_change)
            for event in (
                events.NodeRemovedEvent,
                events.EndCloseEvent,
                events.EndImportEvent,
                events.EndBatchProcessEvent,
            )
        ]
        # Nodes are added many at a time, and most are no result.
        self._scene_tags.append(scene.AddObserver(events.NodeAddedEvent, lambda *_event: self._timer.start()))
        # One notice for all events of a turn of the loop: a study comes into the views one view after the other.
        self._timer.setSingleShot(True)
        self._timer.setInterval(0)
        self._timer.connect("timeout()", self._turn)
        self.update()

    def close(self) -> None:
        """Watch no longer."""
        self._timer.stop()
        for tag in self._scene_tags:
            self.scene.RemoveObserver(tag)
        for node, tag in self._observed.items():
            node.RemoveObserver(tag)
        self._scene_tags, self._observed, self._listeners = [], {}, []

    def listen(self, listener: Callable[[], Any]) -> None:
        """Call `listener`, once a turn of the event loop, when what is shown may have changed."""
        self._listeners.append(listener)

    def forget(self, listener: Callable[[], Any]) -> None:
        """Call `listener` no more."""
        if listener in self._listeners:
            self._listeners.remove(listener)

    def shows(self, volume: Any | None) -> bool:
        """Whether the main slice view shows a volume; where there is no view at all, nothing contradicts it."""
        if volume is None or volume.GetScene() is None:
            return False
        main = self.main_view()
        return main is None or main.volume_id == volume.GetID()

    def shows_result(self, text: Any, volume: Any | None) -> bool:
        """Whether the main slice view shows the image that a verdict is about; of a sequence, the very frame."""
        return self.shows(volume) and is_of_shown_frame(text, volume)

    def main_view(self) -> _View | None:
        """Return the view that chart, table and keys follow: Red where it is in the layout, else the first that is."""
        views = self._views()
        return next((view for view in views if view.node.GetLayoutName() == "Red"), views[0] if views else None)

    def choose(self, text: Any) -> None:
        """Show this verdict's masks where its image is shown, not those of other results about that image."""
        chosen = _read(text)
        for verdict in self._verdicts():
            if verdict.text is not text and verdict.volume is chosen.volume:
                _set(verdict.text, CHOSEN, None)
        _set(text, CHOSEN, "1")
        self.update()

    def update(self) -> None:
        """Bring masks, heat maps and charts in step with the views, and tell who listens."""
        self._sync()
        self._timer.start()

    def _turn(self) -> None:
        self._sync()
        for listener in list(self._listeners):
            listener()

    def _sync(self) -> None:
        if self._updating or self.scene.IsClosing() or self.scene.IsImporting() or self.scene.IsBatchProcessing():
            return
        self._updating = True
        try:
            self._observe()
            verdicts = list(self._verdicts())
            chosen = _chosen(verdicts)
            self._update_heatmaps(verdicts, chosen)
            views = self._views()
            for verdict in verdicts:
                if verdict.segmentation is not None:
                    self._update_mask(verdict, views, chosen.get(_id(verdict.volume)) is verdict)
            self._update_charts(verdicts, chosen)
        finally:
            self._updating = False

    def _on_change(self, _caller: Any, _event: str) -> None:
        self.update()

    def _observe(self) -> None:
        # A sequence's browser changes the image of a node that stays where it is.
        classes = ("vtkMRMLSliceCompositeNode", "vtkMRMLLayoutNode", "vtkMRMLSequenceBrowserNode")
        watched = [node for name in classes for node in _nodes(self.scene, name)]
        for node in watched:
            if node not in self._observed:
                self._observed[node] = node.AddObserver("ModifiedEvent", self._on_change)
        for node in [node for node in self._observed if node not in watched]:
            node.RemoveObserver(self._observed.pop(node))

    def _views(self) -> list[_View]:
        """Return the slice views of the layout; all of the scene where the layout has none."""
        slices = {node.GetLayoutName(): node for node in _nodes(self.scene, "vtkMRMLSliceNode")}
        heatmaps = {_id(item.heatmap): _id(item.volume) for item in self._verdicts() if item.heatmap is not None}
        views = [
            _View(slices[composite.GetLayoutName()], composite, _seen(composite, heatmaps))
            for composite in _nodes(self.scene, "vtkMRMLSliceCompositeNode")
            if composite.GetLayoutName() in slices
        ]
        return [view for view in views if view.node.IsMappedInLayout()] or views

    def _verdicts(self) -> Iterator[_Verdict]:
        for text in _nodes(self.scene, "vtkMRMLTextNode"):
            if is_verdict(text):
                yield _read(text)

    def _update_mask(self, verdict: _Verdict, views: list[_View], chosen: bool) -> None:
        display = verdict.segmentation.GetDisplayNode()
        if display is None:
            return
        own = [view.node.GetID() for view in views if chosen and view.volume_id == _id(verdict.volume)]
        if not own and views:
            if display.GetVisibility():
                _set(display, HIDDEN, "1")
                display.SetVisibility(False)
            return
        if display.GetAttribute(HIDDEN):
            _set(display, HIDDEN, None)
            display.SetVisibility(True)
        everywhere = len(own) == len(views)
        if everywhere and not display.GetAttribute(VIEWS):
            return
        wanted = [] if everywhere else own + [node.GetID() for node in _nodes(self.scene, "vtkMRMLViewNode")]
        _set(display, VIEWS, None if everywhere else "1")
        if list(display.GetViewNodeIDs()) != wanted:
            display.RemoveAllViewNodeIDs()
            for view_id in wanted:
                display.AddViewNodeID(view_id)

    def _update_heatmaps(self, verdicts: list[_Verdict], chosen: dict[str, _Verdict]) -> None:
        by_heatmap = {_id(item.heatmap): item for item in verdicts if item.heatmap is not None}
        for composite in _nodes(self.scene, "vtkMRMLSliceCompositeNode"):
            below, above = composite.GetBackgroundVolumeID() or "", composite.GetForegroundVolumeID() or ""
            foreign = by_heatmap.get(above)
            if foreign is not None and chosen.get(below) is not foreign:
                strength = composite.GetForegroundOpacity()
                _set(foreign.heatmap, OPACITY, f"{strength:.3f}" if strength else None)
                composite.SetForegroundVolumeID(None)
                composite.SetForegroundOpacity(0.0)
                above = ""
            own = chosen.get(below)
            if own is not None and own.heatmap is not None and not above:
                above = self._give_heatmap_back(composite, own, below)
            self._layers[composite.GetID()] = below, above

    def _give_heatmap_back(self, composite: Any, own: _Verdict, below: str) -> str:
        strength = own.heatmap.GetAttribute(OPACITY)
        if strength and self._layers.get(composite.GetID()) == (below, _id(own.heatmap)):
            # A person took it off a view that goes on to show its image.
            _set(own.heatmap, OPACITY, None)
            return ""
        if not strength:
            return ""
        composite.SetForegroundVolumeID(own.heatmap.GetID())
        composite.SetForegroundOpacity(float(strength))
        return _id(own.heatmap)

    def _update_charts(self, verdicts: list[_Verdict], chosen: dict[str, _Verdict]) -> None:
        main = self.main_view()
        shown = None if main is None else chosen.get(main.volume_id)
        charts = {_id(item.chart): item for item in verdicts if item.chart is not None}
        for plot in _nodes(self.scene, "vtkMRMLPlotViewNode"):
            there = charts.get(plot.GetPlotChartNodeID() or "")
            if there is not None and there is not shown:
                plot.SetPlotChartNodeID(None)
                _set(plot, CHART, "1")
            if shown is not None and shown.chart is not None and plot.GetAttribute(CHART):
                if not plot.GetPlotChartNodeID():
                    plot.SetPlotChartNodeID(shown.chart.GetID())
                _set(plot, CHART, None)


_shown: list[ShownStudy] = []


def shown_study() -> ShownStudy:
    """Return the one that watches the application's scene; made when first asked for."""
    if not _shown or _shown[0].scene is not slicer.mrmlScene:
        for before in _shown:
            before.close()
        _shown[:] = [ShownStudy(slicer.mrmlScene)]
    return _shown[0]


def holds_results(scene: Any) -> bool:
    """Whether a scene holds a result of a detector."""
    return any(is_verdict(text) for text in _nodes(scene, "vtkMRMLTextNode"))


def is_verdict(text: Any) -> bool:
    """Whether a text node holds a result's verdict."""
    return text.GetAttribute(ROLE) == TEXT and bool(text.GetAttribute(ATTRIBUTE))


def _chosen(verdicts: list[_Verdict]) -> dict[str, _Verdict]:
    """Return by the image's ID the result about it that was chosen last, else the latest; of a sequence's image, only
    of those about the frame that it shows."""
    found: dict[str, _Verdict] = {}
    for verdict in verdicts:
        image = _id(verdict.volume)
        if (
            image
            and is_of_shown_frame(verdict.text, verdict.volume)
            and not (image in found and found[image].text.GetAttribute(CHOSEN))
        ):
            found[image] = verdict
    return found


def _seen(composite: Any, heatmaps: dict[str, str]) -> str:
    """Return the ID of the volume that a slice view shows; a heat map stands for the image that it is about."""
    below, above = composite.GetBackgroundVolumeID() or "", composite.GetForegroundVolumeID() or ""
    if above and above not in heatmaps and composite.GetForegroundOpacity() > MOSTLY:
        return above
    return heatmaps.get(below, below)


def _read(text: Any) -> _Verdict:
    parts = (text.GetNodeReference(REFERENCE + role) for role in ("volume", "segmentation", "heatmap", "chart"))
    return _Verdict(text, *parts)


def _id(node: Any | None) -> str:
    return "" if node is None else node.GetID() or ""


def _set(node: Any, name: str, value: str | None) -> None:
    if node.GetAttribute(name) == value:
        return
    if value is None:
        node.RemoveAttribute(name)
    else:
        node.SetAttribute(name, value)


def _nodes(scene: Any, node_class: str) -> list[Any]:
    return [scene.GetNthNodeByClass(number, node_class) for number in range(scene.GetNumberOfNodesByClass(node_class))]
