"""Studies from volume files: NIfTI, NRRD and MetaImage, with HU, gray levels, or one plane."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from AcuteFindingsLib.errors import StudyError
from AcuteFindingsLib.study.dicom_intensity import stretch
from AcuteFindingsLib.study.file_kinds import shown_name
from AcuteFindingsLib.study.geometry import orientation_of
from AcuteFindingsLib.study.gray_values import is_windowed, looks_like_hu, make_finite
from AcuteFindingsLib.study.notice import Notice
from AcuteFindingsLib.study.picture_study import picture_study
from AcuteFindingsLib.study.requirements import RadiographRequirements, Requirements
from AcuteFindingsLib.study.slice_values import AIR_HU
from AcuteFindingsLib.study.study import DicomFacts, SourceSlice, Study
from AcuteFindingsLib.study.upright import UprightVolume, set_upright
from AcuteFindingsLib.study.volume_file import read_volume_header, read_voxels
from AcuteFindingsLib.study.volume_header import LPS_TO_RAS, VolumeHeader

PICTURE_SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff")
VOLUME_SUFFIXES = (".nii", ".nii.gz", ".hdr", ".hdr.gz", ".nrrd", ".nhdr", ".mha", ".mhd")
_PAIR_SUFFIXES = (".img", ".img.gz")
# Shorter names: what macOS leaves beside a file for its own use begins so.
_LEFTOVER = "._"

# Gantries tilt up to 30°.
_STEEPEST_GANTRY_DEG = 35.0

_SEGMENTATION = Notice(
    "label-map",
    "refuse",
    "The file says that its values are labels of a segmentation, not HU; choose the images it was drawn on.",
)


def is_picture(path: Path) -> bool:
    """Whether the name is that of a PNG, JPEG, BMP or TIFF picture."""
    return path.name.lower().endswith(PICTURE_SUFFIXES) and not path.name.startswith(_LEFTOVER)


def is_volume(path: Path) -> bool:
    """Whether the name is that of a NIfTI, NRRD or MetaImage file, or of the header of a NIfTI pair."""
    return path.name.lower().endswith(VOLUME_SUFFIXES) and not path.name.startswith(_LEFTOVER)


def header_of_pair(path: Path) -> Path | None:
    """Return the .hdr file beside an .img file, the two being one volume; None where there is none."""
    name = path.name
    for suffix in _PAIR_SUFFIXES:
        if name.lower().endswith(suffix):
            stem = name[: -len(suffix)].lower()
            wanted = (f"{stem}.hdr", f"{stem}.hdr.gz")
            found = sorted(file for file in path.parent.iterdir() if file.name.lower() in wanted and file.is_file())
            return found[0] if found else None
    return None


def read_volume(path: Path, *, requirements: Requirements | None = None) -> Study:
    """Read a NIfTI, NRRD or MetaImage file: a CT volume in HU, or one slice or radiograph where it has one plane.

    A volume whose axes lean is set upright. What is not a number becomes air, with a warning.

    Raises
    ------
    StudyError
        Where the file is damaged, in color, holds a time series or has no finite value, or its header asks for what
        `budgets` do not allow or for a file in another place.
    """
    header = read_volume_header(path)
    array = read_voxels(header)
    try:
        notices = (*header.notices, *make_finite(array))
    except StudyError as error:
        raise StudyError(f"{shown_name(path)}: {error}") from error
    if header.segmentation:
        notices = (*notices, _SEGMENTATION)
    lowest, highest = float(array.min()), float(array.max())
    as_picture = header.flat or isinstance(requirements, RadiographRequirements)
    if array.shape[0] == 1 and as_picture and not looks_like_hu(lowest):
        bits = 8 if header.dtype.itemsize == 1 else 16
        as_it_is = not header.whole_numbers and lowest >= 0 and highest <= 1
        return picture_study(
            array[0] if as_it_is else stretch(array[0], bits=bits),
            path,
            requirements=requirements,
            ijk_to_ras=_flattened(header.ijk_to_ras) if header.spacing_known else None,
            notices=tuple(notice for notice in notices if notice.code != "orientation-unknown"),
            side_stated=len(notices) == 0 or all(notice.code != "orientation-unknown" for notice in notices),
        )
    windowed = is_windowed(lowest, highest)
    if windowed:
        array /= np.float32(1 if highest <= 1 else 255)
        text = (
            f"The file holds no HU but gray levels from 0 to {1 if highest <= 1 else 255}: a display window was burned "
            "in."
        )
        notices = (*notices, Notice("window-burnt-in", "warn", text))
    upright = set_upright(array, header.ijk_to_ras, fill=0.0 if windowed else AIR_HU, name=shown_name(path))
    return _volume(upright, header, windowed=windowed, notices=notices)


def _flattened(ijk_to_ras: np.ndarray) -> np.ndarray:
    """Return the matrix of one plane, its third axis upright on it."""
    matrix = ijk_to_ras.copy()
    step = np.linalg.norm(matrix[:3, 2])
    normal = np.cross(matrix[:3, 0], matrix[:3, 1])
    side = np.sign(normal @ matrix[:3, 2]) or 1.0
    matrix[:3, 2] = normal / np.linalg.norm(normal) * step * side
    return matrix


def _volume(upright: UprightVolume, header: VolumeHeader, *, windowed: bool, notices: tuple[Notice, ...]) -> Study:
    to_lps = LPS_TO_RAS @ upright.ijk_to_ras
    axes = to_lps[:3, :2] / np.linalg.norm(to_lps[:3, :2], axis=0)
    if upright.tilt_deg:
        text = f"The stack of slices is tilted by {upright.tilt_deg:.1f}° (gantry tilt); it was set upright."
        notices = (*notices, Notice("gantry-tilt", "info", text))
    if upright.tilt_deg > _STEEPEST_GANTRY_DEG:
        text = (
            f"The stack of slices is tilted by {upright.tilt_deg:.0f}°, more than any gantry tilts, so the file's "
            "geometry may be wrong; compare the original before you trust a place or a volume."
        )
        notices = (*notices, Notice("steep-tilt", "warn", text))
    return Study(
        array=upright.array,
        ijk_to_ras=upright.ijk_to_ras,
        modality="" if windowed else "CT",
        intensity="windowed" if windowed else "HU",
        orientation=orientation_of(axes.T.ravel()),
        sources=_sources(upright, header.path),
        dicom=DicomFacts(gantry_tilt_deg=upright.tilt_deg),
        pixel_spacing_known=header.spacing_known,
        regridded=f"gantry tilt of {upright.tilt_deg:.1f}° undone" if upright.tilt_deg else "",
        notices=notices,
        source_name=shown_name(header.path),
    )


def _sources(upright: UprightVolume, path: Path) -> tuple[SourceSlice, ...]:
    height, width = upright.slice_shape
    centers = upright.first_pixels + upright.in_plane @ [(width - 1) / 2, (height - 1) / 2]
    thickness = float(np.linalg.norm(upright.ijk_to_ras[:3, 2])) if len(centers) > 1 else None
    return tuple(
        SourceSlice(number, path, number, "", _place(center), float(k), thickness)
        for number, (center, k) in enumerate(zip(centers, upright.k, strict=True))
    )


def _place(center: Sequence[float]) -> tuple[float, float, float]:
    x, y, z = (float(value) for value in center)
    return x, y, z
