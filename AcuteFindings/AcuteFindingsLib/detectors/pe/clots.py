"""How much clot a mask of pulmonary emboli holds, clot by clot and side by side."""

import numpy as np

from AcuteFindingsLib.detectors.finding import Code, Measurement
from AcuteFindingsLib.detectors.pe.sides import side_volumes
from AcuteFindingsLib.detectors.volume_finding import MOST_PARTS, Measured, volume_text
from AcuteFindingsLib.detectors.volume_rule import Parts
from AcuteFindingsLib.preprocessing.orient import Axial
from AcuteFindingsLib.study.notice import Notice
from AcuteFindingsLib.study.study import Study

MOST_ML = 500.0
"""The vessels of both lungs of an adult hold about a tenth of five liters of blood; no clot is larger."""

_VOLUME = Code("SCT", "118565006", "Volume")


def measure_clots(study: Study, axial: Axial, mask: np.ndarray, parts: Parts) -> Measured:
    """Measure clots, as `detectors.volume_finding.Measure`.

    The sides are told where the lungs can be told apart. Which artery a clot lies in is not measured, so nothing is
    said of central or peripheral.
    """
    found = parts.found
    together = sum(part.volume_mm3 for part in found)
    items = [
        Measurement("Number of clots", float(len(found)), "1"),
        Measurement("Volume of all clots", together, "mm3", _VOLUME),
    ]
    sides = side_volumes(study, axial, axial.view(mask))
    if sides is not None:
        items += [
            Measurement("Volume of clot in the right lung", sides.right, "mm3"),
            Measurement("Volume of clot in the left lung", sides.left, "mm3"),
            Measurement("Volume of clot elsewhere (mediastinum, hila, lung without air)", sides.elsewhere, "mm3"),
        ]
    for number, part in enumerate(found[:MOST_PARTS], start=1):
        items += [
            Measurement(f"Volume of clot {number}", part.volume_mm3, "mm3"),
            Measurement(f"Peak probability of clot {number}", part.peak, "1"),
        ]
    if together / 1000 <= MOST_ML:
        return items, ()
    text = (
        f"What is drawn holds {volume_text(together)}, more than all vessels of the lungs (about {MOST_ML:.0f} mL). "
        "It cannot be clot; do not rely on the verdict."
    )
    return items, (Notice("more-clot-than-vessels", "warn", text),)
