import numpy as np
import pytest
from scipy import ndimage

from AcuteFindingsLib.detectors.measure import abc_half, densities, volume_ml


def _ellipsoid(radii_mm: tuple[float, float, float], spacing: tuple[float, float, float]) -> np.ndarray:
    shape = [int(2 * r / s) + 9 for r, s in zip(radii_mm, spacing, strict=True)]
    axes = [(np.arange(n) - (n - 1) / 2) * s for n, s in zip(shape, spacing, strict=True)]
    z, y, x = np.meshgrid(*axes, indexing="ij")
    return (z / radii_mm[0]) ** 2 + (y / radii_mm[1]) ** 2 + (x / radii_mm[2]) ** 2 <= 1


def test_volume_counts_voxels_in_milliliters() -> None:
    mask = np.zeros((4, 10, 10), np.uint8)
    mask[1:3, 2:7, 2:7] = 1
    assert volume_ml(mask, (5.0, 0.5, 0.5)) == pytest.approx(50 * 1.25 / 1000)


def test_abc_half_of_an_ellipsoid_is_near_its_volume_and_names_its_diameters() -> None:
    spacing = (2.5, 0.5, 0.5)
    mask = _ellipsoid((15.0, 12.0, 20.0), spacing)
    estimate = abc_half(mask, spacing)
    assert estimate is not None
    assert estimate.a_mm == pytest.approx(40, abs=1.5)
    assert estimate.b_mm == pytest.approx(24, abs=1.5)
    assert estimate.volume_ml == pytest.approx(volume_ml(mask, spacing), rel=0.35)


def test_abc_half_measures_the_largest_bleed_alone() -> None:
    mask = np.zeros((8, 60, 60), np.uint8)
    mask[2:6, 10:30, 10:30] = 1
    alone = abc_half(mask, (2.0, 1.0, 1.0))
    mask[2:4, 45:50, 45:50] = 1
    assert abc_half(mask, (2.0, 1.0, 1.0)) == alone


@pytest.mark.parametrize("seed", range(12))
def test_the_longest_diameter_is_scikit_images_feret_diameter(seed: int) -> None:
    measure = pytest.importorskip("skimage.measure")
    generator = np.random.default_rng(seed)
    plane = ndimage.gaussian_filter(generator.normal(size=(40, 50)), 0.5 + seed / 3)
    labels, _ = ndimage.label(plane > np.quantile(plane, 0.9), np.ones((3, 3)))
    largest = labels == 1 + np.argmax(np.bincount(labels.ravel())[1:])
    (region,) = measure.regionprops(largest.astype(np.uint8), spacing=(1.0, 0.5 / 0.4))
    estimate = abc_half(largest[None], (5.0, 0.4, 0.5))
    assert estimate is not None
    assert estimate.a_mm == pytest.approx(region.feret_diameter_max * 0.4, rel=1e-12)


def test_abc_half_of_nothing_is_none() -> None:
    assert abc_half(np.zeros((3, 4, 4)), (1.0, 1.0, 1.0)) is None


def test_every_connected_outline_has_a_density_of_its_own_the_largest_first() -> None:
    mask = np.zeros((4, 10, 10), np.uint8)
    mask[0, 0, :2] = 1
    mask[2:4, 5:8, 5:8] = 1
    hu = np.where(np.arange(10) > 4, 60.0, 400.0) * np.ones((4, 10, 1))
    hu[2, 5, 5] = 78.0
    large, small = densities(hu.astype(np.float32), mask, (2.0, 1.0, 1.0))
    assert large.mean_hu == pytest.approx(61)
    assert 60 <= large.high_hu < 78
    assert large.volume_ml == pytest.approx(18 * 2 / 1000)
    assert (small.mean_hu, small.high_hu) == (400, 400)
    assert densities(hu, np.zeros_like(mask), (1.0, 1.0, 1.0)) == []
