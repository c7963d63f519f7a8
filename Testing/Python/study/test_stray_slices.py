"""Slices beside the others, out of step or differently scaled than their neighbors are warned of; ordinary ones not."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from AcuteFindingsLib.study.reader import read_study

from .conftest import write_series

SPACING = (5.0, 3.0, 3.0)


def anatomy() -> np.ndarray:
    z, y, x = np.indices((20, 70, 64))
    body = ((y - 34) / 28) ** 2 + ((x - 31) / 24) ** 2 < 1
    noise = np.random.default_rng(0).normal(0, 6, z.shape)
    return np.round(np.where(body, 40, -1000) + noise)


def said(folder: Path) -> dict[str, str]:
    return {notice.code: notice.severity for notice in read_study(folder).notices}


def moved(which: range, axis: int, step: float) -> Any:
    def each(dataset: Any, number: int) -> None:
        if number in which:
            position = [float(value) for value in dataset.ImagePositionPatient]
            position[axis] += step
            dataset.ImagePositionPatient = position

    return each


@pytest.mark.slow
@pytest.mark.parametrize(
    ("which", "axis", "step"),
    [
        (range(9, 10), 0, 5.0),
        (range(10), 0, -7.0),
        (range(10), 1, 2.0),
        (range(4, 8), 1, 2.5),
        (range(19, 20), 1, 300.0),
        (range(8, 9), 2, 2.5),
    ],
)
def test_a_slice_beside_the_others_or_out_of_step_is_warned_of(
    tmp_path: Path, which: range, axis: int, step: float
) -> None:
    write_series(tmp_path, anatomy(), spacing=SPACING, each=moved(which, axis, step))
    assert said(tmp_path).get("stray-slices") == "warn"


@pytest.mark.slow
@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"tilt_deg": 18.0},
        {"heights": [*np.arange(10) * 2.5, *(27.5 + np.arange(10) * 5)]},
        {"heights": [*np.arange(10) * 4.0, *(37.0 + np.arange(10) * 7)]},
        {"heights": [*np.arange(9) * 5.0, *np.arange(10, 21) * 5.0]},
        {"directions": (0.98, 0.19899749, 0, 0, 0, -1)},
        {"each": moved(range(5, 6), 0, 0.4)},
    ],
)
def test_even_leaning_coarser_and_incomplete_stacks_are_not(tmp_path: Path, changes: dict[str, Any]) -> None:
    write_series(tmp_path, anatomy(), **{"spacing": SPACING, **changes})
    assert "stray-slices" not in said(tmp_path)


def test_rescales_that_differ_for_no_reason_are_warned_of(tmp_path: Path) -> None:
    def each(dataset: Any, number: int) -> None:
        if number in (4, 5, 6):
            dataset.RescaleIntercept = -1000

    write_series(tmp_path, anatomy(), spacing=SPACING, each=each)
    assert said(tmp_path).get("rescale-differs") == "warn"


def test_slices_that_are_stored_with_a_rescale_of_their_own_are_not(tmp_path: Path) -> None:
    write_series(tmp_path, anatomy(), spacing=SPACING, intercept=[-1024.0 - 20 * k for k in range(20)])
    study = read_study(tmp_path)
    assert "rescale-differs" not in {notice.code for notice in study.notices}
    np.testing.assert_allclose(study.array, anatomy())
