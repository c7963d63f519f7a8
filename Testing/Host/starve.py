"""Qt's event loop entered the way Slicer enters it: without giving up Python's lock, so that Python threads starve.

PySide lets go of the lock while its loop waits; PythonQt does not (`SLICER_FACTS.md`: a background thread got one turn
in a second of an idle loop). A panel that relies on a thread would work in one and freeze in the other. The loop is
therefore called through `ctypes.PyDLL`, which holds the lock.
"""

import ctypes
import sys

import shiboken6
from PySide6 import QtCore, QtWidgets

_PROCESS = "_ZN16QCoreApplication13processEventsE6QFlagsIN10QEventLoop17ProcessEventsFlagEE"
_LOOP = "_ZN10QEventLoop4execE6QFlagsINS_17ProcessEventsFlagEE"


def _library(name: str) -> ctypes.PyDLL | None:
    if not sys.platform.startswith("linux"):
        return None
    folder = QtCore.QLibraryInfo.path(QtCore.QLibraryInfo.LibraryPath.LibrariesPath)
    try:
        return ctypes.PyDLL(f"{folder}/lib{name}.so.6")
    except OSError:
        return None


def _function(symbol: str, arguments: list, result: object) -> object | None:
    library = _library("Qt6Core")
    try:
        function = library[symbol]
    except (AttributeError, TypeError):
        return None
    function.argtypes, function.restype = arguments, result
    return function


_process_events = _function(_PROCESS, [ctypes.c_int], None)
_loop_exec = _function(_LOOP, [ctypes.c_void_p, ctypes.c_int], ctypes.c_int)
HOLDS_THE_LOCK = _process_events is not None and _loop_exec is not None


def process_events(*flags: object) -> None:
    """Run what waits in the event queue."""
    if _process_events is None:
        QtWidgets.QApplication.processEvents()
        return
    _process_events(int(getattr(flags[0], "value", flags[0])) if flags else 0)


def exec_loop(loop: QtCore.QEventLoop) -> int:
    """Run an event loop until it is quit."""
    if _loop_exec is None:
        return loop.exec()
    # One turn a second, as in the application: Python then sees signals such as a test's time limit.
    turn = QtCore.QTimer()
    turn.timeout.connect(lambda: None)
    turn.start(1000)
    try:
        return _loop_exec(shiboken6.getCppPointer(loop)[0], 0)
    finally:
        turn.stop()
