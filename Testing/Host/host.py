"""The test host: enough of the running Slicer for the modules' panels, on PySide6 and the genuine MRML of slicer-core.

Guide
-----
`start()` makes (once a process) the application, and each call after that answers the same. Afterwards `import qt`,
`import ctk`, `import slicer`, `import SampleData`, `slicer.app`, `slicer.mrmlScene`, `slicer.modules`, `slicer.util`
(the wheel's own), `slicer.ScriptedLoadableModule`, `slicer.parameterNodeWrapper`, `slicer.i18n`, `slicer.packaging`,
`slicer.qMRMLNodeComboBox` and the other qMRML widgets work as in the application (`SLICER_FACTS.md`): properties
without parentheses, only the names of `Testing/Data/slicer_widget_api.json`, Python threads starve while Qt waits.

In a test (`Testing/Python/panel/conftest.py` has the fixtures `host`, `scene`):

- ``host.renew(main_window=True)``: a new empty scene, with a layout manager (False: ``layoutManager()`` is None).
- ``host.load_module(path)``: loads a module file as Slicer does, answers the module object;
  ``host.open_panel("PEDetect")`` answers the module's Widget after ``setup()`` and ``enter()``, shown in a window;
  ``host.leave_panel("PEDetect")``, ``host.close_panels()``.
- ``host.wait_until(lambda: ..., seconds=10)`` runs the event loop until something is true, else fails;
  ``host.wait(seconds)``, ``host.process_events()``.
- what a person does: ``host.click(button)``, ``host.type_text(line_edit, "abc")``, ``host.press_key(widget, "N")``
  (goes through the widget's window, so that shortcuts act), ``host.choose(combo_or_node_selector, "text")``,
  ``host.click_row(table, row)``, ``host.click_chart(series_node, row)`` for a point of the plot view shown,
  ``host.click_chart_at(x, y)`` for any place of it.
- ``host.dialogs.answer(qt.QMessageBox.Ok)``: queue answers to message boxes and file dialogs;
  ``host.dialogs.asked``: what they asked. A dialog without an answer fails the test.
- ``host.errors``: what slots raised (the application only prints it); the fixture fails a test that left any.
- ``host.testing(True)``: ``slicer.app.testingEnabled()``; False at first, so that messages are asked for real.
- ``host.screenshot(widget, path)``: a PNG of a widget or of a module's Widget.
- ``host.quit_signal()`` emits ``aboutToQuit()``.
- ``host.add_to_dicom_database(folder)`` fills the DICOM database, ``host.clear_dicom_database()`` empties it.

``wrapped._native`` is the PySide object, for what a test needs and a panel must not use.
"""

import importlib
import os
import sys
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
LIBRARY = ROOT / "AcuteFindings"

_state = SimpleNamespace(app=None, windows=[])


def start() -> Any:
    """Make the application if there is none yet, with an empty scene and no main window; returns `slicer.app`."""
    import slicer  # before the folder below is on its path: it imports whatever it finds there

    for folder in (str(LIBRARY), str(HERE)):
        if folder not in sys.path:
            sys.path.insert(0, folder)
    if str(HERE / "slicer") not in slicer.__path__:
        slicer.__path__.append(str(HERE / "slicer"))
    import native_ctk
    import native_mrml
    import native_views
    import qt_tables
    import slicer.util
    from application import ctkDICOMDatabase, qSlicerApplication, qSlicerCoreIOManager, qSlicerModuleManager
    from pythonqt import class_of, wrap

    if _state.app is None:
        qt_tables.read_all(*native_ctk.CLASSES.values(), *native_views.CLASSES.values())
        _state.app = qSlicerApplication()
    if getattr(slicer, "app", None) is not None:
        return slicer.app
    slicer.app = wrap(_state.app)
    # Tests click faster than people: their clicks are single ones.
    slicer.app.doubleClickInterval = 0
    for name, cls in native_views.CLASSES.items():
        setattr(slicer, name, class_of(cls))
    for cls in (
        native_mrml.qSlicerScriptedLoadableModule,
        native_mrml.qSlicerScriptedLoadableModuleWidget,
        native_views.qSlicerLayoutManager,
        qSlicerApplication,
        qSlicerModuleManager,
        qSlicerCoreIOManager,
    ):
        setattr(slicer, cls.__name__, class_of(cls))
    slicer.modules = SimpleNamespace()
    slicer.moduleNames = SimpleNamespace()
    _state.app.modules.loaded.clear()
    _state.app.dicom = ctkDICOMDatabase()
    slicer.dicomDatabase = wrap(_state.app.dicom)
    renew(main_window=False)
    return slicer.app


def stop() -> None:
    """Take everything off `slicer` again, so that tests without an application find none."""
    import slicer

    close_panels()
    # Worker processes end with the application.
    quit_signal()
    _state.app.renew(None, None, main_window=False)
    for name in ("app", "mrmlScene", "modules", "moduleNames", "dicomDatabase"):
        if hasattr(slicer, name):
            delattr(slicer, name)


def renew(*, main_window: bool = True) -> Any:
    """Give the application a new empty scene; returns it."""
    import slicer

    from AcuteFindingsLib.scene.application import new_scene

    if _state.app.scene is not None:
        close_panels()
        _state.app.scene.Clear(0)
    scene = new_scene()
    logic = slicer.vtkSlicerApplicationLogic()
    logic.SetMRMLScene(scene)
    # Reading a data bundle needs a place to unpack it, which the application gives its scene.
    _state.io, cache = slicer.vtkDataIOManager(), slicer.vtkCacheManager()
    cache.SetRemoteCacheDirectory(slicer.app.temporaryPath)
    _state.io.SetCacheManager(cache)
    scene.SetDataIOManager(_state.io)
    scene.SetCacheManager(cache)
    slicer.mrmlScene = scene
    _state.app.renew(scene, logic, main_window=main_window)
    _set_main_window(main_window)
    errors.clear()
    dialogs.clear()
    _state.app.testing = False
    return scene


def _set_main_window(on: bool) -> None:
    from PySide6.QtWidgets import QMainWindow

    if on and getattr(_state, "main_window", None) is None:
        _state.main_window = QMainWindow()
        _state.main_window.setObjectName("qSlicerMainWindow")
        _state.main_window.resize(1200, 900)
    elif not on:
        _state.main_window = None


def testing(on: bool) -> None:
    """Set what `slicer.app.testingEnabled()` answers."""
    _state.app.testing = on


def load_module(path: Path | str) -> Any:
    """Load a scripted module as Slicer does, without making its panel; returns the module object."""
    import native_mrml
    import slicer
    from pythonqt import unwrap, wrap

    path = Path(path).resolve()
    name = path.stem
    if _state.app.modules.module(name) is not None:
        return wrap(_state.app.modules.module(name))
    if str(path.parent) not in sys.path:
        sys.path.insert(0, str(path.parent))
    python = importlib.import_module(name)
    module = native_mrml.qSlicerScriptedLoadableModule(name, str(path))

    def make_widget() -> Any:
        panel = native_mrml.qSlicerScriptedLoadableModuleWidget(name)
        panel.setMRMLScene(slicer.mrmlScene)
        panel.scripted = getattr(python, f"{name}Widget")(wrap(panel))
        setattr(slicer.modules, f"{name}Widget", panel.scripted)
        panel.scripted.setup()
        return panel

    module.make_widget = make_widget
    module.scripted = getattr(python, name)(wrap(module))
    _state.app.modules.loaded[name] = module
    setattr(slicer.modules, name.lower(), wrap(module))
    setattr(slicer.modules, f"{name}Instance", module.scripted)
    setattr(slicer.moduleNames, name, name)
    _state.app.modules.moduleLoaded.emit(name)
    if hasattr(module.scripted, "setup"):
        module.scripted.setup()
    # The application loads every module at its start (qSlicerModuleFactoryManager::loadModules); here those that a
    # module needs.
    for needed in module.dependencies:
        load_module((LIBRARY if needed == "AcuteFindings" else ROOT / needed) / f"{needed}.py")
    assert unwrap(wrap(module)) is module
    return wrap(module)


def open_panel(name: str, *, size: tuple[int, int] = (520, 1000)) -> Any:
    """Show a loaded module's panel as if it was chosen in the module selector; returns its Python Widget."""
    module = _state.app.modules.module(name)
    if module is None:
        folder = LIBRARY if name == "AcuteFindings" else ROOT / name
        load_module(folder / f"{name}.py")
        module = _state.app.modules.module(name)
    panel = module.widgetRepresentation()
    panel.resize(*size)
    panel.show()
    panel.activateWindow()
    panel.enter()
    process_events()
    return panel.scripted


def leave_panel(name: str) -> None:
    """Leave a module's panel, as choosing another module does."""
    module = _state.app.modules.module(name)
    module.widgetRepresentation().exit()
    module.widgetRepresentation().hide()
    process_events()


def close_panels() -> None:
    """Unload every module: panels are left, cleaned up and deleted, as when Slicer closes."""
    import slicer

    manager = _state.app.modules
    for name, module in list(manager.loaded.items()):
        panel = module._representation
        if panel is not None:
            panel.exit()
        manager.moduleAboutToBeUnloaded.emit(name)
        if panel is not None:
            panel.scripted = None
            panel.deleteLater()
        del manager.loaded[name]
        for attribute in (name.lower(), f"{name}Instance", f"{name}Widget"):
            if hasattr(slicer.modules, attribute):
                delattr(slicer.modules, attribute)
    process_events()


def process_events() -> None:
    """Run what waits in the event queue, deferred deletions too."""
    import starve
    from PySide6.QtCore import QCoreApplication, QEvent

    starve.process_events()
    QCoreApplication.sendPostedEvents(None, QEvent.Type.DeferredDelete.value)


def wait(seconds: float) -> None:
    """Run the event loop for a while."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        process_events()
        _turn(0.005)


def wait_until(ready: Any, seconds: float = 10.0, what: str = "") -> None:
    """Run the event loop until `ready()` is true; fails when it is not in time."""
    end = time.monotonic() + seconds
    while not ready():
        assert time.monotonic() < end, f"not within {seconds} s: {what or ready}"
        process_events()
        _turn(0.005)


def _turn(seconds: float) -> None:
    # The loop waits in Qt, with Python's lock held, as the application does between events.
    import starve
    from PySide6.QtCore import QEventLoop, QTimer

    loop = QEventLoop()
    QTimer.singleShot(max(1, int(seconds * 1000)), loop.quit)
    starve.exec_loop(loop)


def click(widget: Any) -> None:
    """Click a button with the left mouse button; a disabled or hidden one cannot be clicked."""
    native = widget._native
    assert native.isEnabled(), f"{native.objectName() or native} is disabled"
    assert native.isVisible(), f"{native.objectName() or native} is not shown"
    native.click()
    process_events()


def type_text(widget: Any, text: str) -> None:
    """Type into a line edit or text box, in place of what it holds."""
    from input import type_into

    type_into(widget._native, text)
    process_events()


def press_key(widget: Any, key: str) -> None:
    """Press a key, such as "N" or "Ctrl+S", in the window of `widget`, shortcuts included."""
    from input import press

    press(widget._native, key)
    process_events()


def choose(widget: Any, text: str) -> None:
    """Choose an entry of a combo box or node selector by its text."""
    native = widget._native
    combo = native.combo() if hasattr(native, "combo") else native
    row = combo.findText(text)
    assert row >= 0, f"{text!r} is not among {[combo.itemText(i) for i in range(combo.count())]}"
    combo.setCurrentIndex(row)
    combo.activated.emit(row)
    process_events()


def click_row(table: Any, row: int, column: int = 0) -> None:
    """Click a cell of a table."""
    from input import click_cell

    click_cell(table._native, row, column)
    process_events()


def click_chart(series: Any, row: int) -> None:
    """Click the point of a plot series in the plot view that is shown."""
    table = series.GetTableNode().GetTable()
    x, y = (table.GetValueByName(row, name).ToDouble() for name in (series.GetXColumnName(), series.GetYColumnName()))
    click_chart_at(x, y)


def click_chart_at(x: float, y: float = 0.5) -> None:
    """Click a place of the plot view that is shown, in the units of its axes, whether a point is there or not."""
    import slicer

    widget = _state.app.layout_manager.plotWidget(0)
    widget.plotView().show_chart(slicer.mrmlScene.GetNodeByID(widget.mrmlPlotViewNode().GetPlotChartNodeID()))
    widget.plotView().click(x)
    process_events()


def screenshot(widget: Any, path: Path | str) -> Path:
    """Write a PNG of a widget (or of a module's Widget)."""
    native = getattr(getattr(widget, "parent", widget), "_native", None) or widget._native
    process_events()
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    assert native.grab().save(str(path)), f"{path} could not be written"
    return Path(path)


def add_to_dicom_database(folder: Path) -> None:
    """Make the DICOM database know the files of a folder."""
    _state.app.dicom.add(folder)


def clear_dicom_database() -> None:
    """Make the DICOM database forget all files."""
    _state.app.dicom._files.clear()


def quit_signal() -> None:
    """Emit `aboutToQuit()`, as closing the application does."""
    _state.app.aboutToQuit.emit()
    process_events()


if str(HERE) not in sys.path:
    sys.path.insert(0, str(HERE))
from dialogs import dialogs  # noqa: E402
from pythonqt_signals import errors  # noqa: E402
