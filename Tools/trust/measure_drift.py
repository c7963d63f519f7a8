"""How often drift is found where there is some, and named where there is none: made-up departments, no images.

::

    python Tools/trust/measure_drift.py [DEPARTMENTS]

A department has a scanner of two, three kernels, four voltages, a probability, a thickness of two and eight features of
the image, which vary from study to study. Half way through its weeks one thing changes in half of its studies; in a
department of the first row nothing does.
"""

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta

import numpy as np

from AcuteFindingsLib.evaluation.operating_points import proportion
from AcuteFindingsLib.trust.drift import Facts
from AcuteFindingsLib.worklist.drift import Dated, Drift, drift_of

FIRST = date(2026, 6, 1)
FEATURES = 8
CHANGES = ("nothing", "another scanner", "another kernel", "noise, 1 SD", "noise, 2 SD", "twice as many positive")


@dataclass(frozen=True)
class Department:
    """What a department is: how many weeks, studies a week, and what changes half way."""

    weeks: int
    a_week: int
    change: str

    @property
    def half(self) -> int:
        """The first week of the change; it comes after the reference."""
        return self.weeks - self.weeks // 3


def studies(of: Department, seed: int) -> list[Dated]:
    """Return the studies of a department."""
    random = np.random.default_rng(seed)
    found = []
    for week in range(of.weeks):
        for _ in range(of.a_week):
            changed = week >= of.half and random.random() < 0.5
            found.append(Dated(FIRST + timedelta(weeks=week), _study(random, of.change if changed else "nothing")))
    return found


def _study(random: np.random.Generator, change: str) -> Facts:
    features = random.normal(size=FEATURES)
    features[0] += {"noise, 1 SD": 1.0, "noise, 2 SD": 2.0}.get(change, 0.0)
    positive = random.random() < (0.45 if change == "twice as many positive" else 0.15)
    return Facts(
        {
            "probability": float(random.beta(4, 1.5) if positive else random.beta(0.5, 4)),
            "slice thickness (mm)": float(random.choice([1.0, 5.0])),
            **{f"feature: {number}": float(value) for number, value in enumerate(features)},
        },
        {
            "scanner": "New" if change == "another scanner" else str(random.choice(["One", "Two"], p=[0.7, 0.3])),
            "kernel": "New" if change == "another kernel" else str(random.choice(["A", "B", "C"], p=[0.8, 0.17, 0.03])),
            "tube voltage": str(random.choice(["80 kV", "100 kV", "120 kV", "140 kV"], p=[0.05, 0.25, 0.65, 0.05])),
        },
    )


TOLD = {
    "another scanner": "scanner",
    "another kernel": "kernel",
    "noise, 1 SD": "feature: 0",
    "noise, 2 SD": "feature: 0",
    "twice as many positive": "probability",
}


def measure(weeks: int, a_week: int, change: str, departments: Sequence[int]) -> tuple[int, int, int]:
    """Return how many departments had the change named at all, a week too early, and another thing named."""
    of = Department(weeks, a_week, change)
    named = early = other = 0
    start = FIRST + timedelta(weeks=of.half)
    for seed in departments:
        drift: Drift = drift_of("hemorrhage", studies(of, seed))
        true = TOLD.get(change)
        spans = (*drift.spans, *([drift.recent] if drift.recent else ()))
        hits = [(span.last >= start, shift.variable) for span in spans for shift in span.changed]
        named += any(after and name == true for after, name in hits)
        early += any(not after and name == true for after, name in hits)
        other += any(name != true for _, name in hits)
    return named, early, other


def main() -> None:
    """Print the table of docs/trust.md."""
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 200
    print("| studies a week | what changed in half of the studies | named | before it was | another thing named |")
    print("|---|---|---|---|---|")
    for a_week in (20, 50):
        for change in CHANGES:
            results = measure(12, a_week, change, range(count))
            shown = [_share(one, count) for one in results]
            if change == "nothing":
                shown[:2] = ["–", "–"]
            print(f"| {a_week} | {change} | {' | '.join(shown)} |", flush=True)


def _share(hits: int, of: int) -> str:
    figure = proportion(hits, of)
    span = figure.intervals[0]
    return f"{100 * hits / of:.0f} % ({100 * span.low:.0f} to {100 * span.high:.0f}; {hits} of {of})"


if __name__ == "__main__":
    main()
