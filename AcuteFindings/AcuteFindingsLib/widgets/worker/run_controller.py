"""One run, from a volume node to a result in the scene: copy, detect in the worker process, show."""

import shutil
import tempfile
from collections.abc import Callable, Generator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import qt
import slicer
from slicer.i18n import tr as _

from AcuteFindingsLib.detectors.wording import names_of
from AcuteFindingsLib.errors import CancelledError, DetectionError, named_error
from AcuteFindingsLib.jobs.arrays import load_result
from AcuteFindingsLib.packages import DETECT, missing_packages
from AcuteFindingsLib.scene.nodes import FindingNodes, show_finding_steps
from AcuteFindingsLib.scene.results import SceneResult, result_of
from AcuteFindingsLib.scene.sequence_frame import frame_of, set_frame
from AcuteFindingsLib.scene.study_from_node import study_facts
from AcuteFindingsLib.scene.views import show_in_window
from AcuteFindingsLib.study.study import Study
from AcuteFindingsLib.widgets.last_resort import told
from AcuteFindingsLib.widgets.models.packages import describe
from AcuteFindingsLib.widgets.models.rows import user_folders
from AcuteFindingsLib.widgets.panel.scene_watch import SceneWatch
from AcuteFindingsLib.widgets.panel.series_check import instance_file
from AcuteFindingsLib.widgets.panel.shown_study import shown_study
from AcuteFindingsLib.widgets.panel.time_left import TimeLeft
from AcuteFindingsLib.widgets.panel.volume_copy import VolumeCopy
from AcuteFindingsLib.widgets.stepper import Stepper
from AcuteFindingsLib.widgets.worker.process import WorkerProcess, shared_worker
from AcuteFindingsLib.widgets.worker.server_settings import REMOTE, server_fields

IDLE, COPYING, RUNNING, SHOWING = "idle", "copying", "running", "showing"

# Shares of the progress bar for copying and detecting; copying and showing take seconds of a run of minutes.
_COPIED, _DETECTED = 0.05, 0.95


@dataclass(eq=False)
class _Run:
    """What belongs to one run; `request` is 0 until the worker has been asked, and again once it has answered."""

    volume: Any
    folder: Path
    study: Study | None = None
    frame: int | None = None
    copy: VolumeCopy | None = None
    showing: Stepper | None = None
    request: int = 0


class RunController:
    """Runs a detector on a volume node while the window stays alive; one run at a time.

    Set the attributes below to hear of it. All are called from the application's event loop.

    Parameters
    ----------
    detector
        Id of its kind.
    worker
        The process that detects; by default the one that all modules share.
    settings
        The application's settings, a `QSettings`, for the user's model folders.

    Attributes
    ----------
    on_state
        Called with ``"copying"``, ``"running"``, ``"showing"`` and, at the end of every run, ``"idle"``.
    on_progress
        Called with what is being done, the share of the whole that is done, and the seconds left (None while unknown).
    on_showing
        Called when a result is there, before its nodes are made: the time to arrange views.
    on_result
        Called with the `SceneResult` after a run that ended well.
    on_error
        Called with one sentence for a person.
    on_cancelled
        Called with ``""`` where the user asked to stop, else with the reason in one sentence.
    folder
        Holds ``study`` and ``result`` of the last run that ended well, as the worker's job ``report`` takes them, until
        the next run or `close`; else None.
    """

    def __init__(self, detector: str, *, worker: WorkerProcess | None = None, settings: Any = None) -> None:
        self.detector = detector
        self.state = IDLE
        self.folder: Path | None = None
        self.error_kind = ""
        self.on_state: Callable[[str], Any] = _nothing
        self.on_progress: Callable[[str, float, float | None], Any] = _nothing
        self.on_showing: Callable[[], Any] = _nothing
        self.on_result: Callable[[SceneResult], Any] = _nothing
        self.on_error: Callable[[str], Any] = _nothing
        self.on_cancelled: Callable[[str], Any] = _nothing
        self._worker = worker
        self._settings = settings
        self._run: _Run | None = None
        self._time_left = TimeLeft()
        self._watch_over: SceneWatch | None = None
        self._quit_connected = False

    @property
    def worker(self) -> WorkerProcess:
        """The process that detects."""
        if self._worker is None:
            self._worker = shared_worker()
        return self._worker

    def start(self, volume_node: Any, model: str = "", device: str = "auto", force: bool = False) -> None:
        """Begin a run; what comes of it is told through the callbacks.

        Parameters
        ----------
        volume_node
            A `vtkMRMLScalarVolumeNode` of the application's scene.
        model
            Id or folder of a model package; ``""`` for the detector's default.
        device
            ``"auto"``, ``"cpu"``, ``"cuda"``, ``"coreml"``, ``"directml"``, ``"openvino"``, or `REMOTE` for the server
            that the settings name.
        force
            Run although the check refuses the study.

        Raises
        ------
        DetectionError
            When a run is under way.
        """
        if self.state != IDLE:
            raise DetectionError(_("A run is under way; wait for its end or cancel it."))
        self._forget_folder()
        self._time_left = TimeLeft()
        self.error_kind = ""
        try:
            folder = tempfile.mkdtemp(prefix="AcuteFindings-", dir=slicer.app.temporaryPath)
        except OSError as error:
            text = _("No temporary folder could be made ({reason}); choose another one in the application's settings.")
            self.on_error(text.format(reason=error))
            return
        run = self._run = _Run(volume_node, Path(folder))
        self._watch(volume_node)
        self._set_state(COPYING)
        self._tell_progress(_("Reading the volume"), 0.0)
        request = {"detector": self.detector, "model": model or None, "force": force}
        request["device"] = "cuda" if device.lower() == "gpu" else device.lower()
        # In a turn of its own: the panel shows that the button was heard before headers are read.
        qt.QTimer.singleShot(0, lambda: self._copy(run, request))

    def cancel(self) -> None:
        """Stop the run; `on_cancelled` follows, at the latest when the worker has lost its patience."""
        run = self._run
        if run is None:
            return
        if run.request and self.state == RUNNING:
            self._tell_progress(_("Cancelling"), self._time_left.fraction)
            self.worker.cancel(run.request)
        else:
            self._abandon("")

    def close(self) -> None:
        """Stop without calling anybody but `on_state`, and remove the files: the panel goes."""
        self._shut_down()
        if self._quit_connected:
            self._quit_connected = False
            slicer.app.disconnect("aboutToQuit()", self._shut_down)

    def _shut_down(self) -> None:
        run = self._end()
        if run is not None and run.request:
            self.worker.cancel(run.request)
        if run is not None:
            _remove(run.folder)
        self._forget_folder()

    def _copy(self, run: _Run, request: dict[str, Any]) -> None:
        if run is not self._run:
            return
        try:
            run.frame = frame_of(run.volume)
            run.study = study_facts(run.volume, self.detector, instance_file=instance_file())
        except Exception as error:  # a timer called us: what is not told here is told to nobody
            self._fail(run, error)
            return
        run.copy = VolumeCopy(
            run.study,
            run.folder / "study",
            done=lambda _folder: self._detect(run, request),
            failed=lambda error: self._fail(run, error),
            progress=lambda share: self._tell_progress(_("Copying the volume"), _COPIED * share),
        )
        run.copy.start()

    def _detect(self, run: _Run, request: dict[str, Any]) -> None:
        if run is not self._run:
            return
        self._set_state(RUNNING)
        self._tell_progress(_("Starting the worker process"), _COPIED)
        fields = {**request, "study": run.folder / "study", "out": run.folder / "result"}
        settings = self._settings or qt.QSettings()
        remote = request["device"] == REMOTE
        if remote:
            fields |= server_fields(settings)
        else:
            fields["folders"] = [str(folder) for folder in user_folders(settings)]
        run.request = self.worker.request(
            "remote_detect" if remote else "detect",
            fields,
            progress=lambda text, share: self._on_worker_progress(run, text, share),
            done=lambda _result: self._on_detected(run),
            failed=lambda text, kind: self._on_worker_failed(run, text, kind),
            cancelled=lambda: self._on_worker_cancelled(run),
            what=_("the run of {module}").format(module=names_of(self.detector).module),
        )

    def _on_worker_progress(self, run: _Run, text: str, share: float) -> None:
        if run is self._run:
            self._tell_progress(text, _COPIED + (_DETECTED - _COPIED) * share)

    def _on_detected(self, run: _Run) -> None:
        if run is not self._run:
            _remove(run.folder)
            return
        run.request = 0
        self._set_state(SHOWING)
        self._tell_progress(_("Showing the result"), _DETECTED)
        # In turns: the layout of the views, which Slicer draws anew, then node by node, then the panel.
        qt.QTimer.singleShot(0, lambda: self._show(run))

    def _on_worker_failed(self, run: _Run, text: str, kind: str) -> None:
        self._fail(run, named_error(kind, text, DetectionError))

    def _on_worker_cancelled(self, run: _Run) -> None:
        _remove(run.folder)
        if run is self._run:
            self._end()
            self.on_cancelled("")

    def _show(self, run: _Run) -> None:
        if run is not self._run or run.study is None:
            return
        run.showing = Stepper(
            self._show_steps(run, run.study),
            done=lambda nodes: self._on_shown(run, nodes),
            failed=lambda error: self._fail(run, error),
        )
        run.showing.start()
        try:
            self.on_showing()
        except Exception as error:  # as above
            self._fail(run, error)

    def _show_steps(self, run: _Run, study: Study) -> Generator[None, None, FindingNodes]:
        finding = load_result(run.folder / "result")
        yield
        nodes = yield from show_finding_steps(finding, study, scene=slicer.mrmlScene, volume_node=run.volume)
        show_in_window(run.volume, finding)
        return nodes

    def _on_shown(self, run: _Run, nodes: FindingNodes) -> None:
        try:
            set_frame(nodes.text, run.frame)
            shown_study().update()
            result = result_of(nodes.text)
        except Exception as error:  # as above
            self._fail(run, error)
            return
        run.showing = None
        self._end()
        self.folder = run.folder
        self.on_progress(_("Done"), 1.0, 0.0)
        if result is None:
            return
        try:
            self.on_result(result)
        except Exception as error:  # the result is in the scene; the panel could not show it
            self.on_error(told(error, doing="show"))

    def _fail(self, run: _Run, error: Exception) -> None:
        _remove(run.folder)
        if run is not self._run:
            return
        self._end()
        self.error_kind = type(error).__name__
        self.on_error(told(error, doing="run"))

    def _abandon(self, reason: str) -> None:
        """End the run now, whatever the worker is doing; its answer, when it comes, only removes the files."""
        run = self._end()
        if run is None:
            return
        if run.request:
            self.worker.cancel(run.request)
        else:
            _remove(run.folder)
        self.on_cancelled(reason)

    def _end(self) -> _Run | None:
        run, self._run = self._run, None
        if run is None:
            return None
        if run.copy is not None:
            run.copy.stop()
        if run.showing is not None:
            run.showing.stop()
        if self._watch_over is not None:
            self._watch_over.stop()
        self._set_state(IDLE)
        return run

    def _watch(self, node: Any) -> None:
        self._watch_over = SceneWatch(
            node,
            closing=lambda: self._abandon(_("The run was stopped because the scene was closed.")),
            removed=lambda: self._abandon(_("The run was stopped because its volume was removed.")),
        )
        if not self._quit_connected:
            self._quit_connected = True
            slicer.app.connect("aboutToQuit()", self._shut_down)

    def _tell_progress(self, text: str, fraction: float) -> None:
        self.on_progress(text, fraction, self._time_left.update(text, fraction))

    def _set_state(self, state: str) -> None:
        self.state = state
        self.on_state(state)

    def _forget_folder(self) -> None:
        folder, self.folder = self.folder, None
        if folder is not None:
            _remove(folder)


def run_blocking(
    detector: str,
    volume_node: Any,
    model: str = "",
    device: str = "auto",
    *,
    progress: Callable[[str, float], Any] | None = None,
    cancelled: Callable[[], bool] | None = None,
    force: bool = False,
    worker: WorkerProcess | None = None,
    settings: Any = None,
) -> SceneResult:
    """Run a detector and return when its result is in the scene; needs no window. Events are processed meanwhile.

    Parameters
    ----------
    detector, volume_node, model, device, force, worker, settings
        As for `RunController`.
    progress
        Called with what is being done and the share of the whole that is done.
    cancelled
        Asked between; True stops the run.

    Raises
    ------
    CancelledError
        `cancelled` answered True, or the volume went away.
    AcuteFindingsError
        Anything else that ended the run: of the class that the worker raised.
    """
    missing = missing_packages(DETECT)
    if missing:
        raise DetectionError(
            _("These packages are missing: {packages}. Open the module and press Apply to install them.").format(
                packages=describe(missing)
            )
        )
    controller = RunController(detector, worker=worker, settings=settings)
    ends: list[SceneResult | Exception] = []
    controller.on_result = ends.append
    controller.on_error = lambda text: ends.append(named_error(controller.error_kind, text, DetectionError))
    controller.on_cancelled = lambda reason: ends.append(CancelledError(reason or _("Stopped on request.")))
    if progress is not None:
        controller.on_progress = lambda text, fraction, _left: progress(text, fraction)
    try:
        controller.start(volume_node, model, device, force)
        asked = False
        while not ends:
            slicer.app.processEvents()
            if controller.state == RUNNING:
                controller.worker.wait(20)
            if cancelled is not None and not asked and cancelled():
                asked = True
                controller.cancel()
    finally:
        controller.close()
    if isinstance(ends[0], Exception):
        raise ends[0]
    return ends[0]


def _remove(folder: Path) -> None:
    # On Windows a file that is still mapped cannot go; the system's temporary folder is not ours to keep tidy then.
    shutil.rmtree(folder, ignore_errors=True)


def _nothing(*_arguments: Any) -> None:
    """Called where nobody wants to know."""
