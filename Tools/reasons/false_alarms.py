"""Count how often a detector's default model calls phantoms positive, before and after reasons are weighed.

Run from the repository's root: `python Tools/reasons/false_alarms.py hemorrhage --count 30`. Each row is phantoms of
one variant without the finding (false alarms), then plain ones without and with it.
"""

import argparse
from collections import Counter
from collections.abc import Sequence
from time import perf_counter

from scipy.stats import binomtest

from AcuteFindingsLib.detectors.phantoms import make_phantom
from AcuteFindingsLib.detectors.registry import find_kind
from AcuteFindingsLib.jobs.detect import detect
from AcuteFindingsLib.phantoms.as_study import phantom_study

_SEED = 500_000
_MATRIX = 256


def counts(detector: str, variants: Sequence[str], *, positive: bool, count: int, seed: int = _SEED) -> Counter[str]:
    """Count verdicts of `count` phantoms: ``"before"`` and ``"after"`` positive."""
    kind = find_kind(detector)
    if kind.phantoms is None:
        raise ValueError(f"no phantoms are drawn for {detector}")
    size = {} if kind.reads_radiographs else {"matrix": _MATRIX}
    options = {**size, **({"variants": tuple(variants)} if variants else {})}
    found: Counter[str] = Counter()
    for number in range(count):
        phantom = make_phantom(kind.phantoms.generator, seed + number, positive=positive, **options)
        finding, _ = detect(phantom_study(phantom), detector, started=perf_counter(), calibration="none")
        before = (finding.verdict.by_rule or finding.verdict.label) == "positive"
        doubted = any(reason.code in kind.doubts for reason in finding.reasons)
        found["before"] += before
        found["after"] += before and not doubted
    return found


def interval(part: int, of: int) -> str:
    """Return a count with its share and exact 95 % interval."""
    low, high = binomtest(part, of).proportion_ci(method="exact")
    return f"{part}/{of} ({part / of:.0%}, {low:.0%} to {high:.0%})"


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("detector")
    parser.add_argument("--only", nargs="*", help="these variants alone; 'none' and 'finding' are plain phantoms")
    parser.add_argument("--count", type=int, default=30)
    parser.add_argument("--seed", type=int, default=_SEED)
    asked = parser.parse_args()
    kind = find_kind(asked.detector)
    known = kind.phantoms.variants if kind.phantoms else ()
    for name in asked.only or (*known, "none", "finding"):
        variants = (name,) if name in known else ()
        found = counts(asked.detector, variants, positive=name == "finding", count=asked.count, seed=asked.seed)
        before, after = (interval(found[which], asked.count) for which in ("before", "after"))
        print(f"| {name} | {before} | {after} |", flush=True)


if __name__ == "__main__":
    main()
