"""Volumes are resized as nnU-Net resizes them: scikit-image's numbers, slice by slice where slices are thick."""

import numpy as np
import pytest
from scipy.ndimage import map_coordinates
from skimage.transform import resize

from AcuteFindingsLib.preprocessing.spline import picked_axis, resize_volume, resized_shape


def noise(*shape: int) -> np.ndarray:
    return np.random.default_rng(23).normal(size=shape).astype(np.float32)


def by_scikit_image(array: np.ndarray, shape: tuple[int, ...], order: int) -> np.ndarray:
    return resize(array.astype(float), shape, order=order, mode="edge", anti_aliasing=False, preserve_range=True)


@pytest.mark.parametrize("order", [1, 3])
@pytest.mark.parametrize("shape", [(9, 17, 30), (20, 8, 13), (12, 25, 11)])
def test_a_volume_is_resized_as_scikit_image_does(order, shape) -> None:
    array = noise(12, 16, 22)
    resized = resize_volume(array, shape, order=order)
    assert resized.dtype == np.float32
    np.testing.assert_allclose(resized, by_scikit_image(array, shape, order), atol=2e-6)


@pytest.mark.parametrize("axis", [0, 1, 2])
@pytest.mark.parametrize("count", [3, 7, 19])
def test_along_thick_slices_the_nearest_is_taken_and_each_is_resized_by_itself(axis, count) -> None:
    array = np.moveaxis(noise(7, 16, 22), 0, axis)
    shape = tuple(np.insert([20, 13], axis, count))
    planes = np.stack([by_scikit_image(plane, (20, 13), 3) for plane in np.moveaxis(array, axis, 0)])
    places = (np.arange(count) + 0.5) * 7 / count - 0.5
    at = np.stack(np.broadcast_arrays(places[:, None, None], np.arange(20)[:, None], np.arange(13))).astype(float)
    expected = np.moveaxis(map_coordinates(planes, at, order=0, mode="nearest"), 0, axis)
    np.testing.assert_allclose(resize_volume(array, shape, order=3, picked=axis), expected, atol=2e-6)


def test_a_spline_does_not_go_beyond_what_was_there() -> None:
    step = np.zeros((8, 8, 8), np.float32)
    step[4:] = 1
    resized = resize_volume(step, (19, 8, 8), order=3)
    assert resized.min() == 0
    assert resized.max() == 1


def test_slices_are_picked_where_voxels_are_more_than_three_times_as_long_as_wide() -> None:
    target = (1.0, 0.74, 0.74)
    assert picked_axis((5.0, 0.7, 0.7), target) == 0
    assert picked_axis((0.7, 0.7, 5.0), target) == 2
    assert picked_axis(target, (5.0, 0.7, 0.7)) == 0
    assert picked_axis((2.0, 0.7, 0.7), target) is None
    assert picked_axis((5.0, 5.0, 0.7), target) is None


def test_the_shape_keeps_the_volume_to_half_a_voxel() -> None:
    assert resized_shape((400, 512, 512), (0.75, 0.7, 0.7), (1.0, 0.7373, 0.7373)) == (300, 486, 486)
    assert resized_shape((1, 4, 4), (0.3, 1.0, 1.0), (1.0, 1.0, 1.0)) == (1, 4, 4)
