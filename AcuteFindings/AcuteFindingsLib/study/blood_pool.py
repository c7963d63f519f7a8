"""How strongly the blood in the heart and the great vessels is enhanced."""

import numpy as np
from scipy import ndimage

from AcuteFindingsLib.study.content import LEAST_LUNG_CM2, CtContent, ct_content
from AcuteFindingsLib.study.otsu import otsu_threshold
from AcuteFindingsLib.study.study import Study

SOFT_HU = (-20.0, 1000.0)
"""Fat and lung lie below, metal above."""

APART_HU = 40.0
"""Two brightness groups closer than this are one: unenhanced blood, muscle and noise."""

LEAST_SHARE = 0.08
"""A brighter group smaller than this share of the mediastinum is calcium or metal, not blood."""

LEAST_ML = 20.0
"""Less mediastinum than this in the field is too little to measure."""

SPINE_FROM = 0.6
"""Share of the lungs' depth, from the front, behind which the spine may begin."""


def blood_pool_hu(study: Study, *, content: CtContent | None = None) -> float | None:
    """Estimate the attenuation of blood in the mediastinum of a chest CT.

    The mediastinum is what lies between the lungs: in every slice with enough lung, what has lung on its right and on
    its left, in front of the spine. Its soft tissue is blood, vessel walls and heart muscle. Where two brightness
    groups stand clearly apart, the brighter is enhanced blood; where they do not, all of it has the attenuation of
    blood: about 40 HU without contrast.

    Parameters
    ----------
    study
        CT in HU.
    content
        The study's content where the caller has it already.

    Returns
    -------
    HU, or None where no mediastinum is in the field.
    """
    content = content or ct_content(study)
    chest = np.flatnonzero(content.lung_cm2 >= LEAST_LUNG_CM2 / 2)
    voxels = np.concatenate([np.zeros(0), *(_mediastinum(content, int(z)) for z in chest)])
    if len(voxels) * float(np.prod(content.spacing)) / 1000 < LEAST_ML:
        return None
    # Calcium, valves, clips and undiluted contrast would draw the threshold away.
    voxels = np.clip(voxels, *SOFT_HU)
    if voxels.min() == voxels.max():
        return float(voxels[0])
    above = voxels > otsu_threshold(voxels)
    two_groups = voxels[above].mean() - voxels[~above].mean() > APART_HU and above.mean() >= LEAST_SHARE
    return float(np.median(voxels[above] if two_groups else voxels))


def _mediastinum(content: CtContent, z: int) -> np.ndarray:
    """Return the HU of the soft tissue between the lungs in one coarse slice, spine and chest wall left out."""
    region = mediastinum_region(content.lungs[z])
    hu = content.hu[z]
    # A voxel whose neighbor holds lung or fat is no pure blood.
    pure = ndimage.minimum_filter(hu, size=3, mode="nearest") > SOFT_HU[0]
    return hu[region & pure]


def mediastinum_region(lungs: np.ndarray) -> np.ndarray:
    """Return the part of a ``(y, x)`` slice between the lungs and in front of the spine."""
    between = np.maximum.accumulate(lungs, axis=1) & np.maximum.accumulate(lungs[:, ::-1], axis=1)[:, ::-1]
    rows = np.flatnonzero(lungs.any(axis=1))
    spine = rows[0] + SPINE_FROM * (rows[-1] + 1 - rows[0])
    between[int(np.ceil(spine)) :] = False
    return np.asarray(ndimage.binary_erosion(between, iterations=2) & ~lungs)
