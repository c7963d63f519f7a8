"""Public models that were trained on patients: what there is, its license and figures, and the import of one."""

from collections.abc import Callable, Sequence
from html import escape
from pathlib import Path
from typing import Any

import qt
import slicer
from slicer.i18n import tr as _

from AcuteFindingsLib.detectors.wording import in_sentence, names_of
from AcuteFindingsLib.models.task import PART
from AcuteFindingsLib.packages import PUBLIC, TORCH, missing_packages
from AcuteFindingsLib.widgets.models.download import download_worker
from AcuteFindingsLib.widgets.models.packages import describe, ensure_packages, ensure_torch
from AcuteFindingsLib.widgets.models.public_offer import PublicOffer, facts, offer_of
from AcuteFindingsLib.widgets.models.rows import ModelRow
from AcuteFindingsLib.widgets.models.transfer import Transfer
from AcuteFindingsLib.widgets.parts import cell, column, fit_height, row, table, text_label
from AcuteFindingsLib.widgets.worker.process import WorkerProcess

NAME, TASK, SIZE, TODAY, LICENSE = range(5)

_MOST_ROWS = 6
_WIDEST_NAME = 150
"""Pixels; a longer name is cut short, and its title is in the tooltip."""
_LONG_LICENSE = 1200
"""Characters of a license that a question shows at once; of a longer one the text is behind "Show details"."""


class PublicModels:
    """Lists public models and imports one at a time; own `widget` belongs below the list of models.

    The import runs in the process of downloads, so that a detector need not wait for it.

    Parameters
    ----------
    tasks
        Models of these tasks are listed, in their order; empty for all.
    worker
        Process that imports; by default the one of downloads that all modules share.
    installed
        Asked for the ids of the models that are installed.
    default
        Asked for the model that is used for a task where none is named; None where there is none.
    tell
        Called with what was found out, in words.
    done
        Called with the new package's folder, and whether it is to become the default.
    """

    def __init__(
        self,
        tasks: Sequence[str],
        *,
        worker: WorkerProcess | None,
        installed: Callable[[], set[str]],
        default: Callable[[str], ModelRow | None],
        tell: Callable[[str], None],
        done: Callable[[Path, bool], None],
    ) -> None:
        self._tasks, self._own_worker = tuple(tasks), worker
        self._installed, self._default, self._tell, self._done = installed, default, tell, done
        self._offers: list[PublicOffer] = []
        self._own: list[PublicOffer] = []
        self._known: set[str] = set()
        self._begun: set[str] = set()
        self._agreed_to: set[str] = set()
        self._asked: dict[object, int] = {}
        self._read = self._may_be_default = False
        self._offered: tuple[PublicOffer | None, ModelRow | None] | None = None
        self._build()

    @property
    def offers(self) -> list[PublicOffer]:
        """What is listed."""
        return list(self._offers)

    @property
    def running(self) -> bool:
        """Whether an import is under way."""
        return self._transfer.running

    @property
    def current(self) -> PublicOffer | None:
        """The model that is selected."""
        number = self.table.currentRow()
        return self._offers[number] if 0 <= number < len(self._offers) else None

    def load(self) -> None:
        """List what the descriptions that ship tell of, where that is not there yet."""
        if self._read:
            self.refresh()
        else:
            self._ask({}, self._on_list)

    def refresh(self) -> None:
        """Show again what is installed."""
        kept = self.current
        self._show(self._offers, kept)

    def show_address(self, address: str) -> None:
        """List the model of an address, ``hf:OWNER/NAME``, first, and select it."""
        if address.strip():
            self._ask({"address": address.strip()}, self._on_own)

    def show_description(self, file: Path) -> None:
        """List the model of a description of the user's own, a YAML file, first, and select it."""
        self._ask({"description": str(file)}, self._on_own)

    def start(self) -> None:
        """Import the selected model, after its license was agreed to where it has to be."""
        offer = self.current
        if offer is not None and self._packages_are_there() and self._agreed(offer):
            # What had to be agreed to was, a moment ago.
            self._import(offer, agreed=offer.needs_consent)

    def close(self) -> None:
        """Stop what is under way: the panel goes. What has arrived is kept."""
        for request in self._asked.values():
            self._worker().cancel(request)
        self._asked.clear()
        self._transfer.abandon()

    def _build(self) -> None:
        self.widget, layout = column()
        self.widget.setObjectName("publicModels")
        headers = [_("Public model"), _("Task"), _("Size"), _("Import"), _("License")]
        tip = _("Models that others have trained on patients and published. Select one to read what is known of it.")
        self.table = table(headers, tip, name="publicTable")
        self.table.setColumnHidden(TASK, len(self._tasks) == 1)
        header = self.table.horizontalHeader()
        header.setSectionResizeMode(qt.QHeaderView.ResizeToContents)
        header.setSectionResizeMode(NAME, qt.QHeaderView.Interactive)
        # Long licenses are cut short here; they stand below in full.
        header.setSectionResizeMode(LICENSE, qt.QHeaderView.Stretch)
        self.table.connect("itemSelectionChanged()", self._show_state)
        layout.addWidget(self.table)
        self.facts = text_label(_("What the selected model is, its published figures and its license."))
        self.facts.setObjectName("publicFacts")
        # Else a long text would make the panel wide.
        self.facts.setSizePolicy(qt.QSizePolicy.Ignored, qt.QSizePolicy.Preferred)
        layout.addWidget(self.facts)
        self.default_box = qt.QCheckBox(_("Use as default"))
        self.default_box.setObjectName("publicDefaultCheckBox")
        layout.addWidget(self.default_box)
        self._transfer = Transfer(
            "public", begin=self.start, worker=self._worker, tell=self._tell, changed=self._show_state
        )
        self.button, self.bar = self._transfer.button, self._transfer.bar
        layout.addWidget(row(self.button, self.bar))
        label = qt.QLabel(_("Hugging Face address:"))
        self.address = qt.QLineEdit()
        self.address.setObjectName("publicAddress")
        self.address.placeholderText = _("hf:OWNER/NAME")
        tip = _("Address of a repository on the Hugging Face hub; press Enter to see what is known of its model.")
        label.toolTip = self.address.toolTip = tip
        self.address.connect("returnPressed()", lambda: self.show_address(self.address.text))
        layout.addWidget(row(label, self.address))
        self._show_state()

    def _worker(self) -> WorkerProcess:
        return self._own_worker or download_worker()

    def _packages_are_there(self) -> bool:
        ensure_packages(self.widget, needed=PUBLIC)
        missing = missing_packages(PUBLIC)
        if missing:
            told = _("Public models need packages that are missing: {packages}.")
            self._tell(told.format(packages=describe(missing)))
        return not missing

    def _ask(self, fields: dict[str, Any], answered: Callable[[list[PublicOffer]], None]) -> None:
        if self.running or not self._packages_are_there():
            return
        asked = object()

        def over(text: str) -> bool:
            there = self._asked.pop(asked, None) is not None
            if there:
                self._tell(text)
            return there

        def done(result: dict[str, Any]) -> None:
            if over(""):
                answered([offer_of(values) for values in result["models"]])

        def failed(text: str, _kind: str) -> None:
            over(text)

        self._tell(_("Reading what is known of public models…"))
        self._asked[asked] = self._worker().request("public_models", fields, done=done, failed=failed)

    def _on_list(self, offers: list[PublicOffer]) -> None:
        self._read = True
        own = {offer.id for offer in self._own}
        tasks = self._tasks or tuple(dict.fromkeys(offer.task for offer in offers))
        fitting = [offer for offer in offers if offer.task in tasks and offer.id not in own]
        fitting.sort(key=lambda offer: (bool(offer.needs), tasks.index(offer.task), not offer.recommended))
        self._show([*self._own, *fitting], fitting[0] if fitting and self._tasks else None)

    def _on_own(self, offers: list[PublicOffer]) -> None:
        self._own = [*offers, *(offer for offer in self._own if offer.id not in {new.id for new in offers})]
        ids = {offer.id for offer in self._own}
        self._show([*self._own, *(offer for offer in self._offers if offer.id not in ids)], offers[0])

    def _show(self, offers: list[PublicOffer], selected: PublicOffer | None) -> None:
        self._known = self._installed()
        self._offers = offers
        self.table.setRowCount(len(offers))
        for number, offer in enumerate(offers):
            today = _("not yet") if offer.needs else _("possible")
            if offer.id in self._known:
                today = _("installed")
            cells = (offer.id, offer.task, offer.size_text, today, offer.license_line)
            tips = {NAME: f"{offer.id}: {offer.title}", TODAY: offer.needs}
            for place, text in enumerate(cells):
                tip = f"<qt>{escape(tips.get(place) or text)}</qt>"
                self.table.setItem(number, place, cell(text, tip, number=place == SIZE))
        self.table.resizeColumnToContents(NAME)
        self.table.setColumnWidth(NAME, min(self.table.columnWidth(NAME), _WIDEST_NAME))
        fit_height(self.table, most_rows=_MOST_ROWS)
        if selected in offers:
            self.table.selectRow(offers.index(selected))
        else:
            self.table.clearSelection()
            self.table.setCurrentCell(-1, -1)
        self._show_state()

    def _show_state(self) -> None:
        offer = self.current
        here = offer is not None and offer.id in self._known
        text = _("Continue") if offer is not None and offer.id in self._begun else _("Get this model")
        tip = _("Download and import the selected model; a license that forbids commercial use is shown first.")
        if here:
            tip = _("This model is installed; delete it first to import it anew.")
        self._transfer.show(text, tip, enabled=offer is not None and not here and not offer.needs)
        self.table.enabled = self.address.enabled = not self.running
        self.default_box.enabled = not self.running
        self.facts.text = _("Select a model to read what is known of it.") if offer is None else facts(offer)
        self.facts.visible = bool(self._offers)
        if not self.running:
            self._offer_default(offer)

    def _offer_default(self, offer: PublicOffer | None) -> None:
        """Offer to make a model the default: ticked where the default so far was trained on phantoms alone."""
        self._may_be_default = (
            offer is not None and offer.task != PART and not offer.needs and offer.id not in self._known
        )
        self.default_box.visible = self._may_be_default
        now = self._default(offer.task) if offer is not None else None
        offered = (offer, now)
        if offer is None or offered == self._offered:
            return  # what a person ticked stays
        self._offered = offered
        tip = _("The default is used where no model is chosen. You can change it in the list at any time.")
        # A check box does not wrap its text: a long one would make the whole panel wide.
        self.default_box.text = _("Use as default")
        if now is not None:
            self.default_box.text = _("Use as default (now: {model})").format(model=now.id)
            told = _("The default for {finding} so far, {model}, was trained on: {data}.")
            finding = in_sentence(names_of(offer.task).finding)
            tip = f"{tip} {told.format(finding=finding, model=now.id, data=now.trained_on)}"
        self.default_box.toolTip = tip
        self.default_box.checked = not offer.phantoms_only and (now is None or now.phantoms_only)

    def _agreed(self, offer: PublicOffer) -> bool:
        """Whether the license is agreed to: asked where it forbids commercial use, until it was once."""
        if not offer.needs_consent or offer.id in self._agreed_to:
            return True
        if slicer.app.testingEnabled():
            self._tell(
                _("{model}: its license is not agreed to, and nothing is asked in testing mode.").format(model=offer.id)
            )
            return False
        long = len(offer.license_text) > _LONG_LICENSE
        lines = [
            offer.title,
            _("License: {license}").format(license=offer.license_line),
            _("Its text is behind “Show Details”.") if long else offer.license_text,
            offer.license_address,
            _("Do you agree to this license? You are asked once. Research use only."),
        ]
        agreed = self._confirm("\n\n".join(line for line in lines if line), offer.license_text if long else "")
        if agreed:
            self._agreed_to.add(offer.id)
        return agreed

    def _confirm(self, text: str, details: str = "") -> bool:
        return bool(
            slicer.util.confirmOkCancelDisplay(
                text,
                windowTitle=_("License of a public model"),
                parent=self.widget,
                textFormat=qt.Qt.PlainText,
                **({"detailedText": details} if details else {}),
            )
        )

    def _import(self, offer: PublicOffer, *, agreed: bool) -> None:
        self._begun.add(offer.id)
        default = self._may_be_default and self.default_box.checked

        def done(result: dict[str, Any]) -> None:
            self._begun.discard(offer.id)
            self._done(Path(str(result["folder"])), default)
            self.refresh()

        def failed(text: str, kind: str) -> None:
            if kind == "ConsentError" and not agreed and not slicer.app.testingEnabled():
                # The hub states another license than was known.
                question = _("{reason}\n\nDo you agree to this license? You are asked once. Research use only.")
                if self._confirm(question.format(reason=text)):
                    self._import(offer, agreed=True)
            what = _("Importing {model}").format(model=offer.id)
            # Once: where nothing is missing and it is not found all the same, asking again would not end.
            if kind == "TorchMissingError" and missing_packages(TORCH) and ensure_torch(what, self.widget):
                self._import(offer, agreed=agreed)

        fields = {"address": offer.address, "description": offer.description, "agreed": agreed}
        self._transfer.start("import_public", fields, done=done, failed=failed)
