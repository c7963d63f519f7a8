"""Head phantoms with what looks like blood and is none: each variant adds exactly what its name says."""

from functools import cache, partial

import numpy as np
import pytest
from scipy import ndimage

from AcuteFindingsLib.detectors.phantoms import phantom_variants
from AcuteFindingsLib.phantoms.head_ct import generate
from AcuteFindingsLib.phantoms.head_ct.variants import VARIANTS
from AcuteFindingsLib.phantoms.phantom import Phantom

make_head_ct = partial(generate.make_head_ct, positive=False, matrix=128, slice_spacing=5.0, finding="hemorrhage")

SEED = 5


@cache
def head(*variants: str) -> Phantom:
    """The same head, with or without variants."""
    return make_head_ct(SEED, variants=variants)


def added(variant: str, hu: float = 30.0) -> np.ndarray:
    """Where the variant is brighter by at least so much than the head without it."""
    return np.asarray(head(variant).array - head().array > hu)


def across(mask: np.ndarray) -> np.ndarray:
    """Distance in mm of the marked voxels from the middle column, the patient's left positive."""
    return (np.nonzero(mask)[2] - 63.5) * head().spacing[2]


def test_the_command_line_offers_what_the_generator_draws() -> None:
    assert phantom_variants("head-ct") == VARIANTS


def test_a_head_without_variants_is_as_it_was() -> None:
    plain = make_head_ct(SEED)
    assert np.array_equal(plain.array, head().array)
    assert "variants" not in plain.parameters
    assert head("shunt").parameters["variants"] == ["shunt"]


@pytest.mark.parametrize("variant", VARIANTS)
def test_a_variant_is_no_blood(variant: str) -> None:
    phantom = head(variant)
    assert not phantom.positive
    assert not phantom.masks["hemorrhage"].any()
    assert np.array_equal(phantom.masks["brain"], head().masks["brain"])


def test_variants_of_one_head_do_not_depend_on_each_other() -> None:
    both, brain = head("falx-calcification", "shunt").array, head().masks["brain"].astype(bool)
    for variant in ("falx-calcification", "shunt"):
        assert both[added(variant, 100.0) & brain].min() > 100


def test_calcified_falx_lies_in_the_midline() -> None:
    mask = added("falx-calcification", 60.0)
    assert mask.any()
    assert np.abs(across(mask)).max() < 14
    assert head("falx-calcification").array[mask].max() > 150


@pytest.mark.parametrize("variant", ["choroid-calcification", "basal-ganglia-calcification"])
def test_calcified_plexus_and_ganglia_lie_on_both_sides(variant: str) -> None:
    places = across(added(variant, 60.0))
    assert places.min() < -8
    assert places.max() > 8


def test_shunt_runs_from_outside_the_skull_into_the_brain_as_one_tube() -> None:
    # The tube is as dense as bone where it passes the skull: there it is not brighter.
    mask = np.asarray(np.abs(head("shunt").array - head().array) > 40)
    brain = head().masks["brain"].astype(bool)
    assert (mask & brain).any()
    assert (mask & ~brain).any()
    assert np.ptp(across(mask & brain)) > 8
    largest = np.bincount(ndimage.label(mask & brain, np.ones((3, 3, 3)))[0].ravel())[1:].max()
    assert largest > 0.8 * np.count_nonzero(mask & brain)


def test_operated_skull_has_a_saw_cut_and_metal() -> None:
    before, after = head().array, head("post-operative").array
    assert after.max() > 1500 > before.max()
    assert np.count_nonzero((before > 500) & (after < 250)) > 20


def test_beam_hardening_is_bands_at_the_skull_base_alone() -> None:
    phantom = head("beam-hardening")
    changed = np.abs(phantom.array - head().array) > 8
    by_slice = changed.sum(axis=(1, 2))
    top = int(np.flatnonzero(by_slice > 50).max())
    assert by_slice.max() > 300
    assert top < 0.6 * len(by_slice)


def test_motion_blurs_some_slices_and_leaves_the_others() -> None:
    moved = np.abs(head("motion").array - head().array).max(axis=(1, 2)) > 100
    assert 1 <= np.count_nonzero(moved) <= 0.3 * len(moved)
    assert np.array_equal(head("motion").array[~moved], head().array[~moved])


def test_unknown_variant_is_named() -> None:
    with pytest.raises(ValueError, match="tattoo"):
        make_head_ct(1, variants=["tattoo"])
