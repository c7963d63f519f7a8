"""Which names Python sees on a class inside Slicer, read from `Testing/Data/slicer_widget_api.json`."""

import functools
import gzip
import json
from pathlib import Path

DATA = Path(__file__).resolve().parent.parent / "Data"
EVERYWHERE = {"name", "className", "delete", "deleteLater", "help", "connect", "disconnect"}
"""What PythonQt adds to every wrapped object; `name` is another spelling of `objectName`."""

TOLD = {"qSlicerApplication": {"testingEnabled"}}
"""What `SLICER_FACTS.md` or Slicer's own Python files use and the table, read from headers for that class, lacks."""


@functools.cache
def api() -> dict:
    """Return the table of names as it was read off the running application."""
    plain = DATA / "slicer_widget_api.json"
    if plain.is_file():
        return json.loads(plain.read_text())
    with gzip.open(plain.with_suffix(".json.gz"), "rt") as file:
        return json.load(file)


def known_class(name: str) -> bool:
    """Whether the table has the class."""
    return name in api()["qt_classes"] or name in api()["classes"]


@functools.cache
def names_of(class_name: str) -> frozenset[str] | None:
    """Return every attribute that Python may use on `class_name`, or None for a class the table does not know."""
    qt_classes, classes = api()["qt_classes"], api()["classes"]
    if class_name in qt_classes:
        return _with_exec(set(qt_classes[class_name]) | EVERYWHERE)
    if class_name not in classes:
        return None
    entry = classes[class_name]
    names = set(entry.get("attributes", ())) | TOLD.get(class_name, set())
    names |= set(entry.get("properties", ()))
    for kind in ("signals", "slots", "invokables"):
        names |= {signature.partition("(")[0] for signature in entry.get(kind, ())}
    for enum in entry.get("enums", ()):
        names |= {enum["name"], *enum["values"]}
    for base in entry.get("bases", ()):
        names |= names_of(base) or set()
    is_widget = "QWidget" in ancestors(class_name)
    names |= set(qt_classes["QWidget" if is_widget else "QObject"])
    return _with_exec(names | EVERYWHERE)


def _with_exec(names: set[str]) -> frozenset[str]:
    # `exec_` is PythonQt's other spelling of `exec`.
    return frozenset(names | {"exec_"} if "exec" in names else names)


@functools.cache
def ancestors(class_name: str) -> tuple[str, ...]:
    """Return the class and its bases as far as the table tells, nearest first."""
    entry = api()["classes"].get(class_name)
    if entry is None:
        return (class_name, *(("QWidget",) if _is_qt_widget(class_name) else ()))
    found = [class_name]
    for base in entry.get("bases", ()):
        found += [name for name in ancestors(base) if name not in found]
    return tuple(found)


def _is_qt_widget(class_name: str) -> bool:
    # The table leaves out abstract classes such as QAbstractButton.
    from PySide6 import QtWidgets

    known = getattr(QtWidgets, class_name, None)
    return isinstance(known, type) and issubclass(known, QtWidgets.QWidget)


def signals_of(class_name: str) -> set[str]:
    """Return the signal signatures a ctk, qMRML or qSlicer class declares, with those of its listed bases."""
    found: set[str] = set()
    for name in ancestors(class_name):
        found |= set(api()["classes"].get(name, {}).get("signals", ()))
    return found


def properties_of(class_name: str) -> set[str]:
    """Return the properties a ctk, qMRML or qSlicer class declares, with those of its listed bases."""
    found: set[str] = set()
    for name in ancestors(class_name):
        found |= set(api()["classes"].get(name, {}).get("properties", ()))
    return found
