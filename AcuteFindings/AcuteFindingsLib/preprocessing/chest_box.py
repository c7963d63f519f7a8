"""The box of a chest CT that holds lungs, heart and pulmonary trunk, found on a coarse grid."""

import numpy as np
from scipy import ndimage

from AcuteFindingsLib.preprocessing.orient import Axial
from AcuteFindingsLib.study.content import TISSUE_HU, ct_content
from AcuteFindingsLib.study.study import Study

Box = tuple[slice, slice, slice]

LEAST_LUNG_ML = 1000.0
"""With less air-filled lung than this in the field nobody knows where the rest is, and all is read.

A lung of an adult holds 2 to 3 liters; after a lung is removed, or with one collapsed, the other is left.
"""

LEAST_PART_ML = 50.0
"""Smaller parts are gas in the bowel or air in folds of skin."""


def chest_box(study: Study, axial: Axial, *, margin_mm: float) -> Box:
    """Return what of `axial.array` holds lungs, heart and pulmonary trunk; all of it where too little lung is seen.

    The lungs' own box with a margin. From right to left it reaches equally far on both sides of the body's middle, so
    that a collapsed or removed lung does not leave out its hilum; the heart and the pulmonary trunk lie between.

    Parameters
    ----------
    study
        CT in HU.
    axial
        Its axial view.
    margin_mm
        How far the box goes beyond the lungs: the heart may reach in front of them.
    """
    content = ct_content(study)
    lungs = _large_parts(content.lungs, float(np.prod(content.spacing)) / 1000)
    if lungs.sum() * np.prod(content.spacing) / 1000 < LEAST_LUNG_ML:
        z, y, x = (slice(0, count) for count in axial.array.shape)
        return z, y, x
    bounds = [(float(found[0]), float(found[-1] + 1)) for found in map(np.flatnonzero, _along_axes(lungs))]
    with_lung = slice(int(bounds[0][0]), int(bounds[0][1]))
    body = (lungs[with_lung] | (content.hu[with_lung] > TISSUE_HU)).sum(axis=(0, 1))
    middle = float((np.arange(len(body)) + 0.5) @ body / body.sum())
    reach = max(middle - bounds[2][0], bounds[2][1] - middle)
    bounds[2] = (middle - reach, middle + reach)
    box = []
    for (low, high), coarse, step, count in zip(bounds, content.spacing, axial.spacing, axial.array.shape, strict=True):
        start = int(np.floor((low * coarse - margin_mm) / step))
        stop = int(np.ceil((high * coarse + margin_mm) / step))
        box.append(slice(max(0, start), min(count, stop)))
    return box[0], box[1], box[2]


def _large_parts(mask: np.ndarray, voxel_ml: float) -> np.ndarray:
    labels, count = ndimage.label(mask)
    keep = np.bincount(labels.ravel(), minlength=count + 1) * voxel_ml >= LEAST_PART_ML
    keep[0] = False
    return np.asarray(keep[labels])


def _along_axes(mask: np.ndarray) -> list[np.ndarray]:
    others = ((1, 2), (0, 2), (0, 1))
    return [np.asarray(mask.any(axis=axes)) for axes in others]
