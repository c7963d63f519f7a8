"""Watches the scene from the application's start: what is saved opens with views, what is loaded shows one study."""

from typing import Any

import slicer

from AcuteFindingsLib.scene.layouts import is_own_layout, register_layouts

LAYOUT = "AcuteFindings.Layout"
"""Attribute of the Red slice node: the layout of the extension that the views of a saved scene had."""


class SceneKeeper:
    """Keeps the extension's layouts out of saved scenes, and arranges the views again when such a scene is loaded.

    A scene that names a layout which the application does not know opens with an empty view area. So while one of the
    extension's is shown, the layout node is not saved: the scene opens in whatever layout the application has. The Red
    slice node, which is saved, says what the layout was.

    Parameters
    ----------
    scene
        The application's `vtkMRMLScene`.
    """

    def __init__(self, scene: Any) -> None:
        self._scene = scene
        self._layout_node: Any = None
        events = slicer.vtkMRMLScene
        for event, heard in (
            (events.StartCloseEvent, self._on_start),
            (events.StartImportEvent, self._on_start),
            (events.EndImportEvent, self._on_loaded),
            (events.EndCloseEvent, self._on_closed),
        ):
            scene.AddObserver(event, heard)
        self.start()

    def start(self, *_ignored: Any) -> None:
        """Make the layouts known, as soon as there is a layout node: without a main window there is none."""
        found = self._scene.GetFirstNodeByClass("vtkMRMLLayoutNode")
        if found is None or found is self._layout_node:
            return
        self._layout_node = found
        register_layouts(found)
        found.AddObserver("ModifiedEvent", self._on_layout)
        self._mark()

    def _on_start(self, *_event: Any) -> None:
        # Before scene nodes are read: scenes saved by earlier versions name the layouts themselves.
        self.start()
        self._set_mark(None)

    def _on_loaded(self, *_event: Any) -> None:
        from AcuteFindingsLib.widgets.panel.shown_study import holds_results, shown_study

        slice_node = self._slice_node()
        saved = "" if slice_node is None else slice_node.GetAttribute(LAYOUT) or ""
        with_results = holds_results(self._scene)
        if with_results and self._layout_node is not None and saved.isdigit() and is_own_layout(int(saved)):
            self._layout_node.SetViewArrangement(int(saved))
        self._mark()
        if with_results:
            shown_study().update()

    def _on_closed(self, *_event: Any) -> None:
        self._mark()

    def _on_layout(self, *_event: Any) -> None:
        if not (self._scene.IsImporting() or self._scene.IsClosing()):
            self._mark()

    def _mark(self) -> None:
        if self._layout_node is None:
            return
        number = self._layout_node.GetViewArrangement()
        own = is_own_layout(number)
        self._layout_node.SetSaveWithScene(not own)
        self._set_mark(str(number) if own else None)

    def _set_mark(self, value: str | None) -> None:
        slice_node = self._slice_node()
        if slice_node is None or slice_node.GetAttribute(LAYOUT) == value:
            return
        if value is None:
            slice_node.RemoveAttribute(LAYOUT)
        else:
            slice_node.SetAttribute(LAYOUT, value)

    def _slice_node(self) -> Any:
        return self._scene.GetSingletonNode("Red", "vtkMRMLSliceNode")
