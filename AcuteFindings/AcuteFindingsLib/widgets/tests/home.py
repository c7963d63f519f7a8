"""What the home module's self-test does in the application."""
# ruff: noqa: PT009 - they run in the application, where there is no pytest to say what a bare assert compared

from typing import Any

import slicer

from AcuteFindingsLib.widgets.tests.detector import ModuleTest as _ModuleTest
from AcuteFindingsLib.widgets.tests.detector import wait_until


class HomeModuleTest(_ModuleTest):
    """Models, samples, worker and panel.

    Attributes
    ----------
    logicClass
        The module's logic.
    """

    logicClass: Any = None

    def test_every_task_has_a_model_that_can_be_used(self) -> None:
        """What ships is found from here, and nothing is wrong with it."""
        shipped = [row for row in self.logicClass().models() if row.shipped]
        self.assertEqual({row.task for row in shipped}, _tasks())
        self.assertEqual([row.error for row in shipped if row.error], [])

    def test_the_worker_process_finds_the_library(self) -> None:
        """The process starts, answers, and lists the same models."""
        from AcuteFindingsLib.widgets.samples.phantom_volume import ask
        from AcuteFindingsLib.widgets.worker.process import shared_worker

        self.assertEqual(ask(shared_worker(), "ping", {}), {})
        models = ask(shared_worker(), "models", {"folders": []})["models"]
        self.assertLessEqual(_tasks(), {model["task"] for model in models})

    def test_sample_data_offers_a_positive_and_a_negative_for_each_detector(self) -> None:
        """The Sample Data module lists them once, each with a picture, and one of them loads."""
        from pathlib import Path

        from AcuteFindingsLib.widgets.samples.sample_data import CATEGORY, register_samples, samples

        register_samples()
        register_samples()
        sources = slicer.modules.sampleDataSources[CATEGORY]
        self.assertEqual([source.sampleName for source in sources], [sample.name for sample in samples()])
        self.assertEqual({(sample.detector, sample.positive) for sample in samples()}, _every_pair())
        for source in sources:
            self.assertTrue(Path(source.thumbnailFileName).is_file(), f"{source.thumbnailFileName} is missing")
        smallest = sources[-1]
        node = smallest.customDownloader(smallest)[0]
        self.assertEqual(node.GetImageData().GetDimensions()[2], 1)
        self.assertTrue(node.GetAttribute("DICOM.instanceUIDs"))

    def test_the_panel_opens_a_study_in_a_detectors_module(self) -> None:
        """The chosen volume is the other module's input."""
        import numpy as np

        from AcuteFindingsLib.detectors.registry import kinds

        volume = slicer.util.addVolumeFromArray(np.zeros((4, 8, 8), np.int16), name="Study")
        widget = self.open_panel()
        try:
            widget.ui.studySelector.setCurrentNode(volume)
            kind = kinds()[0]
            button = widget.panel.open_buttons[kind.id]
            wait_until(button.isEnabled, 10, f"the button that opens {kind.module}")
            self.save_screenshot("AcuteFindings")
            button.click()
            chosen = slicer.util.getModuleWidget(kind.module).logic.getParameterNode().inputVolume
            self.assertEqual(chosen.GetID(), volume.GetID())
        finally:
            self.close_panel(widget)


def _every_pair() -> set[tuple[str, bool]]:
    from AcuteFindingsLib.detectors.registry import kinds

    return {(kind.id, positive) for kind in kinds() if kind.phantoms is not None for positive in (True, False)}


def _tasks() -> set[str]:
    from AcuteFindingsLib.detectors.registry import model_tasks

    return {task.made_for for task in model_tasks().values()}
