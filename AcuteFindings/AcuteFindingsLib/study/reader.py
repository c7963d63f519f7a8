"""Reading a study from whatever a user points at: a DICOM file or folder, a volume file or a picture."""

import logging
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from AcuteFindingsLib.errors import StudyError
from AcuteFindingsLib.progress import Progress, no_progress, part_of
from AcuteFindingsLib.study.archive import is_zip, unpack_zip
from AcuteFindingsLib.study.completeness import incomplete_notices
from AcuteFindingsLib.study.damage import unreadable_notice
from AcuteFindingsLib.study.dicom_exams import listing_of, several_examinations
from AcuteFindingsLib.study.dicom_files import (
    IMAGE_STORAGE,
    MALFORMED,
    Headers,
    quiet_pydicom,
    read_headers,
)
from AcuteFindingsLib.study.dicom_fit import PROJECTION_MODALITIES
from AcuteFindingsLib.study.dicom_frames import Frame, frames_of
from AcuteFindingsLib.study.dicom_pixels import UnreadablePixelsError
from AcuteFindingsLib.study.dicom_projection import read_projection
from AcuteFindingsLib.study.dicom_series import choose_volume, group_volumes, label_of
from AcuteFindingsLib.study.dicom_volume import read_ct
from AcuteFindingsLib.study.dicom_volumes import Volume
from AcuteFindingsLib.study.file_kinds import WHAT_IS_READ, kind_of, shown_name
from AcuteFindingsLib.study.folder_files import files_below
from AcuteFindingsLib.study.images import header_of_pair, is_picture, is_volume, read_volume
from AcuteFindingsLib.study.notice import Notice
from AcuteFindingsLib.study.packed_study import is_packed_study, read_packed_study
from AcuteFindingsLib.study.pictures import read_picture
from AcuteFindingsLib.study.requirements import CtRequirements, Requirements, requirements_of
from AcuteFindingsLib.study.study import Study

_NAMES_LOGGED, _KINDS_LOOKED_AT = 20, 100
# Names of files are for the terminal alone: they often name the patient.
_log = logging.getLogger(__name__)


def read_study(
    path: str | Path,
    *,
    requirements: Requirements | None = None,
    series: str | None = None,
    one_examination: bool = False,
    files: Sequence[Path] | None = None,
    progress: Progress = no_progress,
    detector: str | None = None,
) -> Study:
    """Read a study.

    Parameters
    ----------
    path
        A DICOM file (also zstd- or gzip-compressed), a folder that is searched with its subfolders, a zip of one, a
        NIfTI, NRRD or MetaImage file, a PNG or JPEG picture, or a study as `packed_study` packs it.
    requirements
        What is asked of the study: decides among several series, and whether a picture is a CT slice or a radiograph.
        Other series are listed in `Study.notices`.
    series
        Series Instance UID of the series to read, instead of the one that suits the requirements best.
    one_examination
        Refuse, before any pixel is read, an input that holds several patients or studies; else the best fitting one is
        read and a notice of severity ``"refuse"`` says so.
    files
        Of a folder's DICOM files only these, where it is known which make the study.
    progress
        Called with what is being done and the share done, 0..1.
    detector
        Name of the detector whose requirements are meant: for scripts that name one, until the next release.

    Raises
    ------
    StudyError
        Names the file and the DICOM tag: nothing there, nothing readable, or not a kind of image this program reads;
        or several examinations where `one_examination` asks for one.
    """
    if detector is not None and requirements is None:
        requirements = requirements_of(detector)
    path = Path(path)
    if not path.exists():
        raise StudyError(f"{path} does not exist.")
    if path.is_file() and (image := _read_image_file(path, requirements=requirements)) is not None:
        return image
    name, unpacked = shown_name(path), None
    if path.is_file() and is_zip(path):
        if is_packed_study(path):
            return read_packed_study(path)
        unpacked = unpack_zip(path)
        path = unpacked.folder
    with quiet_pydicom():
        study = _read_dicom(
            path,
            name,
            requirements=requirements,
            series=series,
            one_examination=one_examination,
            files=files,
            progress=progress,
        )
    if study is None:
        study = _read_only_image(path, name, requirements=requirements)
    return study if unpacked is None else replace(study, source_name=name, keeps=unpacked)


def _read_dicom(
    path: Path,
    name: str,
    *,
    requirements: Requirements | None,
    series: str | None,
    one_examination: bool,
    files: Sequence[Path] | None,
    progress: Progress,
) -> Study | None:
    """Read the DICOM study below a path; None where a folder holds no DICOM file at all."""
    headers = read_headers(path, files=files, progress=part_of(progress, 0.0, 0.2))
    if not headers.headers and not headers.unreadable:
        return None
    frames, unreadable = _frames(headers)
    if not frames:
        raise StudyError(_nothing_readable(path, name, [shown_name(file) for file in unreadable]))
    volumes = group_volumes(frames)
    several = several_examinations(volumes if series is None else [one for one in volumes if series in one.uids])
    if several is not None and one_examination:
        raise StudyError(f"{several.text} It holds: {listing_of(volumes, path)}.")
    chosen = choose_volume(volumes, requirements=requirements, uid=series, source_name=name)
    if several is not None:
        _log.warning("%s holds: %s.", name, listing_of(volumes, path))
    study = _read_best(
        volumes, chosen, name, requirements=requirements, uid=series, progress=part_of(progress, 0.2, 1.0)
    )
    about_files = _unreadable_notices(headers, unreadable)
    return replace(study, notices=(*([] if several is None else [several]), *about_files, *study.notices))


def _read_best(
    volumes: list[Volume],
    chosen: tuple[Volume, tuple[Notice, ...]],
    name: str,
    *,
    requirements: Requirements | None,
    uid: str | None,
    progress: Progress,
) -> Study:
    """Read the chosen volume; where not one image of it can be decoded, the next best of its kind, with a warning."""
    left, lost = volumes, []
    failure: UnreadablePixelsError | None = None
    best, others = chosen
    while True:
        try:
            study = _read_volume(best, name, requirements=requirements, progress=progress)
        except UnreadablePixelsError as error:
            failure = failure or error
            left = [one for one in left if one is not best]
            if uid is not None or not any(one.modality == best.modality for one in left):
                raise failure from None
            _log.warning("Left out: %s", error)
            lost.append(label_of(best))
            try:
                best, others = choose_volume(left, requirements=requirements, uid=None, source_name=name)
            except StudyError:
                raise failure from None
            continue
        everything = [frame for one in volumes for frame in one.frames]
        # Who gives a single file knows that it is one.
        missing = incomplete_notices(best.frames, everything) if len(everything) > 1 else ()
        return replace(study, notices=(*study.notices, *missing, *_lost_series(lost), *others))


def _read_volume(volume: Volume, name: str, *, requirements: Requirements | None, progress: Progress) -> Study:
    as_projection = volume.modality in PROJECTION_MODALITIES or (
        volume.modality != "CT" and not isinstance(requirements, CtRequirements) and len(volume.frames) == 1
    )
    if as_projection:
        return read_projection(volume.frames[0], source_name=name, progress=progress)
    return read_ct(volume, source_name=name, progress=progress)


def _lost_series(lost: list[str]) -> tuple[Notice, ...]:
    if not lost:
        return ()
    more = f" and {len(lost) - 1} more" if len(lost) > 1 else ""
    text = (
        f"No image of {lost[0]}{more}, which fits better, can be read (damaged or cut short); the next best is read. "
        "Copy or export the study again."
    )
    return (Notice("unreadable-series", "warn", text),)


def _frames(headers: Headers) -> tuple[list[Frame], list[Path]]:
    """Return the images of all files, and the files that cannot be read, with those whose header makes no image."""
    frames: list[Frame] = []
    unreadable = list(headers.unreadable)
    for file, header in headers.headers:
        try:
            found = frames_of(file, header)
        except MALFORMED:
            found = []
            unreadable.append(file)
        else:
            if not found and str(header.get("SOPClassUID")) in IMAGE_STORAGE:
                unreadable.append(file)
        frames += found
    return frames, sorted(unreadable)


def _unreadable_notices(headers: Headers, unreadable: list[Path]) -> tuple[Notice, ...]:
    if not unreadable:
        return ()
    files = sorted({*(file for file, _ in headers.headers), *unreadable})
    for file in unreadable[:_NAMES_LOGGED]:
        _log.warning("Left out, because it cannot be read as DICOM: %s", shown_name(file))
    places = [place for place, file in enumerate(files) if file in set(unreadable)]
    return (unreadable_notice(places, len(files), order="in the order of their names", what="DICOM files"),)


def _read_image_file(path: Path, *, requirements: Requirements | None) -> Study | None:
    """Read a volume or a picture, known by its first bytes, else by its name; None where the file is neither."""
    pair = header_of_pair(path)
    if pair is not None:
        return read_volume(pair, requirements=requirements)
    try:
        kind = kind_of(path)
    except OSError as error:
        raise StudyError(f"{shown_name(path)} cannot be read: {error.strerror or error}.") from error
    use = "" if kind is None else kind.use
    if use == "volume" or (use not in ("dicom", "picture") and is_volume(path)):
        return read_volume(path, requirements=requirements)
    if use == "picture" or (use != "dicom" and is_picture(path)):
        return read_picture(path, requirements=requirements)
    return None


def _read_only_image(folder: Path, name: str, *, requirements: Requirements | None) -> Study:
    """Read the only volume or picture of a folder without DICOM."""
    files, _ = files_below(folder)
    volumes = [file for file in files if is_volume(file)]
    pictures = [file for file in files if is_picture(file)]
    images = volumes + pictures
    if len(images) == 1:
        return (
            read_volume(images[0], requirements=requirements)
            if volumes
            else read_picture(images[0], requirements=requirements)
        )
    if not files:
        raise StudyError(f"{name} is empty.")
    if not images:
        raise StudyError(
            f"{name} holds no DICOM file and no image ({len(files)} other files{_kinds_among(files)}); {WHAT_IS_READ}."
        )
    raise StudyError(f"{name} holds no DICOM file but {len(images)} images; give one of them.")


def _kinds_among(files: list[Path]) -> str:
    """Say what some of a folder's files are, for who gave the wrong one."""
    kinds: set[str] = set()
    for file in files[:_KINDS_LOOKED_AT]:
        try:
            kind = kind_of(file)
        except OSError:
            continue
        if kind is not None:
            kinds.add(kind.name)
    return f", among them {', '.join(sorted(kinds)[:3])}" if kinds else ""


def _nothing_readable(path: Path, name: str, unreadable: list[str]) -> str:
    if unreadable:
        names = ", ".join(unreadable[:3]) + (f" and {len(unreadable) - 3} more" if len(unreadable) > 3 else "")
        return f"{name}: no DICOM file could be read ({names} cut short or damaged)."
    if path.is_file():
        return f"{name} is a DICOM file without an image (no Rows and Columns, 0028,0010 and 0028,0011)."
    return f"{name} holds DICOM files but no image in them (no Rows and Columns, 0028,0010 and 0028,0011)."
