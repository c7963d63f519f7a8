"""`widget.connect("signal(args)", f)` and `widget.signal.connect(f)` as PythonQt does them."""

import inspect
import sys
import traceback
from typing import Any

import qt5_names
import qt_tables
import shiboken6
from host_errors import errors
from PySide6 import QtCore

_connections: dict[tuple[int, str], list[tuple[Any, Any, Any]]] = {}


def guarded(function: Any) -> Any:
    """Return a slot that calls `function` with as many arguments as it takes, and reports what it raises."""
    from pythonqt import wrap

    takes = _takes(function)

    def slot(*arguments: Any) -> None:
        try:
            function(*[wrap(value) for value in arguments[:takes]])
        except BaseException as error:
            errors.append(error)
            traceback.print_exception(error, file=sys.stderr)
            if isinstance(error, KeyboardInterrupt):
                raise

    return slot


def _takes(function: Any) -> int | None:
    # PythonQt reads the code of a function or bound method; anything else gets all that the signal carries.
    plain = getattr(function, "__func__", function)
    code = getattr(plain, "__code__", None)
    if code is None or code.co_flags & inspect.CO_VARARGS:
        return None
    return code.co_argcount - (1 if inspect.ismethod(function) else 0)


def signals(native: QtCore.QObject) -> dict[str, tuple[str, ...]]:
    """Return the signal signatures of an object by name."""
    return qt_tables.signals(type(native))


def has_signal(native: QtCore.QObject, name: str) -> bool:
    """Whether `name` is one of the object's signals."""
    return name in signals(native) or name in getattr(native, "vtk_signals", {})


def _resolve(native: QtCore.QObject, signature: str) -> tuple[str, str | None]:
    """Return the signature that PySide knows, and the name of the PySide signal for one that carries a VTK object."""
    plain = bytes(QtCore.QMetaObject.normalizedSignature(signature)).decode()
    name = plain.partition("(")[0]
    for known, inner in getattr(native, "vtk_signals", {}).items():
        if plain == known or (plain.endswith("()") and known.startswith(f"{name}(")):
            return known, inner
    plain = qt5_names.signal(native, plain)
    if plain not in signals(native).get(name if plain.startswith(name) else plain.partition("(")[0], ()):
        raise LookupError(f"{type(native).__name__} has no signal {signature}")
    return plain, None


def connect(sender: Any, signal: str, *receiver: Any) -> bool:
    """Connect a signal to a Python callable, or to another object's slot: `connect(signal, receiver, "slot()")`."""
    native = sender._native
    if len(receiver) == 2:
        target, slot_name = receiver
        function: Any = getattr(target, slot_name.partition("(")[0])
    else:
        (function,) = receiver
    if not callable(function):
        raise ValueError(f"connect({signal!r}): {function!r} cannot be called")
    try:
        resolved, inner = _resolve(native, signal)
    except LookupError as error:
        # PythonQt answers False and goes on. That nothing is connected is a mistake all the same.
        errors.append(error)
        return False
    slot = guarded(function)
    if inner is not None:
        getattr(native, inner).connect(slot)
    else:
        QtCore.QObject.connect(native, QtCore.SIGNAL(resolved), slot)
    key = shiboken6.getCppPointer(native)[0]
    _connections.setdefault((key, resolved), []).append((native, function, slot))
    return True


def disconnect(sender: Any, signal: str | None = None, *receiver: Any) -> bool:
    """Undo a connection made by `connect`; answers False where there is none."""
    native = sender._native
    key = shiboken6.getCppPointer(native)[0]
    resolved, inner = _resolve(native, signal) if signal else (None, None)
    found = False
    for (where, which), made in list(_connections.items()):
        if where != key or (resolved is not None and which != resolved):
            continue
        for item in list(made):
            owner, function, slot = item
            if owner is not native or (receiver and function != receiver[-1]):
                continue
            made.remove(item)
            inner = getattr(native, "vtk_signals", {}).get(which)
            if inner is not None:
                getattr(native, inner).disconnect(slot)
            else:
                QtCore.QObject.disconnect(native, QtCore.SIGNAL(which), slot)
            found = True
    return found
