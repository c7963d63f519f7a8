import numpy as np
import pytest

from AcuteFindingsLib.preprocessing.resample import (
    fit_in_plane,
    plan_slices,
    resize_in_plane,
    unfit_in_plane,
)


def resampled(array: np.ndarray, spacing: float, target: float) -> tuple[np.ndarray, np.ndarray]:
    plan = plan_slices(len(array), spacing, target)
    return plan.read(array), plan.positions


def ramp(count: int) -> np.ndarray:
    return np.broadcast_to(np.arange(count, dtype=np.float32)[:, None, None], (count, 2, 3)).copy()


def test_thicker_slices_are_the_mean_of_what_they_cover():
    out, positions = resampled(ramp(6), 1.0, 3.0)
    assert positions.tolist() == [1, 4]
    assert out[:, 0, 0] == pytest.approx([1, 4])


def test_thinner_slices_lie_on_the_line_between_neighbors():
    out, positions = resampled(ramp(4), 5.0, 2.5)
    assert len(out) == 8
    assert out[:, 0, 0] == pytest.approx(positions, abs=1e-5)


@pytest.mark.parametrize(("count", "spacing", "target"), [(275, 1.0, 3.0), (7, 1.25, 3.0), (50, 0.6, 1.7), (2, 1, 3)])
def test_no_slice_is_dropped_and_the_new_stack_is_centered(count, spacing, target):
    plan = plan_slices(count, spacing, target)
    assert (plan.weights.sum(axis=0) > 0).all()
    assert plan.positions.mean() == pytest.approx((count - 1) / 2)
    assert np.allclose(plan.weights.sum(axis=1), 1)


def test_slices_of_the_wanted_spacing_stay_as_they_are():
    out, positions = resampled(ramp(5), 3.0, 3.0001)
    np.testing.assert_array_equal(out, ramp(5))
    assert positions.tolist() == [0, 1, 2, 3, 4]


def test_reading_a_plan_in_parts_gives_the_whole():
    array = np.random.default_rng(0).normal(size=(11, 4, 4)).astype(np.float32)
    plan = plan_slices(11, 1.0, 2.3)
    parts = [plan.read(array, start, start + 2) for start in range(0, len(plan), 2)]
    np.testing.assert_array_equal(np.concatenate(parts), plan.read(array))


def test_field_has_the_wanted_pixel_size_and_fill():
    image = np.full((1, 40, 40), 5, np.float32)
    out = fit_in_plane(image, (0.5, 0.5), target_spacing=1.0, size=30, fill=-1000.0)
    assert out.shape == (1, 30, 30)
    assert (out[0] == 5).sum() == 400
    assert (out[0] == -1000).sum() == 500


def test_field_shrinks_by_area_so_that_single_bright_pixels_are_not_lost():
    image = np.zeros((1, 64, 64), np.float32)
    image[0, 31, 17] = 16
    out = fit_in_plane(image, (0.25, 0.25), target_spacing=1.0, size=16, fill=0.0)
    assert out.sum() == pytest.approx(1.0)


def test_field_can_be_centered_elsewhere():
    image = np.zeros((1, 50, 50), np.float32)
    image[0, 10, 40] = 1
    out = fit_in_plane(image, (1, 1), target_spacing=1.0, size=21, fill=0.0, center_yx=(10, 40))
    assert np.unravel_index(out[0].argmax(), out[0].shape) == (10, 10)


@pytest.mark.parametrize("center", [None, (100.0, 140.0)])
def test_what_goes_to_the_field_comes_back_to_the_same_place(center):
    y, x = np.mgrid[:240, :250]
    image = np.exp(-(((y - 115) / 20) ** 2) - ((x - 130) / 25) ** 2).astype(np.float32)[None]
    field = {"target_spacing": 1.0, "size": 120, "center_yx": center}
    there = fit_in_plane(image, (0.5, 0.45), fill=0.0, **field)
    back = unfit_in_plane(there, (0.5, 0.45), (240, 250), order=1, **field)
    assert np.abs(back - image).max() < 0.02
    mask = unfit_in_plane(there > 0.5, (0.5, 0.45), (240, 250), order=0, **field)
    assert mask.dtype == bool
    overlap = 2 * (mask & (image > 0.5)).sum() / (mask.sum() + (image > 0.5).sum())
    assert overlap > 0.96


def test_nothing_comes_back_outside_the_field():
    ones = np.ones((1, 10, 10), np.uint8)
    for order in (0, 1):
        back = unfit_in_plane(ones, (1, 1), (30, 30), target_spacing=1.0, size=10, order=order)
        assert back.sum() == 100
        assert back[0, 10:20, 10:20].all()


def test_a_field_of_another_size_is_refused():
    with pytest.raises(ValueError, match="10×10"):
        unfit_in_plane(np.ones((1, 9, 9)), (1, 1), (30, 30), target_spacing=1.0, size=10, order=0)


@pytest.mark.parametrize("shape", [(386, 386), (100, 700)])
def test_stretching_keeps_corners_and_levels(shape):
    y = np.broadcast_to(np.linspace(0, 1, 512, dtype=np.float32)[:, None], (512, 512))
    out = resize_in_plane(y[None], shape)[0]
    assert out.shape == shape
    assert out[:, 0] == pytest.approx((np.arange(shape[0]) + 0.5) / shape[0], abs=0.01)
