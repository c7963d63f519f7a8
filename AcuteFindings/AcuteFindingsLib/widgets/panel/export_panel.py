"""What leaves Slicer: the report, the finding as JSON, the scene, DICOM objects for the PACS."""

import shutil
import tempfile
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import qt
import slicer
from slicer.i18n import tr as _

from AcuteFindingsLib.errors import AcuteFindingsError
from AcuteFindingsLib.jobs.arrays import save_result
from AcuteFindingsLib.packages import DICOM, LIGHT
from AcuteFindingsLib.scene.bundle import save_bundle
from AcuteFindingsLib.scene.results import SceneResult
from AcuteFindingsLib.scene.sequence_frame import frame_words, is_of_shown_frame
from AcuteFindingsLib.scene.study_from_node import study_facts
from AcuteFindingsLib.study.study import Study
from AcuteFindingsLib.widgets.models.packages import ensure_packages
from AcuteFindingsLib.widgets.panel.scene_finding import whole_finding
from AcuteFindingsLib.widgets.panel.series_check import instance_file
from AcuteFindingsLib.widgets.panel.source_files import find_source_files
from AcuteFindingsLib.widgets.panel.volume_copy import VolumeCopy
from AcuteFindingsLib.widgets.parts import column, push_button, row, text_label
from AcuteFindingsLib.widgets.stepper import Stepper
from AcuteFindingsLib.widgets.worker.process import WorkerProcess, shared_worker

FOLDER = "AcuteFindings/ExportFolder"

DICOM_JOBS = ("dicom_seg", "dicom_sr", "dicom_sc")


class ExportPanel:
    """Writes the shown result into a new folder of its own: nothing that is there is ever replaced.

    Parameters
    ----------
    worker
        Gives the worker process; by default the one that all modules share.
    folders
        Gives the folders in which the models lie that did not come with the extension.
    """

    def __init__(
        self, *, worker: Callable[[], WorkerProcess] = shared_worker, folders: Callable[[], list[str]] = list
    ) -> None:
        self.result: SceneResult | None = None
        self._worker, self._folders = worker, folders
        self._copy: VolumeCopy | None = None
        self._search: Stepper | None = None
        self._request: int | None = None
        self._work: Path | None = None
        self.widget, layout = column()
        self.report_button = push_button(
            _("Report…"),
            _("Write a page with verdict, measurements and pictures that any browser shows"),
            self.save_report,
            name="reportButton",
        )
        self.finding_button = push_button(
            _("finding.json…"),
            _("Write the result as JSON, with the masks as the model gave them (NRRD)"),
            self.save_finding,
            name="findingButton",
        )
        self.scene_button = push_button(
            _("Scene…"),
            _("Save everything in the scene, this panel's choices included, as one file (.mrb)"),
            self.save_scene,
            name="sceneButton",
        )
        self.seg_button = push_button(
            _("DICOM SEG…"),
            _("Write masks and heat map as DICOM segmentations of the images they were found in"),
            lambda: self._export("dicom_seg"),
            name="dicomSegButton",
        )
        self.sr_button = push_button(
            _("DICOM SR…"),
            _("Write verdict and measurements as a DICOM structured report, with the segmentations it refers to"),
            lambda: self._export("dicom_sr"),
            name="dicomSrButton",
        )
        self.sc_button = push_button(
            _("DICOM SC…"),
            _("Write the chart (of a radiograph the picture with the outline) as a DICOM secondary capture"),
            lambda: self._export("dicom_sc"),
            name="dicomScButton",
        )
        self.cancel_button = push_button(_("Cancel"), _("Stop writing"), self.cancel, name="cancelExportButton")
        self.cancel_button.hide()
        self.state_label = text_label(_("What was written last, and where"))
        self.state_label.setObjectName("exportStateLabel")
        layout.addWidget(row(self.report_button, self.finding_button, self.scene_button))
        layout.addWidget(row(self.seg_button, self.sr_button, self.sc_button))
        layout.addWidget(self.cancel_button)
        layout.addWidget(self.state_label)
        self.show(None)

    @property
    def busy(self) -> bool:
        """Whether the worker or the copy for it is at work."""
        return self._work is not None

    def show(self, result: SceneResult | None) -> None:
        """Export this result from now on; what is being written for another is stopped."""
        if self.busy:
            self.cancel()
        self.result = result
        self.state_label.setText("")
        self._update()

    def save_finding(self) -> Path | None:
        """Ask for a folder and write ``finding.json`` with its masks; return it, None where that was declined."""
        target = self._ask_folder()
        if self.result is None or target is None:
            return None
        try:
            with slicer.util.WaitCursor():
                path = whole_finding(self.result).save(target)
        except (AcuteFindingsError, OSError, ValueError, KeyError) as error:
            self._fail(str(error))
            return None
        self.state_label.setText(_("Finding written to {path}").format(path=path))
        return path

    def save_scene(self) -> Path | None:
        """Ask for a file and save the scene; return it, None where that was declined or failed."""
        start = str(Path(self._start_folder()) / "AcuteFindings.mrb")
        chosen = qt.QFileDialog.getSaveFileName(
            self.widget, _("Save scene"), start, _("Slicer data bundle") + " (*.mrb)"
        )
        if not chosen:
            return None
        path = Path(chosen if chosen.lower().endswith(".mrb") else f"{chosen}.mrb")
        try:
            with slicer.util.WaitCursor():
                save_bundle(slicer.mrmlScene, path)
        except (AcuteFindingsError, OSError) as error:
            self._fail(str(error))
            return None
        self.state_label.setText(_("Scene saved as {path}").format(path=path))
        return path

    def save_report(self) -> None:
        """Ask for a folder and have the worker write the report there."""
        self._export("report")

    def cancel(self) -> None:
        """Stop what is being written."""
        for steps in (self._search, self._copy):
            if steps is not None:
                steps.stop()
        if self._request is not None:
            self._worker().cancel(self._request)
        self._end(_("Cancelled."))

    def close(self) -> None:
        """Stop what is being written, and let go of the result."""
        self.show(None)

    def _export(self, job: str) -> None:
        needed = (*LIGHT, *DICOM) if job in DICOM_JOBS else LIGHT
        if self.result is None or self.busy or not ensure_packages(self.widget, needed=needed):
            return
        if self.result.volume is None:
            self._fail(_("the volume that the result is about is no longer in the scene."))
            return
        if not is_of_shown_frame(self.result.text, self.result.volume):
            frame = frame_words(self.result.text, self.result.volume)
            self._fail(_("the result is about {frame}; show that frame first.").format(frame=frame))
            return
        target = self._ask_folder()
        if target is None:
            return
        self._work = Path(tempfile.mkdtemp(prefix="acutefindings-export-"))
        self._update()
        self.state_label.setText(_("Preparing…"))
        try:
            save_result(whole_finding(self.result), self._work / "result")
            facts = study_facts(self.result.volume, self.result.finding.detector, instance_file=instance_file())
        except (AcuteFindingsError, OSError, ValueError, KeyError) as error:
            self._fail(str(error))
            return
        if job not in DICOM_JOBS:
            self._copy_volume(job, facts, target)
            return
        self._search = Stepper(
            find_source_files(facts, instance_file()),
            done=lambda found: self._copy_volume(job, found, target),
            failed=lambda error: self._fail(str(error)),
        )
        self._search.start()

    def _copy_volume(self, job: str, facts: Study, target: Path) -> None:
        self._search = None
        if self._work is None:
            return
        if job in DICOM_JOBS and not all(source.file for source in facts.sources):
            # Told now: copying a volume only to be refused would take its time.
            self._fail(
                _(
                    "DICOM results refer to the DICOM images that the volume was loaded from, and some or all of them "
                    "are not in Slicer's DICOM database; import the original series in the DICOM module and load it "
                    "from there."
                )
            )
            return
        self._copy = VolumeCopy(
            facts,
            self._work / "study",
            done=lambda study: self._ask_worker(job, study, target),
            failed=lambda error: self._fail(str(error)),
        )
        self._copy.start()

    def _ask_worker(self, job: str, study: Path, target: Path) -> None:
        self._copy = None
        work = self._work
        if work is None:
            return
        fields = {
            "result": str(work / "result"),
            "study": str(study),
            "out": str(target),
            "folders": self._folders(),
        }

        def told(text: str, _fraction: float) -> None:
            if self._work is work:
                self.state_label.setText(text)

        def done(answer: dict[str, Any]) -> None:
            if self._work is work:
                self._on_done(answer)

        def failed(text: str, _kind: str) -> None:
            if self._work is work:
                self._fail(text)

        self._request = self._worker().request(
            job, fields, progress=told, done=done, failed=failed, what=_("an export")
        )

    def _on_done(self, answer: dict[str, Any]) -> None:
        path = answer.get("report") or answer.get("folder", "")
        lines = [_("Written: {path}").format(path=path)]
        if answer.get("files"):
            lines = [_("Written: {files} in {path}").format(files=_names(answer["files"]), path=path)]
        self._end("\n".join([*lines, *answer.get("remarks", [])]))

    def _fail(self, reason: str) -> None:
        self._end(_("Not written: {reason}").format(reason=reason))

    def _end(self, text: str) -> None:
        self._copy, self._search, self._request = None, None, None
        if self._work is not None:
            shutil.rmtree(self._work, ignore_errors=True)
            self._work = None
        self.state_label.setText(text)
        self._update()

    def _update(self) -> None:
        there = self.result is not None
        for button in (self.report_button, self.seg_button, self.sr_button, self.sc_button):
            button.setEnabled(there and not self.busy)
        self.finding_button.setEnabled(there)
        self.cancel_button.setVisible(self.busy)

    def _ask_folder(self) -> Path | None:
        """Return a new folder, named after detector and time, below the one that the person chooses."""
        if self.result is None:
            return None
        chosen = qt.QFileDialog.getExistingDirectory(self.widget, _("Write into folder"), self._start_folder())
        if not chosen:
            return None
        qt.QSettings().setValue(FOLDER, chosen)
        stem = f"{self.result.finding.detector}-{datetime.now():%Y%m%d-%H%M%S}"
        names = (stem if not number else f"{stem}-{number}" for number in range(1000))
        return next(path for path in (Path(chosen) / name for name in names) if not path.exists())

    def _start_folder(self) -> str:
        return str(qt.QSettings().value(FOLDER, "") or Path.home())


def _names(files: list[str]) -> str:
    return ", ".join(Path(file).name for file in files)
