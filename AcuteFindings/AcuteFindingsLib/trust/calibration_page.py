"""What a calibration promised and what it held, in figures with intervals, and a page that shows them."""

from pathlib import Path

from pydantic import BaseModel

from AcuteFindingsLib.evaluation.operating_points import proportion
from AcuteFindingsLib.pages.charts import verdict_zones
from AcuteFindingsLib.pages.page import render, write_page
from AcuteFindingsLib.trust.calibrate import Thresholds, calls, kept_counts
from AcuteFindingsLib.trust.calibration import Calibration, Count, Held
from AcuteFindingsLib.trust.site_results import SiteResults

_SELDOM = 0.8
_SIGN = {"positive": 1, "negative": -1, "indeterminate": 0}


class PromiseFigure(BaseModel):
    """One promise, or the share left open: as promised, in splits, of the own studies, by the model's own rule."""

    name: str
    promised: str
    held: str
    own: str
    by_rule: str


def figures_of(calibration: Calibration, results: SiteResults) -> list[PromiseFigure]:
    """Return the figures of a calibration, each share with its count and 95 % interval (Wilson)."""
    import numpy as np

    promise, held = calibration.promise, calibration.held
    found = Thresholds(calibration.negative_below, calibration.positive_from)
    own = kept_counts(calls(results.probabilities, results.doubted, found), results.present, promise.kind)
    rule = kept_counts(np.array([_SIGN[label] for label in results.by_rule]), results.present, promise.kind)
    names = (
        ("positive verdicts that are right (PPV)", "negative verdicts that are right (NPV)")
        if promise.kind == "predictive values"
        else ("without the finding, not called positive", "with the finding, not called negative")
    )
    splits = (held.positive, held.negative, held.indeterminate) if held else (None, None, None)
    promised = (f"≥ {promise.positive:g}", f"≥ {promise.negative:g}", "")
    return [
        PromiseFigure(name=name, promised=said, held=share_text(split), own=share_text(one), by_rule=share_text(other))
        for name, said, split, one, other in zip((*names, "indeterminate"), promised, splits, own, rule, strict=True)
    ]


def share_text(count: Count | None) -> str:
    """Return a share with its count and interval: ``"0.95 (0.87 to 0.98), 57 of 60"``."""
    if count is None or count.of == 0:
        return "–"
    figure = proportion(count.hits, count.of)
    span = figure.intervals[0]
    return f"{count.hits / count.of:.3f} ({span.low:.3f} to {span.high:.3f}), {count.hits} of {count.of}"


def notes_of(calibration: Calibration, results: SiteResults) -> list[str]:
    """Return what a reader of the figures must know, in sentences."""
    promise, notes = calibration.promise, []
    prevalence = proportion(calibration.positives, calibration.count)
    span = prevalence.intervals[0]
    shares = f"{100 * calibration.prevalence:.0f} % (95 % interval {100 * span.low:.0f} to {100 * span.high:.0f} %)"
    if promise.kind == "predictive values":
        notes.append(
            f"Predictive values depend on how many studies have the finding: here {shares}. They are promised for "
            "studies drawn as these were, not where studies with the finding were added on purpose."
        )
        notes += [
            f"{100 * share:.1f} % of the studies {word} the finding, so calling every study {called} would keep the "
            f"promise of {100 * least:g} %: promise --sensitivity and --specificity instead."
            for share, least, word, called in (
                (1 - calibration.prevalence, promise.negative, "lack", "negative"),
                (calibration.prevalence, promise.positive, "have", "positive"),
            )
            if share >= least
        ]
    if calibration.held is not None:
        notes += _splits(calibration.held)
    if promise.confidence is None:
        notes.append(
            "On average means over calibrations and later studies together: with these very thresholds the shares may "
            "be lower. Leave out --average for a promise of these thresholds."
        )
    elif promise.kind == "predictive values":
        notes.append("Assumed is that where the probability is higher the finding is not rarer.")
    if results.phantoms:
        notes.append("Made from phantoms: it is applied to phantoms alone.")
    return notes


def _splits(held: Held) -> list[str]:
    share = held.calibrated.hits / held.calibrated.of
    if share >= _SELDOM:
        return []
    return [
        f"From four fifths of the studies the promise could be made in {100 * share:.0f} % of {held.calibrated.of} "
        "splits only (studies of the others count as indeterminate): the studies just suffice. The confidence is that "
        "of the whole procedure, which also ends without thresholds; more studies make it safer."
    ]


def write_calibration_page(calibration: Calibration, results: SiteResults, target: Path) -> Path:
    """Write the page of a calibration; raises `ExportError` where it cannot be written."""
    chart = verdict_zones(
        results.probabilities[results.present],
        results.probabilities[~results.present],
        negative_below=calibration.negative_below,
        positive_from=calibration.positive_from,
    )
    return write_page(
        render(
            "calibration.html.jinja",
            calibration=calibration,
            figures=figures_of(calibration, results),
            notes=[*results.notices, *notes_of(calibration, results)],
            chart=chart,
        ),
        target,
    )
