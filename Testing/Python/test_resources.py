"""What ships beside the code is found wherever the extension lives."""

import importlib.util
import shutil
from pathlib import Path
from types import ModuleType

import pytest

from AcuteFindingsLib import resources
from AcuteFindingsLib.errors import AcuteFindingsError
from AcuteFindingsLib.resources import resource_path

ROOT = Path(__file__).resolve().parents[2]


def copy_to(folder: Path) -> ModuleType:
    """Import a copy of `resources.py` that lies in ``folder/AcuteFindingsLib``."""
    package = folder / "AcuteFindingsLib"
    package.mkdir(parents=True)
    file = Path(shutil.copy(str(resources.__file__), package))
    spec = importlib.util.spec_from_file_location("copied_resources", file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def model_in(folder: Path) -> Path:
    """Put a file where a shipped model would lie below ``folder/Resources``."""
    path = folder / "Resources" / "Models" / "some-model" / "LICENSE"
    path.parent.mkdir(parents=True)
    path.touch()
    return path


def test_models_are_found_in_the_source_tree() -> None:
    assert resource_path("Models") == ROOT / "Resources" / "Models"


def test_models_are_found_in_slicers_flat_folder_of_scripted_modules(tmp_path: Path) -> None:
    flat = tmp_path / "lib" / "Slicer-5.12" / "qt-scripted-modules"
    model = model_in(flat)
    assert copy_to(flat).resource_path("Models", "some-model", "LICENSE") == model


def test_models_are_found_inside_an_installed_package(tmp_path: Path) -> None:
    copied = copy_to(tmp_path / "site-packages")
    model = model_in(tmp_path / "site-packages" / "AcuteFindingsLib")
    assert copied.resource_path("Models", "some-model", "LICENSE") == model


def test_the_installed_packages_own_resources_win_over_what_lies_around_it(tmp_path: Path) -> None:
    site = tmp_path / "site-packages"
    copied = copy_to(site)
    model_in(site)
    own = model_in(site / "AcuteFindingsLib")
    assert copied.resource_path("Models", "some-model", "LICENSE") == own


def test_a_resource_of_the_home_module_is_found_where_the_extension_has_another_resources_folder(
    tmp_path: Path,
) -> None:
    copied = copy_to(tmp_path / "AcuteFindings")
    model_in(tmp_path)
    icon = tmp_path / "AcuteFindings" / "Resources" / "Icons" / "AcuteFindings.png"
    icon.parent.mkdir(parents=True)
    icon.touch()
    assert copied.resource_path("Icons", "AcuteFindings.png") == icon
    assert copied.resource_path("Models") == tmp_path / "Resources" / "Models"


def test_a_missing_resource_is_named_with_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(
        AcuteFindingsError, match=r"Resources/Models/nowhere was not found\. Install AcuteFindings again"
    ):
        resource_path("Models", "nowhere")
