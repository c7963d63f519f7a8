"""Calibrations made from a site's studies: thresholds, temperature, and what repeated splits give."""

from dataclasses import dataclass
from datetime import date

import numpy as np

from AcuteFindingsLib import __version__
from AcuteFindingsLib.counting import counted
from AcuteFindingsLib.errors import CalibrationError
from AcuteFindingsLib.evaluation.calibration import fit_temperature
from AcuteFindingsLib.progress import Progress, no_progress
from AcuteFindingsLib.trust.calibration import Calibration, Count, Held, Promise
from AcuteFindingsLib.trust.guarantees import (
    above_rank,
    allowed_wrong,
    below_rank,
    calls_needed,
    cases_needed,
    error_rank,
    value_threshold,
)
from AcuteFindingsLib.trust.site_results import SiteResults

REPEATS = 200
_PARTS = 5
# How many studies would do is tried at these multiples, with so many draws of each.
_MULTIPLES = (1.25, 1.5, 2.0, 2.5, 3.0, 4.0, 6.0, 8.0, 12.0)
_DRAWS = 60
_OFTEN = 0.8


@dataclass(frozen=True)
class Thresholds:
    """Below `negative_below` negative, from `positive_from` on positive; None where the studies support neither."""

    negative_below: float | None
    positive_from: float | None

    @property
    def whole(self) -> bool:
        """Whether both promises can be made."""
        return self.negative_below is not None and self.positive_from is not None


def find_thresholds(
    probabilities: np.ndarray,
    present: np.ndarray,
    promise: Promise,
    *,
    preferred: float,
    doubted: np.ndarray | None = None,
) -> Thresholds:
    """Return the thresholds that leave the least indeterminate under a promise.

    Parameters
    ----------
    probabilities, present
        ``(n,)`` of the studies, and whether each has the finding.
    promise
        What is to hold of later studies.
    preferred
        Where both promises hold at one threshold, leaving nothing indeterminate: the one to be near to, the model's.
    doubted
        ``(n,)`` bool: which are never called positive (`SiteResults.doubted`); none when None.
    """
    present = np.asarray(present, bool)
    eligible = np.ones_like(present) if doubted is None else ~doubted
    low: float | None = None
    high: float | None = None
    if promise.kind == "predictive values":
        if promise.confidence is None:
            raise CalibrationError(
                "Predictive values are promised with a confidence, not on average: leave out --average."
            )
        sure = promise.confidence
        high = value_threshold(probabilities[eligible], present[eligible], least=promise.positive, confidence=sure)
        mirrored = value_threshold(-probabilities, ~present, least=promise.negative, confidence=sure, lowest=-1.0)
        low = None if mirrored is None else -mirrored
    else:
        ill, well = probabilities[present], np.where(eligible, probabilities, -1.0)[~present]
        rank = error_rank(len(ill), 1 - promise.negative, promise.confidence)
        low = below_rank(ill, rank) if rank else None
        rank = error_rank(len(well), 1 - promise.positive, promise.confidence)
        high = above_rank(well, rank) if rank else None
    if low is not None and high is not None and high < low:
        low = high = min(max(preferred, high), low)
    return Thresholds(low, high)


def make_calibration(
    results: SiteResults,
    promise: Promise,
    *,
    site: str,
    made: date | None = None,
    repeats: int = REPEATS,
    seed: int = 0,
    progress: Progress = no_progress,
) -> Calibration:
    """Return the calibration of a site's studies.

    Parameters
    ----------
    results
        The studies.
    promise
        What is to hold of later studies.
    site
        Its name.
    made
        The day; today when None.
    repeats
        How often the studies are split to see what holds.
    seed
        Of the splits.

    Raises
    ------
    CalibrationError
        The studies are too few, or the model is not good enough at this site, for what is promised: says how many are
        needed.
    """
    present, probabilities, preferred = results.present, results.probabilities, results.model.threshold
    if present.all() or not present.any():
        which = "have" if present.all() else "lack"
        used = counted(results.count, "study")
        raise CalibrationError(
            f"A calibration needs studies with and without the finding; all that can be used ({used}) {which} it."
        )
    progress("Looking for thresholds", 0.0)
    found = find_thresholds(probabilities, present, promise, preferred=preferred, doubted=results.doubted)
    own = calls(probabilities, results.doubted, found)
    if found.negative_below is None or found.positive_from is None:
        raise CalibrationError(_too_few(results, promise, found, seed, progress))
    held = _held(results, promise, repeats, np.random.default_rng(seed), progress)
    return Calibration(
        site=site,
        detector=results.detector,
        model=results.model,
        made=made or date.today(),
        software=__version__,
        phantoms=results.phantoms,
        count=results.count,
        positives=results.positives,
        promise=promise,
        temperature=fit_temperature(present, probabilities),
        negative_below=found.negative_below,
        positive_from=found.positive_from,
        called_positive=int((own > 0).sum()),
        called_negative=int((own < 0).sum()),
        held=held,
        studies=tuple(sorted(results.studies, key=lambda study: -study.probability)),
    )


def kept_counts(called: np.ndarray, present: np.ndarray, kind: str) -> tuple[Count, Count, Count]:
    """Return how many calls were as promised, of how many: positive, negative; and how many studies were left open.

    Parameters
    ----------
    called
        ``(n,)``: 1 positive, -1 negative, 0 indeterminate.
    present
        ``(n,)`` bool: the truth.
    kind
        `Promise.kind`: predictive values count the right ones of the calls, error rates those of a class that are not
        called the opposite.
    """
    positive, negative = called > 0, called < 0
    if kind == "predictive values":
        plus = Count(hits=int((positive & present).sum()), of=int(positive.sum()))
        minus = Count(hits=int((negative & ~present).sum()), of=int(negative.sum()))
    else:
        plus = Count(hits=int((~positive & ~present).sum()), of=int((~present).sum()))
        minus = Count(hits=int((~negative & present).sum()), of=int(present.sum()))
    return plus, minus, Count(hits=int((called == 0).sum()), of=len(called))


def calls(probabilities: np.ndarray, doubted: np.ndarray, found: Thresholds) -> np.ndarray:
    """Return what thresholds call each study: 1 positive, -1 negative, 0 indeterminate; all of that without both."""
    if found.negative_below is None or found.positive_from is None:
        return np.zeros(len(probabilities), int)
    positive = (probabilities >= found.positive_from) & ~doubted
    return positive.astype(int) - (probabilities < found.negative_below)


def _held(
    results: SiteResults, promise: Promise, repeats: int, random: np.random.Generator, progress: Progress
) -> Held:
    """Return what studies get from thresholds made without them."""
    present, probabilities = results.present, results.probabilities
    counts, calibrated = np.zeros((3, 2)), 0
    for repeat in range(repeats):
        progress("Repeated splits", 0.1 + 0.9 * repeat / repeats)
        part = random.permutation(results.count) % _PARTS
        called = np.zeros(results.count, int)
        for number in range(_PARTS):
            own = part == number
            found = find_thresholds(
                probabilities[~own],
                present[~own],
                promise,
                preferred=results.model.threshold,
                doubted=results.doubted[~own],
            )
            calibrated += found.whole
            called[own] = calls(probabilities[own], results.doubted[own], found)
        counts += [(one.hits, one.of) for one in kept_counts(called, present, promise.kind)]
    positive, negative, indeterminate = (
        Count(hits=round(hits), of=round(of)) for hits, of in (counts / repeats).tolist()
    )
    return Held(
        repeats=repeats,
        calibrated=Count(hits=calibrated, of=repeats * _PARTS),
        positive=positive,
        negative=negative,
        indeterminate=indeterminate,
    )


def _too_few(results: SiteResults, promise: Promise, found: Thresholds, seed: int, progress: Progress) -> str:
    """Return the sentences that say what is lacking, and how many studies are needed."""
    if promise.kind == "error rates":
        lacking = [
            (results.positives, cases_needed(1 - promise.negative, promise.confidence), "with"),
            (results.count - results.positives, cases_needed(1 - promise.positive, promise.confidence), "without"),
        ]
        said = [f"{need} {word} the finding (there are {have})" for have, need, word in lacking if have < need]
        return f"Too few studies for this promise: it needs at least {' and at least '.join(said)}."
    sure = promise.confidence or 0.0
    sides = [
        (
            found.positive_from,
            "positive",
            promise.positive,
            results.present[~results.doubted],
            results.probabilities[~results.doubted],
        ),
        (found.negative_below, "negative", promise.negative, ~results.present, -results.probabilities),
    ]
    said = [
        _lacking(word, least, sure, right, scores)
        for threshold, word, least, right, scores in sides
        if threshold is None
    ]
    return f"{' '.join(said)} {_how_many(results, promise, seed, progress)}"


def _lacking(word: str, least: float, sure: float, right: np.ndarray, scores: np.ndarray) -> str:
    """Say what stands against one of the promises."""
    right = right[np.argsort(-scores, kind="stable")]
    said = (
        f"A promise of {100 * least:g} % for {word} verdicts with {100 * sure:g} % confidence needs at least "
        f"{calls_needed(least, sure)} such studies without an error"
    )
    if int(right.sum()) < calls_needed(least, sure):
        return f"{said}; here are {int(right.sum())}."
    boundary = allowed_wrong(len(right), least, sure)
    if boundary[-1] < 0:
        return f"{said}, and more where many thresholds are tried."
    start = int(np.argmax(boundary >= 0)) + 1
    return f"{said}; of the {start} that are most clearly so here {int((~right[:start]).sum())} are wrong."


def _how_many(results: SiteResults, promise: Promise, seed: int, progress: Progress) -> str:
    """Estimate how many studies would do, by drawing more of the same kind from those at hand."""
    random = np.random.default_rng(seed)
    for number, multiple in enumerate(_MULTIPLES):
        count = _round_up(multiple * results.count)
        progress(f"Trying {count} studies", number / len(_MULTIPLES))
        if _share(results, promise, count, random) >= _OFTEN:
            return (
                f"About {count} studies of the same kind are needed instead of {results.count}; or promise less "
                "(--ppv, --npv, --confidence), or promise --sensitivity and --specificity."
            )
    return (
        f"With studies like these even {count} would not do: the model makes too many errors here for this promise. "
        "Promise less (--ppv, --npv), or promise --sensitivity and --specificity."
    )


def _share(results: SiteResults, promise: Promise, count: int, random: np.random.Generator) -> float:
    """Return in what share of draws of `count` studies from those at hand both promises can be made."""
    made = 0
    for _ in range(_DRAWS):
        own = random.integers(0, results.count, count)
        probabilities, present = results.probabilities[own], results.present[own]
        made += find_thresholds(
            probabilities, present, promise, preferred=results.model.threshold, doubted=results.doubted[own]
        ).whole
    return made / _DRAWS


def _round_up(count: float) -> int:
    step = 10 if count < 200 else 50
    return int(-(-count // step) * step)
