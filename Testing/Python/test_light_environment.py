"""A new environment with the light set alone: no torch, and everything from study to archive and panel works."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
NEVER = {
    "torch", "torchvision", "monai", "timm", "segmentation-models-pytorch", "lightning", "torchmetrics",
    "scikit-image", "scikit-learn", "pandas", "onnx", "h5py",
}  # fmt: skip
NEEDED = "scene,dicom-export,pacs"
FOR_TESTS = ("pytest", "pytest-timeout", "psutil", "PySide6-Essentials")

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1200)]


class Light:
    """The environment, and a folder of its own as home."""

    def __init__(self, folder: Path) -> None:
        self.bin, self.home = folder / "venv" / "bin", folder / "home"
        self.home.mkdir()

    def run(self, *command: str | Path, status: int = 0) -> str:
        """Run a program of the environment in the home folder and return what it printed."""
        program, *arguments = map(str, command)
        ended = subprocess.run(
            [str(self.bin / program), *arguments],
            capture_output=True,
            text=True,
            cwd=self.home,
            # What another environment set up for its own tests must not be found here.
            env={**os.environ, "HOME": str(self.home), "PYTHONPATH": "", "COLUMNS": "400"},
            check=False,
        )
        assert ended.returncode == status, ended.stdout[-3000:] + ended.stderr[-3000:]
        return ended.stdout + ended.stderr


@pytest.fixture(scope="module")
def light(tmp_path_factory: pytest.TempPathFactory) -> Light:
    folder = tmp_path_factory.mktemp("light")
    subprocess.run([sys.executable, "-m", "venv", folder / "venv"], check=True)
    made = Light(folder)
    pip = [str(made.bin / "python"), "-m", "pip"]
    reached = [*pip, "download", "--quiet", "--no-deps", "--retries=0", "--timeout=10", "--dest", str(folder), "idna"]
    if subprocess.run(reached, capture_output=True, check=False).returncode:
        pytest.skip("no package index can be reached")
    made.run("python", "-m", "pip", "install", "--quiet", f"{ROOT}[{NEEDED}]")
    return made


def test_nothing_of_torch_is_installed(light: Light) -> None:
    listed = json.loads(light.run("python", "-m", "pip", "list", "--format=json", "--disable-pip-version-check"))
    names = {item["name"].lower().replace("_", "-") for item in listed}
    assert "onnxruntime" in names
    assert not NEVER & names


def test_the_demo_gives_its_three_verdicts(light: Light) -> None:
    light.run("acutefindings", "demo", "--out", "demo")
    findings = [json.loads(path.read_text()) for path in sorted((light.home / "demo").rglob("finding.json"))]
    assert {finding["detector"]: finding["verdict"]["label"] for finding in findings} == {
        "hemorrhage": "positive",
        "pe": "positive",
        "pneumothorax": "positive",
    }
    assert all(finding["model"]["runtime"].startswith("ONNX Runtime") for finding in findings)


def test_studies_are_checked_run_scored_and_explained_and_become_dicom(light: Light) -> None:
    light.run("acutefindings", "phantom", "head-ct", "--out", "heads", "--positive")
    light.run("acutefindings", "check", "heads", "--detector", "hemorrhage")
    light.run("acutefindings", "run", "heads", "--detector", "hemorrhage", "--out", "results", "--dicom")
    assert {"report.html", "scene.mrb", "finding.json"} <= {path.name for path in (light.home / "results").iterdir()}
    assert (light.home / "results/dicom/segmentation.dcm").is_file()
    light.run("acutefindings", "phantom", "chest-xray", "--out", "chests", "--positive")
    light.run("acutefindings", "predict", "--detector", "chest", "--images", "chests", "--out", "table.csv")
    light.run("acutefindings", "explain", "--detector", "chest", "--images", "chests", "--out", "explained")
    assert (light.home / "explained/explanation.html").is_file()
    light.run("acutefindings", "models", "verify")


@pytest.mark.parametrize(
    ("command", "extra"),
    [
        ("models import weights.pt --as densenet121 --out package", "torch"),
        ("train radnet --data folder", "train"),
        ("evaluate table.csv --truth table.csv", "evaluate"),
        ("agree table.csv table.csv", "evaluate"),
        ("explore chests", "evaluate"),
    ],
)
def test_what_needs_more_says_so_in_one_sentence_with_the_command_and_its_size(
    light: Light, command: str, extra: str
) -> None:
    for name in ("weights.pt", "table.csv"):
        (light.home / name).touch()
    told = light.run("acutefindings", *command.split(), status=2).strip().splitlines()[-1]
    assert f"pip install 'acutefindings[{extra}]' (downloads about " in told
    assert told.count(". ") == 0


def test_panels_and_archives_work_in_it(light: Light) -> None:
    light.run("python", "-m", "pip", "install", "--quiet", *FOR_TESTS)
    tests = ROOT / "Testing/Python"
    chosen = [
        tests / "panel/test_detector_panel.py",
        tests / "panel/test_radiograph_panel.py",
        tests / "pacs/test_pull.py",
    ]
    told = light.run("python", "-m", "pytest", "-q", "-p", "no:cacheprovider", "--rootdir", ROOT, *chosen)
    assert " passed" in told
