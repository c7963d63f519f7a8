"""Properties and signals of Qt classes, read once and early.

PySide counts what `object.metaObject()` answers among the object's possessions: when the object goes, the answer is
dead, for every other object of that class too. So no object is asked; the classes are, before there are objects.
"""

import functools
from typing import NamedTuple

from PySide6 import QtCore, QtGui, QtWidgets


class PropertyFacts(NamedTuple):
    """C++ type of a property, and whether it can be set."""

    type: str
    writable: bool


@functools.cache
def properties(cls: type) -> dict[str, PropertyFacts]:
    """Return the properties of a QObject class, its bases' included, by name."""
    found: dict[str, PropertyFacts] = {}
    for place in range(cls.staticMetaObject.propertyCount()):
        told = cls.staticMetaObject.property(place)
        found[told.name()] = PropertyFacts(told.typeName(), told.isWritable())
    return found


@functools.cache
def signals(cls: type) -> dict[str, tuple[str, ...]]:
    """Return the signal signatures of a QObject class, its bases' included, by name."""
    found: dict[str, tuple[str, ...]] = {}
    for place in range(cls.staticMetaObject.methodCount()):
        method = cls.staticMetaObject.method(place)
        if method.methodType() == QtCore.QMetaMethod.MethodType.Signal:
            signature = bytes(method.methodSignature()).decode()
            name = signature.partition("(")[0]
            found[name] = (*found.get(name, ()), signature)
    return found


def read_all(*more: type) -> None:
    """Read every class of Qt, and more."""
    for module in (QtCore, QtGui, QtWidgets):
        for cls in [getattr(module, name) for name in dir(module)]:
            if isinstance(cls, type) and issubclass(cls, QtCore.QObject):
                properties(cls)
                signals(cls)
    for cls in more:
        properties(cls)
        signals(cls)


read_all()
