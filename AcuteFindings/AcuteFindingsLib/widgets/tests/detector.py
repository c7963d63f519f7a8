"""What the modules' self-tests do in the application: genuine nodes and views, a small phantom, the model that ships.

They run with and without a main window; without one there are no views to look at. Modules import this module, not the
classes, so that unittest finds only the modules' own tests in them.
"""
# ruff: noqa: PT009, PT027 - they run in the application, where there is no pytest to say what a bare assert compared

import logging
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import slicer
from slicer.ScriptedLoadableModule import ScriptedLoadableModuleTest

RUN_SECONDS = 600
"""A run on two slow cores with a cold worker: torch alone takes half a minute to load from a slow disk."""

PANEL_SECONDS = 30


class ModuleTest(ScriptedLoadableModuleTest):
    """Starts every test with an empty scene and all packages.

    Attributes
    ----------
    screenshots
        Folder for pictures of the main window; None for none.
    """

    screenshots: Path | None = None

    def setUp(self) -> None:
        """Close the scene; fail where a run could only fail, and say which packages it lacks."""
        from AcuteFindingsLib.packages import DETECT, missing_packages
        from AcuteFindingsLib.widgets.models.packages import describe

        slicer.mrmlScene.Clear(0)
        missing = missing_packages(DETECT)
        if missing:
            self.fail(f"This application lacks packages that the self-tests need: {describe(missing)}.")

    def tearDown(self) -> None:
        """Leave nothing behind."""
        slicer.mrmlScene.Clear(0)

    def open_panel(self) -> Any:
        """Return the module's widget, shown as far as there is a window."""
        name = type(self).__name__.removesuffix("Test")
        if slicer.util.mainWindow() is not None:
            slicer.util.selectModule(name)
        widget = slicer.util.getModuleWidget(name)
        if slicer.util.mainWindow() is None:
            widget.enter()
        slicer.app.processEvents()
        return widget

    def close_panel(self, widget: Any) -> None:
        """Leave the module as a person would."""
        if slicer.util.mainWindow() is not None:
            slicer.util.selectModule("AcuteFindings")
        else:
            widget.exit()
        slicer.app.processEvents()

    def save_screenshot(self, name: str) -> None:
        """Write a picture of the main window, where there is one and pictures are wanted."""
        window = slicer.util.mainWindow()
        if self.screenshots is None or window is None:
            return
        import ctk

        slicer.util.forceRenderAllViews()
        slicer.app.processEvents()
        self.screenshots.mkdir(parents=True, exist_ok=True)
        path = self.screenshots / f"{name}.png"
        picture = ctk.ctkWidgetsUtils.grabWidget(window)
        self.assertTrue(picture.save(str(path)), f"{path} could not be written")


class DetectorModuleTest(ModuleTest):
    """The same tests for every detector.

    Attributes
    ----------
    detector
        Id of its kind.
    kind, seed, options
        Of the phantom, as `load_phantom` takes them.
    logicClass
        The module's logic.
    draws
        Whether every model of the detector draws the kind's segments, or only those of some form.
    """

    detector = ""
    kind = ""
    seed = 7
    options: tuple[tuple[str, Any], ...] = ()
    logicClass: Any = None
    draws = True

    def test_process_puts_a_result_into_the_scene(self) -> None:
        """The logic alone, as scripts use it, makes every node that the result has."""
        from AcuteFindingsLib.scene.results import results_in

        volume = self.load_phantom()
        shares: list[float] = []
        result = self.logicClass().process(volume, device="cpu", progress=lambda _text, share: shares.append(share))
        self.assertEqual(results_in(slicer.mrmlScene, self.detector), [result])
        self.assertEqual(result.volume.GetID(), volume.GetID())
        self.assertEqual(shares, sorted(shares))
        self.assertAlmostEqual(shares[-1], 1.0)
        self.check_verdict(result)
        self.check_table(result)
        self.check_chart(result)
        self.check_masks(result)

    def test_a_result_survives_saving_and_loading_the_scene(self) -> None:
        """A scene bundle holds the finding, its nodes and the module's choices."""
        from AcuteFindingsLib.scene.results import results_in

        volume = self.load_phantom()
        logic = self.logicClass()
        result = logic.process(volume, device="cpu")
        choices = logic.getParameterNode()
        choices.inputVolume, choices.verdict = volume, result.text
        name, finding = volume.GetName(), result.finding
        with tempfile.TemporaryDirectory() as folder:
            path = str(Path(folder) / "result.mrb")
            self.assertTrue(slicer.util.saveScene(path, {}), "the scene was not saved")
            slicer.mrmlScene.Clear(0)
            self.assertEqual(results_in(slicer.mrmlScene), [])
            slicer.util.loadScene(path)
        loaded = results_in(slicer.mrmlScene, self.detector)
        self.assertEqual(len(loaded), 1, "the loaded scene holds no result")
        self.assertEqual(loaded[0].finding.verdict, finding.verdict)
        self.assertEqual(loaded[0].finding.slices, finding.slices)
        choices = logic.getParameterNode()
        self.assertEqual(choices.inputVolume.GetName(), name)
        self.assertIs(loaded[0].volume, choices.inputVolume)
        self.assertEqual(choices.verdict.GetID(), loaded[0].text.GetID())
        self.check_table(loaded[0])
        self.check_chart(loaded[0])
        self.check_masks(loaded[0])

    def test_cancel_leaves_nothing_behind(self) -> None:
        """A run that is cancelled once the worker has begun ends soon, adds no node, and the next one works."""
        from AcuteFindingsLib.errors import CancelledError
        from AcuteFindingsLib.scene.results import results_in

        volume = self.load_phantom()
        before = node_ids()
        told: list[float] = []
        asked: list[float] = []

        def cancelled() -> bool:
            if told and told[-1] > 0.05 and not asked:
                asked.append(time.monotonic())
            return bool(asked)

        logic = self.logicClass()
        with self.assertRaises(CancelledError):
            logic.process(volume, device="cpu", progress=lambda _text, share: told.append(share), cancelled=cancelled)
        # Five seconds are the worker's; then it is killed.
        self.assertLess(time.monotonic() - asked[0], 15)
        self.assertEqual(results_in(slicer.mrmlScene), [])
        self.assertEqual(node_ids(), before)
        logic.process(volume, device="cpu")
        self.assertEqual(len(results_in(slicer.mrmlScene, self.detector)), 1)

    def test_a_volume_under_a_transform_is_refused_in_words(self) -> None:
        """What cannot be run ends at once with a sentence, and adds nothing to the scene."""
        import numpy as np

        from AcuteFindingsLib.errors import AcuteFindingsError

        volume = slicer.util.addVolumeFromArray(np.zeros((1, 40, 40), np.int16), name="Moved")
        transform = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLLinearTransformNode")
        volume.SetAndObserveTransformNodeID(transform.GetID())
        before = node_ids()
        with self.assertRaises(AcuteFindingsError) as raised:
            self.logicClass().process(volume, device="cpu")
        self.assertIn("transform", str(raised.exception))
        self.assertEqual(node_ids(), before)

    def test_the_panel_runs_and_shows_the_result(self) -> None:
        """Volume chosen, Apply pressed: banner, layout and chart, and again after saving and loading the scene."""
        volume = self.load_phantom()
        widget = self.open_panel()
        try:
            result = self.press_apply(widget, volume)
            self.check_banner(widget, result)
            self.check_views(result)
            self.save_screenshot(type(self).__name__.removesuffix("Test"))
            with tempfile.TemporaryDirectory() as folder:
                path = str(Path(folder) / "panel.mrb")
                self.assertTrue(slicer.util.saveScene(path, {}), "the scene was not saved")
                slicer.mrmlScene.Clear(0)
                self.assertIsNone(widget.panel.result)
                slicer.util.loadScene(path)
            if slicer.util.mainWindow() is None:
                widget.enter()
            wait_until(lambda: widget.panel.result is not None, PANEL_SECONDS, "the loaded result in the panel")
            self.assertEqual(widget.panel.result.finding.verdict, result.finding.verdict)
            self.assertIsNotNone(widget.ui.inputSelector.currentNode())
            self.check_banner(widget, widget.panel.result)
        finally:
            self.close_panel(widget)

    def test_closing_the_scene_ends_a_run(self) -> None:
        """A scene that closes while the detector runs takes the run along; the panel is ready again."""
        from AcuteFindingsLib.scene.results import results_in

        volume = self.load_phantom()
        widget = self.open_panel()
        try:
            self.choose(widget, volume)
            widget.ui.applyButton.click()
            wait_until(lambda: widget.panel.controller.state == "running", RUN_SECONDS, "the run's begin")
            slicer.mrmlScene.Clear(0)
            wait_until(lambda: widget.panel.controller.state == "idle", PANEL_SECONDS, "the run's end")
            self.assertEqual(results_in(slicer.mrmlScene), [])
            self.assertFalse(widget.ui.applyButton.isEnabled())
        finally:
            self.close_panel(widget)

    def load_phantom(self) -> Any:
        """Return a phantom with the finding as a volume node."""
        from AcuteFindingsLib.widgets.samples.phantom_volume import load_phantom

        return load_phantom(self.kind, self.seed, positive=True, name="Phantom", options=dict(self.options))

    def choose(self, widget: Any, volume: Any) -> None:
        """Choose a volume, and the processor as device, in the panel."""
        widget.ui.inputSelector.setCurrentNode(volume)
        widget.ui.deviceComboBox.setCurrentText("CPU")
        wait_until(widget.ui.applyButton.isEnabled, PANEL_SECONDS, "Apply to be enabled")

    def press_apply(self, widget: Any, volume: Any) -> Any:
        """Press Apply and return the result."""
        self.choose(widget, volume)
        widget.ui.applyButton.click()
        controller = widget.panel.controller
        self.assertNotEqual(controller.state, "idle", widget.ui.progressLabel.text)
        wait_until(lambda: controller.state == "idle", RUN_SECONDS, "the end of the run")
        self.assertIsNotNone(widget.panel.result, widget.ui.progressLabel.text)
        return widget.panel.result

    def check_verdict(self, result: Any) -> None:
        """The verdict is one, and its node says it with the model and that it is no diagnosis."""
        from AcuteFindingsLib import RESEARCH_USE_ONLY
        from AcuteFindingsLib.scene.naming import verdict_line

        verdict = result.finding.verdict
        self.assertIn(verdict.label, ("positive", "negative", "indeterminate"))
        self.assertTrue(0 <= verdict.probability <= 1)
        text = result.text.GetText()
        for said in (verdict_line(result.finding), verdict.rule, result.finding.model.id, RESEARCH_USE_ONLY):
            self.assertIn(said, text)

    def check_table(self, result: Any) -> None:
        """A row a slice, with the probabilities of the finding."""
        import numpy as np

        finding = result.finding
        self.assertEqual(result.table.GetNumberOfRows(), len(finding.slices))
        for label in finding.labels:
            column = slicer.util.arrayFromTableColumn(result.table, label)
            np.testing.assert_allclose(column, [item.probabilities[label] for item in finding.slices], atol=1e-6)

    def check_chart(self, result: Any) -> None:
        """A series a label and the threshold; a single image has no chart."""
        if len(result.finding.slices) < 2:
            self.assertIsNone(result.chart)
            return
        self.assertIn("threshold", result.series)
        for label in result.finding.labels:
            self.assertIn(f"series:{label}", result.series)
            self.assertEqual(result.series[f"series:{label}"].GetTableNodeID(), result.table.GetID())
        self.assertGreaterEqual(result.chart.GetNumberOfPlotSeriesNodes(), len(result.series))

    def check_masks(self, result: Any) -> None:
        """Every segment has a name, a terminology and the study's grid; a heat map has voxels."""
        from AcuteFindingsLib.detectors.registry import find_kind

        if find_kind(self.detector).segments and self.draws:
            self.assertIsNotNone(result.segmentation)
        # What was drawn tells why slices are positive, else the heat map; without one there is nothing to tell.
        elif result.finding.positive_runs:
            self.assertTrue(result.segmentation is not None or result.heatmap is not None)
        if result.segmentation is not None:
            segmentation = result.segmentation.GetSegmentation()
            self.assertGreater(segmentation.GetNumberOfSegments(), 0)
            for number in range(segmentation.GetNumberOfSegments()):
                segment = segmentation.GetNthSegment(number)
                self.assertTrue(segment.GetName())
                self.assertIn("SCT", segment.GetTerminology())
            self.assertTrue(segmentation.GetConversionParameter("Reference image geometry"))
        if result.heatmap is not None:
            self.assertIsNotNone(result.heatmap.GetImageData())

    def check_banner(self, widget: Any, result: Any) -> None:
        """The panel says verdict, model and that it is for research only."""
        texts = " ".join(label.text for label in slicer.util.findChildren(widget.parent, className="QLabel"))
        verdict = result.finding.verdict
        for said in (verdict.label.upper(), f"{verdict.probability:.2f}", result.finding.model.id, "Research use only"):
            self.assertIn(said, texts)

    def check_views(self, result: Any) -> None:
        """The module's layout is on, and its chart in the plot view; without views there is nothing to check."""
        from AcuteFindingsLib.scene.layouts import layout_of

        manager = slicer.app.layoutManager()
        if manager is None:
            logging.info("No main window: layout and chart view are not checked.")
            return
        self.assertEqual(manager.layout, layout_of(self.detector))
        background = manager.sliceWidget("Red").sliceLogic().GetSliceCompositeNode().GetBackgroundVolumeID()
        self.assertEqual(background, result.volume.GetID())
        if result.chart is None:
            return
        self.assertGreaterEqual(manager.plotViewCount, 1)
        self.assertEqual(manager.plotWidget(0).mrmlPlotViewNode().GetPlotChartNodeID(), result.chart.GetID())


def node_ids() -> set[str]:
    """Return the ids of all nodes in the scene; the subject hierarchy's, made when first asked for, among them."""
    slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(slicer.mrmlScene)
    nodes = (slicer.mrmlScene.GetNthNode(number) for number in range(slicer.mrmlScene.GetNumberOfNodes()))
    return {node.GetID() for node in nodes}


def wait_until(ready: Callable[[], bool], seconds: float, what: str) -> None:
    """Process events until something is so.

    Raises
    ------
    AssertionError
        When it is not so in time.
    """
    end = time.monotonic() + seconds
    while not ready():
        if time.monotonic() > end:
            raise AssertionError(f"Waited {seconds:.0f} s for {what}.")
        slicer.app.processEvents()
        # The worker is another process: it gets on meanwhile.
        time.sleep(0.01)
