"""Chest phantoms with what imitates the finding, or hides it: each variant adds exactly what its name says."""

from functools import cache

import numpy as np
import pytest

from AcuteFindingsLib.detectors.phantoms import phantom_variants
from AcuteFindingsLib.errors import AcuteFindingsError
from AcuteFindingsLib.phantoms.chest_xray import generate as xray
from AcuteFindingsLib.phantoms.ctpa import marks
from AcuteFindingsLib.phantoms.ctpa.generate import make_ctpa
from AcuteFindingsLib.phantoms.phantom import Phantom

SEED = 504


@cache
def chest(*variants: str) -> Phantom:
    return make_ctpa(SEED, positive=False, matrix=128, slice_spacing=6.0, variants=variants, finding="pe")


@cache
def film(*variants: str) -> Phantom:
    return xray.make_chest_xray(SEED, positive=False, tubes=(), size=128, variants=variants, finding="pneumothorax")


def changed(variant: str, by: float) -> np.ndarray:
    """Where a variant of the chest differs from the chest without it by more than so many HU."""
    return np.asarray(np.abs(chest(variant).array - chest().array) > by)


def test_the_command_line_offers_what_the_generators_draw() -> None:
    assert phantom_variants("ctpa") == marks.VARIANTS
    assert phantom_variants("chest-xray") == xray.VARIANTS


@pytest.mark.parametrize("variant", marks.VARIANTS)
def test_a_variant_of_a_chest_ct_is_no_clot_and_leaves_the_truth_as_it_is(variant: str) -> None:
    phantom = chest(variant)
    assert not phantom.positive
    assert phantom.parameters["variants"] == [variant]
    assert all(np.array_equal(phantom.masks[name], mask) for name, mask in chest().masks.items())


def test_a_dense_cava_is_bright_and_sends_streaks_as_far_as_the_right_pulmonary_artery() -> None:
    phantom = chest("dense-cava")
    assert phantom.parameters["enhancement"]["superior_vena_cava"] >= 900
    artery = phantom.masks["pulmonary_artery"] > 0
    right = np.arange(artery.shape[2]) < artery.shape[2] // 2
    assert np.count_nonzero(changed("dense-cava", 30.0) & artery & right) > 20


def test_breathing_blurs_the_lower_lungs_alone() -> None:
    lungs = chest().masks["lungs"] > 0
    moved = (changed("breathing", 100.0) & lungs).sum(axis=(1, 2))
    upper, lower = np.flatnonzero(moved == 0), np.flatnonzero(moved)
    assert len(lower) > 5
    assert upper.max() > lower.max()


def test_pulsation_blurs_what_is_near_the_heart_alone() -> None:
    moved, heart = changed("pulsation", 100.0), chest().masks["heart"] > 0
    assert moved.any()
    assert set(np.flatnonzero(moved.any(axis=(1, 2)))) <= set(np.flatnonzero(heart.any(axis=(1, 2))))


@pytest.mark.parametrize("variant", xray.VARIANTS)
def test_a_variant_of_a_radiograph_is_no_pneumothorax(variant: str) -> None:
    phantom = film(variant)
    assert not phantom.positive
    assert not phantom.masks["pneumothorax"].any()
    assert np.abs(phantom.array - film().array).max() > 0.004
    assert phantom.study_labels["chest_drain"] == float(variant == "chest-drain")


def test_variants_of_a_chest_do_not_depend_on_each_other() -> None:
    both = film("skin-fold", "chest-drain")
    assert np.array_equal(both.masks["chest_drain"], film("chest-drain").masks["chest_drain"])


@pytest.mark.parametrize(("make", "error"), [(make_ctpa, ValueError), (xray.make_chest_xray, AcuteFindingsError)])
def test_an_unknown_variant_is_named(make, error: type[Exception]) -> None:
    with pytest.raises(error, match="'shunt'"):
        make(1, variants=("shunt",))
