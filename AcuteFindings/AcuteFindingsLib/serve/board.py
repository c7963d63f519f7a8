"""The jobs of a running server: what waits, what is being read, and what became of it."""

import threading
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any

from AcuteFindingsLib.serve.job_files import Job, JobFiles

MOST_WAITING = 200
"""Uploads that may wait to be read; a busy department sends a hundred studies a day and detector."""


class Board:
    """All jobs, for the threads of the server.

    Attributes
    ----------
    files
        Where jobs lie on the disk.
    """

    def __init__(self, files: JobFiles, say: Callable[[str], object] = print) -> None:
        """Take up the jobs that are on the disk: what was being read waits again.

        Of a server that was killed between the end of a job and the removal of its files, they are removed now.
        """
        self.files = files
        self._jobs = {job.id: job for job in files.jobs(say)}
        self._there = threading.Condition()
        for job in list(self._jobs.values()):
            if job.ended:
                files.drop_files(job.id)
            else:
                self._jobs[job.id] = replace(job, state="waiting", text="", progress=0.0)

    def all(self) -> list[Job]:
        """Return the jobs, the newest first."""
        with self._there:
            return sorted(self._jobs.values(), key=lambda job: (job.created, job.id), reverse=True)

    def get(self, job_id: str) -> Job | None:
        """Return a job, one that waits with the number of those before it; None where there is none."""
        job = self._jobs.get(job_id)
        if job is not None and job.state == "waiting":
            before = self._before(job)
            text = "Waiting" if not before else f"Waiting: {before} before it"
            return replace(job, text=text)
        return job

    def _before(self, job: Job) -> int:
        with self._there:
            return sum(not one.ended and (one.created, one.id) < (job.created, job.id) for one in self._jobs.values())

    @property
    def waiting(self) -> int:
        """How many jobs wait."""
        with self._there:
            return sum(job.state == "waiting" for job in self._jobs.values())

    def add(self, job: Job) -> None:
        """Put a job up whose files are whole; raises `OSError` where it cannot be kept."""
        self.files.write(job)
        with self._there:
            self._jobs[job.id] = job
            self._there.notify_all()

    def take(self, most: int, *, timeout: float) -> list[Job]:
        """Return up to `most` waiting jobs (0: all), which are being read from now on; none where none come in time."""
        with self._there:
            waiting = self._waiting() or (self._there.wait(timeout) and self._waiting()) or []
            taken = [replace(job, state="reading", text="Reading the study") for job in waiting[: most or None]]
            self._jobs |= {job.id: job for job in taken}
        return taken

    def _waiting(self) -> list[Job]:
        found = [job for job in self._jobs.values() if job.state == "waiting"]
        return sorted(found, key=lambda job: (job.created, job.id))

    def change(self, job_id: str, **values: Any) -> Job | None:
        """Change a job in memory; None where it was removed meanwhile."""
        with self._there:
            job = self._jobs.get(job_id)
            if job is None:
                return None
            self._jobs[job_id] = replace(job, **values)
            return self._jobs[job_id]

    def end(self, job_id: str, **values: Any) -> None:
        """Say what became of a job, and let go of what was uploaded; raises `OSError` where it cannot be kept."""
        job = self.change(job_id, progress=1.0, **values)
        if job is not None:
            self.files.write(job)
            self.files.drop_files(job_id)
            if job_id not in self:
                self.files.drop(job_id)

    def remove(self, job_id: str) -> bool:
        """Remove a job and what was uploaded for it; False where there is none.

        Of a job that is being read the files stay until its worker has ended (`drop_removed`).
        """
        with self._there:
            job = self._jobs.pop(job_id, None)
        if job is not None:
            self.files.drop_job(job_id)
            if job.state != "reading":
                self.files.drop(job_id)
        return job is not None

    def drop_removed(self, jobs: Iterable[Job]) -> None:
        """Remove the files of those jobs that were removed while they were being read."""
        for job in jobs:
            if job.id not in self:
                self.files.drop(job.id)

    def __contains__(self, job_id: str) -> bool:
        """Whether a job is there."""
        return job_id in self._jobs
