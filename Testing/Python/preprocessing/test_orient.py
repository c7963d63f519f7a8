import itertools

import numpy as np
import pytest
import SimpleITK as sitk

from AcuteFindingsLib.preprocessing.orient import to_axial
from AcuteFindingsLib.study.grid import image_ijk_to_ras, place_image
from AcuteFindingsLib.study.study import SourceSlice, Study


def make_study(array: np.ndarray, ijk_to_ras: np.ndarray) -> Study:
    sources = tuple(
        SourceSlice(k, None, 0, "", tuple((ijk_to_ras @ [0, 0, k, 1])[:3]), float(k)) for k in range(array.shape[0])
    )
    return Study(array, ijk_to_ras, "CT", "HU", "axial", sources)


def signed_axes() -> list[np.ndarray]:
    """All 48 ways in which index axes can run along the patient's."""
    return [
        np.diag(signs) @ np.eye(3)[list(order)]
        for order in itertools.permutations(range(3))
        for signs in itertools.product((1, -1), repeat=3)
    ]


@pytest.mark.parametrize("axes", signed_axes())
def test_axial_view_agrees_with_itk_for_every_order_and_direction_of_axes(axes):
    array = np.arange(2 * 3 * 4, dtype=np.float32).reshape(2, 3, 4)
    matrix = np.eye(4)
    matrix[:3, :3] = axes * [1.0, 2.0, 3.0]
    matrix[:3, 3] = [5, -6, 7]
    axial = to_axial(make_study(array, matrix))

    image = sitk.GetImageFromArray(array)
    if np.linalg.det(axes) > 0:  # ITK orients right-handed grids only
        place_image(image, matrix)
        expected = sitk.DICOMOrient(image, "LPS")
        np.testing.assert_array_equal(axial.array, sitk.GetArrayFromImage(expected))
        np.testing.assert_allclose(axial.ijk_to_ras, image_ijk_to_ras(expected), atol=1e-9)
    np.testing.assert_array_equal(axial.restore(axial.array), array)
    np.testing.assert_allclose(axial.ijk_to_ras[:3, :3], np.diag([-1, -1, 1] * np.array(axial.spacing)[::-1]))


def test_axial_view_of_an_oblique_study_keeps_every_voxel_where_it_was():
    angle = np.radians(20)
    turn = np.array([[1, 0, 0], [0, np.cos(angle), -np.sin(angle)], [0, np.sin(angle), np.cos(angle)]])
    matrix = np.eye(4)
    matrix[:3, :3] = turn @ np.diag([1.0, -1.0, -4.0])
    array = np.random.default_rng(0).normal(size=(3, 4, 5)).astype(np.float32)
    axial = to_axial(make_study(array, matrix))
    k, j, i = np.argwhere(array == axial.array[0, 1, 2])[0]
    np.testing.assert_allclose(axial.ijk_to_ras @ [2, 1, 0, 1], matrix @ [i, j, k, 1])
    assert axial.spacing == pytest.approx((4, 1, 1))


def test_axial_view_copies_nothing():
    array = np.zeros((2, 3, 4), np.float32)
    assert np.shares_memory(to_axial(make_study(array, np.eye(4))).array, array)


def test_source_slices_run_backwards_along_z_where_the_study_runs_from_head_to_feet():
    down = np.diag([-1.0, -1.0, -2.0, 1.0])
    assert to_axial(make_study(np.zeros((3, 2, 2), np.float32), down)).source_z.tolist() == [2, 1, 0]


def test_source_slices_of_a_coronal_study_have_no_single_z():
    coronal = np.array([[-1.0, 0, 0, 0], [0, 0, 1, 0], [0, -1, 0, 0], [0, 0, 0, 1]])
    assert np.isnan(to_axial(make_study(np.zeros((3, 2, 2), np.float32), coronal)).source_z).all()


@pytest.mark.parametrize("degrees", [45, -45])
def test_halfway_between_two_axes_the_slices_stay_as_they_are(degrees: int) -> None:
    angle = np.deg2rad(degrees)
    for axis in range(3):
        one, other = (n for n in range(3) if n != axis)
        turned = np.eye(4)
        turned[[one, one, other, other], [one, other, one, other]] = np.array([1, -1, 1, 1]) * [
            np.cos(angle), np.sin(angle), np.sin(angle), np.cos(angle),
        ]  # fmt: skip
        assert to_axial(make_study(np.zeros((3, 2, 2), np.float32), turned)).order == (0, 1, 2)
