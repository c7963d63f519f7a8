"""What a reader can check of a verdict: the rules are the detector's own (`DetectorKind.reasons`)."""

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
