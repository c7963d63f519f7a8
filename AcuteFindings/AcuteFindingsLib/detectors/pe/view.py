"""What several reasons of a verdict on pulmonary embolism need of a study, found once."""

from dataclasses import dataclass

import numpy as np

from AcuteFindingsLib.detectors.finding import Finding
from AcuteFindingsLib.detectors.pe.chest import Chest, chest_of
from AcuteFindingsLib.detectors.pe.sides import plane_between
from AcuteFindingsLib.detectors.pe.vessels import DenseVein, brightest_blood_hu, dense_vein, find_carina, trunk_hu
from AcuteFindingsLib.study.blood_pool import blood_pool_hu
from AcuteFindingsLib.study.study import Study

SOURCE = "docs/sources.md 11"
HU = "[hnsf'U]"

LEAST_HU = 100.0
"""Blood that has less has no contrast agent in it, or next to none: unenhanced blood has 30 to 60 HU."""

MIDDLE_MM = 12.0


@dataclass(frozen=True)
class View:
    """A study as the reasons see it.

    Attributes
    ----------
    finding
        Of this study.
    chest
        The study on the working grid.
    blood_hu
        Attenuation of the blood between the lungs; None where it is not in the field.
    trunk
        Attenuation of the pulmonary trunk and the slice of the working grid it is measured in; None where it was not
        found.
    vein
        A vein full of undiluted contrast agent.
    middle
        The column of the axial view between right and left; None where that is not known.
    """

    finding: Finding
    chest: Chest
    blood_hu: float | None
    trunk: tuple[float, int] | None
    vein: DenseVein | None
    middle: float | None

    @property
    def opacified_hu(self) -> float | None:
        """Attenuation of the blood in which clot would be seen; None where none has contrast agent in it."""
        hu = self.trunk[0] if self.trunk else self.blood_hu
        return hu if hu is not None and hu >= LEAST_HU else None

    def index(self, z: float) -> int | None:
        """Return the `SliceResult.index` nearest to a plane of the axial view; None where they do not match."""
        axial = self.chest.axial
        at = axial.source_z if np.isfinite(axial.source_z).all() else np.arange(len(axial.array), dtype=float)
        if len(at) != len(self.finding.slices) or not len(at):
            return None
        return self.finding.slices[int(np.abs(at - z).argmin())].index

    def side(self, x: float) -> str:
        """Say on which side of the chest a column of the axial view lies; nothing where that is not known."""
        if self.middle is None:
            return ""
        away = (x - self.middle) * self.chest.axial.spacing[2]
        if abs(away) <= MIDDLE_MM:
            return "near the midline"
        return "on the right" if away < 0 else "on the left"


def view_of(study: Study, finding: Finding) -> View | None:
    """Look at a study; None where nothing can be measured on it (`chest_of`)."""
    chest = chest_of(study)
    if chest is None:
        return None
    blood = blood_pool_hu(study, content=chest.content)
    carina = find_carina(chest)
    middle = None
    if carina is not None:
        middle = (carina.x + 0.5) * chest.factors[2] - 0.5
    else:
        split = plane_between(chest.content.lungs, chest.content.spacing)
        if split is not None:
            middle = (split + 0.5) * chest.content.spacing[2] / chest.axial.spacing[2] - 0.5
    vein = dense_vein(chest, blood) if blood is not None else None
    trunk = trunk_hu(chest, carina, blood) if carina is not None and blood is not None else None
    if trunk is None and blood is not None and blood < LEAST_HU:
        blood = brightest_blood_hu(chest, vein) or blood
    return View(finding, chest, blood, trunk, vein, middle)
