"""Intracranial hemorrhage on head CT without contrast: the module's face; the work is done in AcuteFindingsLib."""

from slicer import vtkMRMLScalarVolumeNode, vtkMRMLTextNode
from slicer.i18n import tr as _
from slicer.parameterNodeWrapper import parameterNodeWrapper
from slicer.ScriptedLoadableModule import ScriptedLoadableModule

from AcuteFindingsLib.widgets.module_parts import DetectorModuleLogic, DetectorModuleWidget, Device
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


class HemorrhageDetectLogic(DetectorModuleLogic):
    """The detector without a panel, for scripts and batches."""

    detector = "hemorrhage"
    parameterNodeClass = HemorrhageDetectParameterNode


class HemorrhageDetectTest(self_tests.DetectorModuleTest):
    """Self-test with a small phantom and the model that ships."""

    detector = "hemorrhage"
    kind = "head-ct"
    options = (("matrix", 192), ("slice_spacing", 5.0))
    logicClass = HemorrhageDetectLogic
