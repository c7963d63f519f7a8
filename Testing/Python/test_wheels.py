"""Slicer 5.12 (Python 3.12) finds a wheel of everything on each of its platforms, and downloads little on Apply."""

import importlib.util
import json
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from AcuteFindingsLib import packages
from AcuteFindingsLib.packages import LIGHT

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

PLATFORMS = {
    "win_amd64": ("win_amd64",),
    "manylinux": ("manylinux_2_28_x86_64", "manylinux_2_27_x86_64", "manylinux2014_x86_64"),
    "macosx_13_0_x86_64": ("macosx_13_0_x86_64",),
    "macosx_14_0_arm64": ("macosx_14_0_arm64",),
}

# As the environment markers of requirements see them.
MARKERS = {
    "win_amd64": {"sys_platform": "win32", "platform_system": "Windows", "platform_machine": "AMD64"},
    "manylinux": {"sys_platform": "linux", "platform_system": "Linux", "platform_machine": "x86_64"},
    "macosx_13_0_x86_64": {"sys_platform": "darwin", "platform_system": "Darwin", "platform_machine": "x86_64"},
    "macosx_14_0_arm64": {"sys_platform": "darwin", "platform_system": "Darwin", "platform_machine": "arm64"},
}

SLICER_BRINGS = {
    "numpy", "scipy", "simpleitk", "pydicom", "pillow", "requests", "packaging", "certifi", "charset-normalizer",
    "idna", "urllib3", "pyparsing", "typing-extensions",
}  # fmt: skip

MOST_MB = 60
NEVER = {"torch", "torchvision", "monai", "timm", "segmentation-models-pytorch", "scikit-image", "onnx", "pandas"}


@pytest.fixture(scope="module", autouse=True)
def _index(tmp_path_factory: pytest.TempPathFactory) -> None:
    asked = pip("download", "--no-deps", "--retries=0", "--timeout=10", "--dest", tmp_path_factory.mktemp("x"), "idna")
    if asked.returncode:
        pytest.skip("no package index can be reached")


def pip(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "pip", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=600, check=False)


def target(platform: str) -> list[str]:
    tags = [f"--platform={tag}" for tag in PLATFORMS[platform]]
    return ["--only-binary=:all:", *tags, "--python-version=3.12", "--implementation=cp", "--abi=cp312"]


def resolve(requirements: list[str], platform: str, folder: Path) -> dict[str, str]:
    """Return the version of every package that is installed for requirements; fails where one has no wheel."""
    chosen = [Requirement(line) for line in requirements]
    kept = [one for one in chosen if one.marker is None or one.marker.evaluate(MARKERS[platform])]
    report = folder / "report.json"
    lines = [f"{one.name}{one.specifier}" for one in kept]
    where = ["--target", folder / "none", "--dry-run", "--ignore-installed", "--report", report]
    ended = pip("install", "--quiet", *where, *target(platform), *lines)
    assert ended.returncode == 0, ended.stderr
    items = [item["metadata"] for item in json.loads(report.read_text())["install"]]
    return {canonicalize_name(item["name"]): item["version"] for item in items}


def download_mb(versions: dict[str, str], platform: str, folder: Path) -> dict[str, float]:
    """Return the megabytes of each package's wheel."""
    lines = [f"{name}=={version}" for name, version in versions.items()]
    ended = pip("download", "--quiet", "--no-deps", "--dest", folder, *target(platform), *lines)
    assert ended.returncode == 0, ended.stderr
    return {canonicalize_name(file.name.split("-")[0]): file.stat().st_size / 1e6 for file in folder.glob("*.whl")}


def told_mb(platform: str, monkeypatch: pytest.MonkeyPatch) -> int:
    """Return what the list of packages, read on another system, says that Slicer lacks for a first run."""
    spec = importlib.util.spec_from_file_location("packages_there", packages.__file__)
    there = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, spec.name, there)
    monkeypatch.setattr(sys, "platform", MARKERS[platform]["sys_platform"])
    spec.loader.exec_module(there)
    monkeypatch.undo()
    return there.total_mb([one for one in there.LIGHT if canonicalize_name(one.name) not in SLICER_BRINGS])


@pytest.mark.parametrize("platform", PLATFORMS)
def test_everything_has_a_wheel_and_nothing_heavy_comes_along(platform: str, pytestconfig, tmp_path: Path) -> None:
    project = tomllib.loads((pytestconfig.rootpath / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    versions = resolve([*project["dependencies"], *extras["dicom-export"], *extras["pacs"]], platform, tmp_path)
    assert {"onnxruntime", "highdicom", "pynetdicom"} <= versions.keys()
    assert not NEVER & versions.keys()


@pytest.mark.parametrize("platform", PLATFORMS)
def test_what_slicer_lacks_on_apply_is_what_it_is_said_to_be(
    platform: str, tmp_path: Path, capsys, monkeypatch
) -> None:
    versions = resolve([package.requirement for package in LIGHT], platform, tmp_path)
    lacking = {name: version for name, version in versions.items() if name not in SLICER_BRINGS}
    sizes = download_mb(lacking, platform, tmp_path)
    assert sizes.keys() == lacking.keys()
    total = sum(sizes.values())
    largest = sorted(sizes.items(), key=lambda item: -item[1])
    with capsys.disabled():
        print(f"\n{platform}: {total:.0f} MB, " + ", ".join(f"{n} {lacking[n]} {mb:.1f}" for n, mb in largest))
    assert total <= MOST_MB
    assert total <= told_mb(platform, monkeypatch) + 1
