"""Are the promises of `acutefindings calibrate` held, how often, and at the price of how many open verdicts?

    python Testing/Experiments/calibration_promises.py                    # 1,000 sites a row; writes the table
    python Testing/Experiments/calibration_promises.py --phantoms 1500    # scores the phantoms anew first

A row is one set of scores, one promise and one number of studies. Of the set, so many studies are drawn 1,000 times, as
1,000 sites would; each calibrates, and what its thresholds give for all studies to come is known exactly: synthetic
scores have their distributions, and of phantoms the whole set of scored ones is what studies are drawn from.
"""

import argparse
import csv
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy.stats import binomtest, norm

from AcuteFindingsLib.trust.calibrate import Thresholds, find_thresholds
from AcuteFindingsLib.trust.calibration import Promise

RESULTS = Path(__file__).resolve().parent / "results"
PHANTOM_SCORES = "calibration-phantoms.csv"
SIZES = (100, 200, 300)
VALUES = Promise(kind="predictive values", positive=0.9, negative=0.98, confidence=0.9)
PROMISES = {
    "PPV 0.90, NPV 0.98": VALUES,
    "PPV 0.90, NPV 0.95": VALUES.model_copy(update={"negative": 0.95}),
    "sensitivity 0.95, specificity 0.90": Promise(kind="error rates", positive=0.9, negative=0.95, confidence=0.9),
    "the same, on average": Promise(kind="error rates", positive=0.9, negative=0.95),
}
_PICTURES_AT_ONCE = 16
_PREFERRED = 0.5


@dataclass(frozen=True)
class Shares:
    """What thresholds give for all studies: shares of the studies with and without the finding that are called so."""

    called_positive: tuple[float, float]
    called_negative: tuple[float, float]
    prevalence: float

    def kept(self, kind: str) -> tuple[float, float]:
        """Return what was promised of positive and negative verdicts, as it is; 1 where nothing is called so."""
        (ill_up, well_up), (ill_down, well_down) = self.called_positive, self.called_negative
        if kind == "error rates":
            return 1 - well_up, 1 - ill_down
        ill, well = self.prevalence, 1 - self.prevalence
        return _share(ill * ill_up, well * well_up), _share(well * well_down, ill * ill_down)

    @property
    def indeterminate(self) -> float:
        """The share of studies that is called neither."""
        ill, well = (1 - up - down for up, down in zip(self.called_positive, self.called_negative, strict=True))
        return self.prevalence * ill + (1 - self.prevalence) * well


@dataclass(frozen=True)
class ScoreSet:
    """Where studies are drawn from: `draw(random, count)` gives truth and scores, `shares(thresholds)` what is so."""

    name: str
    draw: Callable[[np.random.Generator, int], tuple[np.ndarray, np.ndarray]]
    shares: Callable[[Thresholds], Shares]


def synthetic(name: str, *, apart: float, prevalence: float, artifacts: float = 0.0) -> ScoreSet:
    """Return scores whose logit is normal in each class, the means so many deviations apart.

    `artifacts` is the share of studies without the finding that score as high as the clearest studies with it: there
    the risk falls where the score rises, which the promise of predictive values rules out.
    """
    middle, top = apart / 2, apart + 2

    def draw(random: np.random.Generator, count: int) -> tuple[np.ndarray, np.ndarray]:
        present = random.random(count) < prevalence
        logit = random.normal(size=count) + np.where(present, middle, -middle)
        fooled = ~present & (random.random(count) < artifacts)
        return present, 1 / (1 + np.exp(-np.where(fooled, random.normal(top, 0.3, count), logit)))

    def shares(found: Thresholds) -> Shares:
        with np.errstate(divide="ignore"):
            low, high = (np.log(p) - np.log1p(-p) for p in (found.negative_below, min(found.positive_from, 1.0)))
        well_up = (1 - artifacts) * norm.sf(high + middle) + artifacts * norm.sf((high - top) / 0.3)
        well_down = (1 - artifacts) * norm.cdf(low + middle) + artifacts * norm.cdf((low - top) / 0.3)
        return Shares((norm.sf(high - middle), well_up), (norm.cdf(low - middle), well_down), prevalence)

    return ScoreSet(name, draw, shares)


def pooled(name: str, present: np.ndarray, scores: np.ndarray) -> ScoreSet:
    """Return a set from whose studies those of a site are drawn, each as often as it comes."""

    def draw(random: np.random.Generator, count: int) -> tuple[np.ndarray, np.ndarray]:
        own = random.integers(0, len(present), count)
        return present[own], scores[own]

    def shares(found: Thresholds) -> Shares:
        up, down = scores >= found.positive_from, scores < found.negative_below
        return Shares(
            (float(up[present].mean()), float(up[~present].mean())),
            (float(down[present].mean()), float(down[~present].mean())),
            float(present.mean()),
        )

    return ScoreSet(name, draw, shares)


def sites(scores: ScoreSet, promise: Promise, count: int, *, draws: int, seed: int) -> dict[str, object]:
    """Let so many sites calibrate; return how often each promise was held and what was left open.

    A site that gets no thresholds has broken no promise; `held` counts it as kept, `held_where_made` leaves it out.
    """
    random = np.random.default_rng(seed)
    kept, open_ = [], []
    for _ in range(draws):
        present, probabilities = scores.draw(random, count)
        found = find_thresholds(probabilities, present, promise, preferred=_PREFERRED)
        if not found.whole:
            continue
        shares = scores.shares(found)
        kept.append(shares.kept(promise.kind))
        open_.append(shares.indeterminate)
    made = np.array(kept).reshape(-1, 2)
    good = made >= (promise.positive - 1e-9, promise.negative - 1e-9)
    return {
        "set": scores.name,
        "studies": count,
        "draws": draws,
        "made": len(made),
        "held": [draws - len(made) + int(good[:, side].sum()) for side in (0, 1)],
        "held_where_made": [int(good[:, side].sum()) for side in (0, 1)],
        "mean": [float(one) for one in made.mean(axis=0)] if len(made) else None,
        "indeterminate": float(np.mean(open_)) if open_ else None,
        "middle_half": [float(one) for one in np.percentile(open_, (25, 75))] if open_ else None,
    }


def score_phantoms(count: int, file: Path) -> None:
    """Score chest phantoms with what imitates a pneumothorax by the shipped model; keep truth and probability."""
    from AcuteFindingsLib.detectors.load import load_detector
    from AcuteFindingsLib.detectors.phantoms import make_phantom
    from AcuteFindingsLib.detectors.radiograph import split_lungs
    from AcuteFindingsLib.phantoms.chest_xray.mimics import MIMICS

    detector = load_detector("pneumothorax", device="cpu").detector
    random = np.random.default_rng(26)
    rows: list[tuple[int, str]] = []
    while len(rows) < count:
        made = []
        for number in range(len(rows), min(len(rows) + _PICTURES_AT_ONCE, count)):
            variants = tuple(name for name in MIMICS if random.random() < 0.3)
            positive = bool(random.random() < 0.3)
            made.append(make_phantom("chest-xray", 700_000 + number, positive=positive, size=128, variants=variants))
        pictures = [phantom.array[0] for phantom in made]
        lungs = [split_lungs(one.mask).both for one in detector.lungs.read(pictures)]
        outlines = detector.scorer.outlines(pictures, lungs)
        rows += [
            (int(phantom.positive), f"{outline.probability:.6f}")
            for phantom, outline in zip(made, outlines, strict=True)
        ]
        print(f"{len(rows)} of {count} phantoms scored", flush=True)
    with file.open("w", newline="") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(("present", "probability"))
        writer.writerows(rows)


def read_phantoms(file: Path) -> ScoreSet:
    """Return the phantoms that `score_phantoms` kept."""
    present, scores = np.loadtxt(file, delimiter=",", skiprows=1, unpack=True)
    return pooled(f"chest phantoms ({len(scores)}, shipped model)", present > 0, scores)


def all_sets(phantoms: Path) -> list[ScoreSet]:
    """Return every set of the table."""
    return [
        synthetic("synthetic, AUC 0.983", apart=3.0, prevalence=0.3),
        synthetic("synthetic, AUC 0.961", apart=2.5, prevalence=0.3),
        synthetic("synthetic, AUC 0.961, 12 % positive", apart=2.5, prevalence=0.12),
        read_phantoms(phantoms),
        synthetic("synthetic, 3 % artifacts at the top", apart=3.0, prevalence=0.3, artifacts=0.03),
    ]


def as_table(rows: list[dict]) -> str:
    """Return the rows as a table in Markdown; intervals are Wilson's at 95 %."""
    lines = [
        "| scores | promise | studies | sites with thresholds | PPV or specificity held | NPV or sensitivity held "
        "| mean of these two | indeterminate (middle half) |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        held = [_interval(hits, row["draws"]) for hits in row["held"]]
        mean = "–" if row["mean"] is None else " and ".join(f"{one:.3f}" for one in row["mean"])
        half = row["middle_half"]
        left = "–" if half is None else f"{_percent(row['indeterminate'])} ({_percent(half[0])} to {_percent(half[1])})"
        made = _percent(row["made"] / row["draws"])
        lines.append(
            f"| {row['set']} | {row['promise']} | {row['studies']} | {made} | {held[0]} | {held[1]} | {mean} | {left} |"
        )
    return "\n".join(lines) + "\n"


def run(sets: list[ScoreSet], *, draws: int, seed: int = 0) -> list[dict]:
    """Return the rows of the table."""
    rows = []
    for scores in sets:
        for words, promise in PROMISES.items():
            for count in SIZES:
                rows.append({"promise": words, **sites(scores, promise, count, draws=draws, seed=seed)})
    return rows


def _share(right: float, wrong: float) -> float:
    return right / (right + wrong) if right + wrong > 0 else 1.0


def _percent(share: float) -> str:
    return f"{abs(100 * share):.0f} %"


def _interval(hits: int, count: int) -> str:
    low, high = binomtest(hits, count).proportion_ci(method="wilson")
    return f"{100 * hits / count:.1f} % ({100 * low:.1f} to {100 * high:.1f})"


def main() -> None:
    """Run the whole and write ``calibration.md`` and ``calibration.json``."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--draws", type=int, default=1000)
    parser.add_argument("--phantoms", type=int, default=0, help="score so many phantoms anew")
    parser.add_argument("--out", type=Path, default=RESULTS)
    asked = parser.parse_args()
    if asked.phantoms:
        score_phantoms(asked.phantoms, asked.out / PHANTOM_SCORES)
    rows = run(all_sets(asked.out / PHANTOM_SCORES), draws=asked.draws)
    (asked.out / "calibration.json").write_text(json.dumps(rows, indent=1) + "\n")
    (asked.out / "calibration.md").write_text(as_table(rows))
    print(as_table(rows))


if __name__ == "__main__":
    main()
