"""Clot volume by sides: told where two lungs are seen, and never guessed."""

from dataclasses import replace

import numpy as np
import pytest

from AcuteFindingsLib.detectors.pe.sides import side_volumes
from AcuteFindingsLib.detectors.phantoms import make_phantom
from AcuteFindingsLib.phantoms.as_study import phantom_study
from AcuteFindingsLib.phantoms.phantom import Phantom
from AcuteFindingsLib.preprocessing.orient import to_axial
from AcuteFindingsLib.study.study import SourceSlice, Study


def phantom(seed: int) -> Phantom:
    return make_phantom("ctpa", seed, positive=True, matrix=96, slice_spacing=5.0)


def box_chest(depth: int = 40) -> Study:
    """Two boxes of lung in 4 mm voxels, which meet at the middle plane in front, in a box of soft tissue in air."""
    array = np.full((depth, 64, 64), -1000, np.float32)
    array[:, 6:58, 4:60] = 40
    array[:, 20:50, 8:27] = array[:, 20:50, 37:56] = -800
    array[:, 12:20, 8:56] = -800
    array[:, 12:20, 31:33] = -500
    matrix = np.diag([-4.0, -4.0, 4.0, 1.0])
    sources = tuple(SourceSlice(k, None, 0, "", (0.0, 0.0, 4.0 * k), k) for k in range(depth))
    return Study(array, matrix, "CT", "HU", "axial", sources)


def spot(study: Study, x: int, y: int) -> tuple[float, float, float] | None:
    mask = np.zeros(study.array.shape, np.uint8)
    mask[len(mask) // 2, y, x] = 1
    return told(study, mask)


@pytest.fixture(scope="module")
def drawn() -> Phantom:
    """A phantom with clots in both lungs."""
    return phantom(2)


@pytest.fixture(scope="module")
def chest(drawn: Phantom) -> tuple[Study, np.ndarray]:
    return phantom_study(drawn), drawn.masks["embolus"]


def told(study: Study, mask: np.ndarray) -> tuple[float, float, float] | None:
    axial = to_axial(study)
    volumes = side_volumes(study, axial, axial.view(mask))
    return None if volumes is None else (volumes.right, volumes.left, volumes.elsewhere)


def test_a_side_has_clot_exactly_where_the_phantom_has_it_in_a_lung(chest) -> None:
    right, left, _ = told(*chest)
    assert min(right, left) > 0
    other = phantom(3)
    assert (other.study_labels["right"], other.study_labels["left"]) == (1, 0)
    right, left, _ = told(phantom_study(other), other.masks["embolus"])
    assert (right > 0, left) == (True, 0)


def test_the_three_volumes_are_all_of_the_clot(chest) -> None:
    study, mask = chest
    assert sum(told(study, mask)) == pytest.approx(mask.sum() * float(np.prod(study.spacing)))


def test_what_lies_between_the_lungs_is_on_no_side(drawn: Phantom, chest) -> None:
    right, left, elsewhere = told(chest[0], drawn.masks["heart"])
    assert elsewhere > 0.9 * (right + left + elsewhere)


def test_a_stack_stored_the_other_way_round_has_the_same_sides(chest) -> None:
    study, mask = chest
    matrix = study.ijk_to_ras.copy()
    last = np.array(study.array.shape[::-1]) - 1
    matrix[:3, 3] += matrix[:3, :3] @ (last * [1, 0, 1])
    matrix[:3, [0, 2]] *= -1
    turned = replace(study, array=study.array[::-1, :, ::-1], ijk_to_ras=matrix)
    assert told(turned, mask[::-1, :, ::-1]) == pytest.approx(told(study, mask))


def test_a_mirrored_header_mirrors_the_sides(chest) -> None:
    study, mask = chest
    right, left, elsewhere = told(study, mask)
    mirrored = replace(study, array=study.array[:, :, ::-1])
    assert told(mirrored, mask[:, :, ::-1]) == pytest.approx((left, right, elsewhere), rel=0.15, abs=100)


def test_where_the_lungs_meet_is_on_no_side() -> None:
    study = box_chest()
    assert [spot(study, x, 15) for x in (16, 30, 33, 47)] == [(64, 0, 0), (0, 0, 64), (0, 0, 64), (0, 64, 0)]


def test_a_vessel_within_a_lung_is_in_it_and_one_between_the_lungs_is_not() -> None:
    study = box_chest()
    study.array[:, 33:37, 16:20] = 300
    assert spot(study, 18, 35) == (64, 0, 0)
    assert spot(study, 32, 35) == (0, 0, 64)


def test_of_a_slab_with_little_lung_no_side_is_told() -> None:
    assert spot(box_chest(4), 16, 15) is None


@pytest.mark.parametrize("half", [slice(None, 40), slice(56, None)])
def test_of_one_lung_alone_no_side_is_told(chest, half: slice) -> None:
    study, mask = chest
    airless = study.array.copy()
    airless[:, :, half] = np.where(airless[:, :, half] < -300, 20, airless[:, :, half])
    assert told(replace(study, array=airless), mask) is None


def test_without_lungs_or_turned_no_side_is_told(chest) -> None:
    study, mask = chest
    assert told(replace(study, array=np.zeros_like(study.array)), mask) is None
    angle = np.deg2rad(35)
    turn = np.array([[np.cos(angle), -np.sin(angle), 0], [np.sin(angle), np.cos(angle), 0], [0, 0, 1]])
    matrix = study.ijk_to_ras.copy()
    matrix[:3, :3] = turn @ matrix[:3, :3]
    assert told(replace(study, ijk_to_ras=matrix), mask) is None
