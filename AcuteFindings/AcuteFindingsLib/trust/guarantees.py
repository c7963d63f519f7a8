"""Thresholds whose error rates are guaranteed by a finite number of studies with a known answer.

Two promises can be made, and they differ in what they assume (docs/sources.md 13):

`value_threshold`
    A predictive value: of what is called positive, at least so many have the finding. Holds with a stated confidence
    over the draw of the calibration studies (learn-then-test: exact binomial tests, one simultaneous boundary). Assumes
    that calibration and later studies are drawn alike, so the same prevalence, and that where the score is higher the
    risk is not lower.

`error_rank`
    An error rate of a class: of the studies with the finding, at most so many are called negative. Split conformal
    prediction, Mondrian by class: needs no more than that the studies of this class are drawn alike, whatever the
    prevalence. Either on average over calibrations and later studies, or with a stated confidence over calibrations.
"""

import math
from functools import lru_cache

import numpy as np
from scipy.stats import binom, nbinom

_HALVINGS = 24
_STRICTEST = 1e-3
"""Of the permitted risk: below this share no boundary for up to 100,000 studies is."""

ROUNDING = 1e-9


def value_threshold(
    scores: np.ndarray, right: np.ndarray, *, least: float, confidence: float, lowest: float = 0.0
) -> float | None:
    """Return from which score on a study can be called, so that the predictive value of the call is at least `least`.

    With probability `confidence` over the calibration studies the value of the returned threshold holds for all studies
    to come; None where no threshold is supported.

    Of the m highest scores with k wrong, the boundary of `allowed_wrong` says whether they support a threshold just
    below them; the largest m that does is taken. Let t* be the score above which the value is just `least`, and N of
    the calibration studies lie above it. A threshold below t* has m ≥ N. Given N, the number of wrong ones among these
    N is binomial with at least 1 − `least`, and each further study, of lower score and so of no lower risk to be wrong,
    is wrong with at least that probability. So the wrong ones run above a random walk of steps with that probability,
    and this walk is ever below the boundary with a probability of at most 1 − `confidence`. Equal scores are called
    together.

    Parameters
    ----------
    scores
        ``(n,)``: the higher, the more for the call.
    right
        ``(n,)`` bool: whether the call would be right.
    least
        The predictive value promised, in 0..1.
    confidence
        Of the promise, in 0..1.
    lowest
        The score returned where all studies can be called.
    """
    order = np.argsort(-np.asarray(scores, float), kind="stable")
    ranked = np.asarray(scores, float)[order]
    wrong = np.cumsum(~np.asarray(right, bool)[order])
    count = len(ranked)
    ends = np.append(ranked[:-1] > ranked[1:], True) if count else np.zeros(0, bool)
    supported = np.flatnonzero(ends & (wrong <= allowed_wrong(count, least, confidence)))
    if not len(supported):
        return None
    last = int(supported[-1])
    if last == count - 1:
        return lowest
    middle = (ranked[last] + ranked[last + 1]) / 2
    return float(middle if middle > ranked[last + 1] else ranked[last])


@lru_cache(maxsize=256)
def allowed_wrong(count: int, least: float, confidence: float) -> np.ndarray:
    """Return ``(count,)``: how many of the first 1, 2, ... calls may be wrong; -1 where even none is too few calls.

    Each place is an exact binomial test (Clopper and Pearson's bound): k wrong ones are allowed from the first number
    of calls on at which so few have, at the value `least`, a probability of at most a level over k + 1, so that few
    studies find a threshold before many find a lower one. The level is the highest at which calls of the value `least`
    come to lie at or below the boundary anywhere with a probability of at most 1 − `confidence`. That probability is
    computed exactly, step by step.
    """
    risk = 1 - confidence
    low, high = math.log(risk * _STRICTEST), math.log(risk)
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        if _ever_allowed(_boundary(count, least, math.exp(middle)), least) <= risk:
            low = middle
        else:
            high = middle
    boundary = _boundary(count, least, math.exp(low))
    boundary.setflags(write=False)
    return boundary


def _boundary(count: int, least: float, level: float) -> np.ndarray:
    """Return the largest k, by number of calls m, with P(Binomial(m, 1 − least) ≤ k) ≤ level / (k + 1); -1 for none."""
    wrong = np.arange(1, math.ceil(count * (1 - least)) + 2)
    # So few are wrong exactly where the next wrong one comes later: the calls before it are negative binomial.
    first = wrong + nbinom.isf(level / wrong, wrong, 1 - least)
    return np.searchsorted(first, np.arange(1, count + 1), side="right") - 1


def _ever_allowed(boundary: np.ndarray, least: float) -> float:
    """Return the probability that calls of exactly the value `least` lie at or below the boundary at any number."""
    if not len(boundary) or boundary[-1] < 0:
        return 0.0
    # More wrong ones than the last place allows never come back below it.
    still = np.zeros(int(boundary[-1]) + 2)
    still[0], ever = 1.0, 0.0
    for most in boundary:
        still[1:] = still[1:] * least + still[:-1] * (1 - least)
        still[0] *= least
        if most >= 0:
            ever += still[: most + 1].sum()
            still[: most + 1] = 0.0
    return float(ever)


def calls_needed(least: float, confidence: float) -> int:
    """Return how many calls, all of them right, are the fewest that support a predictive value."""
    return math.ceil(math.log(1 - confidence) / math.log(least) - ROUNDING)


def error_rank(count: int, most: float, confidence: float | None) -> int:
    """Return the largest r for which at most `most` of a class fall below the r-th smallest of its `count` scores.

    0 where there are too few. Without `confidence` it is split conformal prediction's rank: a later study of the class
    falls below with a probability of at most `most`, on average over calibrations. With it the share that falls below,
    which is Beta(r, count + 1 − r) distributed over calibrations, is at most `most` with that probability.
    """
    if confidence is None:
        return math.floor(most * (count + 1) + ROUNDING)
    ranks = np.arange(1, count + 1)
    return int(np.count_nonzero(binom.sf(ranks - 1, count, most) >= confidence - ROUNDING))


def cases_needed(most: float, confidence: float | None) -> int:
    """Return how many studies of a class are the fewest that support an error rate."""
    if confidence is None:
        return math.ceil(1 / most - 1 - ROUNDING)
    return math.ceil(math.log(1 - confidence) / math.log(1 - most) - ROUNDING)


def below_rank(scores: np.ndarray, rank: int) -> float:
    """Return the score below which fewer than `rank` of a class's scores lie: a study below it is not of the class."""
    return float(np.sort(np.asarray(scores, float))[rank - 1])


def above_rank(scores: np.ndarray, rank: int) -> float:
    """Return the score from which on fewer than `rank` of a class's scores lie."""
    return float(np.nextafter(np.sort(np.asarray(scores, float))[-rank], np.inf))
