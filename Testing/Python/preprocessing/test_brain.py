import numpy as np
import pytest

from AcuteFindingsLib.preprocessing.brain import brain_mask


def dice(a: np.ndarray, b: np.ndarray) -> float:
    return 2 * (a & b).sum() / (a.sum() + b.sum())


@pytest.mark.parametrize("thickness", [1.0, 5.0, 8.0])
def test_mask_is_what_the_skull_encloses(head, thickness):
    hu, inside = head
    assert dice(brain_mask(hu, (thickness, 1, 1)), inside) > 0.98


def test_blood_beside_the_skull_and_calcium_inside_belong_to_the_mask(head):
    hu, inside = head
    hu = hu.copy()
    rim = inside & ~np.roll(inside, 6, axis=2)
    hu[rim] = 75
    hu[5, 100:104, 98:102] = 400
    mask = brain_mask(hu, (5, 1, 1))
    assert mask[rim].mean() > 0.95
    assert mask[5, 100:104, 98:102].all()


def test_a_gap_in_the_skull_does_not_let_the_mask_out(head):
    hu, inside = head
    hu = hu.copy()
    hu[3:6, 105:115, :100][hu[3:6, 105:115, :100] > 500] = 30
    assert dice(brain_mask(hu, (5, 1, 1)), inside) > 0.97


def test_scalp_and_air_are_outside(head):
    hu, _ = head
    mask = brain_mask(hu, (5, 1, 1))
    assert hu[mask].min() > -200
    assert not mask[:, :15].any()


def test_without_a_skull_nothing_is_inside(head):
    hu, _ = head
    assert not brain_mask(np.minimum(hu, 60), (5, 1, 1)).any()
    assert not brain_mask(np.full((3, 64, 64), -1000, np.float32), (5, 1, 1)).any()


@pytest.mark.slow
def test_real_tilted_head_has_the_volume_of_a_cranial_cavity_and_no_eyes(real_head):
    mask = brain_mask(real_head, (5.63, 0.488, 0.488))
    assert 1200 < mask.sum() * 5.63 * 0.488**2 / 1000 < 1700
    assert not mask[8, 90:160, 110:190].any()  # an eye socket
    assert not mask[:3].any()  # below the skull
    assert mask[18, 150:350, 200:320].all()
    assert real_head[mask].mean() == pytest.approx(32, abs=10)
