from pathlib import Path

import numpy as np
import pytest

from AcuteFindingsLib.errors import DataError
from AcuteFindingsLib.training.data import DataTable, Example
from AcuteFindingsLib.training.data.sampling import (
    ShareSampler,
    balanced_weights,
    choose_per_class,
    non_empty_share,
)

RARE = np.array([1.0] * 5 + [0.0] * 95)


def test_five_percent_positives_weigh_as_much_as_all_negatives() -> None:
    weights = balanced_weights(RARE)
    assert weights[:5].sum() == pytest.approx(0.5)
    assert weights.sum() == pytest.approx(1)
    assert weights[0] / weights[-1] == pytest.approx(19)


def test_recall_oriented_weights_lean_to_the_positives() -> None:
    assert balanced_weights(RARE, positive_share=0.75)[:5].sum() == pytest.approx(0.75)


def test_unknown_labels_are_never_drawn() -> None:
    weights = balanced_weights(np.array([1, 0, np.nan, 0]))
    assert weights[2] == 0
    drawn = set(ShareSampler(np.array([1, 0, np.nan, 0]), 0.5, count=40))
    assert drawn == {0, 1, 3}


def test_a_class_that_is_not_there_is_told() -> None:
    with pytest.raises(DataError, match="none of the 3 is positive"):
        balanced_weights(np.zeros(3))
    assert balanced_weights(np.zeros(3), positive_share=0).tolist() == pytest.approx([1 / 3] * 3)


def test_the_share_of_masks_falls_as_published() -> None:
    shares = [non_empty_share(epoch, 10) for epoch in range(10)]
    assert (shares[0], shares[-1]) == (0.8, pytest.approx(0.22))
    assert np.all(np.diff(shares) < 0)
    assert non_empty_share(0, 1) == 0.8
    with pytest.raises(DataError, match="Epoch 10"):
        non_empty_share(10, 10)


def test_an_epoch_holds_exactly_the_share_asked_for() -> None:
    sampler = ShareSampler(RARE, [0.8, 0.5, 0.22])
    for epoch, expected in ((0, 80), (1, 50), (2, 22), (7, 22)):
        sampler.set_epoch(epoch)
        drawn = list(sampler)
        assert (len(drawn), sum(RARE[drawn] == 1)) == (100, expected)


def test_negatives_repeat_only_when_they_run_out() -> None:
    drawn = [row for row in ShareSampler(RARE, 0.05) if RARE[row] == 0]
    assert len(set(drawn)) == len(drawn) == 95


def test_an_epoch_is_drawn_alike_after_a_resume_and_otherwise_in_another_epoch() -> None:
    first, again = ShareSampler(RARE, 0.5, seed=3), ShareSampler(RARE, 0.5, seed=3)
    first.set_epoch(4)
    again.set_epoch(4)
    assert list(first) == list(again)
    again.set_epoch(5)
    assert list(first) != list(again)


def test_the_same_number_of_each_class_is_chosen_without_repeats() -> None:
    examples = [Example(str(number), labels={"pe": float(number < 20)}) for number in range(100)]
    table = DataTable.from_examples("test", "pe", ["pe"], examples, root=Path())
    chosen = choose_per_class(table, per_class=15, seed=1)
    assert (chosen.count().positive, chosen.count().negative) == (15, 15)
    assert len(set(chosen.keys)) == 30
    assert list(choose_per_class(table, per_class=15, seed=1).keys) == list(chosen.keys)
    assert list(choose_per_class(table, per_class=15, seed=2).keys) != list(chosen.keys)
    with pytest.raises(DataError, match="21 positive examples are asked for, but the data set has 20"):
        choose_per_class(table, per_class=21)
