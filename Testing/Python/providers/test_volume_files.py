import numpy as np
import pytest
import SimpleITK as sitk

from AcuteFindingsLib.errors import ProviderError
from AcuteFindingsLib.preprocessing.orient import to_axial
from AcuteFindingsLib.providers.volume_files import read_volume, write_volume


@pytest.mark.parametrize("flip_z", [False, True])
def test_a_volume_comes_back_as_it_was_in_axial_order(make_ct, tmp_path, flip_z) -> None:
    axial = to_axial(make_ct(np.random.default_rng(0).normal(0, 500, (5, 7, 9)).round(), flip_z=flip_z))
    file = write_volume(axial, tmp_path / "a.nii.gz")
    np.testing.assert_array_equal(read_volume(file, axial), axial.array)
    image = sitk.ReadImage(str(file))
    assert image.GetSpacing() == pytest.approx((1.0, 1.0, 2.0))
    # Packages turn an image that is not in this order themselves, some of them wrongly by a voxel.
    np.testing.assert_allclose(np.reshape(image.GetDirection(), (3, 3)), np.eye(3), atol=1e-6)


def test_a_result_on_another_grid_or_broken_is_refused(make_ct, tmp_path) -> None:
    axial = to_axial(make_ct(np.zeros((5, 7, 9))))
    sitk.WriteImage(sitk.GetImageFromArray(np.zeros((5, 7, 8), np.uint8)), str(tmp_path / "b.nii.gz"))
    with pytest.raises(ProviderError, match=r"shape \(5, 7, 8\), expected \(5, 7, 9\)"):
        read_volume(tmp_path / "b.nii.gz", axial)
    (tmp_path / "c.nii.gz").write_bytes(b"nothing")
    with pytest.raises(ProviderError, match=r"c\.nii\.gz"):
        read_volume(tmp_path / "c.nii.gz", axial)
