"""Reads .ui files and says what in them is not there in Slicer."""

import xml.etree.ElementTree as ElementTree
from dataclasses import dataclass, field
from pathlib import Path

from api_names import known_class, names_of
from PySide6 import QtCore
from qt_kinds import properties, qt_class, signals

NEED_TOOL_TIP = ("QPushButton", "QToolButton", "QComboBox", "QLineEdit", "QCheckBox", "QRadioButton", "QSlider",
                 "QSpinBox", "QDoubleSpinBox", "QTableWidget", "ctkSliderWidget", "ctkPathLineEdit",
                 "ctkCollapsibleButton", "qMRMLNodeComboBox", "QProgressBar")  # fmt: skip


@dataclass
class UiFile:
    """A .ui file: widgets by name with their class, and which parameter each shows."""

    path: Path
    classes: dict[str, str] = field(default_factory=dict)
    parameters: dict[str, str] = field(default_factory=dict)
    mistakes: list[str] = field(default_factory=list)


def read_ui(path: Path) -> UiFile:
    """Read a .ui file."""
    made = UiFile(path)
    tree = ElementTree.parse(path).getroot()
    declared = {item.findtext("class") for item in tree.iter("customwidget")}
    for item in [*tree.iter("widget"), *tree.iter("layout"), *tree.iter("action")]:
        shown, name = item.get("class", "QAction"), item.get("name", "")
        if name in made.classes:
            made.mistakes.append(f"{name}: there are two of that name")
        made.classes[name] = shown
        if not known_class(shown) and qt_class(shown) is None:
            made.mistakes.append(f"{name}: there is no class {shown}")
            continue
        if not shown.startswith("Q") and shown not in declared:
            made.mistakes.append(f"{name}: {shown} is not among the custom widgets")
        _read_properties(item, name, shown, made)
    if made.classes.get(tree.findtext("class")) is None:
        made.mistakes.append(f"no widget is called {tree.findtext('class')}, as the class says")
    _check_buddies(tree, made)
    _check_connections(tree, made)
    return made


def _read_properties(item: ElementTree.Element, name: str, shown: str, made: UiFile) -> None:
    for entry in item.findall("property"):
        title = entry.get("name", "")
        if title == "SlicerParameterName":
            made.parameters[name] = "".join(entry.itertext()).strip()
        elif entry.get("stdset") == "0":
            made.mistakes.append(f"{name}: dynamic property {title} means nothing to Slicer")
        elif shown == "QLabel" and title == "buddy":
            continue  # the loader's own, see _check_buddies
        elif title not in properties(shown) and not (item.tag == "layout" and title.endswith("Margin")):
            made.mistakes.append(f"{name}: {shown} has no property {title}")
        for value in [*entry.iter("enum"), *entry.iter("set")]:
            made.mistakes += [f"{name}: no value {part}" for part in value.text.split("|") if not _has_value(part)]
    titles = {entry.get("name"): "".join(entry.itertext()).strip() for entry in item.findall("property")}
    if shown in NEED_TOOL_TIP and not titles.get("toolTip"):
        made.mistakes.append(f"{name}: no tooltip")


def _has_value(scoped: str) -> bool:
    scope, _, value = scoped.strip().rpartition("::")
    scope = scope.split("::")[0]
    if scope == "Qt":
        return hasattr(QtCore.Qt, value)
    if qt_class(scope) is not None:
        return hasattr(qt_class(scope), value)
    return value in (names_of(scope) or ())


def _check_buddies(tree: ElementTree.Element, made: UiFile) -> None:
    for entry in tree.iter("property"):
        buddy = entry.findtext("cstring")
        if entry.get("name") == "buddy" and buddy not in made.classes:
            made.mistakes.append(f"a label is the buddy of {buddy}, which there is not")


def _check_connections(tree: ElementTree.Element, made: UiFile) -> None:
    for link in tree.iter("connection"):
        sender, signal, receiver, slot = (link.findtext(key, "") for key in ("sender", "signal", "receiver", "slot"))
        for end in (sender, receiver):
            if end not in made.classes:
                made.mistakes.append(f"a connection names {end}, which there is not")
        if sender in made.classes and signal not in signals(made.classes[sender]):
            made.mistakes.append(f"{sender}: {made.classes[sender]} has no signal {signal}")
        name = slot.partition("(")[0]
        if receiver in made.classes and name not in (names_of(made.classes[receiver]) or ()):
            made.mistakes.append(f"{receiver}: {made.classes[receiver]} has no slot {slot}")
