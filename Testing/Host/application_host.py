"""The application itself as the host of the panel tests: the functions of `host.py`, inside a running Slicer.

`Testing/Slicer/run_panel_tests.py` runs the tests there. The scene is emptied and the panels are made anew for each
test; the main window stays, so a test that needs an application without one is skipped. Mouse and keys go through X,
as a person's do, where only that reaches what they act on (shortcuts).
"""

import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import ctk
import pytest
import qt
import slicer
import vtk

errors: list[BaseException] = []

_told_by = sys.excepthook
_RESTING_MODULE = "Data"
_panels: list[str] = []


def _remember(kind: type[BaseException], error: BaseException, trace: Any) -> None:
    errors.append(error)
    _told_by(kind, error, trace)


class Dialogs:
    """What dialogs are answered with, in order, and what they asked; see `dialogs.py`."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self._answers: list[Any] = []
        self._timer = qt.QTimer()
        self._timer.setInterval(20)
        self._timer.connect("timeout()", self._look)

    def answer(self, *values: Any) -> None:
        """Queue answers: a button such as `qt.QMessageBox.Ok`, a path, or "" for a cancelled file dialog."""
        self._answers += values

    def clear(self) -> list[Any]:
        """Forget questions and answers; returns the answers that nothing asked for."""
        left, self._answers, self.asked = self._answers, [], []
        return left

    def watch(self, on: bool) -> None:
        """Look for dialogs that wait for a person, or stop looking."""
        if on:
            self._timer.start()
        else:
            self._timer.stop()

    def _look(self) -> None:
        dialog = qt.QApplication.activeModalWidget()
        if dialog is None or dialog.inherits("QProgressDialog"):
            return
        box = dialog.inherits("QMessageBox")
        files = dialog.inherits("QFileDialog")
        text = dialog.text if box else dialog.windowTitle
        self.asked.append(text)
        if not self._answers:
            errors.append(AssertionError(f"A dialog that the test had no answer for (host.dialogs.answer): {text}"))
            dialog.reject()
            return
        answer = self._answers.pop(0)
        if files:
            self._choose_files(dialog, answer)
        elif box:
            dialog.button(answer).click()
        else:
            dialog.done(int(answer))

    @staticmethod
    def _choose_files(dialog: Any, answer: Any) -> None:
        chosen = [answer] if isinstance(answer, str) else [path for path in answer if path]
        if not any(chosen):
            dialog.reject()
            return
        names = chosen[0] if len(chosen) == 1 else " ".join(f'"{path}"' for path in chosen)
        dialog.findChild(qt.QLineEdit, "fileNameEdit").text = names
        dialog.accept()


dialogs = Dialogs()


def start() -> Any:
    """Listen to what slots raise; returns `slicer.app`."""
    if sys.excepthook is not _remember:
        sys.excepthook = _remember
    dialogs.watch(True)
    # Tests click faster than people: their clicks are single ones.
    slicer.app.doubleClickInterval = 0
    return slicer.app


def stop() -> None:
    """End what `start` began."""
    close_panels()
    dialogs.watch(False)
    sys.excepthook = _told_by


def renew(*, main_window: bool = True) -> Any:
    """Empty the application's scene; returns it."""
    if not main_window:
        pytest.skip("the application that runs the tests has a main window")
    close_panels()
    slicer.mrmlScene.Clear(0)
    slicer.app.layoutManager().setLayout(slicer.vtkMRMLLayoutNode.SlicerLayoutFourUpView)
    process_events()
    errors.clear()
    dialogs.clear()
    return slicer.mrmlScene


def testing(on: bool) -> None:
    """Leave a test out that needs another testing mode than the application was started in."""
    if on != slicer.app.testingEnabled():
        pytest.skip("the application's testing mode is chosen when it starts")


def load_module(path: Path | str) -> Any:
    """Return a module that the application loaded at its start."""
    return getattr(slicer.modules, Path(path).stem.lower())


def open_panel(name: str, *, size: tuple[int, int] = (520, 1000)) -> Any:
    """Choose a module in the module selector, its panel made anew; returns its Python Widget."""
    if name not in _panels:
        if hasattr(slicer.modules, f"{name}Widget"):
            slicer.util.reloadScriptedModule(name)
        _panels.append(name)
    slicer.util.selectModule(name)
    slicer.util.mainWindow().resize(size[0] + 900, size[1])
    slicer.util.mainWindow().activateWindow()
    process_events()
    return getattr(slicer.modules, f"{name}Widget")


def leave_panel(name: str) -> None:
    """Leave a module's panel by choosing another module."""
    assert slicer.util.selectedModule() == name
    slicer.util.selectModule(_RESTING_MODULE)
    process_events()


def close_panels() -> None:
    """Leave every panel; the next `open_panel` makes it anew, as the application's own Reload does."""
    slicer.util.selectModule(_RESTING_MODULE)
    _panels.clear()
    process_events()


def process_events() -> None:
    """Run what waits in the event queue, deferred deletions too."""
    slicer.app.processEvents()
    qt.QCoreApplication.sendPostedEvents(None, qt.QEvent.DeferredDelete)


def wait(seconds: float) -> None:
    """Run the event loop for a while."""
    loop = qt.QEventLoop()
    qt.QTimer.singleShot(max(1, int(seconds * 1000)), loop.quit)
    loop.exec_()


def wait_until(ready: Any, seconds: float = 10.0, what: str = "") -> None:
    """Run the event loop until `ready()` is true; fails when it is not in time."""
    end = time.monotonic() + seconds
    while not ready():
        assert time.monotonic() < end, f"not within {seconds} s: {what or ready}"
        process_events()
        wait(0.005)


def click(widget: Any) -> None:
    """Click a button with the left mouse button; a disabled or hidden one cannot be clicked."""
    assert widget.isEnabled(), f"{widget.objectName} is disabled"
    assert widget.isVisible(), f"{widget.objectName} is not shown"
    widget.click()
    process_events()


def type_text(widget: Any, text: str) -> None:
    """Type into a line edit or text box, in place of what it holds."""
    assert widget.isEnabled(), "the field is disabled"
    widget.setFocus()
    widget.selectAll()
    for letter in text:
        _send_key(widget, 0, letter)
    if not text:
        _send_key(widget, qt.Qt.Key_Delete, "")
    if widget.inherits("QLineEdit"):
        _send_key(widget, qt.Qt.Key_Return, "\r")
    process_events()


def _send_key(widget: Any, code: int, text: str) -> None:
    qt.QCoreApplication.sendEvent(widget, qt.QKeyEvent(qt.QEvent.KeyPress, code, qt.Qt.NoModifier, text))


def press_key(widget: Any, key: str) -> None:
    """Press a key, such as "N" or "Ctrl+S", in the window of `widget`, shortcuts included: through X, as a person."""
    window = widget.window()
    window.activateWindow()
    process_events()
    wait_until(lambda: qt.QApplication.activeWindow() is not None, 5, "a window of the application is active")
    keys = key.lower()
    subprocess.run(["xdotool", "key", "--clearmodifiers", _X_KEYS.get(keys, keys)], check=True, timeout=10)
    wait(0.1)


_X_KEYS = {"delete": "Delete", "return": "Return", "escape": "Escape", "left": "Left", "right": "Right"}


def choose(widget: Any, text: str) -> None:
    """Choose an entry of a combo box or node selector by its text."""
    combo = widget if widget.inherits("QComboBox") else widget.findChild(qt.QComboBox)
    row = combo.findText(text)
    assert row >= 0, f"{text!r} is not among {[combo.itemText(i) for i in range(combo.count)]}"
    combo.setCurrentIndex(row)
    # What a click sends besides; calling a signal emits it.
    combo.activated(row)
    process_events()


def click_row(table: Any, row: int, column: int = 0) -> None:
    """Click a cell of a table."""
    index = table.model().index(row, column)
    table.scrollTo(index)
    _mouse_click(table.viewport(), qt.QPointF(table.visualRect(index).center()))
    process_events()


def _mouse_click(widget: Any, spot: Any) -> None:
    for kind in (qt.QEvent.MouseButtonPress, qt.QEvent.MouseButtonRelease):
        event = qt.QMouseEvent(kind, spot, qt.Qt.LeftButton, qt.Qt.LeftButton, qt.Qt.NoModifier)
        qt.QCoreApplication.sendEvent(widget, event)


def click_chart(series: Any, row: int) -> None:
    """Click the point of a plot series in the plot view that is shown."""
    table = series.GetTableNode().GetTable()
    x, y = (table.GetValueByName(row, name).ToDouble() for name in (series.GetXColumnName(), series.GetYColumnName()))
    click_chart_at(x, y)


def click_chart_at(x: float, y: float = 0.5) -> None:
    """Click a place of the plot view that is shown, in the units of its axes, whether a point is there or not."""
    view = slicer.app.layoutManager().plotWidget(0).plotView()
    process_events()
    view.renderWindow().Render()
    chart = view.chart()
    spots = []
    for place, (axis, value) in enumerate(((vtk.vtkAxis.BOTTOM, x), (vtk.vtkAxis.LEFT, y))):
        one = chart.GetAxis(axis)
        low, high = one.GetPoint1()[place], one.GetPoint2()[place]
        share = (value - one.GetUnscaledMinimum()) / (one.GetUnscaledMaximum() - one.GetUnscaledMinimum())
        spots.append(low + share * (high - low))
    _mouse_click(view, qt.QPointF(spots[0], view.height - 1 - spots[1]))
    process_events()


def screenshot(widget: Any, path: Path | str) -> Path:
    """Write a PNG of a widget (or of a module's Widget)."""
    process_events()
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    shown = widget if hasattr(widget, "grab") else widget.parent
    assert shown.grab().save(str(path)), f"{path} could not be written"
    return Path(path)


def add_to_dicom_database(folder: Path) -> None:
    """Make the DICOM database know the files of a folder, which stay where they are."""
    from DICOMLib import DICOMUtils

    if not slicer.dicomDatabase.isOpen:
        database = Path(slicer.app.temporaryPath) / "tests-dicom-database"
        database.mkdir(parents=True, exist_ok=True)
        DICOMUtils.openDatabase(str(database))
    indexer = ctk.ctkDICOMIndexer()
    indexer.addDirectory(slicer.dicomDatabase, str(folder), False)
    indexer.waitForImportFinished()


def clear_dicom_database() -> None:
    """Make the DICOM database forget all files."""
    for patient in slicer.dicomDatabase.patients():
        slicer.dicomDatabase.removePatient(patient)


def quit_signal() -> None:
    """Closing the application cannot be tried from within."""
    pytest.skip("the application that runs the tests must go on")
