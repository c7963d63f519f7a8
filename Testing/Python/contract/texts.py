"""Finds texts for people that do not go through `_()`."""

import ast

PROPERTIES = {"text", "toolTip", "title", "windowTitle", "placeholderText", "label", "statusTip", "whatsThis"}
SETTERS = {f"set{name[0].upper()}{name[1:]}" for name in PROPERTIES} | {"addItem", "addTab", "addRow"}
MAKERS = {"QLabel", "QPushButton", "QCheckBox", "QRadioButton", "QGroupBox", "QToolButton", "QAction"}
DISPLAYS = {"errorDisplay", "warningDisplay", "infoDisplay", "confirmOkCancelDisplay", "confirmYesNoDisplay",
            "messageBox", "showStatusMessage", "delayDisplay"}  # fmt: skip


def bare_texts(source: str) -> list[str]:
    """Return line and text of every string with a letter that is shown without having gone through `_()`."""
    found = []
    for item in ast.walk(ast.parse(source)):
        if isinstance(item, ast.Assign) and any(getattr(target, "attr", "") in PROPERTIES for target in item.targets):
            found += _strings(item.value)
        elif isinstance(item, ast.Call) and isinstance(item.func, ast.Attribute):
            owner = getattr(item.func.value, "id", "")
            shown = item.func.attr in SETTERS or (owner == "qt" and item.func.attr in MAKERS)
            if shown or item.func.attr in DISPLAYS:
                for argument in item.args[:1]:
                    found += _strings(argument)
    return [f"{node.lineno}: {node.value!r}" for node in sorted(found, key=lambda node: (node.lineno, node.col_offset))]


def _strings(node: ast.AST) -> list[ast.Constant]:
    if isinstance(node, ast.Constant):
        return [node] if isinstance(node.value, str) and any(letter.isalpha() for letter in node.value) else []
    if isinstance(node, ast.BinOp):
        return _strings(node.left) + _strings(node.right)
    if isinstance(node, ast.IfExp):
        return _strings(node.body) + _strings(node.orelse)
    return []
