"""Which slice of a finding lies at a place of the axial grid."""

from dataclasses import dataclass

import numpy as np

from AcuteFindingsLib.preprocessing.orient import Axial
from AcuteFindingsLib.study.study import Study


@dataclass(frozen=True)
class Slices:
    """`planes` ``(n,)``: where the slices of a finding lie on the axial grid; `indices`: their `SliceResult.index`."""

    planes: np.ndarray
    indices: np.ndarray
    step_mm: float

    def at_plane(self, plane: float) -> int:
        """Return the index of the slice nearest to a plane of the axial grid."""
        return int(self.indices[np.abs(self.planes - plane).argmin()])

    def at_mm(self, z: float) -> int:
        """Return the index of the slice nearest to a height in mm above the grid's lowest face."""
        return self.at_plane(z / self.step_mm - 0.5)

    def plane_of(self, index: int) -> int:
        """Return the plane of the axial grid nearest to a slice."""
        return int(np.rint(self.planes[int(np.flatnonzero(self.indices == index)[0])]))


def slices_of(study: Study, axial: Axial) -> Slices:
    """Return the slices of a study as `detectors.detector.analysis_sources` numbers them."""
    if np.isfinite(axial.source_z).all():
        indices = np.array([source.index for source in study.sources])
        return Slices(axial.source_z, indices, axial.spacing[0])
    planes = np.arange(len(axial.array))
    return Slices(planes.astype(float), planes, axial.spacing[0])
