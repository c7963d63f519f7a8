"""A site's calibration: between which probabilities this site's own studies support no plain verdict."""

import hashlib
from dataclasses import replace
from datetime import date
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, FiniteFloat

from AcuteFindingsLib.counting import counted
from AcuteFindingsLib.detectors.finding import Finding, VerdictLabel
from AcuteFindingsLib.detectors.verdict_words import is_forced
from AcuteFindingsLib.names import LONGEST, detector_name, plain_text
from AcuteFindingsLib.study.notice import Notice, merge_notices

UNSUPPORTED = "indeterminate: outside what this site's calibration supports"

_CLOSE = 1e-6
_MOST_STUDIES = 100_000

Share = Annotated[FiniteFloat, Field(ge=0, le=1)]
Promised = Annotated[FiniteFloat, Field(gt=0, lt=1)]
Name = Annotated[str, Field(max_length=LONGEST, pattern=r"^[^\n\t]+$"), AfterValidator(plain_text)]


class _Stored(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Promise(_Stored):
    """What a calibration promises of later studies.

    Attributes
    ----------
    kind
        ``"predictive values"``: of the studies called positive (negative) at least the share `positive` (`negative`)
        are. ``"error rates"``: of the studies without the finding at least the share `positive`, its specificity, is
        not called positive, and of those with it at least the share `negative`, its sensitivity, not negative.
    confidence
        With which each of the two holds, over the draw of the calibration studies; None for a promise on average over
        calibrations and later studies.
    """

    kind: Literal["predictive values", "error rates"]
    positive: Promised
    negative: Promised
    confidence: Promised | None = None

    @property
    def words(self) -> str:
        """The promise in one sentence, without a full stop."""
        if self.kind == "predictive values":
            said = (
                f"of the studies called positive at least {_percent(self.positive)} have the finding, and of those "
                f"called negative at least {_percent(self.negative)} do not"
            )
        else:
            said = (
                f"of the studies with the finding at most {_percent(1 - self.negative)} are called negative, and of "
                f"those without at most {_percent(1 - self.positive)} positive"
            )
        how = (
            "on average over calibrations"
            if self.confidence is None
            else f"with {_percent(self.confidence)} confidence"
        )
        return f"{said}, each {how}"


class Count(_Stored):
    """So many of so many, for example of the studies called positive those that have the finding."""

    hits: int = Field(ge=0)
    of: int = Field(ge=0)


class Held(_Stored):
    """What studies got whose calibration they took no part in: repeated splits into five parts.

    Attributes
    ----------
    repeats
        How often the studies were split.
    calibrated
        Of all parts: from the other four of how many the promise could be made. Where it could not, the studies of the
        part count as indeterminate.
    positive, negative
        Of those called so, or of the class (`Promise.kind`), how many as promised; the mean over the repeats, rounded.
    indeterminate
        Of all studies; the mean over the repeats, rounded.
    """

    repeats: int = Field(ge=1)
    calibrated: Count
    positive: Count
    negative: Count
    indeterminate: Count


class CalibratedModel(_Stored):
    """Whose probabilities were calibrated; `threshold` is the operating point of its own rule."""

    id: Name
    version: Name
    sha256: Name
    threshold: Share


class SiteStudy(_Stored):
    """What is kept of one study of the calibration to compare later ones with; nothing of it names anybody.

    Attributes
    ----------
    probability
        Of the verdict.
    features
        As its finding's likeness holds them.
    acquisition
        How its images were made, as its finding states it.
    """

    probability: Share
    features: dict[str, FiniteFloat] = {}
    acquisition: dict[str, Any] = {}


class Calibration(_Stored):
    """A calibration of one model on one site's studies.

    Attributes
    ----------
    site
        The site's name.
    detector, model
        Whose verdicts it changes.
    made
        The day.
    phantoms
        Whether it was made from phantoms, for which alone it then holds.
    count, positives
        How many studies it was made from, and how many of them have the finding.
    temperature
        By which the logit of a probability is divided, so that 0.8 means eight in ten at this site.
    negative_below, positive_from
        Probabilities below the first are negative, from the second on positive, between them indeterminate. Equal where
        the promise leaves nothing indeterminate.
    called_positive, called_negative
        How many of the calibration's own studies are called so.
    held
        What repeated splits gave.
    studies
        Its studies, by falling probability.
    """

    format: Literal[1] = 1
    site: Name
    detector: Annotated[str, AfterValidator(detector_name)]
    model: CalibratedModel
    made: date
    software: Name
    phantoms: bool = False
    count: int = Field(ge=1, le=_MOST_STUDIES)
    positives: int = Field(ge=0, le=_MOST_STUDIES)
    promise: Promise
    temperature: Annotated[FiniteFloat, Field(gt=0)]
    negative_below: Annotated[FiniteFloat, Field(ge=0, le=1)]
    positive_from: Annotated[FiniteFloat, Field(ge=0, lt=2)]
    called_positive: int = Field(ge=0)
    called_negative: int = Field(ge=0)
    held: Held | None = None
    studies: Annotated[tuple[SiteStudy, ...], Field(max_length=_MOST_STUDIES)] = ()

    def model_post_init(self, _context: Any) -> None:
        """Raise `ValueError` where the two probabilities stand the wrong way round."""
        if self.negative_below > self.positive_from:
            raise ValueError("negative_below is above positive_from")

    @property
    def name(self) -> str:
        """As verdicts name it: site, number of studies and day."""
        return f"{self.site}, {counted(self.count, 'study')}, {self.made.isoformat()}"

    @property
    def digest(self) -> str:
        """Names the content, whatever file it is in."""
        return hashlib.sha256(self.model_dump_json().encode()).hexdigest()[:16]

    @property
    def prevalence(self) -> float:
        """Share of the calibration's studies that have the finding."""
        return self.positives / self.count

    def label(self, probability: float) -> VerdictLabel:
        """Return the verdict on a study of this probability."""
        if probability >= self.positive_from:
            return "positive"
        return "negative" if probability < self.negative_below else "indeterminate"

    def scaled(self, probability: float) -> float:
        """Return the probability after this site's temperature."""
        from scipy.special import expit, logit

        return float(expit(logit(min(max(probability, 1e-7), 1 - 1e-7)) / self.temperature))


def calibrated(finding: Finding, calibration: Calibration) -> Finding:
    """Return a finding with the verdict that a site's calibration leaves; its probability stays the model's.

    The calibration is one of this finding's detector and model (`unsuited`).
    """
    verdict = finding.verdict
    label = calibration.label(verdict.probability)
    said = f"By the calibration of {calibration.name}: the probability of {verdict.probability:.3f} "
    limits = f"{calibration.negative_below:.3f} and {calibration.positive_from:.3f}"
    if label == "positive":
        said += f"reaches {calibration.positive_from:.3f}, from which on this site's studies support positive"
    elif label == "negative":
        said += f"is below {calibration.negative_below:.3f}, under which this site's studies support negative"
    else:
        said += f"lies between {limits}, so the verdict is {UNSUPPORTED}"
    said += f"; after this site's temperature it is {calibration.scaled(verdict.probability):.2f}."
    return replace(
        finding,
        warnings=merge_notices(finding.warnings, (promised(calibration),)),
        verdict=replace(
            verdict,
            label=label,
            explanation=f"{verdict.explanation} {said}",
            by_rule=verdict.label if verdict.by_rule is None and label != verdict.label else verdict.by_rule,
            calibration=calibration.name,
        ),
    )


def unsuited(finding: Finding, calibration: Calibration) -> Notice | None:
    """Return why a calibration says nothing of a finding of its own model; None where it does."""
    if is_forced(finding):
        why = "the study was refused and analyzed all the same"
    elif finding.phantom and not calibration.phantoms:
        why = "it was made from patients, and this is a phantom"
    elif calibration.phantoms and not finding.phantom:
        why = "it was made from phantoms, and this is none"
    elif abs(finding.verdict.threshold - calibration.model.threshold) > _CLOSE:
        why = (
            f"it was made with the operating point {calibration.model.threshold:.3f}, and this verdict rests on "
            f"{finding.verdict.threshold:.3f}: calibrate again"
        )
    else:
        return None
    text = f"The calibration of {calibration.name} was not applied: {why}. The verdict is by the model's own rule."
    return Notice("calibration-not-applied", "info" if finding.phantom else "warn", text)


def promised(calibration: Calibration) -> Notice:
    """Say what a verdict by this calibration promises, and where that ends."""
    text = f"The verdict is by the calibration of {calibration.name}, which promises: {calibration.promise.words}"
    if calibration.promise.kind == "predictive values":
        text += f", as long as about {_percent(round(calibration.prevalence, 2))} of the studies have the finding"
    return Notice("site-calibration", "info", f"{text}.")


def _percent(share: float) -> str:
    return f"{round(100 * share, 2):g} %"
