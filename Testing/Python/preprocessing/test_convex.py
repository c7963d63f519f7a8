import numpy as np
from skimage.morphology import convex_hull_image

from AcuteFindingsLib.preprocessing.convex import fill_convex, hull_corners


def test_filled_hull_is_that_of_scikit_image():
    mask = np.zeros((80, 90), bool)
    mask[20:30, 15:40] = mask[50:61, 60:70] = mask[70, 5] = True
    filled = np.zeros(mask.shape, bool)
    fill_convex(filled, hull_corners(mask))
    assert (filled | mask).sum() == filled.sum()
    expected = convex_hull_image(mask)
    assert 2 * (filled & expected).sum() / (filled.sum() + expected.sum()) > 0.99


def test_one_pixel_is_its_own_hull():
    mask = np.zeros((5, 5), bool)
    mask[2, 3] = True
    filled = np.zeros(mask.shape, bool)
    fill_convex(filled, hull_corners(mask))
    np.testing.assert_array_equal(filled, mask)


def test_an_empty_mask_has_no_corners():
    assert hull_corners(np.zeros((4, 4), bool)).shape == (0, 2)
