"""Enhanced multi-frame CT reads as the same slices in single files would."""

from pathlib import Path

import numpy as np
import pytest
from pydicom.uid import ExplicitVRLittleEndian, JPEGLSLossless, RLELossless

from AcuteFindingsLib.study.reader import read_study

from .conftest import write_enhanced

HU = np.random.default_rng(5).integers(-1000, 1000, (7, 9, 11)).astype(float)
ORDER = [3, 0, 6, 2, 5, 1, 4]


@pytest.mark.parametrize("syntax", [ExplicitVRLittleEndian, RLELossless, JPEGLSLossless])
def test_frames_in_any_order_are_stacked_by_position(tmp_path: Path, syntax: str) -> None:
    study = read_study(write_enhanced(tmp_path / "enhanced.dcm", HU, order=ORDER, transfer_syntax=syntax))
    np.testing.assert_array_equal(study.array, HU)
    assert study.spacing == pytest.approx((3.0, 0.5, 0.75))
    np.testing.assert_allclose(study.ijk_to_ras[:3, 3], [10, 20, 30])
    assert [ORDER[source.frame] for source in study.sources] == [0, 1, 2, 3, 4, 5, 6]
    assert len({source.sop_instance_uid for source in study.sources}) == 1
    assert study.notices == ()


def test_each_frame_is_rescaled_by_its_own_group(tmp_path: Path) -> None:
    intercepts = [-1024.0 - 10 * k for k in range(7)]
    study = read_study(write_enhanced(tmp_path / "enhanced.dcm", HU, order=ORDER, intercepts=intercepts))
    np.testing.assert_array_equal(study.array, HU)


def test_highdicom_finds_the_same_volume(tmp_path: Path) -> None:
    highdicom = pytest.importorskip("highdicom")
    file = write_enhanced(tmp_path / "enhanced.dcm", HU, order=ORDER)
    study = read_study(file)
    volume = highdicom.imread(file).get_volume(apply_real_world_transform=False)
    for index in ((0, 0, 0), (6, 8, 10), (2, 5, 3)):
        slice_, row, column = index
        place = volume.map_indices_to_reference(np.array([index]))[0] * [-1, -1, 1]
        ijk = (np.linalg.inv(study.ijk_to_ras) @ [*place, 1])[:3]
        here = tuple(round(value) for value in ijk[::-1])
        assert study.array[here] == volume.array[slice_, row, column]
