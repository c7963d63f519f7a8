import numpy as np
import pytest
from scipy import ndimage

from AcuteFindingsLib.detectors.phantoms import make_phantom
from AcuteFindingsLib.detectors.radiograph import split_lungs
from AcuteFindingsLib.training.lesions.pneumothorax import (
    KINDS,
    SIDES,
    draw_mimics,
    draw_pneumothorax,
    lung_markings,
)
from AcuteFindingsLib.training.lesions.tubes import TUBES, draw_tube


@pytest.fixture(scope="module")
def chest() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A radiograph without pneumothorax or tube, its lungs, and what its vessels add."""
    phantom = make_phantom("chest-xray", 21, positive=False, tubes=(), size=256)
    image, lungs = phantom.array[0], phantom.masks["lungs"][0] > 0
    return image, lungs, lung_markings(image, lungs)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("side", SIDES)
def test_free_air_lies_in_the_lung_of_its_side_and_is_darker(chest, side: str, kind: str) -> None:
    image, lungs, markings = chest
    field = getattr(split_lungs(lungs), side)
    drawn = draw_pneumothorax(np.random.default_rng(4), image, lungs, side=side, kind=kind, markings=markings)
    assert drawn is not None
    assert (drawn.side, drawn.kind) == (side, kind)
    assert not drawn.mask[~field].any()
    assert 0.02 <= drawn.share <= 0.45
    inner = ndimage.binary_erosion(drawn.mask, iterations=2)
    assert drawn.image[inner].mean() < image[inner].mean()


@pytest.mark.slow
def test_air_grows_from_a_cap_over_a_rim_to_half_a_lung(chest) -> None:
    image, lungs, markings = chest
    rng = np.random.default_rng(0)
    share = {}
    for kind in KINDS:
        drawn = [draw_pneumothorax(rng, image, lungs, side="left", kind=kind, markings=markings) for _ in range(5)]
        share[kind] = np.mean([one.share for one in drawn if one is not None])
    assert share["apical"] < share["lateral"] < share["large"]


def test_a_pneumothorax_takes_the_markings_away_and_leaves_the_rest_of_the_picture(chest) -> None:
    image, lungs, markings = chest
    drawn = draw_pneumothorax(np.random.default_rng(1), image, lungs, side="right", kind="large", markings=markings)
    assert drawn is not None
    inner = ndimage.binary_erosion(drawn.mask, iterations=4)
    texture = [np.abs(one - ndimage.gaussian_filter(one, 2))[inner].mean() for one in (image, drawn.image)]
    assert texture[1] < 0.95 * texture[0]
    away = ~ndimage.binary_dilation(lungs, iterations=30)
    np.testing.assert_allclose(drawn.image[away], image[away], atol=2e-3)


def test_markings_are_small_and_lie_near_the_lungs(chest) -> None:
    image, lungs, markings = chest
    assert markings.shape == image.shape
    assert np.abs(markings)[lungs].mean() < 0.05
    rows, columns = ndimage.find_objects(lungs.astype(np.uint8))[0]
    assert not markings[: rows.start - 15].any()
    assert not markings[:, columns.stop + 15 :].any()


def test_the_same_seed_draws_the_same_air(chest) -> None:
    image, lungs, markings = chest
    first, second = (draw_pneumothorax(np.random.default_rng(7), image, lungs, markings=markings) for _ in range(2))
    assert first is not None
    assert second is not None
    np.testing.assert_array_equal(first.image, second.image)


def test_without_a_lung_there_is_no_pneumothorax(chest) -> None:
    image, lungs, _ = chest
    none = np.zeros_like(lungs)
    assert draw_pneumothorax(np.random.default_rng(0), image, none) is None
    np.testing.assert_array_equal(draw_mimics(np.random.default_rng(0), image, none), image)


def test_mimics_change_a_picture_a_little(chest) -> None:
    image, lungs, markings = chest
    for seed in range(8):
        changed = draw_mimics(np.random.default_rng(seed), image, lungs, count=2, markings=markings) - image
        assert 0 < np.abs(changed).max() < 0.35
        assert np.abs(changed).mean() < 0.06
    np.testing.assert_array_equal(draw_mimics(np.random.default_rng(0), image, lungs, count=0), image)


@pytest.mark.parametrize("kind", TUBES)
def test_a_tube_is_brighter_than_what_was_there_and_lies_where_it_belongs(chest, kind: str) -> None:
    image, lungs, _ = chest
    drawn = draw_tube(np.random.default_rng(3), image, lungs, kind=kind, side="left")
    assert drawn is not None
    assert drawn.kind == kind
    assert drawn.mask.any()
    assert (drawn.image - image)[drawn.mask].mean() > 0.005
    both = split_lungs(lungs)
    middle = 0.5 * (np.flatnonzero(both.right.any(axis=0))[-1] + np.flatnonzero(both.left.any(axis=0))[0])
    place = np.nonzero(drawn.mask)[1].mean()
    if kind == "chest_drain":
        assert place > middle + 10
    elif kind != "nasogastric":
        assert abs(place - middle) < 20


def test_without_lungs_nobody_knows_where_a_tube_goes(chest) -> None:
    image, lungs, _ = chest
    assert draw_tube(np.random.default_rng(0), image, np.zeros_like(lungs)) is None
