"""What the detectors say of themselves as data, and how they are found."""

import logging
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import pytest
from pydantic import BaseModel

from AcuteFindingsLib.detectors.kind import DetectorKind
from AcuteFindingsLib.detectors.registry import (
    BUILT_IN,
    GROUP,
    collect_kinds,
    detector_ids,
    find_kind,
    find_task,
    kind_of_task,
    kinds,
    model_tasks,
)
from AcuteFindingsLib.errors import DetectionError
from AcuteFindingsLib.models.task import KnownLabel, ModelTask, load_reference
from AcuteFindingsLib.resources import resource_path

HEAVY = ("numpy", "pydantic", "scipy", "torch", "SimpleITK", "pydicom", "monai", "matplotlib")


def test_reading_all_kinds_imports_nothing_heavy() -> None:
    code = (
        "import sys; from AcuteFindingsLib.detectors.registry import kinds\n"
        f"kinds(); print(*[name for name in {HEAVY!r} if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.split() == []


def test_reading_all_kinds_takes_milliseconds() -> None:
    code = (
        "import importlib.metadata, time; start = time.process_time()\n"
        "from AcuteFindingsLib.detectors.registry import BUILT_IN, collect_kinds\n"
        "collect_kinds(BUILT_IN, ()); print(time.process_time() - start)"
    )
    command = [sys.executable, "-c", code]
    taken = min(
        float(subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout) for _ in range(3)
    )
    assert taken < 0.1


def test_the_three_of_this_library_come_first_and_once_each_installed_or_not() -> None:
    assert detector_ids()[:3] == ("pe", "hemorrhage", "pneumothorax")
    installed = [(kind.id, reference) for kind, reference in zip(kinds(), BUILT_IN, strict=False)]
    assert collect_kinds(BUILT_IN, installed) == collect_kinds(BUILT_IN, ())


def test_the_package_registers_what_is_built_in() -> None:
    import tomllib

    project = tomllib.loads((Path(__file__).parents[3] / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert tuple(project["entry-points"][GROUP].values()) == BUILT_IN
    assert tuple(project["entry-points"][GROUP]) == detector_ids()[:3]


@pytest.mark.parametrize("kind", kinds(), ids=lambda kind: kind.id)
def test_what_a_kind_names_is_there(kind: DetectorKind) -> None:
    assert issubclass(kind.load_rule(), BaseModel)
    assert kind.load_detector_class().name == kind.id
    for task in kind.tasks:
        assert issubclass(task.load_settings(), BaseModel)
        assert {"images_of", "prepare", "infer", "explain"} <= set(dir(task.load_scorer()))
    for importer in kind.importers:
        assert callable(load_reference(importer.convert))
        assert not importer.recognize or callable(load_reference(importer.recognize))
    if kind.phantoms is not None:
        assert all(resource_path("Icons", sample.thumbnail).is_file() for sample in kind.phantoms.samples)


def test_an_unknown_detector_is_refused_with_the_names_of_those_there_are() -> None:
    with pytest.raises(DetectionError, match="no detector 'stroke'; choose one of pe, hemorrhage, pneumothorax"):
        find_kind("stroke")
    with pytest.raises(DetectionError, match=r"no task 'liver'; choose one of .*lungs, chest"):
        find_task("liver")


def test_tasks_are_those_of_the_detectors_and_then_their_companions() -> None:
    assert list(model_tasks())[-2:] == ["lungs", "chest"]
    assert kind_of_task("chest") is find_kind("pneumothorax")
    assert kind_of_task("pe") is find_kind("pe")


@pytest.fixture
def stranger(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """A module of another package."""
    module = ModuleType("strangers_detector")
    monkeypatch.setitem(sys.modules, module.__name__, module)
    return module


def renamed(kind: DetectorKind, name: str) -> DetectorKind:
    task = replace(kind.task, id=name)
    return replace(kind, id=name, task=task, companions=(), importers=(), phantoms=None)


def test_a_detector_of_another_package_comes_after_our_own(stranger: ModuleType) -> None:
    stranger.KIND = renamed(find_kind("pneumothorax"), "effusion")
    found = collect_kinds(BUILT_IN, [("effusion", "strangers_detector:KIND")])
    assert [kind.id for kind in found] == ["pe", "hemorrhage", "pneumothorax", "effusion"]


@pytest.mark.parametrize(
    ("reference", "told"),
    [
        ("no_such_module:KIND", "No module named 'no_such_module'"),
        ("strangers_detector:MISSING", "no attribute 'MISSING'"),
        ("strangers_detector:TEXT", "it is not a DetectorKind but a str"),
        ("strangers_detector:", "strangers_detector:"),
    ],
)
def test_a_broken_detector_of_another_package_is_named_and_left_out(
    stranger: ModuleType, caplog: pytest.LogCaptureFixture, reference: str, told: str
) -> None:
    stranger.TEXT = "not a kind"
    with caplog.at_level(logging.WARNING):
        found = collect_kinds(BUILT_IN, [("broken", reference)])
    assert [kind.id for kind in found] == ["pe", "hemorrhage", "pneumothorax"]
    (said,) = caplog.messages
    assert "'broken'" in said
    assert told in said
    assert "left out" in said


def test_a_second_detector_of_one_name_is_left_out_and_both_are_named(
    stranger: ModuleType, caplog: pytest.LogCaptureFixture
) -> None:
    stranger.KIND = renamed(find_kind("pneumothorax"), "pe")
    with caplog.at_level(logging.WARNING):
        found = collect_kinds(BUILT_IN, [("mine", "strangers_detector:KIND")])
    assert found == collect_kinds(BUILT_IN, ())
    (said,) = caplog.messages
    assert "strangers_detector:KIND" in said
    assert "'pe' is that of AcuteFindingsLib.detectors.pe.kind:KIND" in said


def test_a_companion_of_another_package_cannot_take_a_name_of_ours(
    stranger: ModuleType, caplog: pytest.LogCaptureFixture
) -> None:
    chest = find_kind("pneumothorax")
    stranger.KIND = replace(renamed(chest, "effusion"), companions=chest.companions)
    with caplog.at_level(logging.WARNING):
        assert collect_kinds(BUILT_IN, [("mine", "strangers_detector:KIND")]) == collect_kinds(BUILT_IN, ())
    assert "'lungs'" in caplog.text


@pytest.mark.parametrize(("field", "name"), [("importers", "pe-source"), ("phantoms", "ctpa")])
def test_importers_and_phantoms_of_another_package_take_no_name_of_ours(
    stranger: ModuleType, caplog: pytest.LogCaptureFixture, field: str, name: str
) -> None:
    pe = find_kind("pe")
    stranger.KIND = replace(renamed(pe, "stroke"), **{field: getattr(pe, field)})
    with caplog.at_level(logging.WARNING):
        assert collect_kinds(BUILT_IN, [("mine", "strangers_detector:KIND")]) == collect_kinds(BUILT_IN, ())
    assert f"the name '{name}' is that of" in caplog.text


def test_of_two_strangers_with_one_name_the_first_stays(stranger: ModuleType, caplog: pytest.LogCaptureFixture) -> None:
    stranger.FIRST, stranger.SECOND = (renamed(find_kind(name), "stroke") for name in ("pe", "hemorrhage"))
    brought = [("b", "strangers_detector:SECOND"), ("a", "strangers_detector:FIRST")]
    with caplog.at_level(logging.WARNING):
        assert collect_kinds(BUILT_IN, brought)[3:] == (stranger.FIRST,)
    assert "SECOND) was left out" in caplog.text


def test_names_in_a_kind_are_checked() -> None:
    kind = find_kind("pe")
    with pytest.raises(ValueError, match="cannot be a detector's name"):
        renamed(kind, "../pe")
    with pytest.raises(ValueError, match="both need one name"):
        replace(kind, id="embolism")
    with pytest.raises(ValueError, match="names a task twice"):
        replace(kind, companions=(kind.task,))
    with pytest.raises(ValueError, match="answers no question"):
        replace(kind.task, id="part")
    with pytest.raises(ValueError, match="at least one label"):
        replace(kind.task, labels=())
    with pytest.raises(ValueError, match="cannot be a label's name"):
        KnownLabel("a/b", "A")


def test_an_unknown_label_means_itself() -> None:
    task: ModelTask = find_task("chest")
    assert task.label("effusion").meaning == "Pleural effusion"
    assert task.label("lung_lesion") == KnownLabel("lung_lesion", "Lung lesion")
