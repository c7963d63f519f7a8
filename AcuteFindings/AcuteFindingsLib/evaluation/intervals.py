"""Measured figures with their 95 % intervals, as a model card states them."""

import numpy as np
from scipy.stats import bootstrap
from sklearn.metrics import roc_auc_score

from AcuteFindingsLib.errors import EvaluationError
from AcuteFindingsLib.models.metadata import Interval

_RESAMPLES = 2000


def auc_interval(truth: np.ndarray, score: np.ndarray, *, metric: str, data: str, command: str) -> Interval:
    """Return the area under the ROC curve, its interval by bootstrap over cases (percentile, fixed seed).

    Raises
    ------
    EvaluationError
        When all cases are positive, or none is.
    """
    truth, score = np.asarray(truth, bool), np.asarray(score, float)
    if truth.all() or not truth.any():
        kind = "positive" if truth.all() else "negative"
        raise EvaluationError(f"{metric}: all {len(truth)} cases are {kind} ({data}); an AUC needs both, so add cases.")
    value = float(roc_auc_score(truth, score))
    generator = np.random.default_rng(0)
    draws: list[float] = []
    while len(draws) < _RESAMPLES:
        chosen = generator.integers(0, len(truth), len(truth))
        if truth[chosen].any() and not truth[chosen].all():
            draws.append(roc_auc_score(truth[chosen], score[chosen]))
    low, high = np.percentile(draws, (2.5, 97.5))
    return Interval(
        metric=metric, value=value, low=float(low), high=float(high), data=data, count=len(truth), command=command
    )


def mean_interval(values: np.ndarray, *, metric: str, data: str, command: str) -> Interval:
    """Return a mean over cases with its bootstrap interval (percentile, fixed seed)."""
    values = np.asarray(values, float)
    spread = bootstrap((values,), np.mean, n_resamples=_RESAMPLES, method="percentile", rng=np.random.default_rng(0))
    low, high = spread.confidence_interval
    return Interval(
        metric=metric,
        value=float(values.mean()),
        low=float(low),
        high=float(high),
        data=data,
        count=len(values),
        command=command,
    )
