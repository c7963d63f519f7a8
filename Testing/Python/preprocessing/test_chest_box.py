"""The box that is read holds the lungs and what lies between them, whichever lung is left."""

import numpy as np
import pytest

from AcuteFindingsLib.preprocessing.chest_box import chest_box
from AcuteFindingsLib.preprocessing.orient import to_axial
from AcuteFindingsLib.study.study import SourceSlice, Study

STEP = 4.0
BODY = np.s_[:, 20:80, 10:110]
RIGHT, LEFT = np.s_[20:70, 28:70, 18:50], np.s_[20:70, 28:70, 70:102]


def chest(*lungs, shape=(100, 100, 120), up: bool = True) -> Study:
    """A body with lungs on a grid of 4 mm, which is 480 mm wide."""
    array = np.full(shape, -1000, np.float32)
    array[BODY] = 40
    for lung in lungs:
        array[lung] = -850
    array[85:88, 45:48, 55:58] = -700
    matrix = np.diag([-STEP, -STEP, STEP, 1.0])
    if not up:
        array, matrix = array[::-1].copy(), np.diag([-STEP, -STEP, -STEP, 1.0])
    sources = tuple(SourceSlice(k, None, 0, "", (0.0, 0.0, float(matrix[2, 2] * k)), k) for k in range(shape[0]))
    return Study(array, matrix, "CT", "HU", "axial", sources)


def box_of(study: Study, margin_mm: float = 20.0) -> tuple[slice, slice, slice]:
    return chest_box(study, to_axial(study), margin_mm=margin_mm)


@pytest.mark.parametrize("up", [True, False])
def test_it_is_the_lungs_with_the_margin_and_leaves_out_the_rest(up) -> None:
    z, y, x = box_of(chest(RIGHT, LEFT, up=up))
    assert (z, y) == (slice(15, 75), slice(23, 75))
    # What opens thin structures takes off the corners, not the sides.
    assert (x.start, x.stop) == pytest.approx((13, 107), abs=1)


def test_gas_in_the_bowel_does_not_make_it_larger() -> None:
    with_gas = chest(RIGHT, LEFT)
    with_gas.array[5:9, 40:46, 40:46] = -700
    assert box_of(with_gas) == box_of(chest(RIGHT, LEFT))


@pytest.mark.parametrize("lung", [RIGHT, LEFT])
def test_with_one_lung_the_other_side_is_read_too(lung) -> None:
    both, one = box_of(chest(RIGHT, LEFT)), box_of(chest(lung))
    assert one[0] == both[0]
    assert one[1] == both[1]
    assert one[2].start == pytest.approx(both[2].start, abs=2)
    assert one[2].stop == pytest.approx(both[2].stop, abs=2)


def test_without_enough_lung_all_is_read() -> None:
    study = chest(np.s_[20:30, 28:40, 18:28])
    assert box_of(study) == tuple(slice(0, count) for count in study.array.shape)
