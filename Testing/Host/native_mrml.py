"""qMRML and qSlicer widgets on PySide, on genuine MRML: what panels use of them."""

from typing import Any, ClassVar

from PySide6.QtCore import Property, QObject, Signal
from PySide6.QtGui import QKeySequence, QShortcut
from PySide6.QtWidgets import QLabel, QVBoxLayout, QWidget


class qMRMLWidget(QWidget):
    """A widget that knows the scene."""

    mrml_scene_changed = Signal(object)
    vtk_signals: ClassVar = {"mrmlSceneChanged(vtkMRMLScene*)": "mrml_scene_changed"}

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._scene: Any = None

    def mrmlScene(self) -> Any:
        return self._scene

    def setMRMLScene(self, scene: Any) -> None:
        if scene is not self._scene:
            self._scene = scene
            self.mrml_scene_changed.emit(scene)


class qMRMLSegmentEditorWidget(qMRMLWidget):
    """The segment editor: what is edited, not the editing. Tests edit the segmentation node instead."""

    segmentation_changed = Signal(object)
    source_changed = Signal(object)
    segment_changed = Signal(str)
    vtk_signals: ClassVar = {
        **qMRMLWidget.vtk_signals,
        "segmentationNodeChanged(vtkMRMLSegmentationNode*)": "segmentation_changed",
        "sourceVolumeNodeChanged(vtkMRMLVolumeNode*)": "source_changed",
        "currentSegmentIDChanged(QString)": "segment_changed",
    }
    EFFECTS = ("Paint", "Draw", "Erase", "Level tracing", "Grow from seeds", "Threshold", "Islands", "Smoothing")

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._editor = self._effect = None
        self._flags: dict[str, Any] = {"maximumNumberOfUndoStates": 0, "undoEnabled": True}
        self._keys: list[QShortcut] = []
        self.observing_views = False
        layout = QVBoxLayout(self)
        layout.addWidget(QLabel("(Segment Editor)"))

    def setMRMLSegmentEditorNode(self, node: Any) -> None:
        self._editor = node

    def mrmlSegmentEditorNode(self) -> Any:
        return self._editor

    def _need_editor(self) -> Any:
        # The widget keeps what it edits in this node, and does nothing without it.
        return self._editor

    def setSegmentationNode(self, node: Any) -> None:
        if self._need_editor() is not None and self._editor.GetSegmentationNode() is not node:
            self._editor.SetAndObserveSegmentationNode(node)
            self.segmentation_changed.emit(node)
            first = node.GetSegmentation().GetNthSegmentID(0) if node and node.GetSegmentation() else ""
            self.setCurrentSegmentID(first if node and node.GetSegmentation().GetNumberOfSegments() else "")

    def segmentationNode(self) -> Any:
        return self._editor.GetSegmentationNode() if self._editor else None

    def setSourceVolumeNode(self, node: Any) -> None:
        if self._need_editor() is not None and self._editor.GetSourceVolumeNode() is not node:
            self._editor.SetAndObserveSourceVolumeNode(node)
            self.source_changed.emit(node)

    def sourceVolumeNode(self) -> Any:
        return self._editor.GetSourceVolumeNode() if self._editor else None

    def setCurrentSegmentID(self, segment_id: str) -> None:
        if self._need_editor() is not None and (self._editor.GetSelectedSegmentID() or "") != segment_id:
            self._editor.SetSelectedSegmentID(segment_id)
            self.segment_changed.emit(segment_id)

    def currentSegmentID(self) -> str:
        return (self._editor.GetSelectedSegmentID() or "") if self._editor else ""

    def availableEffectNames(self) -> list[str]:
        return list(self.EFFECTS)

    def setActiveEffectByName(self, name: str) -> None:
        self._effect = name or None
        if self._editor is not None:
            self._editor.SetActiveEffectName(name)

    def activeEffect(self) -> Any:
        return self._effect

    def setUndoEnabled(self, on: bool) -> None:
        self._flags["undoEnabled"] = on

    def setMaximumNumberOfUndoStates(self, states: int) -> None:
        self._flags["maximumNumberOfUndoStates"] = states

    def undo(self) -> None:
        self.undone += 1

    def redo(self) -> None:
        self.undone -= 1

    def setupViewObservations(self) -> None:
        self.observing_views = True

    def removeViewObservations(self) -> None:
        self.observing_views = False

    # Read off 5.12.3 (`findChildren(qt.QShortcut)` before and after): digits choose tools, these keys and more work in
    # the whole window of the parent that is given, and Ctrl+Y is not among them on Linux.
    def installKeyboardShortcuts(self, parent: QWidget | None = None) -> None:
        self._keys = [QShortcut(QKeySequence(key), parent or self) for key in (*"1234567890", "Esc", "Space")]
        for key, does in (("Ctrl+Z", self.undo), ("Ctrl+Shift+Z", self.redo)):
            self._keys.append(QShortcut(QKeySequence(key), parent or self))
            self._keys[-1].activated.connect(does)

    def uninstallKeyboardShortcuts(self) -> None:
        for key in self._keys:
            key.setEnabled(False)
            key.setParent(None)
        self._keys = []

    def setSegmentationNodeSelectorVisible(self, on: bool) -> None:
        self._flags["segmentationNodeSelectorVisible"] = on

    def setSourceVolumeNodeSelectorVisible(self, on: bool) -> None:
        self._flags["sourceVolumeNodeSelectorVisible"] = on

    def setSwitchToSegmentationsButtonVisible(self, on: bool) -> None:
        self._flags["switchToSegmentationsButtonVisible"] = on

    def _flag(name: str, kind: type, default: Any):
        return Property(
            kind, lambda self: self._flags.get(name, default), lambda self, value: self._flags.update({name: value})
        )

    undoEnabled = _flag("undoEnabled", bool, True)
    maximumNumberOfUndoStates = _flag("maximumNumberOfUndoStates", int, 0)
    readOnly = _flag("readOnly", bool, False)
    addRemoveSegmentButtonsVisible = _flag("addRemoveSegmentButtonsVisible", bool, True)
    autoShowSourceVolumeNode = _flag("autoShowSourceVolumeNode", bool, True)
    autoShowMasterVolumeNode = _flag("autoShowSourceVolumeNode", bool, True)
    effectColumnCount = _flag("effectColumnCount", int, 2)
    jumpToSelectedSegmentEnabled = _flag("jumpToSelectedSegmentEnabled", bool, False)
    maskingSectionVisible = _flag("maskingSectionVisible", bool, True)
    segmentationNodeSelectorVisible = _flag("segmentationNodeSelectorVisible", bool, True)
    sourceVolumeNodeSelectorVisible = _flag("sourceVolumeNodeSelectorVisible", bool, True)
    masterVolumeNodeSelectorVisible = _flag("sourceVolumeNodeSelectorVisible", bool, True)
    show3DButtonVisible = _flag("show3DButtonVisible", bool, True)
    specifyGeometryButtonVisible = _flag("specifyGeometryButtonVisible", bool, True)
    switchToSegmentationsButtonVisible = _flag("switchToSegmentationsButtonVisible", bool, True)
    defaultTerminologyEntrySettingsKey = _flag("defaultTerminologyEntrySettingsKey", str, "")
    defaultTerminologyEntry = _flag("defaultTerminologyEntry", str, "")


class qSlicerScriptedLoadableModule(QObject):
    """The application's side of a scripted module: its name, path, texts and panel."""

    def __init__(self, name: str, path: str) -> None:
        super().__init__()
        self.setObjectName(name)
        self._told: dict[str, Any] = {"name": name, "path": path, "title": name}
        self.make_widget: Any = None
        self.scripted: Any = None
        self._representation: Any = None

    def _told_property(key: str, kind: Any, default: Any):
        return Property(
            kind, lambda self: self._told.get(key, default), lambda self, value: self._told.update({key: value})
        )

    name = _told_property("name", str, "")
    path = _told_property("path", str, "")
    title = _told_property("title", str, "")
    categories = _told_property("categories", "QStringList", [])
    dependencies = _told_property("dependencies", "QStringList", [])
    contributors = _told_property("contributors", "QStringList", [])
    associatedNodeTypes = _told_property("associatedNodeTypes", "QStringList", [])
    helpText = _told_property("helpText", str, "")
    acknowledgementText = _told_property("acknowledgementText", str, "")
    hidden = _told_property("hidden", bool, False)
    index = _told_property("index", int, -1)
    icon = _told_property("icon", "QVariant", None)
    widgetRepresentationCreationEnabled = _told_property("widgetRepresentationCreationEnabled", bool, True)

    def widgetRepresentation(self) -> Any:
        if self._representation is None:
            self._representation = self.make_widget()
        return self._representation

    def mrmlScene(self) -> Any:
        import slicer

        return slicer.mrmlScene

    def logic(self) -> Any:
        return None


class qSlicerScriptedLoadableModuleWidget(qMRMLWidget):
    """The application's side of a scripted module's panel."""

    def __init__(self, module_name: str = "", parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._module_name, self.scripted, self._entered = module_name, None, False
        QVBoxLayout(self)

    def self(self) -> Any:
        return self.scripted

    def enter(self) -> None:
        if not self._entered:
            self._entered = True
            self.scripted.enter()

    def exit(self) -> None:
        if self._entered:
            self._entered = False
            self.scripted.exit()

    moduleName = Property(str, lambda self: self._module_name)
    isEntered = Property(bool, lambda self: self._entered)
