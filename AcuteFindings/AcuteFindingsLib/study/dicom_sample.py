"""What a few slices of a volume show, where the headers of several would let either of them be read."""

import logging
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from AcuteFindingsLib.errors import StudyError
from AcuteFindingsLib.study.checks import check_study
from AcuteFindingsLib.study.dicom_fit import VOLUME_MODALITIES, as_projection
from AcuteFindingsLib.study.dicom_places import heights_of
from AcuteFindingsLib.study.dicom_volume import read_ct
from AcuteFindingsLib.study.dicom_volumes import Volume
from AcuteFindingsLib.study.notice import refusals
from AcuteFindingsLib.study.requirements import CtRequirements, Requirements

# Two dozen slices show lungs, heart and brain of any scan and are decoded in a quarter of a second.
_SLICES = 24
_LEAST_SLICES = 5
_MOST_TRIED = 4

_log = logging.getLogger(__name__)


def first_that_fits(ranked: Sequence[Volume], requirements: Requirements | None) -> Volume:
    """Return the first volume whose slices meet the requirements; the first of all where none does.

    Volumes are of the study of the first one. Nothing is read where there is no choice.
    """
    first = ranked[0]
    if not isinstance(requirements, CtRequirements) or as_projection(first, requirements):
        return first
    rivals = [
        one
        for one in ranked
        if (one.study, one.patient) == (first.study, first.patient)
        and one.modality in VOLUME_MODALITIES
        and not one.broken
        and len(one.frames) >= _LEAST_SLICES
    ]
    if len(rivals) < 2 or rivals[0] is not first:
        return first
    return next((one for one in rivals[:_MOST_TRIED] if _fits(one, requirements)), first)


def _fits(volume: Volume, requirements: CtRequirements) -> bool:
    order = np.argsort(heights_of(volume.frames), kind="stable")
    few = tuple(volume.frames[index] for index in order[:: -(-len(order) // _SLICES)])
    try:
        sample = read_ct(Volume(few, volume.uids), source_name="")
    except StudyError as error:
        _log.info("A series was not sampled: %s", error)
        return False
    # Only what the slices show: how many there are is no fault of theirs.
    return not refusals(check_study(replace(sample, notices=()), requirements))
