"""Studies from image files: NIfTI, NRRD and MetaImage volumes, and PNG or JPEG pictures."""

from pathlib import Path

import numpy as np
import SimpleITK as sitk
from PIL import Image, ImageOps, UnidentifiedImageError

from AcuteFindingsLib.errors import StudyError
from AcuteFindingsLib.study.dicom_decoding import is_really_grey
from AcuteFindingsLib.study.dicom_intensity import stretch
from AcuteFindingsLib.study.dicom_pixels import AIR_HU
from AcuteFindingsLib.study.geometry import orientation_of
from AcuteFindingsLib.study.grid import image_ijk_to_ras
from AcuteFindingsLib.study.notice import Notice
from AcuteFindingsLib.study.study import Orientation, SourceSlice, Study

PICTURE_SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff")
VOLUME_SUFFIXES = (".nii", ".nii.gz", ".nrrd", ".nhdr", ".mha", ".mhd")

_NO_SPACING = Notice(
    "no-pixel-spacing", "info", "The picture does not state the size of a pixel; sizes cannot be given in mm."
)


def is_picture(path: Path) -> bool:
    """Whether the name is that of a PNG, JPEG, BMP or TIFF picture."""
    return path.name.lower().endswith(PICTURE_SUFFIXES)


def is_volume(path: Path) -> bool:
    """Whether the name is that of a NIfTI, NRRD or MetaImage file."""
    return path.name.lower().endswith(VOLUME_SUFFIXES)


def read_picture(path: Path, *, detector: str | None = None) -> Study:
    """Read a picture as one head or chest CT slice (`detector` hemorrhage or pe), else as a radiograph.

    8-bit grey levels are taken as they are, deeper ones stretched as for radiographs without a window.

    Raises
    ------
    StudyError
        Where the file is no picture, is cut short, or is really in colour.
    """
    try:
        with Image.open(path) as picture:
            grey, bits = _grey_levels(ImageOps.exif_transpose(picture), path.name)
    except (UnidentifiedImageError, OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise StudyError(f"{path.name} cannot be read as a picture: it is damaged, too large or no picture.") from error
    return _single_slice(stretch(grey, bits=bits), path, detector=detector, ijk_to_ras=None)


def read_volume(path: Path, *, detector: str | None = None) -> Study:
    """Read a NIfTI, NRRD or MetaImage file: a CT volume in HU, or one slice or radiograph where it has one plane.

    Raises
    ------
    StudyError
        Where the file is damaged, in colour, holds a time series or has no finite value.
    """
    reader = sitk.ImageFileReader()
    reader.SetFileName(str(path))
    try:
        reader.ReadImageInformation()
        _refuse_unreadable_kinds(reader, path.name)
        image = sitk.ReadImage(str(path), sitk.sitkFloat32)
    except RuntimeError as error:
        raise StudyError(f"{path.name} cannot be read as a NIfTI, NRRD or MetaImage volume.") from error
    if image.GetDimension() > 3:
        image = sitk.Extract(image, [*image.GetSize()[:3], *[0] * (image.GetDimension() - 3)])
    flat = image.GetDimension() == 2
    if flat:
        image = sitk.JoinSeries(image)
    whole_numbers = reader.GetPixelID() not in (sitk.sitkFloat32, sitk.sitkFloat64)
    bits = 8 if reader.GetPixelID() in (sitk.sitkUInt8, sitk.sitkInt8) else 16
    matrix = image_ijk_to_ras(image)
    array = sitk.GetArrayFromImage(image)
    del image
    notices = _make_finite(array, path.name)
    single = array.shape[0] == 1
    if single and (flat or detector == "pneumothorax") and not _looks_like_hu(array):
        return _single_slice(
            stretch(array[0], bits=bits) if whole_numbers or array.max() > 1 or array.min() < 0 else array[0],
            path,
            detector=detector,
            ijk_to_ras=matrix,
            notices=notices,
        )
    if _looks_like_hu(array) or array.max() > 255:
        return _volume(array, matrix, path, modality="CT", intensity="HU", notices=notices)
    array /= np.float32(1 if array.max() <= 1 else 255)
    text = (
        f"{path.name} holds no HU but grey levels from {0} to {1 if not whole_numbers else 255}: a window was burnt in."
    )
    notices = (*notices, Notice("window-burnt-in", "warn", text))
    return _volume(array, matrix, path, modality="", intensity="windowed", notices=notices)


def _refuse_unreadable_kinds(reader: sitk.ImageFileReader, name: str) -> None:
    if reader.GetDimension() > 3 and max(reader.GetSize()[3:]) > 1:
        raise StudyError(f"{name} holds a time series ({reader.GetSize()[3]} volumes); give one volume.")
    if reader.GetNumberOfComponents() > 1:
        raise StudyError(f"{name} is in colour or holds vectors; a grey volume is expected.")


def _grey_levels(picture: Image.Image, name: str) -> tuple[np.ndarray, int]:
    """Return grey values ``(y, x)`` and their bits."""
    if picture.mode in ("I;16", "I;16B", "I;16L", "I", "F"):
        values = np.asarray(picture)
        return values, 8 if values.max() <= 255 and values.min() >= 0 else 16
    if picture.mode in ("1", "L", "LA"):
        return np.asarray(picture.convert("L")), 8
    colour = np.asarray(picture.convert("RGB"))
    if not is_really_grey(colour):
        raise StudyError(f"{name} is a colour picture; CT and radiographs are grey.")
    return colour[..., 1], 8


def _make_finite(array: np.ndarray, name: str) -> tuple[Notice, ...]:
    """Replace, in place, what is not a number by air (HU) or black; returns what was done."""
    lowest, highest = float(array.min()), float(array.max())
    if np.isfinite(lowest) and np.isfinite(highest):
        return ()
    bad = ~np.isfinite(array)
    if bad.all():
        raise StudyError(f"{name} holds no finite value.")
    array[bad] = AIR_HU if array[~bad].min() < -100 else 0.0
    text = f"{int(bad.sum())} voxels of {name} hold no number; they were taken as air."
    return (Notice("not-a-number", "warn", text),)


def _looks_like_hu(array: np.ndarray) -> bool:
    """Whether some values are far below 0: grey levels and probabilities have none."""
    return bool(array.min() < -100)


def _single_slice(
    grey: np.ndarray,
    path: Path,
    *,
    detector: str | None,
    ijk_to_ras: np.ndarray | None,
    notices: tuple[Notice, ...] = (),
) -> Study:
    is_ct = detector in ("hemorrhage", "pe")
    known = ijk_to_ras is not None
    matrix = np.diag([-1.0, -1.0, 1.0, 1.0]) if ijk_to_ras is None else ijk_to_ras
    orientation: Orientation = "axial" if is_ct else "projection"
    array = np.ascontiguousarray(grey, np.float32)[None]
    return Study(
        array=array,
        ijk_to_ras=matrix,
        modality="",
        intensity="windowed" if is_ct else "unit",
        orientation=orientation,
        sources=_sources(array.shape, matrix, path),
        pixel_spacing_known=known,
        notices=notices if known else (*notices, _NO_SPACING),
        source_name=path.name,
    )


def _volume(
    array: np.ndarray, matrix: np.ndarray, path: Path, *, modality: str, intensity: str, notices: tuple[Notice, ...]
) -> Study:
    to_lps = np.diag([-1.0, -1.0, 1.0, 1.0]) @ matrix
    axes = to_lps[:3, :2] / np.linalg.norm(to_lps[:3, :2], axis=0)
    return Study(
        array=array,
        ijk_to_ras=matrix,
        modality=modality,
        intensity="HU" if intensity == "HU" else "windowed",
        orientation=orientation_of(axes.T.ravel()),
        sources=_sources(array.shape, matrix, path),
        notices=notices,
        source_name=path.name,
    )


def _sources(shape: tuple[int, ...], matrix: np.ndarray, path: Path) -> tuple[SourceSlice, ...]:
    step = float(np.linalg.norm(matrix[:3, 2]))
    sources = []
    for k in range(shape[0]):
        x, y, z, _ = (matrix @ [(shape[2] - 1) / 2, (shape[1] - 1) / 2, k, 1]).tolist()
        thickness = step if shape[0] > 1 else None
        sources.append(SourceSlice(k, path, k, "", (x, y, z), float(k), thickness))
    return tuple(sources)
