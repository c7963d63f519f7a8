"""Areas under ROC curves with their variance, and the test between two of them on the same cases.

DeLong, DeLong, Clarke-Pearson, Biometrics 44 (1988) 837; computed through mid-ranks in O(n log n) as Sun and Xu, IEEE
Signal Processing Letters 21 (2014) 1389, show. Newcombe's interval is for few cases, which DeLong's
variance does not describe.
"""

from dataclasses import dataclass

import numpy as np
from scipy.optimize import brentq
from scipy.stats import norm, rankdata

from AcuteFindingsLib.errors import EvaluationError
from AcuteFindingsLib.evaluation.resampling import no_case_of
from AcuteFindingsLib.evaluation.schema import Range

METHOD = "DeLong"
NEWCOMBE = "Newcombe"
_NORMAL_95 = float(norm.ppf(0.975))
_LEAST = 1e-9


@dataclass(frozen=True)
class DeLongTest:
    """Two models on the same cases: areas, their difference (first minus second), its interval, z and two-sided p.

    `z` and `p_value` are None where the difference has no variance: the two rank every pair alike.
    """

    first: float
    second: float
    difference: float
    interval: Range
    z: float | None
    p_value: float | None


def auc_covariance(truth: np.ndarray, scores: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the areas ``(k,)`` and their covariance ``(k, k)`` for `scores` ``(k, n)`` on `truth` ``(n,)``.

    Raises
    ------
    EvaluationError
        When there are fewer than two positive or two negative cases: a variance needs two of each.
    """
    truth, scores = np.asarray(truth, bool), np.atleast_2d(np.asarray(scores, float))
    positives, negatives = int(truth.sum()), int((~truth).sum())
    if min(positives, negatives) < 2:
        raise EvaluationError(
            f"DeLong's variance needs two positive and two negative cases; here are {positives} and {negatives}."
        )
    among_all = rankdata(np.concatenate([scores[:, truth], scores[:, ~truth]], axis=1), axis=1)
    among_positives = rankdata(scores[:, truth], axis=1)
    among_negatives = rankdata(scores[:, ~truth], axis=1)
    # For each positive the share of negatives below it, for each negative the share of positives above it.
    below = (among_all[:, :positives] - among_positives) / negatives
    above = 1 - (among_all[:, positives:] - among_negatives) / positives
    covariance = np.atleast_2d(np.cov(below)) / positives + np.atleast_2d(np.cov(above)) / negatives
    return below.mean(1), covariance


def auc_range(truth: np.ndarray, score: np.ndarray) -> tuple[float, Range]:
    """Return an area and its 95 % interval (normal, cut at 0 and 1)."""
    areas, covariance = auc_covariance(truth, score)
    area, half = float(areas[0]), _NORMAL_95 * float(np.sqrt(max(covariance[0, 0], 0.0)))
    return area, Range(low=max(0.0, area - half), high=min(1.0, area + half), method=METHOD)


def newcombe_range(area: float, positives: int, negatives: int) -> Range:
    """Return the 95 % interval of an area that holds for few cases and at 0 and 1: its width is never zero.

    Method 5 of Newcombe, Statistics in Medicine 25 (2006) 559: the limits are those areas from which the measured one
    lies 1.96 standard errors away, with Hanley and McNeil's variance of exponential scores at the limit itself, in
    which both numbers of cases are replaced by their mean.
    """
    cases = (positives + negatives) / 2 - 1

    def away(limit: float) -> float:
        spread = 1 + cases * ((1 - limit) / (2 - limit) + limit / (1 + limit))
        return (area - limit) ** 2 - _NORMAL_95**2 * limit * (1 - limit) * spread / (positives * negatives)

    # `away` is not negative at 0 and 1 and not positive at the area itself.
    low = brentq(away, 0.0, area) if 0 < area < 1 else (brentq(away, 0.0, 1 - _LEAST) if area else 0.0)
    high = brentq(away, area, 1.0) if 0 < area < 1 else (1.0 if area else brentq(away, _LEAST, 1.0))
    return Range(low=float(low), high=float(high), method=NEWCOMBE)


def delong_test(truth: np.ndarray, first: np.ndarray, second: np.ndarray) -> DeLongTest:
    """Test whether two models that scored the same cases have the same area under the ROC curve."""
    areas, covariance = auc_covariance(truth, np.stack([first, second]))
    difference = float(areas[0] - areas[1])
    variance = float(covariance[0, 0] + covariance[1, 1] - 2 * covariance[0, 1])
    # Two scores with the same ranks leave rounding noise, not a variance.
    deviation = float(np.sqrt(variance)) if variance > 1e-15 else 0.0
    half = _NORMAL_95 * deviation or no_case_of(min(int(np.sum(truth)), int(np.sum(~np.asarray(truth, bool)))))
    z = difference / deviation if deviation else None
    return DeLongTest(
        first=float(areas[0]),
        second=float(areas[1]),
        difference=difference,
        interval=Range(low=max(-1.0, difference - half), high=min(1.0, difference + half), method=METHOD),
        z=z,
        p_value=None if z is None else float(2 * norm.sf(abs(z))),
    )
