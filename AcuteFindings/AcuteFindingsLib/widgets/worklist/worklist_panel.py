"""The worklist in the home module: studies are added, read one after the other, looked at and answered."""

import getpass
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import ctk
import qt
import slicer
from slicer.i18n import tr as _

from AcuteFindingsLib.detectors.registry import kinds
from AcuteFindingsLib.packages import LIGHT, WORKLIST, missing_packages, total_mb
from AcuteFindingsLib.widgets.models.packages import describe, ensure_packages
from AcuteFindingsLib.widgets.parts import column, push_button, row, shortcut, text_label, with_argument
from AcuteFindingsLib.widgets.worker.process import WorkerProcess, shared_worker
from AcuteFindingsLib.widgets.worklist.opened_row import OpenedRow
from AcuteFindingsLib.widgets.worklist.reading_queue import ReadingQueue
from AcuteFindingsLib.widgets.worklist.row_table import RowTable
from AcuteFindingsLib.widgets.worklist.rows import Row, row_of, with_waiting
from AcuteFindingsLib.widgets.worklist.sources import files_of_chosen_series, files_of_loaded_volumes

FOLDER = "AcuteFindings/WorklistFolder"
"""In the application's settings: the folder of results."""

_NEEDED = (*LIGHT, *WORKLIST)
_REFRESH_MS = 60_000
_NO_ANSWER = ("failed", "refused", "waiting", "reading")


class WorklistPanel:
    """The list, what fills it, and what is answered.

    Parameters
    ----------
    worker
        The process that reads studies; by default the one that all modules share. The list has a second, small one, so
        that it answers while a study is read.
    on_opened
        Called with the volume of a study that was opened.
    """

    def __init__(self, *, worker: WorkerProcess | None = None, on_opened: Callable[[Any], Any] | None = None) -> None:
        self._listing = WorkerProcess()
        slicer.app.connect("aboutToQuit()", self._listing.stop)
        self._temporary = Path(tempfile.mkdtemp(prefix="AcuteFindings-", dir=slicer.app.temporaryPath))
        self._found_files = 0
        self._listed: list[Row] = []
        self._entered = self._closed = False
        self.queue = ReadingQueue(lambda: shared_worker() if worker is None else worker)
        self.queue.on_changed = self._show_rows
        self.queue.on_read = self._on_read
        self.queue.on_progress = self._on_progress
        self.opened = OpenedRow(self._listing, tell=self.tell, on_opened=on_opened or (lambda _volume: None))
        self.table = RowTable(on_choose=self._on_choose, on_open=self.open)
        self.widget, layout = column()
        self._lay_out(layout)
        self._keys = self._make_keys()
        self._timer = qt.QTimer()
        self._timer.setInterval(_REFRESH_MS)
        self._timer.connect("timeout()", self.refresh)
        self._show_rows()

    @property
    def results(self) -> Path:
        """The folder of results."""
        return Path(self.folder_edit.currentPath)

    def enter(self) -> None:
        """The list is seen: it is read, and again every minute, as other programs may write it."""
        if self._closed or self._entered:
            return
        self._entered = True
        self._show_missing()
        self._open_folder()
        self._timer.start()

    def exit(self) -> None:
        """The list is no longer seen; reading goes on."""
        self._entered = False
        self._timer.stop()
        self.opened.hide()

    def close(self) -> None:
        """Stop everything: the panel goes."""
        self._closed = True
        self._timer.stop()
        self.queue.close()
        self.opened.close()
        self._listing.stop()
        slicer.app.disconnect("aboutToQuit()", self._listing.stop)
        shutil.rmtree(self._temporary, ignore_errors=True)

    def tell(self, text: str) -> None:
        """Show a line below the list; hidden where it is empty."""
        self.told_label.setText(text)
        self.told_label.setVisible(bool(text))

    def refresh(self, *, rebuild: bool = False, records: list[dict[str, Any]] | None = None) -> None:
        """Read the list again, from the results themselves with `rebuild`; `records` are written to it before."""
        if missing_packages(_NEEDED) or (records is None and not (self.results / "records").is_dir()):
            self._on_items(self.results, {"items": []})
            return
        folder = self.results
        self._listing.request(
            "worklist_items",
            {"results": folder, "rebuild": rebuild, "records": records or []},
            done=lambda answer: self._on_items(folder, answer),
            failed=self._on_failed,
        )

    def add_folder(self) -> None:
        """Ask for a folder of studies, and read what is in it."""
        source = qt.QFileDialog.getExistingDirectory(self.widget, _("Folder of studies"), str(Path.home()))
        if source:
            self.add({"source": source})

    def add_loaded(self) -> None:
        """Read the volumes of the scene, by their files."""
        files, without = files_of_loaded_volumes()
        if without:
            self.tell(_("Left out, without a file of their own: {names}.").format(names=", ".join(without[:5])))
        if files:
            self.add({"files": files})
        elif not without:
            self.tell(_("The scene holds no volume."))

    def add_chosen_series(self) -> None:
        """Read the series that are chosen in the DICOM module."""
        files = files_of_chosen_series()
        if files:
            self.add({"files": files})
        else:
            self.tell(_("No series is chosen: open the module DICOM, select series there, and come back."))

    def add(self, source: dict[str, Any]) -> None:
        """Find the examinations of a folder (`source`) or of named files (`files`), and read them."""
        if not self._ensure():
            return
        self._found_files += 1
        exams = self._temporary / f"exams-{self._found_files}.jsonl"
        results, detector = self.results, self._detectors[self.detector_box.currentIndex]
        self._listing.request(
            "find_exams",
            {**source, "out": exams},
            progress=lambda text, _share: self.tell(text),
            done=lambda found: self._on_found(found, exams, results, detector),
            failed=self._on_failed,
        )

    def open(self, chosen: Row) -> None:
        """Show a row's study, finding, layout and chart."""
        if chosen.state == "done":
            self.opened.open(self.results, chosen.key)
        else:
            self.tell(chosen.said or _("There is no result yet."))

    def step(self, direction: int) -> None:
        """Choose the next or previous row; where a study of the list is shown, show that one instead."""
        chosen = self.table.step(direction)
        if chosen is not None and self.opened.key:
            self.open(chosen)

    def answer(self, answer: str) -> None:
        """Keep what the reader says of the chosen row's verdict: ``"agree"``, ``"disagree"`` or ``"unsure"``."""
        chosen = self.table.current
        if chosen is None or chosen.state in _NO_ANSWER:
            return
        if chosen.key == self.opened.key:
            self.opened.label_slices(_present(chosen.verdict, answer))
        # Shown at once; the list's own order comes with the answer of the process.
        self._listed = [
            Row(**{**vars(one), "answer": answer}) if one.key == chosen.key else one for one in self._listed
        ]
        self._show_rows()
        self._listing.request(
            "worklist_answer",
            {"results": self.results, "key": chosen.key, "answer": answer, "reader": _reader()},
            done=lambda _nothing: self.tell(""),
            failed=self._on_failed,
        )

    def export_labels(self) -> None:
        """Ask for a folder and write the answers there as labels of studies and slices."""
        out = qt.QFileDialog.getExistingDirectory(self.widget, _("Folder for the labels"), str(self.results.parent))
        if not out:
            return
        text = _("{studies} studies and {slices} slices labeled in {folder}; {left_out} answers say neither.")
        self._listing.request(
            "worklist_labels",
            {"results": self.results, "out": out},
            done=lambda written: self.tell(text.format(folder=out, **written)),
            failed=self._on_failed,
        )

    def install(self) -> None:
        """Install what the list needs, after the user has agreed."""
        self._ensure()
        self._show_missing()
        self._open_folder()

    def _lay_out(self, layout: Any) -> None:
        self.folder_edit = ctk.ctkPathLineEdit()
        self.folder_edit.setObjectName("worklistFolderEdit")
        self.folder_edit.filters = ctk.ctkPathLineEdit.Dirs
        self.folder_edit.setToolTip(_("Results of all studies of the list; nothing in it names a patient"))
        default = Path.home() / "AcuteFindings" / "Worklist"
        self.folder_edit.currentPath = str(qt.QSettings().value(FOLDER, "") or default)
        self.folder_edit.connect("currentPathChanged(QString)", lambda _path: self._open_folder())
        self.detector_box = qt.QComboBox()
        self.detector_box.setObjectName("worklistDetectorComboBox")
        self.detector_box.setToolTip(_("Which detectors read the studies that are added from now on"))
        self._detectors = ["auto", *(kind.id for kind in kinds())]
        self.detector_box.addItems([_("All that fit"), *(kind.finding for kind in kinds())])
        form = qt.QFormLayout()
        form.addRow(_("Results:"), self.folder_edit)
        form.addRow(_("Detectors:"), self.detector_box)
        layout.addLayout(form)
        self.install_label = text_label(_("What the list needs and is not installed"))
        self.install_button = push_button(
            "", _("Asks before anything is installed"), self.install, name="worklistInstallButton"
        )
        self.add_buttons = row(
            push_button(
                _("Add folder…"), _("Read every study below a folder"), self.add_folder, name="addFolderButton"
            ),
            push_button(_("Add loaded"), _("Read the volumes of the scene"), self.add_loaded, name="addLoadedButton"),
            push_button(
                _("Add DICOM series"),
                _("Read the series that are selected in the module DICOM"),
                self.add_chosen_series,
                name="addSeriesButton",
            ),
        )
        self.filter_edit = qt.QLineEdit()
        self.filter_edit.setObjectName("worklistFilterEdit")
        self.filter_edit.setPlaceholderText(_("Filter: positive, waiting, PE, agree…"))
        self.filter_edit.setToolTip(_("Only rows in which all these words stand"))
        self.filter_edit.connect("textChanged(QString)", self.table.filter)
        self.progress_bar = qt.QProgressBar()
        self.progress_bar.setObjectName("worklistProgressBar")
        self.progress_bar.setRange(0, 1000)
        self.progress_bar.setTextVisible(False)
        self.progress_label = text_label(_("What is being read, and the time left"))
        self.progress_label.setObjectName("worklistProgressLabel")
        self.pause_button = push_button("", "", self._pause_or_resume, name="worklistPauseButton", once=True)
        self.cancel_button = push_button("", "", self._cancel_or_clear, name="worklistCancelButton", once=True)
        self.answer_buttons = {
            answer: push_button(text, tip, with_argument(self.answer, answer), name=f"{answer}Button")
            for answer, text, tip in (
                ("agree", _("Agree (A)"), _("The verdict is right (key A)")),
                ("disagree", _("Disagree (D)"), _("The verdict is wrong (key D)")),
                ("unsure", _("Unsure (U)"), _("It cannot be decided (key U)")),
            )
        }
        previous = push_button(
            _("◀ Previous (P)"), _("The row above (key P)"), lambda: self.step(-1), name="previousRowButton"
        )
        following = push_button(_("Next (N) ▶"), _("The row below (key N)"), lambda: self.step(1), name="nextRowButton")
        self.export_button = push_button(
            _("Export answers as truth…"),
            _("Write tables of study and slice labels that 'acutefindings evaluate --truth' takes"),
            self.export_labels,
            name="exportAnswersButton",
        )
        self.told_label = text_label(_("What happened last"))
        self.told_label.setObjectName("worklistToldLabel")
        for item in (
            self.install_label,
            self.install_button,
            self.add_buttons,
            self.filter_edit,
            self.table.widget,
            self.progress_bar,
            self.progress_label,
            row(self.pause_button, self.cancel_button),
            row(*self.answer_buttons.values()),
            row(previous, following),
            self.export_button,
            self.told_label,
        ):
            layout.addWidget(item)
        self.tell("")
        self._show_missing()

    def _make_keys(self) -> list[Any]:
        keys: tuple[tuple[str, Callable[[], Any]], ...] = (
            ("A", with_argument(self.answer, "agree")),
            ("D", with_argument(self.answer, "disagree")),
            ("U", with_argument(self.answer, "unsure")),
            ("N", lambda: self.step(1)),
            ("P", lambda: self.step(-1)),
        )
        return [shortcut(self.widget, key, on_press) for key, on_press in keys]

    def _open_folder(self) -> None:
        qt.QSettings().setValue(FOLDER, self.folder_edit.currentPath)
        if self._entered:
            self.refresh(rebuild=True)

    def _on_items(self, folder: Path, answer: dict[str, Any]) -> None:
        if folder == self.results and not self._closed:
            self._listed = [row_of(item) for item in answer["items"]]
            self._show_rows()

    def _on_found(self, found: dict[str, Any], exams: Path, results: Path, detector: str) -> None:
        said = _("Found: {count}.").format(count=len(found["exams"]))
        if found["unreadable"]:
            said += " " + _("Files that should be DICOM and cannot be read: {count}.").format(count=found["unreadable"])
        if found["others"]:
            said += " " + _("Left alone, of modalities that no detector reads: {count}.").format(count=found["others"])
        if found["missing"]:
            said += " " + _("Files that are gone: {count}.").format(count=found["missing"])
        self.tell(said)
        self.queue.add(found, exams, results, detector)

    def _on_read(self, results: Path, records: list[dict[str, Any]]) -> None:
        if results == self.results:
            self.refresh(records=records)

    def _on_progress(self, text: str, share: float) -> None:
        self.progress_bar.setValue(round(1000 * share))
        self.progress_label.setText(text)

    def _on_failed(self, text: str, _kind: str) -> None:
        self.tell(_("✖ {reason}").format(reason=text))

    def _on_choose(self, chosen: Row | None) -> None:
        may = chosen is not None and chosen.state not in _NO_ANSWER
        for button in self.answer_buttons.values():
            button.setEnabled(may)

    def _show_rows(self) -> None:
        self.table.show(with_waiting(self._listed, self.queue.rows))
        waiting = bool(self.queue.rows)
        for widget in (self.progress_bar, self.progress_label, self.pause_button, self.cancel_button):
            widget.setVisible(waiting or (widget is self.progress_label and bool(self.queue.text)))
        self.progress_label.setText(self.queue.text)
        paused = self.queue.paused
        self.pause_button.setText(_("Resume") if paused else _("Pause"))
        self.pause_button.setToolTip(
            _("Go on reading") if paused else _("Finish the study that is being read, and begin no other")
        )
        clears = paused and not self.queue.reading
        self.cancel_button.setText(_("Remove waiting") if clears else _("Cancel"))
        self.cancel_button.setToolTip(
            _("Take the studies that wait off the list") if clears else _("Stop now; the study is read again on Resume")
        )
        self.export_button.setEnabled(any(one.answer for one in self._listed))

    def _pause_or_resume(self) -> None:
        if self.queue.paused:
            self.queue.resume()
        else:
            self.queue.pause()

    def _cancel_or_clear(self) -> None:
        if self.queue.paused and not self.queue.reading:
            self.queue.clear()
        else:
            self.queue.cancel()

    def _ensure(self) -> bool:
        if not missing_packages(_NEEDED):
            return True
        there = ensure_packages(self.widget, needed=_NEEDED)
        # A process that started before does not see them.
        self._listing.stop()
        self._show_missing()
        return there

    def _show_missing(self) -> None:
        missing = missing_packages(_NEEDED)
        self.install_label.setText(
            _("The list needs: {packages}.").format(packages=describe(missing)) if missing else ""
        )
        self.install_button.setText(_("Install them (about {size} MB)…").format(size=total_mb(missing)))
        for widget in (self.install_label, self.install_button):
            widget.setVisible(bool(missing))


def _present(verdict: str | None, answer: str) -> bool | None:
    """As `worklist.answer_labels.finding_present`, of a verdict that marks slices; None where nothing is said."""
    from AcuteFindingsLib.worklist.answer_labels import finding_present

    present = finding_present(verdict, answer)
    return None if present and verdict != "positive" else present


def _reader() -> str:
    """Return who answers: the annotator that corrections name, else the account."""
    from AcuteFindingsLib.widgets.panel.corrections_panel import ANNOTATOR

    named = str(qt.QSettings().value(ANNOTATOR, "") or "")
    try:
        return named or getpass.getuser()
    except (OSError, KeyError, ImportError):
        return "unknown"
