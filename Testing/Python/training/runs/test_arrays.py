"""Labels and masks stay with their pictures through the detectors' preprocessing."""

from pathlib import Path

import numpy as np
import pytest
from builders import build_phantoms, build_rsna_hemorrhage, build_siim, patient
from small_runs import silent, small_recipe

from AcuteFindingsLib.errors import TrainingError
from AcuteFindingsLib.training.data.read import read_data
from AcuteFindingsLib.training.runs.arrays import Preparation, prepared_arrays
from AcuteFindingsLib.training.runs.labels import trained_labels
from AcuteFindingsLib.training.runs.store import prepare, units


def plan_of(name: str, *more: str, **changes) -> Preparation:
    recipe = small_recipe(name, *more)
    values = {
        "task": recipe.task,
        "settings": recipe.settings().model_dump(),
        "labels": trained_labels(recipe),
        "form": recipe.form,
    }
    return Preparation(**{**values, **changes})


def first_unit(table, plan: Preparation):
    return tuple(table.example(row) for row in next(iter(units(table, series=plan.series).values())))


def test_slices_of_a_head_keep_their_labels_and_masks(tmp_path: Path) -> None:
    phantom = patient("head-ct", 0)
    plan = plan_of("radnet-phantoms")
    table = read_data("phantoms", build_phantoms(tmp_path, "head-ct", patients=1), task="hemorrhage")
    arrays = prepared_arrays(first_unit(table, plan), plan)
    truth = phantom.slice_labels["any"]
    assert arrays["labels"][:, 0].tolist() == truth.astype(float).tolist()
    assert arrays["positive"].tolist() == truth.tolist()
    assert arrays["mask_known"].all()
    drawn = arrays["masks"].reshape(len(truth), -1).any(axis=1)
    assert not (drawn & ~truth).any()
    assert drawn.sum() >= truth.sum() / 2
    # Fresh blood is brighter than what lies around it.
    inside = arrays["images"][arrays["masks"] > 0].mean()
    outside = arrays["images"][truth][(arrays["masks"][truth] == 0) & (arrays["images"][truth] > 60)].mean()
    assert inside > outside


def test_a_head_without_masks_has_known_masks_only_where_nothing_bleeds(tmp_path: Path) -> None:
    plan = plan_of("radnet")
    table = read_data("rsna-hemorrhage", build_rsna_hemorrhage(tmp_path, patients=1))
    arrays = prepared_arrays(first_unit(table, plan), plan)
    assert arrays["mask_known"].tolist() == (arrays["labels"][:, 0] == 0).tolist()
    assert not arrays["masks"].any()


@pytest.mark.slow
def test_slices_of_a_ctpa_keep_labels_and_clots_when_they_are_resampled(tmp_path: Path) -> None:
    phantom = patient("ctpa", 0)
    table = read_data("phantoms", build_phantoms(tmp_path, "ctpa", patients=1), task="pe")
    plan = plan_of("pe-phantoms")
    arrays = prepared_arrays(first_unit(table, plan), plan)
    truth = phantom.slice_labels["pe"]
    assert arrays["labels"][:, 0].tolist() == truth.astype(float).tolist()
    assert arrays["masks"].shape == (len(truth), 16, 16)
    drawn = arrays["masks"].reshape(len(truth), -1).any(axis=1)
    assert drawn[truth].any()
    assert not drawn[~truth].any()
    assert arrays["exam"][0] == 1
    finer = prepared_arrays(first_unit(table, plan), plan_of("pe-phantoms", "preprocessing.slice_mm=5"))
    assert len(finer["labels"]) == pytest.approx(2 * len(truth), abs=1)
    assert finer["labels"][:, 0].sum() == pytest.approx(2 * truth.sum(), abs=2)


@pytest.fixture(scope="module")
def radiographs(tmp_path_factory: pytest.TempPathFactory):
    return read_data("siim", build_siim(tmp_path_factory.mktemp("siim"), patients=4))


@pytest.fixture(scope="module")
def with_lungs(tmp_path_factory: pytest.TempPathFactory):
    folder = build_phantoms(tmp_path_factory.mktemp("phantoms"), "chest-xray", patients=2)
    return read_data("phantoms", folder, task="pneumothorax")


def test_the_mask_of_a_radiograph_lies_where_the_run_lengths_say(radiographs) -> None:
    plan = plan_of("pneumothorax-unet")
    for row in range(len(radiographs)):
        phantom = patient("chest-xray", row)
        arrays = prepared_arrays((radiographs.example(row),), plan)
        truth = phantom.masks["pneumothorax"][0] > 0
        assert (arrays["masks"][0] > 0).tolist() == truth.tolist()
        assert arrays["mask_known"].all()


def test_regions_keep_or_remove_the_lungs(with_lungs) -> None:
    example = with_lungs.example(0)
    whole, only, removed, crop = (
        prepared_arrays((example,), plan_of("pneumothorax-unet", f"data.region={region}"))["images"][0]
        for region in ("whole", "lungs-only", "lungs-removed", "lung-crop")
    )
    lungs = patient("chest-xray", 0).masks["lungs"][0] > 0
    assert np.array_equal(only, whole * lungs)
    assert np.array_equal(removed, whole * ~lungs)
    assert crop.shape == whole.shape
    assert not np.array_equal(crop, whole)


@pytest.mark.slow
def test_arrays_are_made_once_and_anew_when_anything_that_shapes_them_changes(with_lungs, tmp_path: Path) -> None:
    plan = plan_of("pneumothorax-unet")
    first = prepare(with_lungs, plan, tmp_path, workers=0, progress=silent)
    places = {item.folder: (item.folder / "images.npy").stat().st_mtime_ns for item in first.items.values()}
    again = prepare(with_lungs, plan, tmp_path, workers=0, progress=silent)
    assert {item.folder: (item.folder / "images.npy").stat().st_mtime_ns for item in again.items.values()} == places
    for other in (
        plan_of("pneumothorax-unet", "preprocessing.size=32"),
        plan_of("pneumothorax-unet", "data.region=lungs-only"),
    ):
        made = prepare(with_lungs, other, tmp_path, workers=0, progress=silent)
        assert not {item.folder for item in made.items.values()} & set(places)


@pytest.mark.slow
def test_what_cannot_be_read_is_left_out_with_its_reason(tmp_path: Path) -> None:
    folder = build_siim(tmp_path / "siim", patients=3)
    broken = sorted(folder.rglob("*.dcm"))[0]
    table = read_data("siim", folder)
    broken.write_bytes(broken.read_bytes()[:700])
    found = prepare(table, plan_of("pneumothorax-unet"), tmp_path / "cache", workers=0, progress=silent)
    assert len(found.items) == 2
    assert len(found.left_out) == 1
    assert found.left_out[0].reason
    for file in folder.rglob("*.dcm"):
        file.write_bytes(b"nothing")
    with pytest.raises(TrainingError, match="None of the 3 images can be used: "):
        prepare(table, plan_of("pneumothorax-unet"), tmp_path / "cache", workers=0, progress=silent)
