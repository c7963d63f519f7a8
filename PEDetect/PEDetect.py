"""Pulmonary embolism on CT pulmonary angiograms: the module's face; the work is done in AcuteFindingsLib."""

from slicer import vtkMRMLScalarVolumeNode, vtkMRMLTextNode
from slicer.i18n import tr as _
from slicer.parameterNodeWrapper import parameterNodeWrapper
from slicer.ScriptedLoadableModule import ScriptedLoadableModule

from AcuteFindingsLib.widgets.module_parts import DetectorModuleLogic, DetectorModuleWidget, Device
from AcuteFindingsLib.widgets.tests import detector as self_tests


class PEDetect(ScriptedLoadableModule):
    """What the application shows of the module before it is opened."""

    def __init__(self, parent):
        """Fill in title, place in the menu and help."""
        ScriptedLoadableModule.__init__(self, parent)
        self.parent.title = _("PE Detect")
        self.parent.categories = [_("Acute Findings")]
        self.parent.dependencies = ["AcuteFindings"]
        self.parent.contributors = ["The AcuteFindings contributors"]
        self.parent.helpText = _(
            "Finds pulmonary embolism on a CT pulmonary angiogram: a verdict for the study, a probability for every "
            "slice as a chart, and the place of the emboli as a heat map. Choose a volume, press Apply, and click the "
            "chart to go to a slice. Research use only. Not a medical device; not for diagnosis."
        )
        self.parent.acknowledgementText = _(
            "Method after Huhtanen H. et al., Automated detection of pulmonary embolism from CT-angiograms using deep "
            "learning, BMC Medical Imaging 22, 2022, doi:10.1186/s12880-022-00763-z."
        )


@parameterNodeWrapper
class PEDetectParameterNode:
    """The user's choices and the result, kept in the scene.

    inputVolume - The CT pulmonary angiogram.
    model - Id of the model package; empty for the default.
    device - Where the detector runs.
    verdict - Text node of the result that is shown; it refers to the result's other nodes.
    """

    inputVolume: vtkMRMLScalarVolumeNode
    model: str = ""
    device: Device = Device.AUTO
    verdict: vtkMRMLTextNode


class PEDetectWidget(DetectorModuleWidget):
    """The shared panel on this module's .ui file."""

    detector = "pe"

    def make_logic(self):
        """Return the module's logic."""
        return PEDetectLogic()


class PEDetectLogic(DetectorModuleLogic):
    """The detector without a panel, for scripts and batches."""

    detector = "pe"
    parameterNodeClass = PEDetectParameterNode


class PEDetectTest(self_tests.DetectorModuleTest):
    """Self-test with a small phantom and the model that ships."""

    detector = "pe"
    kind = "ctpa"
    seed = 900_008
    options = (("matrix", 192), ("slice_spacing", 5.0))
    logicClass = PEDetectLogic
    draws = False
