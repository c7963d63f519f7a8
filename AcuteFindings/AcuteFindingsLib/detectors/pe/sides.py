"""How much clot lies in the right lung, in the left one, and outside both, where the lungs can be told apart safely."""

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from AcuteFindingsLib.preprocessing.orient import Axial
from AcuteFindingsLib.study.content import ct_content
from AcuteFindingsLib.study.study import Study

LEAST_SHARE = 0.25
"""Each side holds at least this share of all lung seen; healthy right lungs hold 0.53 to 0.57 of both."""

LEAST_ML = 300.0
"""Less lung than this on a side is a cut-off or collapsed one."""

VALLEY = 0.6
"""Between the lungs there is at most this share of the lung that either side has where it is widest."""

FLAT = 0.02
"""What differs by less than this share of the widest place counts as equally low."""

APART_MM = 12.0
"""Nearer to the plane between the lungs than this nothing is said to lie in one of them."""

CLOSED_MM = 12.0
"""Vessels within a lung are closed up to twice this width; it reaches the interlobar arteries, not the hilum."""

LEAST_COSINE = 0.9
"""A stack that is turned further from the patient's axes (26°) has no plane between the lungs on its grid."""


@dataclass(frozen=True)
class SideVolumes:
    """Volume of clot in mm³: in the right lung, in the left, and elsewhere (mediastinum, hila, lung without air)."""

    right: float
    left: float
    elsewhere: float


def side_volumes(study: Study, axial: Axial, mask: np.ndarray) -> SideVolumes | None:
    """Return where clot lies, by halves of the lungs.

    The plane between the lungs is where, seen over all slices, there is least lung between the two sides' widest
    places. What lies in a side's lung, its vessels included, and apart from that plane, is that side's.

    Parameters
    ----------
    study
        CT in HU.
    axial
        Its axial view.
    mask
        ``(z, y, x)`` on that view, not 0 where there is clot.

    Returns
    -------
    None where the lungs cannot be told apart: one is missing, cut off or airless, or the stack is turned.
    """
    directions = np.abs(axial.ijk_to_ras[:3, :3] / np.linalg.norm(axial.ijk_to_ras[:3, :3], axis=0))
    if np.diag(directions).min() < LEAST_COSINE:
        return None
    content = ct_content(study)
    split = plane_between(content.lungs, content.spacing)
    if split is None:
        return None
    reach = max(1, round(APART_MM / content.spacing[2]))
    right, left = content.lungs.copy(), content.lungs
    right[:, :, split:], left[:, :, :split] = False, False
    closed = [
        _closed(lung, content.spacing) & (side * (np.arange(lung.shape[2]) - split) >= reach)
        for lung, side in ((right, -1), (left, 1))
    ]
    # Of each voxel along an axis, which coarse one holds it.
    in_z, in_y, in_x = (
        np.minimum((np.arange(count) * step / coarse).astype(int), cells - 1)
        for count, step, coarse, cells in zip(
            mask.shape, axial.spacing, content.spacing, content.lungs.shape, strict=True
        )
    )
    held, total = [0, 0], 0
    for z, plane in enumerate(mask):
        y, x = np.nonzero(plane)
        total += len(y)
        for number, lung in enumerate(closed):
            held[number] += int(np.count_nonzero(lung[in_z[z], in_y[y], in_x[x]]))
    voxel = float(np.prod(axial.spacing))
    return SideVolumes(held[0] * voxel, held[1] * voxel, (total - sum(held)) * voxel)


def plane_between(lungs: np.ndarray, spacing: tuple[float, float, float]) -> int | None:
    """Return the column of ``(z, y, x)`` with least lung between both sides; None where there are no two sides."""
    ml = lungs.sum(axis=(0, 1)) * float(np.prod(spacing)) / 1000
    total = float(ml.sum())
    if total <= 0:
        return None
    below = np.cumsum(ml) / total
    inner = np.flatnonzero((below > LEAST_SHARE) & (below < 1 - LEAST_SHARE))
    if not len(inner):
        return None
    # The lungs may be far apart: the middle of the lowest stretch.
    low = inner[ml[inner] <= ml[inner].min() + FLAT * ml.max()]
    split = int(np.median(low))
    right, left = ml[:split], ml[split + 1 :]
    if not len(right) or not len(left) or min(right.sum(), left.sum()) < LEAST_ML:
        return None
    return split if ml[split] <= VALLEY * min(right.max(), left.max()) else None


def _closed(lung: np.ndarray, spacing: tuple[float, float, float]) -> np.ndarray:
    """Return a lung with what it surrounds, up to `CLOSED_MM` from it on both sides."""
    reach = [max(1, round(CLOSED_MM / step)) for step in spacing]
    wide = np.pad(lung, [(by, by) for by in reach])
    near = ndimage.distance_transform_edt(~wide, sampling=spacing) <= CLOSED_MM
    kept = ndimage.distance_transform_edt(near, sampling=spacing) > CLOSED_MM
    return np.asarray(kept[tuple(slice(by, -by) for by in reach)] | lung)
