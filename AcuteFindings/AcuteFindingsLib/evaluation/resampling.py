"""Bootstrap over patients: whole patients are drawn, so that images of one person never count as independent."""

from collections.abc import Callable, Iterator, Mapping, Sequence

import numpy as np

from AcuteFindingsLib.evaluation.schema import Range

DRAWS = 2000
_MANY_CASES = 50_000
_DRAWS_OF_MANY = 500
_NUMBERS_AT_ONCE = 4_000_000
_ROUNDING = 1e-12

Measure = Callable[[np.ndarray], np.ndarray]
"""Takes weights ``(d, n)``, how often each case is in each draw, and returns one number a draw, NaN where undefined."""


class Bootstrap:
    """Percentile intervals over draws of whole patients, the same draws for every measure.

    Parameters
    ----------
    patients
        One entry a case; equal entries are one patient.
    draws
        How many; 2,000, or 500 from 50,000 cases on, when None.
    by
        What the entries are, for the words in a report.
    seed
        Of the draws.
    """

    def __init__(
        self, patients: Sequence | np.ndarray, *, draws: int | None = None, by: str = "patient", seed: int = 0
    ) -> None:
        names, self.numbers = np.unique(np.asarray(patients), return_inverse=True)
        self.patients = len(names)
        self.cases = len(self.numbers)
        self.draws = draws or (DRAWS if self.cases < _MANY_CASES else _DRAWS_OF_MANY)
        self.method = f"bootstrap by {by}, {self.draws:,} draws"
        self.seed = seed

    @property
    def clustered(self) -> bool:
        """Whether any patient has more than one case."""
        return self.patients < self.cases

    def part(self, kept: np.ndarray) -> "Bootstrap":
        """Return the bootstrap of the cases that `kept` (bool or indices) selects."""
        other = Bootstrap(self.numbers[kept], draws=self.draws, seed=self.seed)
        other.method = self.method
        return other

    def weights(self) -> Iterator[np.ndarray]:
        """Yield ``(d, n)`` float64 weights, a few draws at a time."""
        generator = np.random.default_rng(self.seed)
        share = np.full(self.patients, 1 / self.patients)
        step = max(1, _NUMBERS_AT_ONCE // max(self.cases, 1))
        for first in range(0, self.draws, step):
            drawn = generator.multinomial(self.patients, share, size=min(step, self.draws - first))
            yield drawn[:, self.numbers].astype(float)

    def intervals(
        self,
        measures: Mapping[str, Measure],
        *,
        within: tuple[float, float] | None = (0.0, 1.0),
        rests_on: Mapping[str, np.ndarray] | None = None,
    ) -> dict[str, Range | None]:
        """Return each measure's 95 % interval; None where fewer than half of the draws define it.

        Where all draws agree, as at an AUC or a Dice of 1, resampling says nothing of what further patients would do.
        The interval then reaches as far as the exact (Clopper-Pearson) limit of the share of patients that could differ
        allows, each by as much as `within`, the measure's lowest and highest value, permits; None for a measure without
        such limits. `rests_on` says for a measure which cases ``(n,)`` bool it rests on, where not on all.
        """
        drawn: dict[str, list[np.ndarray]] = {name: [] for name in measures}
        if self.cases:
            for weights in self.weights():
                for name, measure in measures.items():
                    drawn[name].append(measure(weights))
        kept = rests_on or {}
        return {name: self._range(values, within, kept.get(name)) for name, values in drawn.items()}

    def interval(
        self,
        measure: Measure,
        *,
        within: tuple[float, float] | None = (0.0, 1.0),
        rests_on: np.ndarray | None = None,
    ) -> Range | None:
        """Return one measure's 95 % interval, as `intervals` does."""
        kept = {} if rests_on is None else {"only": rests_on}
        return self.intervals({"only": measure}, within=within, rests_on=kept)["only"]

    def patients_among(self, kept: np.ndarray) -> int:
        """Return how many patients the cases have that `kept` (bool or indices) selects."""
        return len(np.unique(self.numbers[kept]))

    def _range(
        self, parts: list[np.ndarray], within: tuple[float, float] | None, kept: np.ndarray | None
    ) -> Range | None:
        values = np.concatenate(parts) if parts else np.empty(0)
        defined = values[np.isfinite(values)]
        if 2 * len(defined) < self.draws:
            return None
        low, high = np.percentile(defined, (2.5, 97.5))
        if high - low > _ROUNDING:
            return Range(low=float(low), high=float(high), method=self.method)
        if within is None:
            return None
        patients = self.patients if kept is None else self.patients_among(kept)
        share = no_case_of(patients)
        return Range(
            low=float(low - share * max(low - within[0], 0.0)),
            high=float(high + share * max(within[1] - high, 0.0)),
            method=f"exact, none of {patients} differs",
        )


def no_case_of(count: int) -> float:
    """Return the upper 95 % limit of a share of which none of `count` cases was seen, about 3.7 / count.

    Clopper and Pearson, Biometrika 26 (1934) 404.
    """
    return float(1 - 0.025 ** (1 / count)) if count else 1.0


def of_all(measure: Measure, count: int) -> float:
    """Return what a measure says of `count` cases when each counts once."""
    return float(measure(np.ones((1, count)))[0])


def mean_measure(values: np.ndarray) -> Measure:
    """Return the weighted mean of `values` ``(n,)`` as a measure."""
    values = np.asarray(values, float)
    return lambda weights: _ratio(weights @ values, weights.sum(1))


def auc_measure(truth: np.ndarray, score: np.ndarray) -> Measure:
    """Return the area under the ROC curve of weighted cases as a measure (ties count half)."""
    order, starts, positive = _sorted(truth, score)

    def measure(weights: np.ndarray) -> np.ndarray:
        hit, miss = _by_score(weights, order, starts, positive)
        below = np.cumsum(miss, axis=1) - miss
        return _ratio((hit * (below + miss / 2)).sum(1), hit.sum(1) * miss.sum(1))

    return measure


def average_precision_measure(truth: np.ndarray, score: np.ndarray) -> Measure:
    """Return the average precision (area under the precision-recall steps) of weighted cases as a measure."""
    order, starts, positive = _sorted(truth, score)

    def measure(weights: np.ndarray) -> np.ndarray:
        hit, miss = (part[:, ::-1] for part in _by_score(weights, order, starts, positive))
        found, called = np.cumsum(hit, axis=1), np.cumsum(hit + miss, axis=1)
        precision = np.divide(found, called, out=np.zeros_like(found), where=called > 0)
        return _ratio((hit * precision).sum(1), hit.sum(1))

    return measure


def share_measure(numerator: np.ndarray, denominator: np.ndarray) -> Measure:
    """Return weighted sum of `numerator` over that of `denominator`, ``(n,)`` each, as a measure."""
    above, below = np.asarray(numerator, float), np.asarray(denominator, float)
    return lambda weights: _ratio(weights @ above, weights @ below)


def _sorted(truth: np.ndarray, score: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    order = np.argsort(score, kind="stable")
    ranked = np.asarray(score, float)[order]
    starts = np.flatnonzero(np.r_[True, ranked[1:] != ranked[:-1]])
    return order, starts, np.asarray(truth, bool)[order]


def _by_score(
    weights: np.ndarray, order: np.ndarray, starts: np.ndarray, positive: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    ranked = weights[:, order]
    hit = np.add.reduceat(ranked * positive, starts, axis=1)
    return hit, np.add.reduceat(ranked, starts, axis=1) - hit


def _ratio(above: np.ndarray, below: np.ndarray) -> np.ndarray:
    return np.divide(above, below, out=np.full(np.shape(above), np.nan), where=below > 0)
