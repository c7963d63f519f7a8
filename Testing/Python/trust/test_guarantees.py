"""Promises of error rates: exact numbers, the rates at which they are held, and another implementation."""

import numpy as np
import pytest
from crepes import ConformalClassifier
from scipy.stats import beta, binom, norm

from AcuteFindingsLib.trust.calibrate import find_thresholds
from AcuteFindingsLib.trust.calibration import Promise
from AcuteFindingsLib.trust.guarantees import (
    allowed_wrong,
    below_rank,
    calls_needed,
    cases_needed,
    error_rank,
    value_threshold,
)

DRAWS = 1000


def too_seldom(promised: float, draws: int = DRAWS) -> int:
    """As often as a promise that is held at its rate is held in all but one of 1,000 repetitions of a test."""
    return int(binom.ppf(0.001, draws, promised))


@pytest.mark.parametrize(("least", "confidence", "fewest"), [(0.9, 0.95, 29), (0.98, 0.95, 149), (0.98, 0.9, 114)])
def test_as_many_calls_without_an_error_are_needed_as_the_binomial_test_asks_for(least, confidence, fewest) -> None:
    assert calls_needed(least, confidence) == fewest
    assert least**fewest <= 1 - confidence < least ** (fewest - 1)
    # Where only one test can be made it is made at the whole risk.
    one = allowed_wrong(fewest, least, confidence)
    assert one[-1] == 0
    assert (one[:-1] == -1).all()


def test_a_walk_of_the_promised_value_reaches_the_boundary_no_more_often_than_the_risk() -> None:
    boundary = allowed_wrong(300, 0.9, 0.9)
    wrong = (np.random.default_rng(0).random((4000, 300)) >= 0.9).cumsum(axis=1)
    reached = (wrong <= boundary).any(axis=1).mean()
    assert 0.06 < reached < 0.1 + 3 * np.sqrt(0.09 / 4000)


def test_a_predictive_value_is_held_at_the_promised_rate_whatever_threshold_the_studies_choose() -> None:
    random, apart, share = np.random.default_rng(1), 2.6, 0.35
    kept = made = 0
    for _ in range(DRAWS):
        present = random.random(200) < share
        found = value_threshold(
            random.normal(size=200) + apart * present, present, least=0.9, confidence=0.9, lowest=-9
        )
        if found is None:
            kept += 1
            continue
        made += 1
        right, wrong = share * norm.sf(found - apart), (1 - share) * norm.sf(found)
        kept += right / (right + wrong) >= 0.9
    assert made > DRAWS / 2
    assert kept >= too_seldom(0.9)


def test_taking_the_observed_value_for_the_true_one_breaks_the_promise() -> None:
    # What the boundary is there for: the same draws, with the threshold where the observed share is 0.9.
    random, apart, share = np.random.default_rng(1), 2.6, 0.35
    kept = 0
    for _ in range(300):
        present = random.random(200) < share
        score = random.normal(size=200) + apart * present
        order = np.argsort(-score)
        last = np.flatnonzero(np.cumsum(present[order]) / np.arange(1, 201) >= 0.9)[-1]
        right, wrong = share * norm.sf(score[order[last]] - apart), (1 - share) * norm.sf(score[order[last]])
        kept += right / (right + wrong) >= 0.9
    assert kept < too_seldom(0.9, 300)


def test_equal_scores_are_called_together() -> None:
    score = np.repeat([0.9, 0.5, 0.1], 40)
    right = np.repeat([True, False, False], 40)
    assert value_threshold(score, right, least=0.9, confidence=0.9) == pytest.approx(0.7)
    right[:8] = False
    assert value_threshold(score, right, least=0.9, confidence=0.9) is None


def test_all_studies_are_called_where_all_may_be() -> None:
    assert value_threshold(np.linspace(0, 1, 50), np.ones(50, bool), least=0.9, confidence=0.9) == 0.0
    assert value_threshold(np.zeros(0), np.zeros(0, bool), least=0.9, confidence=0.9) is None


@pytest.mark.parametrize("confidence", [0.9, 0.95])
@pytest.mark.parametrize("most", [0.02, 0.05, 0.1])
def test_the_rank_of_an_error_rate_is_the_largest_that_its_beta_distribution_allows(most, confidence) -> None:
    for count in (20, 45, 59, 130, 400):
        rank = error_rank(count, most, confidence)
        held = [beta.cdf(most, r, count + 1 - r) >= confidence for r in range(1, count + 1)]
        assert rank == (held.index(False) if False in held else count)
    need = cases_needed(most, confidence)
    assert error_rank(need, most, confidence) >= 1
    assert error_rank(need - 1, most, confidence) == 0


def test_a_sensitivity_is_held_at_the_promised_rate_over_calibrations_and_on_average() -> None:
    random = np.random.default_rng(2)
    sure, average = [], []
    for _ in range(DRAWS):
        ill = random.normal(size=120)
        sure.append(norm.cdf(below_rank(ill, error_rank(120, 0.05, 0.9))))
        average.append(norm.cdf(below_rank(ill, error_rank(120, 0.05, None))))
    assert np.count_nonzero(np.array(sure) <= 0.05) >= too_seldom(0.9)
    # On average is less: for one calibration in two the rate is higher than promised.
    assert np.mean(average) <= 0.05 + 3 * np.std(average) / np.sqrt(DRAWS)
    assert np.count_nonzero(np.array(average) <= 0.05) < too_seldom(0.9)


def test_on_average_the_verdicts_are_those_of_crepes() -> None:
    random = np.random.default_rng(3)
    present = random.random(260) < 0.4
    probability = np.clip(0.5 + 0.18 * random.normal(size=260) + 0.2 * (present - 0.5), 0, 1)
    promise = Promise(kind="error rates", positive=0.9, negative=0.95)
    found = find_thresholds(probability[:200], present[:200], promise, preferred=0.5)
    # Nonconformity to a class: of a study with the finding a low probability, of one without a high one.
    alphas = np.stack([probability, 1 - probability], axis=1)
    classes = present.astype(int)
    sets = []
    for one, level in ((0, 0.9), (1, 0.95)):
        fitted = ConformalClassifier().fit(alphas[:200][np.arange(200), classes[:200]], bins=classes[:200])
        there = fitted.predict_set(alphas[200:, [one]], bins=np.full(60, one), confidence=level, smoothing=False)
        sets.append(there[:, 0].astype(bool))
    may_be_absent, may_be_present = sets
    tested = probability[200:]
    np.testing.assert_array_equal(tested < found.negative_below, ~may_be_present)
    np.testing.assert_array_equal(tested >= found.positive_from, ~may_be_absent)
    assert 0 < (may_be_absent & may_be_present).sum() < 60


@pytest.mark.parametrize("kind", ["predictive values", "error rates"])
def test_where_both_promises_hold_at_one_threshold_nothing_is_indeterminate(kind) -> None:
    probability = np.concatenate([np.linspace(0, 0.3, 150), np.linspace(0.7, 1, 150)])
    promise = Promise(kind=kind, positive=0.9, negative=0.95, confidence=0.9)
    found = find_thresholds(probability, probability > 0.5, promise, preferred=0.42)
    assert found.negative_below == found.positive_from == pytest.approx(0.42)


@pytest.mark.parametrize("kind", ["predictive values", "error rates"])
def test_what_is_never_called_positive_has_no_part_in_the_promise_of_positive_verdicts(kind) -> None:
    probability = np.linspace(0, 1, 400)
    doubted = np.zeros(400, bool)
    # False alarms among the highest, all of which the reasons speak against.
    present = probability > 0.6
    present[-60::2] = False
    doubted[-60::2] = True
    promise = Promise(kind=kind, positive=0.9, negative=0.95, confidence=0.9)
    without = find_thresholds(probability, present, promise, preferred=0.5)
    found = find_thresholds(probability, present, promise, preferred=0.5, doubted=doubted)
    assert without.positive_from is None or without.positive_from > 0.8
    assert found.positive_from < 0.65
    assert found.negative_below <= without.negative_below
