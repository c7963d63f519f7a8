"""From sample study to verdict, report and DICOM with only the packages that Slicer brings and that Apply asks for."""

import importlib.metadata
import re
from pathlib import Path

import pytest

from AcuteFindingsLib.detectors.registry import find_kind
from AcuteFindingsLib.packages import DICOM, LIGHT

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

# Slicer's SuperBuild/External_python-*.cmake; SimpleITK, numpy and scipy among them.
SLICER_BRINGS = ("numpy", "scipy", "SimpleITK", "pydicom", "pillow", "requests", "packaging")

MODULES = {"pe": "PEDetect", "hemorrhage": "HemorrhageDetect", "pneumothorax": "PneumothoraxSeg"}

# As where they are not installed: `find_spec` finds nothing, and an import says so.
ONLY = """
import sys
class Only:
    def __init__(self, finder):
        self.finder = finder
    def __getattr__(self, name):
        return getattr(self.finder, name)
    def find_spec(self, name, path=None, target=None):
        return None if name.partition(".")[0] in {refused!r} else self.finder.find_spec(name, path, target)
sys.meta_path[:] = [Only(finder) for finder in sys.meta_path]
"""


def plain(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def with_what_they_bring(names) -> set[str]:
    """Return distributions, by their plain names, with all that they require."""
    found, waiting = set(), [plain(name) for name in names]
    while waiting:
        name = waiting.pop()
        if name in found:
            continue
        found.add(name)
        try:
            lines = importlib.metadata.requires(name) or []
        except importlib.metadata.PackageNotFoundError:
            continue  # for another system or version of Python
        waiting += [plain(re.match(r"[\w.-]+", line)[0]) for line in lines if "extra ==" not in line]
    return found


LIGHT_NAMES = tuple(package.name for package in (*LIGHT, *DICOM))


def others_than(*names: str) -> list[str]:
    """Return modules that are installed here and are neither of these distributions nor brought along by them."""
    allowed = with_what_they_bring(names)
    return sorted(
        module
        for module, owners in importlib.metadata.packages_distributions().items()
        if module != "AcuteFindingsLib" and not {plain(owner) for owner in owners} & allowed
    )


@pytest.fixture
def make_worker(host, monkeypatch):
    from AcuteFindingsLib.widgets.worker import process

    made = []

    def make(*names):
        """Give the modules a worker that finds only these distributions."""
        program = process._PROGRAM.format(path=process._LIBRARY.as_posix(), threads=None).replace("; ", "\n")
        made.append(process.WorkerProcess(program=ONLY.format(refused=others_than(*names)) + program))
        monkeypatch.setattr(process, "_shared", made[-1])
        return made[-1]

    yield make
    for worker in made:
        worker.stop()


def test_torch_and_all_that_comes_with_it_is_refused():
    refused = others_than(*SLICER_BRINGS, *LIGHT_NAMES)
    assert {"torch", "torchvision", "monai", "timm", "skimage", "sklearn", "pandas", "typer"} <= set(refused)
    assert not {"numpy", "SimpleITK", "onnxruntime", "matplotlib", "highdicom"} & set(refused)


@pytest.mark.parametrize("detector", MODULES)
def test_a_panel_answers_explains_and_writes_report_and_dicom(host, scene, make_worker, detector, tmp_path):
    import qt

    from AcuteFindingsLib.widgets.panel import export_panel
    from AcuteFindingsLib.widgets.samples.phantom_volume import ask, load_series

    worker = make_worker(*SLICER_BRINGS, *LIGHT_NAMES)
    phantoms = find_kind(detector).phantoms
    fields = {"kind": phantoms.generator, "seed": phantoms.seed, "positive": True, "options": dict(phantoms.options)}
    dicom = Path(ask(worker, "phantom", {**fields, "out": str(tmp_path / "study")})["dicom"])
    volume = load_series(dicom, "Study")
    host.add_to_dicom_database(dicom)
    qt.QSettings().setValue(export_panel.FOLDER, str(tmp_path))
    widget = host.open_panel(MODULES[detector], size=(420, 1500))
    host.choose(widget.ui.inputSelector, volume.GetName())
    host.click(widget.ui.applyButton)
    host.wait_until(lambda: widget.panel.controller.state == "idle", 300)
    assert widget.ui.progressLabel.text == "Done."
    result = widget.panel.result
    assert result.finding.verdict.label == "positive"
    assert result.chart is not None or detector == "pneumothorax"
    assert (result.heatmap is not None) == (detector != "hemorrhage")
    widget.ui.exportCollapsibleButton.collapsed = False
    panel = widget.panel.export
    for button in (panel.report_button, panel.seg_button, panel.sr_button, panel.sc_button):
        host.dialogs.answer(str(tmp_path))
        host.wait(0.6)  # not the second half of a double click
        host.click(button)
        host.wait_until(lambda: not panel.busy, 120)
        assert panel.state_label.text.startswith("Written"), panel.state_label.text


def test_a_series_is_checked_before_any_package_is_installed(host, scene, make_worker):
    from AcuteFindingsLib.widgets.samples.phantom_volume import load_phantom

    worker = make_worker(*SLICER_BRINGS)
    volume = load_phantom("head-ct", 3, positive=True, name="Head", worker=worker)
    ui = host.open_panel("HemorrhageDetect").ui
    host.choose(ui.inputSelector, volume.GetName())
    host.wait_until(lambda: "The series check found nothing against it" in ui.checkLabel.text, 60, ui.checkLabel.text)
