"""Pneumothorax on frontal chest radiographs: the module's face; the work is done in AcuteFindingsLib."""

from slicer import vtkMRMLScalarVolumeNode, vtkMRMLTextNode
from slicer.i18n import tr as _
from slicer.parameterNodeWrapper import parameterNodeWrapper
from slicer.ScriptedLoadableModule import ScriptedLoadableModule

from AcuteFindingsLib.widgets.module_parts import DetectorModuleLogic, DetectorModuleWidget, Device
from AcuteFindingsLib.widgets.tests import detector as self_tests


class PneumothoraxSeg(ScriptedLoadableModule):
    """What the application shows of the module before it is opened."""

    def __init__(self, parent):
        """Fill in title, place in the menu and help."""
        ScriptedLoadableModule.__init__(self, parent)
        self.parent.title = _("Pneumothorax Seg")
        self.parent.categories = [_("Acute Findings")]
        self.parent.dependencies = ["AcuteFindings"]
        self.parent.contributors = ["The AcuteFindings contributors"]
        self.parent.helpText = _(
            "Finds pneumothorax on a frontal chest radiograph and draws its outline: a verdict, the area, the tubes "
            "that are in, and whether the answer depends on them. Choose a radiograph and press Apply. Research use "
            "only. Not a medical device; not for diagnosis."
        )
        self.parent.acknowledgementText = _(
            "Method after the third- and fourth-place solutions of the SIIM-ACR Pneumothorax Segmentation challenge, "
            "2019; tubes and shortcuts after work at the IT University of Copenhagen, 2023."
        )


@parameterNodeWrapper
class PneumothoraxSegParameterNode:
    """The user's choices and the result, kept in the scene.

    inputVolume - The frontal chest radiograph.
    model - Id of the model package; empty for the default.
    device - Where the detector runs.
    verdict - Text node of the result that is shown; it refers to the result's other nodes.
    """

    inputVolume: vtkMRMLScalarVolumeNode
    model: str = ""
    device: Device = Device.AUTO
    verdict: vtkMRMLTextNode


class PneumothoraxSegWidget(DetectorModuleWidget):
    """The shared panel on this module's .ui file."""

    detector = "pneumothorax"

    def make_logic(self):
        """Return the module's logic."""
        return PneumothoraxSegLogic()


class PneumothoraxSegLogic(DetectorModuleLogic):
    """The detector without a panel, for scripts and batches."""

    detector = "pneumothorax"
    parameterNodeClass = PneumothoraxSegParameterNode


class PneumothoraxSegTest(self_tests.DetectorModuleTest):
    """Self-test with a small phantom and the model that ships."""

    detector = "pneumothorax"
    kind = "chest-xray"
    seed = 15
    logicClass = PneumothoraxSegLogic
