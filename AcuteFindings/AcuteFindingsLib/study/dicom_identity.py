"""What the images of one volume have in common: the header facts by which images of one series are told apart.

One Series Instance UID does not promise one volume: scanners write several acquisitions, cardiac phases or
reconstructions into one series, and tools that replace identifiers join what was apart.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from AcuteFindingsLib.study.dicom_frames import Frame, attribute, number, words

# Words of Image Type (0008,0008) from the third on, and after them, that name another picture of the same scan:
# material maps, energies and projections.
_OTHER_PICTURE = re.compile(
    r"\b(VUE|VNC|VIRTUAL\w*|IODINE\w*|WATER|CALCIUM|MONO\w*|KEV|DE_\w+|EFF\w*Z|RHO|MIXED|MIP|MAX_IP|MINIP|MIN_IP|"
    r"AVERAGE|MPR|VRT|PERFUSION|CBF|CBV|MTT|TTP|TMAX|SUBTRACTION)\b"
)
# An attribute with more values than this share of the images tells images apart, not volumes: de-identification gives
# every image of the public LIDC scans a Frame of Reference of its own.
_TELLS_NOTHING = 0.5
_FIELD_MM = 5.0


@dataclass(frozen=True)
class Fact:
    """One header fact: its name in words, and how to read it from an image; "" where not stated."""

    name: str
    read: Callable[[Frame], str]


def _text(*keywords: str, group: str = "") -> Callable[[Frame], str]:
    def read(frame: Frame) -> str:
        for keyword in keywords:
            value = attribute(frame.header, keyword, group=group, frame=frame.number)
            if value is not None:
                return "/".join(words(str(value) if isinstance(value, (int, float)) else value))
        return ""

    return read


def _amount(*keywords: str, group: str = "") -> Callable[[Frame], str]:
    def read(frame: Frame) -> str:
        for keyword in keywords:
            value = number(attribute(frame.header, keyword, group=group, frame=frame.number))
            if value is not None:
                return f"{value:g}"
        return ""

    return read


def _picture(frame: Frame) -> str:
    return " ".join(_OTHER_PICTURE.findall(" ".join(frame.image_type))) or "plain"


def _field(frame: Frame) -> str:
    """Return where the picture lies within its plane, to 5 mm: reconstructions of one scan differ in their center."""
    if frame.position is None or frame.directions is None:
        return ""
    across, down = frame.directions.reshape(2, 3) @ frame.position / _FIELD_MM
    return f"{across:.0f} {down:.0f}"


_CARDIAC, _RESPIRATORY = "CardiacSynchronizationSequence", "RespiratorySynchronizationSequence"
_CONTENT, _RECONSTRUCTION = "FrameContentSequence", "CTReconstructionSequence"

_ACQUISITION_TIME = Fact(
    "acquisition time", _text("FrameAcquisitionDateTime", "AcquisitionDateTime", "AcquisitionTime", group=_CONTENT)
)

NEVER_MIXED = (
    Fact("patient", _text("PatientID")),
    Fact("frame of reference", _text("FrameOfReferenceUID")),
    Fact("tube voltage", _amount("KVP", group="CTXRayDetailsSequence")),
    Fact("kernel", _text("ConvolutionKernel", group=_RECONSTRUCTION)),
    Fact("reconstruction", _text("ReconstructionAlgorithm", group=_RECONSTRUCTION)),
    Fact("cardiac phase", _amount("NominalPercentageOfCardiacPhase", group=_CARDIAC)),
    Fact("cardiac cycle", _text("CardiacCyclePosition", group=_CARDIAC)),
    Fact("respiratory phase", _amount("NominalPercentageOfRespiratoryPhase", group=_RESPIRATORY)),
    Fact("respiratory cycle", _text("RespiratoryCyclePosition", group=_RESPIRATORY)),
    Fact("time point", _amount("TemporalPositionIdentifier", "TemporalPositionIndex", group=_CONTENT)),
    Fact("energy", _amount("MonoenergeticEnergyEquivalent")),
    Fact("kind of picture", _picture),
    Fact("series number", _amount("SeriesNumber")),
    Fact("series description", _text("SeriesDescription")),
)
"""Facts whose stated values are never mixed in one volume."""

MAY_FOLLOW = (
    Fact("acquisition", _amount("AcquisitionNumber", "FrameAcquisitionNumber", group=_CONTENT)),
    Fact("stack", _text("StackID", group=_CONTENT)),
    Fact("image type", lambda frame: "/".join(frame.image_type)),
    Fact("contrast agent", _text("ContrastBolusAgent")),
    Fact("reconstruction diameter", _amount("ReconstructionDiameter")),
    Fact("scan options", _text("ScanOptions")),
    Fact("filter", _text("FilterType", group="CTXRayDetailsSequence")),
    _ACQUISITION_TIME,
    Fact("field of view", _field),
)
"""Facts that may change where one part of a volume ends and the next begins, as a scanner that steps writes them."""

TELLS_TIME = (
    _ACQUISITION_TIME,
    Fact(
        "trigger time", _amount("TriggerTime", "NominalCardiacTriggerDelayTime", "NominalRespiratoryTriggerDelayTime")
    ),
    Fact("content time", _text("ContentTime")),
)
"""Facts that differ from image to image in ordinary series; looked at only where places hold several images."""


def values_of(frames: Sequence[Frame], fact: Fact) -> list[str]:
    """Return the fact's value of each image; all empty where it differs at nearly every image and so tells nothing."""
    values = [fact.read(frame) for frame in frames]
    stated = set(values) - {""}
    if fact.name != "patient" and len(frames) > 2 and len(stated) > max(2, _TELLS_NOTHING * len(frames)):
        return [""] * len(values)
    return values


def patient_of(frame: Frame) -> str:
    """Return the hash that stands for the patient; "" where the header names none."""
    return str(frame.header.get("PatientID") or "")


def study_of(frame: Frame) -> str:
    """Return the Study Instance UID."""
    return str(frame.header.get("StudyInstanceUID") or "")


def series_of(frame: Frame) -> str:
    """Return the Series Instance UID."""
    return str(frame.header.get("SeriesInstanceUID") or "")


def modality_of(frame: Frame) -> str:
    """Return the modality in upper case."""
    return str(frame.header.get("Modality") or "").strip().upper()
