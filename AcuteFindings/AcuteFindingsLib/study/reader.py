"""Reading a study from whatever a user points at: a DICOM file or folder, a volume file or a picture."""

from dataclasses import replace
from pathlib import Path

from AcuteFindingsLib.errors import StudyError
from AcuteFindingsLib.study.dicom_files import Progress, quiet_pydicom, read_headers
from AcuteFindingsLib.study.dicom_frames import Frame, frames_of
from AcuteFindingsLib.study.dicom_projection import read_projection
from AcuteFindingsLib.study.dicom_series import PROJECTION_MODALITIES, choose_series, group_series
from AcuteFindingsLib.study.dicom_volume import read_ct
from AcuteFindingsLib.study.images import is_picture, is_volume, read_picture, read_volume
from AcuteFindingsLib.study.notice import Notice
from AcuteFindingsLib.study.study import Study


def read_study(
    path: str | Path, *, detector: str | None = None, series: str | None = None, progress: Progress | None = None
) -> Study:
    """Read a study.

    Parameters
    ----------
    path
        A DICOM file (also zstd- or gzip-compressed), a folder that is searched with its subfolders, a NIfTI, NRRD or
        MetaImage file, or a PNG or JPEG picture.
    detector
        ``"pe"``, ``"hemorrhage"`` or ``"pneumothorax"``: decides among several series, and whether a picture is a CT
        slice or a radiograph. Other series are listed in `Study.notices`.
    series
        Series Instance UID of the series to read, instead of the detector's choice.
    progress
        Called with what is being done and the share done, 0..1.

    Raises
    ------
    StudyError
        Names the file and the DICOM tag: nothing there, nothing readable, or not a kind of image this program reads.
    """
    path = Path(path)
    if not path.exists():
        raise StudyError(f"{path} does not exist.")
    if path.is_file() and is_volume(path):
        return read_volume(path, detector=detector)
    if path.is_file() and is_picture(path):
        return read_picture(path, detector=detector)
    with quiet_pydicom():
        found = _read_dicom(path, detector=detector, series=series, progress=progress)
    return found if found is not None else _read_only_image(path, detector=detector)


def _read_dicom(path: Path, *, detector: str | None, series: str | None, progress: Progress | None) -> Study | None:
    """Read the DICOM study below a path; None where a folder holds no DICOM file at all."""
    headers = read_headers(path, progress=_part(progress, 0.0, 0.2))
    if not headers.headers and not headers.unreadable:
        return None
    frames: list[Frame] = []
    for file, header in headers.headers:
        frames += frames_of(file, header)
    if not frames:
        raise StudyError(_nothing_readable(path, [file.name for file in headers.unreadable]))
    chosen, others = choose_series(group_series(frames), detector=detector, uid=series, source_name=path.name)
    notices = others
    for file in headers.unreadable:
        text = f"{file.name} could not be read as DICOM (cut short or damaged) and was left out."
        notices = (Notice("unreadable-file", "warn", text), *notices)
    as_projection = chosen.modality in PROJECTION_MODALITIES or (
        chosen.modality != "CT" and detector not in ("pe", "hemorrhage") and len(chosen.frames) == 1
    )
    decoding = _part(progress, 0.2, 1.0)
    if as_projection:
        study = read_projection(chosen.frames[0], source_name=path.name, progress=decoding)
    else:
        study = read_ct(chosen.frames, source_name=path.name, progress=decoding)
    return _with_notices(study, notices)


def _read_only_image(folder: Path, *, detector: str | None) -> Study:
    """Read the only volume or picture of a folder without DICOM."""
    files = sorted(file for file in folder.rglob("*") if file.is_file())
    volumes = [file for file in files if is_volume(file)]
    pictures = [file for file in files if is_picture(file)]
    images = volumes + pictures
    if len(images) == 1:
        return read_volume(images[0], detector=detector) if volumes else read_picture(images[0], detector=detector)
    if not files:
        raise StudyError(f"The folder {folder.name} is empty.")
    if not images:
        raise StudyError(f"The folder {folder.name} holds no DICOM file and no image ({len(files)} other files).")
    raise StudyError(f"The folder {folder.name} holds no DICOM file but {len(images)} images; give one of them.")


def _nothing_readable(path: Path, unreadable: list[str]) -> str:
    if unreadable:
        names = ", ".join(unreadable[:3]) + (f" and {len(unreadable) - 3} more" if len(unreadable) > 3 else "")
        return f"{path.name}: no DICOM file could be read ({names} cut short or damaged)."
    if path.is_file():
        return f"{path.name} is a DICOM file without an image (no Rows and Columns, 0028,0010 and 0028,0011)."
    return f"{path.name} holds DICOM files but no image in them (no Rows and Columns, 0028,0010 and 0028,0011)."


def _with_notices(study: Study, notices: tuple[Notice, ...]) -> Study:
    return replace(study, notices=(*study.notices, *notices))


def _part(progress: Progress | None, start: float, end: float) -> Progress | None:
    if progress is None:
        return None
    return lambda text, share: progress(text, start + (end - start) * share)
