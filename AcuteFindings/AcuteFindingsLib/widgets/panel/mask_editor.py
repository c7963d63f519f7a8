"""Slicer's own Segment Editor inside a panel, set up for one result's mask."""

from typing import Any

import qt
import slicer
from slicer.i18n import tr as _

from AcuteFindingsLib.scene.results import SceneResult
from AcuteFindingsLib.widgets.parts import shortcut

NODE_TAG = "AcuteFindings"
UNDO_STEPS = 10
REDO = "Ctrl+Y"


class MaskEditor:
    """Made when it is first opened: the editor is large, and most results are only read."""

    def __init__(self, layout: Any) -> None:
        self._layout = layout
        self.editor: Any = None
        self._redo: Any = None

    @property
    def is_open(self) -> bool:
        """Whether the editor can be seen."""
        return self.editor is not None and not self.editor.isHidden()

    def open(self, result: SceneResult) -> None:
        """Show the editor on the result's first segment, which is the finding's own; nothing without a segmentation."""
        if result.segmentation is None:
            return
        if self.editor is None:
            self._make()
        scene, editor = result.scene, self.editor
        editor.setMRMLScene(scene)
        editor.setMRMLSegmentEditorNode(_editor_node(scene))
        editor.setSegmentationNode(result.segmentation)
        editor.setSourceVolumeNode(result.volume)
        segmentation = result.segmentation.GetSegmentation()
        if segmentation.GetNumberOfSegments():
            editor.setCurrentSegmentID(segmentation.GetNthSegmentID(0))
        editor.show()
        self.resume()

    def close(self) -> None:
        """Put the tools down and hide the editor."""
        self.pause()
        if self.editor is not None:
            self.editor.hide()

    def pause(self) -> None:
        """Let go of the slice views and the keys, so that a click there no longer paints."""
        if self.editor is not None:
            self.editor.setActiveEffectByName("")
            self.editor.removeViewObservations()
            self.editor.uninstallKeyboardShortcuts()
            self._redo.setEnabled(False)

    def resume(self) -> None:
        """Take the slice views and the editor's keys up again where the editor is open."""
        if self.is_open:
            self.editor.setupViewObservations()
            # In the whole window, as in Slicer's own module: the pointer is in a slice view while one paints.
            self.editor.uninstallKeyboardShortcuts()
            window = self.editor.window()
            self.editor.installKeyboardShortcuts(window)
            # The editor's own key for Redo is the platform's, which is Ctrl+Y on Windows alone.
            self._redo.setEnabled(False)
            keys = [one.key.toString() for one in window.findChildren(qt.QShortcut) if one.enabled]
            self._redo.setEnabled(REDO not in keys)

    def release(self) -> None:
        """Let go of the nodes, as before a scene closes."""
        self.close()
        if self.editor is not None and self.editor.mrmlSegmentEditorNode() is not None:
            self.editor.setSegmentationNode(None)
            self.editor.setSourceVolumeNode(None)
            self.editor.setMRMLSegmentEditorNode(None)

    def _make(self) -> None:
        self.editor = slicer.qMRMLSegmentEditorWidget()
        self.editor.setObjectName("segmentEditor")
        self.editor.setToolTip(_("Slicer's Segment Editor on the mask that the model drew; Undo takes a step back"))
        self.editor.setMaximumNumberOfUndoStates(UNDO_STEPS)
        self.editor.setUndoEnabled(True)
        # What is edited is chosen by the result; another node here would be corrected in its place.
        self.editor.setSegmentationNodeSelectorVisible(False)
        self.editor.setSourceVolumeNodeSelectorVisible(False)
        self.editor.setSwitchToSegmentationsButtonVisible(False)
        self._layout.addWidget(self.editor)
        self._redo = shortcut(self.editor, REDO, self.editor.redo)


def _editor_node(scene: Any) -> Any:
    node = scene.GetSingletonNode(NODE_TAG, "vtkMRMLSegmentEditorNode")
    if node is None:
        node = slicer.vtkMRMLSegmentEditorNode()
        node.SetSingletonTag(NODE_TAG)
        node = scene.AddNode(node)
    return node
