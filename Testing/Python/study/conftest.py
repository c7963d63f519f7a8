"""Synthetic DICOM: series and radiographs with any geometry and encoding, written by pydicom."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import (
    ComputedRadiographyImageStorage,
    CTImageStorage,
    DeflatedExplicitVRLittleEndian,
    EnhancedCTImageStorage,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    generate_uid,
)

AXIAL = (1.0, 0, 0, 0, 1, 0)
CORONAL = (1.0, 0, 0, 0, 0, -1)
SAGITTAL = (0.0, 1, 0, 0, 0, -1)


def linear_field(points: np.ndarray) -> np.ndarray:
    """HU that rise linearly along each patient axis: what any linear interpolation keeps. Points are LPS, mm."""
    return np.asarray(points) @ [1.0, 2.0, -3.0] + 40.0


def write_series(
    folder: Path,
    array: np.ndarray | Callable[[np.ndarray], np.ndarray],
    *,
    shape: tuple[int, int, int] = (6, 8, 10),
    spacing: tuple[float, float, float] = (5.0, 0.5, 0.75),
    heights: Sequence[float] | None = None,
    directions: Sequence[float] = AXIAL,
    origin: Sequence[float] = (-100.0, 20.0, -300.0),
    tilt_deg: float = 0.0,
    order: Sequence[int] | None = None,
    slope: float | None = 1.0,
    intercept: float | Sequence[float] | None = -1024.0,
    signed: bool = False,
    bits_stored: int = 16,
    transfer_syntax: str = ExplicitVRLittleEndian,
    each: Callable[[Dataset, int], None] | None = None,
    **attributes: Any,
) -> list[Path]:
    """Write a CT series, one file a slice, and return the files in the order of the slices.

    Parameters
    ----------
    array
        HU ``(z, y, x)``, or a function from LPS points ``(..., 3)`` to HU such as `linear_field`.
    shape, spacing
        ``(z, y, x)``; `shape` only where `array` is a function.
    heights
        Places of the slices along their normal in mm, instead of equal steps.
    tilt_deg
        Gantry tilt: slices lean about their rows while they follow each other along the untilted normal.
    order
        Name of each slice's file on disk: a permutation.
    each
        Called with each data set and its slice number before it is written.
    attributes
        More attributes, by keyword, for all slices.
    """
    folder.mkdir(parents=True, exist_ok=True)
    row, column = np.array(directions[:3], float), np.array(directions[3:], float)
    line = np.cross(row, column)
    tilt = np.deg2rad(tilt_deg)
    column = np.cos(tilt) * column - np.sin(tilt) * line
    count, rows, columns = shape if callable(array) else array.shape
    steps = np.arange(count) * spacing[0] if heights is None else np.asarray(heights)
    study_uid, series_uid, frame_uid = generate_uid(), generate_uid(), generate_uid()
    files = []
    for number in range(count):
        position = np.asarray(origin) + steps[number] / np.cos(tilt) * line
        if callable(array):
            j, i = np.mgrid[:rows, :columns]
            points = position + j[..., None] * spacing[1] * column + i[..., None] * spacing[2] * row
            hu = array(points)
        else:
            hu = array[number]
        own = intercept[number] if isinstance(intercept, Sequence) else intercept
        stored = np.round((hu - (own or 0)) / (slope or 1))
        dataset = image_dataset(stored, signed=signed, bits_stored=bits_stored)
        dataset.SOPClassUID, dataset.Modality = CTImageStorage, "CT"
        dataset.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL"]
        dataset.StudyInstanceUID, dataset.SeriesInstanceUID, dataset.FrameOfReferenceUID = (
            study_uid,
            series_uid,
            frame_uid,
        )
        dataset.InstanceNumber, dataset.SeriesNumber = number + 1, 2
        dataset.ImagePositionPatient = [f"{value:.6f}" for value in position]
        dataset.ImageOrientationPatient = [f"{value:.8f}" for value in (*row, *column)]
        dataset.PixelSpacing = list(spacing[1:])
        dataset.SliceThickness = spacing[0]
        if slope is not None:
            dataset.RescaleSlope = slope
        if own is not None:
            dataset.RescaleIntercept = own
        for keyword, value in attributes.items():
            setattr(dataset, keyword, value)
        if each is not None:
            each(dataset, number)
        name = number if order is None else order[number]
        files.append(save(dataset, folder / f"{name:04d}.dcm", transfer_syntax))
    return files


def write_radiograph(
    path: Path,
    stored: np.ndarray,
    *,
    bits_stored: int = 12,
    transfer_syntax: str = ExplicitVRLittleEndian,
    **attributes: Any,
) -> Path:
    """Write a frontal chest radiograph of stored values ``(y, x)``."""
    dataset = image_dataset(stored, bits_stored=bits_stored)
    dataset.SOPClassUID, dataset.Modality = ComputedRadiographyImageStorage, "CR"
    dataset.ImageType = ["ORIGINAL", "PRIMARY"]
    dataset.StudyInstanceUID, dataset.SeriesInstanceUID = generate_uid(), generate_uid()
    dataset.BodyPartExamined, dataset.ViewPosition = "CHEST", "PA"
    for keyword, value in attributes.items():
        setattr(dataset, keyword, value)
    path.parent.mkdir(parents=True, exist_ok=True)
    return save(dataset, path, transfer_syntax)


def write_enhanced(
    path: Path,
    hu: np.ndarray,
    *,
    order: Sequence[int],
    spacing: tuple[float, float, float] = (3.0, 0.5, 0.75),
    origin: Sequence[float] = (-10.0, -20.0, 30.0),
    intercepts: Sequence[float] | None = None,
    transfer_syntax: str = ExplicitVRLittleEndian,
) -> Path:
    """Write an enhanced multi-frame CT whose frame n shows slice ``order[n]`` of HU ``(z, y, x)``, axial."""
    shifts = [-1024.0] * len(hu) if intercepts is None else intercepts
    stored = np.stack([hu[k] - shifts[k] for k in order])
    dataset = image_dataset(stored)
    dataset.SOPClassUID, dataset.Modality, dataset.NumberOfFrames = EnhancedCTImageStorage, "CT", len(hu)
    dataset.ImageType = ["ORIGINAL", "PRIMARY", "VOLUME", "NONE"]
    dataset.StudyInstanceUID, dataset.SeriesInstanceUID = generate_uid(), generate_uid()
    dataset.FrameOfReferenceUID = generate_uid()
    shared = Dataset()
    shared.PlaneOrientationSequence = [_item(ImageOrientationPatient=list(AXIAL))]
    measures = _item(PixelSpacing=list(spacing[1:]), SliceThickness=spacing[0])
    shared.PixelMeasuresSequence = [measures]
    dataset.SharedFunctionalGroupsSequence = [shared]
    dataset.PerFrameFunctionalGroupsSequence = []
    for k in order:
        own = Dataset()
        position = [origin[0], origin[1], origin[2] + k * spacing[0]]
        own.PlanePositionSequence = [_item(ImagePositionPatient=position)]
        own.PixelValueTransformationSequence = [_item(RescaleSlope=1, RescaleIntercept=shifts[k], RescaleType="HU")]
        dataset.PerFrameFunctionalGroupsSequence.append(own)
    return save(dataset, path, transfer_syntax)


def _item(**attributes: Any) -> Dataset:
    item = Dataset()
    for keyword, value in attributes.items():
        setattr(item, keyword, value)
    return item


def image_dataset(stored: np.ndarray, *, signed: bool = False, bits_stored: int = 16) -> Dataset:
    """Return a data set that holds one gray image."""
    dataset = Dataset()
    dataset.SOPInstanceUID = generate_uid()
    dataset.PatientName, dataset.PatientID = "Secret^Person", "SECRET-1"
    allocated = 8 if bits_stored <= 8 else 16
    dataset.Rows, dataset.Columns = stored.shape[-2:]
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, "MONOCHROME2"
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = allocated, bits_stored, bits_stored - 1
    dataset.PixelRepresentation = int(signed)
    dataset.PixelData = stored.astype(f"<{'i' if signed else 'u'}{allocated // 8}").tobytes()
    return dataset


def save(dataset: Dataset, path: Path, transfer_syntax: str = ExplicitVRLittleEndian) -> Path:
    """Write a data set whose pixels are little-endian in a transfer syntax, compressing where that asks for it."""
    native = (
        ExplicitVRLittleEndian, ImplicitVRLittleEndian, DeflatedExplicitVRLittleEndian, ExplicitVRBigEndian,
    )  # fmt: skip
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.MediaStorageSOPClassUID = dataset.SOPClassUID
    dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
    dataset["PixelData"].VR = "OW" if dataset.BitsAllocated > 8 else "OB"
    if transfer_syntax in native:
        dataset.file_meta.TransferSyntaxUID = transfer_syntax
        if transfer_syntax == ExplicitVRBigEndian and dataset.BitsAllocated == 16:
            dataset.PixelData = np.frombuffer(dataset.PixelData, "<u2").astype(">u2").tobytes()
    else:
        dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        dataset.compress(transfer_syntax, generate_instance_uid=False)
    dataset.save_as(path, enforce_file_format=True)
    return path


@pytest.fixture(name="write_series")
def write_series_fixture() -> Callable[..., list[Path]]:
    """The builder `write_series`."""
    return write_series


@pytest.fixture(name="write_radiograph")
def write_radiograph_fixture() -> Callable[..., Path]:
    """The builder `write_radiograph`."""
    return write_radiograph
