"""Which files of a folder, or of a list, are images to score, and what their results are called."""

from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

from AcuteFindingsLib.errors import EvaluationError, StudyError
from AcuteFindingsLib.evaluation.table_files import open_table
from AcuteFindingsLib.jobs.results_folder import MANIFEST
from AcuteFindingsLib.study.dicom_files import (
    IMAGE_STORAGE,
    DicomIndexError,
    files_below,
    quiet_pydicom,
    read_header,
)
from AcuteFindingsLib.study.file_kinds import DICOM, kind_of

IMAGE_SUFFIXES = (
    ".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".dcm", ".dicom", ".ima", ".nii", ".nii.gz", ".nrrd", ".nhdr",
    ".mha", ".mhd",
)  # fmt: skip

# What a list calls its column of file names, in the data sets that people have; of several the first one counts.
_NAME_COLUMNS = (
    "image", "filename", "file", "image index", "imageid", "id", "path", "image_path", "filepath", "file_name",
    "dicom_id",
)  # fmt: skip


def listed_images(folder: Path, listing: Path | None = None, *, but: Path | None = None) -> list[Path]:
    """Return the images to score: those a table names, in its order, or all below a folder, sorted by name.

    Files are known by their content, so that DICOM needs no ending; what file managers leave, and files that are no
    images, are left out. A file that has an image's ending and is none stays, to be told of.

    Parameters
    ----------
    but
        A folder below `folder` that holds results, not images.

    Raises
    ------
    StudyError
        No folder, no image, or a table that cannot be read or names a file that is not there.
    """
    if not folder.is_dir():
        raise StudyError(f"--images {folder} is not a folder.")
    if listing is None:
        files, _closed = files_below(folder)
        aside = None if but is None or but.resolve() == folder.resolve() else but.resolve()
        results = {place for place in {file.parent for file in files} if _holds_results(place, folder, aside)}
        with quiet_pydicom():
            images = [file for file in files if file.parent not in results and _is_for_scoring(file)]
        if not images:
            raise StudyError(f"--images {folder} holds no image (DICOM, {', '.join(IMAGE_SUFFIXES)}).")
        return images
    try:
        rows = open_table(listing).rows()
        header = next(rows, [])
        found = {name.strip().lower(): place for place, name in reversed(list(enumerate(header)))}
        column = next((found[name] for name in _NAME_COLUMNS if name in found), None)
        if column is None:
            raise StudyError(f"--list {listing} has no column of file names; call it 'image'.")
        names = list(dict.fromkeys(row[column] if column < len(row) else "" for row in rows))
    except EvaluationError as error:
        raise StudyError(f"--list {error}") from error
    images = [_existing(folder, name, listing) for name in names]
    if not images:
        raise StudyError(f"--list {listing} names no image.")
    return images


def result_names(names: Sequence[Path]) -> list[Path]:
    """Return what each image's mask is called: as the image, with its suffix kept where two would be the same."""
    stems = [name.with_name(_stem(name)) for name in names]
    count = Counter(stems)
    chosen = [stem if count[stem] == 1 else name for stem, name in zip(stems, names, strict=True)]
    return [name.with_name(f"{name.name}.png") for name in chosen]


def in_table(name: Path) -> str:
    """Return an image's name as a table holds it; bytes that are no text as escapes."""
    return name.as_posix().encode("utf-8", "backslashreplace").decode("utf-8")


def _holds_results(place: Path, folder: Path, aside: Path | None) -> bool:
    """Whether a folder holds what this program wrote, or the truth beside a phantom's images, and no images."""
    if aside is not None and aside in (resolved := place.resolve(), *resolved.parents):
        return True
    for one in (place, *place.parents):
        if one == folder:
            break
        if (one / MANIFEST).is_file() or (one.name == "truth" and (one.parent / "dicom").is_dir()):
            return True
    return False


def _is_for_scoring(file: Path) -> bool:
    if file.name.upper() == "DICOMDIR":
        return False
    named = file.name.lower().endswith(IMAGE_SUFFIXES)
    try:
        kind = kind_of(file)
    except OSError:
        return named
    if kind == DICOM:
        return _is_image(file)
    # A picture of a kind that is not read is told of; a document or a video is none of the images.
    return named or (kind is not None and (kind.use in ("volume", "picture") or kind.name.endswith(" picture")))


def _is_image(file: Path) -> bool:
    """Whether a DICOM file is an image, or should be one: reports, plans and lists have no rows."""
    try:
        header = read_header(file)
    except DicomIndexError:
        return False
    except Exception:  # damaged in whatever way: reading it says how
        return True
    return "Rows" in header or header.get("SOPClassUID") in IMAGE_STORAGE


def _existing(folder: Path, name: str, listing: Path) -> Path:
    inside = bool(name) and not Path(name).is_absolute() and ".." not in Path(name).parts
    for candidate in _candidates(folder, name) if inside else ():
        if candidate.is_file():
            return candidate
    raise StudyError(f"--list {listing} names {name!r}, which is not in {folder}.")


def _candidates(folder: Path, name: str) -> Iterable[Path]:
    parts = Path(name.replace("\\", "/"))
    yield from (folder / parts, *(folder / f"{parts}{suffix}" for suffix in IMAGE_SUFFIXES))
    # CheXpert's list names its files from above the data set's own folder.
    if folder.name in parts.parts:
        yield folder.joinpath(*parts.parts[parts.parts.index(folder.name) + 1 :])


def _stem(file: Path) -> str:
    name = file.name
    suffix = next((s for s in sorted(IMAGE_SUFFIXES, key=len, reverse=True) if name.lower().endswith(s)), "")
    return name[: len(name) - len(suffix)] or name
