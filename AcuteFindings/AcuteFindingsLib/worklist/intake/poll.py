"""An archive asked again and again for new studies, which come into the spool."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import date, timedelta

from AcuteFindingsLib.errors import PacsError
from AcuteFindingsLib.pacs.connection import Connection
from AcuteFindingsLib.pacs.matches import StudyMatch, StudyQuery
from AcuteFindingsLib.pacs.pull import pull_studies
from AcuteFindingsLib.pacs.study_search import find_studies
from AcuteFindingsLib.progress import Cancelled, stop_if
from AcuteFindingsLib.worklist.intake.spool import Spool

_MOST_STUDIES = 1000


@dataclass
class Poll:
    """Asks an archive for the studies of the last days and fetches those that are new or have grown.

    Attributes
    ----------
    name
        Of the archive, for people.
    connect
        Reaches it.
    modality
        Only series of this modality; all when None.
    days
        Today and so many days before are asked for.
    every
        Seconds from one question to the next.
    say
        Told in one sentence of what could not be asked or fetched; it is tried again.
    """

    name: str
    connect: Callable[[], Connection]
    modality: str | None = None
    days: int = 1
    every: float = 60.0
    say: Callable[[str], object] = print
    _next: float = 0.0
    _had: dict[str, int | None] = field(default_factory=dict)

    def ask(self, spool: Spool, cancelled: Cancelled) -> int:
        """Ask if it is time, and return how many studies were fetched."""
        if time.monotonic() < self._next:
            return 0
        fetched = 0
        try:
            connection = self.connect()
            first = (date.today() - timedelta(days=self.days)).strftime("%Y%m%d")
            query = StudyQuery(date=f"{first}-", modality=self.modality)
            for study in reversed(find_studies(connection, query, limit=_MOST_STUDIES)):
                stop_if(cancelled)
                fetched += self._fetch(connection, study, spool, cancelled)
        except PacsError as error:
            self.say(f"{self.name}: {error}")
        self._next = time.monotonic() + self.every
        return fetched

    def _fetch(self, connection: Connection, study: StudyMatch, spool: Spool, cancelled: Cancelled) -> int:
        if study.study_uid in self._had and self._had[study.study_uid] == study.instance_count:
            return 0
        target = spool.study(study.study_uid)
        try:
            pulled = pull_studies(connection, [study], target, modality=self.modality, cancelled=cancelled)
        except PacsError as error:
            self.say(f"{self.name}: a study could not be fetched: {error}")
            return 0
        if all(series.complete for series in pulled):
            self._had[study.study_uid] = study.instance_count
            spool.complete[target] = sum(1 for file in target.rglob("*.dcm") if not file.name.startswith("."))
        return int(any(series.fetched for series in pulled))
