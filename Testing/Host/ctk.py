"""The `ctk` module that Slicer has, as far as the test host does."""

from typing import Any

import native_ctk
from pythonqt import class_of


def __getattr__(name: str) -> Any:
    if name in native_ctk.CLASSES:
        return class_of(native_ctk.CLASSES[name])
    if name.startswith("ctk"):
        raise AttributeError(f"the test host does not have ctk.{name}; see Testing/Data/slicer_widget_api.json")
    raise AttributeError(f"module 'ctk' has no attribute '{name}'")
