from pathlib import Path

import numpy as np
import pytest

from AcuteFindingsLib.errors import DataError
from AcuteFindingsLib.training.data import DataTable, Example
from AcuteFindingsLib.training.data.sampling import (
    choose_per_class,
    non_empty_share,
)

RARE = np.array([1.0] * 5 + [0.0] * 95)


def test_the_share_of_masks_falls_as_published() -> None:
    shares = [non_empty_share(epoch, 10) for epoch in range(10)]
    assert (shares[0], shares[-1]) == (0.8, pytest.approx(0.22))
    assert np.all(np.diff(shares) < 0)
    assert non_empty_share(0, 1) == 0.8
    with pytest.raises(DataError, match="Epoch 10"):
        non_empty_share(10, 10)


def test_the_same_number_of_each_class_is_chosen_without_repeats() -> None:
    examples = [Example(str(number), labels={"pe": float(number < 20)}) for number in range(100)]
    table = DataTable.from_examples("test", "pe", ["pe"], examples, root=Path())
    chosen = choose_per_class(table, per_class=15, seed=1)
    assert (chosen.count().positive, chosen.count().negative) == (15, 15)
    assert len(set(chosen.keys)) == 30
    assert list(choose_per_class(table, per_class=15, seed=1).keys) == list(chosen.keys)
    assert list(choose_per_class(table, per_class=15, seed=2).keys) != list(chosen.keys)
    with pytest.raises(DataError, match="21 positive examples are requested, but the data set has 20"):
        choose_per_class(table, per_class=21)
