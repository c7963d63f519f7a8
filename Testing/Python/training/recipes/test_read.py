"""Recipes are read safely, put together from those they extend, and refused with the key that is wrong."""

from pathlib import Path

import pytest
import torch
import yaml

from AcuteFindingsLib.errors import RecipeError
from AcuteFindingsLib.networks import build_network, stored_arguments
from AcuteFindingsLib.training.recipes.read import find_recipe, list_recipes, read_recipe, recipe_yaml
from AcuteFindingsLib.training.recipes.schema import Recipe
from AcuteFindingsLib.training.runs.labels import trained_labels

NAMES = [one.name for one in list_recipes()]
# The experiments that must be there.
PUBLISHED = {
    "pe-model-a", "pe-model-b", "pe-slice-cnn", "radnet", "densenet-a", "densenet", "pneumothorax-classifier",
    "pneumothorax-unet", "pneumothorax-unet-densenet121", "pneumothorax-unet-densenet121-dropout",
    "pneumothorax-unet-densenet121-no-augmentation", "pneumothorax-third-place-resnet34",
    "pneumothorax-third-place-seresnext50", "pneumothorax-fourth-place", "lungs-unet",
    *(f"chest-{task}{region}" for task in ("both", "pathologies", "tubes")
      for region in ("", "-lungs-only", "-lungs-removed")),
}  # fmt: skip


def own(tmp_path: Path, text: str, name: str = "mine") -> Path:
    path = tmp_path / f"{name}.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def test_every_published_experiment_has_a_recipe() -> None:
    assert set(NAMES) >= PUBLISHED
    assert len([name for name in NAMES if name.startswith("pe-slice-cnn")]) == 13


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_a_recipe_validates_and_its_network_can_be_built(name: str) -> None:
    recipe = read_recipe(name)
    assert recipe.id == name
    with torch.device("meta"):
        build_network(recipe.network.name, stored_arguments(recipe.network.arguments))


@pytest.mark.parametrize("name", NAMES)
def test_a_recipe_written_out_reads_back_the_same(name: str) -> None:
    recipe = read_recipe(name)
    assert Recipe.model_validate(yaml.safe_load(recipe_yaml(recipe))) == recipe


def test_the_published_numbers_of_the_fourth_place_are_in_its_recipe() -> None:
    stage = read_recipe("pneumothorax-fourth-place").stages.segment
    assert stage is not None
    assert (stage.loss["mask"].bce, stage.loss["mask"].dice, stage.loss["empty"].bce) == (2.7, 0.9, 0.1)
    assert (stage.sampler.first_share, stage.sampler.last_share) == (0.8, 0.22)
    assert (stage.crop, stage.batch, stage.optimiser.schedule) == (512, 8, "cosine")
    assert read_recipe("pneumothorax-fourth-place").preprocessing["size"] == 768


def test_the_published_numbers_of_pe_model_a_are_in_its_recipe() -> None:
    recipe = read_recipe("pe-model-a")
    stages = recipe.stages
    assert stages.slice is not None
    assert stages.sequence is not None
    assert (stages.slice.epochs - stages.slice.frozen_epochs, stages.slice.batch) == (8, 48)
    assert (stages.slice.optimiser.rate, stages.slice.frozen_rate) == (1e-5, 1e-3)
    assert len(stages.slice.augmentation.changes) == 14
    assert stages.slice.augmentation.of_negatives == 0.1
    assert (stages.sequence.optimiser.name, stages.sequence.optimiser.rate) == ("nadam", 1e-3)
    assert recipe.data.split.folds == 5
    assert recipe.settings().size == 386
    assert recipe.network.arguments["encoder"]["in_channels"] == 1


def test_chest_recipes_run_three_times_and_label_what_their_network_gives() -> None:
    for task, count in (("both", 9), ("pathologies", 5), ("tubes", 4)):
        recipe = read_recipe(f"chest-{task}")
        assert recipe.runs == 3
        assert len(trained_labels(recipe)) == count
        given = recipe.network.arguments
        assert trained_labels(recipe) == (*given["pathologies"], *given["tubes"])


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ("stages.slice.epcohs=3", "stages.slice.epcohs: there is no such key; did you mean 'epochs'?"),
        ("stages.slice.epochs=-1", "stages.slice.epochs: input should be greater than or equal to 1, got -1"),
        ("precision=8", "precision: input should be '32-true', '16-mixed' or 'bf16-mixed', got 8"),
        ("preprocessing.sise=3", "preprocessing.sise: there is no such key; it takes window_level"),
        ("preprocessing.size=0", "preprocessing.size: Input should be greater than 0"),
        ("stages.encode=null", "the task pe has the stages slice or slice, encode, sequence, got slice, sequence"),
        ("stages.slice.optimiser.name=adamm", "stages.slice.optimiser.name: input should be 'adam', 'adamw'"),
        ("stages.slice.loss.slice.bce=0", "stages.slice.loss.slice: at least one of bce, dice and lovasz"),
        ("stages.slice.frozen_epochs=9", "stages.slice: frozen_epochs (9) must be fewer than epochs (9)"),
        ("data.split.use=[7]", "data.split: use names folds from 0 to 4, got [7]"),
        (
            "data.measured_on={count: 5, seed: 79}",
            "data.phantoms: its seeds, 0 to 79, are in part those of data.me",
        ),
        (
            "data.mix={more: {phantoms: {seed: 79}}}",
            "data.mix.more: its seeds, 79 to 138, are in part those of data.p",
        ),
        ("data.region=lungs-only", "data.region: only radiographs of findings have lungs"),
        ("stages.slice.augmentation.changes.0.zoom=[2, 1]", "zoom: the lower end stands first, got [2.0, 1.0]"),
    ],
)
def test_a_wrong_value_is_refused_with_file_key_and_what_was_expected(change: str, told: str) -> None:
    with pytest.raises(RecipeError) as refused:
        read_recipe("pe-model-b", overrides=[change])
    assert str(refused.value).startswith("pe-model-b.yaml (with the values given by --set): ")
    assert told in str(refused.value)


def test_every_wrong_key_is_told_at_once(tmp_path: Path) -> None:
    path = own(tmp_path, "extends: radnet\nrunns: 3\nseed: many\n")
    with pytest.raises(RecipeError, match=r"^mine\.yaml: .*seed: .*got 'many'.*runns: .*did you mean 'runs'"):
        read_recipe(path)


def test_a_missing_key_is_named(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match=r"mine\.yaml: .*task: this key is missing"):
        read_recipe(own(tmp_path, "id: mine\n"))


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("a: [", "not readable as YAML"),
        ("- 1\n", "expected keys with values, got list"),
        ("seed: 1\nseed: 2\n", "the key 'seed' is repeated"),
        ("extends: mine\n", "extend each other in a circle"),
        ("extends: radnett\n", "did you mean radnet"),
        ("seed: !!python/object/apply:os.system ['false']\n", "not readable as YAML"),
    ],
)
def test_a_file_that_is_no_recipe_is_refused(tmp_path: Path, text: str, told: str) -> None:
    with pytest.raises(RecipeError, match=told):
        read_recipe(own(tmp_path, text))


def test_an_empty_value_removes_what_was_inherited(tmp_path: Path) -> None:
    recipe = read_recipe(own(tmp_path, "extends: pe-model-b\nstages: {encode: null, sequence: null}\n"))
    assert list(recipe.stages.present()) == ["slice"]


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ("stages.slice.epochs", "expected KEY=VALUE"),
        ("=3", "expected KEY=VALUE"),
        ("seed=[1", "the value is not readable as YAML"),
        ("published.9.value=3", "'9' counts a place in a list of 3"),
        ("seed.more=3", "nothing lies below the value 0"),
    ],
)
def test_an_override_that_makes_no_sense_is_refused(change: str, told: str) -> None:
    with pytest.raises(RecipeError, match=r"--set .*" + told.replace("(", r"\(")):
        read_recipe("pe-model-b", overrides=[change])


def test_a_star_changes_every_entry() -> None:
    recipe = read_recipe("pe-model-b", overrides=["stages.*.batch=3"])
    assert [stage.batch for stage in recipe.stages.present().values()] == [3, 3, 3]


def test_own_folders_come_first(tmp_path: Path) -> None:
    path = own(tmp_path, "extends: radnet-phantoms\nid: radnet\n", name="radnet")
    assert find_recipe("radnet", [tmp_path]) == path
    assert read_recipe("radnet", folders=[tmp_path]).data.kind == "phantoms"
