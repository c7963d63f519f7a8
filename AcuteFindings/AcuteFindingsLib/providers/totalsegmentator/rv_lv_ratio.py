"""Right to left ventricular diameter on a chest CT, from masks of the two."""

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

STRAIN_FROM = 1.0
"""A ratio above this goes with right heart strain and an adverse course (van der Meer 2005); docs/sources.md 2 counts
54 % of positive examinations at 1 and above."""

_LEAST_ML = 10.0
"""Less blood than this is no ventricle that could be measured; ours: an adult's holds 80 mL and more in diastole."""


@dataclass(frozen=True)
class VentricleDiameters:
    """The widest axial diameters in mm, and the slices (index along z) in which they lie."""

    right_mm: float
    left_mm: float
    right_z: int
    left_z: int

    @property
    def ratio(self) -> float:
        """Return right over left."""
        return self.right_mm / self.left_mm


def ventricle_diameters(
    right: np.ndarray, left: np.ndarray, spacing: tuple[float, float, float]
) -> VentricleDiameters | None:
    """Measure both ventricles where each is widest, across the septum, in axial slices.

    After van der Meer et al., Radiology 2005;235:798-803: on axial slices the distance between the inner wall of each
    ventricle and the septum, at right angles to the heart's long axis, each in the slice where it is widest. Here the
    direction across the septum is the line between the centers of the two blood pools in the axial plane, and a
    ventricle's diameter is its longest unbroken chord along that line. CT pulmonary angiograms are seldom gated to the
    ECG: the phase of the heart is unknown.

    Parameters
    ----------
    right, left
        ``(z, y, x)`` bool: blood pools in axial order, walls not included.
    spacing
        ``(z, y, x)`` in mm.

    Returns
    -------
    None where either ventricle is missing or too small to be one, or cut by the first or last slice at its widest.
    """
    pools = [_largest(mask) for mask in (right, left)]
    voxel_ml = float(np.prod(spacing)) / 1000.0
    if any(np.count_nonzero(pool) * voxel_ml < _LEAST_ML for pool in pools):
        return None
    centers = [np.asarray(ndimage.center_of_mass(pool))[1:] * spacing[1:] for pool in pools]
    across = centers[0] - centers[1]
    length = float(np.linalg.norm(across))
    if length == 0:
        return None
    found = [_widest(pool, across / length, spacing) for pool in pools]
    if any(z in (0, len(right) - 1) for _, z in found):
        return None
    (right_mm, right_z), (left_mm, left_z) = found
    return VentricleDiameters(right_mm, left_mm, right_z, left_z)


def _largest(mask: np.ndarray) -> np.ndarray:
    components, count = ndimage.label(mask)
    if count < 2:
        return np.asarray(mask, bool)
    return components == 1 + int(np.argmax(np.bincount(components.ravel())[1:]))


def _widest(pool: np.ndarray, across: np.ndarray, spacing: tuple[float, float, float]) -> tuple[float, int]:
    """Return the longest chord along the direction `across` ``(y, x)`` in any slice, in mm, and that slice."""
    step = min(spacing[1:]) / 2
    widest, where = 0.0, 0
    for z in np.flatnonzero(pool.any(axis=(1, 2))):
        rows, columns = np.nonzero(pool[z])
        points = np.stack([rows * spacing[1], columns * spacing[2]], axis=1)
        center = points.mean(axis=0)
        side = np.array([-across[1], across[0]])
        reach = float(np.abs(points - center).max()) * 1.5 + step
        places = np.arange(-reach, reach + step, step)
        # Lines parallel to `across`: one a row, sampled every half pixel.
        grid = center + places[:, None, None] * side + places[None, :, None] * across
        sampled = ndimage.map_coordinates(
            pool[z].astype(np.uint8), [grid[..., 0] / spacing[1], grid[..., 1] / spacing[2]], order=0
        )
        length = _longest_run(sampled) * step
        if length > widest:
            widest, where = length, int(z)
    return widest, where


def _longest_run(rows: np.ndarray) -> int:
    """Return the longest run of ones in any row."""
    padded = np.pad(rows.astype(np.int8), ((0, 0), (1, 1)))
    edges = np.diff(padded, axis=1)
    starts, ends = np.nonzero(edges == 1), np.nonzero(edges == -1)
    return int((ends[1] - starts[1]).max()) if len(starts[1]) else 0
