"""Sending DICOM files to an archive; the files themselves are never changed."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pydicom
from pydicom.errors import InvalidDicomError

from AcuteFindingsLib.errors import PacsError
from AcuteFindingsLib.pacs.connection import Connection, Outgoing, StoreAnswer
from AcuteFindingsLib.pacs.instance_files import UNREADABLE, is_whole
from AcuteFindingsLib.progress import Cancelled, Progress, never_cancelled, no_progress, stop_if
from AcuteFindingsLib.study.dicom_files import quiet_pydicom

_TAGS = ["SOPClassUID", "SOPInstanceUID", "SeriesInstanceUID", "StudyInstanceUID", "Modality"]
_DIRECTORY_CLASS = "1.2.840.10008.1.3.10"


@dataclass(frozen=True)
class ToSend:
    """What was found to send.

    Attributes
    ----------
    files
        In the order given, folders by file name.
    damaged
        Files that begin as DICOM but are cut short or name no instance.
    others
        Files below the folders that are no DICOM images or objects, DICOMDIR among them.
    """

    files: tuple[Outgoing, ...]
    damaged: tuple[Path, ...]
    others: tuple[Path, ...]


def collect_files(
    paths: Sequence[Path], *, progress: Progress = no_progress, cancelled: Cancelled = never_cancelled
) -> ToSend:
    """Find the DICOM files among `paths` and below its folders.

    Raises
    ------
    PacsError
        Where a path does not exist, a file that was named is not DICOM, or nothing is left to send.
    """
    named = [path for path in paths if not path.is_dir()]
    for path in named:
        if not path.is_file():
            raise PacsError(f"There is no file or folder {path}.")
    files: list[Outgoing] = []
    damaged: list[Path] = []
    others: list[Path] = []
    candidates = [file for path in paths for file in _files_of(path)]
    for number, path in enumerate(candidates):
        stop_if(cancelled)
        progress(f"Reading {number + 1} of {len(candidates)} files", number / len(candidates))
        try:
            outgoing = _read(path)
        except InvalidDicomError as error:
            if path in named:
                raise PacsError(f"{path.name} is not a DICOM file: it does not begin as one.") from error
            others.append(path)
            continue
        if outgoing is None:
            damaged.append(path)
        elif outgoing.sop_class_uid == _DIRECTORY_CLASS:
            others.append(path)
        else:
            files.append(outgoing)
    if not files and not damaged:
        raise PacsError(f"There is no DICOM file in {', '.join(path.name or str(path) for path in paths)}.")
    return ToSend(tuple(files), tuple(damaged), tuple(others))


def push_files(
    connection: Connection,
    files: Sequence[Outgoing],
    *,
    progress: Progress = no_progress,
    cancelled: Cancelled = never_cancelled,
) -> list[StoreAnswer]:
    """Send files; returns one answer for each, in their order, also where the server cannot be reached or we stop."""
    answers: dict[Path, StoreAnswer] = {}
    for number, answer in enumerate(connection.store(files, cancelled=cancelled), start=1):
        answers[answer.file.path] = answer
        progress(f"Sending: {number} of {len(files)} instances", number / len(files))
    return [answers[file.path] for file in files]


def _files_of(path: Path) -> list[Path]:
    if path.is_file():
        return [path]
    return sorted(file for file in path.rglob("*") if file.is_file() and ".partial." not in file.name)


def _read(path: Path) -> Outgoing | None:
    """Read what a file is; None where it is damaged."""
    try:
        with quiet_pydicom():
            header = pydicom.dcmread(path, stop_before_pixels=True, specific_tags=list(_TAGS))
    except InvalidDicomError:
        raise
    except UNREADABLE:
        return None
    meta = header.file_meta
    if meta.get("MediaStorageSOPClassUID") == _DIRECTORY_CLASS:
        return Outgoing(path, "", _DIRECTORY_CLASS, "", "", "", "")
    uid, sop_class = str(header.get("SOPInstanceUID", "")), str(header.get("SOPClassUID", ""))
    if not uid or not sop_class or "TransferSyntaxUID" not in meta or not is_whole(path, uid):
        return None
    return Outgoing(
        path=path,
        sop_uid=uid,
        sop_class_uid=sop_class,
        series_uid=str(header.get("SeriesInstanceUID", "")),
        study_uid=str(header.get("StudyInstanceUID", "")),
        modality=str(header.get("Modality", "")),
        transfer_syntax=str(meta.TransferSyntaxUID),
    )
