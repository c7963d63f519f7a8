"""Volumes as NIfTI, read by an independent reader."""

from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from AcuteFindingsLib.study.grid import image_ijk_to_ras
from AcuteFindingsLib.study.nifti_writer import nifti_pieces


def written(folder: Path, array: np.ndarray, kind: np.dtype, ijk_to_ras: np.ndarray) -> sitk.Image:
    file = folder / "volume.nii.gz"
    with file.open("wb") as stream:
        stream.writelines(nifti_pieces(array, array.shape, kind, ijk_to_ras))
    return sitk.ReadImage(str(file))


def oblique() -> np.ndarray:
    """A grid that is turned by 20° about x and by 10° about z, with three spacings."""
    a, b = np.deg2rad([20.0, 10.0])
    about_x = np.array([[1, 0, 0], [0, np.cos(a), -np.sin(a)], [0, np.sin(a), np.cos(a)]])
    about_z = np.array([[np.cos(b), -np.sin(b), 0], [np.sin(b), np.cos(b), 0], [0, 0, 1]])
    matrix = np.eye(4)
    matrix[:3, :3] = about_x @ about_z @ np.diag([-0.7, -0.5, 3.0])
    matrix[:3, 3] = [12.5, -40.0, 7.25]
    return matrix


@pytest.mark.parametrize("kind", ["uint8", "int16", "uint16", "int32", "float32", "float64"])
def test_voxels_and_place_are_as_they_were(tmp_path, kind):
    rng = np.random.default_rng(0)
    array = (100 * rng.random((5, 6, 7))).astype(kind)
    image = written(tmp_path, array, np.dtype(kind), oblique())
    read = sitk.GetArrayFromImage(image)
    assert read.dtype == array.dtype
    np.testing.assert_array_equal(read, array)
    np.testing.assert_allclose(image_ijk_to_ras(image), oblique(), atol=1e-4)


def test_floating_voxels_are_rounded_into_integers_and_held_within_their_range(tmp_path):
    array = np.array([[[-1000.4, 40.6, 1e6]]], np.float32)
    image = written(tmp_path, array, np.dtype(np.int16), np.eye(4))
    assert sitk.GetArrayFromImage(image).tolist() == [[[-1000, 41, 32767]]]


def test_more_planes_than_a_block_holds_stay_in_their_order(tmp_path):
    array = np.arange(40, dtype=np.int16).repeat(300 * 300).reshape(40, 300, 300)
    image = written(tmp_path, array, array.dtype, np.eye(4))
    np.testing.assert_array_equal(sitk.GetArrayFromImage(image), array)
