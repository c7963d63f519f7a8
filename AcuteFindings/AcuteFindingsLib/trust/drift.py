"""Whether studies still look like those of a reference: what is compared, a test a variable, and how much it moved.

Numbers (probabilities, features of the image) are compared by the two-sample Kolmogorov-Smirnov test, names (scanner,
kernel, verdict) and numbers of few values (thickness) by Pearson's χ²; where a name is too rare for its distribution,
against draws without replacement from both sets together. How much a variable moved is the population stability index
(PSI): below 0.1 little, 0.1 to 0.25 moderate, above 0.25 much (Siddiqi N., Credit Risk Scorecards, 2006). PSI of few
studies is large by chance alone, (bins - 1) × (1/n + 1/m) on average (Yurdakul B., Naranjo J., Journal of Risk Model
Validation 14, 2020); that is subtracted.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

LITTLE, MUCH = 0.1, 0.25
"""Of PSI: below the first a variable counts as unmoved, above the second it moved much."""

LEVEL = 0.05
"""How often a report may name something that did not change (Holm 1979: over all comparisons of the report)."""

LEAST = 10
"""Values of a variable on each side below which it is not compared."""

_BINS = 10
# Expected counts from which the distribution of χ² is close enough (Cochran 1954).
_EXPECTED = 5
# How often both sets are drawn again; more where no draw of the first differs as much, so that a small p-value can be
# told from a very small one after the correction.
_DRAWS, _MORE = 19_999, 180_000
_MOST_NAMES = 30
_REST = "others"
_NOT_STATED = "not stated"
_FEATURE = "feature: "


@dataclass(frozen=True)
class Facts:
    """What is compared of one study: numbers and names by variable, nothing that says whose it is."""

    numbers: dict[str, float] = field(default_factory=dict)
    names: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Sample:
    """What is compared of a set of studies.

    Attributes
    ----------
    count
        How many studies.
    numbers
        Values by variable, sorted, so that none can be told to be of the same study as another.
    names
        How often each name stands, by variable.
    """

    count: int
    numbers: dict[str, tuple[float, ...]] = field(default_factory=dict)
    names: dict[str, dict[str, int]] = field(default_factory=dict)


@dataclass(frozen=True)
class Shift:
    """One variable in one span of time against the reference.

    Attributes
    ----------
    p_value, adjusted
        Of the test, as it is and corrected for all tests of a report.
    psi
        Population stability index less what chance gives, never below 0.
    before, now
        The reference and the span in words: median and quartiles, or the most frequent names.
    """

    variable: str
    p_value: float
    psi: float
    before: str
    now: str
    adjusted: float = 1.0

    @property
    def changed(self) -> bool:
        """Whether it counts as a change: beyond chance, and not small."""
        return self.adjusted <= LEVEL and self.psi >= LITTLE


def facts_of(probability: float, features: Mapping[str, float], acquisition: Mapping[str, Any]) -> Facts:
    """Return what is compared of a study.

    Parameters
    ----------
    probability
        Of the verdict.
    features
        As the finding's likeness has them.
    acquisition
        The JSON form of `detectors.acquisition.Acquisition`; empty where it was not kept.
    """
    spacing = acquisition.get("spacing_mm") or (None, None, None)
    numbers = {
        "probability": probability,
        **{f"{_FEATURE}{name}": value for name, value in features.items()},
        "slice thickness (mm)": acquisition.get("thickness_mm"),
        "slice distance (mm)": spacing[0] or None,
        "pixel size (mm)": spacing[1],
        "number of images": acquisition.get("images") or None,
    }
    names = {}
    if acquisition:
        kvp = acquisition.get("kvp")
        names = {
            "scanner": f"{acquisition.get('manufacturer', '')} {acquisition.get('model', '')}".strip() or _NOT_STATED,
            "kernel": acquisition.get("kernel") or _NOT_STATED,
            "tube voltage": _NOT_STATED if kvp is None else f"{kvp:g} kV",
            "contrast": "stated" if acquisition.get("contrast") else _NOT_STATED,
            "view": acquisition.get("view") or _NOT_STATED,
        }
    return Facts({name: float(value) for name, value in numbers.items() if value is not None}, names)


def facts_of_finding(data: Mapping[str, Any]) -> Facts:
    """Return what is compared of a finding, given in its JSON form (`Finding.to_dict`).

    Raises
    ------
    KeyError, TypeError, ValueError
        It is not a finding.
    """
    verdict, model, likeness = data["verdict"], data["model"], data.get("likeness") or {}
    facts = facts_of(verdict["probability"], likeness.get("features") or {}, data.get("acquisition") or {})
    names = {"verdict": verdict["label"], "model": f"{model['id']} {model['version']} {model['sha256'][:8]}".strip()}
    if likeness:
        names["likeness"] = likeness["label"]
    return Facts(facts.numbers, facts.names | names)


def sample_of(studies: Iterable[Facts]) -> Sample:
    """Return what is compared of a set of studies; values to four digits, the rarest of many names together."""
    studies = list(studies)
    numbers: dict[str, list[float]] = {}
    names: dict[str, Counter[str]] = {}
    for study in studies:
        for name, value in study.numbers.items():
            if np.isfinite(value):
                numbers.setdefault(name, []).append(float(f"{value:.4g}"))
        for name, word in study.names.items():
            names.setdefault(name, Counter())[word] += 1
    return Sample(
        len(studies),
        {name: tuple(sorted(values)) for name, values in numbers.items()},
        {name: _fewer(counts) for name, counts in names.items()},
    )


def compare(reference: Sample, sample: Sample) -> list[Shift]:
    """Return each variable of a sample against the reference, uncorrected; those that never vary are left out."""
    shifts = []
    for name, values in sample.numbers.items():
        before = reference.numbers.get(name, ())
        if min(len(before), len(values)) >= LEAST and min(before[0], values[0]) < max(before[-1], values[-1]):
            shifts.append(_of_numbers(name, np.array(before), np.array(values)))
    for name, counts in sample.names.items():
        earlier = reference.names.get(name, {})
        enough = min(sum(earlier.values()), sum(counts.values())) >= LEAST
        if enough and len({*earlier, *counts}) > 1:
            shifts.append(_of_names(name, earlier, counts))
    return shifts


def corrected(spans: Sequence[Sequence[Shift]]) -> list[list[Shift]]:
    """Return shifts with p-values corrected over all of them together (Holm, Scandinavian Journal of Statistics 1979).

    Against the false discovery rate it costs no power here and names the unchanged less often (docs/trust.md).
    """
    every = np.array([shift.p_value for shifts in spans for shift in shifts])
    order = np.argsort(every)
    adjusted = np.empty_like(every)
    adjusted[order] = np.minimum(np.maximum.accumulate((len(every) - np.arange(len(every))) * every[order]), 1.0)
    one_by_one = iter(adjusted.tolist())
    return [[replace(shift, adjusted=next(one_by_one)) for shift in shifts] for shifts in spans]


def _of_numbers(name: str, before: np.ndarray, now: np.ndarray) -> Shift:
    from scipy.stats import ks_2samp

    values = np.unique([*before, *now])
    if len(values) <= _BINS:
        # Of few values, as slices of 1 or 5 mm, the Kolmogorov-Smirnov test finds too little.
        p_value = _names_p(*(np.bincount(np.searchsorted(values, one), minlength=len(values)) for one in (before, now)))
    else:
        p_value = float(ks_2samp(before, now).pvalue)
    return Shift(name, p_value, _psi(*_binned(before, now)), _quartiles(before), _quartiles(now))


def _binned(before: np.ndarray, now: np.ndarray) -> np.ndarray:
    """Return ``(2, bins)`` counts by tenths of the reference; of few values each by itself and what lies between."""
    edges = np.unique(before)
    if len(edges) <= _BINS:
        places = [np.searchsorted(edges, values) + np.searchsorted(edges, values, "right") for values in (before, now)]
    else:
        edges = np.unique(np.quantile(before, np.linspace(0, 1, _BINS + 1)[1:-1]))
        places = [np.searchsorted(edges, values) for values in (before, now)]
    counts = np.array([np.bincount(place, minlength=2 * len(edges) + 1) for place in places])
    return counts[:, counts.any(0)]


def _of_names(name: str, before: Mapping[str, int], now: Mapping[str, int]) -> Shift:
    words = sorted({*before, *now})
    counts = [np.array([one.get(word, 0) for word in words]) for one in (before, now)]
    return Shift(name, _names_p(*counts), _psi(*counts), _most_frequent(before), _most_frequent(now))


def _names_p(before: np.ndarray, now: np.ndarray) -> float:
    """Return how often two sets of the same studies differ as much, by χ²; always the same for the same counts."""
    from scipy.stats import chi2_contingency

    both = before + now
    expected = both * (now.sum() / both.sum())
    if min(expected.min(), (both - expected).min()) >= _EXPECTED:
        return float(chi2_contingency([before, now], correction=False).pvalue)

    def as_far(draws: int) -> int:
        drawn = random.multivariate_hypergeometric(both, int(now.sum()), size=draws)
        # χ² of the two rows is this times a number that is the same for all draws.
        return int(np.count_nonzero(((drawn - expected) ** 2 / expected).sum(-1) >= found * (1 - 1e-9)))

    random, found = np.random.default_rng(0), float(((now - expected) ** 2 / expected).sum())
    count, draws = as_far(_DRAWS), _DRAWS
    if not count:
        count, draws = as_far(_MORE), _DRAWS + _MORE
    return (1 + count) / (1 + draws)


def _psi(before: np.ndarray, now: np.ndarray) -> float:
    """Return the population stability index of counts by bin, half a study added to each, less what chance gives."""
    p, q = ((one + 0.5) / (one.sum() + 0.5 * len(one)) for one in (before, now))
    chance = (len(p) - 1) * (1 / before.sum() + 1 / now.sum())
    return max(float(((p - q) * np.log(p / q)).sum() - chance), 0.0)


def _quartiles(values: np.ndarray) -> str:
    low, middle, high = np.percentile(values, (25, 50, 75))
    return f"{middle:.3g} ({low:.3g} to {high:.3g})"


def _most_frequent(counts: Mapping[str, int]) -> str:
    total, ordered = sum(counts.values()), sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    shown = ", ".join(f"{word} {100 * count / total:.0f} %" for word, count in ordered[:3])
    return f"{shown}, {len(ordered) - 3} more" if len(ordered) > 3 else shown


def _fewer(counts: Counter[str]) -> dict[str, int]:
    ordered = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    kept = dict(ordered[:_MOST_NAMES])
    rest = sum(count for _, count in ordered[_MOST_NAMES:])
    return {**kept, _REST: kept.get(_REST, 0) + rest} if rest else kept
