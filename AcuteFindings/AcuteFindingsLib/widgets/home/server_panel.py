"""The home module's fields for a server: address, token, whether it answers."""

from collections.abc import Callable
from typing import Any

import qt
from slicer.i18n import tr as _

from AcuteFindingsLib.errors import AcuteFindingsError
from AcuteFindingsLib.packages import DETECT, REMOTE, missing_packages
from AcuteFindingsLib.widgets.models.packages import describe, ensure_packages
from AcuteFindingsLib.widgets.parts import single_click
from AcuteFindingsLib.widgets.worker.process import WorkerProcess
from AcuteFindingsLib.widgets.worker.server_settings import (
    CERTIFICATES_KEY,
    forget_server,
    keep_server,
    server_address,
    server_fields,
    token_file,
    unencrypted,
)


class ServerPanel:
    """Works the widgets `server…` of the home module's .ui file.

    Parameters
    ----------
    ui
        The widgets by name.
    worker
        Gives the process that asks the server.
    """

    def __init__(self, ui: Any, *, worker: Callable[[], WorkerProcess]) -> None:
        self.ui, self._worker = ui, worker
        self._request = 0
        settings = qt.QSettings()
        ui.serverAddressLineEdit.setText(server_address(settings))
        ui.serverCertificatesLineEdit.setText(str(settings.value(CERTIFICATES_KEY, "") or ""))
        ui.serverUnencryptedCheckBox.setChecked(unencrypted(settings))
        ui.serverConnectButton.connect("clicked(bool)", single_click(self.connect))
        ui.serverForgetButton.connect("clicked(bool)", single_click(self.forget))
        ui.serverTokenLineEdit.connect("returnPressed()", self.connect)
        ui.serverAddressLineEdit.connect("returnPressed()", self.connect)
        self._show_kept()

    def connect(self) -> None:
        """Keep what was entered, and ask the server who it is."""
        address = self.ui.serverAddressLineEdit.text.strip()
        if not address:
            self._tell(_("Enter the address of the server first, such as https://ai.example.org:8080."))
            return
        needed = (*DETECT, *REMOTE)
        if not ensure_packages(self.ui.serverConnectButton, needed=needed):
            missing = describe(missing_packages(needed))
            self._tell(_("✖ Not connected: these packages are missing: {packages}.").format(packages=missing))
            return
        try:
            keep_server(
                qt.QSettings(),
                address=address,
                token=self.ui.serverTokenLineEdit.text.strip(),
                certificates=self.ui.serverCertificatesLineEdit.text.strip(),
                unencrypted=bool(self.ui.serverUnencryptedCheckBox.checked),
            )
        except (OSError, AcuteFindingsError) as error:
            self._tell(_("✖ The token could not be kept: {reason}").format(reason=error))
            return
        self.ui.serverTokenLineEdit.clear()
        self._show_kept()
        self.close()
        self._tell(_("Asking the server…"))
        self._request = self._worker().request(
            "remote_version",
            server_fields(qt.QSettings()),
            progress=lambda text, _share: self._tell(text),
            done=self._on_answer,
            failed=lambda reason, _kind: self._tell(_("✖ Not connected: {reason}").format(reason=reason)),
            cancelled=lambda: self._tell(""),
            what=_("the question to the server"),
        )

    def forget(self) -> None:
        """Forget address and token."""
        self.close()
        try:
            forget_server(qt.QSettings())
        except (OSError, AcuteFindingsError) as error:
            self._tell(_("✖ The token could not be removed: {reason}").format(reason=error))
            return
        for field in ("Address", "Token", "Certificates"):
            getattr(self.ui, f"server{field}LineEdit").clear()
        self.ui.serverUnencryptedCheckBox.setChecked(False)
        self._show_kept()
        self._tell(_("Forgotten."))

    def close(self) -> None:
        """Wait for no answer any more."""
        request, self._request = self._request, 0
        if request:
            self._worker().cancel(request)

    def _on_answer(self, answer: dict[str, Any]) -> None:
        self._request = 0
        text = _("✔ Connected to AcuteFindings {version}. Choose the device REMOTE in a detector's module.")
        self._tell(text.format(version=answer.get("software", "")))

    def _show_kept(self) -> None:
        kept = token_file().is_file()
        self.ui.serverTokenLineEdit.setPlaceholderText(_("A token is kept") if kept else _("None"))
        self.ui.serverForgetButton.setEnabled(kept or bool(server_address(qt.QSettings())))

    def _tell(self, text: str) -> None:
        self.ui.serverLabel.setText(text)
