"""Typed parameters on a parameter node, bound to widgets: the types and widgets that the modules here use.

Stored as the application stores them: text parameters (an enum by its member's name), node references for nodes. What
is refused, and in which words, is read off Slicer's own package of that name.
"""

import enum
import functools
import weakref
from typing import Any, get_type_hints

import slicer
import slicer.util
import vtk

__all__ = ["parameterNodeWrapper"]


class Parameter:
    """One typed parameter of a class: how it is checked, stored and read."""

    def __init__(self, owner: type, name: str, kind: type) -> None:
        self.name, self.type = name, kind
        self.is_node, self.is_enum = issubclass(kind, slicer.vtkMRMLNode), issubclass(kind, enum.Enum)
        if not (self.is_node or self.is_enum or kind is str):
            raise TypeError(f"Unable to create serializer for {owner} member {name}")
        first = None if self.is_node else next(iter(kind)) if self.is_enum else ""
        self.default = getattr(owner, name, first)

    def write(self, node: Any, value: Any) -> None:
        """Store a value; one of another type is refused."""
        if not (value is None and self.is_node) and not isinstance(value, self.type):
            raise TypeError(f"Value must be of type '{self.type}', is type '{type(value)}' value '{value}'")
        with slicer.util.NodeModify(node):
            node.SetParameter(self.name, "" if self.is_node else value.name if self.is_enum else value)
            if self.is_node:
                node.SetNodeReferenceID(self.name, value.GetID() if value is not None else None)

    def read(self, node: Any) -> Any:
        """Return the stored value."""
        if not node.HasParameter(self.name):
            self.write(node, self.default)
        if self.is_node:
            return node.GetNodeReference(self.name)
        text = node.GetParameter(self.name)
        return self.type[text] if self.is_enum else text


def parameterNodeWrapper(classtype):
    """Make a class with typed fields into one that keeps them on a parameter node."""
    parameters = {name: Parameter(classtype, name, kind) for name, kind in get_type_hints(classtype).items()}
    for name in parameters:
        setattr(classtype, name, _field(name))
    for name, method in _Methods.__dict__.items():
        if not name.startswith("__") or name in ("__init__", "__del__"):
            setattr(classtype, name, method)
    classtype.allParameters = parameters
    return classtype


def _field(name: str) -> property:
    return property(lambda self: self.getValue(name), lambda self, value: self.setValue(name, value))


_kept: list[Any] = []


def _update_gui(wrapper, *_):
    wrapper._to_gui()


class _Methods:
    """What every typed parameter node can do."""

    def __init__(self, parameterNode):
        self.parameterNode = parameterNode
        self._guis, self._observers, self._next_tag, self._updating = {}, {}, 0, False
        # As the application's wrapper.py (_CachedParameterWrapper): read once, and again only when the node says that
        # it was modified; a node reference that changes by itself does not say so.
        self._values = {}
        self._read_all()
        of_wrapper = weakref.ref(self)
        self._cache_tag = parameterNode.AddObserver(
            vtk.vtkCommand.ModifiedEvent, lambda *_: of_wrapper() and of_wrapper()._read_all()
        )

    def __del__(self):
        self.parameterNode.RemoveObserver(self._cache_tag)

    def _read_all(self):
        self._values = {name: parameter.read(self.parameterNode) for name, parameter in self.allParameters.items()}

    def getValue(self, name):
        """Return a parameter's value as it was last read."""
        self._parameter(name)
        return self._values[name]

    def setValue(self, name, value):
        """Set a parameter's value."""
        parameter = self._parameter(name)
        with slicer.util.NodeModify(self.parameterNode):
            parameter.write(self.parameterNode, value)
            self._values[name] = parameter.read(self.parameterNode)

    def _parameter(self, name):
        if name not in self.allParameters:
            raise ValueError(f"Cannot find a param with the given name: {name}; found {list(self.allParameters)}")
        return self.allParameters[name]

    def connectGui(self, gui):
        """Bind every widget that has the property SlicerParameterName."""
        named = [(widget.property("SlicerParameterName"), widget) for widget in gui.__dict__.values()]
        connectors = {name: _Connector(widget, self._parameter(name)) for name, widget in named if name}
        tag = self._next_tag
        self._next_tag += 1
        self._guis[tag] = connectors
        for name, connector in connectors.items():
            connector.write(self.getValue(name))
            connector.listen(functools.partial(self._from_gui, name, connector))
        update = functools.partial(_update_gui, self)
        # Python's garbage collection takes a callable that only VTK holds, and VTK would then call what is no more.
        _kept.append(update)
        self._observers[tag] = self.AddObserver(vtk.vtkCommand.ModifiedEvent, update)
        return tag

    def disconnectGui(self, guiTag):
        """Undo a binding."""
        for connector in self._guis.pop(guiTag, {}).values():
            connector.stop()
        if guiTag in self._observers:
            self.RemoveObserver(self._observers.pop(guiTag))

    def _from_gui(self, name, connector):
        if not self._updating:
            with slicer.util.NodeModify(self.parameterNode):
                self.setValue(name, connector.read())

    def _to_gui(self):
        if self._updating:
            return
        self._updating = True
        try:
            for connectors in list(self._guis.values()):
                for name, connector in connectors.items():
                    connector.write(self.getValue(name))
        finally:
            self._updating = False

    def AddObserver(self, event, callback, priority=0.0):
        """Observe the parameter node."""
        return self.parameterNode.AddObserver(event, callback, priority)

    def RemoveObserver(self, tag):
        """Stop observing the parameter node."""
        self.parameterNode.RemoveObserver(tag)


class _Connector:
    """Between one parameter and one widget. As in the application, a subclass of a widget is no such widget."""

    def __init__(self, widget, parameter):
        self._widget, self._listener, self._class = widget, None, widget.className()
        if self._class == "QLineEdit" and parameter.type is str:
            self._signal = "textChanged(QString)"
        elif self._class == "qMRMLNodeComboBox" and parameter.is_node:
            self._signal = "currentNodeChanged(vtkMRMLNode*)"
        elif self._class == "QComboBox" and parameter.is_enum:
            # An enum may have a method `label`; else its members' names are shown.
            label = getattr(parameter.type, "label", lambda member: member.name)
            self._values = list(parameter.type)
            self._widget.clear()
            for value in self._values:
                self._widget.addItem(label(value))
            self._signal = "currentIndexChanged(int)"
        else:
            raise RuntimeError(f"Unable to create GUI connector from datatype '{parameter.type}' to '{self._class}'")

    def read(self):
        """Return what the widget shows."""
        if self._class == "qMRMLNodeComboBox":
            return self._widget.currentNode()
        return self._widget.text if self._class == "QLineEdit" else self._values[self._widget.currentIndex]

    def write(self, value):
        """Show a value."""
        if self._class == "qMRMLNodeComboBox":
            self._widget.setCurrentNode(value)
        elif self._class == "QComboBox":
            self._widget.currentIndex = self._values.index(value)
        elif self._widget.text != value:
            self._widget.text = value

    def _changed(self, *_):
        if self._listener is not None:
            self._listener()

    def listen(self, function):
        """Call a function when the user changes the widget."""
        self._listener = function
        self._widget.connect(self._signal, self._changed)

    def stop(self):
        """Call it no more."""
        self._listener = None
        self._widget.disconnect(self._signal, self._changed)
