"""What a reader can check of a verdict: the rules are the detector's own (`DetectorKind.reasons`)."""

from dataclasses import replace

from AcuteFindingsLib.detectors.finding import Finding, Reason
from AcuteFindingsLib.detectors.kind import DetectorKind
from AcuteFindingsLib.models.task import load_reference
from AcuteFindingsLib.study.study import Study


def reasons_of(study: Study, finding: Finding, kind: DetectorKind) -> tuple[Reason, ...]:
    """Return the reasons of a finding; none where the detector has no rules for them."""
    if not kind.reasons:
        return ()
    reasons: tuple[Reason, ...] = load_reference(kind.reasons)(study, finding)
    return reasons


def doubted(finding: Finding, kind: DetectorKind) -> Finding:
    """Return a finding whose positive verdict is indeterminate where one of its reasons says so (`kind.doubts`)."""
    verdict = finding.verdict
    against = [reason.text for reason in finding.reasons if reason.code in kind.doubts]
    if verdict.label != "positive" or not against:
        return finding
    explanation = f"{verdict.explanation} Indeterminate, because of what is measured there: {' '.join(against)}"
    changed = replace(verdict, label="indeterminate", by_rule=verdict.by_rule or "positive", explanation=explanation)
    return replace(finding, verdict=changed)
