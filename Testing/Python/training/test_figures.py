import numpy as np
import pytest

from AcuteFindingsLib.errors import ModelError
from AcuteFindingsLib.training.figures import auc_interval, dice, f1_threshold, mean_interval, youden_threshold

WORDS = {"metric": "m", "data": "d", "command": "c"}


def test_the_interval_of_an_auc_holds_the_value() -> None:
    generator = np.random.default_rng(3)
    truth = generator.random(60) < 0.4
    figure = auc_interval(truth, truth + generator.normal(0, 0.6, 60), **WORDS)
    assert 0.5 < figure.low <= figure.value <= figure.high < 1
    assert (figure.count, figure.metric, figure.data, figure.command) == (60, "m", "d", "c")


def test_a_perfect_score_has_an_auc_of_one() -> None:
    figure = auc_interval(np.array([0, 0, 1, 1]), np.array([0.1, 0.2, 0.3, 0.4]), **WORDS)
    assert (figure.low, figure.value, figure.high) == (1, 1, 1)


def test_more_cases_narrow_the_interval_of_a_mean() -> None:
    values = np.random.default_rng(1).normal(5, 1, 400)
    few, many = mean_interval(values[:20], **WORDS), mean_interval(values, **WORDS)
    for figure in (few, many):
        assert figure.low <= figure.value <= figure.high
    assert many.value == pytest.approx(values.mean())
    assert many.high - many.low < few.high - few.low


@pytest.mark.parametrize(
    ("truth", "mask", "expected"),
    [([1, 1, 0, 0], [1, 1, 0, 0], 1.0), ([1, 1, 0, 0], [0, 1, 1, 0], 0.5), ([1, 1], [0, 0], 0.0), ([0], [0], 1.0)],
)
def test_dice_of_two_masks(truth: list[int], mask: list[int], expected: float) -> None:
    assert dice(np.array(truth), np.array(mask)) == expected


def test_the_youden_threshold_lies_between_two_groups_that_separate() -> None:
    threshold = youden_threshold(np.array([0, 0, 0, 1, 1]), np.array([0.1, 0.2, 0.3, 0.7, 0.9]))
    assert threshold == pytest.approx(0.5)


def test_the_f1_threshold_keeps_few_positives_apart_from_many_negatives() -> None:
    truth = np.array([0] * 90 + [1] * 10)
    score = np.concatenate([np.linspace(0, 0.3, 90), [0.02, *np.linspace(0.4, 0.9, 9)]])
    assert f1_threshold(truth, score) == pytest.approx(0.4)
    assert youden_threshold(truth, score) == pytest.approx(0.35, abs=0.06)


def test_the_youden_threshold_stays_inside_0_and_1() -> None:
    assert youden_threshold(np.array([0, 1]), np.array([0.0, 1e-6])) == 0.01
    assert youden_threshold(np.array([0, 1]), np.array([0.9999, 1.0])) == 0.99


@pytest.mark.parametrize(("truth", "kind"), [([1, 1], "positive"), ([0, 0, 0], "negative")])
def test_an_auc_of_cases_of_one_kind_is_refused(truth: list[int], kind: str) -> None:
    with pytest.raises(ModelError, match=f"m: all {len(truth)} cases are {kind} .d.; an AUC needs both"):
        auc_interval(np.array(truth), np.zeros(len(truth)), **WORDS)
