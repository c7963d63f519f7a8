"""Dialogs that wait for a person: answered by the test beforehand, because nobody sits at the offscreen screen."""

from typing import Any

from host_errors import errors
from PySide6 import QtWidgets


class Dialogs:
    """What dialogs are answered with, in order, and what they asked.

    Attributes
    ----------
    asked : list of str
        Text of every message box, or title of every file dialog, in order.
    """

    def __init__(self) -> None:
        self.asked: list[str] = []
        self._answers: list[Any] = []

    def answer(self, *values: Any) -> None:
        """Queue answers: a button such as `qt.QMessageBox.Ok`, a path, or "" for a cancelled file dialog."""
        self._answers += values

    def clear(self) -> list[Any]:
        """Forget questions and answers; returns the answers that nothing asked for."""
        left, self._answers, self.asked = self._answers, [], []
        return left

    def run(self, dialog: QtWidgets.QDialog) -> Any:
        """Stand in for `dialog.exec_()`."""
        text = dialog.text() if isinstance(dialog, QtWidgets.QMessageBox) else dialog.windowTitle()
        self.asked.append(text)
        answer = self._next(text, 0)
        if isinstance(dialog, QtWidgets.QFileDialog) and isinstance(answer, str | list | tuple):
            chosen = [answer] if isinstance(answer, str) else list(answer)
            dialog.selectedFiles = lambda: [path for path in chosen if path]
            return int(any(chosen))
        return int(answer)

    def static(self, class_name: str, name: str) -> Any:
        """Return a stand-in for a static dialog function such as `QFileDialog.getOpenFileName`, or None."""
        if class_name == "QFileDialog" and name.startswith("get"):
            return lambda parent=None, caption="", *_, **__: self._file(name, caption)
        if name.startswith("get") or name in ("question", "information", "warning", "critical"):
            raise AttributeError(f"the test host does not have qt.{class_name}.{name} (the application does)")
        return None

    def _file(self, name: str, caption: str) -> Any:
        self.asked.append(caption)
        answer = self._next(caption, "")
        if name.endswith("Names"):
            return tuple([answer] if isinstance(answer, str) else answer)
        return answer

    def _next(self, text: str, cancelled: Any) -> Any:
        if not self._answers:
            errors.append(AssertionError(f"A dialog that the test had no answer for (host.dialogs.answer): {text}"))
            return cancelled
        return self._answers.pop(0)


dialogs = Dialogs()
