"""What a name is on a class that Python uses inside Slicer: property, signal, method, or nothing."""

import functools

from api_names import ancestors, known_class, names_of, properties_of, signals_of
from PySide6 import QtCore, QtGui, QtWidgets

QT5_SIGNALS = {
    "QComboBox": {"currentIndexChanged(QString)", "activated(QString)", "highlighted(QString)"},
    "QButtonGroup": {"buttonClicked(int)", "buttonToggled(int,bool)"},
    "QProcess": {"error(QProcess::ProcessError)", "finished(int)"},
    "QSpinBox": {"valueChanged(QString)"},
    "QDoubleSpinBox": {"valueChanged(QString)"},
}
QT6_PROPERTIES = {("QLayout", "contentsMargins"), ("QShortcut", "keys")}


def qt_class(name: str) -> type | None:
    """Return PySide's class of a Qt name."""
    for module in (QtWidgets, QtGui, QtCore):
        if hasattr(module, name):
            return getattr(module, name)
    return None


@functools.cache
def _qt_base(name: str) -> type | None:
    return next((qt_class(base) for base in ancestors(name) if qt_class(base) is not None), None)


@functools.cache
def properties(name: str) -> frozenset[str]:
    """Return the properties of a class and its bases."""
    found = set(properties_of(name))
    base = _qt_base(name) or (QtCore.QObject if known_class(name) else None)
    if base is not None and issubclass(base, QtCore.QObject):
        count = base.staticMetaObject.propertyCount()
        found |= {base.staticMetaObject.property(place).name() for place in range(count)}
        found -= {title for cls, title in QT6_PROPERTIES if issubclass(base, qt_class(cls))}
    allowed = names_of(name)
    return frozenset((found if allowed is None else found & allowed) | {"name", "objectName"})


@functools.cache
def signals(name: str) -> frozenset[str]:
    """Return the signal signatures of a class and its bases."""
    found = set(signals_of(name))
    for base in ancestors(name):
        found |= QT5_SIGNALS.get(base, set())
    base = _qt_base(name) or (QtCore.QObject if known_class(name) else None)
    if base is not None and issubclass(base, QtCore.QObject):
        for place in range(base.staticMetaObject.methodCount()):
            method = base.staticMetaObject.method(place)
            if method.methodType() == QtCore.QMetaMethod.MethodType.Signal:
                found.add(bytes(method.methodSignature()).decode())
    # A signal may be connected with fewer arguments where Qt lists it so; `f()` is always one of them.
    return frozenset(found | {f"{signature.partition('(')[0]}()" for signature in found if "vtk" in signature})


@functools.cache
def every_signal() -> frozenset[str]:
    """Return the signatures of all classes together, for a sender whose class cannot be told."""
    from api_names import api

    names = [*api()["classes"], *api()["qt_classes"]]
    return frozenset().union(*(signals(name) for name in names))


def is_widget(name: str) -> bool:
    """Whether objects of the class are widgets."""
    base = _qt_base(name)
    return base is not None and issubclass(base, QtWidgets.QWidget)
