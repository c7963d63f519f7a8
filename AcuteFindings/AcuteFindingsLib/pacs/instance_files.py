"""Instances on disk: named by their UIDs only, written whole or not at all."""

import io
import threading
from collections.abc import Callable, Sequence
from pathlib import Path

import pydicom
from pydicom.dataelem import RawDataElement
from pydicom.dataset import Dataset

from AcuteFindingsLib.errors import PacsError
from AcuteFindingsLib.files import replace_when_written
from AcuteFindingsLib.pacs.matches import InstanceMatch, checked_uid
from AcuteFindingsLib.study.dicom_files import quiet_pydicom

_UNDEFINED_LENGTH = 0xFFFFFFFF
_PIXELS = ("PixelData", "FloatPixelData", "DoubleFloatPixelData", "PixelDataProviderURL")
_IDENTITY = ["SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID"]


class Inbox:
    """Takes the instances of one series as they come, in any order and from any thread.

    Parameters
    ----------
    folder
        The series' folder.
    wanted
        What was asked for; anything else is refused.
    arrived
        Called with each SOP Instance UID once its file is whole.

    Attributes
    ----------
    refused
        One sentence for each thing that came and was not taken.
    """

    def __init__(self, folder: Path, wanted: Sequence[InstanceMatch], *, arrived: Callable[[str], None]) -> None:
        self.folder = folder
        self._wanted = {match.sop_uid: match for match in wanted}
        self._arrived = arrived
        self._here: set[str] = set()
        self._lock = threading.Lock()
        self.refused: list[str] = []
        self.failure: OSError | None = None

    @property
    def missing(self) -> list[InstanceMatch]:
        """What was asked for and has not come."""
        return [match for uid, match in self._wanted.items() if uid not in self._here]

    def take_bytes(self, content: bytes) -> bool:
        """Keep an instance that came as the bytes of a DICOM file; False where it is not what was asked for.

        Raises
        ------
        OSError
            Where the file cannot be written.
        """
        with quiet_pydicom():
            header = pydicom.dcmread(io.BytesIO(content), stop_before_pixels=True, specific_tags=list(_IDENTITY))
        return self._take(header, lambda path: path.write_bytes(content))

    def take_dataset(self, dataset: Dataset) -> bool:
        """Keep an instance that came as a data set; as `take_bytes`."""
        return self._take(dataset, lambda path: dataset.save_as(path, enforce_file_format=True))

    def _take(self, header: Dataset, write: Callable[[Path], object]) -> bool:
        uid = str(header.get("SOPInstanceUID", ""))
        match = self._wanted.get(uid)
        if match is None or (header.get("StudyInstanceUID"), header.get("SeriesInstanceUID")) != (
            match.study_uid,
            match.series_uid,
        ):
            with self._lock:
                self.refused.append(f"the server sent {uid[:64] or 'an instance'}, which was not asked for")
            return False
        try:
            with quiet_pydicom(), replace_when_written(instance_path(self.folder, uid)) as partial:
                write(partial)
                if not is_whole(partial, uid):
                    with self._lock:
                        self.refused.append(f"{uid} came cut short")
                    return False
        except OSError as error:
            # Raised again by whoever waits: the receiver's thread has nobody to tell.
            self.failure = error
            raise
        with self._lock:
            new = uid not in self._here
            self._here.add(uid)
        if new:
            self._arrived(uid)
        return True


def series_folder(out: Path, study_uid: str, series_uid: str) -> Path:
    """Return ``out/study UID/series UID``."""
    return out / checked_uid(study_uid, "Study") / checked_uid(series_uid, "Series")


def instance_path(folder: Path, sop_uid: str) -> Path:
    """Return the file of an instance in its series' folder."""
    return folder / f"{checked_uid(sop_uid, 'Instance')}.dcm"


def is_whole(path: Path, sop_uid: str) -> bool:
    """Tell whether a file holds all of one instance: it reads to its end and every element has its full length."""
    try:
        with quiet_pydicom():
            dataset = pydicom.dcmread(path)
            if str(dataset.get("SOPInstanceUID", "")) != sop_uid:
                return False
    except _UNREADABLE:
        return False
    for element in dataset.elements():
        if (
            isinstance(element, RawDataElement)
            and element.length != _UNDEFINED_LENGTH
            and len(element.value or b"") != element.length
        ):
            return False
    return "Rows" not in dataset or any(keyword in dataset for keyword in _PIXELS)


# What pydicom raises where a file is missing, no DICOM, or cut short.
_UNREADABLE = (OSError, EOFError, ValueError, KeyError, AttributeError, TypeError, NotImplementedError,
               pydicom.errors.InvalidDicomError)  # fmt: skip


def disk_error(folder: Path, error: OSError) -> PacsError:
    """Say that a file could not be written, and what to do."""
    return PacsError(
        f"What came could not be written to {folder}: {error.strerror or error}. What is there already is kept; make "
        "room or choose another --out, and run the same command again."
    )
