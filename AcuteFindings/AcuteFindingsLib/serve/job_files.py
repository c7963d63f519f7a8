"""Uploads on the disk: a folder each, whose ``job.json`` is the truth, so that a server that was killed goes on.

::

    RESULTS/uploads/<id>/job.json   what is asked for, and what became of it
    RESULTS/uploads/<id>/files/     what was uploaded, numbered; gone when the job has ended
    RESULTS/uploads/.lock           held by the server of this folder
"""

import re
import secrets
import shutil
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from AcuteFindingsLib.errors import ServeError
from AcuteFindingsLib.files import replace_when_written
from AcuteFindingsLib.worklist.records import now
from AcuteFindingsLib.worklist.words import State

UPLOADS = "uploads"
_JOB, _FILES = "job.json", "files"
_MOST_BYTES = 2**20
_ID_BYTES = 10
_ID = re.compile(rf"[0-9a-f]{{{2 * _ID_BYTES}}}")


@dataclass(frozen=True)
class Job:
    """What somebody asked for and what became of it.

    Attributes
    ----------
    id
        Names the job and its folder; nobody can guess it.
    state
        In the words of the list.
    detector, model
        As asked for; the detector ``"auto"`` and None for what the server chooses.
    studies
        Keys of the studies that it gave, the most urgent first.
    text
        What is being done, or the sentence of the end.
    progress
        Share that is done, 0..1.
    created, finished
        ISO 8601, UTC.
    expires
        When the job and its studies are removed; None for never.
    """

    id: str
    state: State
    detector: str
    created: str
    model: str | None = None
    studies: tuple[str, ...] = field(default=())
    text: str = ""
    progress: float = 0.0
    finished: str = ""
    expires: str | None = None

    @property
    def ended(self) -> bool:
        """Whether nothing more becomes of it."""
        return self.state in ("done", "refused", "failed")


_ADAPTER = TypeAdapter(Job)


class JobFiles:
    """The folder of uploads below a folder of results."""

    def __init__(self, results: Path) -> None:
        self.folder = results / UPLOADS

    def new(self, detector: str, model: str | None, keep_days: float) -> Job:
        """Return a job whose folder is there, empty, and not yet on the disk as a job; raises `OSError`."""
        job = Job(
            secrets.token_hex(_ID_BYTES),
            "waiting",
            detector,
            now(),
            model,
            expires=(datetime.now(UTC) + timedelta(days=keep_days)).isoformat(timespec="seconds")
            if keep_days
            else None,
        )
        self.files(job.id).mkdir(parents=True)
        return job

    def files(self, job_id: str) -> Path:
        """Return the folder of what was uploaded."""
        return self.folder / job_id / _FILES

    def write(self, job: Job) -> None:
        """Keep a job; raises `OSError` where that is not possible."""
        with replace_when_written(self.folder / job.id / _JOB) as partial:
            partial.write_bytes(_ADAPTER.dump_json(job))

    def drop_files(self, job_id: str) -> None:
        """Remove what was uploaded; the job stays."""
        shutil.rmtree(self.files(job_id), ignore_errors=True)

    def drop_job(self, job_id: str) -> None:
        """Let a job be none after a restart: its files go then at the latest."""
        (self.folder / job_id / _JOB).unlink(missing_ok=True)

    def drop(self, job_id: str) -> None:
        """Remove a job with all that was uploaded; what others put into its folder stays."""
        folder = self.folder / job_id
        self.drop_job(job_id)
        self.drop_files(job_id)
        with suppress(OSError):
            for partial in folder.glob(f".*.partial.{_JOB}"):
                partial.unlink()
            folder.rmdir()

    def jobs(self, say: Callable[[str], object] = print) -> list[Job]:
        """Return the jobs that are on the disk, in the order in which they came.

        Uploads that were cut off go. What is no upload of ours stays as it is, and so does a job that cannot be read,
        because it is damaged or a later version wrote it; `say` is told of the latter.
        """
        found = []
        for folder in self.folder.iterdir() if self.folder.is_dir() else ():
            if not _ID.fullmatch(folder.name) or folder.is_symlink() or not folder.is_dir():
                continue
            job = _read(folder / _JOB)
            if job is not None and job.id == folder.name:
                found.append(job)
            elif not (folder / _JOB).exists():
                self.drop(folder.name)
            else:
                say(f"{folder / _JOB} cannot be read: the upload is neither read nor removed; move its folder away.")
        return sorted(found, key=lambda job: (job.created, job.id))

    def job_of(self, file: Path) -> Job:
        """Return the job that a file or folder of an upload belongs to.

        Raises
        ------
        ServeError
            It belongs to none: the job was deleted meanwhile.
        """
        try:
            job = _read(self.folder / file.relative_to(self.folder).parts[0] / _JOB)
        except ValueError:
            job = None
        if job is None:
            raise ServeError("The upload is gone: its job was deleted meanwhile.")
        return job


def _read(file: Path) -> Job | None:
    try:
        with file.open("rb") as stream:
            return _ADAPTER.validate_json(stream.read(_MOST_BYTES))
    except (OSError, ValidationError):
        return None
