from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from AcuteFindingsLib.preprocessing.lungs_heart import PUBLISHED, lungs_heart_mask


def dice(a: np.ndarray, b: np.ndarray) -> float:
    return 2 * (a & b).sum() / (a.sum() + b.sum())


def test_mask_holds_lungs_and_heart_but_neither_chest_wall_nor_table(chest):
    hu, lungs, heart = chest
    mask = lungs_heart_mask(hu[None])[0]
    assert mask[lungs].mean() > 0.99
    assert mask[heart].all()
    assert mask.sum() < 1.35 * (lungs | heart).sum()
    assert not mask[:70].any()
    assert not mask[190:].any()


def test_slices_without_lungs_are_empty(chest):
    hu, lungs, _ = chest
    abdomen = np.where(lungs, 40, hu)
    assert not lungs_heart_mask(np.stack([abdomen, np.full_like(hu, -1000)])).any()


def test_small_and_flat_pockets_of_air_are_left_out(chest):
    hu, lungs, _ = chest
    abdomen = np.where(lungs, 40, hu)
    abdomen[120:127, 100:107] = -900
    abdomen[150:155, 60:190] = -900
    assert not lungs_heart_mask(abdomen[None]).any()


def test_a_round_pocket_of_the_same_area_as_a_flat_one_stays(chest):
    hu, lungs, _ = chest
    air = np.where(lungs, 40, hu)
    air[115:140, 115:141] = -900
    assert lungs_heart_mask(air[None]).any()


def test_slices_do_not_depend_on_how_many_are_handed_in(chest):
    hu, _, _ = chest
    rng = np.random.default_rng(0)
    stack = np.stack([hu + rng.normal(0, 20, hu.shape).astype(np.float32) for _ in range(20)])
    one_by_one = np.concatenate([lungs_heart_mask(plane[None]) for plane in stack])
    np.testing.assert_array_equal(lungs_heart_mask(stack), one_by_one)


def test_lungs_that_a_cropped_field_cuts_off_are_found(chest):
    hu, lungs, heart = chest
    crop = (slice(70, 186), slice(80, 176))
    mask = lungs_heart_mask(hu[crop][None], spacing_yx=(1.4, 1.4))[0]
    assert mask[(lungs | heart)[crop]].mean() > 0.97


def test_mask_in_mm_does_not_depend_on_the_matrix():
    from AcuteFindingsLib.preprocessing.resample import resize_in_plane

    y, x = np.mgrid[:512, :512]
    body = ((y - 256) / 150) ** 2 + ((x - 256) / 220) ** 2 <= 1
    lungs = (((y - 256) / 100) ** 2 + ((np.abs(x - 256) - 86) / 70) ** 2) <= 1
    fine = np.where(lungs, -850, np.where(body, 40, -1000)).astype(np.float32)[None]
    coarse = resize_in_plane(fine, (256, 256))
    masks = lungs_heart_mask(fine, spacing_yx=(0.7, 0.7))[:, ::2, ::2], lungs_heart_mask(coarse, spacing_yx=(1.4, 1.4))
    assert dice(*masks) > 0.98


@pytest.mark.slow
def test_working_resolution_agrees_with_the_published_one_on_a_real_chest(real_chest):
    spacing = (0.78125, 0.78125)
    full = lungs_heart_mask(
        real_chest, spacing_yx=spacing, settings=replace(PUBLISHED, working_pixel_mm=PUBLISHED.published_pixel_mm)
    )
    assert dice(lungs_heart_mask(real_chest, spacing_yx=spacing), full) > 0.97


@pytest.mark.slow
def test_real_lungs_lie_in_the_mask_and_the_table_does_not(real_chest):
    mask = lungs_heart_mask(real_chest, spacing_yx=(0.78125, 0.78125))
    middle = slice(100, 400)
    lung = (real_chest > -930) & (real_chest < -700)
    assert mask[:, 160:330, middle][lung[:, 160:330, middle]].mean() > 0.9
    assert mask.any(axis=(1, 2)).all()
    assert not mask[:, 440:].any()
    assert not mask[:, :, :40].any()


def test_the_real_angiogram_cut_to_a_box_keeps_its_pulmonary_arteries(data_folder: Path):
    folder = data_folder / "cta-pulmonary-artery"
    hu = sitk.GetArrayFromImage(sitk.ReadImage(str(folder / "ct_cropped.nii.gz"))).astype(np.float32)
    arteries = sitk.GetArrayFromImage(sitk.ReadImage(str(folder / "pulmonary_artery.nii.gz"))) > 0
    mask = lungs_heart_mask(hu, spacing_yx=(1.5, 1.5))
    assert mask[arteries].mean() > 0.99
