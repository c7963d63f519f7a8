"""A slice that looks like neither neighbor is told; real CT, also with gaps, has none."""

from pathlib import Path

import numpy as np
import pytest

from AcuteFindingsLib.detectors.registry import find_kind
from AcuteFindingsLib.study.odd_slices import odd_slice_notices, odd_slices
from AcuteFindingsLib.study.reader import read_study

RNG = np.random.default_rng(5)


@pytest.mark.slow
@pytest.mark.parametrize("step", [1, 3, 8])
def test_real_ct_has_no_odd_slice_and_a_spoiled_one_is_found(data_folder: Path, step: int) -> None:
    for folder, detector in (("head-ct-dicom", "hemorrhage"), ("chest-ct-dicom", "pe")):
        array = read_study(data_folder / folder, requirements=find_kind(detector).requirements).array[::step]
        assert odd_slices(array) == []
        place = len(array) // 2
        own = array[place].copy()
        for spoiled in (
            np.where(np.arange(len(own))[:, None] > 0.6 * len(own), RNG.integers(-1024, 3000, own.shape), own),
            np.where(np.arange(len(own))[:, None] > 0.6 * len(own), -1024, own),
            own + 1024,
            own[::-1, ::-1],
        ):
            array[place] = spoiled
            assert place in odd_slices(array)


def test_gray_pictures_are_judged_on_their_own_scale() -> None:
    array = np.full((9, 64, 64), 0.5, np.float32) + RNG.normal(0, 0.01, (9, 64, 64)).astype(np.float32)
    assert odd_slices(array, windowed=True) == []
    array[4, 40:] = 0
    assert odd_slices(array, windowed=True) == [4]
    assert "number 5" in odd_slice_notices(array, windowed=True)[0].text


@pytest.mark.parametrize("shape", [(1, 8, 8), (2, 8, 8), (3, 1, 1), (5, 3, 2)])
def test_small_stacks_are_looked_at_without_harm(shape: tuple[int, int, int]) -> None:
    assert odd_slices(np.zeros(shape, np.float32)) == []
