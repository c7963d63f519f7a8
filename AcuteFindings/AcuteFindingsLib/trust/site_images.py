"""The studies that a model was calibrated on, as images that others are held against."""

from AcuteFindingsLib.models.package import ModelPackage
from AcuteFindingsLib.trust.calibration import Calibration
from AcuteFindingsLib.trust.likeness import ImageSet
from AcuteFindingsLib.trust.likeness_fit import LEAST_IMAGES, fit_images, usable_features

_KEPT = 0.98


def site_images(calibration: Calibration, package: ModelPackage) -> tuple[ImageSet, ...]:
    """Return the studies of a site's calibration as a set; none where they are too few or do not say their features.

    A model made from phantoms alone has none: studies that it was calibrated on do not make it one of patients.
    """
    if package.card.training_data.phantoms_only:
        return ()
    rows = [dict(study.features) for study in calibration.studies if study.features]
    if len(rows) < LEAST_IMAGES or not usable_features(rows):
        return ()
    return (fit_images(rows, name="site", told=f"calibration studies of {calibration.site}", kept=_KEPT),)
