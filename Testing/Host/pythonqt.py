"""Qt objects as PythonQt shows them: properties without parentheses, only the names it has, `connect("signal(args)")`.

A `Wrapped` object stands for one PySide object. Reading an attribute answers a property's value, a signal, or a method;
setting one sets a property; any other name raises what PythonQt raises. `wrap` and `unwrap` go between the two worlds.
"""

import enum
import functools
import pathlib
import weakref
from typing import Any

import keep_none  # noqa: F401
import qt5_names
import qt_tables
import shiboken6
from api_names import names_of
from dialogs import dialogs
from PySide6 import QtCore, QtWidgets
from pythonqt_signals import connect, disconnect, guarded, has_signal
from shiboken6 import Shiboken

_PLAIN = frozenset((str, int, float, bool, bytes))


class EnumValue(int):
    """An enum value: an int as in PythonQt, that remembers which PySide member it is."""

    native: enum.Enum

    def __new__(cls, native: enum.Enum) -> "EnumValue":
        made = super().__new__(cls, native.value)
        made.native = native
        return made

    def _both(self, other: Any, join: Any) -> Any:
        if isinstance(other, EnumValue):
            return wrap(join(self.native, other.native))
        return join(int(self), int(other))

    def __or__(self, other: Any) -> Any:
        return self._both(other, lambda a, b: a | b)

    def __and__(self, other: Any) -> Any:
        return self._both(other, lambda a, b: a & b)

    def __invert__(self) -> Any:
        return wrap(~self.native) if isinstance(self.native, enum.Flag) else ~int(self)

    def __repr__(self) -> str:
        return f"{self.native} ({int(self)})"


class EnumType:
    """An enum's type, which makes values from ints: `qt.QMessageBox.StandardButton(1024)`."""

    def __init__(self, native: type[enum.Enum]) -> None:
        self._native = native

    def __call__(self, value: int) -> EnumValue:
        return EnumValue(self._native(int(value)))


class WrappedType(type):
    """The type of wrapped classes, which answers static methods and enum values from the PySide class."""

    def __getattr__(cls, name: str) -> Any:
        native = cls.__dict__.get("_native_class") or next(
            (base._native_class for base in cls.__mro__ if "_native_class" in base.__dict__), None
        )
        if name.startswith("__") or native is None:
            raise AttributeError(name)
        shown = native.__name__
        allowed = names_of(shown)
        if allowed is not None and name not in allowed:
            raise AttributeError(f"type object '{shown}' has no attribute '{name}'")
        special = qt5_names.static(native, name)
        if special is not None:
            return special
        return _class_member(native, name)


class Wrapped(metaclass=WrappedType):
    """One Qt object or value as PythonQt shows it."""

    __slots__ = ("__weakref__", "_native")
    _native_class: Any = None

    def __init__(self, *arguments: Any, **keywords: Any) -> None:
        native = self._native_class(*unwrap(arguments), **{key: unwrap(value) for key, value in keywords.items()})
        object.__setattr__(self, "_native", native)
        _remember(native, self)
        if type(self).__dict__.get("_native_class") is None and isinstance(native, QtCore.QObject):
            # A Python subclass keeps its own attributes for as long as the Qt object lives.
            native._python_side = self

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__") or name == "_native":
            raise AttributeError(name)
        native = _alive(self, name)
        return _reader(type(native), name, type(self))(self, native)

    def __setattr__(self, name: str, value: Any) -> None:
        native, shown = _alive(self, name), shown_name(self)
        if isinstance(native, QtCore.QObject):
            if name == "name":
                native.setObjectName(value)
                return
            if _allowed(native, shown, name) and _is_property(native, name):
                _write(native, shown, name, value)
                return
            if name.encode() in native.dynamicPropertyNames():
                native.setProperty(name, unwrap(value))
                return
        if "_native_class" not in type(self).__dict__:  # a Python subclass may have attributes of its own
            object.__setattr__(self, name, value)
            return
        raise AttributeError(
            f"'{name}' does not exist on {shown} and creating new attributes on C++ objects is not allowed"
        )

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Wrapped):
            return NotImplemented
        if isinstance(self._native, QtCore.QObject):
            return self._native is other._native
        return self._native == other._native

    def __hash__(self) -> int:
        return hash(self._native) if isinstance(self._native, QtCore.QObject) else id(self)

    def __bool__(self) -> bool:
        return shiboken6.isValid(self._native)

    def __repr__(self) -> str:
        return f"{shown_name(self)} ({self._native!r})"


@functools.cache
def _class_member(native: type, name: str) -> Any:
    return wrap_member(native, getattr(native, name))


@functools.cache
def _reader(native_class: type, name: str, shown_class: type) -> Any:
    """Return what answers an attribute of that name: a function of the wrapped object and the PySide object."""
    shown = shown_name_of(shown_class)
    is_object = issubclass(native_class, QtCore.QObject)
    if not _allowed_name(shown, name, is_object):
        return functools.partial(_read_dynamic, name)
    if is_object and name == "name":
        return lambda _, native: native.objectName()
    if name == "className":
        return lambda _, __: lambda: shown
    if name == "delete":
        return lambda _, native: functools.partial(shiboken6.delete, native)
    if is_object and name in ("connect", "disconnect"):
        function = connect if name == "connect" else disconnect
        return lambda wrapped, _: functools.partial(function, wrapped)
    if name in qt5_names.METHODS:
        return functools.partial(_read_special, name)
    if is_object and _has_property(native_class, name):
        return lambda _, native: wrap(_read(native, name))
    if is_object:
        return functools.partial(_read_member, name)
    return functools.partial(_read_value_member, name)


def _read_special(name: str, wrapped: Any, native: Any) -> Any:
    special = qt5_names.method(native, name)
    return _Call(special) if special is not None else _read_member(name, wrapped, native)


def _read_member(name: str, wrapped: Any, native: Any) -> Any:
    if isinstance(native, QtCore.QObject) and has_signal(native, name):
        return _read_dynamic(name, wrapped, native)  # `button.clicked.connect`: panels name signals by text
    if isinstance(native, QtWidgets.QDialog) and name in ("exec_", "exec"):
        return functools.partial(dialogs.run, native)
    member = getattr(native, name.rstrip("_") if name == "exec_" else name, None)
    if member is None:
        return _read_dynamic(name, wrapped, native)
    return wrap_member(native, member)


def _read_value_member(name: str, wrapped: Any, native: Any) -> Any:
    member = getattr(native, name, None)
    return _read_dynamic(name, wrapped, native) if member is None else wrap_member(native, member)


def _read_dynamic(name: str, wrapped: Any, native: Any) -> Any:
    if isinstance(native, QtCore.QObject) and name.encode() in native.dynamicPropertyNames():
        return wrap(native.property(name))
    shown = shown_name(wrapped)
    if _allowed(native, shown, name):
        raise AttributeError(f"the test host does not have {shown}.{name} yet (the application does)")
    raise AttributeError(f"{shown} has no attribute named '{name}'")


_classes: dict[type, type] = {}
_known: "weakref.WeakValueDictionary[int, Wrapped]" = weakref.WeakValueDictionary()


def class_of(native: type) -> type:
    """Return the wrapped class that stands for a PySide class."""
    if native not in _classes:
        # As in PythonQt, a class does not know its bases: a QPushButton is no instance of QWidget.
        _classes[native] = WrappedType(native.__name__, (Wrapped,), {"__slots__": (), "_native_class": native})
    return _classes[native]


# By type too: flags of different kinds with the same number are equal.
@functools.lru_cache(maxsize=None, typed=True)
def _enum_value(native: enum.Enum) -> EnumValue:
    return EnumValue(native)


def wrap(value: Any) -> Any:
    """Return what Python sees of a value that Qt hands out: strings and numbers as they are, lists as tuples."""
    if value is None or type(value) in _PLAIN:
        return value
    if isinstance(value, enum.Enum):
        return _enum_value(value)
    if isinstance(value, list | tuple):
        return tuple(wrap(item) for item in value)
    if isinstance(value, dict):
        return {key: wrap(item) for key, item in value.items()}
    if not isinstance(value, Shiboken.Object):
        return value
    mine = getattr(value, "_python_side", None)
    if mine is not None:
        return mine
    known = _known.get(_key(value)) if isinstance(value, QtCore.QObject) else None
    if known is not None and known._native is value:
        return known
    made = object.__new__(class_of(type(value)))
    object.__setattr__(made, "_native", value)
    _remember(value, made)
    return made


def unwrap(value: Any) -> Any:
    """Return what Qt is handed for a value of Python's."""
    if value is None or type(value) in _PLAIN:
        return value
    if isinstance(value, Wrapped):
        return value._native
    if isinstance(value, EnumValue):
        return value.native
    if isinstance(value, list | tuple):
        return type(value)(unwrap(item) for item in value)
    if isinstance(value, dict):
        return {key: unwrap(item) for key, item in value.items()}
    if isinstance(value, WrappedType):
        return value._native_class
    return value


def wrap_member(native: Any, member: Any) -> Any:
    """Return a method, an enum type or an enum value of a PySide class as PythonQt shows it."""
    if isinstance(member, type) and issubclass(member, enum.Enum):
        return EnumType(member)
    if isinstance(member, type) and _is_qt(member):
        return class_of(member)
    return _Call(member) if callable(member) else wrap(member)


def shown_name(wrapped: Any) -> str:
    """Return the C++ class's name."""
    return shown_name_of(type(wrapped))


@functools.cache
def shown_name_of(cls: type) -> str:
    """Return the C++ class's name of a wrapped class or a Python subclass of one."""
    return next(base._native_class.__name__ for base in cls.__mro__ if base.__dict__.get("_native_class"))


class _Call:
    """A method of a PySide object or class: takes and answers what Python sees."""

    __slots__ = ("_member",)

    def __init__(self, member: Any) -> None:
        self._member = member

    def __call__(self, *arguments: Any, **keywords: Any) -> Any:
        member = self._member
        # A path is text where Qt wants text; PySide would not say so but take it for something else.
        given = [str(value) if isinstance(value, pathlib.PurePath) else value for value in arguments]
        inner = [guarded(value) if _is_plain_callable(value) else unwrap(value) for value in given]
        try:
            return wrap(member(*inner, **{key: unwrap(value) for key, value in keywords.items()}))
        except TypeError as error:
            name = getattr(member, "__name__", "?")
            raise ValueError(f"Could not find matching overload: {name}{arguments}: {error}") from None


def _is_plain_callable(value: Any) -> bool:
    if value is None or type(value) in _PLAIN:
        return False
    return callable(value) and not isinstance(value, type | Wrapped | Shiboken.Object | EnumValue)


def _is_qt(cls: type) -> bool:
    return issubclass(cls, Shiboken.Object) and cls is not Shiboken.Object


def _key(native: Any) -> int:
    return shiboken6.getCppPointer(native)[0]


def _remember(native: Any, wrapped: Wrapped) -> None:
    if isinstance(native, QtCore.QObject):
        _known[_key(native)] = wrapped


def _alive(wrapped: Wrapped, name: str) -> Any:
    native = object.__getattribute__(wrapped, "_native")
    if not shiboken6.isValid(native):
        raise ValueError(f"Trying to use '{name}' of a destroyed {shown_name(wrapped)} object")
    return native


def _allowed_name(shown: str, name: str, is_object: bool) -> bool:
    allowed = names_of(shown)
    return allowed is None or name in allowed or (is_object and name == "name")


def _allowed(native: Any, shown: str, name: str) -> bool:
    is_object = isinstance(native, QtCore.QObject)
    return _allowed_name(shown, name, is_object) or (is_object and name.encode() in native.dynamicPropertyNames())


@functools.cache
def _has_property(native_class: type, name: str) -> bool:
    return name in qt_tables.properties(native_class) and not qt5_names.is_no_property(native_class, name)


def _is_property(native: Any, name: str) -> bool:
    return _has_property(type(native), name)


def _read(native: Any, name: str) -> Any:
    member = getattr(native, name, None)
    if isinstance(member, QtCore.SignalInstance) or isinstance(getattr(type(native), name, None), QtCore.Property):
        return native.property(name)
    if callable(member):
        return member()
    getter = getattr(native, f"is{name[0].upper()}{name[1:]}", None) or getattr(
        native, f"has{name[0].upper()}{name[1:]}", None
    )
    return getter() if getter is not None else native.property(name)


def _write(native: Any, shown: str, name: str, value: Any) -> None:
    about = qt_tables.properties(type(native))[name]
    if not about.writable:
        raise AttributeError(f"Property '{name}' of {shown} object is read-only")
    try:
        if isinstance(getattr(type(native), name, None), QtCore.Property):
            setattr(native, name, _typed(about.type, unwrap(value)))
            return
        setter = getattr(native, f"set{name[0].upper()}{name[1:]}", None)
        given = _typed(about.type, unwrap(value))
        if setter is not None:
            setter(given)
        else:
            native.setProperty(name, given)
    except TypeError as error:
        raise ValueError(
            f"Property '{name}' of type '{about.type}' does not accept an object of type "
            f"{type(value).__name__} ({value!r}): {error}"
        ) from None


def _typed(kind: str, value: Any) -> Any:
    # PythonQt takes 1 for True, a whole number for one with a fraction, and anything for text.
    if kind == "QString" and value is not None:
        return str(value)
    if kind == "bool" and isinstance(value, int):
        return bool(value)
    if kind in ("double", "float") and isinstance(value, int):
        return float(value)
    return value
