"""ctk widgets on PySide: what they look like and answer to, no more than panels use."""

from dialogs import dialogs
from PySide6.QtCore import Property, QSettings, Qt, Signal
from PySide6.QtWidgets import (
    QAbstractButton,
    QComboBox,
    QHBoxLayout,
    QMessageBox,
    QSizePolicy,
    QStyle,
    QStyleOptionButton,
    QStylePainter,
    QToolButton,
    QWidget,
)


class ctkCollapsibleButton(QAbstractButton):
    """A header that shows and hides the widgets laid out below it."""

    contentsCollapsed = Signal(bool)

    def __init__(self, text: str | QWidget = "", parent: QWidget | None = None) -> None:
        if isinstance(text, QWidget):
            text, parent = "", text
        super().__init__(parent)
        self._collapsed, self._flat = False, False
        self.setText(text)
        self.setCheckable(True)
        self.setChecked(True)
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self.setSizePolicy(QSizePolicy.Policy.MinimumExpanding, QSizePolicy.Policy.Preferred)
        self.setContentsMargins(0, self._header_height(), 0, 0)
        self.toggled.connect(self._on_toggled)

    def _header_height(self) -> int:
        return self.fontMetrics().height() + 8

    def _get_collapsed(self) -> bool:
        return self._collapsed

    def _set_collapsed(self, collapsed: bool) -> None:
        self.setChecked(not collapsed)

    def _on_toggled(self, checked: bool) -> None:
        if self._collapsed == (not checked):
            return
        self._collapsed = not checked
        for child in self.children():
            if isinstance(child, QWidget):
                child.setVisible(checked)
        self.setMaximumHeight(16777215 if checked else self._header_height())
        self.updateGeometry()
        self.contentsCollapsed.emit(self._collapsed)

    def childEvent(self, event) -> None:
        super().childEvent(event)
        if self._collapsed and isinstance(event.child(), QWidget):
            event.child().setVisible(False)

    def minimumSizeHint(self):
        hint = super().minimumSizeHint()
        layout = self.layout()
        inner = layout.totalMinimumSize() if layout and not self._collapsed else hint
        inner.setHeight(max(inner.height(), self._header_height()))
        inner.setWidth(max(inner.width(), self.fontMetrics().horizontalAdvance(self.text()) + 40))
        return inner

    def sizeHint(self):
        layout = self.layout()
        if self._collapsed or layout is None:
            return self.minimumSizeHint()
        return layout.totalSizeHint().expandedTo(self.minimumSizeHint())

    def paintEvent(self, event) -> None:
        painter = QStylePainter(self)
        option = QStyleOptionButton()
        option.initFrom(self)
        option.rect.setHeight(self._header_height())
        option.text = ("▸ " if self._collapsed else "▾ ") + self.text()
        painter.drawControl(QStyle.ControlElement.CE_PushButton, option)

    collapsed = Property(bool, _get_collapsed, _set_collapsed)
    flat = Property(bool, lambda self: self._flat, lambda self, value: setattr(self, "_flat", value))
    contentsFrameShape = Property(int, lambda self: 0, lambda self, value: None)
    contentsLineWidth = Property(int, lambda self: 1, lambda self, value: None)
    collapsedHeight = Property(int, lambda self: 0, lambda self, value: None)


class ctkPathLineEdit(QWidget):
    """A line for a path, with its history and a button to browse."""

    currentPathChanged = Signal(str)
    validInputChanged = Signal(bool)
    Dirs, Files = 0x001, 0x002

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._combo = QComboBox()
        self._combo.setEditable(True)
        self._browse = QToolButton()
        self._browse.setText("...")
        layout = QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self._combo, 1)
        layout.addWidget(self._browse)
        self._key, self._filters = "", 0x002
        self._combo.currentTextChanged.connect(self.currentPathChanged)
        self._browse.clicked.connect(self.browse)

    def comboBox(self) -> QComboBox:
        return self._combo

    def browse(self) -> None:
        chosen = dialogs.static("QFileDialog", "getOpenFileName")(self, "Select a path")
        if chosen:
            self.setCurrentPath(chosen)

    def setCurrentPath(self, path: str) -> None:
        self._combo.setEditText(path)

    def addCurrentPathToHistory(self) -> None:
        path = self._combo.currentText()
        if path and self._combo.findText(path) < 0:
            self._combo.addItem(path)
        if self._key:
            QSettings().setValue(self._key, [self._combo.itemText(row) for row in range(self._combo.count())])

    def retrieveHistory(self) -> None:
        self._combo.addItems(QSettings().value(self._key) or [])

    currentPath = Property(str, lambda self: self._combo.currentText(), setCurrentPath)
    settingKey = Property(str, lambda self: self._key, lambda self, value: setattr(self, "_key", value))
    filters = Property(int, lambda self: self._filters, lambda self, value: setattr(self, "_filters", value))
    nameFilters = Property("QStringList", lambda self: [], lambda self, value: None)
    showBrowseButton = Property(
        bool, lambda self: not self._browse.isHidden(), lambda self, value: self._browse.setVisible(value)
    )
    showHistoryButton = Property(bool, lambda self: True, lambda self, value: None)


class ctkMessageBox(QMessageBox):
    """A message box that may offer not to be shown again."""

    dontShowAgainVisible = Property(bool, lambda self: False, lambda self, value: None)
    dontShowAgain = Property(bool, lambda self: False, lambda self, value: None)
    dontShowAgainSettingsKey = Property(str, lambda self: "", lambda self, value: None)


CLASSES = {name: cls for name, cls in list(globals().items()) if name.startswith("ctk")}
