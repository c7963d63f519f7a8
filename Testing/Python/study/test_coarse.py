import numpy as np
import pytest

from AcuteFindingsLib.study.coarse import box_means


def test_boxes_hold_the_mean_of_what_lies_in_them_whatever_the_grid():
    z, y, x = np.meshgrid(*(np.arange(24.0) + 0.5 for _ in range(3)), indexing="ij")
    ramp = (z + 10 * y + 100 * x).astype(np.float32)
    fine = box_means(ramp, (1.0, 1.0, 1.0), 8.0)
    assert fine.shape == (3, 3, 3)
    assert fine[0, 1, 2] == pytest.approx(4 + 10 * 12 + 100 * 20)
    halved = ramp.reshape(12, 2, 12, 2, 12, 2).mean(axis=(1, 3, 5))
    np.testing.assert_allclose(box_means(halved, (2.0, 2.0, 2.0), 8.0), fine, rtol=1e-5)


def test_a_box_may_cut_a_voxel():
    row = np.arange(5, dtype=np.float32).reshape(1, 1, 5)
    np.testing.assert_allclose(
        box_means(row, (9.0, 9.0, 2.0), 5.0)[0, 0], [(0 * 2 + 1 * 2 + 2 * 1) / 5, (2 + 6 + 8) / 5]
    )


def test_a_side_shorter_than_a_box_is_one_box():
    assert box_means(np.ones((2, 4, 4), np.float32), (1.0, 4.0, 4.0), 8.0).shape == (1, 2, 2)
