"""A chest CT on a grid of about 2 mm, with its lungs: what the reasons of a verdict are measured on."""

from dataclasses import dataclass

import numpy as np

from AcuteFindingsLib.preprocessing.orient import Axial, to_axial
from AcuteFindingsLib.study.content import CtContent, block_means, ct_content
from AcuteFindingsLib.study.study import Study

STEP_MM = (3.0, 2.0, 2.0)
"""About the size of a voxel, ``(z, y, x)``: averages noise away and keeps a septum."""

LEAST_COSINE = 0.9
"""A stack that is turned further from the patient's axes (26°) has no axial planes to measure in."""


@dataclass(frozen=True)
class Chest:
    """A chest CT as the reasons see it.

    Attributes
    ----------
    hu
        ``(z, y, x)`` float32: slices from inferior to superior, rows from anterior to posterior, columns from the
        patient's right to the left.
    spacing
        ``(z, y, x)`` mm.
    factors
        How many voxels of `axial` each of these holds.
    lungs
        bool like `hu`.
    content
        The study on the coarse grid of the checks.
    axial
        The study in axial order.
    """

    hu: np.ndarray
    spacing: tuple[float, float, float]
    factors: tuple[int, ...]
    lungs: np.ndarray
    content: CtContent
    axial: Axial

    @property
    def lung_cm2(self) -> np.ndarray:
        """Area of lung in each slice, ``(z,)``."""
        return np.asarray(self.lungs.sum(axis=(1, 2)) * (self.spacing[1] * self.spacing[2] / 100))


def chest_of(study: Study) -> Chest | None:
    """Bring a CT to the working grid; None where it holds no Hounsfield units, or is turned or too thin to measure."""
    if study.intensity != "HU" or min(study.array.shape) < 2:
        return None
    axial = to_axial(study)
    directions = np.abs(axial.ijk_to_ras[:3, :3] / np.linalg.norm(axial.ijk_to_ras[:3, :3], axis=0))
    if np.diag(directions).min() < LEAST_COSINE:
        return None
    content = ct_content(study)
    factors = tuple(
        min(count, max(1, round(wanted / step)))
        for count, step, wanted in zip(axial.array.shape, axial.spacing, STEP_MM, strict=True)
    )
    hu = block_means(axial.array, factors)
    spacing = tuple(step * factor for step, factor in zip(axial.spacing, factors, strict=True))
    places = [
        np.minimum((np.arange(count) + 0.5) * step / coarse, cells - 1).astype(int)
        for count, step, coarse, cells in zip(hu.shape, spacing, content.spacing, content.lungs.shape, strict=True)
    ]
    return Chest(hu, (spacing[0], spacing[1], spacing[2]), factors, content.lungs[np.ix_(*places)], content, axial)
