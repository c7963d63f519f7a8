"""`acutefindings train` and `acutefindings recipes`."""

from pathlib import Path

import pytest
import yaml
from small_runs import small_overrides
from typer.testing import CliRunner

from AcuteFindingsLib.cli import app
from AcuteFindingsLib.errors import RecipeError
from AcuteFindingsLib.models.package import read_package
from AcuteFindingsLib.training.recipes.read import list_recipes, read_recipe


def run(*words: str):
    return CliRunner().invoke(app, list(words), catch_exceptions=True)


@pytest.mark.slow
def test_recipes_list_names_every_recipe() -> None:
    shown = run("recipes", "list").output
    assert all(one.name in shown for one in list_recipes())


def test_recipes_show_writes_out_every_default_and_every_change() -> None:
    shown = yaml.safe_load(run("recipes", "show", "densenet-a", "--set", "runs=4").output)
    assert shown["runs"] == 4
    assert shown["stages"]["scan"]["optimiser"]["schedule"] == "thirds"
    assert shown["stages"]["scan"]["keep"] == "best"


def test_a_wrong_change_is_refused_before_anything_is_made(tmp_path: Path) -> None:
    result = run("train", "radnet", "--out", str(tmp_path / "run"), "--set", "stages.scan.epoch=1")
    assert isinstance(result.exception, RecipeError)
    assert "did you mean 'epochs'" in str(result.exception)
    assert not (tmp_path / "run").exists()


@pytest.mark.slow
def test_without_data_phantoms_are_made_and_the_card_says_how_to_repeat_it(tmp_path: Path) -> None:
    changes = [
        *small_overrides(read_recipe("pneumothorax-classifier")),
        "data.phantoms={count: 30, options: {size: 64}}",
    ]
    options = [part for change in changes for part in ("--set", change)]
    folders = ("--out", str(tmp_path / "run"), "--cache", str(tmp_path / "cache"))
    own = tmp_path / "own.yaml"
    own.write_text("extends: pneumothorax-classifier\nid: own\n")
    result = run("train", str(own), *folders, "--device", "cpu", *options)
    assert result.exception is None, result.output
    assert "Making 30 chest-xray phantoms" in result.output
    assert "AUC, study" in result.output
    card = read_package(tmp_path / "run" / "model").card
    assert card.training_data.phantoms_only
    assert card.evaluation
    for figure in card.evaluation:
        assert figure.command.startswith("acutefindings train own.yaml --set ")
        assert str(tmp_path) not in figure.command
        assert "phantoms kept aside" in figure.data


def test_own_recipes_are_found_in_the_folder_named(tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text("extends: radnet\nid: mine\ntitle: Own\n")
    assert "Own" in run("recipes", "list", "--recipes-folder", str(tmp_path)).output


@pytest.mark.parametrize("words", [("recipes",), ("train", "--help")])
def test_help_is_there(words: tuple[str, ...]) -> None:
    assert "recipe" in run(*words).output.lower()
