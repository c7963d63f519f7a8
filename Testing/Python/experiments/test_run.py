"""The experiments of Testing/Experiments, two steps each."""

import json
import sys
from collections.abc import Callable
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch

from AcuteFindingsLib.training.recipes.read import read_recipe

EXPERIMENTS = Path(__file__).resolve().parents[2] / "Experiments"
if str(EXPERIMENTS) not in sys.path:
    sys.path.insert(0, str(EXPERIMENTS))

import run  # noqa: E402
from comparisons.figures import Answered, accuracy_difference, auc_difference, independent_difference  # noqa: E402
from comparisons.planted import BY_CHANCE, PLANTED, TUBE, drawn, planted_phantom  # noqa: E402


@pytest.fixture(autouse=True)
def one_thread():
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Run an experiment once, quickly; returns the folder with its results beside its work."""

    @cache
    def make(name: str) -> Path:
        folder = tmp_path_factory.mktemp(name)
        run.main(_arguments(name, folder))
        return folder

    return make


def _arguments(name: str, folder: Path) -> list[str]:
    return [name, "--quick", "--threads", "1", "--work", str(folder / "work"), "--out", str(folder)]


@pytest.mark.slow
@pytest.mark.parametrize("name", run.NAMES)
def test_every_experiment_runs_and_prints_its_table(name: str, ran: Callable[[str], Path]):
    folder = ran(name)
    page = (folder / f"{name}.md").read_text(encoding="utf-8")
    assert f"python Testing/Experiments/run.py {name} --quick" in page
    assert "These numbers mean nothing" in page
    assert json.loads((folder / f"{name}.json").read_text(encoding="utf-8"))["seconds"]["all"]["seconds"] > 0
    pictures = [line.rsplit("(", 1)[1].rstrip(")") for line in page.splitlines() if line.startswith("![")]
    assert pictures
    assert all((folder / one).stat().st_size > 5000 for one in pictures)


@pytest.mark.slow
def test_an_arm_that_is_trained_is_not_trained_again(ran: Callable[[str], Path]):
    folder = ran("hemorrhage")
    arms = sorted((folder / "work" / "arms").glob("*/run-0/fold-0/fold.json"))
    first = [path.stat().st_mtime_ns for path in arms]
    figures = json.loads((folder / "hemorrhage.json").read_text(encoding="utf-8"))["figures"]
    run.main(_arguments("hemorrhage", folder))
    assert len(arms) == 3
    assert [path.stat().st_mtime_ns for path in arms] == first
    assert json.loads((folder / "hemorrhage.json").read_text(encoding="utf-8"))["figures"] == figures


def test_every_recipe_of_the_folder_is_whole():
    for path in sorted((EXPERIMENTS / "recipes").glob("*.yaml")):
        recipe = read_recipe(path)
        assert recipe.data.kind == "phantoms"
        # Published figures belong to the shipped recipes: those of patients are not these phantoms'.
        assert not recipe.published


def test_tubes_go_with_pneumothorax_only_where_planted():
    planted = np.array([drawn(seed, PLANTED) for seed in range(400)])
    by_chance = np.array([drawn(seed, BY_CHANCE) for seed in range(400)])
    assert np.array_equal(planted[:, 0], by_chance[:, 0])
    assert planted[planted[:, 0], 1].mean() > 0.9
    assert planted[~planted[:, 0], 1].mean() < 0.1
    assert abs(by_chance[by_chance[:, 0], 1].mean() - by_chance[~by_chance[:, 0], 1].mean()) < 0.15


def test_a_planted_phantom_shows_what_was_drawn():
    for seed in range(4):
        positive, tube = drawn(seed, BY_CHANCE)
        phantom = planted_phantom(seed, BY_CHANCE, size=64)
        assert bool(phantom.slice_labels["pneumothorax"][0]) == positive
        assert bool(phantom.slice_labels[TUBE][0]) == tube
        assert not phantom.slice_labels["endotracheal"][0]


def _answered(score: np.ndarray, truth: np.ndarray, patients: np.ndarray | None = None) -> Answered:
    return Answered("x", truth, score, np.arange(len(truth)) if patients is None else patients, 0.5)


def test_differences_point_to_the_better_arm():
    generator = np.random.default_rng(0)
    truth = generator.random(120) < 0.5
    good = _answered(np.clip(truth + generator.normal(0, 0.3, 120), 0, 1), truth)
    poor = _answered(generator.random(120), truth)
    by_auc, by_accuracy = auc_difference(good, poor, "AUC"), accuracy_difference(good, poor, "accuracy")
    assert by_auc.method == "DeLong"
    for difference in (by_auc, by_accuracy):
        assert difference.low > 0
        assert difference.p_value < 0.001
    assert independent_difference("", "", good, poor).low > 0


def test_slices_of_one_phantom_are_not_taken_for_independent():
    generator = np.random.default_rng(0)
    truth = generator.random(120) < 0.5
    patients = np.repeat(np.arange(12), 10)
    one, other = (_answered(generator.random(120), truth, patients) for _ in range(2))
    difference = auc_difference(one, other, "AUC")
    assert "bootstrap" in difference.method
    assert difference.p_value is None
