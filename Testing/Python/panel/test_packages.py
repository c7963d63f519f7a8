"""Missing packages are named with their sizes, and installed only on consent and never in place of Slicer's own."""

import sys
from importlib import metadata
from types import SimpleNamespace

import pytest

from AcuteFindingsLib import packages
from AcuteFindingsLib.packages import TORCH, total_mb
from AcuteFindingsLib.widgets.models.packages import ensure_packages, ensure_torch, installed_versions


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


def test_nothing_is_asked_where_nothing_is_missing(asked):
    assert ensure_packages()
    assert not asked.questions


def test_they_are_named_with_sizes_and_nothing_happens_without_consent(asked, lacking):
    lacking.update({"onnxruntime", "jinja2"})
    asked.answer = False
    assert not ensure_packages()
    assert "onnxruntime (28 MB), jinja2 (less than 1 MB)" in asked.questions[0]
    assert "about 29 MB in all" in asked.questions[0]
    assert not asked.installed


def test_torch_is_not_asked_for_where_nothing_needs_it(asked, lacking):
    lacking.update(package.name for package in TORCH)
    assert ensure_packages()
    assert not asked.questions


def test_they_are_installed_under_the_versions_of_slicers_own(asked, lacking):
    lacking.add("onnxruntime")
    asked.after = lacking.clear
    assert ensure_packages()
    requirements, constraints, keywords = asked.installed[0]
    assert requirements == ["onnxruntime>=1.20"]
    assert f"numpy=={metadata.version('numpy')}\n" in constraints
    assert f"torch=={metadata.version('torch')}\n" in constraints
    assert "SimpleITK==" in constraints
    assert keywords["prompt_install"] is False


def test_what_could_not_be_installed_is_told(asked, lacking):
    lacking.add("pydantic")
    assert not ensure_packages()
    assert "pydantic" in asked.told[0]
    asked.after = lambda: (_ for _ in ()).throw(RuntimeError("no network"))
    assert not ensure_packages()
    assert "no network" in asked.told[1]


def test_in_testing_mode_nothing_is_installed_and_the_reason_is_shown(asked, lacking, host):
    host.testing(True)
    lacking.add("pydantic")
    assert not ensure_packages()
    assert not asked.questions
    assert not asked.installed
    assert "testing mode" in asked.told[0]
    assert "pydantic" in asked.told[0]


def test_a_run_goes_ahead_where_only_the_reports_packages_are_missing(asked, lacking, host):
    lacking.add("jinja2")
    asked.answer = False
    assert ensure_packages()
    assert "jinja2" in asked.questions[0]
    host.testing(True)
    assert ensure_packages()
    assert not asked.told


class PyTorchExtension:
    """What the PyTorch extension's module offers."""

    def __init__(self, lacking, *, brings):
        self.calls, self.PyTorchUtilsLogic, self._lacking, self._brings = [], lambda: self, lacking, brings

    def installTorch(self, **keywords):
        self.calls.append(keywords)
        self._lacking.difference_update(self._brings)
        return object()


def test_torch_is_asked_for_by_what_needs_it_with_its_size(asked, lacking):
    lacking.update(package.name for package in TORCH)
    asked.answer = False
    assert not ensure_torch("Importing weights.pt")
    assert asked.questions[0].startswith(
        "Importing weights.pt needs Python packages that are not installed yet: torch ("
    )
    assert f"about {total_mb(TORCH)} MB in all" in asked.questions[0]
    assert not asked.installed


def test_torch_is_installed_by_the_pytorch_extension_and_the_rest_by_pip(asked, lacking, monkeypatch):
    lacking.update(package.name for package in TORCH)
    extension = PyTorchExtension(lacking, brings={"torch", "torchvision"})
    monkeypatch.setitem(sys.modules, "PyTorchUtils", extension)
    asked.after = lacking.clear
    assert ensure_torch("This")
    assert extension.calls == [{"torchVersionRequirement": ">=2.6", "torchvisionVersionRequirement": ">=0.21"}]
    requirements, constraints, _keywords = asked.installed[0]
    assert requirements == [package.requirement for package in TORCH[2:]]
    assert "torch==" in constraints


def test_without_the_pytorch_extension_it_is_named(asked, lacking, monkeypatch):
    lacking.add("torch")
    monkeypatch.setitem(sys.modules, "PyTorchUtils", None)
    assert not ensure_torch("This")
    assert "extension PyTorch" in asked.told[0]


def test_a_torch_that_is_there_is_not_replaced(asked, lacking, monkeypatch):
    lacking.add("torchvision")
    monkeypatch.setitem(sys.modules, "PyTorchUtils", SimpleNamespace())
    assert not ensure_torch("This")
    assert "PyTorch Util" in asked.told[0]


def test_on_a_mac_it_is_said_that_there_is_no_torch_and_nothing_is_asked(asked, lacking, monkeypatch):
    lacking.add("torch")
    monkeypatch.setattr(packages.sys, "platform", "darwin")
    monkeypatch.setattr(packages.platform, "machine", lambda: "x86_64")
    assert not ensure_torch("Importing weights.pt")
    assert not asked.questions
    assert "Importing weights.pt needs PyTorch 2.6 or later, which does not exist for Slicer on a Mac" in asked.told[0]


def test_a_build_of_onnx_runtime_for_a_graphics_card_is_enough(asked, lacking, monkeypatch):
    lacking.add("onnxruntime")
    known = packages.importlib.metadata.version
    installed = {"onnxruntime-gpu": "1.23.2"}
    monkeypatch.setattr(packages.importlib.metadata, "version", lambda name: installed.get(name) or known(name))
    assert ensure_packages()
    assert not asked.questions


def test_only_installed_packages_are_pinned():
    assert installed_versions(("no-such-package", "numpy")) == [f"numpy=={metadata.version('numpy')}"]
