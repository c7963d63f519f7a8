import numpy as np
import pytest
from sklearn.metrics import average_precision_score, roc_auc_score

from AcuteFindingsLib.evaluation.resampling import (
    Bootstrap,
    auc_measure,
    average_precision_measure,
    mean_measure,
    share_measure,
)

GENERATOR = np.random.default_rng(5)
TRUTH = GENERATOR.random(80) < 0.4
SCORE = np.round(TRUTH * 0.5 + GENERATOR.normal(0, 0.6, 80), 1)
PATIENTS = np.repeat(np.arange(20), 4)


@pytest.mark.parametrize(
    ("measure", "known"), [(auc_measure, roc_auc_score), (average_precision_measure, average_precision_score)]
)
def test_a_measure_of_weighted_cases_is_that_of_cases_repeated(measure, known) -> None:
    weights = np.stack([np.ones(80), *next(iter(Bootstrap(PATIENTS, draws=5).weights()))])
    found = measure(TRUTH, SCORE)(weights)
    for value, row in zip(found, weights.astype(int), strict=True):
        assert value == pytest.approx(known(np.repeat(TRUTH, row), np.repeat(SCORE, row)))


def test_a_patient_is_drawn_whole() -> None:
    for weights in Bootstrap(PATIENTS, draws=50).weights():
        by_patient = weights.reshape(len(weights), 20, 4)
        assert (by_patient == by_patient[:, :, :1]).all()
        assert (weights.sum(1) == 80).all()


def test_the_interval_of_a_mean_is_as_wide_as_theory_says() -> None:
    values = np.random.default_rng(1).normal(3, 2, 900)
    span = Bootstrap(np.arange(900)).interval(mean_measure(values))
    assert span is not None
    assert (span.high - span.low) == pytest.approx(2 * 1.96 * values.std() / 30, rel=0.08)


def test_images_of_one_patient_that_agree_widen_the_interval() -> None:
    values = np.repeat(np.random.default_rng(2).normal(0, 1, 50), 10)
    alone, together = (
        Bootstrap(groups).interval(mean_measure(values)) for groups in (np.arange(500), np.repeat(np.arange(50), 10))
    )
    assert alone is not None
    assert together is not None
    assert together.high - together.low > 2.5 * (alone.high - alone.low)


def test_a_measure_that_most_draws_do_not_define_has_no_interval() -> None:
    only_one = np.eye(1, 12)[0]
    assert Bootstrap(np.arange(12)).interval(share_measure(only_one, only_one)) is not None
    assert Bootstrap(np.arange(12)).interval(share_measure(only_one, np.zeros(12))) is None


def test_the_draws_are_the_same_each_time_and_the_words_say_how_many() -> None:
    bootstrap = Bootstrap(PATIENTS, by="patient", draws=100)
    first, second = (bootstrap.interval(auc_measure(TRUTH, SCORE)) for _ in range(2))
    assert first == second
    assert first is not None
    assert first.method == "bootstrap by patient, 100 draws"
    assert bootstrap.clustered
    assert not Bootstrap(np.arange(3)).clustered
