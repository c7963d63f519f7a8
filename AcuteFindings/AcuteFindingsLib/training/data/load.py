"""The pixels of examples: single images, whole series, and masks."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import SimpleITK as sitk
from PIL import Image, UnidentifiedImageError

from AcuteFindingsLib.detectors.registry import kind_of_task
from AcuteFindingsLib.errors import DataError, StudyError
from AcuteFindingsLib.models.metadata import Task
from AcuteFindingsLib.progress import Progress, no_progress
from AcuteFindingsLib.study.dicom_files import quiet_pydicom, read_headers
from AcuteFindingsLib.study.dicom_frames import Frame, frames_of
from AcuteFindingsLib.study.dicom_series import largest_volume
from AcuteFindingsLib.study.dicom_volume import read_ct
from AcuteFindingsLib.study.images import is_picture, is_volume
from AcuteFindingsLib.study.itk_files import read_image
from AcuteFindingsLib.study.reader import read_study
from AcuteFindingsLib.study.rle import decode_union
from AcuteFindingsLib.study.study import Study
from AcuteFindingsLib.training.data.table import Example, MaskSource

# Slices of one volume file are asked for one after the other; two, so that image and mask both stay.
_VOLUMES_KEPT = 2


@dataclass(frozen=True, eq=False)
class LoadedStudy:
    """A series as a detector reads it, and which example each of its slices is.

    Attributes
    ----------
    study
        As `read_study` gives it; sorted by position.
    examples
        One entry a slice of ``study.sources``; None where the data set says nothing about that slice.
    """

    study: Study
    examples: tuple[Example | None, ...]

    def label(self, name: str) -> np.ndarray:
        """Return a label of every source slice ``(n,)``; NaN where unknown."""
        unknown = float("nan")
        return np.array([unknown if one is None else one.labels.get(name, unknown) for one in self.examples])

    def mask(self, name: str | None = None) -> np.ndarray | None:
        """Return a mask ``(z, y, x)`` bool on the grid of ``study.array``; None where no slice has one.

        Raises
        ------
        DataError
            Where reading moved the slices (tilt, uneven spacing), so that masks of slices no longer lie on them.
        """
        found = [(k, one) for k, one in enumerate(self.examples) if one is not None and _mask_of(one, name) is not None]
        if not found:
            return None
        if self.study.regridded:
            raise DataError(
                f"{self.study.source_name}: masks cannot be laid over the series, because {self.study.regridded}."
            )
        whole = np.zeros(self.study.array.shape, bool)
        for k, one in found:
            plane = load_mask(one, self.study.array.shape[1:], name=name)
            if plane is not None:
                whole[round(self.study.sources[k].k)] = plane
        return whole


def load_image(example: Example) -> np.ndarray:
    """Return the image ``(y, x)`` float32: CT in HU (pictures of CT in 0..1), radiographs in 0..1 with bone bright.

    Raises
    ------
    DataError
        Where the file is missing or has fewer planes.
    StudyError
        Where it cannot be read.
    """
    path = _source(example)
    study = (
        _volume(path, example.task, _stamp(path))
        if is_volume(path)
        else read_study(path, requirements=kind_of_task(example.task).requirements, one_examination=True)
    )
    if example.frame >= len(study.array):
        raise DataError(f"{path.name} has {len(study.array)} planes; plane {example.frame + 1} was requested.")
    return study.array[example.frame]


def load_study(examples: Sequence[Example], *, progress: Progress = no_progress) -> LoadedStudy:
    """Read the slices of one series together.

    Parameters
    ----------
    examples
        Of one series, in any order; DICOM files, or planes of one volume file. Other files beside them are not read.

    Raises
    ------
    DataError
        Where there are none, or they are of several series.
    StudyError
        Where a file cannot be read.
    """
    if len({one.series for one in examples}) != 1:
        raise DataError(f"Slices of one series are read together; got {len({one.series for one in examples})} series.")
    present = [one for one in examples if one.source is not None]
    if not present:
        raise DataError(f"None of the {len(examples)} files of the series is there.")
    first = _source(present[0])
    if is_volume(first):
        study = _volume(first, present[0].task, _stamp(first))
        by_plane = {one.frame: one for one in present}
        return LoadedStudy(study, tuple(by_plane.get(source.index) for source in study.sources))
    by_file = {(one.source, one.frame): one for one in present}
    study = _read_files(sorted({_source(one) for one in present}), progress)
    return LoadedStudy(study, tuple(by_file.get((source.file, source.frame)) for source in study.sources))


def load_mask(example: Example, shape: tuple[int, ...], *, name: str | None = None) -> np.ndarray | None:
    """Return a mask ``(y, x)`` bool of the size of the image; None where the data set has none for this image.

    Parameters
    ----------
    shape
        ``(y, x)`` of the image as `load_image` gives it. A mask picture of another size but of the same proportions is
        fitted to it, a run-length mask is not.
    name
        Segment; None takes the one that the task is about.

    Raises
    ------
    DataError
        Where the mask does not fit the image, or cannot be read.
    """
    source = _mask_of(example, name)
    if source is None:
        return None
    height, width = shape
    if source.path is None:
        size = source.size or (height, width)
        mask = decode_union(source.runs, size)
        if mask.shape != (height, width):
            raise DataError(
                f"{example.key}: the mask is {mask.shape[0]}×{mask.shape[1]} pixels, the image {height}×{width}."
            )
        return mask
    values = _mask_plane(source.path, source.plane)
    mask = values != 0 if source.value is None else (values.astype(np.int64) & source.value) != 0
    if mask.shape == (height, width):
        return mask
    if abs(mask.shape[0] * width / (mask.shape[1] * height) - 1) > _PROPORTIONS:
        raise DataError(f"{source.path.name} is {mask.shape[0]}×{mask.shape[1]} pixels, the image {height}×{width}.")
    picture = Image.fromarray(mask.astype(np.uint8) * 255).resize((width, height), Image.Resampling.BILINEAR)
    return np.asarray(picture) >= 128


# A side of 500 pixels rounded to whole pixels differs by this.
_PROPORTIONS = 0.01


def _source(example: Example) -> Path:
    if example.source is None:
        raise DataError(f"The image of {example.key} is missing.")
    return example.source


def _mask_of(example: Example, name: str | None) -> MaskSource | None:
    return example.mask if name is None else example.masks.get(name)


def _stamp(path: Path) -> tuple[int, int]:
    """Return size and time of a file, so that one written anew is read anew."""
    status = path.stat()
    return status.st_size, status.st_mtime_ns


@lru_cache(maxsize=_VOLUMES_KEPT)
def _volume(path: Path, task: Task, _stamp: tuple[int, int]) -> Study:
    return read_study(path, requirements=kind_of_task(task).requirements, one_examination=True)


@lru_cache(maxsize=_VOLUMES_KEPT)
def _mask_volume(path: Path, _stamp: tuple[int, int]) -> np.ndarray:
    values = sitk.GetArrayFromImage(read_image(path))
    return values[None] if values.ndim == 2 else values


def _mask_plane(path: Path, plane: int) -> np.ndarray:
    try:
        if is_picture(path):
            with Image.open(path) as picture:
                return np.asarray(picture.convert("L")) >= 128
        volume = _mask_volume(path, _stamp(path))
    except (StudyError, OSError, UnidentifiedImageError) as error:
        raise DataError(f"The mask {path.name} cannot be read: it is missing, damaged or not an image.") from error
    if plane >= len(volume):
        raise DataError(f"The mask {path.name} has {len(volume)} planes; plane {plane + 1} was requested.")
    return np.asarray(volume[plane])


def _read_files(files: Sequence[Path], progress: Progress) -> Study:
    frames: list[Frame] = []
    with quiet_pydicom():
        for file in files:
            ((_, header),) = read_headers(file).headers
            frames += frames_of(file, header)
        if not frames:
            raise DataError(f"{files[0].name} and the other files of its series hold no image.")
        return read_ct(largest_volume(frames), source_name=files[0].parent.name, progress=progress)
