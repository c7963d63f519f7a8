"""What a threshold gives: counts, and the six figures of the papers with their intervals."""

from dataclasses import dataclass

import numpy as np
from scipy.stats import binomtest

from AcuteFindingsLib.evaluation.resampling import Bootstrap, share_measure
from AcuteFindingsLib.evaluation.schema import Figure, Point, Range

METRICS = ("sensitivity", "specificity", "accuracy", "ppv", "npv", "f1")
WILSON = "Wilson"

DEFAULT_THRESHOLD = 0.5
DEFAULT_CHOSEN = "0.5, by default: neither the model nor the user stated a threshold"


@dataclass(frozen=True)
class Threshold:
    """A threshold and how it was chosen. `stated_beforehand`: without a look at the cases it is applied to."""

    value: float
    chosen: str
    stated_beforehand: bool = True


def proportion(hits: int, count: int) -> Figure:
    """Return a share of `count` independent cases with Wilson's 95 % interval; undefined (None) for no cases."""
    if count == 0:
        return Figure(value=None)
    low, high = binomtest(int(hits), int(count)).proportion_ci(method="wilson")
    span = Range(low=float(low), high=float(high), method=WILSON)
    return Figure(value=hits / count, intervals=[span], count=int(count))


def decision_figures(truth: np.ndarray, called: np.ndarray, bootstrap: Bootstrap | None = None) -> dict[str, Figure]:
    """Return the six figures of decisions ``(n,)`` bool against `truth` ``(n,)`` bool.

    Shares of cases get Wilson's interval. F1 is no share of cases, so Wilson's has no meaning for it: its interval is
    by bootstrap. Where patients have several cases, which Wilson takes for independent, every figure's first interval
    is by bootstrap over patients.
    """
    truth, called = np.asarray(truth, bool), np.asarray(called, bool)
    right = truth == called
    shares = {
        "sensitivity": (truth & called, truth),
        "specificity": (~truth & ~called, ~truth),
        "accuracy": (right, np.ones_like(truth)),
        "ppv": (truth & called, called),
        "npv": (~truth & ~called, ~called),
    }
    figures = {name: proportion(int(hits.sum()), int(cases.sum())) for name, (hits, cases) in shares.items()}
    twice = 2 * int((truth & called).sum())
    total = int(truth.sum() + called.sum())
    figures["f1"] = Figure(value=twice / total if total else None, count=len(truth))
    if bootstrap is None:
        return figures
    measures = {"f1": share_measure(2.0 * (truth & called), 1.0 * truth + called)}
    if bootstrap.clustered:
        measures |= {name: share_measure(hits, cases) for name, (hits, cases) in shares.items()}
    rests_on = {"f1": truth | called, **{name: cases for name, (_, cases) in shares.items()}}
    for name, span in bootstrap.intervals(measures, rests_on=rests_on).items():
        if span is not None and figures[name].value is not None:
            figures[name] = figures[name].model_copy(update={"intervals": [span, *figures[name].intervals]})
    return figures


def point(truth: np.ndarray, score: np.ndarray, threshold: Threshold, bootstrap: Bootstrap | None = None) -> Point:
    """Return counts and figures where a score at or above the threshold is positive."""
    truth = np.asarray(truth, bool)
    called = np.asarray(score, float) >= threshold.value
    return Point(
        threshold=threshold.value,
        chosen=threshold.chosen,
        stated_beforehand=threshold.stated_beforehand,
        true_positive=int((truth & called).sum()),
        false_positive=int((~truth & called).sum()),
        true_negative=int((~truth & ~called).sum()),
        false_negative=int((truth & ~called).sum()),
        figures=decision_figures(truth, called, bootstrap),
    )
