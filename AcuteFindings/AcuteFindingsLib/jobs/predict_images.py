"""Many single images scored in batches: one row of probabilities an image, masks as PNG where the model draws them."""

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import SimpleITK as sitk

from AcuteFindingsLib.detectors.detector import Cancelled, Progress, batches, never_cancelled, no_progress
from AcuteFindingsLib.detectors.single_image import ImageScorer, load_image_scorer
from AcuteFindingsLib.errors import ExportError, StudyError
from AcuteFindingsLib.files import replace_when_written
from AcuteFindingsLib.models.metadata import Task
from AcuteFindingsLib.study.reader import read_study

TASKS = ("hemorrhage", "pneumothorax", "chest", "lungs")

IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg", ".dcm", ".dicom", ".nii", ".nii.gz", ".nrrd", ".mha")

# What a list calls its column of file names, in the data sets that people have.
_NAME_COLUMNS = ("image", "filename", "file", "image index", "imageid", "id")

_BATCH = 16


@dataclass(frozen=True)
class ImagesRequest:
    """What the user asked for.

    Attributes
    ----------
    task
        One of `TASKS`.
    images
        Folder that holds the images.
    out
        A ``.csv`` file for the table alone, else a folder for ``predictions.csv`` and, where the model draws masks,
        one PNG named as the image.
    listing
        CSV that names the images to score in a column such as ``image``; None for all images of the folder.
    """

    task: Task
    images: Path
    out: Path
    listing: Path | None = None
    model: str | None = None
    device: str = "auto"
    model_folders: tuple[Path, ...] = ()


@dataclass(frozen=True)
class ImagesResult:
    """Where the table is and what it holds. `table` is None where the model gives masks only."""

    table: Path | None
    masks: tuple[Path, ...]
    count: int


def predict_images(
    request: ImagesRequest, *, progress: Progress = no_progress, cancelled: Cancelled = never_cancelled
) -> ImagesResult:
    """Score every image; a file that cannot be read stops the run before anything is written.

    Raises
    ------
    StudyError
        No images, a listed image that is not there, or one that cannot be read.
    ExportError
        Masks were asked for into a single file.
    """
    files = listed_images(request.images, request.listing)
    scorer = load_image_scorer(request.task, model=request.model, device=request.device, folders=request.model_folders)
    to_file = request.out.suffix.lower() == ".csv"
    if to_file and not scorer.labels:
        raise ExportError(f"--out {request.out}: the {request.task} model gives masks, not a table; name a folder.")
    rows: list[np.ndarray] = []
    masks: list[Path] = []
    for part in batches(
        len(files), _BATCH, text="Scoring images", progress=progress, cancelled=cancelled, span=(0.0, 1.0)
    ):
        studies = [read_study(file, detector=_read_as(request.task)) for file in files[part]]
        scores = scorer.score(studies)
        rows.extend(scores.probabilities)
        if not to_file:
            masks += _write_masks(files[part], scores.masks, request)
    table = _write_table(files, rows, scorer, request, to_file=to_file) if scorer.labels else None
    return ImagesResult(table, tuple(masks), len(files))


def listed_images(folder: Path, listing: Path | None) -> list[Path]:
    """Return the images to score: those a CSV names, in its order, or all of a folder, sorted by name."""
    if not folder.is_dir():
        raise StudyError(f"--images {folder} is not a folder.")
    if listing is None:
        files = sorted(path for path in folder.iterdir() if path.name.lower().endswith(IMAGE_SUFFIXES))
        if not files:
            raise StudyError(f"--images {folder} holds no image ({', '.join(IMAGE_SUFFIXES)}).")
        return files
    try:
        with listing.open(newline="", encoding="utf-8-sig") as stream:
            reader = csv.DictReader(stream, skipinitialspace=True)
            column = next((name for name in reader.fieldnames or () if name.strip().lower() in _NAME_COLUMNS), None)
            if column is None:
                raise StudyError(f"--list {listing} has no column of file names; call it 'image'.")
            names = list(dict.fromkeys(row[column] for row in reader))
    except (OSError, UnicodeDecodeError) as error:
        raise StudyError(f"--list {listing} cannot be read: {error}") from error
    files = [_existing(folder, name, listing) for name in names]
    if not files:
        raise StudyError(f"--list {listing} names no image.")
    return files


def _existing(folder: Path, name: str, listing: Path) -> Path:
    for candidate in (folder / name, *(folder / f"{name}{suffix}" for suffix in IMAGE_SUFFIXES)):
        if candidate.is_file():
            return candidate
    raise StudyError(f"--list {listing} names {name!r}, which is not in {folder}.")


def _read_as(task: str) -> str:
    return "hemorrhage" if task == "hemorrhage" else "pneumothorax"


def _stem(file: Path) -> str:
    name = file.name
    suffix = next((s for s in sorted(IMAGE_SUFFIXES, key=len, reverse=True) if name.lower().endswith(s)), "")
    return name[: len(name) - len(suffix)]


def _write_masks(files: Sequence[Path], masks: Sequence[np.ndarray] | None, request: ImagesRequest) -> list[Path]:
    if masks is None:
        return []
    written = []
    for file, mask in zip(files, masks, strict=True):
        target = request.out / f"{_stem(file)}.png"
        with replace_when_written(target) as partial:
            sitk.WriteImage(sitk.GetImageFromArray(mask.astype(np.uint8) * 255), str(partial))
        written.append(target)
    return written


def _write_table(
    files: Sequence[Path], rows: Sequence[np.ndarray], scorer: ImageScorer, request: ImagesRequest, *, to_file: bool
) -> Path:
    target = request.out if to_file else request.out / "predictions.csv"
    with replace_when_written(target) as partial, partial.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream)
        writer.writerow(("image", *scorer.labels))
        writer.writerows((file.name, *(f"{value:.6f}" for value in row)) for file, row in zip(files, rows, strict=True))
    return target
