"""Home of the acute findings modules: models, sample studies, settings; the work is done in AcuteFindingsLib."""

import slicer
from slicer import vtkMRMLScalarVolumeNode
from slicer.i18n import tr as _
from slicer.parameterNodeWrapper import parameterNodeWrapper
from slicer.ScriptedLoadableModule import ScriptedLoadableModule

from AcuteFindingsLib.widgets.module_parts import ModuleLogic, ModuleWidget
from AcuteFindingsLib.widgets.panel.scene_keeper import SceneKeeper
from AcuteFindingsLib.widgets.tests import home as home_tests


class AcuteFindings(ScriptedLoadableModule):
    """What the application shows of the module before it is opened."""

    def __init__(self, parent):
        """Fill in title, place in the menu and help; offer the sample studies once the application is up."""
        ScriptedLoadableModule.__init__(self, parent)
        self.parent.title = _("Acute Findings")
        self.parent.categories = [_("Acute Findings")]
        self.parent.dependencies = []
        self.parent.contributors = ["The AcuteFindings contributors"]
        self.parent.helpText = _(
            "Models, sample studies and settings of the detectors' modules, and the way to them. "
            "Research use only. Not a medical device; not for diagnosis."
        )
        self.parent.acknowledgementText = _(
            "The sample studies are phantoms that the library draws by itself; they depict no person."
        )
        self.sceneKeeper = SceneKeeper(slicer.mrmlScene)
        slicer.app.connect("startupCompleted()", self.sceneKeeper.start)
        slicer.app.connect("startupCompleted()", registerSampleData)


def registerSampleData():
    """Offer the sample studies in the Sample Data module."""
    from AcuteFindingsLib.widgets.samples.sample_data import register_samples

    register_samples()


@parameterNodeWrapper
class AcuteFindingsParameterNode:
    """The user's choice, kept in the scene.

    study - The volume that a detector is opened with.
    """

    study: vtkMRMLScalarVolumeNode


class AcuteFindingsWidget(ModuleWidget):
    """The home panel on this module's .ui file."""

    def build(self):
        """Make the logic and the panel."""
        # Imported when the module is first opened, so that Slicer starts as fast as without it.
        from AcuteFindingsLib.widgets.home.home_panel import HomePanel

        self.logic = AcuteFindingsLogic()
        self.panel = HomePanel(self.ui)

    def parameter_node_changed(self, _parameter_node):
        """Show what can be done with the chosen study."""
        self.panel.refresh()

    def cleanup(self):
        """The application closes or the module is reloaded."""
        if self.panel is not None:  # None where opening the module failed
            self.panel.close()
        super().cleanup()


class AcuteFindingsLogic(ModuleLogic):
    """Sample studies and models without a panel, for scripts and batches."""

    parameterNodeClass = AcuteFindingsParameterNode

    def models(self, task=None):
        """Return what is known of every model package: id, task, version, size, license, place and error.

        Parameters
        ----------
        task
            What the models answer for, such as "lungs"; all when None.
        """
        import qt

        from AcuteFindingsLib.widgets.models.rows import list_rows, user_folders

        return list_rows(user_folders(qt.QSettings()), task=task)

    def loadPhantom(self, kind, seed, positive=True, name="", options=None):
        """Make a phantom and return it as a volume node.

        Parameters
        ----------
        kind
            "ctpa", "head-ct" or "chest-xray".
        seed
            Fixes every voxel.
        positive
            With or without the finding.
        name
            Of the node; by default the kind.
        options
            Of the kind's generator, for example {"matrix": 256}.

        Raises
        ------
        AcuteFindingsError
            When the worker process could not make it.
        """
        from AcuteFindingsLib.widgets.samples.phantom_volume import load_phantom

        return load_phantom(kind, seed, positive=positive, name=name, options=options)


class AcuteFindingsTest(home_tests.HomeModuleTest):
    """Self-test of models, sample studies and worker process."""

    logicClass = AcuteFindingsLogic
