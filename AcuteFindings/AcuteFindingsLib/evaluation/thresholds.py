"""Where to draw the line between positive and negative: operating points chosen on data."""

import numpy as np
from sklearn.metrics import precision_recall_curve, roc_curve


def youden_threshold(truth: np.ndarray, score: np.ndarray, *, sets: np.ndarray | None = None) -> float:
    """Return the threshold with the largest sensitivity + specificity, in the middle of the gap to the next score.

    Where `sets` ``(n,)`` says from which set each case is, the mean over the sets counts, however large each is.
    """
    truth = np.asarray(truth, bool)
    weights = None
    if sets is not None:
        # Each set's positives weigh as much as any other's, and so do its negatives.
        _, place, counts = np.unique(np.stack([sets, truth]), axis=1, return_inverse=True, return_counts=True)
        weights = 1 / counts[place.ravel()]
    false_positive, sensitivity, thresholds = roc_curve(truth, np.asarray(score, float), sample_weight=weights)
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
