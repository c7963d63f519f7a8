"""Each training from phantoms to package, on so little that it learns nothing but takes every step."""

from functools import cache
from pathlib import Path

import pytest

from AcuteFindingsLib.detectors.hemorrhage import HemorrhageSettings
from AcuteFindingsLib.detectors.pe import PESettings
from AcuteFindingsLib.detectors.radiograph import RadiographSettings
from AcuteFindingsLib.models.metadata import Interval
from AcuteFindingsLib.models.package import ModelPackage, read_package
from AcuteFindingsLib.models.torch_predictor import load_predictor
from AcuteFindingsLib.networks import build_network, stored_arguments
from AcuteFindingsLib.phantoms import make_phantom
from AcuteFindingsLib.training import (
    first_arrays,
    first_chest,
    first_hemorrhage,
    first_lungs,
    first_models,
    first_pe,
    first_radiographs,
    radiograph_sets,
)

SMALL = {
    "head-ct": {"matrix": 64, "slice_spacing": 10},
    "ctpa": {"matrix": 64, "slice_spacing": 5},
    "chest-xray": {"size": 96},
}
FEW = 4


@cache
def small_phantom(kind: str, seed: int):
    """Make a small phantom; every other one is positive, and a hundred seeds give four phantoms."""
    return make_phantom(kind, seed % FEW, positive=bool(seed % 2), **SMALL[kind])


def few_arrays(make, seeds, *, cache: Path, workers: int, sources, **options):
    """Stand in for the cache of arrays: few, small, made here."""
    size = {key: value for key, value in options.items() if key not in ("matrix", "size")}
    name = "size" if "size" in options else "matrix"
    return [make(seed, **size, **{name: 64}) for seed in list(seeds)[:FEW]]


def without_imagenet(name: str, arguments):
    return build_network(name, stored_arguments(arguments))


@pytest.fixture
def train(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    """Run one training on next to nothing: `train("pe")` returns its package."""
    for module in (first_hemorrhage, first_pe, first_radiographs, first_chest, first_lungs):
        monkeypatch.setattr(module, "make_phantom", lambda kind, seed, **_: small_phantom(kind, seed))
        monkeypatch.setattr(module, "build_network", without_imagenet)
    for module in (first_hemorrhage, first_pe, radiograph_sets):
        monkeypatch.setattr(module, "phantom_arrays", few_arrays)
    monkeypatch.setattr(first_arrays, "make_phantom", lambda kind, seed, **_: small_phantom(kind, seed))
    monkeypatch.setattr(first_hemorrhage, "SETTINGS", HemorrhageSettings(pixel_mm=4.0, size=64))
    monkeypatch.setattr(first_pe, "SETTINGS", PESettings(size=64, crop=True))
    for module in (radiograph_sets, first_radiographs, first_chest, first_lungs):
        monkeypatch.setattr(module, "SETTINGS", RadiographSettings(size=64, mean=0.5, std=0.25, flip=True))
    monkeypatch.setattr(radiograph_sets, "SIZE", 64)

    def run(task: str) -> ModelPackage:
        out = tmp_path / "models"
        first_models.main(
            task, out=out, cache=tmp_path, data=None, studies=FEW, steps=2, tests=FEW, threads=1, version="0.0.1"
        )
        return read_package(next(out.iterdir()))

    return run


@pytest.mark.parametrize("task", ["hemorrhage", "pe", "pneumothorax", "lungs", "chest"])
def test_a_training_writes_a_package_that_verifies_and_loads(task: str, train, monkeypatch: pytest.MonkeyPatch) -> None:
    if task == "chest":
        # Four phantoms do not show every finding.
        monkeypatch.setattr(
            first_chest,
            "auc_interval",
            lambda truth, score, **words: Interval(value=0.5, low=0.5, high=0.5, count=len(truth), **words),
        )
    package = train(task)
    package.verify()
    card = package.card
    assert (card.task, package.version) == (task, "0.0.1")
    assert card.training_data.phantoms_only
    assert str(FEW) in card.training_data.count
    assert card.evaluation
    for figure in card.evaluation:
        assert figure.low <= figure.value <= figure.high
        assert "800000 to 800003" in figure.data
    assert "pretrained" not in str(card.network.arguments)
    assert load_predictor(package, device="cpu").card == card
