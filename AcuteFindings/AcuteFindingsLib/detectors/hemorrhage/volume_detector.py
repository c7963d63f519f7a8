"""Intracranial hemorrhage by a three-dimensional network that draws the bleeds."""

from AcuteFindingsLib.detectors.hemorrhage.kind import KIND
from AcuteFindingsLib.detectors.volume_detector import VolumeDetector


class HemorrhageVolumeDetector(VolumeDetector):
    """Head CT → bleeds with their volume and density → verdict."""

    name = KIND.id
    kind = KIND
