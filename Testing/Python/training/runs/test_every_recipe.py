"""Each recipe from data to package, on so little that it learns nothing but takes every step."""

import json
from pathlib import Path

import pytest
from small_runs import silent, small_recipe, small_request

from AcuteFindingsLib.models.package import read_package
from AcuteFindingsLib.models.verify import verify_package
from AcuteFindingsLib.training.recipes.read import list_recipes
from AcuteFindingsLib.training.runs.experiment import run_recipe

pytestmark = pytest.mark.slow

NAMES = [one.name for one in list_recipes()]


@pytest.mark.parametrize("name", NAMES)
def test_a_recipe_trains_measures_and_writes_a_package(name: str, tmp_path: Path, data, cache_folder: Path) -> None:
    recipe = small_recipe(name)
    told: list[str] = []
    folder = data(recipe.data.kind, recipe.phantom_kind)
    run_recipe(small_request(recipe, tmp_path, told=told, data=folder, cache=cache_folder), progress=silent)
    package = read_package(tmp_path / "run" / "model")
    verify_package(package)
    assert package.card.id == recipe.id
    assert package.card.training_data.phantoms_only == (recipe.data.kind == "phantoms")
    fold = json.loads((tmp_path / "run" / "run-0" / "fold-0" / "fold.json").read_text())
    trained = [stage for stage in recipe.stages.present() if stage != "encode"]
    assert [stage["stage"] for stage in fold["stages"]] == trained
    assert all(stage["epochs"] == 1 for stage in fold["stages"])
    assert (tmp_path / "run" / "summary.html").is_file()
    for stage in trained:
        folder = tmp_path / "run" / "run-0" / "fold-0" / stage
        assert (folder / "csv" / "version_0" / "metrics.csv").is_file()
        assert list((folder / "tensorboard").glob("events*"))
