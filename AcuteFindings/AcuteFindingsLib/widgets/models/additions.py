"""Models added from this computer: a folder that is listed, a package that is unpacked, weights that are imported."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from slicer.i18n import tr as _

from AcuteFindingsLib.widgets.models.archive import unpack_steps
from AcuteFindingsLib.widgets.models.importing import ModelImport
from AcuteFindingsLib.widgets.models.rows import ModelRow, read_row, rows_in, set_user_folders, user_folders
from AcuteFindingsLib.widgets.stepper import Stepper
from AcuteFindingsLib.widgets.worker.process import WorkerProcess


class ModelAdditions:
    """Adds one model or folder at a time.

    Parameters
    ----------
    task
        What imported weights are for; None where the file itself must say so.
    worker
        Gives the process that imports.
    settings
        The application's settings, a `QSettings`: keep the user's folders.
    tell
        Called with what is being done and why it failed, in words.
    added
        Called with what there is to list now.
    """

    def __init__(
        self,
        task: str | None,
        *,
        worker: Callable[[], WorkerProcess],
        settings: Any,
        tell: Callable[[str], None],
        added: Callable[[list[ModelRow]], None],
    ) -> None:
        self._task, self._settings, self._tell, self._added = task, settings, tell, added
        self._unpacking: Stepper | None = None
        self._import = ModelImport(worker=worker, tell=tell, done=self.add_downloaded)

    def add_folder(self, folder: Path) -> None:
        """List the models of a folder from now on: a package, or a folder of packages."""
        found = rows_in(folder)
        if not found:
            self._tell(_("{folder} holds no model package.").format(folder=folder))
            return
        set_user_folders(self._settings, [folder, *user_folders(self._settings)])
        self._added(found)

    def add_file(self, file: Path) -> None:
        """Unpack a zip file of a package into the folder of downloaded packages, or import weights."""
        if file.suffix.lower() != ".zip":
            self._import.start(file, self._task)
            return
        if self._unpacking is not None and self._unpacking.running:
            self._tell(_("Another model is being unpacked; try again when it is done."))
            return
        self._unpacking = Stepper(
            unpack_steps(file),
            done=self.add_downloaded,
            failed=lambda error: self._tell(str(error)),
            progress=lambda share: self._tell(_("Unpacking: {percent} %").format(percent=round(100 * share))),
        )
        self._unpacking.start()

    def add_downloaded(self, folder: Path) -> None:
        """List a package that has come into the folder of downloaded packages."""
        self._added([read_row(folder, place="downloaded")])

    def close(self) -> None:
        """Stop what is under way."""
        if self._unpacking is not None:
            self._unpacking.stop()
        self._import.stop()


def added_text(rows: list[ModelRow], task: str | None) -> str:
    """Return in words what was added, and what of it a list for `task` does not show."""
    text = _("Added: {models}.").format(models=", ".join(row.id for row in rows))
    others = [row.id for row in rows if task and row.task not in ("", task)]
    if others:
        told = _("Made for another task, so not listed here: {models}.")
        text += " " + told.format(models=", ".join(others))
    return text
