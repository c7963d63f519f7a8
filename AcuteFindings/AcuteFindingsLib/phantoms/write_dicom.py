"""Phantoms as valid DICOM studies with their truth beside them."""

import os
import shutil
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.errors import InvalidDicomError
from pydicom.uid import (
    CTImageStorage,
    DigitalXRayImageStorageForPresentation,
    ExplicitVRLittleEndian,
)

from AcuteFindingsLib.errors import ExportError
from AcuteFindingsLib.files import sweep_abandoned
from AcuteFindingsLib.phantoms.phantom import Phantom
from AcuteFindingsLib.phantoms.phantom_facts import PhantomUids, decimal, first_voxel_lps, phantom_name
from AcuteFindingsLib.phantoms.write_truth import write_truth
from AcuteFindingsLib.study.study import PHANTOM_MANUFACTURER

__all__ = [
    "first_voxel_lps",
    "phantom_name",
    "write_ct",
    "write_dicom",
    "write_phantom",
    "write_radiograph",
    "write_truth",
]

# Fixed, so that the same phantom is the same file on any day.
STUDY_DATE, STUDY_TIME = "20240102", "080000"
_CT_INTERCEPT = -1024
_CT_MAXIMUM = 4095
_RADIOGRAPH_MAXIMUM = 4095
_CT_FACTS: dict[str, dict[str, Any]] = {
    "head-ct": {
        "BodyPartExamined": "HEAD",
        "StudyDescription": "Phantom CT head without contrast",
        "SeriesDescription": "Head axial (procedural phantom)",
        "WindowCenter": [40, 600],
        "WindowWidth": [80, 2800],
        "WindowCenterWidthExplanation": ["BRAIN", "BONE"],
        "XRayTubeCurrent": 250,
        "region": ("69536005", "Head"),
    },
    "ctpa": {
        "BodyPartExamined": "CHEST",
        "StudyDescription": "Phantom CT pulmonary angiogram",
        "SeriesDescription": "CTPA axial (procedural phantom)",
        "WindowCenter": [100, -600],
        "WindowWidth": [700, 1500],
        "WindowCenterWidthExplanation": ["ANGIO", "LUNG"],
        "XRayTubeCurrent": 200,
        "ContrastBolusAgent": "Iodinated contrast 350 mg/mL",
        "region": ("816094009", "Chest"),
    },
}


def write_phantom(phantom: Phantom, folder: Path | str, *, name: str | None = None) -> Path:
    """Write DICOM and truth into ``folder/name/dicom`` and ``folder/name/truth``.

    Everything is written into a temporary folder beside its target and moved when complete; an earlier ``dicom`` and
    ``truth`` of that name are replaced where they hold a phantom and nothing else.

    Parameters
    ----------
    phantom
        What to write.
    folder
        Where the study's folder goes; made where it is missing.
    name
        The study's folder; None gives kind and seed, ``head-ct-0007``.

    Returns
    -------
    pathlib.Path
        ``folder/name``.

    Raises
    ------
    ExportError
        If a file cannot be written, the phantom's kind is unknown, or files of others are in the way.
    """
    target = Path(folder) / (name or phantom_name(phantom))
    try:
        _refuse_foreign(target, phantom)
        target.mkdir(parents=True, exist_ok=True)
        sweep_abandoned(target, r"\.writing-[a-z0-9_]{8}")
        work = Path(tempfile.mkdtemp(prefix=".writing-", dir=target))
        try:
            write_dicom(phantom, work / "dicom")
            write_truth(phantom, work / "truth")
            for part in ("dicom", "truth"):
                if (target / part).exists():
                    (target / part).rename(work / f"earlier-{part}")
                (work / part).rename(target / part)
        finally:
            shutil.rmtree(work)
    except OSError as error:
        raise ExportError(f"The phantom could not be written to {target}: {error.strerror or error}.") from error
    return target


def _refuse_foreign(target: Path, phantom: Phantom) -> None:
    truth = {f"{name}.nrrd" for name in phantom.masks} | {"slices.csv", "study.csv", "parameters.json"}
    for part in ("dicom", "truth"):
        folder = target / part
        files = [] if folder.is_dir() and not folder.is_symlink() else [folder] if os.path.lexists(folder) else []
        files += [
            path for path in folder.rglob("*") if not (path.name in truth if part == "truth" else _is_phantom(path))
        ]
        if files:
            raise ExportError(
                f"{files[0]} is in the way and no file of a phantom; move it elsewhere, or name another folder."
            )


def _is_phantom(path: Path) -> bool:
    try:
        header = pydicom.dcmread(path, stop_before_pixels=True, specific_tags=["Manufacturer"])
    except (InvalidDicomError, OSError, ValueError):
        return False
    return str(header.get("Manufacturer") or "") == PHANTOM_MANUFACTURER


def write_dicom(phantom: Phantom, folder: Path | str) -> list[Path]:
    """Write the phantom's images as DICOM, of the kind that suits it; returns the files in slice order.

    Raises
    ------
    ExportError
        If the phantom's kind is unknown.
    """
    if phantom.kind in _CT_FACTS:
        return write_ct(phantom, folder)
    if phantom.kind == "chest-xray":
        return write_radiograph(phantom, folder)
    raise ExportError(f"A phantom of kind {phantom.kind!r} has no DICOM form; expected head-ct, ctpa or chest-xray.")


def write_ct(
    phantom: Phantom, folder: Path | str, *, kvp: float = 120.0, convolution_kernel: str = "STANDARD"
) -> list[Path]:
    """Write a CT phantom as one series of CT Image Storage, one file a slice, from inferior to superior.

    Parameters
    ----------
    phantom
        Of kind ``"head-ct"`` or ``"ctpa"``; `array` in HU is rounded and limited to -1024..3071.
    folder
        Receives ``0001.dcm`` and so on.
    kvp, convolution_kernel
        Said in the header.

    Returns
    -------
    list of pathlib.Path
        In slice order.
    """
    facts = _CT_FACTS[phantom.kind]
    uids = PhantomUids(phantom)
    common = _common(phantom, uids, modality="CT")
    common.update(_elements(facts))
    dz, dy, dx = phantom.spacing
    common.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL"]
    common.SOPClassUID = CTImageStorage
    common.FrameOfReferenceUID = uids.make("frame of reference")
    common.PositionReferenceIndicator = "OM" if phantom.kind == "head-ct" else "SN"
    common.PatientPosition = "HFS"
    common.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
    common.PixelSpacing = [decimal(dy), decimal(dx)]
    common.SliceThickness = decimal(dz)
    common.KVP = decimal(kvp)
    common.GantryDetectorTilt = 0
    common.ConvolutionKernel = convolution_kernel
    common.ReconstructionDiameter = decimal(dx * phantom.array.shape[2])
    common.ExposureTime = 1000
    common.RescaleIntercept = _CT_INTERCEPT
    common.RescaleSlope = 1
    common.RescaleType = "HU"
    common.AcquisitionNumber = 1
    if phantom.kind == "ctpa":
        common.ContrastBolusAgent = facts["ContrastBolusAgent"]
        common.ContrastBolusRoute = "IV"
    _describe_pixels(common, phantom.array.shape[1:], bits=12)

    origin = first_voxel_lps(phantom)
    files = []
    for index, pixels in enumerate(phantom.array):
        position = [origin[0], origin[1], origin[2] + index * dz]
        image = Dataset()
        image.update(common)
        image.SOPInstanceUID = uids.image(index)
        image.InstanceNumber = index + 1
        image.ImagePositionPatient = [decimal(value) for value in position]
        image.SliceLocation = decimal(position[2])
        stored = np.clip(np.rint(pixels) - _CT_INTERCEPT, 0, _CT_MAXIMUM)
        image.PixelData = stored.astype("<u2").tobytes()
        files.append(_save(image, Path(folder) / f"{index + 1:04d}.dcm"))
    return files


def write_radiograph(phantom: Phantom, folder: Path | str) -> list[Path]:
    """Write a radiograph phantom as Digital X-Ray Image Storage, For Presentation: 12 bit, MONOCHROME2.

    The view position comes from ``study_labels["view_ap"]`` (PA where that is 0 or missing).

    Returns
    -------
    list of pathlib.Path
        One file.
    """
    uids = PhantomUids(phantom)
    image = _common(phantom, uids, modality="DX")
    antero_posterior = bool(phantom.study_labels.get("view_ap", 0))
    _, dy, dx = phantom.spacing
    image.ImageType = ["ORIGINAL", "PRIMARY"]
    image.SOPClassUID = DigitalXRayImageStorageForPresentation
    image.SOPInstanceUID = uids.image(0)
    image.InstanceNumber = 1
    image.StudyDescription = "Phantom chest radiograph"
    image.SeriesDescription = f"Chest {'AP' if antero_posterior else 'PA'} (procedural phantom)"
    image.PresentationIntentType = "FOR PRESENTATION"
    image.BodyPartExamined = "CHEST"
    image.AnatomicRegionSequence = [_code("816094009", "Chest")]
    image.ImageLaterality = "U"
    image.ViewPosition = "AP" if antero_posterior else "PA"
    image.ViewCodeSequence = [
        _code("399348003", "antero-posterior") if antero_posterior else _code("272479007", "postero-anterior")
    ]
    image.PatientOrientation = ["L", "F"]
    image.AcquisitionContextSequence = []
    image.DetectorType = "DIRECT"
    image.PositionerType = "NONE"
    image.KVP = "90" if antero_posterior else "125"
    image.PixelSpacing = [decimal(dy), decimal(dx)]
    image.ImagerPixelSpacing = [decimal(dy), decimal(dx)]
    image.PixelIntensityRelationship = "LOG"
    image.PixelIntensityRelationshipSign = -1
    image.RescaleIntercept = 0
    image.RescaleSlope = 1
    image.RescaleType = "US"
    image.PresentationLUTShape = "IDENTITY"
    image.WindowCenter = 2048
    image.WindowWidth = 4096
    image.WindowCenterWidthExplanation = "NORMAL"
    _describe_pixels(image, phantom.array.shape[1:], bits=12)
    stored = np.clip(np.rint(phantom.array[0] * _RADIOGRAPH_MAXIMUM), 0, _RADIOGRAPH_MAXIMUM)
    image.PixelData = stored.astype("<u2").tobytes()
    return [_save(image, Path(folder) / "0001.dcm")]


def _common(phantom: Phantom, uids: PhantomUids, *, modality: str) -> Dataset:
    """Patient, study, series and equipment: what every image of a phantom says."""
    common = Dataset()
    name = phantom_name(phantom).upper()
    common.PatientName = f"PHANTOM^{name}"
    common.PatientID = f"PHANTOM-{name}"
    common.PatientBirthDate = ""
    common.PatientSex = "O"
    common.PatientComments = "Procedural phantom; depicts no person"
    common.StudyInstanceUID = uids.make("study")
    common.SeriesInstanceUID = uids.make("series")
    common.StudyDate = common.SeriesDate = common.AcquisitionDate = common.ContentDate = STUDY_DATE
    common.StudyTime = common.SeriesTime = common.AcquisitionTime = common.ContentTime = STUDY_TIME
    common.StudyID = "1"
    common.SeriesNumber = 1
    common.AccessionNumber = ""
    common.ReferringPhysicianName = ""
    common.Modality = modality
    common.Manufacturer = PHANTOM_MANUFACTURER
    common.ManufacturerModelName = phantom.kind
    common.SoftwareVersions = "1"
    common.BurnedInAnnotation = "NO"
    common.LossyImageCompression = "00"
    return common


def _elements(facts: dict[str, Any]) -> Dataset:
    elements = Dataset()
    for keyword, value in facts.items():
        if keyword == "region":
            elements.AnatomicRegionSequence = [_code(*value)]
        elif keyword != "ContrastBolusAgent":
            setattr(elements, keyword, value)
    return elements


def _describe_pixels(image: Dataset, shape: tuple[int, ...], *, bits: int) -> None:
    image.SamplesPerPixel = 1
    image.PhotometricInterpretation = "MONOCHROME2"
    image.Rows, image.Columns = int(shape[0]), int(shape[1])
    image.BitsAllocated = 16
    image.BitsStored = bits
    image.HighBit = bits - 1
    image.PixelRepresentation = 0


def _code(value: str, meaning: str) -> Dataset:
    """A SNOMED CT code, as PS3.16 lists them for body parts and views."""
    code = Dataset()
    code.CodeValue, code.CodingSchemeDesignator, code.CodeMeaning = value, "SCT", meaning
    return code


def _save(image: Dataset, path: Path) -> Path:
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = image.SOPClassUID
    meta.MediaStorageSOPInstanceUID = image.SOPInstanceUID
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_suffix(".part")
    file = FileDataset(str(part), image, file_meta=meta, preamble=b"\0" * 128)
    file.save_as(part, enforce_file_format=True)
    part.replace(path)
    return path
