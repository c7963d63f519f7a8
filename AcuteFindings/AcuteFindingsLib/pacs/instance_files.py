"""Instances on disk: named by their UIDs only, written whole or not at all."""

import io
import threading
import zlib
from collections.abc import Callable, Collection, Sequence
from pathlib import Path

import pydicom
from pydicom.dataelem import DataElement, RawDataElement
from pydicom.dataset import Dataset
from pydicom.errors import InvalidDicomError
from pydicom.uid import DeflatedExplicitVRLittleEndian

from AcuteFindingsLib.budgets import budgets
from AcuteFindingsLib.errors import PacsError, StudyError
from AcuteFindingsLib.files import replace_when_written
from AcuteFindingsLib.pacs.matches import InstanceMatch, SeriesMatch, checked_uid, is_uid
from AcuteFindingsLib.study.dicom_files import MALFORMED, check_deflated_budget, quiet_pydicom

_UNDEFINED_LENGTH = 0xFFFFFFFF
# Sequence Delimitation Item (FFFE,E0DD), followed by four zeros, PS3.5 7.5.
_DELIMITER, _DELIMITER_BIG_ENDIAN, _DELIMITER_LENGTH = b"\xfe\xff\xdd\xe0", b"\xff\xfe\xe0\xdd", 8
PIXELS = ("PixelData", "FloatPixelData", "DoubleFloatPixelData", "PixelDataProviderURL")
_IDENTITY = ["SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID"]
_START = 1024
# Sentences on what was refused that are kept; a server that sends more has made its point.
_TOLD = 50
# Instances that nobody asked for or that came before, beyond as many as were asked for or here, that end a transfer.
_NEEDLESS = 200


# What pydicom raises on what is no DICOM, is cut short, damaged within, or nested without end.
UNREADABLE = (InvalidDicomError, *MALFORMED, LookupError, RecursionError, zlib.error)


class _CutShortError(Exception):
    """Keeps a file that is not whole from taking its place."""


class Inbox:
    """Takes the instances of one series as they come, in any order and from any thread.

    Parameters
    ----------
    folder
        The series' folder.
    wanted
        What was asked for by name; anything else is refused.
    arrived
        Called with each SOP Instance UID once its file is whole.
    series
        Given where the whole series is asked for: its instances are taken even where the search did not list them.
    present
        SOP Instance UIDs that lie whole in the folder already; they are not written again.

    Attributes
    ----------
    refused
        One sentence for each thing that came and was not taken, `_TOLD` at most.
    repeats
        How many instances came that were here already.
    failure
        Why nothing more can be taken, raised again by whoever waits.
    """

    def __init__(
        self,
        folder: Path,
        wanted: Sequence[InstanceMatch],
        *,
        arrived: Callable[[str], None],
        series: SeriesMatch | None = None,
        present: Collection[str] = (),
    ) -> None:
        self.folder = folder
        self._wanted = {match.sop_uid: match for match in wanted}
        self._arrived = arrived
        self._series = series
        self._present = frozenset(present)
        # A series has at least one instance.
        self._stated = (series.instance_count or 1) if series else 0
        self._here: set[str] = set()
        self._needless = self._bytes = self.repeats = 0
        self._lock = threading.Lock()
        self.refused: list[str] = []
        self.failure: OSError | PacsError | None = None

    @property
    def missing(self) -> list[InstanceMatch]:
        """What was asked for by name and has not come."""
        return [match for uid, match in self._wanted.items() if uid not in self._here]

    @property
    def received(self) -> int:
        """How many instances have come."""
        return len(self._here)

    @property
    def lacking(self) -> int:
        """How many instances have not come, those that the server counts and does not name among them."""
        return max(len(self.missing), self._stated - len(self._present | self._here))

    def state(self, count: int) -> None:
        """Note that the server counts so many instances in the series; matters only where all of it was requested."""
        if self._series is not None:
            self._stated = max(self._stated, count)

    def take_bytes(self, content: bytes, *, announced: str | None = None) -> bool:
        """Keep an instance that came as the bytes of a DICOM file; False where it is not what was requested.

        Parameters
        ----------
        content
            The file.
        announced
            The SOP Instance UID under which it was sent, which the data set must have; None where it came without.

        Raises
        ------
        OSError
            Where the file cannot be written.
        """
        refuse_growth(content)
        with quiet_pydicom():
            header = pydicom.dcmread(io.BytesIO(content), stop_before_pixels=True, specific_tags=list(_IDENTITY))
        if announced is not None and str(header.get("SOPInstanceUID", "")) != announced:
            self.refuse(f"the server sent {_shown(announced)} with the data of another instance")
            return False
        return self._take(header, lambda path: path.write_bytes(content))

    def take_dataset(self, dataset: Dataset) -> bool:
        """Keep an instance that came as a data set; as `take_bytes`."""
        if not has_full_lengths(list(dataset.elements())):
            self.refuse(f"{_shown(str(dataset.get('SOPInstanceUID', '')))} arrived incomplete")
            return False
        return self._take(dataset, lambda path: dataset.save_as(path, enforce_file_format=True))

    def refuse(self, sentence: str) -> None:
        """Note in one sentence what came and was not taken."""
        with self._lock:
            if len(self.refused) < _TOLD:
                self.refused.append(sentence)

    def _take(self, header: Dataset, write: Callable[[Path], object]) -> bool:
        uid = str(header.get("SOPInstanceUID", ""))
        if not self._is_asked_for(uid, str(header.get("StudyInstanceUID")), str(header.get("SeriesInstanceUID"))):
            self.refuse(f"the server sent {_shown(uid)}, which was not requested")
            self._count_needless()
            return False
        if uid in self._present or uid in self._here:
            self.repeats += 1
            self._count_needless()
            return True
        try:
            with quiet_pydicom(), replace_when_written(instance_path(self.folder, uid)) as partial:
                write(partial)
                if not is_whole(partial, uid):
                    raise _CutShortError
        except _CutShortError:
            self.refuse(f"{uid} arrived incomplete")
            return False
        except OSError as error:
            # Raised again by whoever waits: the receiver's thread has nobody to tell.
            self.failure = error
            raise
        with self._lock:
            new = uid not in self._here
            self._here.add(uid)
            self._bytes += instance_path(self.folder, uid).stat().st_size
            most = budgets().series_bytes
            if self._bytes > most and self.failure is None:
                self.failure = PacsError(
                    f"The series is larger than {most / 1e9:,.0f} GB, so the transfer was ended; what arrived is kept."
                )
        if new:
            self._arrived(uid)
        return True

    def _is_asked_for(self, uid: str, study_uid: str, series_uid: str) -> bool:
        match = self._wanted.get(uid)
        if match is not None:
            return (study_uid, series_uid) == (match.study_uid, match.series_uid)
        if self._series is None or (study_uid, series_uid) != (self._series.study_uid, self._series.series_uid):
            return False
        return is_uid(uid) and len(self._here) < budgets().frames

    def _count_needless(self) -> None:
        """End a transfer that goes on without bringing anything that is needed."""
        with self._lock:
            self._needless += 1
            if self._needless > _NEEDLESS + len(self._present) + len(self._wanted) and self.failure is None:
                self.failure = PacsError(
                    f"The server sent {self._needless} instances that were not asked for or were here already, so the "
                    "transfer was ended; what was asked for and came is kept."
                )


def _shown(uid: str) -> str:
    """Return what came in place of a UID so that it can stand in a sentence."""
    return uid if is_uid(uid) else "an instance"


def has_full_lengths(elements: Sequence[RawDataElement | DataElement]) -> bool:
    """Tell whether every element holds as many bytes as its header states."""
    return all(
        not isinstance(element, RawDataElement)
        or element.length == _UNDEFINED_LENGTH
        or len(element.value or b"") == element.length
        for element in elements
    )


def refuse_growth(content: bytes) -> None:
    """Raise `ValueError` where a DICOM file of the Deflated transfer syntax unpacks beyond the budgets."""
    try:
        check_deflated_budget(io.BytesIO(content), content[:_START])
    except StudyError as error:
        raise ValueError(str(error)) from error


def series_folder(out: Path, study_uid: str, series_uid: str) -> Path:
    """Return ``out/study UID/series UID``."""
    return out / checked_uid(study_uid, "Study") / checked_uid(series_uid, "Series")


def instance_path(folder: Path, sop_uid: str) -> Path:
    """Return the file of an instance in its series' folder."""
    return folder / f"{checked_uid(sop_uid, 'Instance')}.dcm"


def is_whole(path: Path, sop_uid: str, series_uid: str | None = None) -> bool:
    """Tell whether a file holds all of one instance: every element has its full length, and nothing is begun after.

    With `series_uid`, also whether the instance belongs to that series.
    """
    try:
        with quiet_pydicom(), path.open("rb") as stream:
            check_deflated_budget(stream, b"")
            dataset = pydicom.dcmread(stream)
            elements = list(dataset.elements())
            if not elements or str(dataset.get("SOPInstanceUID", "")) != sop_uid:
                return False
            if series_uid is not None and str(dataset.get("SeriesInstanceUID", "")) != series_uid:
                return False
    except (OSError, StudyError, *UNREADABLE):
        return False
    if not has_full_lengths(elements):
        return False
    if "Rows" in dataset and not any(keyword in dataset for keyword in PIXELS):
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
        f"What arrived could not be written to {folder}: {error.strerror or error}. What is there already is kept; "
        "make room or choose another --out, and run the same command again."
    )
