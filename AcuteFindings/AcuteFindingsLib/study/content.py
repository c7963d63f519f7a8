"""What a CT shows, whatever its header says: lungs, brain and air, found on a coarse grid."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy import ndimage

from AcuteFindingsLib.study.study import Study
from AcuteFindingsLib.threads import side_by_side

BodyPart = Literal["head", "chest", "head and chest", "other"]

COARSE_MM = 4.0
"""Voxel of the coarse grid: averages noise away, keeps a lung, a skull and a heart chamber."""

LUNG_HU = (-950.0, -400.0)
AIR_HU = -950.0
TISSUE_HU = -300.0
SKULL_HU = 150.0
BRAIN_HU = (0.0, 100.0)
CROPPED_EDGE_AIR = 0.25
LEAST_LUNG_CM2 = 40.0
LEAST_BRAIN_CM2 = 30.0


@dataclass(frozen=True)
class CtContent:
    """A CT on a coarse axial grid, with what was found on it.

    Attributes
    ----------
    hu
        ``(z, y, x)`` float32, mean HU of about 4 mm blocks: slices from inferior to superior, rows from anterior to
        posterior, columns from right to left of the patient.
    spacing
        ``(z, y, x)`` mm.
    lungs, brain
        bool like `hu`: lung tissue (not its larger vessels) and what the skull encloses.
    lung_cm2, brain_cm2
        ``(z,)``: their areas.
    """

    hu: np.ndarray
    spacing: tuple[float, float, float]
    lungs: np.ndarray
    brain: np.ndarray
    lung_cm2: np.ndarray
    brain_cm2: np.ndarray

    @property
    def body_part(self) -> BodyPart:
        """The part of the body, by at least one slice with a lung's or a brain's area."""
        head = self.brain_cm2.max() >= LEAST_BRAIN_CM2
        chest = self.lung_cm2.max() >= LEAST_LUNG_CM2
        if head and chest:
            return "head and chest"
        return "head" if head else "chest" if chest else "other"

    @property
    def lung_extent_mm(self) -> float:
        """From the lowest to the highest slice with lung in it."""
        return _extent(self.lung_cm2 > 5.0, self.spacing[0])

    @property
    def brain_extent_mm(self) -> float:
        """From the lowest to the highest slice with brain in it."""
        return _extent(self.brain_cm2 > 5.0, self.spacing[0])


def ct_content(study: Study) -> CtContent:
    """Look at a CT in HU on a coarse grid; takes 0.15 s for 275 slices of 512×512 on one processor."""
    axial, spacing = _axial_view(study)
    factors = tuple(
        min(count, max(1, round(COARSE_MM / step))) for count, step in zip(axial.shape, spacing, strict=True)
    )
    hu = block_means(axial, factors)
    coarse = (spacing[0] * factors[0], spacing[1] * factors[1], spacing[2] * factors[2])
    planes = list(hu)
    lungs, brain = np.stack(side_by_side(_lungs, planes)), np.stack(side_by_side(_brain, planes))
    cm2 = coarse[1] * coarse[2] / 100
    return CtContent(hu, coarse, lungs, brain, lungs.sum(axis=(1, 2)) * cm2, brain.sum(axis=(1, 2)) * cm2)


def _axial_view(study: Study) -> tuple[np.ndarray, tuple[float, float, float]]:
    """View the array along the patient's axes, nearest permutation, as `CtContent.hu` is ordered."""
    directions = study.ijk_to_ras[:3, :3] / np.linalg.norm(study.ijk_to_ras[:3, :3], axis=0)
    # Rows of `directions` are R, A, S; array axes run k, j, i.
    wanted = np.array([directions[2], -directions[1], -directions[0]])[:, ::-1]
    best = max(
        ((0, 1, 2), (0, 2, 1), (1, 0, 2), (1, 2, 0), (2, 0, 1), (2, 1, 0)),
        key=lambda order: sum(abs(wanted[row, axis]) for row, axis in enumerate(order)),
    )
    flips = tuple(row for row, axis in enumerate(best) if wanted[row, axis] < 0)
    spacing = study.spacing
    return np.flip(study.array.transpose(best), flips), (spacing[best[0]], spacing[best[1]], spacing[best[2]])


def block_means(array: np.ndarray, factors: tuple[int, ...]) -> np.ndarray:
    """Return the means of blocks of ``(z, y, x)`` voxels, float32; what is left over at the far edges is left out."""
    fz, fy, fx = factors
    nz, ny, nx = (count // factor for count, factor in zip(array.shape, factors, strict=True))
    out = np.empty((nz, ny, nx), np.float32)

    def fill(z: int) -> None:
        block = array[z * fz : (z + 1) * fz, : ny * fy, : nx * fx]
        out[z] = block.mean(axis=0).reshape(ny, fy, nx, fx).mean(axis=(1, 3))

    side_by_side(fill, range(nz))
    return out


def _lungs(hu: np.ndarray) -> np.ndarray:
    tissue = hu > TISSUE_HU
    edge = np.concatenate((hu[0], hu[-1], hu[:, 0], hu[:, -1]))
    inside = np.ones(hu.shape, bool)
    if np.mean(edge < AIR_HU) > CROPPED_EDGE_AIR:
        labels, count = ndimage.label(tissue)
        if not count:
            return np.zeros(hu.shape, bool)
        inside = ndimage.binary_fill_holes(labels == np.bincount(labels[labels > 0]).argmax())
    lungs = inside & (hu > LUNG_HU[0]) & (hu < LUNG_HU[1])
    return np.asarray(ndimage.binary_opening(lungs, structure=np.ones((3, 3))))


def _brain(hu: np.ndarray) -> np.ndarray:
    bone = hu > SKULL_HU
    cavity = ndimage.binary_fill_holes(ndimage.binary_closing(np.pad(bone, 2), iterations=1))[2:-2, 2:-2] & ~bone
    return np.asarray(ndimage.binary_opening(cavity & (hu > BRAIN_HU[0]) & (hu < BRAIN_HU[1]), iterations=2))


def _extent(slices: np.ndarray, spacing: float) -> float:
    found = np.flatnonzero(slices)
    return float(found[-1] - found[0] + 1) * spacing if len(found) else 0.0
