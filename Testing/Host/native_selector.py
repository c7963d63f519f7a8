"""`qMRMLNodeComboBox` on PySide and a genuine scene."""

import weakref
from typing import Any, ClassVar

import shiboken6
import vtk
from PySide6.QtCore import Property, Signal
from PySide6.QtWidgets import QComboBox, QHBoxLayout, QWidget


class qMRMLNodeComboBox(QWidget):
    """A choice among the scene's nodes of some types."""

    node_changed = Signal(object)
    node_changed_bool = Signal(bool)
    node_id_changed = Signal(str)
    node_activated = Signal(object)
    node_added = Signal(object)
    node_removed = Signal(object)
    vtk_signals: ClassVar = {
        "currentNodeChanged(vtkMRMLNode*)": "node_changed",
        "currentNodeChanged(bool)": "node_changed_bool",
        "currentNodeIDChanged(QString)": "node_id_changed",
        "nodeActivated(vtkMRMLNode*)": "node_activated",
        "nodeAdded(vtkMRMLNode*)": "node_added",
        "nodeAboutToBeRemoved(vtkMRMLNode*)": "node_removed",
    }

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._scene: Any = None
        self._observed: list[tuple[Any, int]] = []
        self._watched: dict[str, tuple[Any, int]] = {}
        self._types: list[str] = []
        self._attributes: list[tuple[str, str, Any]] = []
        self._told: dict[str, Any] = {}
        self._current = ""
        self._combo = QComboBox()
        layout = QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self._combo)
        self.setFocusProxy(self._combo)
        self._combo.activated.connect(self._on_activated)

    # What a test uses to choose as a user would.
    def combo(self) -> QComboBox:
        return self._combo

    def mrmlScene(self) -> Any:
        return self._scene

    def setMRMLScene(self, scene: Any) -> None:
        if scene is self._scene:
            return
        self._forget_scene()
        self._scene = scene
        if scene is not None:
            for event, slot in (
                (scene.NodeAddedEvent, self._on_added),
                (scene.NodeAboutToBeRemovedEvent, self._on_leaving),
                (scene.NodeRemovedEvent, self._on_removed),
                (scene.EndBatchProcessEvent, self._on_batch_end),
            ):
                self._observed.append((scene, scene.AddObserver(event, self._while_alive(slot))))
        self._list()
        # Only a node that was there before the scene was set is taken by itself.
        if self._nodes() and not self._told.get("noneEnabled", False) and not self._current:
            self.setCurrentNode(self._nodes()[0])

    def _while_alive(self, slot: Any) -> Any:
        # The scene may outlive the widget, which then hears of nothing more.
        held = weakref.WeakMethod(slot)

        def call(*told: Any) -> None:
            if held() is not None and shiboken6.isValid(self_of()):
                held()(*told)

        self_of = weakref.ref(self)
        if hasattr(slot, "CallDataType"):
            call.CallDataType = slot.CallDataType
        return call

    def _forget_scene(self) -> None:
        for source, tag in [*self._observed, *self._watched.values()]:
            source.RemoveObserver(tag)
        self._observed, self._watched = [], {}

    def _shown(self, node: Any) -> bool:
        if node.GetHideFromEditors() and not self._told.get("showHidden", False):
            return False
        if self._told.get("showChildNodeTypes", True):
            fits = any(node.IsA(kind) for kind in self._types)
        else:
            fits = node.GetClassName() in self._types
        for kind in self._told.get("hideChildNodeTypes", []):
            fits = fits and not (node.IsA(kind) and kind not in self._types)
        for kind, name, value in self._attributes:
            if node.IsA(kind) and (node.GetAttribute(name) is None or (value and node.GetAttribute(name) != value)):
                fits = False
        return fits

    def _nodes(self) -> list[Any]:
        if self._scene is None:
            return []
        nodes = [self._scene.GetNthNode(place) for place in range(self._scene.GetNumberOfNodes())]
        return [node for node in nodes if self._shown(node)]

    def _list(self, *, without: Any = None) -> None:
        nodes = [node for node in self._nodes() if node is not without]
        fallback = self._neighbor_of_current() if without is not None else ""
        self._combo.blockSignals(True)
        self._combo.clear()
        if self._told.get("noneEnabled", False):
            self._combo.addItem(self._told.get("noneDisplay", "None"), "")
        for node in nodes:
            self._combo.addItem(node.GetName() or node.GetID(), node.GetID())
            if node.GetID() not in self._watched:
                tag = node.AddObserver(vtk.vtkCommand.ModifiedEvent, self._while_alive(self._on_renamed))
                self._watched[node.GetID()] = (node, tag)
        if self._combo.findData(self._current) < 0:
            self._combo.setCurrentIndex(self._combo.findData(fallback))
            self._combo.blockSignals(False)
            self._take(fallback)
            return
        self._combo.setCurrentIndex(self._combo.findData(self._current))
        self._combo.blockSignals(False)

    def _neighbor_of_current(self) -> str:
        # The combo box goes to the next entry when the current one leaves, or to the one before, with "None" on offer
        # too (read off the application: of A, B, C, B follows A, C follows B, and B follows C).
        ids = [self._combo.itemData(row) for row in range(self._combo.count()) if self._combo.itemData(row)]
        if self._current not in ids:
            return ""
        place = ids.index(self._current)
        ids.pop(place)
        return ids[min(place, len(ids) - 1)] if ids else ""

    def _on_batch_end(self, *_: Any) -> None:
        self._list()

    def _on_renamed(self, node: Any, _event: str) -> None:
        row = self._combo.findData(node.GetID())
        name = node.GetName() or node.GetID()
        if row >= 0 and self._combo.itemText(row) != name:
            self._combo.setItemText(row, name)
            if node.GetID() == self._current:
                self._tell_current()  # qMRMLNodeComboBox tells of a new text.

    @vtk.calldata_type(vtk.VTK_OBJECT)
    def _on_added(self, scene: Any, _event: str, node: Any) -> None:
        if not scene.IsBatchProcessing() and self._shown(node):
            self._list()
            self.node_added.emit(node)

    @vtk.calldata_type(vtk.VTK_OBJECT)
    def _on_leaving(self, _scene: Any, _event: str, node: Any) -> None:
        watched = self._watched.pop(node.GetID(), None)
        if watched:
            node.RemoveObserver(watched[1])
            self.node_removed.emit(node)
            self._list(without=node)

    @vtk.calldata_type(vtk.VTK_OBJECT)
    def _on_removed(self, scene: Any, _event: str, _node: Any) -> None:
        if not scene.IsBatchProcessing():
            self._list()

    def _on_activated(self, row: int) -> None:
        self._take(self._combo.itemData(row) or "")
        self.node_activated.emit(self.currentNode())

    def _take(self, node_id: str) -> None:
        if node_id == self._current:
            return
        self._current = node_id
        self._tell_current()

    def _tell_current(self) -> None:
        node = self.currentNode()
        self.node_changed.emit(node)
        self.node_changed_bool.emit(node is not None)
        self.node_id_changed.emit(self._current)

    def currentNode(self) -> Any:
        return self._scene.GetNodeByID(self._current) if self._scene and self._current else None

    def setCurrentNode(self, node: Any) -> None:
        self.setCurrentNodeID(node if isinstance(node, str) else node.GetID() if node else "")

    def setCurrentNodeID(self, node_id: str) -> None:
        row = self._combo.findData(node_id or "")
        if row < 0 and not node_id:
            self._combo.setCurrentIndex(-1)
            self._take("")
        if row >= 0:
            self._combo.blockSignals(True)
            self._combo.setCurrentIndex(row)
            self._combo.blockSignals(False)
            changed = node_id != self._current
            self._take(node_id or "")
            # As 5.12.3 does it for a node that a program chooses (not for None): the signal is no sign of a person.
            if changed and node_id:
                self.node_activated.emit(self.currentNode())

    def _set_types(self, types: list[str]) -> None:
        self._types = list(types)
        self._list()

    def _tell(name: str, kind: Any, default: Any):
        def setter(self, value) -> None:
            self._told[name] = value
            self._list()

        return Property(kind, lambda self: self._told.get(name, default), setter)

    nodeTypes = Property("QStringList", lambda self: self._types, _set_types)
    currentNodeID = Property(str, lambda self: self._current, setCurrentNodeID)
    currentNodeId = Property(str, lambda self: self._current, setCurrentNodeID)
    noneEnabled = _tell("noneEnabled", bool, False)
    noneDisplay = _tell("noneDisplay", str, "None")
    showHidden = _tell("showHidden", bool, False)
    showChildNodeTypes = _tell("showChildNodeTypes", bool, True)
    hideChildNodeTypes = _tell("hideChildNodeTypes", "QStringList", [])
    addEnabled = _tell("addEnabled", bool, True)
    removeEnabled = _tell("removeEnabled", bool, True)
    renameEnabled = _tell("renameEnabled", bool, False)
    editEnabled = _tell("editEnabled", bool, False)
    selectNodeUponCreation = _tell("selectNodeUponCreation", bool, True)
    baseName = _tell("baseName", str, "")
    interactionNodeSingletonTag = _tell("interactionNodeSingletonTag", str, "")
