"""The verdict in the few lines that a slice view's corner has room for."""

from AcuteFindingsLib import RESEARCH_USE_ONLY
from AcuteFindingsLib.detectors.finding import Finding
from AcuteFindingsLib.detectors.verdict_words import APART
from AcuteFindingsLib.scene.naming import verdict_line


def corner_text(finding: Finding) -> str:
    """Return verdict and probability, what marks it, the model, and that this is for research only: a line each."""
    model = finding.model
    return f"{verdict_line(finding).replace(APART, chr(10))}\n{model.id} {model.version}\n{RESEARCH_USE_ONLY}"
