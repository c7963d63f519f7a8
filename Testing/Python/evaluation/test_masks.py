import numpy as np
import pytest

from AcuteFindingsLib.evaluation.masks import dice


@pytest.mark.parametrize(
    ("truth", "mask", "expected"),
    [([1, 1, 0, 0], [1, 1, 0, 0], 1.0), ([1, 1, 0, 0], [0, 1, 1, 0], 0.5), ([1, 1], [0, 0], 0.0), ([0], [0], 1.0)],
)
def test_dice_of_two_masks(truth: list[int], mask: list[int], expected: float) -> None:
    assert dice(np.array(truth), np.array(mask)) == expected
