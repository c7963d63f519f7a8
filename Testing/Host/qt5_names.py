"""Where Qt 5.15, which the application has, and Qt 6, which PySide has, differ in what a panel may use."""

from typing import Any

import qt_tables
import starve
from PySide6 import QtCore, QtGui, QtWidgets

_SIGNALS = {
    "currentIndexChanged(QString)": "currentTextChanged(QString)",
    "activated(QString)": "textActivated(QString)",
    "buttonClicked(int)": "idClicked(int)",
    "error(QProcess::ProcessError)": "errorOccurred(QProcess::ProcessError)",
    "stateChanged(int)": "stateChanged(int)",
}
_NO_PROPERTIES = {(QtWidgets.QLayout, "contentsMargins"), (QtGui.QShortcut, "keys")}
METHODS = {"processEvents", "exec_", "exec", "setMargin"}
"""Names that `method` may answer."""


def signal(native: Any, signature: str) -> str:
    """Return the name Qt 6 has for a signal of Qt 5."""
    if signature in qt_tables.signals(type(native)).get(signature.partition("(")[0], ()):
        return signature
    return _SIGNALS.get(signature, signature)


def is_no_property(native: type, name: str) -> bool:
    """Whether Qt 6 made a property of what is a method in Qt 5."""
    return any(issubclass(native, cls) and name == known for cls, known in _NO_PROPERTIES)


def static(native: type, name: str) -> Any:
    """Return what stands in for a static method that Qt 6 lacks or that must not let threads run."""
    if name == "processEvents" and issubclass(native, QtCore.QCoreApplication):
        return starve.process_events
    if name == "instance" and issubclass(native, QtCore.QCoreApplication):
        from pythonqt import wrap

        return lambda: wrap(QtCore.QCoreApplication.instance())
    if name == "singleShot" and native is QtCore.QTimer:
        return _single_shot
    if native is QtWidgets.QFileDialog or native is QtWidgets.QMessageBox or native is QtWidgets.QInputDialog:
        from dialogs import dialogs

        return dialogs.static(native.__name__, name)
    return None


def method(native: Any, name: str) -> Any:
    """Return what stands in for a method that Qt 6 lacks or that must not let threads run."""
    if name == "processEvents" and isinstance(native, QtCore.QCoreApplication):
        return starve.process_events
    if name in ("exec_", "exec") and isinstance(native, QtCore.QEventLoop):
        return lambda *_: starve.exec_loop(native)
    if name == "setMargin" and isinstance(native, QtWidgets.QLayout):
        return lambda margin: native.setContentsMargins(margin, margin, margin, margin)
    return None


def _single_shot(milliseconds: int, *receiver: Any) -> None:
    from pythonqt_signals import guarded

    QtCore.QTimer.singleShot(milliseconds, guarded(receiver[-1]))
