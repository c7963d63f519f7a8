"""The model loader that all modules share: which models there are, which one is used, and what is known of each."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import qt
from slicer.i18n import tr as _

from AcuteFindingsLib.detectors.registry import find_kind
from AcuteFindingsLib.detectors.wording import in_sentence, names_of
from AcuteFindingsLib.errors import AcuteFindingsError
from AcuteFindingsLib.models.default_model import Choice, defaults_file, set_default
from AcuteFindingsLib.models.task import PART
from AcuteFindingsLib.places import models_cache
from AcuteFindingsLib.widgets.models.additions import ModelAdditions, added_text
from AcuteFindingsLib.widgets.models.buttons import ModelButtons
from AcuteFindingsLib.widgets.models.cards import card_text
from AcuteFindingsLib.widgets.models.checks import ModelChecks
from AcuteFindingsLib.widgets.models.download import ModelDownload
from AcuteFindingsLib.widgets.models.importing import DESCRIPTIONS, ENDINGS
from AcuteFindingsLib.widgets.models.provider_rows import provider_rows
from AcuteFindingsLib.widgets.models.public_models import PublicModels
from AcuteFindingsLib.widgets.models.removal import remove_model
from AcuteFindingsLib.widgets.models.rows import (
    PROVIDER,
    ModelRow,
    default_choices,
    list_rows,
    read_row,
    user_folders,
)
from AcuteFindingsLib.widgets.models.table import ModelTable
from AcuteFindingsLib.widgets.models.verification import ModelVerification
from AcuteFindingsLib.widgets.worker.process import WorkerProcess, shared_worker


class ModelLoader:
    """Lists models and keeps the choice of one; own `widget` belongs into a panel's layout.

    Parameters
    ----------
    detector
        Id of the detector that the model is for; None for a manager of all models, in which none is chosen.
    worker
        Process that examines the tensors on "Verify"; by default the one that all modules share.
    downloader
        Process that downloads; by default another one that all modules share.
    settings
        The application's settings, a `QSettings`.

    Attributes
    ----------
    widget
        A `QWidget`.
    on_changed
        Called with `model` when the choice has changed.
    on_listed
        Called when the list was read again.
    """

    def __init__(
        self,
        detector: str | None,
        *,
        worker: WorkerProcess | None = None,
        downloader: WorkerProcess | None = None,
        settings: Any = None,
    ) -> None:
        kind = find_kind(detector) if detector else None
        self._detector = detector
        self.task = kind.task.made_for if kind else None
        self.on_changed: Callable[[str], Any] = lambda _model: None
        self.on_listed: Callable[[], Any] = lambda: None
        self._settings = settings if settings is not None else qt.QSettings()
        self._key = f"AcuteFindings/{kind.module if kind else 'AcuteFindings'}/model"
        self._rows: list[ModelRow] = []
        self._defaults: dict[str, Choice[ModelRow]] = {}
        self._installed: set[str] = set()
        self._stamp: tuple[int, ...] = ()
        self._model = ""
        self._wanted = self._remembered() if detector else ""
        self._required = self._obstacle = ""
        self._checks = ModelChecks(self._on_checked)
        self._verification = ModelVerification(
            self._checks,
            worker=lambda: worker or shared_worker(),
            tell=self._tell,
            failed=self._on_checked,
        )
        self._additions = ModelAdditions(
            self.task,
            worker=lambda: worker or shared_worker(),
            settings=self._settings,
            tell=self._tell,
            added=self._on_added,
        )
        self.download = ModelDownload(
            self.task,
            worker=downloader,
            settings=self._settings,
            installed=lambda: self._installed,
            tell=self._tell,
            done=self._additions.add_downloaded,
        )
        self.public = PublicModels(
            tuple(dict.fromkeys(task.made_for for task in kind.tasks)) if kind else (),
            worker=downloader,
            installed=lambda: self._installed,
            default=self._default_of,
            tell=self._tell,
            done=self._on_imported,
        )
        self._build()
        self.refresh()

    @property
    def model(self) -> str:
        """Id of the chosen model; ``""`` for the default, which is also what an unusable choice falls back to."""
        return self._model

    @model.setter
    def model(self, model: str) -> None:
        self.choose(model)

    @property
    def choice(self) -> str:
        """What a scene keeps: the model that it requires or that is being checked, else `model`."""
        pending = self._wanted if self._row_of(self._wanted) is not None else ""
        return self._required or pending or self._model

    @property
    def obstacle(self) -> str:
        """Why nothing may be run now, in one sentence: the required model cannot be used; else ``""``."""
        return self._obstacle

    @property
    def rows(self) -> list[ModelRow]:
        """What is listed."""
        return list(self._rows)

    @property
    def defaults(self) -> dict[str, Choice[ModelRow]]:
        """By task, the package that is used where none is chosen, and why."""
        return dict(self._defaults)

    @property
    def default(self) -> ModelRow | None:
        """The package that is used where none is chosen."""
        return self._default_of(self.task) if self.task else None

    @property
    def used(self) -> ModelRow | None:
        """The package that a run uses now: the chosen one, else the default; None where `obstacle` holds it up."""
        return None if self._required else self._row_of(self._model) or self.default

    def require(self, model: str) -> None:
        """Choose the model that a scene names; where it cannot be used, nothing is until a person chooses another.

        ``""`` is the default.
        """
        self._required = model
        pending = _("The model {model} of this scene is still being checked.").format(model=model)
        self._obstacle = pending if model else ""
        self.choose(model)
        self._table.select(self.used)
        self._show_states()

    def release(self) -> None:
        """Forget what a scene required, which is closed, and go back to the person's own choice."""
        if self._required:
            self._required = ""
            self._tell("")
            self.choose(self._remembered())
            self._table.select(self.used)

    def choose(self, model: str) -> None:
        """Choose a model by its id or folder; ``""`` for the default.

        One that has not been checked yet is chosen when its checksums have been found right.
        """
        if not self.task:
            return
        self._wanted = model
        if model:
            row = self._row_of(model)
            if row is None and model == self._required:
                self._stop(
                    _(
                        "This scene was made with the model {model}, which is not installed; add it or choose another."
                    ).format(model=model)
                )
                return
            if row is None:
                self._use("")
                self._tell(_("The model {model} is not installed; the default is used.").format(model=model))
                return
            error = self._checks.answer(row)
            if error is None:
                self._tell(_("Checking the model {model}…").format(model=row.id))
                self._checks.check([row])
                return
            if error:
                self._refuse(row, error)
                return
            model = row.id
        required, self._wanted, self._required = self._required, "", ""
        self._use(model, remember=not required)

    def refresh(self) -> None:
        """Read the list again."""
        self._stamp = _stamp()
        # Of all tasks, read once: what is installed and used for the others is asked for too.
        everything = list_rows(user_folders(self._settings))
        self._installed = {row.id for row in everything}
        self._defaults = default_choices(everything)
        listed = [row for row in everything if not self.task or row.task in ("", self.task)]
        # Evidence first; what cannot be read last.
        found = [*listed, *provider_rows(self._detector)]
        self._rows = sorted(found, key=lambda row: (not row.task, row.rank))
        self._table.show(self._rows)
        self._table.show_defaults(self._defaults.values())
        self._show_states()
        self._table.select(self.used)
        self._table.fit_columns()
        if self._wanted or self._model:
            self.choose(self._wanted or self._model)
        self._checks.check([row for row in self._rows if not row.error])
        self._show_details()
        if self.download_button.checked:
            self.download.refresh()
        if self.public_button.checked:
            self.public.refresh()
        self.on_listed()

    def refresh_if_changed(self) -> None:
        """Read the list again where models or defaults were changed elsewhere, as by another module's panel."""
        if self._stamp != _stamp():
            self.refresh()

    def show_public(self) -> None:
        """Show the public models that can be had."""
        self.public_button.checked = True

    def add_folder(self, folder: Path | str) -> None:
        """List the models of a folder from now on: a package, or a folder of packages."""
        self._additions.add_folder(Path(folder))

    def add_file(self, file: Path | str) -> None:
        """Unpack a zip file of a package into the folder of downloaded packages, or import weights, and list it.

        An import description (YAML) is shown among the public models.
        """
        if Path(file).suffix.lower() in DESCRIPTIONS:
            self.show_public()
            self.public.show_description(Path(file))
        else:
            self._additions.add_file(Path(file))

    def verify(self) -> None:
        """Check the selected package's files again, then its tensors in the worker process."""
        row = self._table.current
        if row is None:
            return
        fresh = read_row(row.folder, place=row.place)
        if fresh.error:
            self.refresh()
            self._tell(_("{model} failed verification: {error}").format(model=row.id, error=fresh.error))
        else:
            self._verification.start(row)

    def make_default(self) -> None:
        """Use the selected model where none is chosen, from now on."""
        row = self._table.current
        if row is not None and self._can_be_default(row):
            self._set_default(row)

    def add_address(self) -> None:
        """Ask for an address on the Hugging Face hub: where the public models stand."""
        self.show_public()
        self.public.address.setFocus()

    def delete(self) -> None:
        """Delete the selected package, or take its folder off the list, after asking."""
        row = self._table.current
        if row is None or row.shipped:
            return
        try:
            if remove_model(row, self._settings, self.widget):
                self.refresh()
        except AcuteFindingsError as error:
            self.refresh()
            self._tell(str(error))

    def close(self) -> None:
        """Stop what is under way: the panel goes."""
        self._checks.stop()
        self._verification.stop()
        self._additions.close()
        self.download.close()
        self.public.close()

    def _build(self) -> None:
        self.widget = qt.QWidget()
        self.widget.setObjectName("ModelLoader")
        layout = qt.QVBoxLayout(self.widget)
        layout.setContentsMargins(0, 0, 0, 0)
        self._table = ModelTable(show_task=not self.task, selected=self._on_selected)
        self.table = self._table.widget
        layout.addWidget(self.table)
        buttons = ModelButtons(
            layout,
            verify=self.verify,
            make_default=self.make_default,
            delete=self.delete,
            show_card=self._on_details,
            add_folder=self._ask_folder,
            add_file=self._ask_file,
            add_address=self.add_address,
            show_download=self._on_download,
            show_public=self._on_public,
        )
        self.verify_button, self.default_button = buttons.verify, buttons.make_default
        self.delete_button, self.details_button = buttons.delete, buttons.card
        self.add_button, self.add_actions = buttons.add, buttons.add_actions
        self.download_button, self.public_button = buttons.download, buttons.public
        layout.addWidget(self.public.widget)
        self.public.widget.hide()
        layout.addWidget(self.download.widget)
        self.download.widget.hide()
        self.message = qt.QLabel()
        self.message.setObjectName("modelMessage")
        self.message.setWordWrap(True)
        self.message.toolTip = _("The last message about a model.")
        layout.addWidget(self.message)
        self.details = qt.QTextBrowser()
        self.details.setObjectName("modelCard")
        self.details.setOpenExternalLinks(True)
        self.details.setMinimumHeight(200)
        self.details.toolTip = _("The model card: intended use, limitations, training data, evaluation.")
        self.details.hide()
        layout.addWidget(self.details)

    def _show_states(self) -> None:
        self._table.show_states(self._checks.answer, self.used)

    def _default_of(self, task: str) -> ModelRow | None:
        choice = self._defaults.get(task)
        return None if choice is None else choice.model

    def _can_be_default(self, row: ModelRow) -> bool:
        return row.task not in ("", PART) and row.place != PROVIDER and not row.error

    def _set_default(self, row: ModelRow) -> bool:
        try:
            set_default(row.task, row.id)
        except AcuteFindingsError as error:
            self._tell(str(error))
            return False
        self.refresh()
        # A scene that requires another model keeps it.
        if row.task == self.task and not self._required:
            self.choose("")
            self._table.select(self.used)
            self._show_details()
        self._tell(_("{model} is now the default for {finding}.").format(model=row.id, finding=_finding(row)))
        return True

    def _row_of(self, model: str) -> ModelRow | None:
        return next((row for row in self._rows if model and model in (row.id, str(row.folder))), None)

    def _on_selected(self) -> None:
        row = self._table.current
        self._show_details()
        if row is not None:
            self._tell("")
            self._required = self._obstacle = ""
            if self.task:
                self.choose(row.id if row.task else str(row.folder))
            else:
                self._tell(self._checks.answer(row) or "")

    def _remembered(self) -> str:
        return str(self._settings.value(self._key, "") or "")

    def _stop(self, reason: str) -> None:
        """Let nothing be run, for this reason; the required model stays wanted."""
        self._obstacle = reason
        self._tell(reason)
        self._show_states()
        self.on_changed(self._model)

    def _use(self, model: str, *, remember: bool = False) -> None:
        changed, self._model = model != self._model or bool(self._obstacle), model
        self._obstacle = ""
        if remember:
            self._settings.setValue(self._key, model)
        self._show_states()
        if changed:
            self.on_changed(model)

    def _refuse(self, row: ModelRow, error: str) -> None:
        if self._required and row is self._row_of(self._required):
            self._wanted = ""
            text = _("This scene was made with the model {model}, which cannot be used: {error} Choose another.")
            self._stop(text.format(model=row.id, error=error))
            return
        if row.id == self._model:
            self._use("")
        self._wanted = ""
        self._show_states()
        used = self.used
        text = _("{model} cannot be used: {error}").format(model=row.id, error=error)
        if used is not None and used is not row:
            text += " " + _("In use: {model}.").format(model=used.id)
        self._tell(text)

    def _on_checked(self, row: ModelRow, error: str) -> None:
        if self._row_of(str(row.folder)) is None:
            return
        self._show_states()
        if self._wanted and self._row_of(self._wanted) in (row,):
            self._tell("")
            self.choose(self._wanted)
        elif error and row.id == self._model:
            self._refuse(row, error)
        self._verification.files_checked(row, error)

    def _on_added(self, rows: list[ModelRow]) -> None:
        self.refresh()
        self._tell(added_text(rows, self.task))

    def _on_imported(self, folder: Path, default: bool) -> None:
        self.refresh()
        row = read_row(folder, place="downloaded")
        if default and not row.error and self._set_default(row):
            told = _("Added: {model}, now the default for {finding}.")
            self._tell(told.format(model=row.id, finding=_finding(row)))
        else:
            self._tell(added_text([row], self.task))

    def _ask_folder(self) -> None:
        folder = qt.QFileDialog.getExistingDirectory(self.widget, _("Folder of model packages"))
        if folder:
            self.add_folder(folder)

    def _ask_file(self) -> None:
        file = qt.QFileDialog.getOpenFileName(
            self.widget, _("Model package"), "", f"{_('Model packages and weights to import')} ({ENDINGS})"
        )
        if file:
            self.add_file(file)

    def _on_download(self, shown: bool) -> None:
        self.download.widget.setVisible(shown)
        if shown:
            self.download.load()

    def _on_public(self, shown: bool) -> None:
        self.public.widget.setVisible(shown)
        if shown:
            self.public.load()

    def _on_details(self, shown: bool) -> None:
        self.details.setVisible(shown)
        self._show_details()

    def _show_details(self) -> None:
        row = self._table.current
        self.delete_button.enabled = row is not None and not row.shipped
        self.verify_button.enabled = row is not None and row.place != PROVIDER
        self.default_button.enabled = (
            row is not None and self._can_be_default(row) and self._default_of(row.task) != row
        )
        if self.details_button.checked:
            self.details.setMarkdown(card_text(row) if row is not None else "")

    def _tell(self, text: str) -> None:
        self.message.text = text


def _finding(row: ModelRow) -> str:
    return in_sentence(names_of(row.task).finding)


def _stamp() -> tuple[int, ...]:
    """Return what changes when a model is added or removed, or another becomes the default."""
    times = []
    for find in (models_cache, defaults_file):
        try:
            times.append(find().stat().st_mtime_ns)
        except (AcuteFindingsError, OSError):
            times.append(0)
    return tuple(times)
