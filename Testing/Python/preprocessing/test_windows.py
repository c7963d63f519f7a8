import numpy as np
import pytest
from pydicom.dataset import Dataset
from pydicom.pixels import apply_windowing

from AcuteFindingsLib.preprocessing.windows import apply_window


def test_window_is_the_formula_of_the_dicom_standard_as_pydicom_has_it():
    hu = np.arange(-400, 600, dtype=np.float32)
    header = Dataset()
    header.WindowCenter, header.WindowWidth = 100, 700
    header.PhotometricInterpretation = "MONOCHROME2"
    header.BitsStored, header.PixelRepresentation = 16, 0
    expected = apply_windowing(hu.astype(np.float64), header) / (2**16 - 1)
    np.testing.assert_allclose(apply_window(hu, level=100, width=700), expected, atol=1e-5)


def test_window_ends_lie_half_a_unit_below_the_level_and_a_unit_narrower():
    assert apply_window(np.array([100 - 0.5 - 349.5, 100 - 0.5 + 349.5, 99.5]), level=100, width=700) == pytest.approx(
        [0, 1, 0.5]
    )


def test_window_of_width_one_is_a_step():
    assert apply_window(np.array([39.5, 40.0]), level=40, width=1).tolist() == [0, 1]


def test_window_leaves_its_input_alone_and_gives_float32():
    hu = np.array([-1000, 40, 3000], np.int16)
    out = apply_window(hu, level=40, width=80)
    assert hu.tolist() == [-1000, 40, 3000]
    assert out.dtype == np.float32
    assert out.min() >= 0
    assert out.max() <= 1


def test_window_narrower_than_the_standard_allows_is_refused():
    with pytest.raises(ValueError, match="at least 1"):
        apply_window(np.zeros(2), level=0, width=0.5)
