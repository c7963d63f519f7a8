"""What is known of a volume node beyond its voxels: DICOM headers of its slices, else what the scene says of it.

The study's own DICOM reader is not used: it unpacks compressed files with a package that Slicer lacks.
"""

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
from pydicom.dataset import Dataset
from pydicom.errors import InvalidDicomError

from AcuteFindingsLib.scene.application import load_slicer
from AcuteFindingsLib.study.dicom_frames import Frame, frames_of

InstanceFile = Callable[[str], str]
"""Gives the file that holds a SOP Instance UID, ``""`` where it is not known."""

MOST_HEADERS = 32
"""Headers read of one series, spread over it; each takes about 2 ms, and the window waits meanwhile."""

PHANTOM = "AcuteFindings.Phantom"
"""Attribute of a volume node that shows one of this library's phantoms: ``"1"``; kept when the scene is saved."""

# A closed list, so that nothing which names the patient ever enters this program.
_TAGS = [
    "SOPClassUID", "SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID", "FrameOfReferenceUID", "Modality",
    "ImageType", "SeriesNumber", "SeriesDescription", "BodyPartExamined", "AnatomicRegionSequence", "PatientPosition",
    "Manufacturer", "ManufacturerModelName", "KVP", "ConvolutionKernel", "ContrastBolusAgent",
    "ContrastBolusAgentSequence", "SliceThickness", "GantryDetectorTilt", "InstanceNumber", "SliceLocation",
    "AcquisitionNumber", "ImagePositionPatient", "ImageOrientationPatient", "ViewPosition", "ViewCodeSequence",
    "PatientOrientation", "Laterality", "ImageLaterality", "BurnedInAnnotation", "SharedFunctionalGroupsSequence",
    "PerFrameFunctionalGroupsSequence", "Rows", "Columns", "NumberOfFrames", "PhotometricInterpretation",
    "BitsAllocated", "BitsStored", "PixelRepresentation", "PixelPaddingValue", "PixelPaddingRangeLimit", "PixelSpacing",
    "ImagerPixelSpacing", "NominalScannedPixelSpacing", "RescaleSlope", "RescaleIntercept", "RescaleType",
    "ModalityLUTSequence", "VOILUTSequence", "WindowCenter", "WindowWidth", "VOILUTFunction", "StudyDescription",
    "ProtocolName", "PatientAge",
]  # fmt: skip

# What pydicom raises on damaged input; a header that cannot be read counts as not there.
_UNREADABLE = (OSError, EOFError, ValueError, KeyError, AttributeError, TypeError, NotImplementedError)


@dataclass(frozen=True)
class NodeHeaders:
    """What is known of a node's slices.

    Attributes
    ----------
    uids
        SOP Instance UID of each slice in the node's order, ``""`` where not known.
    frames
        The images whose headers were read, by the slice's place; none where no file is known.
    modality, study_uid, series_uid
        As the subject hierarchy says; ``""`` where it is silent.
    from_dicom
        Whether the node was loaded from DICOM files at all.
    phantom
        Whether the node is marked as one of this library's phantoms.
    """

    uids: tuple[str, ...]
    frames: dict[int, Frame]
    modality: str
    study_uid: str
    series_uid: str
    from_dicom: bool
    phantom: bool = False

    @property
    def first(self) -> Frame | None:
        """The first image whose header was read."""
        return self.frames[min(self.frames)] if self.frames else None


def headers_of(volume: Any, count: int, instance_file: InstanceFile | None) -> NodeHeaders:
    """Read the headers of a node's `count` slices, of many slices some.

    Slicer keeps the slices' UIDs in the attribute ``DICOM.instanceUIDs``, in the order of the third index, parted by
    blanks. A single one for several slices is a multi-frame file.
    """
    stated = (volume.GetAttribute("DICOM.instanceUIDs") or "").split()
    uids = ["" if uid == "Unknown" else uid for uid in stated]
    frames: dict[int, Frame] = {}
    if len(uids) == 1 and count > 1:
        uids = uids * count
        found = _read(uids[0], instance_file)
        # Frames that the node left out cannot be told from those it holds.
        frames = dict(enumerate(found)) if len(found) == count else dict(enumerate(found[:1]))
    elif len(uids) == count:
        for place in np.unique(np.linspace(0, count - 1, min(count, MOST_HEADERS)).round().astype(int)).tolist():
            found = _read(uids[place], instance_file)
            if found:
                frames[place] = found[0]
    else:
        # Cropped or resampled since: none of its slices is one of the series.
        found = next((read for uid in uids if (read := _read(uid, instance_file))), [])
        frames = dict(enumerate(found[:1]))
        uids = [""] * count
    modality, study_uid, series_uid = hierarchy_facts(volume)
    phantom = volume.GetAttribute(PHANTOM) == "1"
    return NodeHeaders(tuple(uids), frames, modality, study_uid, series_uid, bool(stated), phantom)


def frames_of_slices(uids: Sequence[str], instance_file: InstanceFile | None) -> list[Frame]:
    """Read the header of every slice, each a file of its own; those that cannot be read are left out."""
    found = (_read(uid, instance_file) for uid in uids)
    return [frames[0] for frames in found if len(frames) == 1]


def hierarchy_facts(volume: Any) -> tuple[str, str, str]:
    """Return modality, Study and Series Instance UID from the node's place in the subject hierarchy."""
    slicer, _ = load_slicer()
    scene = volume.GetScene()
    hierarchy = None if scene is None else slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(scene)
    if hierarchy is None:
        return "", "", ""
    nothing = hierarchy.GetInvalidItemID()
    item = hierarchy.GetItemByDataNode(volume)
    if item == nothing:
        return "", "", ""
    constants = slicer.vtkMRMLSubjectHierarchyConstants
    dicom = constants.GetDICOMUIDName()
    study = hierarchy.GetItemAncestorAtLevel(item, constants.GetDICOMLevelStudy())
    return (
        hierarchy.GetItemAttribute(item, constants.GetDICOMSeriesModalityAttributeName()).upper(),
        "" if study == nothing else hierarchy.GetItemUID(study, dicom),
        hierarchy.GetItemUID(item, dicom),
    )


def _read(uid: str, instance_file: InstanceFile | None) -> list[Frame]:
    name = instance_file(uid) if instance_file is not None and uid else ""
    if not name:
        return []
    try:
        with warnings.catch_warnings():
            # pydicom's remarks on slightly wrong headers quote them.
            warnings.filterwarnings("ignore", module="pydicom")
            header: Dataset = pydicom.dcmread(name, stop_before_pixels=True, specific_tags=_TAGS)
            for tag in list(header.keys()):
                try:
                    header[tag]
                except (ValueError, TypeError, NotImplementedError):
                    del header[tag]
            return frames_of(Path(name), header)
    except (InvalidDicomError, *_UNREADABLE):
        return []
