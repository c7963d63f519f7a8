"""Each training from phantoms to package, on so little that it learns nothing but takes every step."""

from functools import cache
from pathlib import Path

import numpy as np
import pytest
import typer

from AcuteFindingsLib.detectors.phantoms import make_phantom
from AcuteFindingsLib.detectors.radiograph import RadiographSettings
from AcuteFindingsLib.evaluation.evaluate import Request, evaluate
from AcuteFindingsLib.models.load import load_predictor
from AcuteFindingsLib.models.metadata import Interval
from AcuteFindingsLib.models.package import ModelPackage, read_package
from AcuteFindingsLib.models.verify import verify_package
from AcuteFindingsLib.networks import build_network, stored_arguments
from AcuteFindingsLib.training import (
    first_arrays,
    first_chest,
    first_chest64,
    first_lungs,
    first_models,
    first_radiographs,
    radiograph_sets,
    real_chest,
    real_lungs,
)

SMALL = {
    "head-ct": {"matrix": 64, "slice_spacing": 10},
    "ctpa": {"matrix": 64, "slice_spacing": 5},
    "chest-xray": {"size": 96},
}
FEW = 4


def small_phantom(kind: str, seed: int):
    """Return a small phantom; every other one is positive, and a hundred seeds give four phantoms."""
    return one_of_few(kind, seed % FEW)


@cache
def one_of_few(kind: str, seed: int):
    return make_phantom(kind, seed, positive=bool(seed % 2), **SMALL[kind])


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
    for module in (first_radiographs, first_chest, first_lungs):
        monkeypatch.setattr(module, "make_phantom", lambda kind, seed, **_: small_phantom(kind, seed))
    for module in (first_radiographs, first_chest, first_lungs):
        monkeypatch.setattr(module, "build_network", without_imagenet)
    monkeypatch.setattr(first_chest64, "build_network", without_imagenet)
    monkeypatch.setattr(radiograph_sets, "phantom_arrays", few_arrays)
    monkeypatch.setattr(first_arrays, "make_phantom", lambda kind, seed, **_: small_phantom(kind, seed))
    for module in (real_lungs, real_chest):
        monkeypatch.setattr(module, "FOLDS", 2)
    for module in (radiograph_sets, first_radiographs, first_chest, first_lungs):
        monkeypatch.setattr(module, "SETTINGS", RadiographSettings(size=64, mean=0.5, std=0.25, flip=True))
    monkeypatch.setattr(radiograph_sets, "SIZE", 64)
    monkeypatch.setattr(first_chest64, "SETTINGS", RadiographSettings(size=64, mean=0.5, std=0.25))

    def run(task: str, *, version: str | None = None, **options) -> ModelPackage:
        out = tmp_path / "models"
        sizes = {"studies": FEW, "steps": 2, "tests": FEW, "threads": 1, "real_steps": 1}
        paths = {"data": None, "start": None, "sheets": tmp_path / "sheets", "cache": tmp_path}
        first_models.main(task, out=out, version=version, **{**sizes, **paths, **options})
        return read_package(next(out.iterdir()))

    return run


@pytest.mark.parametrize("task", ["pneumothorax", "lungs", "chest"])
def test_a_training_writes_a_package_that_verifies_and_loads(task: str, train, monkeypatch: pytest.MonkeyPatch) -> None:
    if task == "chest":
        # Four phantoms do not show every finding.
        monkeypatch.setattr(
            first_chest,
            "auc_interval",
            lambda truth, score, **words: Interval(value=0.5, low=0.5, high=0.5, count=len(truth), **words),
        )
    package = train(task, version="0.0.1")
    verify_package(package)
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


def figure(package: ModelPackage, metric: str) -> Interval:
    return next(item for item in package.card.evaluation if item.metric.startswith(metric))


def evaluated(table: Path, truth: Path, label: str):
    """Return the AUC that `acutefindings evaluate` finds."""
    (level,) = evaluate(table, Request(truth=truth)).levels
    return next(item.auc for item in level.labels if item.label == label)


def test_lungs_are_measured_on_patients_that_were_not_fitted_to(train, builders, tmp_path: Path) -> None:
    builders.build_lung_masks(tmp_path / "data" / "chest-xray-lungs", patients=4)
    package = train("lungs", data=tmp_path / "data", steps=1)
    verify_package(package)
    card = package.card
    assert package.version == "0.3.0"
    assert "non-commercial" in card.training_data.restriction
    rows = (package.folder / "docs" / "cross-validation.csv").read_text().splitlines()[1:]
    told = figure(package, "Dice, cross-validated")
    assert np.mean([float(row.split(",")[2]) for row in rows]) == pytest.approx(told.value)
    assert told.count == len(rows)
    assert figure(package, "Dice, phantoms").data.startswith("held-out")
    assert (package.folder / "docs" / card.pictures[0].file).is_file()


def test_chest_findings_at_64_pixels_say_how_well_they_are_told_and_calibrated(train, builders, tmp_path: Path) -> None:
    folder = builders.build_nih(tmp_path / "data" / "chest-xray-64", patients=12)
    with pytest.raises(typer.BadParameter, match="--data"):
        train("chest-64")
    package = train("chest-64", data=tmp_path / "data", steps=1)
    verify_package(package)
    card = package.card
    assert (card.task, card.id) == ("chest", "chest-nih14-64")
    assert len(card.labels) == 14
    told = figure(package, "AUC, pneumothorax")
    again = evaluated(
        package.folder / "docs" / "cross-validation.csv",
        next(folder.glob("Data_Entry*.csv")),
        "pneumothorax",
    )
    assert again.value == pytest.approx(told.value, abs=1e-12)
    assert figure(package, "CWCE, pneumothorax").low <= figure(package, "CWCE, pneumothorax").value
