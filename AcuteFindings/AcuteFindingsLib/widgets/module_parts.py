"""What the module files have in common: the devices, and the widget that keeps a panel and its scene in step."""

from collections.abc import Callable
from enum import Enum
from typing import Any

import slicer
from slicer.ScriptedLoadableModule import ScriptedLoadableModuleLogic, ScriptedLoadableModuleWidget
from slicer.util import VTKObservationMixin


class Device(Enum):
    """Where a detector runs; Slicer fills a combo box with the names."""

    AUTO = "auto"
    CPU = "cpu"
    CUDA = "cuda"
    COREML = "coreml"
    DIRECTML = "directml"
    OPENVINO = "openvino"
    REMOTE = "remote"
    # In scenes of earlier versions.
    GPU = "cuda"


class ModuleLogic(ScriptedLoadableModuleLogic):
    """A module's logic whose parameter node is typed by `parameterNodeClass`."""

    parameterNodeClass: Any = None

    def __init__(self) -> None:
        """Take no parent: a logic lives where it is needed."""
        ScriptedLoadableModuleLogic.__init__(self)
        self.firstChoices: dict[str, Callable[[], str]] = {}

    def getParameterNode(self) -> Any:
        """Return the module's choices, typed, as the scene holds them now.

        A new object every time, as in Slicer's template: it keeps what it has read until the node says that it was
        modified, and a scene whose texts equal the present ones brings other nodes without saying so. `firstChoices`
        gives by name what a node that holds no choice yet starts with.
        """
        node = super().getParameterNode()
        for name, choice in self.firstChoices.items():
            if not node.HasParameter(name):
                node.SetParameter(name, choice())
        return self.parameterNodeClass(node)

    def resetChoices(self) -> None:
        """Begin with the first choices again: the scene was closed.

        Typed nodes of before may have put their defaults into the emptied node.
        """
        node = super().getParameterNode()
        for name, choice in self.firstChoices.items():
            node.SetParameter(name, choice())


class DetectorModuleLogic(ModuleLogic):
    """A detector without a panel, for scripts and batches; subclasses name `detector` and `parameterNodeClass`."""

    detector = ""

    def process(
        self,
        volumeNode: Any,
        model: str = "",
        device: str = "auto",
        progress: Callable[[str, float], Any] | None = None,
        cancelled: Callable[[], bool] | None = None,
        force: bool = False,
    ) -> Any:
        """Run the detector on a volume and put the result into the scene.

        Parameters
        ----------
        volumeNode
            A `vtkMRMLScalarVolumeNode`: a CT in HU, or a radiograph of one slice, as the detector needs it.
        model
            Id or folder of a model package; empty for the default.
        device
            "auto", "cpu", "cuda", "coreml", "directml" or "openvino"; "remote" for the server that
            the home module names.
        progress
            Called with what is being done (text) and the share of the whole that is done (0 to 1).
        cancelled
            Asked between; True stops the run.
        force
            Run although the series check refuses the study.

        Returns
        -------
        SceneResult
            The nodes made: text, table, chart with its series, segmentation, heat map, and the finding itself.

        Raises
        ------
        AcuteFindingsError
            With one sentence for a person; `CancelledError` where `cancelled` answered True.
        """
        # Imported when first needed, so that Slicer starts as fast as without this module.
        from AcuteFindingsLib.widgets.worker.run_controller import run_blocking

        return run_blocking(
            self.detector, volumeNode, model, device, progress=progress, cancelled=cancelled, force=force
        )


class ModuleWidget(ScriptedLoadableModuleWidget, VTKObservationMixin):
    """A module's widget with a .ui file and a parameter node, as Slicer's own modules have them.

    The parameter node is taken when the module is shown and let go when the scene closes; what the .ui file connects to
    it follows by itself. Subclasses build their parts in `build` and hear of the parameter node in
    `parameter_node_changed`.
    """

    panel: Any = None

    def __init__(self, parent: Any = None) -> None:
        self.logic: Any = None
        self.ui: Any = None
        self._parameterNode: Any = None
        self._parameterNodeGuiTag: Any = None
        # Before the widget's own: without a parent that one calls `setup` at once.
        VTKObservationMixin.__init__(self)
        ScriptedLoadableModuleWidget.__init__(self, parent)

    def setup(self) -> None:
        """Load the .ui file, build the parts, and follow the scene."""
        ScriptedLoadableModuleWidget.setup(self)
        ui_widget = slicer.util.loadUI(self.resourcePath(f"UI/{self.moduleName}.ui"))
        self.layout.addWidget(ui_widget)
        self.ui = slicer.util.childWidgetVariables(ui_widget)
        # The .ui file hands the scene on to the selectors.
        ui_widget.setMRMLScene(slicer.mrmlScene)
        self.build()
        scene = slicer.mrmlScene
        self.addObserver(scene, scene.StartCloseEvent, self.onSceneStartClose)
        self.addObserver(scene, scene.EndCloseEvent, self.onSceneEndClose)
        self.addObserver(scene, scene.EndImportEvent, self.onSceneEndImport)
        self.initializeParameterNode()

    def build(self) -> None:
        """Make `logic` and whatever the .ui file does not hold."""
        raise NotImplementedError

    def parameter_node_changed(self, parameter_node: Any) -> None:
        """Another parameter node is used from now on, or the same one holds what a loaded scene brought."""

    def cleanup(self) -> None:
        """The application closes or the module is reloaded."""
        self.setParameterNode(None)
        self.removeObservers()

    def enter(self) -> None:
        """The module is shown."""
        self.initializeParameterNode()
        if self.panel is not None:  # None where opening the module failed
            self.panel.enter()

    def exit(self) -> None:
        """Another module is shown, a run goes on: the parameter node is followed again on the way back."""
        if self.panel is not None:
            self.panel.exit()
        if self._parameterNode is not None and self._parameterNodeGuiTag is not None:
            self._parameterNode.disconnectGui(self._parameterNodeGuiTag)
            self._parameterNodeGuiTag = None

    def onSceneStartClose(self, _caller: Any, _event: str) -> None:
        """The parameter node goes with the scene."""
        self.setParameterNode(None)

    def onSceneEndClose(self, _caller: Any, _event: str) -> None:
        """A module that stays shown needs a new parameter node at once."""
        if self.parent.isEntered:
            self.initializeParameterNode()

    def onSceneEndImport(self, _caller: Any, _event: str) -> None:
        """A scene was loaded, with the choices that were saved in it; what was read before is no longer true."""
        if self.parent.isEntered:
            self.initializeParameterNode()
        else:
            self.setParameterNode(None)

    def initializeParameterNode(self) -> None:
        """Use the scene's parameter node, made where there is none."""
        self.setParameterNode(self.logic.getParameterNode())

    def setParameterNode(self, parameterNode: Any | None) -> None:
        """Connect the widgets of the .ui file to a parameter node, and nothing else to them."""
        if self._parameterNode is not None and self._parameterNodeGuiTag is not None:
            self._parameterNode.disconnectGui(self._parameterNodeGuiTag)
        self._parameterNodeGuiTag = None
        self._parameterNode = parameterNode
        if parameterNode is not None:
            self._parameterNodeGuiTag = parameterNode.connectGui(self.ui)
            self.parameter_node_changed(parameterNode)


class DetectorModuleWidget(ModuleWidget):
    """The widget of a module that runs a detector; subclasses name `detector` and make their logic."""

    detector = ""

    def make_logic(self) -> Any:
        """Return the module's logic."""
        raise NotImplementedError

    def build(self) -> None:
        """Put the shared panel onto the .ui file."""
        # Imported when the module is first opened, so that Slicer starts as fast as without it.
        from AcuteFindingsLib.widgets.panel.detector_panel import DetectorPanel

        self.logic = self.make_logic()
        self.panel = DetectorPanel(self.detector, self.ui, self)
        self.logic.firstChoices["model"] = lambda: self.panel.model_loader.choice

    def parameter_node_changed(self, parameter_node: Any) -> None:
        """Suggest a volume where none is chosen, and tell the panel."""
        from AcuteFindingsLib.scene.study_from_node import fits

        if parameter_node.inputVolume is None:
            volumes = slicer.util.getNodesByClass("vtkMRMLScalarVolumeNode")
            shown = (node for node in volumes if not node.GetHideFromEditors())
            fitting = next((node for node in shown if not fits(node, self.detector)), None)
            if fitting is not None:
                parameter_node.inputVolume = fitting
        self.panel.set_parameter_node(parameter_node)

    def onSceneEndClose(self, caller: Any, event: str) -> None:
        """What a person chose beside the scene, the model, outlives it."""
        self.logic.resetChoices()
        super().onSceneEndClose(caller, event)

    def onSceneEndImport(self, caller: Any, event: str) -> None:
        """A scene was loaded, with its results and choices."""
        super().onSceneEndImport(caller, event)
        if self._parameterNode is None:
            self.panel.set_parameter_node(None)
        self.panel.scene_loaded()

    def cleanup(self) -> None:
        """The application closes or the module is reloaded."""
        if self.panel is not None:  # None where opening the module failed
            self.panel.cleanup()
        super().cleanup()
