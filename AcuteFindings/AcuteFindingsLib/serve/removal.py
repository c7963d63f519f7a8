"""What is removed: a study that was uploaded, when somebody says so or when its time is over."""

import threading
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime, timedelta

from AcuteFindingsLib.errors import AcuteFindingsError, ExportError
from AcuteFindingsLib.jobs.results_folder import finish_killed, killed_runs, remove_results
from AcuteFindingsLib.last_resort import sentence
from AcuteFindingsLib.serve.board import Board
from AcuteFindingsLib.serve.problem import Problem
from AcuteFindingsLib.worklist.records import UPLOAD
from AcuteFindingsLib.worklist.store import Store

_EVERY_SECONDS = 600.0
_BUSY = "This study is being read at this moment; remove it when it has been read."


def remove_study(store: Store, key: str) -> None:
    """Remove the results, the record and the answers of a study that was uploaded.

    Raises
    ------
    Problem
        It was not uploaded but read by a batch (403), or it is being read (409).
    """
    folder = store.folder
    record = folder.read(key)
    if record is None or record.origin != UPLOAD:
        raise Problem(403, "This study was not uploaded here but read by a batch or a watch; it is not removed here.")
    with folder.alone(key) as alone:
        if not alone:
            raise Problem(409, _BUSY)
        # Goes last: a study whose removal is cut short is still known as uploaded, and can be removed again. On a full
        # disk it is not written, for nothing is to hinder a removal that makes room.
        with suppress(OSError):
            folder.write(record)
        try:
            remove_results(folder.results(key))
        except ExportError as error:
            raise Problem(409, _BUSY) from error
        store.forget(key)
        folder.forget(key)


class Expiry:
    """The thread that removes what was uploaded when its time is over, and what stopped jobs left."""

    def __init__(self, board: Board, store: Store, keep_days: float, say: Callable[[str], object] = print) -> None:
        self._board, self._store, self._keep, self._say = board, store, timedelta(days=keep_days), say
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="expiry", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """Stop, and return when it has."""
        self._stopping.set()
        self._thread.join()

    def _run(self) -> None:
        while True:
            try:
                self.clear_away()
                if self._keep:
                    self.look(datetime.now(UTC))
            # A full disk, a database that is away: said, and tried again.
            except (AcuteFindingsError, OSError) as error:
                self._say(f"Expired studies could not be removed: {sentence(error)}")
            if self._stopping.wait(_EVERY_SECONDS):
                return

    def clear_away(self) -> None:
        """Remove what jobs that were stopped had begun to write: nobody may ever upload these studies again."""
        folder = self._store.folder
        for results in killed_runs(folder.folder):
            # What is being read at this moment, here or on another computer, is left alone.
            with folder.alone(results.name) as alone, suppress(ExportError):
                if alone:
                    finish_killed(results)

    def look(self, at: datetime) -> None:
        """Remove the uploaded studies and the jobs whose time is over; what a batch read stays."""
        oldest = (at - self._keep).isoformat(timespec="milliseconds")
        for job in self._board.all():
            if job.ended and job.finished < oldest:
                self._board.remove(job.id)
        # What was uploaded again later stays with its later job.
        kept = {key for job in self._board.all() for key in job.studies}
        for record in list(self._store.folder.records()):
            if record.origin == UPLOAD and record.finished < oldest and record.key not in kept:
                # What is being read at this moment goes at the next look.
                with suppress(Problem):
                    remove_study(self._store, record.key)
