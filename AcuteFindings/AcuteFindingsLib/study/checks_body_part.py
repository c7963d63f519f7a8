"""Whether a CT shows the part of the body that a detector was made for: by header and by look."""

import numpy as np

from AcuteFindingsLib.study.content import TISSUE_HU, CtContent
from AcuteFindingsLib.study.evidence import stated_parts
from AcuteFindingsLib.study.notice import Notice
from AcuteFindingsLib.study.requirements import CtRequirements
from AcuteFindingsLib.study.study import Study

# Lungs or a brain shorter than this, in a field of which they are less than this share, are at the edge of an
# examination of something else: the lung bases of an abdomen are 60 to 100 mm, the brain above a neck 40 to 60. Ours.
_EDGE_MM = {"chest": 100.0, "head": 60.0}
_EDGE_SHARE = 0.4
# A slice through an adult's head with scalp and ears is 200 to 330 cm2, one through a trunk 450 cm2 and more. Ours.
_HEAD_MOST_CM2 = 450.0
# Less lung than this in the fullest slice: there is none.
_NO_LUNG_CM2 = 10.0


def check_body_part(study: Study, limits: CtRequirements, content: CtContent | None) -> list[Notice]:
    """Hold header and content against what the detector needs; where both speak, the content decides."""
    wanted = limits.body_part
    parts = stated_parts(study.dicom)
    named = study.dicom.body_part.upper() or " and ".join(sorted(parts)).upper()
    seen = content.body_part if content is not None else "other"
    made_for = f"the detector was made for {limits.study_name}"
    other = bool(parts) and wanted not in parts
    if content is not None and wanted in seen:
        return _at_the_edge(content, limits, named if other else "", known=wanted in parts)
    organ = "brain" if wanted == "head" else "lungs"
    if seen != "other":
        said = f", although the header says {named}" if wanted in parts else ""
        text = f"The images show a {seen}{said}, but {made_for}; choose another series or detector."
        return [Notice("wrong-body-part", "refuse", text)]
    if other:
        text = f"The header names the body part {named}, but {made_for}; choose another series or detector."
        return [Notice("wrong-body-part", "refuse", text)]
    if content is None:
        text = f"The body part cannot be determined from windowed slices; make sure that they show a {wanted}."
        return [] if wanted in parts else [Notice("body-part-unknown", "info", text)]
    if wanted in parts and not _cannot_be(content, wanted):
        text = (
            f"The header says {named}, but no {organ} could be found in the images; look at them before believing "
            "the answer."
        )
        return [Notice("body-part-not-seen", "warn", text)]
    text = f"No {organ} could be found in the images, but {made_for}; choose another series or detector."
    return [Notice("wrong-body-part", "refuse", text)]


def _at_the_edge(content: CtContent, limits: CtRequirements, other: str, *, known: bool) -> list[Notice]:
    """Judge images that show the organ: all of it, or its edge in an examination of something else.

    `other` is the body part that the header names instead; `known` says that the header names the wanted one.
    """
    wanted = limits.body_part
    extent = content.brain_extent_mm if wanted == "head" else content.lung_extent_mm
    field = content.hu.shape[0] * content.spacing[0]
    organ = "brain" if wanted == "head" else "lung"
    edge = not known and extent < _EDGE_MM[wanted] and extent < _EDGE_SHARE * field
    if edge or (other and extent < _EDGE_MM[wanted]):
        said = f"The header names the body part {other}, and only" if other else "Only"
        text = (
            f"{said} {extent:.0f} of {field:.0f} mm show {organ}: an examination of something else, but the detector "
            f"was made for {limits.study_name}; choose another series or detector."
        )
        return [Notice("wrong-body-part", "refuse", text)]
    if other:
        text = f"The header names the body part {other}, but the images show a {wanted}; the images were used."
        return [Notice("body-part-contradiction", "info", text)]
    return []


def _cannot_be(content: CtContent, wanted: str) -> bool:
    """Whether images without the organ cannot be of the part either: a trunk's width, or nothing like a lung."""
    if wanted == "chest":
        return bool(content.lung_cm2.max() < _NO_LUNG_CM2)
    areas = (content.hu > TISSUE_HU).sum(axis=(1, 2)) * content.spacing[1] * content.spacing[2] / 100
    full = areas[areas > 0]
    return bool(len(full) and np.median(full) > _HEAD_MOST_CM2)
