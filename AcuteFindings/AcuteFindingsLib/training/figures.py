"""Measured figures with their 95 % intervals, as a model card states them."""

import numpy as np
from scipy.stats import bootstrap
from sklearn.metrics import precision_recall_curve, roc_auc_score, roc_curve

from AcuteFindingsLib.errors import ModelError
from AcuteFindingsLib.models.metadata import Interval

_RESAMPLES = 2000


def auc_interval(truth: np.ndarray, score: np.ndarray, *, metric: str, data: str, command: str) -> Interval:
    """Return the area under the ROC curve, its interval by bootstrap over cases (percentile, fixed seed).

    Raises
    ------
    ModelError
        When all cases are positive, or none is.
    """
    truth, score = np.asarray(truth, bool), np.asarray(score, float)
    if truth.all() or not truth.any():
        kind = "positive" if truth.all() else "negative"
        raise ModelError(f"{metric}: all {len(truth)} cases are {kind} ({data}); an AUC needs both, so add cases.")
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


def dice(truth: np.ndarray, mask: np.ndarray) -> float:
    """Return the Dice coefficient of two masks; two empty ones agree fully (1)."""
    truth, mask = np.asarray(truth, bool), np.asarray(mask, bool)
    total = truth.sum() + mask.sum()
    return float(2 * (truth & mask).sum() / total) if total else 1.0


def youden_threshold(truth: np.ndarray, score: np.ndarray) -> float:
    """Return the threshold with the largest sensitivity + specificity, in the middle of the gap to the next score."""
    false_positive, sensitivity, thresholds = roc_curve(np.asarray(truth, bool), np.asarray(score, float))
    best = int(np.argmax(sensitivity - false_positive))
    at = float(thresholds[best])
    below = np.asarray(score, float)[np.asarray(score, float) < at]
    middle = (at + float(below.max())) / 2 if below.size else at
    return float(np.clip(middle, 0.01, 0.99))


def f1_threshold(truth: np.ndarray, score: np.ndarray) -> float:
    """Return the threshold with the highest F1, the harmonic mean of sensitivity and positive predictive value.

    For few positives among many cases, such as the slices of a stack: Youden's index would call half of them positive.
    """
    precision, recall, thresholds = precision_recall_curve(np.asarray(truth, bool), np.asarray(score, float))
    total = precision[:-1] + recall[:-1]
    f1 = np.divide(2 * precision[:-1] * recall[:-1], total, out=np.zeros_like(total), where=total > 0)
    return float(np.clip(thresholds[int(np.argmax(f1))], 0.01, 0.99))
