"""Recipes cut down so that a whole run takes a second: small pictures, small networks, two steps."""

from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest
import torch
from builders import BUILDERS, build_phantoms

from AcuteFindingsLib.training.recipes.plans import TrainStage
from AcuteFindingsLib.training.recipes.read import read_recipe
from AcuteFindingsLib.training.recipes.schema import Recipe
from AcuteFindingsLib.training.runs.experiment import RunRequest
from AcuteFindingsLib.training.runs.fit_stage import Hardware

PATIENTS, SIZE = 10, 64

_SPLIT = "data.split={folds: 1, test: 0.34, validation: 0.34}"
_FIT_ALL = "data.split={folds: 2, test: 0, validation: 0, fit_all: true}"
_TRAINED = ("epochs=1", "frozen_epochs=0", "patience=null", "crop=null", "batch=2")
_PHANTOMS = "{{count: 4, seed: {}, options: {{matrix: 64, slice_spacing: 10.0}}}}"
_RADIOGRAPHS = "{{count: 4, seed: {}, options: {{size: 64}}}}"
# Seeds of phantoms that are fitted to, and of those that are not.
_FITTED, _ASIDE = 20_006, {"tuned_on": 500_006, "measured_on": 800_006}
_NETWORKS = {
    "pe": ("network.arguments.encoder.backbone=test_resnet", "network.arguments.encoder.pretrained=false"),
    "pe_slice_cnn": ("network.arguments.filters=[4, 4]", "network.arguments.size=64", "network.arguments.dense=[8]"),
    "pe_slice_encoder": ("network.arguments.backbone=test_resnet", "network.arguments.pretrained=false"),
    "radnet": ("network.arguments.pretrained=false", "network.arguments.hidden=8"),
    "pneumothorax_classifier": ("network.arguments.backbone=test_resnet", "network.arguments.pretrained=false"),
    "pneumothorax_segmenter": ("network.arguments.encoder=resnet18", "network.arguments.pretrained=false"),
    "chest_classifier": ("network.arguments.backbone=test_resnet", "network.arguments.pretrained=false"),
    "lung_unet": ("network.arguments.channels=[4, 8, 16]",),
}


def small_overrides(recipe: Recipe, *, more: tuple[str, ...] = ()) -> list[str]:
    """Return the --set values that make a recipe small."""
    split = _FIT_ALL if recipe.data.split.fit_all else _SPLIT
    changes = [split, "runs=1", *_NETWORKS[recipe.network.name], f"preprocessing.size={SIZE}"]
    phantoms = _RADIOGRAPHS if recipe.form == "radiograph" else _PHANTOMS
    for name, stage in recipe.stages.present().items():
        if isinstance(stage, TrainStage):
            changes += [f"stages.{name}.{one}" for one in _TRAINED]
            mixed = stage.sampler.sources is not None
            changes.append(f"stages.{name}.sampler" + (".examples=8" if mixed else "={name: balanced, examples: 4}"))
    changes += [
        f"data.mix.{name}.phantoms={phantoms.format(_FITTED)}" for name, one in recipe.data.mix.items() if one.phantoms
    ]
    changes += [f"data.mix.{name}.drawn.each=1" for name, one in recipe.data.mix.items() if one.drawn]
    changes += [f"data.{name}={phantoms.format(seed)}" for name, seed in _ASIDE.items() if getattr(recipe.data, name)]
    if recipe.stages.close_ups:
        changes += ["stages.close_ups.rounds=[{steps: 1, rate: 0.001}, {steps: 2, rate: 0.001}]"]
        changes += [f"stages.close_ups.fresh={phantoms.format(_FITTED)}"] if recipe.stages.close_ups.fresh else []
    if "encoder" in recipe.network.arguments and recipe.task == "lungs":
        changes += ["network.arguments.channels=null", "network.arguments.encoder=resnet18"]
        changes += ["network.arguments.pretrained=false"]
    if recipe.task == "lungs":
        # Every radiograph has lungs.
        changes.append("stages.segment.sampler.name=natural")
    if recipe.task == "hemorrhage":
        changes += ["preprocessing.pixel_mm=4", "stages.scan.slices=4"]
        if recipe.network.arguments["backbone"] == "densenet40":
            changes.append("network.arguments.growth=2")
    if recipe.task == "pe":
        # As far apart as the phantoms' slices.
        changes.append("preprocessing.slice_mm=10")
    if recipe.stages.encode:
        changes += ["stages.encode.augmented_positives=1"]
    if recipe.data.per_class:
        changes.append("data.per_class=12")
    return [*changes, *more]


def small_recipe(name: str | Path, *more: str) -> Recipe:
    """Return a recipe that ships, cut down."""
    return read_recipe(name, overrides=small_overrides(read_recipe(name), more=more))


def native_data(kind: str, phantom_kind: str, folder: Path) -> Path:
    """Write small phantoms in the layout of a data set; every other patient is positive."""
    if kind == "phantoms":
        return build_phantoms(folder, phantom_kind, patients=PATIENTS, matrix=SIZE)
    return BUILDERS[kind](folder, patients=PATIENTS, matrix=SIZE)


def small_request(recipe: Recipe, tmp_path: Path, *, told: list[str] | None = None, **options) -> RunRequest:
    """Return a request on one processor."""
    lines = [] if told is None else told
    values = {"out": tmp_path / "run", "cache": tmp_path / "cache", **options}
    return RunRequest(recipe=recipe, hardware=Hardware(accelerator="cpu", tell=lines.append), **values)


def silent(_text: str, _share: float) -> None:
    pass


@pytest.fixture(autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def data(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str, str], Path]:
    """A folder of small phantoms in the layout of a data set."""

    @cache
    def make(kind: str, phantom_kind: str) -> Path:
        return native_data(kind, phantom_kind, tmp_path_factory.mktemp(kind))

    return make
