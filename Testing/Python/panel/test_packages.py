"""Missing packages are named with their sizes, and installed only on consent and never in place of Slicer's own."""

import sys
from importlib import metadata
from types import SimpleNamespace

import pytest

from AcuteFindingsLib.widgets.models import packages
from AcuteFindingsLib.widgets.models.packages import NEEDED, ensure_packages, installed_versions, missing_packages


@pytest.fixture
def lacking(monkeypatch):
    """Make packages look as if they were not installed."""
    gone = set()
    real = metadata.version

    def version(name):
        if name in gone:
            raise metadata.PackageNotFoundError(name)
        return real(name)

    monkeypatch.setattr(packages.importlib.metadata, "version", version)
    return gone


@pytest.fixture
def asked(monkeypatch, host):
    """Answer questions with yes, and remember what was asked, told and installed."""
    import slicer.packaging

    heard = SimpleNamespace(questions=[], told=[], installed=[], answer=True, after=lambda: None)

    def confirm(text, **_keywords):
        heard.questions.append(text)
        return heard.answer

    def install(requirements, constraints=None, **keywords):
        heard.installed.append(([str(item) for item in requirements], constraints.read_text(), keywords))
        heard.after()

    monkeypatch.setattr("slicer.util.confirmOkCancelDisplay", confirm)
    monkeypatch.setattr("slicer.util.errorDisplay", lambda text, **_keywords: heard.told.append(text))
    monkeypatch.setattr(slicer.packaging, "pip_ensure", install)
    return heard


def test_everything_is_here():
    assert missing_packages() == []


def test_what_is_missing_or_too_old_is_named(lacking, monkeypatch):
    lacking.update({"timm", "pydantic"})
    assert [package.name for package in missing_packages()] == ["timm", "pydantic"]
    lacking.clear()
    monkeypatch.setattr(packages.importlib.metadata, "version", lambda name: "1.26.0+cpu")
    assert "torch" in {package.name for package in missing_packages()}


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
    assert bool(missing_packages([packages.Package("torch", "torch>=2.6", 1)])) != enough


def test_nothing_is_asked_where_nothing_is_missing(asked):
    assert ensure_packages()
    assert not asked.questions


def test_they_are_named_with_sizes_and_nothing_happens_without_consent(asked, lacking):
    lacking.update({"timm", "safetensors"})
    asked.answer = False
    assert not ensure_packages()
    assert "timm (about 25 MB), safetensors (about 2 MB)" in asked.questions[0]
    assert "27 MB" in asked.questions[0]
    assert not asked.installed


def test_they_are_installed_under_the_versions_of_slicers_own(asked, lacking):
    lacking.add("timm")
    asked.after = lacking.clear
    assert ensure_packages()
    requirements, constraints, keywords = asked.installed[0]
    assert requirements == ["timm>=1.0"]
    assert f"numpy=={metadata.version('numpy')}\n" in constraints
    assert f"torch=={metadata.version('torch')}\n" in constraints
    assert "SimpleITK==" in constraints
    assert keywords["prompt_install"] is False


def test_what_could_not_be_installed_is_told(asked, lacking):
    lacking.add("timm")
    assert not ensure_packages()
    assert "timm" in asked.told[0]
    asked.after = lambda: (_ for _ in ()).throw(RuntimeError("no network"))
    assert not ensure_packages()
    assert "no network" in asked.told[1]


def test_in_testing_mode_nothing_is_installed_and_the_reason_is_shown(asked, lacking, host):
    host.testing(True)
    lacking.add("timm")
    assert not ensure_packages()
    assert not asked.questions
    assert not asked.installed
    assert "testing mode" in asked.told[0]
    assert "timm" in asked.told[0]


def test_a_run_goes_ahead_where_only_the_reports_packages_are_missing(asked, lacking, host):
    lacking.add("jinja2")
    asked.answer = False
    assert ensure_packages()
    assert "jinja2" in asked.questions[0]
    host.testing(True)
    assert ensure_packages()
    assert not asked.told


def test_torch_is_installed_by_the_pytorch_extension(asked, lacking, monkeypatch):
    lacking.update({"torch", "torchvision"})
    calls = []

    class PyTorchUtilsLogic:
        def installTorch(self, **keywords):
            calls.append(keywords)
            lacking.clear()
            return object()

    monkeypatch.setitem(sys.modules, "PyTorchUtils", SimpleNamespace(PyTorchUtilsLogic=PyTorchUtilsLogic))
    assert ensure_packages()
    assert calls == [{"torchVersionRequirement": ">=2.6", "torchvisionVersionRequirement": ">=0.21"}]
    assert not asked.installed


def test_without_the_pytorch_extension_it_is_named(asked, lacking, monkeypatch):
    lacking.add("torch")
    monkeypatch.setitem(sys.modules, "PyTorchUtils", None)
    assert not ensure_packages()
    assert "extension PyTorch" in asked.told[0]


def test_a_torch_that_is_there_is_not_replaced(asked, lacking, monkeypatch):
    lacking.add("torchvision")
    monkeypatch.setitem(sys.modules, "PyTorchUtils", SimpleNamespace())
    assert not ensure_packages()
    assert "PyTorch Util" in asked.told[0]


def test_every_requirement_is_one_of_the_projects(pytestconfig):
    import tomllib

    project = tomllib.loads((pytestconfig.rootpath / "pyproject.toml").read_text())["project"]
    assert {package.requirement for package in NEEDED} <= set(project["dependencies"])


def test_only_installed_packages_are_pinned():
    assert installed_versions(("no-such-package", "numpy")) == [f"numpy=={metadata.version('numpy')}"]
