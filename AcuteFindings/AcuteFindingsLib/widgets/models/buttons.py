"""The buttons below the list of models."""

from collections.abc import Callable
from typing import Any

import qt
from slicer.i18n import tr as _

from AcuteFindingsLib.widgets.parts import push_button


class ModelButtons:
    """Two rows: what is done with the selected model, and the ways to a further one.

    Side by side the buttons are wider than a module panel.

    Parameters
    ----------
    layout
        Where the rows are added.
    verify, make_default, delete, add_folder, add_file, add_address
        Called when a person asks for it.
    show_card, show_download, show_public
        Called with whether it is to be shown.
    """

    def __init__(
        self,
        layout: Any,
        *,
        verify: Callable[[], None],
        make_default: Callable[[], None],
        delete: Callable[[], None],
        show_card: Callable[[bool], None],
        add_folder: Callable[[], None],
        add_file: Callable[[], None],
        add_address: Callable[[], None],
        show_download: Callable[[bool], None],
        show_public: Callable[[bool], None],
    ) -> None:
        of_model, further, public = qt.QHBoxLayout(), qt.QHBoxLayout(), qt.QHBoxLayout()
        self.verify = push_button(
            _("Verify"),
            _("Check every file of the selected model against its checksum, and check its tensors."),
            verify,
            name="verifyButton",
        )
        self.make_default = push_button(
            _("Make default"),
            _("Use the selected model wherever none is chosen, from now on; the command line does so too."),
            make_default,
            name="makeDefaultButton",
        )
        self.delete = push_button(
            _("Delete…"),
            _("Delete the selected model. Models that came with the extension cannot be deleted."),
            delete,
            name="deleteButton",
        )
        self.card = _toggle(
            _("Model card"), _("Show what is known about the selected model."), show_card, name="detailsButton"
        )
        self.add = qt.QPushButton(_("Add…"))
        self.add.setObjectName("addButton")
        self.add.toolTip = _("Add a model from this computer or from an address on the Hugging Face hub.")
        menu = qt.QMenu(self.add)
        menu.setToolTipsVisible(True)
        self.add_actions = {
            name: _action(menu, text, tip, called)
            for name, text, tip, called in (
                (
                    "folder",
                    _("Folder…"),
                    _("Use models from a folder on this computer: one model package, or a folder of several."),
                    add_folder,
                ),
                (
                    "file",
                    _("File…"),
                    _("Install a model package from a zip file, import weights, or read an import description."),
                    add_file,
                ),
                (
                    "address",
                    _("Hugging Face address…"),
                    _("Import a public model from its address on the Hugging Face hub."),
                    add_address,
                ),
            )
        }
        self.add.setMenu(menu)
        self.download = _toggle(
            _("Download…"),
            _("Show the models of the catalogue that can be downloaded, with their licenses."),
            show_download,
            name="showDownloadButton",
        )
        self.public = _toggle(
            _("Get a model trained on patients…"),
            _("Show public models that were trained on patients, with size, license and published figures."),
            show_public,
            name="showPublicButton",
        )
        for buttons, line in (
            ((self.verify, self.make_default, self.delete, self.card), of_model),
            ((self.add, self.download), further),
            ((self.public,), public),
        ):
            for button in buttons:
                line.addWidget(button)
            layout.addLayout(line)


def _toggle(text: str, tip: str, toggled: Callable[[bool], None], *, name: str) -> Any:
    button = qt.QPushButton(text)
    button.setObjectName(name)
    button.toolTip = tip
    button.setCheckable(True)
    button.connect("toggled(bool)", toggled)
    return button


def _action(menu: Any, text: str, tip: str, triggered: Callable[[], None]) -> Any:
    action = menu.addAction(text)
    action.setToolTip(tip)
    action.connect("triggered(bool)", lambda _checked: triggered())
    return action
