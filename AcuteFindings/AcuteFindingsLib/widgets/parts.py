"""Small pieces that every panel is put together from: labels, buttons, rows, questions."""

from collections.abc import Callable
from time import monotonic
from typing import Any

import qt
import slicer
from slicer.i18n import tr as _

from AcuteFindingsLib.widgets.last_resort import guarded

SAVE, DISCARD, CANCEL = "save", "discard", "cancel"


def column(parent_layout: Any = None) -> tuple[Any, Any]:
    """Return a widget and its vertical layout without margins, added to `parent_layout` where one is given."""
    widget = qt.QWidget()
    layout = qt.QVBoxLayout(widget)
    layout.setContentsMargins(0, 0, 0, 0)
    if parent_layout is not None:
        parent_layout.addWidget(widget)
    return widget, layout


def row(*widgets: Any) -> Any:
    """Return a widget that holds others side by side."""
    widget = qt.QWidget()
    layout = qt.QHBoxLayout(widget)
    layout.setContentsMargins(0, 0, 0, 0)
    for item in widgets:
        layout.addWidget(item)
    return widget


def text_label(tool_tip: str = "", *, bold: bool = False, larger: float = 0.0) -> Any:
    """Return an empty label whose text wraps and can be copied; `larger` in points."""
    label = qt.QLabel()
    label.setWordWrap(True)
    label.setTextFormat(qt.Qt.PlainText)
    label.setTextInteractionFlags(qt.Qt.TextSelectableByMouse)
    label.setToolTip(tool_tip)
    if bold or larger:
        font = label.font
        font.setBold(bold)
        if larger:
            font.setPointSizeF(font.pointSizeF() + larger)
        label.setFont(font)
    return label


def push_button(text: str, tool_tip: str, on_click: Callable[[], Any], *, name: str = "", once: bool = False) -> Any:
    """Return a button that calls `on_click` without arguments; what goes wrong there is told.

    With `once` a double click is one click: for what must not be done twice.
    """
    button = qt.QPushButton(text)
    button.setToolTip(tool_tip)
    button.setObjectName(name)
    called = guarded(on_click, doing=name or "button")
    button.connect("clicked()", single_click(called) if once else called)
    return button


def single_click(on_click: Callable[[], Any]) -> Callable[..., None]:
    """Return a slot that a double click calls once: Qt sends `clicked` for each half of it.

    The time that `on_click` itself takes does not count: a click that waited meanwhile is the other half.
    """
    last = -1.0

    def clicked(*_checked: Any) -> None:
        nonlocal last
        if last >= 0 and monotonic() - last < slicer.app.doubleClickInterval / 1000:
            last = monotonic()
            return
        try:
            on_click()
        finally:
            last = monotonic()

    return clicked


def with_argument(function: Callable[[str], Any], argument: str) -> Callable[[], Any]:
    """Return a function without arguments that calls another with one, as signals need it."""
    return lambda: function(argument)


def shortcut(widget: Any, key: str, on_press: Callable[[], Any]) -> Any:
    """Return a key that works anywhere in the window of `widget` for as long as `widget` can be seen."""
    made = qt.QShortcut(widget)
    made.setKey(qt.QKeySequence(key))
    made.connect("activated()", guarded(on_press, doing="key"))
    return made


def table(headers: list[str], tool_tip: str, *, name: str) -> Any:
    """Return an empty table that is read, not edited, and in which whole rows are chosen."""
    widget = qt.QTableWidget()
    widget.setObjectName(name)
    widget.setToolTip(tool_tip)
    widget.setColumnCount(len(headers))
    widget.setHorizontalHeaderLabels(headers)
    widget.setEditTriggers(qt.QAbstractItemView.NoEditTriggers)
    widget.setSelectionBehavior(qt.QAbstractItemView.SelectRows)
    widget.setSelectionMode(qt.QAbstractItemView.SingleSelection)
    widget.setAlternatingRowColors(True)
    widget.setTabKeyNavigation(False)
    widget.verticalHeader().hide()
    widget.verticalHeader().setDefaultSectionSize(widget.fontMetrics().height() + 8)
    widget.horizontalHeader().setHighlightSections(False)
    return widget


def cell(text: str, tool_tip: str = "", *, number: bool = False) -> Any:
    """Return a table's cell; numbers stand at the right."""
    item = qt.QTableWidgetItem(text)
    if number:
        item.setTextAlignment(qt.Qt.AlignRight | qt.Qt.AlignVCenter)
    if tool_tip:
        item.setToolTip(tool_tip)
    return item


def fit_height(widget: Any, *, most_rows: int) -> None:
    """Make a table as high as its rows, up to `most_rows`; beyond that it scrolls."""
    rows = min(max(widget.rowCount, 1), most_rows)
    # One more for the header.
    height = widget.verticalHeader().defaultSectionSize * (rows + 1)
    widget.setFixedHeight(height + 2 * widget.frameWidth + 2)


def ask_to_save(text: str, *, can_cancel: bool = True) -> str:
    """Ask whether to save something that would be lost; return ``"save"``, ``"discard"`` or ``"cancel"``.

    In the application's testing mode nobody is there to answer: ``"discard"``.
    """
    if slicer.app.testingEnabled():
        return DISCARD
    buttons = qt.QMessageBox.Save | qt.QMessageBox.Discard
    if can_cancel:
        buttons = buttons | qt.QMessageBox.Cancel
    answer = slicer.util.messageBox(
        text, windowTitle=_("AcuteFindings"), icon=qt.QMessageBox.Question, standardButtons=buttons
    )
    if answer == qt.QMessageBox.Save:
        return SAVE
    return DISCARD if answer == qt.QMessageBox.Discard else CANCEL
