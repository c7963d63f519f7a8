"""Apply, which becomes Cancel, and what is told of a run while it lasts and when it ends."""

from collections.abc import Callable
from typing import Any

import slicer
from slicer.i18n import tr as _

from AcuteFindingsLib.packages import LIGHT, TORCH, missing_packages
from AcuteFindingsLib.packages import REMOTE as REMOTE_PACKAGES
from AcuteFindingsLib.scene.results import SceneResult
from AcuteFindingsLib.widgets.models.loader import ModelLoader
from AcuteFindingsLib.widgets.models.packages import describe, ensure_packages, ensure_torch
from AcuteFindingsLib.widgets.models.provider_consent import ensure_provider
from AcuteFindingsLib.widgets.panel.time_left import time_left_text
from AcuteFindingsLib.widgets.parts import single_click
from AcuteFindingsLib.widgets.worker.run_controller import IDLE, RunController
from AcuteFindingsLib.widgets.worker.server_settings import REMOTE


class RunBar:
    """Works `applyButton`, `progressBar` and `progressLabel` of a .ui file; takes over the controller's callbacks.

    Parameters
    ----------
    ui
        The widgets by name; `inputSelector` and `deviceComboBox` say what is run and where.
    controller
        Runs the detector.
    model_loader
        Says with which model.
    may_start
        Asked before a run; False stops it.
    on_result
        Called with the result of a run that ended well.
    """

    def __init__(
        self,
        ui: Any,
        controller: RunController,
        model_loader: ModelLoader,
        *,
        may_start: Callable[[], bool],
        on_result: Callable[[SceneResult], Any],
    ) -> None:
        self.ui, self.controller, self.model_loader = ui, controller, model_loader
        self._may_start, self._show_result = may_start, on_result
        self._obstacle = ""
        self._last_run: tuple[Any, str, str, bool] | None = None
        controller.on_state = self._on_state
        controller.on_progress = self._on_progress
        controller.on_result = self._on_result
        controller.on_error = self._on_error
        controller.on_cancelled = lambda reason: self.tell(reason or _("Cancelled."))
        ui.progressLabel.setWordWrap(True)
        ui.progressBar.setRange(0, 100)
        # A double click starts one run; its second half must not cancel it, nor start another after a cancelled one.
        ui.applyButton.connect("clicked(bool)", single_click(self.apply))
        self._on_state(IDLE)
        self.tell("")

    def apply(self) -> None:
        """Start a run, or stop the one that is under way."""
        if self.controller.state != IDLE:
            self.ui.applyButton.setEnabled(False)
            self.controller.cancel()
            return
        volume = self.ui.inputSelector.currentNode()
        if volume is None:
            return
        if self.model_loader.obstacle:
            self.tell_obstacle()
            return
        if not self._may_start():
            return
        device = self.ui.deviceComboBox.currentText.lower()
        needed = (*LIGHT, *REMOTE_PACKAGES) if device == REMOTE else LIGHT
        if not ensure_packages(self.ui.applyButton, needed=needed):
            missing = missing_packages(needed)
            if missing:
                text = _("✖ Not run: these packages are missing: {packages}.")
                self.tell(text.format(packages=describe(missing)))
            return
        # On a server it is for whoever runs it to agree and install.
        if device != REMOTE and not ensure_provider(self.model_loader.model, self.ui.applyButton):
            self.tell(
                _("✖ Not run: {model} can be used after you agree to its terms and it is installed.").format(
                    model=self.model_loader.model
                )
            )
            return
        self._start(volume, self.model_loader.model, device)

    def update(self) -> None:
        """Let Apply be pressed where there is a volume, or a run to cancel."""
        running = self.controller.state != IDLE
        self.ui.applyButton.setEnabled(running or self.ui.inputSelector.currentNode() is not None)

    def tell(self, text: str) -> None:
        """Show a line below the button; hidden where it is empty."""
        self.ui.progressLabel.setText(text)
        self.ui.progressLabel.setVisible(bool(text))

    def tell_obstacle(self) -> None:
        """Say that the scene's model cannot be used, or take that back."""
        before, self._obstacle = self._obstacle, self.model_loader.obstacle
        if self._obstacle:
            self.tell(_("✖ Apply is not possible yet: {reason}").format(reason=self._obstacle))
        elif before:
            self.tell("")

    def _start(self, volume: Any, model: str, device: str, *, force: bool = False) -> None:
        self._last_run = (volume, model, device, force)
        self.controller.start(volume, model, device, force)

    def _on_state(self, state: str) -> None:
        running = state != IDLE
        self.ui.applyButton.setText(_("Cancel") if running else _("Apply"))
        self.ui.applyButton.setToolTip(
            _("Stop the detector; nothing is kept of this run") if running else _("Run the detector on the volume")
        )
        self.ui.progressBar.setVisible(running)
        for widget in (self.ui.inputSelector, self.ui.deviceComboBox, self.model_loader.widget):
            widget.setEnabled(not running)
        self.update()

    def _on_progress(self, text: str, fraction: float, seconds_left: float | None) -> None:
        self.ui.progressBar.setValue(round(100 * fraction))
        self.tell(text if not seconds_left else f"{text} ({time_left_text(seconds_left)})")

    def _on_result(self, result: SceneResult) -> None:
        self.tell(_("Done."))
        self._show_result(result)

    def _on_error(self, text: str) -> None:
        if self.controller.error_kind == "TorchMissingError" and missing_packages(TORCH):
            self._offer_torch()
            return
        self.tell(_("✖ {reason}").format(reason=text))
        # A server runs no study that was refused.
        if self.controller.error_kind == "StudyRefusedError" and not self._ran_remotely:
            self._offer_force(text)
        else:
            slicer.util.errorDisplay(text)

    @property
    def _ran_remotely(self) -> bool:
        return self._last_run is not None and self._last_run[2] == REMOTE

    def _offer_force(self, text: str) -> None:
        if slicer.app.testingEnabled() or self._last_run is None:
            return
        question = _("{reason}\n\nRun the detector anyway? Its answer may mean nothing.").format(reason=text)
        if slicer.util.confirmYesNoDisplay(question):
            volume, model, device, _forced = self._last_run
            self._start(volume, model, device, force=True)

    def _offer_torch(self) -> None:
        used = self.model_loader.used
        model = self.model_loader.model if used is None else used.id
        self.tell(_("✖ Not run: the model {model} needs PyTorch, which is not installed.").format(model=model))
        if ensure_torch(_("The model {model}").format(model=model), self.ui.applyButton) and self._last_run is not None:
            volume, model, device, force = self._last_run
            self._start(volume, model, device, force=force)
