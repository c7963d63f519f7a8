"""Instances on disk: named by their UIDs only, written whole or not at all."""

import io
import threading
from collections.abc import Callable, Sequence
from pathlib import Path

import pydicom
from pydicom.dataelem import DataElement, RawDataElement
from pydicom.dataset import Dataset
from pydicom.errors import InvalidDicomError
from pydicom.uid import DeflatedExplicitVRLittleEndian

from AcuteFindingsLib.errors import PacsError
from AcuteFindingsLib.files import replace_when_written
from AcuteFindingsLib.pacs.matches import InstanceMatch, checked_uid
from AcuteFindingsLib.study.dicom_files import MALFORMED, quiet_pydicom

_UNDEFINED_LENGTH = 0xFFFFFFFF
# Sequence Delimitation Item (FFFE,E0DD), followed by four zeros, PS3.5 7.5.
_DELIMITER, _DELIMITER_BIG_ENDIAN, _DELIMITER_LENGTH = b"\xfe\xff\xdd\xe0", b"\xff\xfe\xe0\xdd", 8
_PIXELS = ("PixelData", "FloatPixelData", "DoubleFloatPixelData", "PixelDataProviderURL")
_IDENTITY = ["SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID"]


# What pydicom raises on what is no DICOM or is cut short.
UNREADABLE = (InvalidDicomError, *MALFORMED)


class _CutShortError(Exception):
    """Keeps a file that is not whole from taking its place."""


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
                    raise _CutShortError
        except _CutShortError:
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
    """Tell whether a file holds all of one instance: every element has its full length, and nothing is begun after."""
    try:
        with quiet_pydicom():
            dataset = pydicom.dcmread(path)
            elements = list(dataset.elements())
            if not elements or str(dataset.get("SOPInstanceUID", "")) != sop_uid:
                return False
    except (OSError, *UNREADABLE):
        return False
    for element in elements:
        if (
            isinstance(element, RawDataElement)
            and element.length != _UNDEFINED_LENGTH
            and len(element.value or b"") != element.length
        ):
            return False
    if "Rows" in dataset and not any(keyword in dataset for keyword in _PIXELS):
        return False
    deflated = dataset.file_meta.get("TransferSyntaxUID") == DeflatedExplicitVRLittleEndian
    return deflated or _ends_well(path, elements[-1])


def _ends_well(path: Path, last: RawDataElement | DataElement) -> bool:
    """Tell whether the file ends with its last element: where one is cut within its header, pydicom just stops.

    Zeros may follow, which some programs pad with.
    """
    with path.open("rb") as stream:
        if not isinstance(last, RawDataElement):
            # A sequence; pydicom has read it already, and tells not where it ended.
            stream.seek(0)
            tail = stream.read().rstrip(b"\0")
            return not last.is_undefined_length or tail.endswith((_DELIMITER, _DELIMITER_BIG_ENDIAN))
        stream.seek(last.value_tell + len(last.value or b""))
        tail = stream.read()
    if last.length == _UNDEFINED_LENGTH:
        if not tail.startswith((_DELIMITER, _DELIMITER_BIG_ENDIAN)) or len(tail) < _DELIMITER_LENGTH:
            return False
        tail = tail[_DELIMITER_LENGTH:]
    return not tail.strip(b"\0")


def disk_error(folder: Path, error: OSError) -> PacsError:
    """Say that a file could not be written, and what to do."""
    return PacsError(
        f"What came could not be written to {folder}: {error.strerror or error}. What is there already is kept; make "
        "room or choose another --out, and run the same command again."
    )
