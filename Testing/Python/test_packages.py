"""What is needed of other packages stands in one place, with what it takes to download."""

import runpy
import tomllib
from importlib import metadata

import pytest

from AcuteFindingsLib import packages
from AcuteFindingsLib.errors import ModelError, TorchMissingError
from AcuteFindingsLib.last_resort import sentence
from AcuteFindingsLib.packages import (
    DICOM,
    DOWNLOAD,
    EVALUATE,
    LIGHT,
    PUBLIC,
    TORCH,
    TRAIN,
    Package,
    extra_missing,
    missing_packages,
    torch_missing,
    total_mb,
)

SLICER_BRINGS = {"numpy", "scipy", "SimpleITK", "pydicom", "pillow", "requests", "packaging"}


@pytest.fixture
def intel_mac(monkeypatch):
    monkeypatch.setattr(packages.sys, "platform", "darwin")
    monkeypatch.setattr(packages.platform, "machine", lambda: "x86_64")


@pytest.mark.parametrize(
    ("version", "enough"),
    [
        ("2.6.0+cpu", True),
        ("2.10.0", True),
        ("2.6.0a0+ecf3bae", True),
        ("2.7.0a0", True),
        ("2.5.9", False),
        ("2.5.0a0", False),
        ("", False),
    ],
)
def test_versions_are_compared_as_numbers(version, enough, monkeypatch):
    monkeypatch.setattr(packages.importlib.metadata, "version", lambda name: version)
    assert bool(missing_packages([Package("torch", "torch>=2.6", 1)])) != enough


def test_what_is_not_there_is_missing(monkeypatch):
    def version(name):
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(packages.importlib.metadata, "version", version)
    assert missing_packages(LIGHT) == list(LIGHT)


@pytest.mark.parametrize(("system", "most"), [("win32", 36), ("darwin", 46), ("linux", 52)])
def test_what_slicer_lacks_for_a_report_is_at_most_60_mb(monkeypatch, system, most):
    monkeypatch.setattr(packages.sys, "platform", system)
    light = runpy.run_path(packages.__file__)["LIGHT"]
    assert total_mb([package for package in light if package.name not in SLICER_BRINGS]) <= most


def test_nothing_on_the_way_to_a_report_is_torch():
    assert not {package.name for package in (*LIGHT, *DICOM, *DOWNLOAD, *PUBLIC)} & {package.name for package in TORCH}


def test_every_requirement_is_one_of_the_projects(pytestconfig):
    project = tomllib.loads((pytestconfig.rootpath / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    needed = {package.requirement for package in (*LIGHT, *DOWNLOAD, *PUBLIC)}
    assert needed <= set(project["dependencies"])
    for name, needed_by_extra in {"dicom-export": DICOM, "torch": TORCH, "evaluate": EVALUATE, "train": TRAIN}.items():
        assert {package.requirement for package in needed_by_extra} <= set(extras[name]), name


@pytest.mark.parametrize("name", ["torch", "torch.nn", "segmentation_models_pytorch", "timm"])
def test_a_missing_module_of_torch_says_how_to_get_it_and_what_it_takes(name, monkeypatch):
    monkeypatch.setattr(packages.sys, "platform", "linux")
    monkeypatch.setattr(packages, "missing_packages", list)
    error = ModuleNotFoundError(f"No module named {name!r}", name=name)
    text = str(torch_missing(error))
    assert "acutefindings[torch]" in text
    assert "3 GB" in text
    assert sentence(error) == text


@pytest.mark.parametrize(
    ("name", "extra"),
    [
        ("torch.nn", "torch"),
        ("sklearn.metrics", "evaluate"),
        ("pandas", "evaluate"),
        ("yaml", "train"),
        ("skimage", "train"),
    ],
)
def test_every_missing_package_of_an_extra_is_told_with_the_command_and_what_it_takes(name, extra, monkeypatch):
    monkeypatch.setattr(packages.sys, "platform", "win32")
    monkeypatch.setattr(packages, "missing_packages", list)
    text = sentence(ModuleNotFoundError(f"No module named {name!r}", name=name))
    assert f"pip install 'acutefindings[{extra}]'" in text
    sizes = {"torch": TORCH, "evaluate": EVALUATE, "train": (*TORCH, *EVALUATE, *TRAIN)}
    assert f"about {total_mb(sizes[extra])} MB" in text


def test_what_no_extra_brings_is_left_alone():
    assert extra_missing(ModuleNotFoundError(name="jinja2")) == ""
    assert "'jinja2' is missing" in sentence(ModuleNotFoundError(name="jinja2"))


@pytest.mark.parametrize(
    "error", [ModuleNotFoundError(name="pydantic"), ModuleNotFoundError(), ModelError("torch"), ImportError("torch")]
)
def test_other_errors_are_left_alone(error):
    assert torch_missing(error) is None


def test_on_intel_macs_it_says_that_there_is_no_torch(intel_mac):
    needed = torch_missing(what="Importing a.pt")
    assert isinstance(needed, TorchMissingError)
    assert str(needed).startswith("Importing a.pt needs PyTorch 2.6 or later, which does not exist")
    assert "pip" not in str(needed)
