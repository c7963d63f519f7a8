"""Whether the chosen volume is what the detector was made for: at once as far as the node tells, then as a whole."""

import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import qt
import slicer
from slicer.i18n import tr as _

from AcuteFindingsLib.detectors.wording import names_of
from AcuteFindingsLib.errors import AcuteFindingsError
from AcuteFindingsLib.scene.study_from_node import fits, study_facts
from AcuteFindingsLib.widgets.panel.volume_copy import VolumeCopy
from AcuteFindingsLib.widgets.worker.process import WorkerProcess

WAIT_MS = 400
"""Before the voxels are looked at: whoever scrolls through the selector passes many volumes by."""


class SeriesCheck:
    """Tells what it finds through `on_text`, first of the header, then of the voxels.

    Parameters
    ----------
    detector
        Id of its kind.
    worker
        Gives the worker process, which looks at the voxels.
    on_text
        Called with what a person should know about the volume.
    """

    def __init__(self, detector: str, *, worker: Callable[[], WorkerProcess], on_text: Callable[[str], Any]) -> None:
        self._detector, self._worker, self._on_text = detector, worker, on_text
        self._volume: Any = None
        self._round = 0
        self._folder: Path | None = None
        self._copy: VolumeCopy | None = None
        self._timer = qt.QTimer()
        self._timer.setSingleShot(True)
        self._timer.setInterval(WAIT_MS)
        self._timer.connect("timeout()", self._start)

    def show(self, volume: Any | None, *, whole: bool = True) -> None:
        """Check a volume; `whole` also has its voxels looked at by and by."""
        self.stop()
        self._volume = volume
        if volume is None:
            self._on_text(_("Choose a volume."))
            return
        reason = fits(volume, self._detector)
        if reason:
            self._on_text(_("✖ Does not fit: {reason}").format(reason=reason) + self._fitting())
            return
        self._on_text(_("✔ Fits as far as the volume tells."))
        if whole:
            self._timer.start()

    def stop(self) -> None:
        """Say nothing more about the volume shown so far."""
        self._timer.stop()
        self._round += 1
        self._clean()

    def _start(self) -> None:
        this = self._round
        if self._volume is None or self._volume.GetScene() is None or self._volume.GetImageData() is None:
            return
        self._on_text(_("✔ Fits as far as the volume tells. Checking the series…"))
        self._folder = Path(tempfile.mkdtemp(prefix="AcuteFindings-check-", dir=slicer.app.temporaryPath))
        try:
            facts = study_facts(self._volume, self._detector, instance_file=instance_file())
        except AcuteFindingsError as error:
            self._clean()
            self._on_text(_("✖ Does not fit: {reason}").format(reason=error))
            return
        self._copy = VolumeCopy(
            facts,
            self._folder,
            done=lambda folder: self._ask(this, folder),
            failed=lambda error: self._fail(this, str(error)),
        )
        self._copy.start()

    def _ask(self, this: int, folder: Path) -> None:
        # The folder is the worker's from here on, also where another volume is chosen before it has answered.
        self._copy, self._folder = None, None

        def done(answer: dict[str, Any]) -> None:
            shutil.rmtree(folder, ignore_errors=True)
            if this == self._round:
                self._on_text(check_text(answer))

        def failed(text: str, _kind: str) -> None:
            shutil.rmtree(folder, ignore_errors=True)
            self._fail(this, text)

        fields = {"study": str(folder), "detector": self._detector}
        what = _("the series check of {module}").format(module=names_of(self._detector).module)
        self._worker().request("check", fields, done=done, failed=failed, what=what)

    def _fail(self, this: int, text: str) -> None:
        if this == self._round:
            self._clean()
            self._on_text(_("The series could not be checked: {reason}").format(reason=text))

    def _clean(self) -> None:
        if self._copy is not None:
            self._copy.stop()
            self._copy = None
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)
            self._folder = None

    def _fitting(self) -> str:
        """Return which other volumes of the scene would fit, as a further sentence."""
        scene = self._volume.GetScene()
        nodes = slicer.util.getNodesByClass("vtkMRMLScalarVolumeNode", scene) if scene is not None else []
        names = [node.GetName() for node in nodes if not node.GetHideFromEditors() and not fits(node, self._detector)]
        return _(" Volumes that fit: {names}.").format(names=", ".join(names)) if names else ""


def check_text(answer: dict[str, Any]) -> str:
    """Return what a check has to say, a line a notice, the gravest first."""
    signs = {"refuse": _("✖ Does not fit: "), "warn": _("⚠ Warning: "), "info": _("Note: ")}
    notices = sorted(answer.get("notices", []), key=lambda item: list(signs).index(item["severity"]))
    lines = [signs[item["severity"]] + item["text"] for item in notices]
    if answer.get("fits") and not any(item["severity"] == "warn" for item in notices):
        lines.insert(0, _("✔ The series check found nothing against it."))
    return "\n".join(lines)


def instance_file() -> Callable[[str], str] | None:
    """Return the function that gives the file of a SOP instance, where Slicer's DICOM database is open."""
    database = getattr(slicer, "dicomDatabase", None)
    return None if database is None or not database.isOpen else database.fileForInstance
