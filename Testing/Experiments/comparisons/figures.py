"""Figures of the arms with their intervals, and the tests between two arms on the same phantoms."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from AcuteFindingsLib.evaluation.comparison import holm, mcnemar
from AcuteFindingsLib.evaluation.delong import delong_test
from AcuteFindingsLib.evaluation.labels import auc_figure
from AcuteFindingsLib.evaluation.masks import mean_figure
from AcuteFindingsLib.evaluation.operating_points import decision_figures
from AcuteFindingsLib.evaluation.resampling import Bootstrap, auc_measure, mean_measure, share_measure
from AcuteFindingsLib.evaluation.schema import Figure


@dataclass(frozen=True)
class Answered:
    """What an arm said of the phantoms kept aside.

    Attributes
    ----------
    truth, score
        ``(n,)``: present or not, and the probability.
    patients
        ``(n,)``: whose it is; several slices of a phantom share it.
    threshold
        Chosen on other phantoms; a score at or above it is positive.
    """

    name: str
    truth: np.ndarray
    score: np.ndarray
    patients: np.ndarray
    threshold: float

    @property
    def called(self) -> np.ndarray:
        """Return the decisions ``(n,)``."""
        return self.score >= self.threshold

    def auc(self) -> Figure:
        """Return the area under the ROC curve: DeLong's interval, by bootstrap where phantoms have several cases."""
        return auc_figure(self.truth, self.score, Bootstrap(self.patients))

    def decisions(self) -> dict[str, Figure]:
        """Return the six figures of the decisions."""
        return decision_figures(self.truth, self.called, Bootstrap(self.patients))


@dataclass(frozen=True)
class Difference:
    """First minus second arm on the same phantoms."""

    pair: str
    what: str
    value: float | None
    low: float | None
    high: float | None
    method: str
    p_value: float | None
    p_adjusted: float | None = None


def auc_difference(a: Answered, b: Answered, what: str) -> Difference:
    """Compare two areas: DeLong's test, or a paired bootstrap over phantoms where they have several cases."""
    bootstrap = Bootstrap(a.patients, by="phantom")
    pair = f"{a.name} − {b.name}"
    if min(a.truth.sum(), (~a.truth).sum()) < 2:
        return Difference(pair, what, None, None, None, "too few phantoms", None)
    if not bootstrap.clustered:
        test = delong_test(a.truth, a.score, b.score)
        return Difference(pair, what, test.difference, test.interval.low, test.interval.high, "DeLong", test.p_value)
    first, second = auc_measure(a.truth, a.score), auc_measure(b.truth, b.score)
    span = bootstrap.interval(lambda weights: first(weights) - second(weights))
    values = [one.auc().value for one in (a, b)]
    value = None if None in values else float(values[0]) - float(values[1])  # type: ignore[arg-type]
    low, high = (span.low, span.high) if span else (None, None)
    return Difference(pair, what, value, low, high, "paired bootstrap by phantom", None)


def accuracy_difference(a: Answered, b: Answered, what: str) -> Difference:
    """Compare two sets of decisions: McNemar's exact test, the interval by paired bootstrap."""
    right = [(one.called == one.truth).astype(float) for one in (a, b)]
    difference = mean_difference(f"{a.name} − {b.name}", what, right[0], right[1])
    return replace(
        difference,
        method="McNemar; interval by paired bootstrap",
        p_value=mcnemar("all", a.truth, a.called, b.called).p_value,
    )


def mean_difference(
    pair: str, what: str, first: np.ndarray, second: np.ndarray, *, p_value: float | None = None, method: str = ""
) -> Difference:
    """Compare two means over the same phantoms, the interval by paired bootstrap."""
    apart = np.asarray(first, float) - np.asarray(second, float)
    span = Bootstrap(np.arange(len(apart))).interval(mean_measure(apart))
    low, high = (span.low, span.high) if span else (None, None)
    return Difference(pair, what, float(apart.mean()), low, high, method or "paired bootstrap", p_value)


def independent_difference(pair: str, what: str, a: Answered, b: Answered) -> Difference:
    """Compare one arm's areas on two sets of phantoms, the interval by a bootstrap of either."""
    drawn = []
    for seed, one in enumerate((a, b)):
        measure = auc_measure(one.truth, one.score)
        bootstrap = Bootstrap(one.patients, seed=seed)
        drawn.append(np.concatenate([measure(weights) for weights in bootstrap.weights()]))
    apart = drawn[0] - drawn[1]
    values = [one.auc().value for one in (a, b)]
    if None in values or not np.isfinite(apart).any():
        return Difference(pair, what, None, None, None, "too few phantoms", None)
    low, high = (float(value) for value in np.nanpercentile(apart, (2.5, 97.5)))
    value = float(values[0]) - float(values[1])  # type: ignore[arg-type]
    return Difference(pair, what, value, low, high, "bootstrap of either set", None)


def adjusted(differences: Sequence[Difference]) -> list[Difference]:
    """Return the differences with Holm's adjusted p-values over all of them."""
    values = holm([one.p_value for one in differences])
    return [replace(one, p_adjusted=value) for one, value in zip(differences, values, strict=True)]


def mean_of(values: np.ndarray) -> Figure:
    """Return a mean over phantoms with its bootstrap interval."""
    return mean_figure(np.asarray(values, float), Bootstrap(np.arange(len(values)), by="phantom"))


def pooled_share(numerator: np.ndarray, denominator: np.ndarray) -> Figure:
    """Return the sum of one over the sum of the other, both by phantom, with its bootstrap interval."""
    total = float(denominator.sum())
    span = Bootstrap(np.arange(len(numerator)), by="phantom").interval(share_measure(numerator, denominator))
    value = float(numerator.sum()) / total if total else None
    return Figure(value=value, intervals=[span] if span and total else [], count=len(numerator))
