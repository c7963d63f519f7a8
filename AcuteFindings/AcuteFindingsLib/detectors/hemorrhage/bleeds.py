"""How much blood a mask of a three-dimensional network holds, and how dense it is; the rule that decides by it."""

import numpy as np

from AcuteFindingsLib.detectors.finding import Measurement
from AcuteFindingsLib.detectors.hemorrhage.detector import HU, density_notices
from AcuteFindingsLib.detectors.hemorrhage.volumes import blood_volumes
from AcuteFindingsLib.detectors.measure import Density
from AcuteFindingsLib.detectors.volume_finding import MOST_PARTS, Measured
from AcuteFindingsLib.detectors.volume_rule import Parts, VolumeRule
from AcuteFindingsLib.preprocessing.orient import Axial
from AcuteFindingsLib.study.study import Study


class BleedVolumeRule(VolumeRule):
    """The rule on connected volume, with what bleeds ask for.

    Attributes
    ----------
    minimum_mm3
        No source publishes one. 100 mm³ is about what the rule of the usual models asks for: three neighboring slices
        (docs/sources.md 4) of 3 to 5 mm, with 10 mm² of bleed in each.
    """

    minimum_mm3: float = 100.0


def measure_bleeds(study: Study, axial: Axial, mask: np.ndarray, parts: Parts) -> Measured:
    """Measure bleeds, as `detectors.volume_finding.Measure`: volumes, ABC/2, and the density of each."""
    items = blood_volumes(axial.view(mask), axial.spacing)
    outlines = []
    for number, part in enumerate(parts.found[:MOST_PARTS], start=1):
        values = study.array[part.box][parts.within(part)]
        mean, high = float(values.mean()), float(np.percentile(values, 95))
        outlines.append(Density(mean, high, part.volume_mm3 / 1000))
        items += [
            Measurement(f"Volume of outline {number}", part.volume_mm3 / 1000, "mL"),
            Measurement(f"Peak probability of outline {number}", part.peak, "1"),
            Measurement(f"Mean density of outline {number}", mean, HU),
            Measurement(f"95th percentile of density of outline {number}", high, HU),
        ]
    return items, density_notices(outlines)
