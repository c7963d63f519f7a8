import numpy as np
import pytest
from scipy import ndimage

from AcuteFindingsLib.training.lesions.emboli import KINDS, draw_embolus, draw_mixing

SPACING = (1.5, 1.5, 1.5)
BLOOD, LUNG, GRAIN = 400.0, -800.0, 12.0


@pytest.fixture(scope="module")
def chest() -> tuple[np.ndarray, np.ndarray]:
    """A trunk that divides to both sides, 400 HU, in lung; and its mask."""
    z, y, x = np.mgrid[:30, :40, :60] * 1.5
    across = np.hypot(z - 22, y - 30 + 0.004 * (x - 45) ** 2) < 8
    trunk = (np.hypot(z - 22, x - 45) < 9) & (y > 8) & (y < 30)
    artery = (across & (x > 6) & (x < 84)) | trunk
    clean = np.where(artery, BLOOD, LUNG)
    noise = np.random.default_rng(0).standard_normal(clean.shape) * GRAIN
    return (ndimage.gaussian_filter(clean, 0.5) + noise).astype(np.float32), artery


@pytest.mark.parametrize("kind", KINDS)
def test_a_clot_lies_in_the_artery_and_is_as_dense_as_clot(chest: tuple[np.ndarray, np.ndarray], kind: str) -> None:
    volume, artery = chest
    for seed in range(4):
        drawn = draw_embolus(np.random.default_rng(seed), volume, artery, SPACING, kind=kind)
        assert drawn is not None
        assert drawn.kind == kind
        assert 40 <= drawn.hu <= 70
        near = ndimage.binary_dilation(artery, iterations=2)
        assert not drawn.mask[~near].any()
        core = ndimage.binary_erosion(drawn.mask)
        assert abs(np.median(drawn.volume[core]) - drawn.hu) < 25


@pytest.mark.parametrize("kind", ["saddle", "central", "mural"])
def test_blood_is_left_beside_a_clot_that_does_not_close_the_artery(
    chest: tuple[np.ndarray, np.ndarray], kind: str
) -> None:
    volume, artery = chest
    drawn = draw_embolus(np.random.default_rng(1), volume, artery, SPACING, kind=kind)
    assert drawn is not None
    columns = np.flatnonzero(drawn.mask.any(axis=(0, 1)))
    inside = ndimage.binary_erosion(artery)[:, :, columns] & ~ndimage.binary_dilation(drawn.mask)[:, :, columns]
    assert np.mean(drawn.volume[:, :, columns][inside] > 0.8 * BLOOD) > 0.8


def test_the_grain_of_the_image_goes_on_in_the_clot(chest: tuple[np.ndarray, np.ndarray]) -> None:
    volume, artery = chest
    drawn = draw_embolus(np.random.default_rng(2), volume, artery, SPACING, kind="occlusive")
    assert drawn is not None
    core = ndimage.binary_erosion(drawn.mask & artery, iterations=2)
    assert core.sum() > 30
    before = (volume - ndimage.gaussian_filter(volume, 2))[core]
    after = (drawn.volume - ndimage.gaussian_filter(drawn.volume, 2))[core]
    assert np.corrcoef(before, after)[0, 1] > 0.7


def test_away_from_the_clot_the_volume_is_as_it_was(chest: tuple[np.ndarray, np.ndarray]) -> None:
    volume, artery = chest
    drawn = draw_embolus(np.random.default_rng(3), volume, artery, SPACING, kind="central")
    assert drawn is not None
    away = ~ndimage.binary_dilation(drawn.mask, iterations=4)
    np.testing.assert_array_equal(drawn.volume[away], volume[away])


def test_the_same_seed_draws_the_same_clot(chest: tuple[np.ndarray, np.ndarray]) -> None:
    first, second = (draw_embolus(np.random.default_rng(5), *chest, SPACING) for _ in range(2))
    assert first is not None
    assert second is not None
    np.testing.assert_array_equal(first.volume, second.volume)


def test_without_contrast_agent_there_is_nothing_to_draw_into(chest: tuple[np.ndarray, np.ndarray]) -> None:
    volume, artery = chest
    assert draw_embolus(np.random.default_rng(0), np.where(artery, 45.0, volume), artery, SPACING) is None
    assert draw_embolus(np.random.default_rng(0), volume, np.zeros_like(artery), SPACING) is None


def test_bad_mixing_has_no_edge_and_stays_brighter_than_clot(chest: tuple[np.ndarray, np.ndarray]) -> None:
    volume, artery = chest
    inside = ndimage.binary_erosion(artery)
    change = draw_mixing(np.random.default_rng(0), volume, artery, SPACING) - volume
    assert change[inside].std() > 1
    assert (volume + change)[inside].min() > 200
    assert np.abs(np.diff(change[12:18], axis=2)[inside[12:18, :, 1:]]).max() < 40
