"""A study as the file that a provider's package reads, and label files back as arrays."""

from pathlib import Path

import numpy as np
import SimpleITK as sitk

from AcuteFindingsLib.errors import DetectionError, ProviderError, StudyError
from AcuteFindingsLib.preprocessing.orient import Axial, to_axial
from AcuteFindingsLib.study.grid import place_image
from AcuteFindingsLib.study.itk_files import read_image, write_image
from AcuteFindingsLib.study.study import Study


def ct_axial(study: Study, provider: str) -> Axial:
    """Return the axial view of a CT study in HU.

    Raises
    ------
    DetectionError
        The study holds no Hounsfield units, or too few slices for a three-dimensional network.
    """
    if study.intensity != "HU":
        raise DetectionError(
            f"{study.source_name} holds no Hounsfield units, which {provider} needs; give it the DICOM."
        )
    axial = to_axial(study)
    if len(axial.array) < 2:
        raise DetectionError(f"{study.source_name} holds one slice; {provider} reads whole series.")
    return axial


def write_volume(axial: Axial, target: Path) -> Path:
    """Write the axial view as NIfTI, int16 HU; nothing of the header but the geometry goes along."""
    image = sitk.GetImageFromArray(np.clip(np.rint(axial.array), -32768, 32767).astype(np.int16))
    place_image(image, axial.ijk_to_ras)
    write_image(image, target)
    return target


def read_volume(file: Path, axial: Axial) -> np.ndarray:
    """Read back an image ``(z, y, x)`` that a package wrote on the grid of `write_volume`.

    Raises
    ------
    ProviderError
        The file cannot be read or lies on another grid.
    """
    try:
        array = sitk.GetArrayFromImage(read_image(file))
    except StudyError as error:
        raise ProviderError(f"The result {file.name} of the provider's package cannot be read: {error}") from error
    array = array[..., 0] if array.ndim == 4 else array
    if array.shape != axial.array.shape:
        raise ProviderError(f"The result {file.name} has the shape {array.shape}, expected {axial.array.shape}.")
    return array
