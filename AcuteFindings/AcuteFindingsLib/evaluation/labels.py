"""Everything about one label: curves, areas, calibration, operating points."""

from collections.abc import Sequence

import numpy as np
from sklearn.metrics import average_precision_score, precision_recall_curve, roc_auc_score, roc_curve

from AcuteFindingsLib.evaluation.calibration import calibration
from AcuteFindingsLib.evaluation.delong import auc_range, newcombe_range
from AcuteFindingsLib.evaluation.operating_points import Threshold, point
from AcuteFindingsLib.evaluation.resampling import Bootstrap, auc_measure, average_precision_measure
from AcuteFindingsLib.evaluation.schema import Curve, Figure, LabelResult, Range
from AcuteFindingsLib.evaluation.thresholds import youden_threshold

_MOST_POINTS = 400

FEW = 10
"""Patients of one kind below which an area is remarked on and gets Newcombe's interval: with fewer, normal intervals
cover clearly less than they state (Newcombe, Statistics in Medicine 25 (2006) 559)."""


def label_result(
    label: str,
    column: str,
    truth: np.ndarray,
    score: np.ndarray,
    bootstrap: Bootstrap,
    thresholds: Sequence[Threshold],
) -> LabelResult:
    """Evaluate one label.

    Parameters
    ----------
    label, column
        Its name, and the truth's column.
    truth, score
        ``(n,)``: 1, 0 or NaN where nobody said; probabilities or NaN.
    bootstrap
        Over the patients of all `n` cases.
    thresholds
        Stated operating points; the best Youden index of these cases is added and called what it is.
    """
    known = ~np.isnan(truth) & ~np.isnan(score)
    part = bootstrap.part(known)
    present, stated = truth[known] == 1, score[known]
    points = list(thresholds)
    if present.any() and not present.all():
        own = youden_threshold(present, stated)
        chosen = "best Youden index on these same cases: too optimistic for new ones"
        points.append(Threshold(own, chosen, stated_beforehand=False))
    return LabelResult(
        label=label,
        truth=column,
        cases=len(present),
        positives=int(present.sum()),
        missing=int((~known).sum()),
        auc=auc_figure(present, stated, part),
        average_precision=_average_precision(present, stated, part),
        roc=roc_points(present, stated),
        precision_recall=_precision_recall_points(present, stated),
        calibration=calibration(present, stated, part),
        points=[point(present, stated, threshold, part) for threshold in points],
    )


def auc_figure(truth: np.ndarray, score: np.ndarray, bootstrap: Bootstrap) -> Figure:
    """Return the area under the ROC curve with its intervals, the one to read first.

    DeLong's takes all cases for independent; where patients have several, the bootstrap over patients comes first. With
    fewer than `FEW` patients of either kind, or at an area of 0 or 1, both are too narrow, up to a width of zero:
    Newcombe's on the numbers of patients comes first, and one of no width is left out. None where all cases are of one
    kind.
    """
    truth = np.asarray(truth, bool)
    if not truth.any() or truth.all():
        return Figure(value=None, count=len(truth))
    value = float(roc_auc_score(truth, score))
    spans: list[Range] = []
    if min(truth.sum(), (~truth).sum()) >= 2:
        spans.append(auc_range(truth, score)[1])
        drawn = bootstrap.interval(auc_measure(truth, score))
        if drawn is not None:
            spans.insert(0 if bootstrap.clustered else len(spans), drawn)
    fewest = few_patients(truth, bootstrap)
    if fewest < FEW or value in (0.0, 1.0):
        kinds = [bootstrap.patients_among(kept) for kept in (truth, ~truth)]
        spans = [newcombe_range(value, *kinds), *(span for span in spans if span.high > span.low)]
        if value in (0.0, 1.0):
            del spans[1:]
    return Figure(value=value, intervals=spans, count=len(truth))


def few_patients(truth: np.ndarray, bootstrap: Bootstrap) -> int:
    """Return the number of patients with a positive case, or of those with a negative one, whichever is smaller."""
    truth = np.asarray(truth, bool)
    return min(bootstrap.patients_among(kept) for kept in (truth, ~truth))


def roc_points(truth: np.ndarray, score: np.ndarray) -> Curve:
    """Return the ROC curve: 1 - specificity, sensitivity; empty where all cases are of one kind."""
    if not truth.any() or truth.all():
        return Curve(x=[], y=[])
    false_positive, sensitivity, _ = roc_curve(truth, score)
    return _curve(false_positive, sensitivity)


def _precision_recall_points(truth: np.ndarray, score: np.ndarray) -> Curve:
    if not truth.any():
        return Curve(x=[], y=[])
    precision, recall, _ = precision_recall_curve(truth, score, drop_intermediate=True)
    return _curve(recall[::-1], precision[::-1])


def _average_precision(truth: np.ndarray, score: np.ndarray, bootstrap: Bootstrap) -> Figure:
    if not truth.any():
        return Figure(value=None, count=len(truth))
    # Draws of one positive case are all of that case.
    span = bootstrap.interval(average_precision_measure(truth, score), rests_on=truth) if truth.sum() > 1 else None
    value = float(average_precision_score(truth, score))
    return Figure(value=value, intervals=[span] if span else [], count=len(truth))


def _curve(x: np.ndarray, y: np.ndarray) -> Curve:
    kept = np.unique(np.linspace(0, len(x) - 1, min(len(x), _MOST_POINTS)).round().astype(int))
    return Curve(x=[round(float(v), 6) for v in x[kept]], y=[round(float(v), 6) for v in y[kept]])
