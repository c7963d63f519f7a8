"""Loads .ui files with Slicer's own widgets in them. As in the application, what no class is known for is left out."""

import xml.etree.ElementTree as ElementTree
from typing import Any

import native_ctk
from native_views import CLASSES as VIEW_CLASSES
from PySide6 import QtCore, QtUiTools
from pythonqt import wrap
from pythonqt_signals import connect

CUSTOM = {**native_ctk.CLASSES, **VIEW_CLASSES}


class UiLoader:
    """`qt.QUiLoader`, which knows the ctk and qMRML widgets the test host has."""

    def load(self, file: Any, parent: Any = None) -> Any:
        """Return the widget a .ui file describes, or None where it describes none."""
        native = getattr(file, "_native", file)
        tree = ElementTree.fromstring(bytes(native.readAll().data()))
        links = [
            (*(link.findtext(key, "") for key in ("sender", "signal", "receiver", "slot")),)
            for link in tree.iter("connection")
        ]
        for parent_of in tree.findall("connections"):
            tree.remove(parent_of)
        loader = QtUiTools.QUiLoader()
        for cls in CUSTOM.values():
            loader.registerCustomWidget(cls)
        buffer = QtCore.QBuffer()
        buffer.setData(ElementTree.tostring(tree))
        buffer.open(QtCore.QIODevice.OpenModeFlag.ReadOnly)
        made = loader.load(buffer, getattr(parent, "_native", parent))
        if made is None:
            return None
        widgets = {child.objectName(): child for child in [made, *made.findChildren(QtCore.QObject)]}
        for sender, signal, receiver, slot in links:
            if sender in widgets and receiver in widgets:
                connect(wrap(widgets[sender]), signal, wrap(widgets[receiver]), slot)
        return wrap(made)
