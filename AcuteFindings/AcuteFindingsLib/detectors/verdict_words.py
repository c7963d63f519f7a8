"""The words of a verdict: the same in panel, scene, pictures, report, DICOM, list and terminal."""

from AcuteFindingsLib.detectors.finding import Bearing, Finding, Likeness, ModelIdentity
from AcuteFindingsLib.study.notice import refusals

FORCED = "REFUSED, FORCED"
"""Stands before the verdict on a study that the check refused and a person had analyzed all the same."""

APART = " · "
"""Between the verdict and each of its marks."""

BEARINGS: dict[Bearing, tuple[str, str]] = {
    "for": ("+", "For"),
    "against": ("−", "Against"),
    "caution": ("!", "Caution"),
    "looked": ("○", "Looked at"),
}
"""Sign and word of what a reason is to the finding; no color is needed to tell them apart."""


def is_forced(finding: Finding) -> bool:
    """Whether the check refused the study and the detector was run all the same."""
    return bool(refusals(finding.warnings))


def marks(finding: Finding, *, short: bool = False) -> tuple[str, ...]:
    """Return what has to stand beside the word of the verdict; nothing where it can stand alone.

    A model that never saw what it is asked about (`Card.never_saw`) says so, but of a phantom, which is what it saw. A
    study unlike the model's own images says so, and so does a verdict by a site's calibration.
    """
    said: list[str] = []
    unseen = finding.model.never_saw
    if unseen and not finding.phantom:
        said.append("demonstration model" if short else f"demonstration model, never saw {unseen}")
    if is_unlike(finding):
        said.append("unlike its images" if short else "unlike the images that this model was made from")
    if finding.verdict.calibration:
        said.append(f"calibrated for {finding.verdict.calibration}")
    return tuple(said)


def is_unlike(finding: Finding) -> bool:
    """Whether the study is unlike the images that its model was made from."""
    return finding.likeness is not None and finding.likeness.label == "unlike"


def likeness_words(likeness: Likeness) -> str:
    """Return what is known of a study's likeness to the model's own images, in one or two sentences."""
    if likeness.label == "unknown":
        return "Whether this study is like the images that the model was made from is not known: none were described."
    distance = "" if likeness.distance is None else f" (distance {likeness.distance:.2f}, limit 1)"
    said = f"This study is {likeness.label} the images that the model was made from{distance}"
    what = f": {'; '.join(likeness.unlike)}" if likeness.unlike else ""
    made = f" The limit was set on {likeness.made_from}." if likeness.made_from else ""
    return f"{said}{what}.{made}"


def verdict_words(finding: Finding, *, word: str = "", probability: bool = False, short: bool = False) -> str:
    """Return the verdict as it is shown everywhere.

    For example ``"REFUSED, FORCED: POSITIVE · demonstration model, never saw a patient"``.

    Parameters
    ----------
    word
        The word itself, where a place has its own (translated, with a symbol); by default the label in capitals.
    probability
        Name it after the word: ``"POSITIVE, probability 0.93"``.
    short
        The marks in fewer words, for a selector or a narrow column.
    """
    verdict = finding.verdict
    said = word or verdict.label.upper()
    if probability:
        said = f"{said}, probability {verdict.probability:.2f}"
    if is_forced(finding):
        said = f"{FORCED}: {said}"
    return APART.join((said, *marks(finding, short=short)))


def computed_words(model: ModelIdentity) -> str:
    """Return what computed a result, and where; companions where theirs is another. Empty where it is not known.

    For example ``"ONNX Runtime 1.32.0 on cuda; lungs by PyTorch 2.14.0 on cpu"``.
    """
    if not model.runtime:
        return ""
    others = [item for item in model.beside if (item.runtime, item.device) != (model.runtime, model.device)]
    said = (f"{model.runtime} on {model.device}", *(f"{o.task} by {o.runtime} on {o.device}" for o in others))
    return "; ".join(said)
