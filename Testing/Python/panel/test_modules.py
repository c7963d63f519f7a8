"""The four module files: what Slicer reads of them, what they import, their choices in the scene, their self-tests."""

import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

ROOT = Path(__file__).resolve().parents[3]
HOST = ROOT / "Testing" / "Host"
DETECTORS = {"PEDetect": "pe", "HemorrhageDetect": "hemorrhage", "PneumothoraxSeg": "pneumothorax"}
MODULES = ("AcuteFindings", *DETECTORS)
LACKING = (
    "onnxruntime",
    "torch",
    "torchvision",
    "monai",
    "timm",
    "segmentation_models_pytorch",
    "safetensors",
    "pydantic",
    "typer",
    "rich",
    "jinja2",
    "matplotlib",
    "zstandard",
    "filelock",
    "pooch",
    "platformdirs",
    "pylibjpeg",
    "jpeg_ls",
    "h5py",
    "onnx",
    "pandas",
    "sklearn",
    "contourpy",
    "highdicom",
    "skimage",
    "lightning",
)

sys.path.insert(0, str(ROOT / "Testing" / "Slicer"))
import run_self_tests  # noqa: E402


def add_volume(shape=(4, 8, 8), name="Study"):
    import slicer

    return slicer.util.addVolumeFromArray(np.full(shape, -1000, np.int16), name=name)


@pytest.mark.parametrize("name", MODULES)
def test_slicer_finds_all_that_a_module_consists_of(host, name):
    module = host.load_module(ROOT / name / f"{name}.py")
    assert module.title
    assert list(module.categories) == ["Acute Findings"]
    assert "Research use only" in module.helpText
    assert not module.icon.isNull()
    python = sys.modules[name]
    for part in ("", "Widget", "Logic", "Test", "ParameterNode"):
        assert hasattr(python, name + part), f"{name}{part} is missing"


@pytest.mark.parametrize("name", MODULES)
def test_a_module_file_is_short(name):
    assert len((ROOT / name / f"{name}.py").read_text().splitlines()) < 130


@pytest.mark.slow
@pytest.mark.stand_in
def test_panels_open_where_no_package_is_installed_that_slicer_lacks():
    program = f"""
import importlib.abc, importlib.metadata, sys
LACKING = {LACKING!r}
class Refuse(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in LACKING:
            raise ModuleNotFoundError("No module named " + repr(name), name=name)
sys.meta_path.insert(0, Refuse())
version = importlib.metadata.version
def absent(name):
    if name.replace("-", "_").replace("scikit_image", "skimage") in LACKING:
        raise importlib.metadata.PackageNotFoundError(name)
    return version(name)
importlib.metadata.version = absent
sys.path.insert(0, {str(HOST)!r})
import host
host.start()
host.renew(main_window=True)
import numpy as np, slicer
volume = slicer.util.addVolumeFromArray(np.zeros((4, 8, 8), np.int16), name="Study")
for name in {MODULES!r}:
    widget = host.open_panel(name)
    host.wait(0.2)
    host.leave_panel(name)
assert slicer.modules.AcuteFindingsWidget.ui.packagesLabel.text.startswith("Missing: onnxruntime (28 MB)")
panel = host.open_panel("PEDetect")
panel.ui.inputSelector.setCurrentNode(volume)
host.testing(True)
host.click(panel.ui.applyButton)
assert "onnxruntime" in panel.ui.progressLabel.text, panel.ui.progressLabel.text
assert "torch" not in panel.ui.progressLabel.text
assert "MB" in panel.ui.progressLabel.text
assert not host.errors, host.errors
print("loaded:", [name for name in LACKING if name in sys.modules])
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=200, cwd=ROOT)
    assert done.returncode == 0, done.stderr[-3000:]
    assert "loaded: []" in done.stdout


@pytest.mark.slow
@pytest.mark.stand_in
def test_loading_the_module_files_imports_no_panel_and_no_detector():
    """Slicer loads every module when it starts; what takes long is imported when a module is opened."""
    program = f"""
import sys
sys.path.insert(0, {str(HOST)!r})
import host
host.start()
for name in {MODULES!r}:
    host.load_module({str(ROOT)!r} + f"/{{name}}/{{name}}.py")
print("loaded:", sorted(name for name in sys.modules if name.startswith("AcuteFindingsLib.widgets.")))
print("detectors:", "AcuteFindingsLib.detectors" in sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=120, cwd=ROOT)
    assert done.returncode == 0, done.stderr[-3000:]
    light = sorted(
        f"AcuteFindingsLib.widgets.{name}"
        for name in ("module_parts", "panel", "panel.scene_keeper", "tests", "tests.detector", "tests.home")
    )
    assert f"loaded: {light}" in done.stdout
    assert "detectors: False" in done.stdout


@pytest.mark.slow
@pytest.mark.parametrize("name", DETECTORS)
def test_choices_survive_saving_and_loading_the_scene(host, name, tmp_path):
    import slicer

    shape = (1, 64, 64) if name == "PneumothoraxSeg" else (6, 64, 64)
    first, second = add_volume(shape, "First"), add_volume(shape, "Second")
    panel = host.open_panel(name)
    host.choose(panel.ui.inputSelector, "Second")
    host.choose(panel.ui.deviceComboBox, "CPU")
    choices = panel.logic.getParameterNode()
    assert choices.inputVolume is second
    assert choices.device.value == "cpu"
    path = str(tmp_path / "choices.mrb")
    assert slicer.util.saveScene(path, {})
    del first, second, choices
    slicer.mrmlScene.Clear()
    assert panel.ui.inputSelector.currentNode() is None
    assert panel.ui.deviceComboBox.currentText == "AUTO"
    slicer.util.loadScene(path)
    host.process_events()
    assert panel.ui.inputSelector.currentNode().GetName() == "Second"
    assert panel.ui.deviceComboBox.currentText == "CPU"


def test_choices_are_read_anew_after_a_scene_was_loaded(host, scene, tmp_path):
    """A scene with the same texts brings other nodes without a word: only a typed node made anew knows them."""
    import slicer

    volume = add_volume()
    logic = host.open_panel("PEDetect").logic
    host.leave_panel("PEDetect")
    logic.getParameterNode().inputVolume = volume
    path = str(tmp_path / "choices.mrb")
    assert slicer.util.saveScene(path, {})
    slicer.mrmlScene.Clear()
    before = logic.getParameterNode()
    assert before.inputVolume is None
    slicer.util.loadScene(path)
    assert before.inputVolume is None
    assert logic.getParameterNode().inputVolume.GetName() == volume.GetName()


@pytest.mark.slow
@pytest.mark.parametrize("name", DETECTORS)
def test_the_first_volume_that_fits_is_suggested(host, name):
    depth = {"PneumothoraxSeg": 1}.get(name, 4)
    for other in {1, 4} - {depth}:
        if name == "PneumothoraxSeg":
            add_volume((other, 16, 16), "Other")
    hidden = add_volume((depth, 16, 16), "Hidden")
    hidden.SetHideFromEditors(True)
    fitting = add_volume((depth, 16, 16), "Fitting")
    panel = host.open_panel(name)
    assert panel.ui.inputSelector.currentNode() is fitting


def test_a_module_that_is_left_and_entered_again_keeps_its_choice(host):
    volume = add_volume()
    panel = host.open_panel("PEDetect")
    host.choose(panel.ui.inputSelector, "Study")
    host.leave_panel("PEDetect")
    host.open_panel("HemorrhageDetect")
    host.leave_panel("HemorrhageDetect")
    assert host.open_panel("PEDetect") is panel
    assert panel.ui.inputSelector.currentNode() is volume
    other = add_volume(name="Other")
    host.choose(panel.ui.inputSelector, "Other")
    assert panel.logic.getParameterNode().inputVolume is other


def test_a_scene_closed_while_another_module_is_shown_leaves_no_old_choice(host):
    import slicer

    add_volume()
    panel = host.open_panel("PEDetect")
    host.leave_panel("PEDetect")
    slicer.mrmlScene.Clear()
    host.open_panel("PEDetect")
    assert panel.logic.getParameterNode().inputVolume is None
    assert not panel.ui.applyButton.isEnabled()


def test_home_opens_the_chosen_study_in_a_detectors_module(host, monkeypatch):
    import slicer

    volume = add_volume((1, 16, 16), "Chest")
    for name in DETECTORS:
        host.load_module(ROOT / name / f"{name}.py")
    home = host.open_panel("AcuteFindings")
    assert not home.panel.open_buttons["pe"].isEnabled()
    host.choose(home.ui.studySelector, "Chest")
    opened = []
    monkeypatch.setattr(slicer.util, "selectModule", opened.append)
    host.click(home.panel.open_buttons["pneumothorax"])
    assert opened == ["PneumothoraxSeg"]
    assert slicer.util.getModuleWidget("PneumothoraxSeg").logic.getParameterNode().inputVolume is volume


def test_home_says_in_four_lines_what_to_do_and_stands_in_the_order_of_work(host, monkeypatch):
    import slicer

    from AcuteFindingsLib import packages
    from AcuteFindingsLib.widgets.home import home_panel

    monkeypatch.setattr(home_panel, "missing_packages", lambda _needed: packages.DETECT[:2])
    ui = host.open_panel("AcuteFindings").ui
    assert [line[:2] for line in ui.startLabel.text.splitlines()] == ["1.", "2.", "3.", "4."]
    assert ui.installButton.visible
    assert "29 MB" in ui.installButton.text
    sections = (
        ui.startCollapsibleButton,
        ui.studyCollapsibleButton,
        ui.modelsCollapsibleButton,
        ui.settingsCollapsibleButton,
    )
    places = [section.y for section in sections]
    assert places == sorted(places)
    monkeypatch.setattr(home_panel, "missing_packages", lambda _needed: [])
    host.leave_panel("AcuteFindings")
    slicer.modules.AcuteFindingsWidget.panel.refresh()
    host.open_panel("AcuteFindings")
    assert not ui.installButton.visible


def test_home_says_that_models_trained_on_patients_can_be_had_and_shows_them(host, monkeypatch):
    from AcuteFindingsLib.widgets.models.public_models import PublicModels

    asked = []
    monkeypatch.setattr(PublicModels, "load", lambda self: asked.append(self))
    home = host.open_panel("AcuteFindings")
    text = home.ui.modelsLabel.text
    assert "Demonstration models are in use for pulmonary embolism" in text
    assert "Public models trained on patients can be had" in text
    assert home.ui.modelsCollapsibleButton.collapsed
    host.click(home.ui.getModelButton)
    assert not home.ui.modelsCollapsibleButton.collapsed
    assert home.panel.model_loader.public.widget.visible
    assert asked == [home.panel.model_loader.public]


def test_home_makes_the_chosen_sample_and_tells_when_it_cannot(host, monkeypatch):
    from AcuteFindingsLib.errors import AcuteFindingsError
    from AcuteFindingsLib.widgets.home import home_panel

    home = host.open_panel("AcuteFindings")
    host.choose(home.ui.sampleComboBox, "Chest phantom, pneumothorax")
    asked = []

    def load(sample, *, worker):
        asked.append(sample.name)
        if len(asked) == 1:
            raise AcuteFindingsError("The disk is full.")
        return add_volume((1, 16, 16), sample.name)

    monkeypatch.setattr(home_panel, "load_sample", load)
    host.click(home.ui.loadSampleButton)
    assert home.ui.sampleLabel.text == "The disk is full."
    host.click(home.ui.loadSampleButton)
    assert home.ui.studySelector.currentNode().GetName() == "Chest phantom, pneumothorax"
    assert home.panel.open_buttons["pneumothorax"].isEnabled()


def test_home_keeps_how_many_threads_are_wanted_and_the_next_run_starts_with_them(host, monkeypatch):
    import qt

    from AcuteFindingsLib.widgets.worker import process

    ui = host.open_panel("AcuteFindings").ui
    assert ui.threadsSpinBox.value == 0
    assert ui.threadsSpinBox.text == "as many as cores"
    worker = process.shared_worker()
    worker.request("ping", {})
    host.wait_until(lambda: not worker.busy, 30)
    ui.settingsCollapsibleButton.collapsed = False
    try:
        ui.threadsSpinBox.setValue(2)
        assert process.chosen_threads() == 2
        assert not worker.running
        assert ui.workerLabel.text == "Not running."
    finally:
        qt.QSettings().remove(process.THREADS_KEY)


def test_home_lists_every_model_that_ships(host):
    home = host.open_panel("AcuteFindings")
    shipped = {row.task for row in home.logic.models() if row.shipped}
    assert shipped == {"pe", "hemorrhage", "pneumothorax", "lungs", "chest"}
    assert {row.task for row in home.logic.models("pe")} <= {"pe", ""}


@pytest.mark.stand_in
class TestSelfTests:
    """The modules' own tests, as the application runs them."""

    @pytest.fixture(autouse=True)
    def no_window(self, host, monkeypatch):
        """Testing mode without a module selector: the panels are entered by the tests themselves."""
        import slicer.util

        monkeypatch.setattr(slicer.util, "mainWindow", lambda *_verbose: None)
        for name in MODULES:
            host.load_module(ROOT / name / f"{name}.py")
        host.testing(True)

    @pytest.mark.slow
    @pytest.mark.timeout(900)
    @pytest.mark.parametrize("name", DETECTORS)
    def test_they_pass(self, name, capsys):
        assert run_self_tests.main(["--modules", name]) == 0, capsys.readouterr().out
        assert re.search(r"^\d+ passed, 0 failed$", capsys.readouterr().out, re.MULTILINE)

    def test_missing_packages_fail_them_by_name(self, monkeypatch, capsys):
        from AcuteFindingsLib import packages

        monkeypatch.setattr(packages, "missing_packages", lambda _needed: [packages.Package("timm", "timm>=1.0", 25)])
        assert run_self_tests.main(["--modules", "PEDetect"]) == 1
        said = capsys.readouterr().out
        assert "lacks packages that the self-tests need: timm (25 MB)" in said
        assert said.splitlines()[-1].startswith("0 passed, ")

    def test_a_module_that_was_not_loaded_is_a_failure(self, capsys):
        assert run_self_tests.main(["--modules", "NoSuchModule"]) == 1
        assert capsys.readouterr().out.splitlines()[-1] == "0 passed, 1 failed"

    def test_unittest_finds_only_the_modules_own_tests(self):
        import unittest

        for name in MODULES:
            found = unittest.defaultTestLoader.loadTestsFromName(name)
            names = {case.id().split(".")[1] for suite in found for case in suite}
            assert names == {f"{name}Test"}


def test_the_extensions_description_agrees_with_cmake():
    text = (ROOT / "AcuteFindings.json").read_bytes()
    assert b"\r" not in text
    description = json.loads(text)
    cmake = (ROOT / "CMakeLists.txt").read_text()
    assert description["$schema"].endswith("slicer-extension-catalog-entry-schema-v1.0.2.json#")
    assert re.search(r"^project\((\w+)\)", cmake, re.MULTILINE)[1] == "AcuteFindings"
    depends = re.search(r'set\(EXTENSION_DEPENDS "([^"]*)"\)', cmake)[1]
    assert depends.split() == description["build_dependencies"] == ["PyTorch"]
    repository = description["scm_url"].removesuffix(".git")
    assert repository.rsplit("/", 1)[1].startswith("Slicer")
    assert f'set(EXTENSION_HOMEPAGE "{repository}")' in cmake
    raw = repository.replace("github.com", "raw.githubusercontent.com") + f"/{description['scm_revision']}/"
    urls = re.findall(r'EXTENSION_(?:ICON|SCREENSHOT)URLS? "([^"]*)"', cmake)
    for url in " ".join(urls).split():
        assert url.startswith(raw)
        assert (ROOT / url.removeprefix(raw)).is_file(), url


@pytest.mark.parametrize("name", MODULES)
def test_icons_are_128_pixels_and_have_their_drawing_beside_them(name):
    picture = ROOT / name / "Resources" / "Icons" / f"{name}.png"
    with Image.open(picture) as image:
        assert image.size == (128, 128)
    assert "<svg" in picture.with_suffix(".svg").read_text()
