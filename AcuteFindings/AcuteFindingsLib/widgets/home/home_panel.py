"""The home module's panel, in the order of work: packages, sample studies, the way to the detectors, models."""

from typing import TYPE_CHECKING, Any

import qt
import slicer
from slicer.i18n import tr as _

from AcuteFindingsLib.detectors.kind import DetectorKind
from AcuteFindingsLib.detectors.registry import kinds
from AcuteFindingsLib.detectors.wording import in_sentence
from AcuteFindingsLib.errors import AcuteFindingsError
from AcuteFindingsLib.models.evidence import SAW_PATIENTS_UNMEASURED
from AcuteFindingsLib.packages import LIGHT, missing_packages, total_mb
from AcuteFindingsLib.widgets.home.server_panel import ServerPanel
from AcuteFindingsLib.widgets.models.loader import ModelLoader
from AcuteFindingsLib.widgets.models.packages import describe, ensure_packages
from AcuteFindingsLib.widgets.samples.sample_data import load_sample, samples
from AcuteFindingsLib.widgets.worker.process import THREADS_KEY, WorkerProcess, chosen_threads, shared_worker

if TYPE_CHECKING:
    from AcuteFindingsLib.widgets.worklist.worklist_panel import WorklistPanel


class HomePanel:
    """Puts the parts onto the loaded .ui file.

    Parameters
    ----------
    ui
        The widgets of the .ui file by name, as `slicer.util.childWidgetVariables` gives them.
    worker
        The process that makes samples; by default the one that all modules share.

    Attributes
    ----------
    open_buttons
        By detector, the button that opens the chosen study in its module.
    worklist
        The list of many studies; None until it is first unfolded.
    """

    def __init__(self, ui: Any, *, worker: WorkerProcess | None = None) -> None:
        self.ui = ui
        self._worker = worker
        self.model_loader = ModelLoader(None, worker=worker)
        ui.modelsCollapsibleButton.layout().addWidget(self.model_loader.widget)
        self.model_loader.on_listed = self._show_models
        self._show_models()
        self._samples = samples()
        for sample in self._samples:
            ui.sampleComboBox.addItem(sample.name)
        ui.loadSampleButton.connect("clicked(bool)", lambda _checked: self.load_sample())
        ui.installButton.connect("clicked(bool)", lambda _checked: self.install())
        ui.stopWorkerButton.connect("clicked(bool)", lambda _checked: self.stop_worker())
        self.server = ServerPanel(ui, worker=lambda: self._worker or shared_worker())
        ui.threadsSpinBox.setValue(chosen_threads())
        ui.threadsSpinBox.connect("valueChanged(int)", self.choose_threads)
        ui.getModelButton.connect("clicked(bool)", lambda _checked: self.show_public_models())
        ui.studySelector.connect("currentNodeChanged(vtkMRMLNode*)", lambda _node: self.refresh())
        self.worklist: WorklistPanel | None = None
        self._entered = False
        ui.worklistCollapsibleButton.connect("contentsCollapsed(bool)", lambda _collapsed: self._show_worklist())
        self.open_buttons = {kind.id: self._open_button(kind) for kind in kinds() if kind.module}
        self.refresh()

    def refresh(self) -> None:
        """Show what is installed, whether the worker runs, and what can be opened."""
        missing = missing_packages(LIGHT)
        if missing:
            self.ui.packagesLabel.setText(_("Missing: {packages}.").format(packages=describe(missing)))
        else:
            self.ui.packagesLabel.setText(_("Everything that the detectors need is installed."))
        self.ui.installButton.setVisible(bool(missing))
        self.ui.installButton.setEnabled(bool(missing))
        self.ui.installButton.setText(_("Install them (about {size} MB)…").format(size=total_mb(missing)))
        self.model_loader.refresh_if_changed()
        worker = self._worker or shared_worker()
        self.ui.workerLabel.setText(
            _("Running; it keeps used models in memory.") if worker.running else _("Not running.")
        )
        self.ui.stopWorkerButton.setEnabled(worker.running and not worker.busy)
        chosen = self.ui.studySelector.currentNode() is not None
        for button in self.open_buttons.values():
            button.setEnabled(chosen)

    def show_public_models(self) -> None:
        """Open the section of models with the public ones, and bring it into view."""
        self.ui.modelsCollapsibleButton.collapsed = False
        self.model_loader.show_public()
        slicer.app.processEvents(qt.QEventLoop.ExcludeUserInputEvents)
        above = self.ui.modelsCollapsibleButton.parentWidget()
        while above is not None and above.className() != "QScrollArea":
            above = above.parentWidget()
        if above is not None:
            above.ensureWidgetVisible(self.model_loader.public.widget)

    def load_sample(self) -> Any | None:
        """Make the chosen sample study and choose it; returns the volume node, None where there is none."""
        sample = self._samples[self.ui.sampleComboBox.currentIndex]
        self.ui.loadSampleButton.setEnabled(False)
        self.ui.sampleLabel.setText(_("Making the phantom…"))
        node, reason = None, ""
        try:
            node = load_sample(sample, worker=self._worker)
        except AcuteFindingsError as error:
            reason = str(error)
        self.ui.loadSampleButton.setEnabled(True)
        if node is None:
            self.ui.sampleLabel.setText(reason or _("Not made: packages are missing."))
            return None
        self.ui.sampleLabel.setText(_("Loaded: {name}.").format(name=node.GetName()))
        self.ui.studySelector.setCurrentNode(node)
        self.refresh()
        return node

    def open(self, kind: DetectorKind) -> None:
        """Open a detector's module with the chosen study."""
        name = kind.module
        module_logic = slicer.util.getModuleWidget(name).logic
        study = self.ui.studySelector.currentNode()
        module_logic.getParameterNode().inputVolume = study
        if slicer.util.mainWindow() is not None:
            slicer.util.setSliceViewerLayers(background=study, foreground=None, label=None, fit=True)
            slicer.util.selectModule(name)

    def install(self) -> None:
        """Install what is missing, after the user has agreed."""
        ensure_packages(self.ui.installButton)
        self.refresh()

    def stop_worker(self) -> None:
        """Give the memory of the loaded models back; the next run loads them again."""
        (self._worker or shared_worker()).stop()
        self.refresh()

    def choose_threads(self, threads: int) -> None:
        """Keep how many threads are wanted; an idle worker ends, so that the next run computes on as many."""
        worker = self._worker or shared_worker()
        if threads != chosen_threads():
            qt.QSettings().setValue(THREADS_KEY, threads)
            if not worker.busy:
                self.stop_worker()

    def enter(self) -> None:
        """The module is shown."""
        self._entered = True
        self._show_worklist()

    def exit(self) -> None:
        """Another module is shown: views and keys are its own."""
        self._entered = False
        self._show_worklist()

    def close(self) -> None:
        """Stop what is under way: the panel goes."""
        self.server.close()
        self.model_loader.close()
        if self.worklist is not None:
            self.worklist.close()

    def _show_worklist(self) -> None:
        """Make the worklist when it is first unfolded, and let it rest while it is not seen."""
        seen = self._entered and not self.ui.worklistCollapsibleButton.collapsed
        if self.worklist is None and seen:
            # Imported when it is needed, so that the module opens as fast as without it.
            from AcuteFindingsLib.widgets.worklist.worklist_panel import WorklistPanel

            self.worklist = WorklistPanel(worker=self._worker, on_opened=self.ui.studySelector.setCurrentNode)
            self.ui.worklistCollapsibleButton.layout().addWidget(self.worklist.widget)
        if self.worklist is not None:
            (self.worklist.enter if seen else self.worklist.exit)()

    def _show_models(self) -> None:
        """Say for which detectors a demonstration model is the default, and that there are others."""
        defaults = self.model_loader.defaults
        shown = [
            in_sentence(kind.finding)
            for kind in kinds()
            if kind.task.made_for in defaults and defaults[kind.task.made_for].model.rank > SAW_PATIENTS_UNMEASURED
        ]
        text = _("The models in use were trained on patients.")
        if shown:
            text = _("Demonstration models are in use for {findings}. Public models trained on patients can be had.")
        self.ui.modelsLabel.setText(text.format(findings=", ".join(shown)))

    def _open_button(self, kind: DetectorKind) -> Any:
        button = qt.QPushButton(_("Open in {module}").format(module=kind.module_title))
        button.setObjectName(f"open{kind.module}Button")
        tip = _("Look for {finding} in this {study}")
        button.setToolTip(tip.format(finding=in_sentence(kind.finding), study=in_sentence(kind.study)))
        button.connect("clicked(bool)", lambda _checked: self.open(kind))
        self.ui.studyCollapsibleButton.layout().addRow("", button)
        return button
