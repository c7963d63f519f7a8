"""From what a model's rule says to what is shown: reasons to check, likeness, and the site's calibration."""

from dataclasses import replace

from AcuteFindingsLib.detectors.finding import Finding
from AcuteFindingsLib.detectors.kind import DetectorKind
from AcuteFindingsLib.models.package import ModelPackage
from AcuteFindingsLib.study.study import Study
from AcuteFindingsLib.trust.reasons import doubted, reasons_of


def weigh(finding: Finding, study: Study, *, kind: DetectorKind, package: ModelPackage) -> Finding:  # noqa: ARG001
    """Return a finding with its reasons, its study's likeness, and the verdict that these leave.

    Parameters
    ----------
    finding
        As the detector gave it, with the warnings of the check.
    study
        What it was found in.
    kind, package
        The detector and the model of the verdict.
    """
    return doubted(replace(finding, reasons=reasons_of(study, finding, kind)), kind)
