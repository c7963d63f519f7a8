"""From what a model's rule says to what is shown: reasons to check, likeness, and the site's calibration."""

from dataclasses import replace

from AcuteFindingsLib.detectors.finding import Finding
from AcuteFindingsLib.detectors.kind import DetectorKind
from AcuteFindingsLib.models.package import ModelPackage
from AcuteFindingsLib.study.notice import merge_notices
from AcuteFindingsLib.study.study import Study
from AcuteFindingsLib.trust.calibration import Calibration, calibrated, unsuited
from AcuteFindingsLib.trust.likeness import ImageSet, after_likeness, likeness_of
from AcuteFindingsLib.trust.reasons import doubted, reasons_of
from AcuteFindingsLib.trust.site_images import site_images


def weigh(
    finding: Finding,
    study: Study,
    *,
    kind: DetectorKind,
    package: ModelPackage,
    calibration: Calibration | None = None,
) -> Finding:
    """Return a finding with its reasons, its study's likeness, and the verdict that these leave.

    Parameters
    ----------
    finding
        As the detector gave it, with the warnings of the check.
    study
        What it was found in.
    kind, package
        The detector and the model of the verdict.
    calibration
        That of the site for this model; None where there is none.
    """
    further: tuple[ImageSet, ...] = ()
    if calibration is not None:
        doubt = unsuited(finding, calibration)
        if doubt is None:
            finding, further = calibrated(finding, calibration), site_images(calibration, package)
        else:
            finding = replace(finding, warnings=merge_notices(finding.warnings, (doubt,)))
    likeness = likeness_of(study, kind=kind, package=package, further=further)
    verdict = after_likeness(finding.verdict, likeness)
    reasons = reasons_of(study, finding, kind)
    return doubted(replace(finding, verdict=verdict, likeness=likeness, reasons=reasons), kind)
