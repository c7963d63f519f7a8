"""Many single images scored in batches: one row of probabilities an image, masks as PNG where the model draws them."""

import csv
import shutil
import tempfile
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import SimpleITK as sitk

from AcuteFindingsLib.csv_text import CsvWriter, cell_text
from AcuteFindingsLib.detectors.detector import Cancelled, Progress, batches, never_cancelled, no_progress
from AcuteFindingsLib.errors import ExportError, StudyError
from AcuteFindingsLib.files import replace_when_written
from AcuteFindingsLib.models.metadata import Task
from AcuteFindingsLib.providers.load import load_any_image_scorer
from AcuteFindingsLib.study.reader import read_study

TASKS = ("hemorrhage", "pneumothorax", "chest", "lungs")

# The tasks whose models draw masks.
MASK_TASKS = ("pneumothorax", "lungs")

IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg", ".dcm", ".dicom", ".nii", ".nii.gz", ".nrrd", ".mha")

# What a list calls its column of file names, in the data sets that people have; of several the first one counts.
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
    DetectionError
        An image is not of the kind that the model scores.
    ExportError
        Masks were asked for into a single file, or into the folder of the images, which they would overwrite.
    CancelledError
        `cancelled` answered True; nothing was written.
    """
    files = listed_images(request.images, request.listing)
    to_file = request.out.suffix.lower() == ".csv"
    _check_out(request, to_file=to_file)
    scorer = load_any_image_scorer(
        request.task, model=request.model, device=request.device, folders=request.model_folders, progress=progress
    )
    names = [file.relative_to(request.images) for file in files]
    targets = mask_names(names)
    rows: list[np.ndarray] = []
    drawn: list[Path] = []
    with tempfile.TemporaryDirectory(prefix="acutefindings-") as staged:
        for part in batches(
            len(files), _BATCH, text="Scoring images", progress=progress, cancelled=cancelled, span=(0.0, 1.0)
        ):
            scores = scorer.score([read_study(file, detector=_read_as(request.task)) for file in files[part]])
            rows.extend(scores.probabilities)
            if scores.masks is not None and not to_file:
                drawn += _write_masks(targets[part], scores.masks, Path(staged))
        masks = tuple(_put(Path(staged), name, request.out) for name in drawn)
    table = None
    if scorer.labels:
        table = request.out if to_file else request.out / "predictions.csv"
        _write_table(names, rows, scorer.labels, table)
    return ImagesResult(table, masks, len(files))


def _check_out(request: ImagesRequest, *, to_file: bool) -> None:
    if to_file:
        if request.task == "lungs":
            raise ExportError(f"--out {request.out}: the lungs model gives masks, not a table; name a folder.")
        return
    if request.out.is_file():
        raise ExportError(f"--out {request.out} is a file; name a folder, or a file that ends in .csv.")
    if request.task in MASK_TASKS and request.out.resolve() == request.images.resolve():
        raise ExportError(f"--out {request.out} is the folder of the images, which masks would overwrite.")


def listed_images(folder: Path, listing: Path | None) -> list[Path]:
    """Return the images to score: those a CSV names, in its order, or all of a folder, sorted by name."""
    if not folder.is_dir():
        raise StudyError(f"--images {folder} is not a folder.")
    if listing is None:
        files = sorted(
            path
            for path in folder.iterdir()
            if path.is_file() and path.name.lower().endswith(IMAGE_SUFFIXES) and not path.name.startswith(".")
        )
        if not files:
            raise StudyError(f"--images {folder} holds no image ({', '.join(IMAGE_SUFFIXES)}).")
        return files
    try:
        with listing.open(newline="", encoding="utf-8-sig") as stream:
            reader = csv.DictReader(stream, skipinitialspace=True)
            found = {name.strip().lower(): name for name in reader.fieldnames or ()}
            column = next((found[name] for name in _NAME_COLUMNS if name in found), None)
            if column is None:
                raise StudyError(f"--list {listing} has no column of file names; call it 'image'.")
            names = list(dict.fromkeys(cell_text((row[column] or "").strip()) for row in reader))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise StudyError(f"--list {listing} cannot be read: {error}") from error
    files = [_existing(folder, name, listing) for name in names]
    if not files:
        raise StudyError(f"--list {listing} names no image.")
    return files


def _existing(folder: Path, name: str, listing: Path) -> Path:
    inside = not Path(name).is_absolute() and ".." not in Path(name).parts
    for candidate in (folder / name, *(folder / f"{name}{suffix}" for suffix in IMAGE_SUFFIXES)):
        if inside and candidate.is_file():
            return candidate
    raise StudyError(f"--list {listing} names {name!r}, which is not in {folder}.")


def _read_as(task: str) -> str:
    return "hemorrhage" if task == "hemorrhage" else "pneumothorax"


def mask_names(names: Sequence[Path]) -> list[Path]:
    """Return what each image's mask is called: as the image, with its suffix kept where two would be the same."""
    stems = [name.with_name(_stem(name)) for name in names]
    count = Counter(stems)
    chosen = [stem if count[stem] == 1 else name for stem, name in zip(stems, names, strict=True)]
    return [name.with_name(f"{name.name}.png") for name in chosen]


def _stem(file: Path) -> str:
    name = file.name
    suffix = next((s for s in sorted(IMAGE_SUFFIXES, key=len, reverse=True) if name.lower().endswith(s)), "")
    return name[: len(name) - len(suffix)]


def _write_masks(names: Sequence[Path], masks: Sequence[np.ndarray], folder: Path) -> list[Path]:
    for name, mask in zip(names, masks, strict=True):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        sitk.WriteImage(sitk.GetImageFromArray(mask.astype(np.uint8) * 255), str(folder / name))
    return list(names)


def _put(folder: Path, name: Path, out: Path) -> Path:
    with replace_when_written(out / name) as partial:
        shutil.move(folder / name, partial)
    return out / name


def _write_table(names: Sequence[Path], rows: Sequence[np.ndarray], labels: Sequence[str], target: Path) -> None:
    with replace_when_written(target) as partial, partial.open("w", newline="", encoding="utf-8") as stream:
        writer = CsvWriter(stream)
        writer.writerow(("image", *labels))
        writer.writerows(
            (name.as_posix(), *(f"{value:.6f}" for value in row)) for name, row in zip(names, rows, strict=True)
        )
