"""The procedural head CT: same seed same voxels, anatomy in HU, each bleed where its mask says."""

from functools import cache, partial

import numpy as np
import pytest
from scipy import ndimage

from AcuteFindingsLib.phantoms.head_ct import generate
from AcuteFindingsLib.phantoms.head_ct.bleeds import BLEED_TYPES
from AcuteFindingsLib.phantoms.head_ct.generate import MIN_SLICE_AREA_MM2
from AcuteFindingsLib.phantoms.phantom import Phantom

pytestmark = pytest.mark.slow

make_head_ct = partial(generate.make_head_ct, finding="hemorrhage")

SPACING_MM = 6.0


@cache
def head(seed: int, kind: str | None = None) -> Phantom:
    """Small head with one bleed, or none."""
    return make_head_ct(seed, bleed_types=[kind] if kind else [], matrix=128, slice_spacing=SPACING_MM)


def middle_slice(phantom: Phantom) -> int:
    """The slice in which the inside of the skull is widest."""
    return int(phantom.masks["brain"].sum(axis=(1, 2)).argmax())


def test_same_seed_gives_the_same_voxels() -> None:
    first = make_head_ct(11, positive=True, matrix=128, slice_spacing=8.0)
    again = make_head_ct(11, positive=True, matrix=128, slice_spacing=8.0)
    assert np.array_equal(first.array, again.array)
    assert all(np.array_equal(first.masks[name], again.masks[name]) for name in first.masks)
    assert first.parameters == again.parameters


def test_different_seeds_give_different_heads() -> None:
    one, other = head(1), head(2)
    assert one.parameters["head"] != other.parameters["head"]
    assert one.array.shape != other.array.shape or np.abs(one.array - other.array).mean() > 10


def test_seed_decides_on_blood_where_the_caller_does_not() -> None:
    found = [bool(make_head_ct(seed, matrix=32, slice_spacing=50.0).parameters["bleeds"]) for seed in range(16)]
    assert 3 <= sum(found) <= 13


@pytest.mark.parametrize("kind", BLEED_TYPES)
def test_each_bleed_has_its_own_mask_of_blood_inside_the_skull(kind: str) -> None:
    phantom = head(21, kind)
    mask = phantom.masks[kind].astype(bool)
    assert phantom.study_labels[kind] == 1.0
    assert 50 <= phantom.array[mask].mean() <= 90
    assert not (mask & ~phantom.masks["brain"].astype(bool)).any()
    others = [name for name in BLEED_TYPES if name != kind]
    assert not any(phantom.masks[name].any() for name in others)
    # The same head without blood is darker there by more than its noise.
    clean = head(21).array
    assert phantom.array[mask].mean() - clean[mask].mean() > 12


def test_epidural_lies_against_the_skull_and_bulges_inwards() -> None:
    phantom = head(21, "epidural")
    mask = phantom.masks["epidural"].astype(bool)
    depth = ndimage.distance_transform_edt(phantom.masks["brain"], sampling=phantom.spacing)
    slice_index = int(mask.sum(axis=(1, 2)).argmax())
    pixel = phantom.spacing[1]
    assert depth[mask].min() <= 2 * pixel + 0.1
    rim = mask[slice_index] & (depth[slice_index] < 3 * pixel)
    assert depth[slice_index][mask[slice_index]].max() > 5.0
    assert ndimage.label(rim)[1] == 1


def test_ventricular_blood_sinks_to_the_back() -> None:
    found = [head(seed, "intraventricular") for seed in range(30, 33)]
    layered = [p for p in found if p.parameters["bleeds"][0]["place"] == "layering"]
    assert layered
    for phantom in layered:
        rows = np.nonzero(phantom.masks["intraventricular"])[1]
        assert (rows.mean() - 63.5) * phantom.spacing[1] > 15.0


def test_negative_study_has_no_blood_anywhere() -> None:
    phantom = make_head_ct(5, positive=False, matrix=128, slice_spacing=SPACING_MM)
    assert not phantom.positive
    assert phantom.study_labels["volume_ml"] == 0
    assert not any(phantom.masks[name].any() for name in (*BLEED_TYPES, "hemorrhage"))
    assert not any(label.any() for label in phantom.slice_labels.values())


def test_labels_say_what_the_masks_hold() -> None:
    phantom = make_head_ct(8, bleed_types=["subdural", "subarachnoid"], matrix=128, slice_spacing=SPACING_MM)
    area = phantom.spacing[1] * phantom.spacing[2]
    for kind in BLEED_TYPES:
        expected = phantom.masks[kind].sum(axis=(1, 2)) * area >= MIN_SLICE_AREA_MM2
        assert np.array_equal(phantom.slice_labels[kind], expected)
        assert phantom.study_labels[kind] == float(expected.any())
    assert next(iter(phantom.slice_labels)) == "any"
    union = np.any([phantom.masks[kind] for kind in BLEED_TYPES], axis=0)
    assert np.array_equal(union, phantom.masks["hemorrhage"].astype(bool))
    assert np.array_equal(phantom.slice_labels["any"], np.any([phantom.slice_labels[k] for k in BLEED_TYPES], axis=0))
    volume = union.sum() * area * phantom.spacing[0] / 1000
    assert phantom.study_labels["volume_ml"] == pytest.approx(volume)
    assert phantom.study_labels["subdural"] == phantom.study_labels["subarachnoid"] == 1.0


def test_bleed_types_do_not_overlap() -> None:
    phantom = make_head_ct(9, bleed_types=list(BLEED_TYPES), matrix=128, slice_spacing=SPACING_MM)
    assert sum(phantom.masks[kind].astype(int) for kind in BLEED_TYPES).max() == 1


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_skull_is_a_closed_ring_round_the_brain(seed: int) -> None:
    phantom = head(seed)
    index = middle_slice(phantom) + 3
    bone = phantom.array[index] > 300
    inside = phantom.masks["brain"][index].astype(bool)
    holes = ndimage.binary_fill_holes(bone) & ~bone
    assert (holes & inside).sum() > 0.9 * inside.sum()


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_brain_fluid_and_bone_have_their_attenuation(seed: int) -> None:
    phantom = head(seed)
    index = middle_slice(phantom)
    inner = ndimage.binary_erosion(phantom.masks["brain"][index], iterations=4)
    assert 25 <= phantom.array[index][inner].mean() <= 40
    assert phantom.array.max() > 900
    assert np.median(phantom.array[:, :4]) < -950
    deep = ndimage.gaussian_filter(phantom.array, (0, 0.7, 0.7))
    brain = ndimage.binary_erosion(phantom.masks["brain"], iterations=2)
    fluid = deep[brain & (deep < 15)]
    assert fluid.size * np.prod(phantom.spacing) / 1000 > 2.0
    assert fluid.mean() > -5


def test_older_heads_have_more_fluid() -> None:
    found = sorted((head(seed) for seed in range(1, 7)), key=lambda p: p.parameters["head"]["atrophy"])

    def fluid_share(phantom: Phantom) -> float:
        brain = ndimage.binary_erosion(phantom.masks["brain"], iterations=2)
        return float((ndimage.gaussian_filter(phantom.array, (0, 0.7, 0.7))[brain] < 18).mean())

    assert np.mean([fluid_share(p) for p in found[-2:]]) > 1.5 * np.mean([fluid_share(p) for p in found[:2]])


def test_noise_grows_as_the_dose_falls() -> None:
    silent = make_head_ct(4, positive=False, matrix=128, slice_spacing=8.0, dose=1e6)
    inside = silent.masks["brain"].astype(bool)
    measured = []
    for dose in (2.0, 0.5):
        noisy = make_head_ct(4, positive=False, matrix=128, slice_spacing=8.0, dose=dose)
        measured.append((noisy.array - silent.array)[inside].std())
        assert noisy.parameters["scan"]["noise_sd_hu"] == pytest.approx(measured[-1], rel=0.15)
    assert measured[1] == pytest.approx(2 * measured[0], rel=0.1)


def test_noise_hangs_together_within_a_slice() -> None:
    silent = make_head_ct(4, positive=False, matrix=256, slice_spacing=12.0, dose=1e6)
    noisy = make_head_ct(4, positive=False, matrix=256, slice_spacing=12.0, dose=1.0)
    noise = (noisy.array - silent.array)[:, 96:160, 96:160]
    beside = np.corrcoef(noise[:, :, :-1].ravel(), noise[:, :, 1:].ravel())[0, 1]
    above = np.corrcoef(noise[:-1].ravel(), noise[1:].ravel())[0, 1]
    assert 0.1 < beside < 0.9
    assert abs(above) < 0.1


def test_same_seed_is_the_same_head_at_any_matrix() -> None:
    small, large = (
        head(6, "intraparenchymal"),
        make_head_ct(6, bleed_types=["intraparenchymal"], matrix=256, slice_spacing=SPACING_MM),
    )
    assert small.array.shape[0] == large.array.shape[0]
    assert small.spacing[1] == pytest.approx(2 * large.spacing[1])
    assert 205 <= small.spacing[1] * 128 <= 256
    assert small.study_labels["volume_ml"] == pytest.approx(large.study_labels["volume_ml"], rel=0.15)
    halved = large.array.reshape(large.array.shape[0], 128, 2, 128, 2).mean(axis=(2, 4))
    assert np.corrcoef(halved.ravel(), small.array.ravel())[0, 1] > 0.98


def test_mass_pushes_the_midline_away() -> None:
    phantom, clean = head(41, "subdural"), head(41)
    assert phantom.parameters["bleeds"][0]["push_mm"] > 3, "choose a seed with a thick subdural"
    side = phantom.parameters["bleeds"][0]["side"]
    columns = np.arange(128) - 63.5

    def ventricle_place(p: Phantom) -> float:
        deep = ndimage.distance_transform_edt(p.masks["brain"], sampling=p.spacing) > 30
        dark = deep & (ndimage.gaussian_filter(p.array, (0, 0.7, 0.7)) < 18)
        return float((dark * columns).sum() / dark.sum() * p.spacing[2])

    assert side * (ventricle_place(clean) - ventricle_place(phantom)) > 0.5


def test_slices_are_drawn_between_2_5_and_5_mm_and_cover_the_head() -> None:
    for seed in range(2):
        phantom = make_head_ct(seed, matrix=32)
        assert 2.5 <= phantom.spacing[0] <= 5.0
        assert 138 <= phantom.spacing[0] * phantom.array.shape[0] <= 162
        assert not phantom.masks["brain"][-1].any()


def test_unknown_bleed_type_is_named() -> None:
    with pytest.raises(ValueError, match="tumor"):
        make_head_ct(1, bleed_types=["tumor"])


def test_bleed_in_a_negative_study_is_refused() -> None:
    with pytest.raises(ValueError, match="positive is False"):
        make_head_ct(1, positive=False, bleed_types=["epidural"])


def test_what_was_drawn_keeps_its_names_in_files():
    drawn = make_head_ct(6, bleed_types=["intraparenchymal"], matrix=32, slice_spacing=50.0).parameters
    assert {"grey_hu", "white_hu"} <= set(drawn["head"])
    assert {"centre", "oedema_mm"} <= set(drawn["bleeds"][0])
