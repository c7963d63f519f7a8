import numpy as np
import pytest

from AcuteFindingsLib.errors import EvaluationError
from AcuteFindingsLib.evaluation.intervals import auc_interval, mean_interval

WORDS = {"metric": "m", "data": "d", "command": "c"}


def test_the_interval_of_an_auc_holds_the_value() -> None:
    generator = np.random.default_rng(3)
    truth = generator.random(60) < 0.4
    figure = auc_interval(truth, truth + generator.normal(0, 0.6, 60), **WORDS)
    assert 0.5 < figure.low <= figure.value <= figure.high < 1
    assert (figure.count, figure.metric, figure.data, figure.command) == (60, "m", "d", "c")


def test_a_perfect_score_has_an_auc_of_one() -> None:
    figure = auc_interval(np.array([0, 0, 1, 1]), np.array([0.1, 0.2, 0.3, 0.4]), **WORDS)
    assert (figure.value, figure.high) == (1, 1)
    # Four cases cannot show that a fifth would be ranked well, too.
    assert figure.low < 0.5


def test_more_cases_narrow_the_interval_of_a_mean() -> None:
    values = np.random.default_rng(1).normal(5, 1, 400)
    few, many = mean_interval(values[:20], **WORDS), mean_interval(values, **WORDS)
    for figure in (few, many):
        assert figure.low <= figure.value <= figure.high
    assert many.value == pytest.approx(values.mean())
    assert many.high - many.low < few.high - few.low


@pytest.mark.parametrize(("truth", "kind"), [([1, 1], "positive"), ([0, 0, 0], "negative")])
def test_an_auc_of_cases_of_one_kind_is_refused(truth: list[int], kind: str) -> None:
    with pytest.raises(EvaluationError, match=f"m: all {len(truth)} cases are {kind} .d.; an AUC needs both"):
        auc_interval(np.array(truth), np.zeros(len(truth)), **WORDS)
