"""Models that can be had: the catalogue's list, license and citation, and a download with progress and cancel."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any

import qt
import slicer
from slicer.i18n import tr as _

from AcuteFindingsLib.errors import AcuteFindingsError
from AcuteFindingsLib.packages import DOWNLOAD, missing_packages
from AcuteFindingsLib.places import models_cache
from AcuteFindingsLib.resources import resource_path
from AcuteFindingsLib.widgets.models.packages import describe, ensure_packages
from AcuteFindingsLib.widgets.models.transfer import Transfer
from AcuteFindingsLib.widgets.parts import cell, column, fit_height, row, table, text_label
from AcuteFindingsLib.widgets.worker.process import WorkerProcess

CATALOGUE_KEY = "AcuteFindings/Catalogue"

NAME, TASK, SIZE, LICENSE = range(4)

_MOST_ROWS = 5


@dataclass(frozen=True)
class Offer:
    """A model of the catalogue that can be downloaded; `size` in bytes."""

    id: str
    tasks: tuple[str, ...]
    title: str
    version: str
    license: str
    citations: tuple[str, ...]
    size: int


class ModelDownload:
    """What is offered and not installed yet; own `widget` belongs below the list of models.

    The download runs in a worker process of its own, so that a detector need not wait for it.

    Parameters
    ----------
    task
        Models of this task are offered; None for all.
    worker
        Process that downloads; by default one that all modules share.
    settings
        The application's settings, a `QSettings`: keep the user's own catalogue.
    installed
        Asked for the ids of the models that are installed.
    tell
        Called with what was found out, in words.
    done
        Called with the new package's folder.
    """

    def __init__(
        self,
        task: str | None,
        *,
        worker: WorkerProcess | None,
        settings: Any,
        installed: Callable[[], set[str]],
        tell: Callable[[str], None],
        done: Callable[[Path], None],
    ) -> None:
        self._task, self._own_worker, self._settings = task, worker, settings
        self._installed, self._tell, self._done = installed, tell, done
        self._all: list[Offer] = []
        self._offers: list[Offer] = []
        self._request = 0
        self._build()

    @property
    def offers(self) -> list[Offer]:
        """What is listed."""
        return list(self._offers)

    @property
    def running(self) -> bool:
        """Whether a download is under way."""
        return self._transfer.running

    @property
    def catalogue(self) -> str:
        """File or address of the user's own catalogue; ``""`` for the one that ships."""
        return str(self._settings.value(CATALOGUE_KEY, "") or "")

    def load(self) -> None:
        """Read the catalogue: the one that ships at once, the user's own in the worker process."""
        if self.running:
            return
        self._abandon()
        self.address.text = self.catalogue
        if not self.catalogue:
            self._show(_shipped_offers())
            return
        self._show([])
        if not self._packages_are_there():
            return
        self._tell(_("Reading the catalogue {address}…").format(address=self.catalogue))
        self._request = self._worker().request(
            "catalogue",
            {"catalogue": self.catalogue},
            done=self._on_catalogue,
            failed=lambda text, _kind: self._on_failed(text),
        )

    def refresh(self) -> None:
        """List again what is offered and not installed."""
        kept = self.current
        self._show(self._all)
        if kept in self._offers:
            self.table.selectRow(self._offers.index(kept))

    @property
    def current(self) -> Offer | None:
        """The offer that is selected."""
        number = self.table.currentRow()
        return self._offers[number] if 0 <= number < len(self._offers) else None

    def start(self) -> None:
        """Download the selected model, after its license was shown."""
        offer = self.current
        if offer is None or not self._packages_are_there():
            return
        question = _("{facts}\n\nDownload this model under its license? Research use only.")
        text = question.format(facts=_facts(offer))
        # Texts of a catalogue are shown as they are, not as markup.
        if not slicer.util.confirmOkCancelDisplay(
            text, windowTitle=_("Download model"), parent=self.widget, textFormat=qt.Qt.PlainText
        ):
            return
        fields = {"model": offer.id, "catalogue": self.catalogue, "cache": str(models_cache())}
        self._transfer.start("download", fields, done=self._on_done)

    def close(self) -> None:
        """Stop what is under way: the panel goes. What has arrived is kept."""
        self._abandon()

    def _abandon(self) -> None:
        request, self._request = self._request, 0
        if request:
            self._worker().cancel(request)
        self._transfer.abandon()
        self._show_state()

    def _build(self) -> None:
        self.widget, layout = column()
        self.widget.setObjectName("modelDownload")
        headers = [_("Model"), _("Task"), _("Size"), _("License")]
        tip = _("Models that can be downloaded and are not installed yet. Select one to read its license.")
        self.table = table(headers, tip, name="catalogueTable")
        self.table.setColumnHidden(TASK, bool(self._task))
        self.table.connect("itemSelectionChanged()", self._show_state)
        layout.addWidget(self.table)
        self.facts = text_label(_("License, citation and size of the selected model."))
        self.facts.setObjectName("modelFacts")
        layout.addWidget(self.facts)
        self._transfer = Transfer(
            "download", begin=self.start, worker=self._worker, tell=self._tell, changed=self._show_state
        )
        self.button, self.bar = self._transfer.button, self._transfer.bar
        layout.addWidget(row(self.button, self.bar))
        label = qt.QLabel(_("Catalogue:"))
        self.address = qt.QLineEdit()
        self.address.setObjectName("catalogueAddress")
        self.address.placeholderText = _("the one that came with the extension")
        tip = _("File or http(s) address of a catalogue of your own, for example of your hospital's mirror.")
        label.toolTip = self.address.toolTip = tip
        self.address.connect("editingFinished()", self._on_address)
        layout.addWidget(row(label, self.address))
        self._show_state()

    def _worker(self) -> WorkerProcess:
        return self._own_worker or download_worker()

    def _packages_are_there(self) -> bool:
        ensure_packages(self.widget, needed=DOWNLOAD)
        missing = missing_packages(DOWNLOAD)
        if missing:
            self._tell(_("Not downloaded: these packages are missing: {packages}.").format(packages=describe(missing)))
        return not missing

    def _show(self, offers: list[Offer]) -> None:
        installed = self._installed()
        self._all = offers
        self._offers = [
            offer for offer in offers if offer.id not in installed and (self._task is None or self._task in offer.tasks)
        ]
        self.table.setRowCount(len(self._offers))
        for number, offer in enumerate(self._offers):
            cells = (offer.id, ", ".join(offer.tasks), f"{offer.size / 1e6:.1f} MB", offer.license)
            for place, text in enumerate(cells):
                tip = f"<qt>{escape(offer.title if place == NAME else text)}</qt>"
                self.table.setItem(number, place, cell(text, tip, number=place == SIZE))
        self.table.resizeColumnsToContents()
        self.table.horizontalHeader().setStretchLastSection(True)
        fit_height(self.table, most_rows=_MOST_ROWS)
        self._show_state()

    def _show_state(self) -> None:
        offer = self.current
        tip = _("Download the selected model; its license is shown first.")
        self._transfer.show(_("Download"), tip, enabled=offer is not None)
        self.table.enabled = self.address.enabled = not self.running
        if offer is None:
            nothing = _("The catalogue offers no further model. Another one can be named below.")
            self.facts.text = _("Select a model to read its license.") if self._offers else nothing
        else:
            self.facts.text = _facts(offer)

    def _on_address(self) -> None:
        # Also called when the line only loses the focus.
        if self.address.text.strip() != self.catalogue:
            self._settings.setValue(CATALOGUE_KEY, self.address.text.strip())
            self._tell("")
            self.load()

    def _on_catalogue(self, result: dict[str, Any]) -> None:
        self._request = 0
        self._tell("")
        self._show(_offers_of(result["models"]))

    def _on_done(self, result: dict[str, Any]) -> None:
        self._done(Path(result["folder"]))
        self.refresh()

    def _on_failed(self, text: str) -> None:
        self._request = 0
        self._tell(text)


def _facts(offer: Offer) -> str:
    lines = [f"{offer.title} ({offer.id} {offer.version})".replace(" )", ")")]
    lines.append(_("License: {license}").format(license=offer.license))
    lines += [_("Please cite: {citation}").format(citation=citation) for citation in offer.citations]
    lines.append(_("Size: {size} MB").format(size=f"{offer.size / 1e6:.1f}"))
    return "\n".join(lines)


def _shipped_offers() -> list[Offer]:
    """Read the catalogue that ships with the standard library alone: it is shown before any package is installed."""
    try:
        data = json.loads(resource_path("Models", "catalogue.json").read_text(encoding="utf-8"))
    except AcuteFindingsError:
        return []  # a build without models is whole all the same
    return _offers_of(data["models"])


def _offers_of(models: list[dict[str, Any]]) -> list[Offer]:
    """Return what can be downloaded; what came with the extension and providers stand in the list of models."""
    return [
        Offer(
            id=model["id"],
            tasks=tuple(model["tasks"]),
            title=model["title"],
            version=model["version"],
            license=model["licence"],
            citations=tuple(model["citations"]),
            size=int(model["source"]["size"]),
        )
        for model in models
        if model["source"]["kind"] == "archive"
    ]


_shared: WorkerProcess | None = None


def download_worker() -> WorkerProcess:
    """Return the worker process for downloads, which all modules use; it ends with the application."""
    global _shared
    if _shared is None:
        _shared = WorkerProcess()
        slicer.app.connect("aboutToQuit()", _shared.stop)
    return _shared
