"""From what a model's rule says to what is shown: reasons to check, likeness, and the site's calibration."""

import logging
from dataclasses import replace

from AcuteFindingsLib.detectors.finding import Finding
from AcuteFindingsLib.detectors.kind import DetectorKind
from AcuteFindingsLib.models.package import ModelPackage
from AcuteFindingsLib.study.notice import Notice, merge_notices
from AcuteFindingsLib.study.study import Study
from AcuteFindingsLib.trust.calibration import Calibration, calibrated, unsuited
from AcuteFindingsLib.trust.likeness import ImageSet, after_likeness, likeness_of, unmeasured
from AcuteFindingsLib.trust.reasons import doubted, reasons_of
from AcuteFindingsLib.trust.site_images import site_images

_log = logging.getLogger(__name__)


def weigh(
    finding: Finding,
    study: Study,
    *,
    kind: DetectorKind,
    package: ModelPackage,
    calibration: Calibration | None = None,
) -> Finding:
    """Return a finding with its reasons, its study's likeness, and the verdict that these leave.

    A fault in one of them does not cost the finding: a warning says what is missing. Where likeness failed, the study
    counts as unlike the images of a model of which these are known.

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
    failed: list[Notice] = []
    try:
        likeness = likeness_of(study, kind=kind, package=package, further=further)
    except Exception as error:
        likeness = unmeasured(kind, package, further)
        failed.append(_failure("likeness-failed", "How like the study is to the model's images", error))
    try:
        reasons = reasons_of(study, finding, kind)
    except Exception as error:
        reasons = ()
        failed.append(_failure("reasons-failed", "What speaks for and against the verdict in the images", error))
    verdict = after_likeness(finding.verdict, likeness)
    warnings = merge_notices(finding.warnings, failed)
    return doubted(replace(finding, verdict=verdict, likeness=likeness, reasons=reasons, warnings=warnings), kind)


def _failure(code: str, what: str, error: Exception) -> Notice:
    """Say what a fault of the program left out; the error's own words, which may name a file, go to the log alone."""
    _log.error("%s was not measured.", what, exc_info=error)
    text = f"{what} was not measured, because the program failed there ({type(error).__name__}); report this, please."
    return Notice(code, "warn", text)
