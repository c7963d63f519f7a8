"""The built wheel works away from the source tree: code, templates, models and command."""

import json
import os
import subprocess
import sys
import zipfile
from email import message_from_bytes
from email.message import Message
from pathlib import Path

import pytest

from AcuteFindingsLib import __version__
from AcuteFindingsLib.models.find import list_packages

ROOT = Path(__file__).resolve().parents[2]
LIBRARY = ROOT / "AcuteFindings" / "AcuteFindingsLib"
TASKS = {"pe", "hemorrhage", "pneumothorax", "lungs", "chest"}

pytestmark = [pytest.mark.timeout(900), pytest.mark.slow]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("dist")
    run_python("-m", "build", "--wheel", "--no-isolation", "--outdir", str(folder), str(ROOT))
    return next(folder.glob("*.whl"))


@pytest.fixture(scope="module")
def site(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with nothing but the wheel; what it depends on comes from the environment that runs the tests."""
    folder = tmp_path_factory.mktemp("site")
    run_python("-m", "pip", "install", "--quiet", "--no-deps", "--no-index", "--target", str(folder), str(wheel))
    return folder


def run_python(*arguments: str, cwd: Path | None = None, **environment: str) -> str:
    """Run this Python and return what it printed; what went wrong is in the test's own output."""
    done = subprocess.run(
        [sys.executable, *arguments],
        cwd=cwd,
        env={**os.environ, **environment},
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    return done.stdout


def run_command(site: Path, folder: Path, *arguments: str) -> str:
    """Run the wheel's `acutefindings` from an empty folder, with an empty home and so without other models."""
    command = str(site / "bin" / "acutefindings")
    return run_python(command, *arguments, cwd=folder, PYTHONPATH=str(site), HOME=str(folder), COLUMNS="400")


def test_the_wheel_registers_its_detectors_and_each_is_found_once(site: Path, tmp_path: Path) -> None:
    code = (
        "from importlib.metadata import distribution\n"
        "from AcuteFindingsLib.detectors.registry import BUILT_IN, GROUP, detector_ids\n"
        "brought = [one.value for one in distribution('acutefindings').entry_points if one.group == GROUP]\n"
        "assert sorted(brought) == sorted(BUILT_IN), brought\n"
        "print(*detector_ids())"
    )
    told = run_python("-c", code, cwd=tmp_path, PYTHONPATH=str(site))
    assert told.split() == ["pe", "hemorrhage", "pneumothorax"]


def metadata_of(wheel: Path) -> Message:
    with zipfile.ZipFile(wheel) as archive:
        name = next(name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
        return message_from_bytes(archive.read(name))


def test_every_file_of_the_library_ships_and_nothing_else(wheel: Path) -> None:
    wanted = {
        path.relative_to(LIBRARY.parent).as_posix()
        for path in LIBRARY.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    wanted |= {
        f"AcuteFindingsLib/{path.relative_to(ROOT).as_posix()}"
        for folder in ("Imports", "Likeness", "Models", "Recipes")
        for path in (ROOT / "Resources" / folder).rglob("*")
        if path.is_file()
    }
    assert "AcuteFindingsLib/pages/study.html.jinja" in wanted
    with zipfile.ZipFile(wheel) as archive:
        shipped = {name for name in archive.namelist() if ".dist-info/" not in name}
    assert shipped == wanted


def test_the_license_is_in_the_wheel_and_in_its_metadata(wheel: Path) -> None:
    metadata = metadata_of(wheel)
    assert metadata["License-Expression"] == "Apache-2.0"
    assert metadata.get_all("License-File") == ["LICENSE"]
    with zipfile.ZipFile(wheel) as archive:
        name = next(name for name in archive.namelist() if name.endswith(".dist-info/licenses/LICENSE"))
        assert archive.read(name) == (ROOT / "LICENSE").read_bytes()


def test_code_models_and_templates_come_from_the_wheel_not_from_the_tree(site: Path, tmp_path: Path) -> None:
    code = (
        "import json, AcuteFindingsLib; from AcuteFindingsLib.resources import resource_path; "
        "from AcuteFindingsLib.export import report; "
        "print(json.dumps([AcuteFindingsLib.__file__, report.__file__, str(resource_path('Models'))]))"
    )
    found = json.loads(run_python("-c", code, cwd=tmp_path, PYTHONPATH=str(site)))
    library = site / "AcuteFindingsLib"
    assert [Path(path) for path in found] == [
        library / "__init__.py",
        library / "export" / "report.py",
        library / "Resources" / "Models",
    ]


def test_the_command_says_the_version_of_the_wheel(site: Path, tmp_path: Path, wheel: Path) -> None:
    assert run_command(site, tmp_path, "--version").split() == ["acutefindings", __version__]
    assert metadata_of(wheel)["Version"] == __version__


def test_the_command_lists_and_verifies_a_model_for_every_task(site: Path, tmp_path: Path) -> None:
    packages = list_packages(cache=tmp_path / "none", shipped=ROOT / "Resources" / "Models")
    assert {package.card.task for package in packages} == TASKS
    listed = run_command(site, tmp_path, "models", "list", "--long")
    verified = run_command(site, tmp_path, "models", "verify").splitlines()
    shipped = site / "AcuteFindingsLib" / "Resources" / "Models"
    for package in packages:
        assert package.id in listed
        assert str(shipped / package.folder.name) in listed
        assert f"{package.id}: files, tensor names and shapes are as stated" in verified
    assert len(verified) == len(packages)


def test_the_command_lists_the_recipes_that_came_with_the_wheel(site: Path, tmp_path: Path) -> None:
    listed = run_command(site, tmp_path, "recipes", "list")
    assert [path.stem for path in (ROOT / "Resources" / "Recipes").glob("*.yaml") if path.stem not in listed] == []
