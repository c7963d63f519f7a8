"""How much blood an outline holds."""

from collections.abc import Mapping

import numpy as np

from AcuteFindingsLib.detectors.finding import Code, Measurement
from AcuteFindingsLib.detectors.measure import abc_half, volume_ml


def blood_volumes(
    mask: np.ndarray, spacing: tuple[float, float, float], *, parts: Mapping[str, np.ndarray] | None = None
) -> list[Measurement]:
    """Return the volume of all blood, of each part, and ABC/2 of the largest bleed with its diameters.

    Parameters
    ----------
    mask
        ``(z, y, x)``, not 0 where there is blood.
    spacing
        ``(z, y, x)`` in mm.
    parts
        Further masks whose volumes are told, by name.
    """
    items = [Measurement("Hemorrhage volume", volume_ml(mask, spacing), "mL", Code("SCT", "118565006", "Volume"))]
    items += [Measurement(f"{name} volume", volume_ml(part, spacing), "mL") for name, part in (parts or {}).items()]
    estimate = abc_half(mask, spacing)
    if estimate:
        items += [
            Measurement("ABC/2 volume of the largest bleed", estimate.volume_ml, "mL"),
            Measurement("A (largest diameter)", estimate.a_mm, "mm"),
            Measurement("B (diameter across)", estimate.b_mm, "mm"),
            Measurement("C (height)", estimate.c_mm, "mm"),
        ]
    return items
