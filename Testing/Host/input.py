"""Mouse and keys as events, so that focus, shortcuts and selection act as they do for a person."""

from PySide6.QtCore import QEvent, QPointF, Qt
from PySide6.QtGui import QKeyEvent, QKeySequence, QMouseEvent, QShortcut
from PySide6.QtWidgets import QApplication, QLineEdit, QTableView, QWidget


def press(widget: QWidget, key: str) -> None:
    """Press and release a key: the widget with the focus may claim it, then shortcuts, then the widget."""
    window = widget.window()
    QApplication.setActiveWindow(window)
    combination = QKeySequence(key)[0]
    code, modifiers = combination.key(), combination.keyboardModifiers()
    text = key.lower() if len(key) == 1 else ""
    target = QApplication.focusWidget() or window
    claim = QKeyEvent(QEvent.Type.ShortcutOverride, code, modifiers, text)
    claim.ignore()
    QApplication.sendEvent(target, claim)
    if not claim.isAccepted() and _shortcut(window, QKeySequence(combination)):
        return
    for kind in (QEvent.Type.KeyPress, QEvent.Type.KeyRelease):
        QApplication.sendEvent(target, QKeyEvent(kind, code, modifiers, text))


def _shortcut(window: QWidget, keys: QKeySequence) -> bool:
    acting = [
        shortcut
        for shortcut in window.findChildren(QShortcut)
        if shortcut.isEnabled() and shortcut.key() == keys and _in_reach(shortcut)
    ]
    if len(acting) > 1:
        # Qt does nothing then but say so.
        acting[0].activatedAmbiguously.emit()
    elif acting:
        acting[0].activated.emit()
    return bool(acting)


def _in_reach(shortcut: QShortcut) -> bool:
    place, focus = shortcut.parent(), QApplication.focusWidget()
    if not isinstance(place, QWidget):
        return True
    if not (place.isVisible() and place.isEnabled()):
        return False
    if shortcut.context() == Qt.ShortcutContext.WidgetShortcut:
        return focus is place
    if shortcut.context() == Qt.ShortcutContext.WidgetWithChildrenShortcut:
        return focus is not None and (focus is place or place.isAncestorOf(focus))
    return True


def type_into(widget: QWidget, text: str) -> None:
    """Replace what a text field holds by typing, and leave the field as Return does."""
    assert widget.isEnabled(), "the field is disabled"
    widget.setFocus()
    widget.selectAll()
    for letter in text:
        QApplication.sendEvent(widget, QKeyEvent(QEvent.Type.KeyPress, 0, Qt.KeyboardModifier.NoModifier, letter))
    if not text:
        QApplication.sendEvent(
            widget, QKeyEvent(QEvent.Type.KeyPress, Qt.Key.Key_Delete, Qt.KeyboardModifier.NoModifier)
        )
    if isinstance(widget, QLineEdit):
        QApplication.sendEvent(
            widget, QKeyEvent(QEvent.Type.KeyPress, Qt.Key.Key_Return, Qt.KeyboardModifier.NoModifier, "\r")
        )


def click_cell(table: QTableView, row: int, column: int) -> None:
    """Click the middle of a cell."""
    index = table.model().index(row, column)
    table.scrollTo(index)
    spot = QPointF(table.visualRect(index).center())
    viewport = table.viewport()
    for kind in (QEvent.Type.MouseButtonPress, QEvent.Type.MouseButtonRelease):
        event = QMouseEvent(
            kind,
            spot,
            QPointF(viewport.mapToGlobal(spot)),
            Qt.MouseButton.LeftButton,
            Qt.MouseButton.LeftButton,
            Qt.KeyboardModifier.NoModifier,
        )
        QApplication.sendEvent(viewport, event)
