"""Which of several detectors' requirements a study meets, for `--detector auto`."""

from collections.abc import Mapping

from AcuteFindingsLib.study.content import ct_content
from AcuteFindingsLib.study.evidence import stated_kinds, stated_parts
from AcuteFindingsLib.study.requirements import (
    CtRequirements,
    RadiographRequirements,
    Requirements,
    registry,
)
from AcuteFindingsLib.study.study import Study


def fitting(study: Study, requirements: Mapping[str, Requirements]) -> list[str]:
    """Return the names whose requirements such a study meets: by modality and body part, else by its content.

    A radiograph is taken for one of the chest unless its header names another body part; of a CT the header's words
    count, those that the check believes (`study.evidence`), and where they are silent the content does. A single
    picture without a header may be a radiograph or a slice of a CT whose window is burned in.

    Parameters
    ----------
    study
        As read.
    requirements
        What is asked of a study, by name; the answer keeps their order.
    """
    parts = stated_parts(study.dicom)
    if study.orientation == "projection":
        fits = not study.modality or not parts or "chest" in parts
        return [name for name, limits in requirements.items() if _reads_picture(limits, study.modality) and fits]
    if study.modality not in ("CT", ""):
        return []
    stacks = {name: limits for name, limits in requirements.items() if isinstance(limits, CtRequirements)}
    kinds = stated_kinds(study.dicom)
    found = [name for name, limits in stacks.items() if limits.body_part in parts or limits.examination in kinds]
    if not parts and not found and study.intensity == "HU":
        # Only what the header leaves open is worth a look at every voxel.
        part = ct_content(study).body_part
        return [name for name, limits in stacks.items() if limits.body_part in part]
    if not found and study.intensity == "windowed":
        return [name for name, limits in stacks.items() if limits.accepts_windowed]
    return found


def fitting_detectors(study: Study) -> list[str]:
    """Return the names of the detectors whose requirements a study meets: for scripts, until the next release."""
    return fitting(study, registry().requirements_by_detector())


def _reads_picture(limits: Requirements, modality: str) -> bool:
    """Whether a single picture can be what is asked for; without a modality also a CT slice as people see it."""
    if isinstance(limits, RadiographRequirements):
        return True
    return not modality and limits.accepts_windowed
