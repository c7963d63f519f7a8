"""The CT angiogram phantom: its HU, its anatomy and the truth it states about itself."""

from functools import cache, partial

import numpy as np
import pytest
from scipy import ndimage

from AcuteFindingsLib.phantoms.ctpa import generate
from AcuteFindingsLib.phantoms.ctpa.generate import SLICE_AREA_MM2
from AcuteFindingsLib.phantoms.phantom import Phantom

pytestmark = pytest.mark.slow

make_ctpa = partial(generate.make_ctpa, finding="pe")

POSITIVE_SEEDS = (5, 18)
RSNA_LABELS = {"pe", "central", "left", "right", "rv_lv_ge_1", "chronic", "acute_and_chronic", "indeterminate"}


@cache
def small(seed: int, positive: bool | None = None, contrast: float | None = None) -> Phantom:
    """A phantom small enough for tests; equal arguments give the same object, which no test changes."""
    return make_ctpa(seed, positive=positive, matrix=128, slice_spacing=4.0, contrast=contrast)


@cache
def sharp_positive(seed: int) -> Phantom:
    """One with voxels fine enough to measure small arteries and clots."""
    return make_ctpa(seed, positive=True, matrix=256, slice_spacing=3.0)


def blood(phantom: Phantom) -> np.ndarray:
    """HU well inside the open arteries."""
    inside = ndimage.binary_erosion(phantom.masks["pulmonary_artery"]) & ~ndimage.binary_dilation(
        phantom.masks["embolus"], iterations=2
    )
    return phantom.array[inside]


def chord_across_septum(mask: np.ndarray, normal: tuple[float, float], spacing: tuple[float, float, float]) -> float:
    """Longest run of a ventricle across the septum in any axial slice, mm: how a radiologist measures it."""
    turned = np.rad2deg(np.arctan2(normal[1], normal[0]))
    longest = 0.0
    for plane in mask[mask.any(axis=(1, 2))]:
        upright = ndimage.rotate(plane.astype(np.float32), turned, reshape=True, order=1) > 0.5
        longest = max(longest, float(upright.sum(axis=1).max()) * spacing[2])
    return longest


def test_same_seed_gives_the_same_voxels() -> None:
    again = make_ctpa(3, positive=True, matrix=128, slice_spacing=4.0)
    first = small(3, True)
    np.testing.assert_array_equal(first.array, again.array)
    assert first.study_labels == again.study_labels
    assert all(np.array_equal(first.masks[name], again.masks[name]) for name in first.masks)


def test_different_seeds_give_different_patients() -> None:
    first, second = small(3, True), small(5, True)
    assert first.spacing != second.spacing
    assert first.parameters["chest"] != second.parameters["chest"]


def test_array_and_masks_are_typed_and_shaped_as_a_phantom() -> None:
    phantom = small(3, True)
    assert phantom.kind == "ctpa"
    assert phantom.array.dtype == np.float32
    assert phantom.array.shape[1:] == (128, 128)
    assert phantom.array.min() >= -1024
    assert phantom.array.max() <= 3071
    assert {"embolus", "pulmonary_artery", "lungs", "heart", "right_ventricle", "left_ventricle"} <= set(phantom.masks)
    assert all(mask.dtype == np.uint8 and mask.shape == phantom.array.shape for mask in phantom.masks.values())
    assert next(iter(phantom.slice_labels)) == "pe"
    assert set(phantom.study_labels) >= RSNA_LABELS


def test_field_of_view_does_not_depend_on_the_matrix() -> None:
    phantom = make_ctpa(5, positive=True, matrix=96, slice_spacing=6.0)
    assert phantom.spacing[1] * 96 == pytest.approx(small(5, True).spacing[1] * 128)
    assert 310 <= phantom.spacing[1] * 96 <= 430
    assert 240 <= phantom.spacing[0] * len(phantom.array) <= 340


@pytest.mark.parametrize("seed", POSITIVE_SEEDS)
def test_emboli_lie_inside_the_arteries_and_are_darker_than_the_blood(seed: int) -> None:
    phantom = small(seed, True)
    embolus = phantom.masks["embolus"] > 0
    assert phantom.positive
    assert embolus.any()
    assert not (embolus & (phantom.masks["pulmonary_artery"] == 0)).any()
    assert 1 <= len(phantom.parameters["emboli"]) <= 6
    sharp = sharp_positive(seed)
    core = ndimage.binary_erosion(sharp.masks["embolus"], np.ones((1, 2, 2))) > 0
    assert core.any()
    assert np.median(blood(sharp)) - np.median(sharp.array[core]) > 80


def test_negative_study_has_no_embolus_and_no_positive_label() -> None:
    phantom = small(3, False)
    assert not phantom.positive
    assert not phantom.masks["embolus"].any()
    assert phantom.study_labels["clot_volume_ml"] == 0
    assert all(phantom.study_labels[name] == 0 for name in ("pe", "central", "left", "right", "chronic"))


def test_anatomy_does_not_depend_on_contrast() -> None:
    np.testing.assert_array_equal(small(3, False).masks["lungs"], small(3, False, 0.0).masks["lungs"])


@pytest.mark.parametrize("seed", POSITIVE_SEEDS)
def test_labels_follow_from_the_masks(seed: int) -> None:
    phantom = small(seed, True)
    area = phantom.masks["embolus"].sum(axis=(1, 2)) * phantom.spacing[1] * phantom.spacing[2]
    np.testing.assert_array_equal(phantom.slice_labels["pe"], area >= SLICE_AREA_MM2)
    for name in ("pe", "central", "left", "right"):
        assert phantom.study_labels[name] == float(phantom.slice_labels[name].any())
        assert not (phantom.slice_labels[name] & ~phantom.slice_labels["pe"]).any()
    volume = phantom.masks["embolus"].sum() * np.prod(phantom.spacing) / 1000
    assert phantom.study_labels["clot_volume_ml"] == pytest.approx(volume)
    assert phantom.study_labels["rv_lv_ge_1"] == float(phantom.study_labels["rv_lv_ratio"] >= 1)


@pytest.mark.parametrize("seed", POSITIVE_SEEDS)
def test_left_and_right_are_the_patients(seed: int) -> None:
    phantom = small(seed, True)
    embolus, pixel = phantom.masks["embolus"], phantom.spacing[1] * phantom.spacing[2]
    halves = {"right": embolus[:, :, :64], "left": embolus[:, :, 64:]}
    peripheral = ~phantom.slice_labels["central"]
    for side, half in halves.items():
        area = half.sum(axis=(1, 2)) * pixel
        np.testing.assert_array_equal(phantom.slice_labels[side][peripheral], (area >= SLICE_AREA_MM2)[peripheral])


@pytest.mark.parametrize("contrast", [0.0, 200.0, 420.0])
def test_blood_has_the_hu_that_was_asked_for(contrast: float) -> None:
    phantom = small(3, False, contrast)
    wanted = contrast or 40.0
    assert np.median(blood(phantom)) == pytest.approx(wanted, abs=8 + 0.08 * wanted)
    if not contrast:
        ventricle = ndimage.binary_erosion(phantom.masks["right_ventricle"])
        assert np.median(phantom.array[ventricle]) == pytest.approx(40, abs=8)


def test_without_contrast_the_study_is_indeterminate_and_drawn_without_clot() -> None:
    for seed in (40, 41):
        phantom = small(seed, None, 0.0)
        assert phantom.study_labels["indeterminate"] == 1
        assert not phantom.positive
    assert small(3, True).study_labels["indeterminate"] == 0


@pytest.mark.parametrize("seed", POSITIVE_SEEDS)
def test_lungs_have_the_hu_and_the_volume_of_aerated_lung(seed: int) -> None:
    phantom = small(seed, True)
    lungs = phantom.masks["lungs"] > 0
    assert -905 < np.median(phantom.array[lungs]) < -780
    assert 2.5 < lungs.sum() * np.prod(phantom.spacing) / 1e6 < 8.0


@pytest.mark.parametrize("seed", POSITIVE_SEEDS)
def test_arteries_taper_and_reach_into_both_lungs(seed: int) -> None:
    phantom = sharp_positive(seed)
    artery = phantom.masks["pulmonary_artery"] > 0
    radius = ndimage.distance_transform_edt(artery, sampling=phantom.spacing)
    ridge = artery & (radius == ndimage.maximum_filter(radius, size=3))
    trunk = np.unravel_index(radius.argmax(), radius.shape)
    places = np.argwhere(ridge) * phantom.spacing
    away = np.linalg.norm(places - np.array(trunk) * phantom.spacing, axis=1)
    width = radius[ridge]
    assert width[away < 40].mean() > 1.5 * width[away > 80].mean()
    peripheral = np.argwhere(artery & (phantom.masks["lungs"] > 0))
    middle = trunk[2] - 20 / phantom.spacing[2]
    assert (peripheral[:, 2] < middle - 60 / phantom.spacing[2]).sum() > 100
    assert (peripheral[:, 2] > middle + 60 / phantom.spacing[2]).sum() > 100


@pytest.mark.parametrize("seed", [3, 5, 8, 13, 18])
def test_ventricles_have_the_stated_diameter_ratio(seed: int) -> None:
    phantom = small(seed, True)
    normal = phantom.parameters["septal_normal"]
    right = chord_across_septum(phantom.masks["right_ventricle"], normal, phantom.spacing)
    left = chord_across_septum(phantom.masks["left_ventricle"], normal, phantom.spacing)
    assert right / left == pytest.approx(phantom.study_labels["rv_lv_ratio"], rel=0.16)


@pytest.mark.parametrize(("name", "value"), [("matrix", 32), ("slice_spacing", 0.0)])
def test_impossible_grid_is_refused(name: str, value: float) -> None:
    with pytest.raises(ValueError, match=name):
        make_ctpa(1, **{name: value})  # type: ignore[arg-type]
