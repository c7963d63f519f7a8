"""Studies read as they arrive, until somebody says stop; a kill at any moment loses nothing and reads nothing twice."""

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path

from AcuteFindingsLib.errors import AcuteFindingsError, CancelledError, EngineError, WorklistError
from AcuteFindingsLib.last_resort import sentence
from AcuteFindingsLib.progress import Cancelled
from AcuteFindingsLib.worklist.engines.engine import READER, Answer, Engine, MakeReader
from AcuteFindingsLib.worklist.exams import Exam, find_exams
from AcuteFindingsLib.worklist.intake.deliver import Delivery, describe
from AcuteFindingsLib.worklist.intake.poll import Poll
from AcuteFindingsLib.worklist.intake.spool import Files, Spool, files_now
from AcuteFindingsLib.worklist.listing import finding_words, write_listing
from AcuteFindingsLib.worklist.reading import ReadSettings
from AcuteFindingsLib.worklist.records import UPLOAD, Record
from AcuteFindingsLib.worklist.store import Store

_LIST_SECONDS = 30.0
_AT_ONCE = 4
# Of the time that a look through watched folders takes, until the next one.
_REST_SHARE = 10.0

Where = Path | str


@dataclass(frozen=True)
class WatchSettings:
    """How it is watched.

    Attributes
    ----------
    quiet
        Seconds without a further instance after which a study counts as complete.
    every
        Seconds from one look to the next.
    keep
        Seconds for which received images stay after their last instance came, once they are read: late instances make
        a new reading of all.
    folders
        Folders that are looked through; nothing is removed there.
    """

    quiet: float = 60.0
    every: float = 2.0
    keep: float = 86_400.0
    folders: tuple[Path, ...] = ()


@dataclass
class Watch:
    """Reads what arrives. Its parts are handed in, so that each can be had or left out.

    Attributes
    ----------
    reading
        How studies are read, and into which folder of results.
    settings
        How it is watched.
    engine
        Which reads; it should keep its workers (`LocalEngine(keep=True)`).
    spool
        Where receiver and archives put what came.
    store
        The list.
    polls
        Archives that are asked.
    delivery
        Where results go; None keeps them here.
    say
        Told of each study that was read, and of what went wrong; names no patient.
    reader
        What workers do; another one in tests.
    """

    reading: ReadSettings
    settings: WatchSettings
    engine: Engine
    spool: Spool
    store: Store
    polls: Sequence[Poll] = ()
    delivery: Delivery | None = None
    say: Callable[[str], object] = print
    reader: MakeReader = READER
    _read: dict[Where, Files] = field(default_factory=dict)
    _changed: dict[Where, tuple[Files, float]] = field(default_factory=dict)
    _folders_next: float = 0.0
    _undelivered: dict[str, Record] = field(default_factory=dict)
    _elsewhere: list[Exam] = field(default_factory=list)
    _listed: float = 0.0

    def run(self, cancelled: Cancelled) -> None:
        """Watch until `cancelled` says so; whatever one look or one archive says wrong does not end it.

        Raises
        ------
        WorklistError
            The list cannot be used.
        EngineError
            The engine cannot start.
        """
        # What was uploaded to a server of the same folder was never asked to leave it.
        self._undelivered = {
            record.key: record
            for record in self.store.folder.records()
            if record.state == "done" and record.origin != UPLOAD
        }
        asking = threading.Thread(target=self._ask, args=(cancelled,), name="polls")
        asking.start()
        try:
            while not cancelled():
                try:
                    self.look(cancelled)
                except (CancelledError, EngineError, WorklistError):
                    raise
                # A full disk, a share that is away: said, and tried again.
                except (AcuteFindingsError, OSError) as error:
                    self.say(f"This look was cut off: {sentence(error)}")
                _sleep(self.settings.every, cancelled)
        except CancelledError:
            pass
        finally:
            asking.join()
            with suppress(AcuteFindingsError, OSError):
                self._write_list()

    def look(self, cancelled: Cancelled) -> int:
        """Read what is complete now, deliver what is done, and return how many examinations were read."""
        ready = list(self._ready())
        # A few at a time, so that the first results go out, and the list shows them, while the others are read.
        size = max(_AT_ONCE, 2 * self.engine.workers)
        for first in range(0, len(ready), size):
            part = ready[first : first + size]
            exams = [exam for exam, _, _ in part]
            self.engine.run(exams, self.reading, done=self._done, cancelled=cancelled, reader=self.reader)
            for exam, where, state in part:
                if exam not in self._elsewhere:
                    self._read[where] = state
            self._elsewhere = []
            self._deliver()
            self._write_list()
        self._deliver()
        self._tidy()
        if time.monotonic() - self._listed > _LIST_SECONDS:
            self._write_list()
        return len(ready)

    def _ready(self) -> Iterator[tuple[Exam, Where, Files]]:
        """Yield examinations that are complete and have changed since they were read."""
        for study in self.spool.waiting():
            whole = self.spool.complete.get(study.folder) == study.files.count
            if self._rests(study.folder, study.files, whole=whole):
                for exam in find_exams(study.folder).exams:
                    yield replace(exam, arrived=_iso(study.first)), study.folder, study.files
        if time.monotonic() < self._folders_next:
            return
        started = time.monotonic()
        for folder in self.settings.folders:
            try:
                found = find_exams(folder)
            except AcuteFindingsError as error:
                self.say(str(error))
                continue
            for exam in found.exams:
                seen = files_now(exam.files or (exam.source,))
                where = f"{exam.study_uid} {exam.source}"
                if seen is not None and self._rests(where, seen[0]):
                    yield replace(exam, arrived=_iso(seen[1])), where, seen[0]
        # Headers of large trees are not read all the time.
        self._folders_next = time.monotonic() + _REST_SHARE * (time.monotonic() - started)

    def _rests(self, where: Where, files: Files, *, whole: bool = False) -> bool:
        """Whether a study is new or has changed, and has not changed further while it was watched for long enough.

        What counts is when a change was seen here: files that are copied may keep times of long ago.
        """
        if self._read.get(where) == files:
            return False
        since = self._changed.get(where)
        if since is None or since[0] != files:
            since = self._changed[where] = (files, time.monotonic())
        return whole or time.monotonic() - since[1] >= self.settings.quiet

    def _done(self, exam: Exam, answer: Answer) -> None:
        if isinstance(answer, str):
            self.say(f"A study could not be read: {answer}")
            return
        for outcome in answer:
            if outcome.record.state == "reading":
                # By a process that outlived the watch before this one: looked at again.
                self._elsewhere.append(exam)
                continue
            self.store.put(outcome.record)
            if not outcome.skipped:
                self.say(describe(self.store.item_of(outcome.record), finding_words(outcome.record.detector)))
            if outcome.record.state == "done":
                self._undelivered[outcome.record.key] = outcome.record
        if not answer:
            self.say("A study fits no detector.")

    def _deliver(self) -> None:
        if self.delivery is None:
            self._undelivered = {}
            return
        for key, record in list(self._undelivered.items()):
            if self.delivery.deliver(record, self.store.item_of(record)):
                del self._undelivered[key]

    def _tidy(self) -> None:
        """Remove received images that were read and that no late instance will join."""
        for study in list(self.spool.waiting()):
            read = self._read.get(study.folder) == study.files
            if read and self.spool.drop(study.folder, older_than=self.settings.keep):
                self._read.pop(study.folder, None)
                self._changed.pop(study.folder, None)

    def _write_list(self) -> None:
        self._listed = time.monotonic()
        write_listing(self.store.items(), self.store.folder.folder, self.store.settings)

    def _ask(self, cancelled: Cancelled) -> None:
        while not cancelled():
            for poll in self.polls:
                try:
                    poll.ask(self.spool, cancelled)
                except CancelledError:
                    return
                # Whatever one archive answers, the others are asked, and this one again.
                except Exception as error:
                    self.say(f"{poll.name} could not be asked: {sentence(error)}")
            _sleep(self.settings.every, cancelled)


def _sleep(seconds: float, cancelled: Cancelled) -> None:
    until = time.monotonic() + seconds
    while not cancelled() and (left := until - time.monotonic()) > 0:
        time.sleep(min(0.2, left))


def _iso(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds")
