"""Two models on the same cases: areas, decisions, masks."""

from collections.abc import Mapping, Sequence

import numpy as np
from scipy.stats import binomtest, wilcoxon

from AcuteFindingsLib.errors import EvaluationError
from AcuteFindingsLib.evaluation.cases import Cases
from AcuteFindingsLib.evaluation.delong import delong_test
from AcuteFindingsLib.evaluation.labels import auc_figure, roc_points
from AcuteFindingsLib.evaluation.resampling import Bootstrap, auc_measure, mean_measure
from AcuteFindingsLib.evaluation.schema import (
    Figure,
    LabelComparison,
    LevelComparison,
    MaskComparison,
    MaskRow,
    McNemar,
    Range,
)


def mcnemar(cases: str, truth: np.ndarray, first: np.ndarray, second: np.ndarray) -> McNemar:
    """Return McNemar's exact test of two sets of decisions ``(n,)`` bool on the same cases.

    Of the cases that one has right and the other wrong, each would be right in half by chance (binomial, two-sided).
    """
    a, b = np.asarray(first, bool) == np.asarray(truth, bool), np.asarray(second, bool) == np.asarray(truth, bool)
    only_a, only_b = int((a & ~b).sum()), int((~a & b).sum())
    p = float(binomtest(only_a, only_a + only_b, 0.5).pvalue) if only_a + only_b else 1.0
    return McNemar(cases=cases, count=len(a), only_a=only_a, only_b=only_b, p_value=p)


def holm(p_values: Sequence[float | None]) -> list[float | None]:
    """Return the p-values adjusted for their number (Holm 1979); None stays None."""
    known = sorted((p, place) for place, p in enumerate(p_values) if p is not None)
    adjusted: list[float | None] = [None] * len(p_values)
    highest = 0.0
    for rank, (p, place) in enumerate(known):
        highest = max(highest, min(1.0, (len(known) - rank) * p))
        adjusted[place] = highest
    return adjusted


def same_cases(a: Cases, b: Cases) -> tuple[Cases, Cases]:
    """Return both on the cases that both scored, in one order.

    Raises
    ------
    EvaluationError
        When they share no case or no label.
    """
    shared, in_a, in_b = np.intersect1d(a.places, b.places, return_indices=True)
    if not len(shared):
        raise EvaluationError("The two predictions have no case in common.")
    if not set(a.labels) & set(b.labels):
        raise EvaluationError(f"The two predictions have no label in common: {a.labels} and {b.labels}.")
    return a.only(in_a), b.only(in_b)


def compare_level(
    a: Cases, b: Cases, thresholds_a: Mapping[str, float], thresholds_b: Mapping[str, float]
) -> LevelComparison:
    """Compare two models on the same cases, as `same_cases` gives them."""
    bootstrap = Bootstrap(a.patients, by=a.grouped_by)
    labels = [
        _label(label, a, b, bootstrap, thresholds_a[label], thresholds_b[label])
        for label in a.labels
        if label in b.labels
    ]
    adjusted = holm([item.p_value for item in labels])
    return LevelComparison(
        level=a.level,
        cases=len(a.names),
        patients=bootstrap.patients,
        grouped_by=a.grouped_by,
        labels=[item.model_copy(update={"p_adjusted": p}) for item, p in zip(labels, adjusted, strict=True)],
    )


def compare_masks(
    segment: str, a: Sequence[MaskRow], b: Sequence[MaskRow], patients: Sequence | np.ndarray | None = None
) -> MaskComparison | None:
    """Compare the Dice of two sets of masks on the images that both have; None where there is no such image."""
    by_image = {row.image: row for row in b}
    pairs = [(row.dice, by_image[row.image].dice) for row in a if row.image in by_image]
    if not pairs:
        return None
    first, second = (np.array(column) for column in zip(*pairs, strict=True))
    bootstrap = Bootstrap(np.arange(len(pairs)) if patients is None else patients, by="image")
    spans = bootstrap.intervals({"a": mean_measure(first), "b": mean_measure(second)})
    spans["difference"] = bootstrap.interval(mean_measure(first - second), within=(-1.0, 1.0))
    differ = bool(np.any(first != second))
    return MaskComparison(
        segment=segment,
        images=len(pairs),
        dice_a=_figure(float(first.mean()), spans["a"], len(pairs)),
        dice_b=_figure(float(second.mean()), spans["b"], len(pairs)),
        difference=_figure(float((first - second).mean()), spans["difference"], len(pairs)),
        p_value=float(wilcoxon(first, second).pvalue) if differ else None,
    )


def _label(
    label: str, a: Cases, b: Cases, bootstrap: Bootstrap, threshold_a: float, threshold_b: float
) -> LabelComparison:
    truth = a.truth[:, a.labels.index(label)]
    first, second = a.values[:, a.labels.index(label)], b.values[:, b.labels.index(label)]
    known = ~np.isnan(truth) & ~np.isnan(first) & ~np.isnan(second)
    present, first, second, part = truth[known] == 1, first[known], second[known], bootstrap.part(known)
    tested = min(present.sum(), (~present).sum()) >= 2
    test = delong_test(present, first, second) if tested else None
    auc_a, auc_b = auc_figure(present, first, part), auc_figure(present, second, part)
    spans: list[Range] = [test.interval] if test else []
    if auc_a.value is not None:
        measure_a, measure_b = auc_measure(present, first), auc_measure(present, second)
        drawn = part.interval(lambda weights: measure_a(weights) - measure_b(weights), within=(-1.0, 1.0))
        if drawn is not None:
            spans.insert(0 if part.clustered else len(spans), drawn)
    both = None if auc_a.value is None or auc_b.value is None else auc_a.value - auc_b.value
    called_a, called_b = first >= threshold_a, second >= threshold_b
    return LabelComparison(
        label=label,
        cases=len(present),
        positives=int(present.sum()),
        auc_a=auc_a,
        auc_b=auc_b,
        difference=Figure(value=both, intervals=spans, count=len(present)),
        z=test.z if test else None,
        p_value=test.p_value if test else None,
        p_adjusted=None,
        roc_a=roc_points(present, first),
        roc_b=roc_points(present, second),
        threshold_a=threshold_a,
        threshold_b=threshold_b,
        mcnemar=[
            mcnemar("all", present, called_a, called_b),
            mcnemar("positive", present[present], called_a[present], called_b[present]),
            mcnemar("negative", present[~present], called_a[~present], called_b[~present]),
        ],
    )


def _figure(value: float, span: Range | None, count: int) -> Figure:
    return Figure(value=value, intervals=[span] if span else [], count=count)
