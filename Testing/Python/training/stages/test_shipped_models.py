"""The recipes of the successors of the shipped models, each from data to package at two steps."""

import csv
import importlib.util
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from small_runs import silent, small_recipe, small_request

from AcuteFindingsLib.errors import TrainingError
from AcuteFindingsLib.models.load import load_predictor
from AcuteFindingsLib.models.package import ModelPackage, read_package
from AcuteFindingsLib.models.verify import verify_package
from AcuteFindingsLib.training.data.read import read_data
from AcuteFindingsLib.training.recipes.read import read_recipe
from AcuteFindingsLib.training.runs.data import drawn, parts
from AcuteFindingsLib.training.runs.experiment import run_recipe

pytestmark = pytest.mark.slow

RECIPES = Path(__file__).parents[4] / "Tools" / "shipped_models" / "recipes"
# Each goes on from what the one before left.
CHAINS = {
    "chest-findings-small": ("chest-findings-small",),
    "chest-nih14-64": ("chest-nih14-64",),
    "hemorrhage-radnet-small": ("hemorrhage-radnet-small-phantoms", "hemorrhage-radnet-small"),
    "lungs-unet-small": ("lungs-unet-small",),
    "pneumothorax-unet-small": ("pneumothorax-unet-small-phantoms", "pneumothorax-unet-small"),
    "pe-sequence-small": ("pe-sequence-small-places", "pe-sequence-small-coarse", "pe-sequence-small"),
}


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


def tool(name: str):
    """Return a script of `Tools/shipped_models` as a module."""
    spec = importlib.util.spec_from_file_location(name, RECIPES.with_name(f"{name}.py"))
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def run(name: str, out: Path, data, cache: Path, *more: str) -> ModelPackage:
    recipe = small_recipe(RECIPES / f"{name}.yaml", *more)
    folder = data(recipe.data.kind, recipe.phantom_kind)
    run_recipe(small_request(recipe, out, data=folder, cache=cache), progress=silent)
    return read_package(out / "run" / "model")


@pytest.mark.parametrize("model", CHAINS)
def test_each_recipe_goes_on_from_the_one_before_to_a_package_that_loads(
    model: str, tmp_path: Path, data, cache: Path
) -> None:
    start: tuple[str, ...] = ()
    for name in CHAINS[model]:
        package = run(name, tmp_path / name, data, cache, *start)
        start = (f"start={package.folder}",)
    verify_package(package)
    card = package.card
    assert card.id == model
    recipe, summary = read_recipe(RECIPES / f"{model}.yaml"), card.training_data.summary
    assert card.training_data.phantoms_only == (recipe.data.kind == "phantoms")
    assert ("started from the weights of" in summary) == (recipe.start is not None)
    assert card.training_data.count.count("mixed in, ") == len(recipe.data.mix)
    assert ("drawn into its images" in summary) == any(one.drawn for one in recipe.data.mix.values())
    assert "pretrained" not in str(card.network.arguments)
    assert load_predictor(package, device="cpu").card == card
    assert card.evaluation
    if recipe.data.measured_on:
        assert any("that nothing was fitted to" in figure.data for figure in card.evaluation)
    for figure in card.evaluation:
        assert figure.low <= figure.value <= figure.high


def test_findings_are_drawn_into_radiographs_of_patients_that_the_recipe_keeps_aside(tmp_path: Path, data) -> None:
    folder = data("lung-masks", "chest-xray")
    tool("draw").radiographs(folder, tmp_path, count=8)
    rows = list(csv.DictReader((tmp_path / "labels.csv").open()))
    recipe = read_recipe(RECIPES / "pneumothorax-unet-small.yaml")
    aside = parts(recipe, drawn(recipe, read_data("lung-masks", folder).require_usable()), 0)
    assert {row["patient"] for row in rows} <= set(aside.test.rows["patient"])
    assert not {row["patient"] for row in rows} & set(aside.train.rows["patient"])
    assert {row["pneumothorax"] for row in rows} == {"0", "1"}
    for row in rows:
        mask = np.asarray(Image.open(tmp_path / "masks" / row["image"]))
        assert mask.any() == (row["pneumothorax"] == "1")
        assert mask.shape == np.asarray(Image.open(tmp_path / "images" / row["image"])).shape


def test_what_has_seen_more_than_phantoms_starts_no_measurement_on_real_images(tmp_path: Path, data, cache) -> None:
    with pytest.raises(TrainingError, match="more than phantoms"):
        run("hemorrhage-radnet-small", tmp_path, data, cache, "start=hemorrhage-radnet-small")


def test_every_slice_is_answered_by_its_look_and_by_a_network_that_did_not_see_it(tmp_path: Path, data, cache) -> None:
    folder = data("head-slices", "head-ct")
    more = ("start=null", "data.split={folds: 2, test: 0, validation: 0, fit_all: true}", "evidence=null")
    aside = ("data.tuned_on=null", "data.measured_on=null", "data.mix={}", "stages.scan.sampler={name: natural}")
    run("hemorrhage-radnet-small", tmp_path, data, cache, *more, *aside)
    tool("head_looks").main(data=folder, run=tmp_path / "run", out=tmp_path / "looks")
    names = set(read_data("head-slices", folder).keys)
    for name in ("neutral", "baseline"):
        rows = list(csv.DictReader((tmp_path / "looks" / f"{name}.csv").open()))
        assert {row["image"] for row in rows} == names
        assert all(0 <= float(row["any"]) <= 1 for row in rows)
