"""Morphology of masks is what SciPy's filters give."""

import numpy as np
import pytest
from scipy import ndimage

from AcuteFindingsLib.preprocessing.binary import dilated, eroded, filled, median

REACHES = [0, 1, 2, 4, 8, 9]


def masks() -> list[np.ndarray]:
    """Specks and blobs, sparse and dense, on pictures smaller and larger than the squares."""
    rng = np.random.default_rng(5)
    found = []
    for shape in ((1, 1), (3, 7), (8, 8), (40, 33), (90, 121)):
        for share in (0.02, 0.3, 0.7, 0.98):
            specks = rng.random(shape) < share
            found += [specks, ndimage.uniform_filter(specks.astype(float), 5) > share]
    return found


@pytest.mark.parametrize("reach", REACHES)
def test_growing_and_shrinking_are_the_filters_of_maximum_and_minimum(reach: int) -> None:
    for mask in masks():
        side = 2 * reach + 1
        np.testing.assert_array_equal(dilated(mask, reach), ndimage.maximum_filter(mask, size=side))
        np.testing.assert_array_equal(eroded(mask, reach), ndimage.minimum_filter(mask, size=side, mode="nearest"))
        closed = ndimage.grey_closing(mask.view(np.uint8), size=(side, side), mode="nearest")
        np.testing.assert_array_equal(eroded(dilated(mask, reach), reach), closed.astype(bool))


@pytest.mark.parametrize("reach", REACHES)
def test_the_median_is_that_of_gray_values(reach: int) -> None:
    for mask in masks():
        expected = ndimage.median_filter(mask.view(np.uint8), size=2 * reach + 1).astype(bool)
        np.testing.assert_array_equal(median(mask, reach), expected)


def test_holes_are_filled() -> None:
    for mask in masks():
        np.testing.assert_array_equal(filled(mask), ndimage.binary_fill_holes(mask))


def test_the_mask_itself_is_not_changed() -> None:
    mask = masks()[-1]
    before = mask.copy()
    for work in (dilated, eroded, median):
        work(mask, 2)
    filled(mask)
    np.testing.assert_array_equal(mask, before)
