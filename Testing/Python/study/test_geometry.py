"""The plan that makes a regular grid of a stack of slices."""

import numpy as np
import pytest

from AcuteFindingsLib.study.geometry import (
    fill_missing_planes,
    interpolate_planes,
    orientation_of,
    plan_stack,
    shift_plane,
    usual_step,
)

AXIAL = np.array([1.0, 0, 0, 0, 1, 0])


def _positions(heights: list[float]) -> np.ndarray:
    return np.array([[-10.0, 5.0, height] for height in heights])


def test_even_slices_stay_as_they_are_and_rounded_positions_do_not_matter() -> None:
    heights = np.round(np.arange(200) * 0.625, 1)
    plan = plan_stack(_positions(heights.tolist()), AXIAL, (0.7, 0.7), (4, 5))
    assert plan.on_grid
    assert plan.shape == (200, 4, 5)
    assert not plan.is_shifted
    assert plan.missing == ()
    assert plan.step_mm == pytest.approx(0.625, abs=1e-4)
    np.testing.assert_allclose(plan.ijk_to_ras @ [1, 2, 3, 1], [10 - 0.7, -5 - 1.4, 3 * plan.step_mm, 1])


def test_missing_slices_are_counted_where_they_are() -> None:
    heights = [float(h) for h in range(0, 100, 5) if h not in (20, 25, 60)]
    plan = plan_stack(_positions(heights), AXIAL, (1, 1), (2, 2), thickness_mm=5.0)
    assert plan.on_grid
    assert plan.shape[0] == 20
    assert plan.missing == ((3, 2), (9, 1))


@pytest.mark.parametrize("thickness_mm", [8.0, None])
def test_two_thicknesses_are_uneven_not_missing(thickness_mm: float | None) -> None:
    heights = [*np.arange(0, 40, 4.0), *np.arange(40, 121, 8.0)]
    plan = plan_stack(_positions(heights), AXIAL, (1, 1), (2, 2), thickness_mm=thickness_mm)
    assert plan.missing == ()
    assert plan.step_mm == pytest.approx(4.0)
    assert plan.on_grid
    np.testing.assert_allclose(plan.k * 4.0, heights)


def test_one_small_gap_between_two_blocks_makes_no_fine_grid() -> None:
    gaps = np.array([4.0] * 13 + [1.08] + [7.0] * 13)
    assert usual_step(gaps) == pytest.approx(4.0)


def test_a_single_slice_takes_its_thickness_as_step() -> None:
    plan = plan_stack(_positions([7.0]), AXIAL, (1, 1), (2, 3), thickness_mm=2.5)
    assert plan.shape == (1, 2, 3)
    assert plan.step_mm == 2.5


def test_a_plane_shifted_by_whole_pixels_is_unchanged() -> None:
    plane = np.arange(12, dtype=np.float32).reshape(3, 4)
    moved = shift_plane(plane, np.array([2.0, 1.0]), (6, 6), fill=-1.0)
    np.testing.assert_array_equal(moved[2:5, 1:5], plane)
    assert (moved == -1).sum() == 36 - 12


def test_a_plane_shifted_by_a_part_of_a_pixel_is_interpolated() -> None:
    plane = np.array([[0, 10, 20, 30]], np.float32)
    moved = shift_plane(plane, np.array([0.0, 1.25]), (1, 7), fill=0.0)
    np.testing.assert_allclose(moved[0], [0, 0, 7.5, 17.5, 27.5, 7.5, 0])
    assert moved.dtype == np.float32


def test_planes_between_slices_are_weighted_by_distance() -> None:
    slices = np.array([0, 10, 40], np.float32)[:, None, None]
    planes = interpolate_planes(slices, np.array([0, 1.5, 3.5]), 5)
    np.testing.assert_allclose(planes[:, 0, 0], [0, 20 / 3, 17.5, 32.5, 40], rtol=1e-6)
    filled = np.zeros((4, 1, 1), np.float32)
    filled[3] = 30
    fill_missing_planes(filled, np.array([0, 3]))
    np.testing.assert_allclose(filled[:, 0, 0], [0, 10, 20, 30])


@pytest.mark.parametrize(
    ("directions", "name"),
    [
        ((1, 0, 0, 0, 1, 0), "axial"),
        ((-1, 0, 0, 0, -1, 0), "axial"),
        ((1, 0, 0, 0, 0.9483, -0.3173), "axial"),
        ((1, 0, 0, 0, 0, -1), "coronal"),
        ((0, 1, 0, 0, 0, -1), "sagittal"),
        ((1, 0, 0, 0, 0.7071, -0.7071), "oblique"),
    ],
)
def test_the_plane_is_named_by_its_nearest_patient_axis(directions: tuple[float, ...], name: str) -> None:
    assert orientation_of(np.array(directions, float)) == name
