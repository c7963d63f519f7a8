import io

import numpy as np
import pytest
from scipy.stats import norm
from sklearn.metrics import roc_auc_score

from AcuteFindingsLib.errors import EvaluationError
from AcuteFindingsLib.evaluation.delong import auc_covariance, auc_range, delong_test

# The ovarian cancer patients of DeLong, DeLong, Clarke-Pearson (1988) with all three measurements: albumin, total
# protein, Krebs-Goplerud score (turned: 10 - score), and whether surgery did not help. SAS/STAT prints the results of
# its procedure LOGISTIC for them under "Comparing Receiver Operating Characteristic Curves".
OVARIAN = np.loadtxt(
    io.StringIO("""
    3.0 5.8 10 0 3.2 6.3 5 1 3.9 6.8 3 1 2.8 4.8 6 0 3.2 5.8 3 1 0.9 4.0 5 0 2.5 5.7 8 0 1.6 5.6 5 1 3.8 5.7 5 1
    3.7 6.7 6 1 3.2 5.4 4 1 3.8 6.6 6 1 4.1 6.6 5 1 3.6 5.7 5 1 4.3 7.0 4 1 3.6 6.7 4 0 2.3 4.4 6 1 4.2 7.6 4 0
    4.0 6.6 6 0 3.5 5.8 6 1 3.8 6.8 7 1 3.0 4.7 8 0 4.5 7.4 5 1 3.7 7.4 5 1 3.1 6.6 6 1 4.1 8.2 6 1 4.3 7.0 5 1
    4.3 6.5 4 1 3.2 5.1 5 1 2.6 4.7 6 1 3.3 6.8 6 0 1.7 4.0 7 0 3.7 6.1 5 1 3.3 6.3 7 1 4.2 7.7 6 1 3.5 6.2 5 1
    2.9 5.7 9 0 2.1 4.8 7 1 2.8 6.2 8 0 4.0 7.0 7 1 3.3 5.7 6 1 3.7 6.9 5 1 3.6 6.6 5 1 0.0 0.0 0 0 0.0 0.0 0 0
    """)
).reshape(-1, 4)[:-2]
TRUTH = OVARIAN[:, 3] == 1
ALBUMIN, PROTEIN, KG = OVARIAN[:, 0], OVARIAN[:, 1], 10 - OVARIAN[:, 2]


def by_hand(truth: np.ndarray, scores: np.ndarray) -> np.ndarray:
    """Return the covariance as the paper defines it, over every pair of a positive and a negative."""
    hits, misses = scores[:, truth], scores[:, ~truth]
    psi = (hits[:, :, None] > misses[:, None, :]) + 0.5 * (hits[:, :, None] == misses[:, None, :])
    return np.cov(psi.mean(2)) / hits.shape[1] + np.cov(psi.mean(1)) / misses.shape[1]


@pytest.mark.parametrize(
    ("score", "area", "deviation", "low", "high"),
    [
        (ALBUMIN, 0.7366, 0.0927, 0.5549, 0.9182),
        (KG, 0.7258, 0.1028, 0.5243, 0.9273),
        (PROTEIN, 0.6478, 0.1000, 0.4518, 0.8439),
    ],
)
def test_areas_and_intervals_are_those_of_the_published_example(score, area, deviation, low, high) -> None:
    value, span = auc_range(TRUTH, score)
    assert value == pytest.approx(area, abs=5e-5)
    assert (span.low, span.high) == pytest.approx((low, high), abs=1e-4)
    assert (span.high - span.low) / 2 / norm.ppf(0.975) == pytest.approx(deviation, abs=5e-5)


@pytest.mark.parametrize(
    ("first", "difference", "chi_square", "p"), [(ALBUMIN, 0.0108, 0.0127, 0.9102), (PROTEIN, -0.0780, 0.5554, 0.4561)]
)
def test_the_test_between_two_areas_is_that_of_the_published_example(first, difference, chi_square, p) -> None:
    test = delong_test(TRUTH, first, KG)
    assert test.difference == pytest.approx(difference, abs=5e-5)
    assert test.z is not None
    assert test.z**2 == pytest.approx(chi_square, abs=5e-5)
    assert test.p_value == pytest.approx(p, abs=5e-5)


@pytest.mark.parametrize("seed", range(4))
def test_mid_ranks_give_what_all_pairs_give_also_with_ties(seed: int) -> None:
    generator = np.random.default_rng(seed)
    truth = generator.random(60) < 0.35
    scores = np.round(truth * 0.6 + generator.normal(0, 1, (3, 60)), 1)
    areas, covariance = auc_covariance(truth, scores)
    assert areas == pytest.approx([roc_auc_score(truth, score) for score in scores])
    assert covariance == pytest.approx(by_hand(truth, scores))


def test_two_models_that_rank_alike_do_not_differ() -> None:
    score = np.random.default_rng(0).random(40)
    test = delong_test(np.arange(40) % 2 == 0, score, score**3)
    assert (test.difference, test.z, test.p_value) == (0, None, None)


def test_one_positive_case_has_no_variance() -> None:
    with pytest.raises(EvaluationError, match="two positive and two negative cases; here are 1 and 3"):
        auc_range(np.array([1, 0, 0, 0]), np.array([0.5, 0.1, 0.2, 0.3]))
