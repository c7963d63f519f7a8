"""The `qt` module that Slicer has: PySide's classes, shown as PythonQt shows them and only as far as it does."""

from typing import Any

from api_names import known_class
from PySide6 import QtCore, QtGui, QtUiTools, QtWidgets
from pythonqt import EnumType, class_of

# Used by Slicer's own Python files, though the table of names leaves them out.
_ALSO = {
    "QAbstractButton",
    "QByteArray",
    "QEventLoop",
    "QItemSelection",
    "QKeyEvent",
    "QLayout",
    "QProcessEnvironment",
    "QSpacerItem",
    "QSortFilterProxyModel",
    "QTableWidgetSelectionRange",
    "QTextDocument",
    "QTextCursor",
    "QRegularExpression",
    "QPointF",
    "QRectF",
    "QSizeF",
}


class Qt:
    """Qt's namespace of enums: `qt.Qt.AlignLeft`."""

    def __getattr__(self, name: str) -> Any:
        made = self.__dict__[name] = self._member(name)
        return made

    def _member(self, name: str) -> Any:
        from pythonqt import wrap_member

        if name == "MidButton":
            name = "MiddleButton"
        member = getattr(QtCore.Qt, name, None)
        if member is None:
            raise AttributeError(f"type object 'Qt' has no attribute '{name}'")
        return wrap_member(QtCore.Qt, member)


Qt = Qt()
__all__ = ["EnumType", "Qt"]


def __getattr__(name: str) -> Any:
    if name == "QUiLoader":
        from ui_loader import UiLoader

        return UiLoader
    if not name.startswith("Q") or not (known_class(name) or name in _ALSO):
        raise AttributeError(f"module 'qt' has no attribute '{name}'")
    for module in (QtWidgets, QtGui, QtCore, QtUiTools):
        if hasattr(module, name):
            made = globals()[name] = class_of(getattr(module, name))
            return made
    raise AttributeError(f"the test host does not have qt.{name} (the application does)")
