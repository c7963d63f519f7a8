"""The verdict in the few lines that a slice view's corner has room for."""

from AcuteFindingsLib import RESEARCH_USE_ONLY
from AcuteFindingsLib.detectors.finding import Finding
from AcuteFindingsLib.detectors.verdict_words import APART, FORCED, is_forced, marks
from AcuteFindingsLib.detectors.wording import names_of
from AcuteFindingsLib.scene.naming import verdict_line

WIDE = 480
"""Pixels from which on a view has room for a line of `RESEARCH_USE_ONLY`, in the letters of Slicer's corner texts."""

_RESEARCH = "research only"


def corner_text(finding: Finding, *, width: int = WIDE) -> str:
    """Return verdict and probability, what marks it, and that this is for research only.

    A view of `width` pixels from `WIDE` on has room for the finding's full name and for the model, a line each; the
    lines for a narrower one fit 300 pixels: ``"PE: POSITIVE 1.00 · research only"``.
    """
    model, verdict = finding.model, finding.verdict
    if width >= WIDE:
        return f"{verdict_line(finding).replace(APART, chr(10))}\n{model.id} {model.version}\n{RESEARCH_USE_ONLY}"
    said = f"{names_of(finding.detector).short}: {verdict.label.upper()} {verdict.probability:.2f}"
    forced = (FORCED,) if is_forced(finding) else ()
    shown = marks(finding, short=True)
    if not forced and not shown:
        return f"{said}{APART}{_RESEARCH}"
    return "\n".join((*forced, said, APART.join((*shown, _RESEARCH))))
