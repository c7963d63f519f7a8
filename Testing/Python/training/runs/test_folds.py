"""Folds, runs and corrections: who is trained on, who is measured on, what the summary says."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from builders import build_corrections, build_padchest, build_rsna_hemorrhage
from small_runs import silent, small_recipe, small_request

from AcuteFindingsLib.errors import DataError, TrainingError
from AcuteFindingsLib.training.data.read import read_data
from AcuteFindingsLib.training.recipes.schema import Recipe
from AcuteFindingsLib.training.runs.data import drawn, not_measured_on, open_data, parts, require_both_classes
from AcuteFindingsLib.training.runs.experiment import run_recipe


def with_split(recipe: Recipe, **split) -> Recipe:
    data = recipe.data.model_copy(update={"split": recipe.data.split.model_copy(update=split)})
    return recipe.model_copy(update={"data": data})


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory):
    folder = build_rsna_hemorrhage(tmp_path_factory.mktemp("heads"), patients=12)
    return read_data("rsna-hemorrhage", folder)


def patients(table) -> set[str]:
    return set(table.rows["patient"])


@pytest.mark.slow
@pytest.mark.parametrize(("folds", "test"), [(1, 0.25), (3, 0.25), (3, 0.0)])
def test_no_patient_is_on_two_sides_and_every_fold_holds_out_others(table, folds: int, test: float) -> None:
    recipe = with_split(small_recipe("radnet"), folds=folds, test=test, validation=0.25)
    turns = [parts(recipe, table, fold) for fold in range(folds)]
    for turn in turns:
        sides = [patients(turn.train), patients(turn.validation), patients(turn.test)]
        assert all(sides)
        assert sum(map(len, sides)) == len(patients(table)) == len(set.union(*sides))
    if folds > 1 and test:
        # The same patients are measured on in every fold.
        assert len({frozenset(patients(turn.test)) for turn in turns}) == 1
        held_out = [patients(turn.validation) for turn in turns]
        assert set.union(*held_out) == patients(table) - patients(turns[0].test)
    elif folds > 1:
        held_out = [patients(turn.test) for turn in turns]
        assert sum(map(len, held_out)) == len(set.union(*held_out)) == len(patients(table))


@pytest.mark.slow
def test_as_many_of_each_class_are_drawn(table) -> None:
    recipe = small_recipe("pe-slice-cnn", "data.per_class=9")
    chosen = drawn(recipe, table).count()
    assert (chosen.positive, chosen.negative) == (9, 9)
    whole = drawn(recipe.model_copy(update={"data": recipe.data.model_copy(update={"per_class": 10_000})}), table)
    assert whole.count().positive == whole.count().negative == min(table.count().positive, table.count().negative)


def test_who_is_left_out_is_on_no_side(table) -> None:
    left = sorted(patients(table))[:2]
    recipe = small_recipe("radnet", f"data.leave_out={left}")
    assert patients(drawn(recipe, table)) == patients(table) - set(left)


def test_corrections_of_patients_kept_aside_are_not_trained_on(table) -> None:
    turn = parts(small_recipe("radnet"), table, 0)
    for side, left in ((turn.train, len(turn.train)), (turn.validation, 0), (turn.test, 0)):
        assert len(not_measured_on(side, turn)) == left


@pytest.mark.slow
def test_patients_who_are_left_out_are_left_out_of_corrections_too(tmp_path: Path, data) -> None:
    folder = build_corrections(tmp_path / "corrections", count=2, planes=6, size=64)
    patients = sorted(set(read_data("corrections", folder, task="hemorrhage").rows["patient"]))
    for left_out in (patients[:1], patients):
        found = open_data(
            small_recipe("radnet", f"data.leave_out={left_out}"),
            data("rsna-hemorrhage", "head-ct"),
            corrections=folder,
            cache=tmp_path / "cache",
            workers=0,
            progress=silent,
            tell=[].append,
        )
        known = set() if found.extra is None else set(found.extra.rows["patient"])
        assert known == set(patients) - set(left_out)


@pytest.mark.slow
def test_corrections_are_trained_on_and_not_measured_on(tmp_path: Path, data) -> None:
    told: list[str] = []
    recipe = small_recipe("radnet")
    request = small_request(
        recipe,
        tmp_path,
        told=told,
        data=data("rsna-hemorrhage", "head-ct"),
        corrections=build_corrections(tmp_path / "corrections", count=3, planes=6, size=64),
    )
    run_recipe(request, progress=silent)
    plain = json.loads((tmp_path / "run" / "run-0" / "fold-0" / "fold.json").read_text())
    assert any("corrected images are trained on and not measured on" in line for line in told)
    assert plain["stages"][0]["examples"] > plain["patients"]["train"]
    summary = (tmp_path / "run" / "model" / "docs" / "README.md").read_text()
    assert "corrected by annotators" in summary


@pytest.mark.slow
def test_runs_and_folds_are_summed_up_and_the_best_is_the_package(tmp_path: Path) -> None:
    folder = build_padchest(tmp_path / "data", patients=24)
    recipe = small_recipe("chest-pathologies", "runs=2", "data.split={folds: 2, test: 0.3}")
    summary = run_recipe(small_request(recipe, tmp_path, data=folder), progress=silent)
    assert [(fold["run"], fold["fold"]) for fold in summary.folds] == [(0, 0), (0, 1), (1, 0), (1, 1)]
    row = next(row for row in summary.rows if row.metric == "AUC, study, pneumothorax")
    assert len(row.values) == 4
    assert row.spread == pytest.approx(float(np.std(row.values, ddof=1)))
    losses = [fold["stages"][-1]["best_val_loss"] for fold in summary.folds]
    best = summary.folds[int(np.argmin(losses))]
    chosen = tmp_path / "run" / f"run-{best['run']}" / f"fold-{best['fold']}" / "model" / "checksums.json"
    assert (tmp_path / "run" / "model" / "checksums.json").read_bytes() == chosen.read_bytes()
    written = json.loads((tmp_path / "run" / "summary.json").read_text())
    assert written["best"] == {"run": best["run"], "fold": best["fold"]}
    assert {figure["metric"] for figure in written["figures"]} >= {"CWCE, study", "AUC, study, pneumothorax"}
    assert "AUC, study, pneumothorax" in (tmp_path / "run" / "summary.md").read_text()
    # The runs of one fold score the same images: the form of source 5 holds them side by side.
    with (tmp_path / "run" / "predictions-runs.csv").open() as stream:
        header, values = list(csv.reader(stream))
    assert header == ["Preds_model1", "Preds_model2"]
    assert len({len(json.loads(cell)) for cell in values}) == 1


def test_a_data_set_for_another_task_is_refused(tmp_path: Path, table) -> None:
    with pytest.raises(DataError, match="is for hemorrhage; the recipe lungs-unet trains lungs"):
        open_data(
            small_recipe("lungs-unet"),
            table.root,
            corrections=None,
            cache=tmp_path,
            workers=0,
            progress=silent,
            tell=lambda _: None,
        )


def test_one_class_alone_is_nothing_to_learn_from() -> None:
    with pytest.raises(TrainingError, match="Of the 3 slices to fit to none is positive"):
        require_both_classes(np.zeros(3, bool), "slices")


def test_a_folder_stays_free_where_the_data_could_not_be_used(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError):
        run_recipe(small_request(small_recipe("radnet"), tmp_path, data=tmp_path / "empty"), progress=silent)
    assert not (tmp_path / "run" / "recipe.yaml").exists()
