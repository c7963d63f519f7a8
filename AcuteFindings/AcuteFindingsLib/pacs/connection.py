"""What both kinds of archive can do."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

from AcuteFindingsLib.pacs.instance_files import Inbox
from AcuteFindingsLib.pacs.matches import InstanceMatch, SeriesMatch, StudyMatch, StudyQuery
from AcuteFindingsLib.progress import Cancelled

KEPT = "what has arrived is kept, and the same command fetches the rest"
"""What a transfer that was stopped leaves."""

StoreState = Literal["stored", "stored with a remark", "refused", "not sent"]


@dataclass(frozen=True)
class Outgoing:
    """A DICOM file to send."""

    path: Path
    sop_uid: str
    sop_class_uid: str
    series_uid: str
    study_uid: str
    modality: str
    transfer_syntax: str


@dataclass(frozen=True)
class StoreAnswer:
    """What became of one file: a state, the server's own status code where it gave one, and what it means."""

    file: Outgoing
    state: StoreState
    code: str
    text: str

    @property
    def stored(self) -> bool:
        """Whether the server says that it has it."""
        return self.state in ("stored", "stored with a remark")


@dataclass(frozen=True)
class Shortfall:
    """A search that the server did not answer to its end: what was searched for, and a sentence."""

    level: Literal["study", "series", "instance"]
    text: str


class Connection(Protocol):
    """One archive. Every method raises `PacsError` where the server cannot be reached or refuses as a whole.

    Attributes
    ----------
    shortfalls
        What searches may have missed, in their order; grows with each search.
    """

    shortfalls: list[Shortfall]

    def test(self) -> str:
        """Ask the server whether it is there and lets us in; returns what it can do, in words."""
        ...

    def find_studies(self, query: StudyQuery, *, show_patient: bool = False, limit: int = 200) -> list[StudyMatch]:
        """Return the studies that fit, newest first."""
        ...

    def find_series(self, study_uid: str) -> list[SeriesMatch]:
        """Return the series of a study by number."""
        ...

    def find_instances(self, study_uid: str, series_uid: str) -> list[InstanceMatch]:
        """Return the instances of a series by number."""
        ...

    def fetch(self, wanted: Sequence[InstanceMatch], inbox: Inbox, *, complete: bool, cancelled: Cancelled) -> None:
        """Have instances of one series brought into the inbox; `complete` says that they are all the series has."""
        ...

    def store(self, files: Sequence[Outgoing], *, cancelled: Cancelled) -> Iterator[StoreAnswer]:
        """Send files as they are; yields one answer for each of them, whatever happens."""
        ...


def newest_first(studies: list[StudyMatch]) -> list[StudyMatch]:
    """Sort studies by date and time."""
    return sorted(studies, key=lambda study: (study.date, study.time), reverse=True)


def by_number(matches: list) -> list:
    """Sort series or instances by their number, those without one last."""
    return sorted(matches, key=lambda match: (match.number is None, match.number or 0))
