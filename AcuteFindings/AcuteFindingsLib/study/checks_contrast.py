"""Whether contrast was given, where a detector needs it or must not have it: by header and by look."""

import numpy as np
from scipy import ndimage

from AcuteFindingsLib.study.blood_pool import blood_pool_hu
from AcuteFindingsLib.study.content import CtContent
from AcuteFindingsLib.study.evidence import stated_contrast
from AcuteFindingsLib.study.notice import Notice
from AcuteFindingsLib.study.requirements import CtRequirements
from AcuteFindingsLib.study.study import Study

_DENSER_THAN_BLOOD_HU, _METAL_HU = 100.0, 500.0
_LEAST_DENSE_ML = 2.0
_BRAIN_MOST_HU = 55.0


def check_contrast(study: Study, limits: CtRequirements, content: CtContent | None) -> list[Notice]:
    """Judge the contrast a detector asks for; without `content` (no HU) the header alone speaks."""
    if limits.contrast == "required":
        return [] if content is None else _contrast(study, limits, blood_pool_hu(study, content=content))
    if stated_contrast(study.dicom):
        text = (
            "The header says that contrast was given; enhanced vessels and tumors look like blood to this detector, "
            "so use the series without contrast."
        )
        return [Notice("contrast-in-head", "warn", text)]
    enhanced = None if content is None else _enhanced_head(content)
    if enhanced is not None:
        text = (
            f"{enhanced}, as after contrast, though the header does not say so; enhanced vessels and tumors look like "
            "blood to this detector, so use the series without contrast if there is one."
        )
        return [Notice("contrast-in-head", "warn", text)]
    return []


def _enhanced_head(content: CtContent) -> str | None:
    """Say in words what looks enhanced inside the brain above its widest slice, where there is no skull base.

    Blood outside vessels reaches 80 to 90 HU, calcified plexus and pineal gland a few tenths of a milliliter; one
    real head without contrast has 0.24 ml above 100 HU. Gray and white matter without contrast have 25 to 40 HU.
    """
    inside = np.zeros(content.brain.shape, bool)
    for k in range(int(content.brain_cm2.argmax()), len(inside)):
        filled = ndimage.binary_fill_holes(ndimage.binary_closing(np.pad(content.brain[k], 2), iterations=2))
        inside[k] = ndimage.binary_erosion(filled, iterations=2)[2:-2, 2:-2]
    if not inside.any():
        return None
    hu = content.hu[inside]
    level = float(np.median(hu))
    # Noise reaches as far below the brain as above it; what it has below is taken off.
    dense = np.count_nonzero((hu > _DENSER_THAN_BLOOD_HU) & (hu < _METAL_HU))
    dense -= np.count_nonzero(hu < 2 * level - _DENSER_THAN_BLOOD_HU)
    dense_ml = dense * float(np.prod(content.spacing)) / 1000
    if dense_ml > _LEAST_DENSE_ML:
        return f"{dense_ml:.0f} ml inside the brain have more than {_DENSER_THAN_BLOOD_HU:.0f} HU"
    return f"The brain has {level:.0f} HU" if level > _BRAIN_MOST_HU else None


def _contrast(study: Study, limits: CtRequirements, measured: float | None) -> list[Notice]:
    """Judge enhancement by the blood's HU; the header only adds what it says.

    Limits: `CtRequirements.blood_pool_refuse_hu` and `blood_pool_warn_hu`, with their sources.
    """
    stated = stated_contrast(study.dicom)
    if measured is None:
        header = {True: "says that contrast was given", False: "says that none was given", None: "is silent"}[stated]
        text = (
            "Enhancement could not be measured, because no heart lies between lungs in the field, and the header "
            f"{header}; make sure that contrast was given."
        )
        return [Notice("contrast-not-measured", "refuse" if stated is False else "warn", text)]
    blood = f"blood in the heart and great vessels measures about {measured:.0f} HU"
    if measured < limits.blood_pool_refuse_hu:
        said = "Although the header says that contrast was given, " if stated else "No contrast: "
        text = (
            f"{said}{blood}, as without contrast (enhanced: above {limits.blood_pool_warn_hu:.0f} HU); "
            "a clot cannot be seen, so choose the contrast-enhanced series."
        )
        return [Notice("no-contrast", "refuse", text)]
    found = []
    if measured < limits.blood_pool_warn_hu:
        text = (
            f"Weak contrast: {blood}, below the {limits.blood_pool_warn_hu:.0f} HU expected in a CT pulmonary "
            "angiogram; small clots may be missed."
        )
        found.append(Notice("weak-contrast", "warn", text))
    elif stated is False:
        text = f"The header says that no contrast was given, but {blood}; the images were used."
        found.append(Notice("contrast-contradiction", "info", text))
    return found
