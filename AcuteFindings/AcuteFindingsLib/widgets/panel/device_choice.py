"""Where a detector runs: what ONNX Runtime has on this computer, or a server; the rest says what it would need."""

from collections.abc import Callable
from typing import Any

import qt
from slicer.i18n import tr as _

from AcuteFindingsLib.packages import DETECT, missing_packages
from AcuteFindingsLib.widgets.worker.process import WorkerProcess
from AcuteFindingsLib.widgets.worker.server_settings import REMOTE, server_address

# One answer for the whole application: three modules offer the same devices. None before the worker was asked.
_known: list[str] | None = None


class DeviceChoice:
    """Works `deviceComboBox`, which the parameter node fills with the names of `module_parts.Device`.

    Parameters
    ----------
    combo
        The combo box.
    worker
        Gives the worker process, which knows what ONNX Runtime has.
    """

    def __init__(self, combo: Any, *, worker: Callable[[], WorkerProcess]) -> None:
        self._combo, self._worker = combo, worker

    def ask(self) -> None:
        """Find out what there is, where that is not known yet; the worker is started for it and is warm for a run."""
        if _known is None and not missing_packages(DETECT):
            self._worker().request("devices", {}, done=self._on_answer)
        self.show()

    def show(self) -> None:
        """Let what is not here not be chosen; to be called again when the combo box was filled anew."""
        if self._combo is None:
            return
        tips, server = _tips(), server_address(qt.QSettings())
        offered = {"auto", "cpu", *(_known or ()), *([REMOTE] if server else [])}
        for number in range(self._combo.count):
            device = self._combo.itemText(number).lower()
            here = device in offered
            self._combo.model().item(number).setEnabled(here)
            tip = tips.get(device, "")
            if device == REMOTE:
                tip = tip if not server else _("The server at {address}").format(address=server)
            elif not here and _known is not None:
                tip = _("Not on this computer. {what}").format(what=tip)
            self._combo.setItemData(number, tip, qt.Qt.ToolTipRole)
        current = self._combo.currentText.lower()
        if current not in offered and (_known is not None or current == REMOTE):
            # A scene from another computer.
            self._combo.setCurrentIndex(0)

    def close(self) -> None:
        """Let go of the combo box: the panel goes."""
        self._combo = None

    def _on_answer(self, answer: dict[str, Any]) -> None:
        global _known
        _known = [str(device) for device in answer.get("devices", ())]
        self.show()


def _tips() -> dict[str, str]:
    return {
        "auto": _("The fastest that ONNX Runtime has here; where it fails, the processor, with a warning"),
        "cpu": _("The processor"),
        "cuda": _("NVIDIA graphics cards, with the package onnxruntime-gpu in place of onnxruntime"),
        "coreml": _("The graphics of a Mac"),
        "directml": _("Any graphics card under Windows, with the package onnxruntime-directml in place of onnxruntime"),
        "openvino": _("Intel's processors and graphics, with the package onnxruntime-openvino in place of onnxruntime"),
        REMOTE: _("A server of your department; enter its address in the module Acute Findings, under Remote server"),
    }
