"""A coded concept, as DICOM has it."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Code:
    """A coded concept: ``scheme`` is the DICOM coding scheme designator, for example ``"SCT"``."""

    scheme: str
    value: str
    meaning: str


ALTERED = Code("SCT", "49755003", "Morphologically Altered Structure")
"""Category of a segment that marks a finding."""

ANATOMICAL = Code("SCT", "123037004", "Anatomical Structure")
"""Category of a segment that marks an organ."""

RIGHT_LUNG = Code("SCT", "3341006", "Right lung")
LEFT_LUNG = Code("SCT", "44029006", "Left lung")
