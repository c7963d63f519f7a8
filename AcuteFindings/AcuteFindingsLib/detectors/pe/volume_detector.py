"""Pulmonary embolism by a three-dimensional network that draws the clots."""

from AcuteFindingsLib.detectors.pe.kind import KIND
from AcuteFindingsLib.detectors.volume_detector import VolumeDetector


class PEVolumeDetector(VolumeDetector):
    """CT pulmonary angiogram → clots with their volume → verdict."""

    name = KIND.id
    kind = KIND
