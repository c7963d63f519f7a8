"""The page on adding a detector holds: its files, taken from it, are installed as a package of their own and run."""

import csv
import json
import os
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pydicom
import pytest
from extension_files import ROOT

from AcuteFindingsLib.detectors.phantoms import make_phantom
from AcuteFindingsLib.phantoms.write_dicom import write_phantom

PAGE = (ROOT / "docs" / "add-a-detector.md").read_text(encoding="utf-8")
FILES = {
    name: text for name, text in re.findall(r'^```\w+ title="([^"]+)"\n(.*?)^```$', PAGE, re.MULTILINE | re.DOTALL)
}
COMMANDS = re.findall(r"^```sh\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

MOST_LINES = 150
WITH_EFFUSION, WITHOUT = 7, 1
"""Seeds of two chest phantoms without pneumothorax."""


@dataclass(frozen=True)
class Installed:
    """Where the package's sources are, where it is installed, and studies to try it on."""

    source: Path
    site: Path
    studies: Path

    def environment(self) -> dict[str, str]:
        path = os.pathsep.join([str(self.site), os.environ.get("PYTHONPATH", "")]).rstrip(os.pathsep)
        programs = os.pathsep.join([str(self.source / "bin"), os.environ["PATH"]])
        return {**os.environ, "PYTHONPATH": path, "PATH": programs, "HOME": str(self.studies), "NO_COLOR": "1"}

    def run(self, command: str, *, status: int = 0) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            command, shell=True, capture_output=True, text=True, timeout=250, cwd=self.studies, env=self.environment()
        )
        assert done.returncode == status, done.stdout + done.stderr
        return done


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Installed:
    """The package of the page, built and installed by pip, and radiographs with and without an effusion."""
    pytest.importorskip("pip")
    pytest.importorskip("hatchling", reason="building the package needs hatchling: pip install .[test]")
    source, site, studies = (tmp_path_factory.mktemp(name) for name in ("source", "site", "studies"))
    for name, text in FILES.items():
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        (source / name).write_text(text, encoding="utf-8")
    options = "--quiet --no-deps --no-build-isolation --no-index --disable-pip-version-check"
    command = command_of("pip install").replace("pip install", f"{sys.executable} -m pip install {options} -t {site}")
    done = subprocess.run(command, shell=True, capture_output=True, text=True, timeout=200, cwd=source)
    assert done.returncode == 0, done.stderr
    program = source / "bin" / "acutefindings"
    program.parent.mkdir()
    program.write_text(f"#!{sys.executable}\nfrom AcuteFindingsLib.cli import main\nmain()\n")
    program.chmod(0o755)
    (studies / "radiographs").mkdir()
    for name, seed in (("with", WITH_EFFUSION), ("without", WITHOUT)):
        phantom = make_phantom("chest-xray", seed, positive=False, tubes=())
        assert bool(phantom.slice_labels["effusion"][0]) == (name == "with")
        [file] = (write_phantom(phantom, studies / "phantoms") / "dicom").glob("*.dcm")
        (studies / "radiographs" / f"{name}.dcm").write_bytes(file.read_bytes())
    (studies / "radiograph.dcm").write_bytes((studies / "radiographs" / "with.dcm").read_bytes())
    return Installed(source, site, studies)


def command_of(start: str) -> str:
    """Return the one line of the page's commands that starts so."""
    [line] = [line for block in COMMANDS for line in block.splitlines() if line.startswith(start)]
    return line


def test_it_takes_no_more_lines_than_promised():
    lines = {name: len(text.splitlines()) for name, text in FILES.items() if not name.startswith("EffusionDetect/")}
    assert set(FILES) - set(lines) == {"EffusionDetect/EffusionDetect.py"}
    assert sum(lines.values()) <= MOST_LINES


def test_check_knows_what_the_detector_reads(installed):
    told = json.loads(installed.run(command_of("acutefindings check") + " --json").stdout)
    assert (told["detector"], told["fits"]) == ("effusion", True)
    head = write_phantom(make_phantom("head-ct", 7, positive=True, matrix=64, slice_spacing=10.0), installed.studies)
    refused = installed.run(f"acutefindings check {head / 'dicom'} --detector effusion --json", status=1)
    assert not json.loads(refused.stdout)["fits"]


def test_run_gives_verdict_scene_and_report_in_the_words_of_the_kind(installed):
    installed.run(command_of("acutefindings run") + " --dicom --device cpu")
    result = installed.studies / "result"
    finding = json.loads((result / "finding.json").read_text())
    assert (finding["detector"], finding["verdict"]["label"]) == ("effusion", "positive")
    assert finding["model"]["id"] == "chest-findings-small"
    assert finding["heatmap"] is not None
    page = (result / "report.html").read_text()
    for said in ("<h1>Pleural effusion</h1>", "Chest radiograph", "chest-findings-small", finding["verdict"]["rule"]):
        assert said in page
    report = pydicom.dcmread(result / "dicom" / "report.dcm")
    assert "60046008" in str(report)
    assert any(file.suffix == ".png" for file in (result / "pictures").iterdir())


def test_run_finds_nothing_where_nothing_is(installed):
    installed.run("acutefindings run radiographs/without.dcm --detector effusion --out nothing --device cpu")
    finding = json.loads((installed.studies / "nothing" / "finding.json").read_text())
    assert finding["verdict"]["label"] == "negative"


def test_auto_asks_which_of_the_detectors_of_radiographs_is_meant(installed):
    refused = installed.run("acutefindings run radiograph.dcm --out auto --device cpu", status=2)
    assert "it fits pneumothorax and effusion" in refused.stderr


def test_predict_scores_single_images(installed):
    installed.run(command_of("acutefindings predict") + " --device cpu")
    with (installed.studies / "effusion.csv").open(newline="") as stream:
        rows = {Path(row["image"]).stem: float(row["effusion"]) for row in csv.DictReader(stream)}
    assert rows["without"] < 0.1
    assert rows["with"] > 0.5


def test_explain_names_the_label_and_shows_where_the_model_looked(installed):
    told = installed.run("acutefindings explain --detector effusion --images radiographs --out evidence --device cpu")
    assert "Pleural effusion" in told.stdout
    assert "Pneumothorax" not in told.stdout
    assert (installed.studies / "evidence" / "contact-sheet.png").is_file()


PANEL = """
import sys
from pathlib import Path
host_folder, module, radiograph, out = sys.argv[1:]
sys.path.insert(0, host_folder)
import torch._dynamo
import host
host.start()
host.renew(main_window=True)
import slicer
host.load_module(module)
volume = None
from AcuteFindingsLib.widgets.samples.phantom_volume import load_series
volume = load_series(Path(radiograph), "Radiograph")
home = host.open_panel("AcuteFindings")
assert home.panel.open_buttons["effusion"].text == "Open in Effusion Detect"
host.leave_panel("AcuteFindings")
widget = host.open_panel("EffusionDetect")
assert widget.ui.inputSelector.currentNode() is volume
assert widget.panel.model_loader.used.id == "chest-findings-small", widget.panel.model_loader.used
widget.ui.deviceComboBox.setCurrentText("CPU")
host.wait_until(widget.ui.applyButton.isEnabled, 30, "Apply")
host.click(widget.ui.applyButton)
host.wait_until(lambda: widget.panel.controller.state == "idle", 240, "the end of the run")
result = widget.panel.result
assert result is not None, widget.ui.progressLabel.text
assert result.finding.verdict.label == "positive"
assert result.heatmap is not None
texts = " ".join(label.text for label in slicer.util.findChildren(widget.parent, className="QLabel"))
assert "Pleural effusion" in texts and "POSITIVE" in texts, texts
assert widget.panel.radiograph is not None
widget.ui.exportCollapsibleButton.collapsed = False
host.process_events()
host.dialogs.answer(out)
host.click(widget.panel.export.report_button)
host.wait_until(lambda: not widget.panel.export.busy, 120, "the report")
assert not host.errors, host.errors
host.stop()
print("came through")
"""


def test_the_panel_runs_it_and_writes_its_report(installed, tmp_path):
    pytest.importorskip("slicer", reason="panels need slicer-core: pip install .[scene]")
    pytest.importorskip("PySide6", reason="panels need PySide6-Essentials: pip install .[test]")
    [copying] = [block for block in COMMANDS if "sed " in block]
    if not (installed.source / "AcuteFindings").exists():
        (installed.source / "AcuteFindings").symlink_to(ROOT)
    subprocess.run(copying, shell=True, check=True, cwd=installed.source)
    radiograph = tmp_path / "one"
    radiograph.mkdir()
    (radiograph / "image.dcm").write_bytes((installed.studies / "radiograph.dcm").read_bytes())
    out = tmp_path / "exported"
    out.mkdir()
    module = installed.source / "EffusionDetect" / "EffusionDetect.py"
    done = subprocess.run(
        [sys.executable, "-c", PANEL, *map(str, (ROOT / "Testing" / "Host", module, radiograph, out))],
        capture_output=True,
        text=True,
        timeout=600,
        env={**installed.environment(), "QT_QPA_PLATFORM": "offscreen"},
        cwd=tmp_path,
    )
    assert done.stdout.endswith("came through\n"), done.stdout + done.stderr[-3000:]
    [page] = out.rglob("report.html")
    assert "<h1>Pleural effusion</h1>" in page.read_text()
