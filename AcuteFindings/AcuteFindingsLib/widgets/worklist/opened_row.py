"""The study of a row in the scene, with its finding, layout and chart; the next one takes its place."""

import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import qt
import slicer
from slicer.i18n import tr as _

from AcuteFindingsLib.errors import SceneError
from AcuteFindingsLib.scene.corrections import labels, set_label
from AcuteFindingsLib.scene.results import SceneResult, remove_result, results_in
from AcuteFindingsLib.widgets.last_resort import told
from AcuteFindingsLib.widgets.panel.chart_link import ChartLink
from AcuteFindingsLib.widgets.panel.shown_study import shown_study
from AcuteFindingsLib.widgets.panel.unsaved import has_unsaved
from AcuteFindingsLib.widgets.stepper import Stepper
from AcuteFindingsLib.widgets.worker.process import WorkerProcess


class OpenedRow:
    """Loads a row's scene and shows it as the detectors' panels show a result.

    Parameters
    ----------
    worker
        The process that unpacks scenes.
    tell
        Called with a sentence for the panel.
    on_opened
        Called with the volume of a study that is shown.

    Attributes
    ----------
    key
        Of the row that is shown; empty without one.
    result
        Its result in the scene.
    """

    def __init__(self, worker: WorkerProcess, *, tell: Callable[[str], Any], on_opened: Callable[[Any], Any]) -> None:
        self.key = ""
        self.result: SceneResult | None = None
        self._worker, self._tell, self._on_opened = worker, tell, on_opened
        self._link: ChartLink | None = None
        self._wanted = ""
        self._labeling: Stepper | None = None

    def open(self, results: Path, key: str) -> None:
        """Show a row's study; the one before it leaves the scene, unless it holds corrections that are not saved."""
        if key == self.key and self._there() is not None:
            self.show()
            return
        self._wanted = key
        self._tell(_("Opening the study…"))
        folder = Path(tempfile.mkdtemp(prefix="AcuteFindings-", dir=slicer.app.temporaryPath))

        def failed(text: str, _kind: str = "") -> None:
            shutil.rmtree(folder, ignore_errors=True)
            self._tell(_("✖ {reason}").format(reason=text))

        def load(answer: dict[str, Any]) -> None:
            try:
                if key == self._wanted:
                    self._load(key, Path(answer["scene"]))
            except Exception as error:  # nobody stands above the event loop
                failed(told(error, doing="open study"))
            finally:
                shutil.rmtree(folder, ignore_errors=True)

        self._worker.request(
            "worklist_scene",
            {"results": results, "key": key, "out": folder},
            # In a turn of its own: the window shows that it was heard.
            done=lambda answer: qt.QTimer.singleShot(0, lambda: load(answer)),
            failed=failed,
        )

    def show(self) -> None:
        """Arrange the views for the study that is in the scene."""
        self.hide()
        result = self._there()
        if result is not None:
            shown_study().choose(result.text)
            self._link = ChartLink(result)

    def hide(self) -> None:
        """Leave views and chart to other panels."""
        if self._link is not None:
            self._link.close()
            self._link = None

    def label_slices(self, present: bool | None) -> None:
        """Give the study's slices the labels that an answer means, where nobody labeled them; saved with a correction.

        Parameters
        ----------
        present
            The finding is there: so it is in the runs that the model found. It is not: so it is in no slice.
        """
        result = self._there()
        if present is None or result is None or result.table is None:
            return
        inside = {index for first, last in result.finding.positive_runs for index in range(first, last + 1)}
        said = labels(result)
        wanted = [one.index for one in result.finding.slices if (not present or one.index in inside)]

        def steps() -> Any:
            for index in wanted:
                if index not in said and result.scene is not None:
                    set_label(result, index, "present" if present else "absent")
                yield

        if self._labeling is not None:
            self._labeling.stop()
        self._labeling = Stepper(
            steps(), done=lambda _x: None, failed=lambda error: self._tell(told(error, doing="label slices"))
        )
        self._labeling.start()

    def close(self) -> None:
        """Let go of everything; the study stays in the scene."""
        self._wanted = ""
        if self._labeling is not None:
            self._labeling.stop()
        self.hide()

    def _there(self) -> SceneResult | None:
        """Return the result while it is in the scene."""
        return self.result if self.result is not None and self.result.scene is slicer.mrmlScene else None

    def _load(self, key: str, scene_file: Path) -> None:
        self._remove_former()
        scene = slicer.mrmlScene
        before = set(results_in(scene))
        storages = set(_storages(scene))
        try:
            slicer.util.loadScene(str(scene_file), {"clear": False})
        except RuntimeError as error:
            raise SceneError(_("The study's scene could not be read.")) from error
        for storage in set(_storages(scene)) - storages:
            # Its file goes: who saves the scene writes another.
            storage.InvalidateFile()
        new = [one for one in results_in(scene) if one not in before]
        if not new:
            raise SceneError(_("The study's scene holds no result."))
        self.key, self.result = key, new[-1]
        _show_segments(self.result)
        self.show()
        self._tell("")
        self._on_opened(self.result.volume)

    def _remove_former(self) -> None:
        self.hide()
        former = self._there()
        self.key, self.result = "", None
        if former is None or has_unsaved(former):
            return
        volume = former.volume
        remove_result(slicer.mrmlScene, former)
        shared = any(one.volume is volume for one in results_in(slicer.mrmlScene))
        if volume is not None and not shared:
            slicer.mrmlScene.RemoveNode(volume)


def _show_segments(result: SceneResult) -> None:
    """Show what was found: Slicer 5.12 hides a loaded segmentation's segments where a scene before it held another."""
    display = None if result.segmentation is None else result.segmentation.GetDisplayNode()
    if display is not None:
        display.SetAllSegmentsVisibility(True)


def _storages(scene: Any) -> list[Any]:
    name = "vtkMRMLStorageNode"
    return [scene.GetNthNodeByClass(number, name) for number in range(scene.GetNumberOfNodesByClass(name))]
