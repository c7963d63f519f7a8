"""Typed parameters on a parameter node, bound to widgets: the types and widgets that the modules here use.

Stored as the application stores them: text parameters (an enum by its member's name), node references for nodes.
"""

import enum
import functools
import pathlib
import re
import weakref
from dataclasses import dataclass
from typing import Annotated, Any, get_args, get_origin, get_type_hints

import slicer
import slicer.util
import vtk

__all__ = [
    "Choice",
    "Decimals",
    "Default",
    "Maximum",
    "Minimum",
    "SingleStep",
    "WithinRange",
    "isParameterNodeWrapper",
    "parameterNodeWrapper",
    "parameterPack",
]


@dataclass(frozen=True)
class Default:
    """A parameter's first value."""

    value: Any


@dataclass(frozen=True)
class WithinRange:
    """A number from `minimum` to `maximum`."""

    minimum: float
    maximum: float

    def validate(self, value):
        if not self.minimum <= value <= self.maximum:
            raise ValueError(f"Value must be within range [{self.minimum}, {self.maximum}], is {value}")


@dataclass(frozen=True)
class Minimum:
    """A number of at least `minimum`."""

    minimum: float

    def validate(self, value):
        if value < self.minimum:
            raise ValueError(f"Value must be greater than or equal to {self.minimum}, is {value}")


@dataclass(frozen=True)
class Maximum:
    """A number of at most `maximum`."""

    maximum: float

    def validate(self, value):
        if value > self.maximum:
            raise ValueError(f"Value must be less than or equal to {self.maximum}, is {value}")


class Choice:
    """One of some values."""

    def __init__(self, choices):
        self.choices = list(choices)

    def validate(self, value):
        if value not in self.choices:
            raise ValueError(f"Value must be one of {self.choices}, is {value}")


@dataclass(frozen=True)
class Decimals:
    """How many decimals a widget shows."""

    value: int


@dataclass(frozen=True)
class SingleStep:
    """By how much a widget steps."""

    value: float


class Parameter:
    """One field: how it is stored, read and checked."""

    def __init__(self, owner: type, name: str, hint: Any) -> None:
        self.name, self.hint = name, hint
        self.type, self.annotations = _split(hint)
        given = [item.value for item in self.annotations if isinstance(item, Default)]
        if hasattr(owner, name):
            self.default = getattr(owner, name)
        else:
            self.default = given[0] if given else _first_value(self.type)
        self.is_node = isinstance(self.type, type) and issubclass(self.type, slicer.vtkMRMLNode)
        if not (self.is_node or _storable(self.type)):
            raise TypeError(f"Unable to create serializer for {owner} member {name}")

    def check(self, value: Any) -> None:
        """Refuse a value of another type, or outside what the annotations allow."""
        wanted = (int, float) if self.type is float else (get_origin(self.type) or self.type)
        if not (value is None and self.is_node) and not isinstance(value, wanted):
            raise TypeError(f"Value must be of type '{wanted}', is type '{type(value)}' value '{value}'")
        for item in self.annotations:
            if hasattr(item, "validate"):
                item.validate(value)

    def is_in(self, node: Any) -> bool:
        """Whether the node has the parameter."""
        return bool(node.HasParameter(self.name)) or any(
            name.startswith(f"{self.name}.") for name in node.GetParameterNames()
        )

    def write(self, node: Any, value: Any) -> None:
        """Store a value."""
        self.check(value)
        with slicer.util.NodeModify(node):
            if self.is_node:
                node.SetParameter(self.name, "")
                node.SetNodeReferenceID(self.name, value.GetID() if value is not None else None)
            else:
                for name in node.GetParameterNames():
                    if name.startswith(f"{self.name}."):
                        node.UnsetParameter(name)
                _store(node, self.name, self.type, value)

    def read(self, node: Any) -> Any:
        """Return the stored value."""
        if not self.is_in(node):
            self.write(node, self.default)
        return node.GetNodeReference(self.name) if self.is_node else _load(node, self.name, self.type)


def _split(hint: Any) -> tuple[Any, tuple]:
    if get_origin(hint) is Annotated:
        kind, *annotations = get_args(hint)
        return kind, tuple(annotations)
    return hint, ()


def _storable(kind: Any) -> bool:
    if kind in (str, int, float, bool) or getattr(kind, "_is_pack", False) or get_origin(kind) in (list, dict):
        return True
    return isinstance(kind, type) and issubclass(kind, enum.Enum | pathlib.PurePath)


def _first_value(kind: Any) -> Any:
    if isinstance(kind, type) and issubclass(kind, slicer.vtkMRMLNode):
        return None
    if isinstance(kind, type) and issubclass(kind, enum.Enum):
        return next(iter(kind))
    if getattr(kind, "_is_pack", False):
        fields = get_type_hints(kind, include_extras=True)
        return kind(**{name: Parameter(kind, name, hint).default for name, hint in fields.items()})
    return (get_origin(kind) or kind)()


def _store(node: Any, name: str, kind: Any, value: Any) -> None:
    if getattr(kind, "_is_pack", False):
        for field, hint in get_type_hints(kind, include_extras=True).items():
            _store(node, f"{name}.{field}", _split(hint)[0], getattr(value, field))
    elif get_origin(kind) is list:
        node.SetParameter(f"{name}.len", str(len(value)))
        for place, item in enumerate(value):
            _store(node, f"{name}.{place}", get_args(kind)[0], item)
    elif get_origin(kind) is dict:
        node.SetParameter(f"{name}.len", str(len(value)))
        for place, pair in enumerate(value.items()):
            for part in (0, 1):
                _store(node, f"{name}.{place}.{part}", get_args(kind)[part], pair[part])
    elif isinstance(value, enum.Enum):
        node.SetParameter(name, value.name)
    else:
        node.SetParameter(name, str(value))


def _load(node: Any, name: str, kind: Any) -> Any:
    if getattr(kind, "_is_pack", False):
        fields = get_type_hints(kind, include_extras=True)
        return kind(**{field: _load(node, f"{name}.{field}", _split(hint)[0]) for field, hint in fields.items()})
    if get_origin(kind) is list:
        count = int(node.GetParameter(f"{name}.len") or 0)
        return [_load(node, f"{name}.{place}", get_args(kind)[0]) for place in range(count)]
    if get_origin(kind) is dict:
        count = int(node.GetParameter(f"{name}.len") or 0)
        pairs = range(count)
        return {
            _load(node, f"{name}.{place}.0", get_args(kind)[0]): _load(node, f"{name}.{place}.1", get_args(kind)[1])
            for place in pairs
        }
    text = node.GetParameter(name)
    if issubclass(kind, enum.Enum):
        return kind[text]
    return text == "True" if kind is bool else kind(text)


def parameterPack(classtype=None):
    """Make a class of typed fields that is stored as one parameter."""
    if classtype is None:
        return parameterPack
    made = dataclass(classtype)
    made._is_pack = True
    return made


def isParameterNodeWrapper(value):
    """Whether a class or object is a typed parameter node."""
    return getattr(value, "_is_parameter_node_wrapper", False)


def parameterNodeWrapper(classtype=None):
    """Make a class with typed fields into one that keeps them on a parameter node."""
    if classtype is None:
        return parameterNodeWrapper
    hints = get_type_hints(classtype, include_extras=True)
    parameters = {name: Parameter(classtype, name, hint) for name, hint in hints.items()}
    for name in parameters:
        setattr(classtype, name, _field(name))
    for name, method in _Methods.__dict__.items():
        if not name.startswith("__") or name in ("__init__", "__del__"):
            setattr(classtype, name, method)
    classtype.allParameters = parameters
    classtype._is_parameter_node_wrapper = True
    return classtype


def _field(name: str) -> property:
    return property(lambda self: self.getValue(name), lambda self, value: self.setValue(name, value))


_kept: list[Any] = []


def _update_gui(wrapper, *_):
    wrapper._to_gui()


class _Methods:
    """What every typed parameter node can do."""

    def __init__(self, parameterNode, prefix=None):
        self.parameterNode = parameterNode
        self._guis, self._observers, self._next_tag, self._updating = {}, {}, 0, False
        for parameter in self.allParameters.values():
            if not parameter.is_in(parameterNode):
                parameter.write(parameterNode, parameter.default)
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
        with slicer.util.NodeModify(self.parameterNode):
            self._parameter(name).write(self.parameterNode, value)
            self._values[name] = self._parameter(name).read(self.parameterNode)

    def default(self, name):
        """Return a parameter's first value."""
        return Default(self._parameter(name).default)

    def dataType(self, name):
        """Return a parameter's type as annotated."""
        return self._parameter(name).hint

    def isCached(self, name):
        """Whether reading is cheap."""
        return True

    def _parameter(self, name):
        if name not in self.allParameters:
            raise ValueError(f"Cannot find a param with the given name: {name}; found {list(self.allParameters)}")
        return self.allParameters[name]

    def connectGui(self, gui):
        """Bind every widget that has the property SlicerParameterName."""
        import qt

        is_widget = getattr(gui, "isWidgetType", lambda: False)()
        widgets = gui.findChildren(qt.QWidget) if is_widget else gui.__dict__.values()
        named = [(widget.property("SlicerParameterName"), widget) for widget in widgets]
        return self.connectParametersToGui({name: widget for name, widget in named if name})

    def connectParametersToGui(self, mapping):
        """Bind parameters to widgets."""
        connectors = {name: _Connector(widget, self._parameter(name)) for name, widget in mapping.items()}
        tag = self._next_tag
        self._next_tag += 1
        self._guis[tag] = connectors
        for name, connector in connectors.items():
            connector.write(self.getValue(name))
            connector.listen(lambda name=name, connector=connector: self._from_gui(name, connector))
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

    def StartModify(self):
        """Hold back Modified events."""
        return self.parameterNode.StartModify()

    def EndModify(self, was_modified):
        """Send the Modified event held back."""
        return self.parameterNode.EndModify(was_modified)

    def AddObserver(self, event, callback, priority=0.0):
        """Observe the parameter node."""
        return self.parameterNode.AddObserver(event, callback, priority)

    def RemoveObserver(self, tag):
        """Stop observing the parameter node."""
        self.parameterNode.RemoveObserver(tag)

    def Modified(self):
        """Send a Modified event."""
        self.parameterNode.Modified()


_SIMPLE = {
    ("QCheckBox", bool): ("checked", "stateChanged(int)"),
    ("QPushButton", bool): ("checked", "toggled(bool)"),
    ("QSpinBox", int): ("value", "valueChanged(int)"),
    ("QSlider", int): ("value", "valueChanged(int)"),
    ("QDoubleSpinBox", float): ("value", "valueChanged(double)"),
    ("ctkSliderWidget", float): ("value", "valueChanged(double)"),
    ("QLineEdit", str): ("text", "textChanged(QString)"),
}


class _Connector:
    """Between one parameter and one widget. As in the application, a subclass of a widget is no such widget."""

    def __init__(self, widget, parameter):
        self._widget, self._parameter = widget, parameter
        self._listener = None
        self._class, self._kind = widget.className(), parameter.type
        self._choices = [item.choices for item in parameter.annotations if isinstance(item, Choice)]
        is_class = isinstance(self._kind, type)
        if (self._class, self._kind) in _SIMPLE:
            self._property, self._signal = _SIMPLE[self._class, self._kind]
            self._set_range()
        elif self._class == "QTextEdit" and self._kind is str:
            self._property, self._signal = "plainText", "textChanged()"
        elif self._class == "ctkPathLineEdit" and is_class and issubclass(self._kind, pathlib.PurePath):
            self._property, self._signal = "currentPath", "currentPathChanged(QString)"
        elif self._class == "qMRMLNodeComboBox" and parameter.is_node:
            self._property, self._signal = None, "currentNodeChanged(vtkMRMLNode*)"
        elif self._class == "QComboBox" and (self._choices or (is_class and issubclass(self._kind, enum.Enum))):
            self._fill()
            self._property, self._signal = None, "currentIndexChanged(int)"
        else:
            raise RuntimeError(f"Unable to create GUI connector from datatype '{parameter.hint}' to '{self._class}'")

    def _set_range(self):
        for item in self._parameter.annotations:
            if isinstance(item, WithinRange | Minimum) and hasattr(self._widget, "minimum"):
                self._widget.minimum = item.minimum
            if isinstance(item, WithinRange | Maximum) and hasattr(self._widget, "maximum"):
                self._widget.maximum = item.maximum
            if isinstance(item, Decimals):
                self._widget.decimals = item.value
            if isinstance(item, SingleStep):
                self._widget.singleStep = item.value

    def _fill(self):
        # An enum may have a method `label`; else its members' names are shown.
        values = self._choices[0] if self._choices else list(self._kind)
        label = str if self._choices else getattr(self._kind, "label", lambda member: member.name)
        self._values = list(values)
        self._widget.clear()
        for value in self._values:
            self._widget.addItem(label(value))

    def read(self):
        if self._class == "qMRMLNodeComboBox":
            return self._widget.currentNode()
        if self._class == "QComboBox":
            return self._values[self._widget.currentIndex]
        if self._class == "QTextEdit":
            return self._widget.toPlainText()
        return self._kind(getattr(self._widget, self._property))

    def write(self, value):
        if self._class == "qMRMLNodeComboBox":
            self._widget.setCurrentNode(value)
        elif self._class == "QComboBox":
            self._widget.currentIndex = self._values.index(value)
        elif self._class == "QTextEdit":
            if self._widget.toPlainText() != value:
                self._widget.setPlainText(value)
        elif self._class == "ctkPathLineEdit":
            self._widget.currentPath = re.sub(r"^\.$", "", str(value))
        elif self._class == "ctkSliderWidget" or getattr(self._widget, self._property) != value:
            setattr(self._widget, self._property, value)

    def _changed(self, *_):
        if self._listener is not None:
            self._listener()

    def listen(self, function):
        self._listener = function
        self._widget.connect(self._signal, self._changed)

    def stop(self):
        self._listener = None
        self._widget.disconnect(self._signal, self._changed)
