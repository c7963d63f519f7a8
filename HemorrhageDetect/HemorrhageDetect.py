"""Intracranial hemorrhage on head CT without contrast: the module's face; the work is done in AcuteFindingsLib."""

from slicer import vtkMRMLScalarVolumeNode, vtkMRMLTextNode
from slicer.i18n import tr as _
from slicer.parameterNodeWrapper import parameterNodeWrapper
from slicer.ScriptedLoadableModule import ScriptedLoadableModule

from AcuteFindingsLib.widgets.module_parts import DetectorModuleWidget, Device, ModuleLogic
from AcuteFindingsLib.widgets.tests import detector as self_tests


class HemorrhageDetect(ScriptedLoadableModule):
    """What the application shows of the module before it is opened."""

    def __init__(self, parent):
        """Fill in title, place in the menu and help."""
        ScriptedLoadableModule.__init__(self, parent)
        self.parent.title = _("Hemorrhage Detect")
        self.parent.categories = [_("Acute Findings")]
        self.parent.dependencies = ["AcuteFindings"]
        self.parent.contributors = ["The AcuteFindings contributors"]
        self.parent.helpText = _(
            "Finds intracranial hemorrhage on a head CT without contrast: a verdict for the study, a probability for "
            "every slice as a chart, and an outline of the blood with its volume. Choose a volume, press Apply, and "
            "click the chart to go to a slice. Research use only. Not a medical device; not for diagnosis."
        )
        self.parent.acknowledgementText = _(
            "Method after Grewal M. et al., RADnet: Radiologist level accuracy using deep learning for hemorrhage "
            "detection in CT scans, 2018."
        )


@parameterNodeWrapper
class HemorrhageDetectParameterNode:
    """The user's choices and the result, kept in the scene.

    inputVolume - The head CT.
    model - Id of the model package; empty for the default.
    device - Where the detector runs.
    verdict - Text node of the result that is shown; it refers to the result's other nodes.
    """

    inputVolume: vtkMRMLScalarVolumeNode
    model: str = ""
    device: Device = Device.AUTO
    verdict: vtkMRMLTextNode


class HemorrhageDetectWidget(DetectorModuleWidget):
    """The shared panel on this module's .ui file."""

    detector = "hemorrhage"

    def make_logic(self):
        """Return the module's logic."""
        return HemorrhageDetectLogic()


class HemorrhageDetectLogic(ModuleLogic):
    """The detector without a panel, for scripts and batches."""

    parameterNodeClass = HemorrhageDetectParameterNode

    def process(self, volumeNode, model="", device="auto", progress=None, cancelled=None, force=False):
        """Look for intracranial hemorrhage and put the result into the scene.

        Parameters
        ----------
        volumeNode
            A `vtkMRMLScalarVolumeNode` with a head CT in HU.
        model
            Id or folder of a model package; empty for the default.
        device
            "auto", "cpu" or "gpu".
        progress
            Called with what is being done (text) and the share of the whole that is done (0 to 1).
        cancelled
            Asked between; True stops the run.
        force
            Run although the series check refuses the study.

        Returns
        -------
        SceneResult
            The nodes made: text, table, chart with its series, segmentation, and the finding itself.

        Raises
        ------
        AcuteFindingsError
            With one sentence for a person; `CancelledError` where `cancelled` answered True.
        """
        # Imported when first needed, so that Slicer starts as fast as without this module.
        from AcuteFindingsLib.widgets.worker.run_controller import run_blocking

        return run_blocking(
            "hemorrhage", volumeNode, model, device, progress=progress, cancelled=cancelled, force=force
        )


class HemorrhageDetectTest(self_tests.DetectorModuleTest):
    """Self-test with a small phantom and the model that ships."""

    detector = "hemorrhage"
    kind = "head-ct"
    options = (("matrix", 192), ("slice_spacing", 5.0))
    logicClass = HemorrhageDetectLogic
