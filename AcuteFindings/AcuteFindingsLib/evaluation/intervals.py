"""Measured figures with their 95 % intervals, as a model card states them."""

from collections.abc import Sequence

import numpy as np
from sklearn.metrics import roc_auc_score

from AcuteFindingsLib.errors import EvaluationError
from AcuteFindingsLib.evaluation.resampling import Bootstrap, Measure, auc_measure, mean_measure
from AcuteFindingsLib.models.metadata import Interval

Patients = Sequence | np.ndarray | None


def auc_interval(
    truth: np.ndarray, score: np.ndarray, *, metric: str, data: str, command: str, patients: Patients = None
) -> Interval:
    """Return the area under the ROC curve and its bootstrap interval (percentile, fixed seed).

    Parameters
    ----------
    truth, score
        ``(n,)``: present or not, and a number that is higher the more the model thinks so.
    patients
        ``(n,)``: whole patients are drawn; every case on its own when None.

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
    low, high = _spread(auc_measure(truth, score), value, len(truth), patients)
    return Interval(metric=metric, value=value, low=low, high=high, data=data, count=len(truth), command=command)


def mean_interval(values: np.ndarray, *, metric: str, data: str, command: str, patients: Patients = None) -> Interval:
    """Return a mean over cases with its bootstrap interval (percentile, fixed seed); `patients` as above."""
    values = np.asarray(values, float)
    value = float(values.mean())
    low, high = _spread(mean_measure(values), value, len(values), patients)
    return Interval(metric=metric, value=value, low=low, high=high, data=data, count=len(values), command=command)


def measure_interval(
    measure: Measure, value: float, *, metric: str, data: str, command: str, patients: Sequence | np.ndarray
) -> Interval:
    """Return a figure of any other kind with its bootstrap interval over patients; `value` is that of the data.

    The interval always holds the figure: resampling adds noise, and to some figures, such as calibration errors, noise
    only adds.
    """
    low, high = _spread(measure, value, len(patients), patients)
    return Interval(
        metric=metric,
        value=value,
        low=min(low, value),
        high=max(high, value),
        data=data,
        count=len(patients),
        command=command,
    )


def _spread(measure: Measure, value: float, count: int, patients: Patients) -> tuple[float, float]:
    span = Bootstrap(np.arange(count) if patients is None else patients).interval(measure)
    return (value, value) if span is None else (span.low, span.high)
