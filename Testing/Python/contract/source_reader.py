"""Reads panel sources and says which names of Qt, ctk and qMRML objects in them are not there in Slicer.

What an expression is, is told from how it was made: `qt.QLabel()`, a widget of the .ui file, a known method's answer
(`layoutManager().sliceWidget("Red")`), or a function of the panels that returns such a thing. What cannot be told is
passed over; a name asked of it is then not checked here, only by the panel tests.
"""

import ast
import re
from dataclasses import dataclass, field
from pathlib import Path

from api_names import known_class, names_of
from PySide6 import QtCore
from qt_kinds import every_signal, properties, qt_class, signals

RETURNS = {
    ("qSlicerApplication", "layoutManager"): "qSlicerLayoutManager",
    ("qSlicerApplication", "userSettings"): "QSettings",
    ("qSlicerApplication", "palette"): "QPalette",
    ("qSlicerApplication", "coreIOManager"): "qSlicerCoreIOManager",
    ("qSlicerApplication", "ioManager"): "qSlicerIOManager",
    ("qSlicerApplication", "moduleManager"): "qSlicerModuleManager",
    ("qSlicerApplication", "settings"): "QSettings",
    ("qSlicerLayoutManager", "sliceWidget"): "qMRMLSliceWidget",
    ("qSlicerLayoutManager", "plotWidget"): "qMRMLPlotWidget",
    ("qMRMLPlotWidget", "plotView"): "qMRMLPlotView",
    ("qMRMLSliceWidget", "sliceView"): "qMRMLSliceView",
    ("QTableWidget", "item"): "QTableWidgetItem",
    ("QTableWidget", "horizontalHeader"): "QHeaderView",
    ("QTableWidget", "verticalHeader"): "QHeaderView",
    ("QTableWidget", "selectionModel"): "QItemSelectionModel",
    ("QFileDialog", "selectedFiles"): None,
}
EXTRA = {"QUiLoader", "QEventLoop", "QByteArray", "QProcessEnvironment", "QTextCursor", "QLayout", "QAbstractButton"}
"""Qt classes that Slicer's own Python files use, though the table of names leaves them out."""
ARGUMENTS = {"manager": "qSlicerLayoutManager", "ui_widget": "qMRMLWidget"}
"""What an argument of that name always is here."""

Kind = str | tuple[str | None, ...] | None


@dataclass
class Source:
    """One file: its tree, what its names and attributes are, and what is wrong in it."""

    name: str
    tree: ast.Module
    ui: dict[str, str] = field(default_factory=dict)
    functions: dict[str, Kind] = field(default_factory=dict)
    attributes: dict[str, str | None] = field(default_factory=dict)
    constants: dict[str, str] = field(default_factory=dict)
    mistakes: list[str] = field(default_factory=list)

    def wrong(self, node: ast.AST, text: str) -> None:
        """Keep a mistake with its line."""
        self.mistakes.append(f"{self.name}:{node.lineno}: {text}")


def read_source(
    path_or_text: Path | str, *, ui: dict[str, str] | None = None, functions: dict[str, Kind] | None = None
) -> Source:
    """Read a file, or the text of one; `ui` tells the classes of the .ui file's widgets."""
    is_path = isinstance(path_or_text, Path)
    text = path_or_text.read_text() if is_path else path_or_text
    made = Source(path_or_text.name if is_path else "source", ast.parse(text), ui or {}, functions or {})
    for item in made.tree.body:
        if isinstance(item, ast.Assign) and isinstance(item.value, ast.Constant) and isinstance(item.value.value, str):
            made.constants.update({target.id: item.value.value for target in item.targets if hasattr(target, "id")})
    _note_attributes(made)
    for scope in _scopes(made.tree):
        _check_scope(made, scope)
    return made


def returned_classes(paths: list[Path]) -> dict[str, Kind]:
    """Return which class the module-level functions of the files return, by the function's name."""
    found: dict[str, Kind] = {}
    for path in paths:
        source = Source(path.name, ast.parse(path.read_text()))
        for item in source.tree.body:
            if isinstance(item, ast.FunctionDef):
                local = _locals(source, item)
                answers = [line.value for line in ast.walk(item) if isinstance(line, ast.Return)]
                kinds = {
                    tuple(_kind(source, part, local) for part in answer.elts)
                    if isinstance(answer, ast.Tuple)
                    else _kind(source, answer, local)
                    for answer in answers
                }
                kind = kinds.pop() if len(kinds) == 1 else None
                found[item.name] = kind if found.get(item.name, kind) == kind else None
    return {name: kind for name, kind in found.items() if kind}


def _scopes(tree: ast.Module) -> list[ast.AST]:
    # A function with what is nested in it is read as one: lambdas and inner functions see its names.
    found: list[ast.AST] = []

    def visit(item: ast.AST) -> None:
        for child in ast.iter_child_nodes(item):
            if isinstance(child, ast.FunctionDef):
                found.append(child)
            elif isinstance(child, ast.ClassDef):
                visit(child)

    visit(tree)
    return found


def _note_attributes(source: Source) -> None:
    """Note what `self.NAME` is where every assignment in the file says the same."""
    for scope in _scopes(source.tree):
        local = _locals(source, scope)
        for item in ast.walk(scope):
            if not isinstance(item, ast.Assign | ast.AnnAssign) or item.value is None:
                continue
            targets = item.targets if isinstance(item, ast.Assign) else [item.target]
            if isinstance(item.value, ast.Constant) and item.value.value is None:
                continue
            for target in targets:
                if isinstance(target, ast.Tuple):
                    pairs = zip(target.elts, _parts(source, item.value, local, len(target.elts)), strict=True)
                else:
                    pairs = [(target, _kind(source, item.value, local))]
                for part, kind in pairs:
                    if _is_self(part):
                        known = source.attributes.get(part.attr, kind)
                        source.attributes[part.attr] = kind if known == kind else None


def _is_self(node: ast.AST) -> bool:
    return isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "self"


def _locals(source: Source, scope: ast.AST) -> dict[str, str | None]:
    local: dict[str, str | None] = {}
    parameters = {argument.arg for argument in ast.walk(scope) if isinstance(argument, ast.arg)}
    for item in ast.walk(scope):
        if isinstance(item, ast.Assign):
            for target in item.targets:
                if isinstance(target, ast.Name):
                    kind = _kind(source, item.value, local)
                    local[target.id] = kind if local.get(target.id, kind) == kind else None
                elif isinstance(target, ast.Tuple):
                    kinds = _parts(source, item.value, local, len(target.elts))
                    for part, kind in zip(target.elts, kinds, strict=True):
                        if isinstance(part, ast.Name):
                            local[part.id] = kind if local.get(part.id, kind) == kind else None
        elif isinstance(item, ast.For | ast.comprehension):
            local.update({part.id: None for part in ast.walk(item.target) if isinstance(part, ast.Name)})
        elif isinstance(item, ast.With):
            names = [part.optional_vars for part in item.items if isinstance(part.optional_vars, ast.Name)]
            local.update({part.id: None for part in names})
    local.update({name: ARGUMENTS.get(name) for name in parameters})
    return local


def _parts(source: Source, node: ast.AST, local: dict[str, str | None], count: int) -> list[str | None]:
    """Return the class of each part that `a, b = node` takes apart."""
    if isinstance(node, ast.Tuple) and len(node.elts) == count:
        return [_kind(source, part, local) for part in node.elts]
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
        made = source.functions.get(node.func.id)
        if isinstance(made, tuple) and len(made) == count:
            return list(made)
    return [None] * count


def _kind(source: Source, node: ast.AST | None, local: dict[str, str | None]) -> str | None:
    """Return the class of what an expression answers, as far as it can be told."""
    if isinstance(node, ast.Name):
        return local.get(node.id)
    if isinstance(node, ast.Call):
        made = _constructed(node.func)
        if made:
            return made
        if isinstance(node.func, ast.Attribute):
            owner = _kind(source, node.func.value, local)
            return RETURNS.get((owner, node.func.attr))
        if isinstance(node.func, ast.Name) and node.func.id not in local:
            made = source.functions.get(node.func.id)
            return made if isinstance(made, str) else None
        return None
    if isinstance(node, ast.Attribute):
        if ast.unparse(node) == "slicer.app":
            return "qSlicerApplication"
        if _is_ui(node.value) and node.attr in source.ui:
            return source.ui[node.attr]
        if _is_self(node):
            return source.attributes.get(node.attr)
    return None


def _constructed(function: ast.AST) -> str | None:
    """Return the class that `qt.QLabel(...)`, `ctk.ctkX(...)` or `slicer.qMRMLX(...)` makes."""
    if isinstance(function, ast.Attribute) and isinstance(function.value, ast.Name):
        if function.value.id in ("qt", "ctk") and known_class(function.attr):
            return function.attr
        if function.value.id == "slicer" and function.attr.startswith(("qMRML", "qSlicer")):
            return function.attr
    return None


def _is_ui(node: ast.AST) -> bool:
    return (isinstance(node, ast.Name) and node.id == "ui") or (
        isinstance(node, ast.Attribute) and node.attr == "ui" and isinstance(node.value, ast.Name)
    )


def _check_scope(source: Source, scope: ast.AST) -> None:
    local = _locals(source, scope)
    called = {id(item.func) for item in ast.walk(scope) if isinstance(item, ast.Call)}
    for item in ast.walk(scope):
        if isinstance(item, ast.Attribute):
            _check_module_name(source, item)
            if _is_ui(item.value) and source.ui and item.attr not in source.ui:
                source.wrong(item, f"the .ui file has no widget {item.attr}")
            kind = _kind(source, item.value, local)
            if kind:
                _check_name(source, item, kind, called=id(item) in called)
        linked = isinstance(item, ast.Call) and getattr(item.func, "attr", "") in ("connect", "disconnect")
        if linked and item.args:
            _check_signal(source, item, _kind(source, item.func.value, local))


def _check_name(source: Source, item: ast.Attribute, kind: str, *, called: bool) -> None:
    allowed = names_of(kind)
    if allowed is None:
        return
    if item.attr not in allowed:
        source.wrong(item, f"{kind} has no {item.attr}")
    elif isinstance(item.ctx, ast.Store) and item.attr not in properties(kind):
        source.wrong(item, f"{kind}.{item.attr} cannot be set: it is no property")
    elif called and item.attr in properties(kind):
        source.wrong(item, f"{kind}.{item.attr} is a property and cannot be called")


def _check_signal(source: Source, call: ast.Call, kind: str | None) -> None:
    first = call.args[0]
    if isinstance(first, ast.Name) and first.id in source.constants:
        first = ast.Constant(source.constants[first.id])
    if not isinstance(first, ast.Constant) or not isinstance(first.value, str):
        return
    signature = bytes(QtCore.QMetaObject.normalizedSignature(first.value)).decode()
    if not re.fullmatch(r"\w+\(\S*\)", first.value) or signature != first.value:
        source.wrong(call, f"connect takes a signature without spaces, not {first.value!r}")
    elif signature not in (signals(kind) if kind else every_signal()):
        source.wrong(call, f"{kind or 'no class'} has {'no' if kind else 'a'} signal {signature}")


def _check_module_name(source: Source, item: ast.Attribute) -> None:
    text = ast.unparse(item)
    module, _, rest = text.partition(".")
    if module not in ("qt", "ctk", "slicer") or not rest.replace(".", "").isidentifier():
        return
    parts = rest.split(".")
    if module == "slicer":
        _check_slicer_name(source, item, parts)
    elif parts[0] == "Qt" and module == "qt":
        if len(parts) == 2 and not hasattr(QtCore.Qt, parts[1]):
            source.wrong(item, f"there is no qt.Qt.{parts[1]}")
    elif not known_class(parts[0]) and not (module == "qt" and parts[0] in EXTRA and qt_class(parts[0])):
        source.wrong(item, f"there is no {module}.{parts[0]}")
    elif len(parts) == 2 and names_of(parts[0]) is not None and parts[1] not in names_of(parts[0]):
        source.wrong(item, f"there is no {text}")


def _check_slicer_name(source: Source, item: ast.Attribute, parts: list[str]) -> None:
    import slicer
    import slicer.util

    if parts[0].startswith(("qMRML", "qSlicer")) and not known_class(parts[0]):
        source.wrong(item, f"there is no slicer.{parts[0]}")
    elif parts[0].startswith("vtk"):
        if not hasattr(slicer, parts[0]):
            source.wrong(item, f"there is no slicer.{parts[0]}")
        elif len(parts) == 2 and not hasattr(getattr(slicer, parts[0]), parts[1]):
            source.wrong(item, f"slicer.{parts[0]} has no {parts[1]}")
    elif parts[0] == "util" and len(parts) == 2 and not hasattr(slicer.util, parts[1]):
        source.wrong(item, f"there is no slicer.util.{parts[1]}")
