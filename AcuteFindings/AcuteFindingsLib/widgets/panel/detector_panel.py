"""One detector's panel: input, model, Apply, results, corrections and export on a loaded .ui file."""

from typing import Any

import qt
import slicer

from AcuteFindingsLib.scene.layouts import RADIOGRAPH_LAYOUT, layout_of, show_layout
from AcuteFindingsLib.scene.results import SceneResult, remove_result, result_of, results_in
from AcuteFindingsLib.scene.sequence_frame import show_frame
from AcuteFindingsLib.widgets.models.loader import ModelLoader
from AcuteFindingsLib.widgets.models.rows import user_folders
from AcuteFindingsLib.widgets.panel.chart_link import ChartLink
from AcuteFindingsLib.widgets.panel.corrections_panel import CorrectionsPanel
from AcuteFindingsLib.widgets.panel.device_choice import DeviceChoice
from AcuteFindingsLib.widgets.panel.export_panel import ExportPanel
from AcuteFindingsLib.widgets.panel.not_shown import NotShownNotice
from AcuteFindingsLib.widgets.panel.radiograph_panel import RadiographPanel
from AcuteFindingsLib.widgets.panel.result_selector import ResultSelector
from AcuteFindingsLib.widgets.panel.results_panel import ResultsPanel
from AcuteFindingsLib.widgets.panel.run_bar import RunBar
from AcuteFindingsLib.widgets.panel.series_check import SeriesCheck
from AcuteFindingsLib.widgets.panel.shown_study import shown_study
from AcuteFindingsLib.widgets.worker.process import WorkerProcess, shared_worker
from AcuteFindingsLib.widgets.worker.run_controller import IDLE, RunController


class DetectorPanel:
    """Puts the parts together; modules differ in `detector` alone.

    Parameters
    ----------
    detector
        Id of its kind.
    ui
        The widgets of the module's .ui file by name, as `slicer.util.childWidgetVariables` gives them.
    module_widget
        The module's widget. It calls `set_parameter_node`, `enter`, `exit` and `cleanup`.
    worker
        The process that detects; by default the one that all modules share.

    Attributes
    ----------
    result
        The result that is shown; None without one.
    """

    def __init__(self, detector: str, ui: Any, module_widget: Any, *, worker: WorkerProcess | None = None) -> None:
        self.detector, self.ui, self.module_widget = detector, ui, module_widget
        self.result: SceneResult | None = None
        self.parameter_node: Any = None
        self._worker = worker
        self._entered = self._closed = self._importing = False
        self._link: ChartLink | None = None
        self._observed: list[tuple[Any, int]] = []
        self.controller = RunController(detector, worker=worker)
        self.check = SeriesCheck(detector, worker=self._get_worker, on_text=self._show_check)
        self.model_loader = ModelLoader(detector, worker=worker)
        self.devices = DeviceChoice(ui.deviceComboBox, worker=self._get_worker)
        self.selector = ResultSelector(self._choose_result, on_show=self.show_in_views, on_remove=self.remove_result)
        self.not_shown = NotShownNotice(self.show_in_views)
        self.results = ResultsPanel(detector, on_slice=lambda _index: self.corrections.show_slice())
        self.radiograph = RadiographPanel() if layout_of(detector) == RADIOGRAPH_LAYOUT else None
        self.corrections = CorrectionsPanel(lambda: self.results.current, on_label=self.results.update_corrected)
        self.export = ExportPanel(worker=self._get_worker, folders=_model_folders)
        self.run_bar = RunBar(
            ui, self.controller, self.model_loader, may_start=self._may_start, on_result=self._on_result
        )
        self.controller.on_showing = self._on_showing
        self._lay_out()
        self.ui.inputSelector.connect("currentNodeChanged(vtkMRMLNode*)", lambda _node: self._on_volume())
        self.ui.inputSelector.connect("nodeActivated(vtkMRMLNode*)", self._view_volume)
        self.model_loader.on_changed = self._on_model
        self._watch_scene()
        shown_study().listen(self._follow_views)
        self.refresh()

    def set_parameter_node(self, parameter_node: Any | None) -> None:
        """Take the module's choices from its parameter node, and keep them there from now on."""
        if self._closed:
            return
        self.parameter_node = parameter_node
        if parameter_node is not None:
            if parameter_node.model != self.model_loader.choice:
                self.model_loader.require(parameter_node.model)
            named = result_of(parameter_node.verdict)
            if named is not None and named != self.result and named.finding.detector == self.detector:
                self.show_result(named, arrange=False)
            elif named is None and self.result is not None:
                parameter_node.verdict = self.result.text
        self.devices.show()
        self.refresh()
        self._on_volume()

    def enter(self) -> None:
        """The module is shown: keys work, views and chart are linked."""
        self._entered = True
        self.devices.ask()
        self.model_loader.refresh_if_changed()
        self.refresh()
        if self.result is not None:
            shown_study().choose(self.result.text)
        self._follow_views()
        self._on_volume()

    def exit(self) -> None:
        """Another module is shown: views and keys are its own. A run goes on."""
        self._entered = False
        self.check.stop()
        self._close_link()
        self._follow_views()

    def scene_loaded(self) -> None:
        """Show what a scene brought; the parameter node that came with it was handed over before."""
        self.refresh()
        # Selectors list the nodes of a scene only once all of it is there.
        qt.QTimer.singleShot(0, self._show_input)

    def cleanup(self) -> None:
        """Let go of everything: the module's widget goes."""
        self._entered, self._closed = False, True
        shown_study().forget(self._follow_views)
        self.check.stop()
        self.devices.close()
        self.controller.close()
        self._close_link()
        for scene, tag in self._observed:
            scene.RemoveObserver(tag)
        self._observed = []
        self.selector.close()
        self.results.close()
        self.corrections.close()
        self.export.close()
        self.model_loader.close()

    def apply(self) -> None:
        """Start a run, or stop the one that is under way."""
        self.run_bar.apply()

    def show_result(self, result: SceneResult | None, *, arrange: bool = True) -> None:
        """Show a result in the panel, and in the views where `arrange` says so; asks nothing."""
        self._close_link()
        self.result = result
        if self.parameter_node is not None:
            self.parameter_node.verdict = None if result is None else result.text
        self.results.show(result)
        if self.radiograph is not None:
            self.radiograph.show(result)
        self.corrections.show(result)
        self.export.show(result)
        self._list_results()
        if result is not None:
            shown_study().choose(result.text)
        suspicious = self.results.current
        if arrange:
            if result is not None:
                show_frame(result.text, result.volume)
            self._open_link(arrange=True)
        self._follow_views()
        if result is not None and arrange:
            self.results.go_to(suspicious)
        if self.radiograph is not None and result is not None:
            self.radiograph.show(result)

    def show_in_views(self) -> None:
        """Arrange the views for the shown result, whatever they show."""
        self.show_result(self.result)

    def remove_result(self) -> None:
        """Remove the shown result from the scene, after a question where corrections are not saved."""
        if self.result is None or not self.corrections.confirm_discard():
            return
        gone = self.result
        self.show_result(None, arrange=False)
        remove_result(slicer.mrmlScene, gone)
        self.refresh()

    def refresh(self) -> None:
        """Show what the scene holds: the result that the parameter node names, else the latest."""
        if self._closed or slicer.mrmlScene.IsClosing():
            return
        results = results_in(slicer.mrmlScene, self.detector)
        if self.result is not None and self.result in results:
            self._list_results()
            return
        named = None if self.parameter_node is None else result_of(self.parameter_node.verdict)
        wanted = named if named in results else (results[-1] if results else None)
        if wanted is not None or self.result is not None:
            self.show_result(wanted, arrange=False)
        else:
            self._list_results()

    def _lay_out(self) -> None:
        _layout_of(self.ui.modelCollapsibleButton).addWidget(self.model_loader.widget)
        results = _layout_of(self.ui.resultsCollapsibleButton)
        results.addWidget(self.selector.widget)
        results.addWidget(self.not_shown.widget)
        results.addWidget(self.results.widget)
        if self.radiograph is not None:
            results.addWidget(self.radiograph.widget)
        _layout_of(self.ui.correctionsCollapsibleButton).addWidget(self.corrections.widget)
        _layout_of(self.ui.exportCollapsibleButton).addWidget(self.export.widget)
        self.ui.correctionsCollapsibleButton.setEnabled(False)
        self.ui.checkLabel.setWordWrap(True)

    def _watch_scene(self) -> None:
        scene, events = slicer.mrmlScene, slicer.vtkMRMLScene
        for event, heard in (
            (events.StartCloseEvent, self._on_scene_closing),
            (events.EndCloseEvent, self._on_scene_changed),
            (events.StartImportEvent, self._on_import),
            (events.NodeRemovedEvent, self._on_node_removed),
        ):
            self._observed.append((scene, scene.AddObserver(event, heard)))

    def _on_scene_closing(self, _caller: Any, _event: str) -> None:
        # Nothing can hold the closing up any more, but what would be lost with the scene can still be saved.
        self.corrections.confirm_discard(can_cancel=False)
        self.check.stop()
        self.parameter_node = None
        self.model_loader.release()
        self.show_result(None, arrange=False)

    def _on_scene_changed(self, _caller: Any, _event: str) -> None:
        self.refresh()

    def _on_import(self, _caller: Any, _event: str) -> None:
        self._importing = True

    def _show_input(self) -> None:
        volume = None if self._closed or self.parameter_node is None else self.parameter_node.inputVolume
        if volume is not None and self.ui.inputSelector.currentNode() is not volume:
            self.ui.inputSelector.setCurrentNode(volume)
        self._importing = False

    def _on_node_removed(self, _caller: Any, _event: str) -> None:
        if self.result is None or slicer.mrmlScene.IsClosing():
            return
        if self.result.scene is None:
            self.refresh()
        elif any(node is not None and node.GetScene() is None for node in _parts(self.result)):
            # A part of the result was deleted; what is left is shown.
            self.show_result(result_of(self.result.text), arrange=False)

    def _on_volume(self) -> None:
        volume = self.ui.inputSelector.currentNode()
        self.run_bar.update()
        self.check.show(volume, whole=self._entered and self.controller.state == IDLE)

    def _view_volume(self, volume: Any | None) -> None:
        """Show a chosen volume; what the module's opening or a scene chooses leaves the views as they are."""
        if volume is None or not self._entered or self._importing or slicer.app.layoutManager() is None:
            return
        if self.result is not None and self.result.volume is volume:
            self.show_in_views()
        else:
            slicer.util.setSliceViewerLayers(background=volume, foreground=None, label=None, fit=True)

    def _on_model(self, *_ignored: Any) -> None:
        if self.parameter_node is not None:
            self.parameter_node.model = self.model_loader.choice
        # Said at once, not only when Apply is pressed: the list of models may be folded away.
        self.run_bar.tell_obstacle()

    def _choose_result(self, result: SceneResult) -> bool:
        if not self.corrections.confirm_discard():
            return False
        self.show_result(result)
        return True

    def _may_start(self) -> bool:
        if not self.corrections.confirm_discard():
            return False
        self.check.stop()
        return True

    def _on_showing(self) -> None:
        if self._entered and slicer.app.layoutManager() is not None:
            show_layout(slicer.mrmlScene, self.detector)

    def _on_result(self, result: SceneResult) -> None:
        # Where the packages were installed for this run, they were not there to be asked before.
        self.devices.ask()
        self.ui.resultsCollapsibleButton.collapsed = False
        self.show_result(result, arrange=self._entered)

    def _show_check(self, text: str) -> None:
        self.ui.checkLabel.setText(text)

    def _list_results(self) -> None:
        self.selector.show(results_in(slicer.mrmlScene, self.detector), self.result)

    def _follow_views(self) -> None:
        """Speak of the result as that of the shown image only where the views show its image."""
        if self._closed:
            return
        shown = self.result is not None and shown_study().shows_result(self.result.text, self.result.volume)
        self.not_shown.show(self.result, shown=shown)
        self.results.widget.setEnabled(shown or self.result is None)
        if self.radiograph is not None:
            self.radiograph.widget.setEnabled(shown)
        self.ui.correctionsCollapsibleButton.setEnabled(shown)
        self._set_keys(self._entered and shown)
        if not shown:
            self._close_link()
        elif self._link is None:
            self._open_link(arrange=False)
        else:
            self._link.mark_corner()

    def _open_link(self, *, arrange: bool) -> None:
        if self.result is not None and self._link is None and self._entered:
            self._link = ChartLink(self.result, on_slice=self._on_slice, arrange=arrange)

    def _close_link(self) -> None:
        if self._link is not None:
            self._link.close()
            self._link = None

    def _on_slice(self, index: int) -> None:
        self.results.show_slice(index)
        self.corrections.show_slice()

    def _set_keys(self, enabled: bool) -> None:
        self.results.set_keys_enabled(enabled)
        self.corrections.set_keys_enabled(enabled)

    def _get_worker(self) -> WorkerProcess:
        return shared_worker() if self._worker is None else self._worker


def _parts(result: SceneResult) -> tuple[Any, ...]:
    return result.volume, result.segmentation, result.heatmap, result.table, result.chart


def _model_folders() -> list[str]:
    return [str(folder) for folder in user_folders(qt.QSettings())]


def _layout_of(button: Any) -> Any:
    layout = button.layout()
    return qt.QVBoxLayout(button) if layout is None else layout
