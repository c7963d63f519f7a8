"""What of a study is held against the images of its model: the same whatever grid, noise or file it comes in."""

from dataclasses import replace

import numpy as np
import pytest
from scipy import ndimage

from AcuteFindingsLib.detectors.hemorrhage import features as head
from AcuteFindingsLib.detectors.pe import features as chest
from AcuteFindingsLib.detectors.pneumothorax import features as film
from AcuteFindingsLib.phantoms.as_study import phantom_study
from AcuteFindingsLib.phantoms.chest_xray.generate import make_chest_xray
from AcuteFindingsLib.phantoms.ctpa.generate import make_ctpa
from AcuteFindingsLib.phantoms.head_ct.generate import make_head_ct
from AcuteFindingsLib.study.study import Study


@pytest.fixture(scope="module")
def chest_ct() -> Study:
    return phantom_study(make_ctpa(77, matrix=96, slice_spacing=6.0))


@pytest.fixture(scope="module")
def head_ct() -> Study:
    return phantom_study(make_head_ct(77, matrix=128, slice_spacing=5.0))


@pytest.fixture(scope="module")
def radiograph() -> Study:
    return phantom_study(make_chest_xray(77, size=256))


def near(one: dict[str, float], other: dict[str, float], tolerance: float) -> bool:
    return one.keys() == other.keys() and all(abs(one[name] - other[name]) <= tolerance for name in one)


def test_a_chest_has_the_same_features_turned_mirrored_and_with_noise(chest_ct: Study):
    plain = chest.features(chest_ct)
    mirrored = replace(chest_ct, array=chest_ct.array[:, ::-1, ::-1])
    assert near(chest.features(mirrored), plain, 1e-2)
    noise = np.random.default_rng(1).normal(0, 15, chest_ct.array.shape).astype(np.float32)
    assert near(chest.features(replace(chest_ct, array=chest_ct.array + noise)), plain, 2.5)


def test_a_chest_without_contrast_agent_has_other_features(chest_ct: Study):
    plain = chest.features(chest_ct)
    without = chest.features(replace(chest_ct, array=np.minimum(chest_ct.array, 60)))
    assert plain["contrast agent or bone, % of the body"] > 1
    assert without["contrast agent or bone, % of the body"] == 0
    assert "mean of contrast agent or bone, HU" not in without


def test_a_volume_of_nothing_but_air_has_shares_and_no_tissue():
    air = phantom_study(make_ctpa(1, matrix=64, slice_spacing=10.0))
    found = chest.features(replace(air, array=np.full_like(air.array, -1000)))
    assert found["lungs, % of the chest"] == 0
    assert not any(name.startswith("mean of") for name in found)


def test_a_head_in_hu_and_as_windowed_pictures_has_the_same_features(head_ct: Study):
    windowed = replace(head_ct, array=np.clip(head_ct.array / 80, 0, 1), intensity="windowed")
    assert near(head.features(windowed), head.features(head_ct), 1.0)


def test_a_head_has_about_the_same_features_on_a_coarser_grid(head_ct: Study):
    coarse = replace(head_ct, array=ndimage.zoom(head_ct.array, (1, 0.75, 0.75), order=1))
    one, other = head.features(head_ct), head.features(coarse)
    assert one["level of the brain at 50 of 100, %"] == pytest.approx(
        other["level of the brain at 50 of 100, %"], abs=2
    )
    assert one["skull seen around the brain, % of its round"] == pytest.approx(
        other["skull seen around the brain, % of its round"], abs=6
    )


def test_a_stack_is_told_from_a_single_slice_and_no_head_from_a_head(head_ct: Study):
    middle = slice(len(head_ct.array) // 2, len(head_ct.array) // 2 + 1)
    single = head.features(replace(head_ct, array=head_ct.array[middle], sources=head_ct.sources[middle]))
    assert single[head.LOOKED_AT] == 1 < head.features(head_ct)[head.LOOKED_AT]
    air = head.features(replace(head_ct, array=np.full_like(head_ct.array, -1000)))
    assert air["slices that show a head, %"] == 0
    assert "skull, % of the head" not in air


def test_an_operated_skull_is_seen_as_open(head_ct: Study):
    opened = head_ct.array.copy()
    columns = opened.shape[2]
    part = opened[:, :, : columns // 2]
    part[part > 60] = 30
    name = "skull seen around the brain, % of its round"
    assert head.features(replace(head_ct, array=opened))[name] < 75 < head.features(head_ct)[name]


def test_a_radiograph_has_about_the_same_features_at_another_size_and_exposure(radiograph: Study):
    plain = film.features(radiograph)
    smaller = replace(radiograph, array=radiograph.array.reshape(1, 128, 2, 128, 2).mean(axis=(2, 4)))
    assert near(film.features(smaller), plain, 1.0)
    fainter = replace(radiograph, array=0.2 + 0.5 * radiograph.array)
    assert near(film.features(fainter), plain, 1.0)


def test_a_radiograph_upside_down_or_inverted_has_other_features(radiograph: Study):
    plain = film.features(radiograph)
    turned = film.features(replace(radiograph, array=radiograph.array[:, ::-1]))
    inverted = film.features(replace(radiograph, array=1 - radiograph.array))
    for other in (turned, inverted):
        assert max(abs(other[name] - plain[name]) for name in plain if name.startswith("gray level in row")) > 20


def test_an_empty_radiograph_has_features(radiograph: Study):
    found = film.features(replace(radiograph, array=np.zeros_like(radiograph.array)))
    assert found["likeness of both sides, correlation"] == 0
    assert all(np.isfinite(value) for value in found.values())
