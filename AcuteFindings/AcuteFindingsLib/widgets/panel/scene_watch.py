"""Whether the scene closes, or one of its nodes goes, while something long is under way."""

from collections.abc import Callable
from typing import Any

import slicer


class SceneWatch:
    """Watches the application's scene until `stop`.

    Parameters
    ----------
    node
        A node of the scene.
    closing
        Called when the scene begins to close.
    removed
        Called when `node` is not in the scene any more.
    """

    def __init__(self, node: Any, *, closing: Callable[[], Any], removed: Callable[[], Any]) -> None:
        self._node, self._closing, self._removed = node, closing, removed
        self._scene = slicer.mrmlScene
        self._tags = [
            self._scene.AddObserver(slicer.vtkMRMLScene.StartCloseEvent, self._on_closing),
            self._scene.AddObserver(slicer.vtkMRMLScene.NodeRemovedEvent, self._on_removed),
        ]

    def stop(self) -> None:
        """Watch no longer."""
        for tag in self._tags:
            self._scene.RemoveObserver(tag)
        self._tags.clear()

    def _on_closing(self, *_event: Any) -> None:
        self._closing()

    def _on_removed(self, *_event: Any) -> None:
        if not self._scene.IsNodePresent(self._node):
            self._removed()
