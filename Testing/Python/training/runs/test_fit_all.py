"""Cross-validation, then a fit to everybody: figures of answers out of fold, operating points from them, evidence."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from builders import build_head_slices, build_lung_masks, build_nih
from small_runs import silent, small_recipe, small_request

from AcuteFindingsLib.errors import RecipeError
from AcuteFindingsLib.evaluation.evaluate import Request, evaluate
from AcuteFindingsLib.evaluation.masks import dice
from AcuteFindingsLib.models.metadata import Interval
from AcuteFindingsLib.models.package import ModelPackage, read_package
from AcuteFindingsLib.models.verify import verify_package
from AcuteFindingsLib.training.data.read import read_data
from AcuteFindingsLib.training.runs.experiment import run_recipe
from AcuteFindingsLib.training.stages.cross_validation import ANSWERS, read_answers

pytestmark = pytest.mark.slow

FIT_ALL = "data.split={folds: 2, test: 0, validation: 0, fit_all: true}"


def figure(package: ModelPackage, metric: str) -> Interval:
    return next(item for item in package.card.evaluation if item.metric.startswith(metric))


@pytest.fixture(scope="module")
def lungs(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Return data set and folder of a run of the lung recipe."""
    tmp_path = tmp_path_factory.mktemp("lungs")
    folder = build_lung_masks(tmp_path / "data", patients=4)
    phantoms = "count: 3, options: {size: 64}"
    aside = (f"data.measured_on={{seed: 800, {phantoms}}}", f"data.tuned_on={{seed: 700, {phantoms}}}")
    more = ("evidence={columns: 3, caption: Of a test.}", *aside)
    recipe = small_recipe("lungs-unet", FIT_ALL, *more)
    summary = run_recipe(small_request(recipe, tmp_path, data=folder), progress=silent)
    assert [fold["fold"] for fold in summary.folds] == ["all"]
    return folder, tmp_path / "run"


def test_every_patient_is_answered_by_a_network_that_saw_none_of_its_images(lungs: tuple[Path, Path]) -> None:
    data, run = lungs
    table = read_data("lung-masks", data)
    held_out = [read_answers([run / "run-0" / f"fold-{fold}"]) for fold in range(2)]
    people = [{mask.patient for mask in one.masks} for one in held_out]
    assert not people[0] & people[1]
    pooled = read_answers([run / "run-0" / f"fold-{fold}" for fold in range(2)])
    assert sorted(mask.key for mask in pooled.masks) == sorted(table.keys)
    told = json.loads((run / "run-0" / "all" / "fold.json").read_text())
    assert told["pictures"] == {"train": len(table), "validation": 0, "test": 0}


def test_figures_and_operating_points_are_those_of_the_cross_validation(lungs: tuple[Path, Path]) -> None:
    _, run = lungs
    package = read_package(run / "model")
    verify_package(package)
    assert (run / "model" / "checksums.json").read_bytes() == (
        run / "run-0" / "all" / "model" / "checksums.json"
    ).read_bytes()
    masks = read_answers([run / "run-0" / f"fold-{fold}" for fold in range(2)]).masks
    (point,) = package.card.operating_points
    told, phantoms = (figure(package, metric) for metric in ("Dice", "Dice, phantoms"))
    assert (phantoms.count, "seeds 800 to 802" in phantoms.data) == (3, True)
    assert "seeds 700 to 702" in point.chosen
    assert told.value == pytest.approx(np.mean([dice(one.truth, one.soft >= 255 * point.threshold) for one in masks]))
    assert told.count == len(masks)
    assert "saw nothing of its patient (2 folds)" in told.data
    assert "chosen on these answers" in told.data
    assert "chosen on these answers" not in phantoms.data
    assert "cross-validation" in point.chosen


def test_the_sheet_in_the_package_shows_no_image_and_the_worst_first(lungs: tuple[Path, Path]) -> None:
    _, run = lungs
    package = read_package(run / "model")
    (picture,) = package.card.pictures
    assert picture.file == "evidence-without-images.png"
    assert (package.folder / "docs" / picture.file).read_bytes().startswith(b"\x89PNG")
    assert picture.caption.startswith("Of a test. ")
    assert "must not be shown" in picture.caption
    assert (run / "run-0" / "all" / "evidence.png").is_file()
    assert not (package.folder / "docs" / "evidence.png").exists()


def test_a_stopped_cross_validation_goes_on_with_the_folds_that_are_done(tmp_path: Path) -> None:
    folder = build_lung_masks(tmp_path / "data", patients=4)
    recipe = small_recipe("lungs-unet", FIT_ALL)
    run_recipe(small_request(recipe, tmp_path, data=folder), progress=silent)
    first = tmp_path / "run" / "run-0" / "fold-0" / ANSWERS
    before = first.stat().st_mtime_ns
    (tmp_path / "run" / "run-0" / "all" / "fold.json").unlink()
    run_recipe(small_request(recipe, tmp_path, data=folder, resume=True), progress=silent)
    assert first.stat().st_mtime_ns == before
    assert (tmp_path / "run" / "run-0" / "all" / "fold.json").is_file()


def test_the_answers_lie_in_the_package_and_give_its_figures_again(tmp_path: Path) -> None:
    folder = build_nih(tmp_path / "data", patients=12)
    labels = "[pneumothorax, effusion, cardiomegaly]"
    recipe = small_recipe(
        "chest-pathologies",
        FIT_ALL,
        "data.kind=nih",
        f"data.labels={labels}",
        f"network.arguments.pathologies={labels}",
    )
    run_recipe(small_request(recipe, tmp_path, data=folder), progress=silent)
    package = read_package(tmp_path / "run" / "model")
    table = package.folder / "docs" / "cross-validation-study.csv"
    (level,) = evaluate(table, Request(truth=next(folder.glob("Data_Entry*.csv")))).levels
    again = next(item.auc for item in level.labels if item.label == "pneumothorax")
    assert again.value == pytest.approx(figure(package, "AUC, study, pneumothorax").value, abs=1e-9)
    guess = figure(package, "CWCE of one who does not look")
    assert guess.low <= guess.value <= guess.high
    with table.open() as stream:
        assert len(list(csv.reader(stream))) == 1 + figure(package, "CWCE, study").count


def test_slices_whose_mask_nobody_drew_are_shown_with_what_the_network_marks(tmp_path: Path) -> None:
    folder = build_head_slices(tmp_path / "data", patients=10)
    recipe = small_recipe(
        "radnet-phantoms", "data.kind=head-slices", "data.split={folds: 1, test: 0.4, validation: 0.3}", "evidence={}"
    )
    run_recipe(small_request(recipe, tmp_path, data=folder), progress=silent)
    package = read_package(tmp_path / "run" / "model")
    (picture,) = package.card.pictures
    assert "the heat is the mask's probability" in picture.caption
    # Of those with hemorrhage nobody knows the mask, so no overlap can be told.
    assert not [one for one in package.card.evaluation if one.metric.startswith("Dice")]


def test_a_fit_to_everybody_follows_a_cross_validation_of_everybody() -> None:
    with pytest.raises(RecipeError, match="folds above 1, test 0"):
        small_recipe("lungs-unet", "data.split={folds: 2, test: 0.2, fit_all: true}")


def test_a_cross_validation_answers_images_as_they_are_not_ones_drawn_into() -> None:
    with pytest.raises(RecipeError, match="drawn_aside: a cross-validation answers each image as it is"):
        small_recipe("lungs-unet", FIT_ALL, "data.drawn_aside={each: 1}")
