"""Workers on a Slurm cluster, through submitit: an array of jobs, each of which reads some examinations."""

import os
import re
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Literal

from AcuteFindingsLib.errors import EngineError
from AcuteFindingsLib.progress import Cancelled, stop_if
from AcuteFindingsLib.worklist.engines.engine import (
    READER,
    Answer,
    Done,
    MakeReader,
    Told,
    answer_of,
    library_paths,
    reader_of,
    tell_nobody,
)
from AcuteFindingsLib.worklist.engines.tries import Tries
from AcuteFindingsLib.worklist.exams import Exam
from AcuteFindingsLib.worklist.reading import ReadSettings

Executor = Literal["slurm", "local", "debug"]

_LOOK_SECONDS = 1.0
# Jobs for each that may run at once: short enough that a lost one costs little, long enough to load networks seldom.
_JOBS_EACH, _LEAST_EXAMS = 4, 4
_MOST_JOBS = 900
_MINUTES = 24 * 60
# A job that Slurm no longer knows may still be writing its answer over the network.
_GONE_LOOKS = 5


class SlurmEngine:
    """See `engine.Engine`. Every node sees studies and results by the same paths and has this Python environment.

    Attributes
    ----------
    workers
        Jobs that run at once.
    """

    name = "slurm"

    def __init__(
        self, workers: int = 1, *, options: Mapping[str, str] | None = None, executor: Executor = "slurm"
    ) -> None:
        """Submit nothing yet.

        Parameters
        ----------
        workers
            Jobs that run at once.
        options
            Of ``sbatch``, by name: ``{"partition": "gpu", "gpus": "1"}``.
        executor
            ``"slurm"``; ``"local"`` and ``"debug"`` are submitit's own, on this computer and in this process.

        Raises
        ------
        EngineError
            submitit is not installed, or there is no Slurm here.
        """
        try:
            import submitit
        except ImportError as error:
            raise EngineError(
                "The engine slurm needs the Python package submitit: pip install 'acutefindings[slurm]'."
            ) from error
        if executor == "slurm" and shutil.which("sbatch") is None:
            raise EngineError("There is no Slurm on this computer (no sbatch); run the batch on a login node of it.")
        self._submitit, self._executor, self._options = submitit, executor, dict(options or {})
        self.workers = max(1, workers)

    def run(
        self,
        exams: Sequence[Exam],
        settings: ReadSettings,
        *,
        done: Done,
        cancelled: Cancelled,
        reader: MakeReader = READER,
        told: Told = tell_nobody,  # noqa: ARG002
    ) -> None:
        """See `engine.Engine.run`."""
        tries = Tries(exams, done)
        _sweep(settings.out)
        size = max(_LEAST_EXAMS, -(-len(exams) // min(_JOBS_EACH * self.workers, _MOST_JOBS)))
        while tries.left:
            parts = list(_parts(tries, size))
            self._run(parts, tries, settings, cancelled, reader)
            # What a lost job had is read again one by one, so that only what ends a job is lost twice.
            size = 1

    def _run(
        self,
        parts: list[list[tuple[int, Exam]]],
        tries: Tries,
        settings: ReadSettings,
        cancelled: Cancelled,
        reader: MakeReader,
    ) -> None:
        # What is sent to jobs names files: it does not stay with the results.
        folder = settings.out / f"{_jobs_of(os.getpid())}{time.monotonic_ns()}"
        jobs: list[Any] = []
        try:
            with _found_by_jobs():
                jobs = self._submit(folder, [[exam for _, exam in part] for part in parts], settings, reader)
            left = dict(enumerate(jobs))
            looks = dict.fromkeys(left, 0)
            while left:
                stop_if(cancelled)
                for place, job in list(left.items()):
                    if not job.done():
                        looks[place] = looks[place] + 1 if self._gone(job) else 0
                        if looks[place] < _GONE_LOOKS:
                            continue
                    del left[place]
                    self._answer(job, parts[place], tries)
                if left:
                    time.sleep(_LOOK_SECONDS)
        except BaseException:
            for job in jobs:
                with suppress(Exception):  # It may have ended by itself.
                    job.cancel(check=False)
            raise
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def _submit(self, folder: Path, parts: list[list[Exam]], settings: ReadSettings, reader: MakeReader) -> list[Any]:
        executor = self._submitit.AutoExecutor(folder=folder, cluster=self._executor)
        parameters: dict[str, Any] = {"name": "acutefindings", "timeout_min": _MINUTES}
        if self._executor == "slurm":
            parameters["slurm_array_parallelism"] = self.workers
            parameters["slurm_additional_parameters"] = self._options
            # The time that a partition allows is Slurm's to say.
            if "time" in self._options:
                parameters.pop("timeout_min")
        try:
            executor.update_parameters(**parameters)
            return executor.map_array(_read, parts, [settings] * len(parts), [reader] * len(parts))
        except (OSError, subprocess.CalledProcessError, ValueError, self._submitit.core.utils.FailedJobError) as error:
            told = " ".join(str(error).split())[-300:]
            raise EngineError(f"Slurm did not take the jobs: {told}") from error

    def _gone(self, job: Any) -> bool:
        """Whether Slurm has no such job any more, also where it keeps no accounts of jobs (sacct)."""
        if self._executor != "slurm":
            return False
        try:
            asked = subprocess.run(
                ["squeue", "--noheader", "--jobs", str(job.job_id), "--format", "%T"],
                capture_output=True, text=True, timeout=60, check=False,
            )  # fmt: skip
        except (OSError, subprocess.TimeoutExpired):
            return False
        if asked.returncode != 0:
            return "Invalid job id" in asked.stderr
        return not asked.stdout.strip()

    def _answer(self, job: Any, part: list[tuple[int, Exam]], tries: Tries) -> None:
        try:
            answers: list[Answer] = job.result() if job.done() else []
        except self._submitit.core.utils.FailedJobError:
            answers = []
        except self._submitit.core.utils.UncompletedJobError:
            answers = []
        if len(answers) != len(part):
            for number, _ in part:
                tries.lost(number)
            return
        for (number, _), answer in zip(part, answers, strict=True):
            tries.answered(number, answer)


def _jobs_of(process: int) -> str:
    """Return how the folders begin that a process sends its jobs through."""
    return f".jobs-{re.sub(r'[^A-Za-z0-9]+', '', socket.gethostname())}-{process}-"


def _sweep(out: Path) -> None:
    """Remove what drivers of this computer left that were killed: nobody waits for their jobs any more."""
    here = _jobs_of(0).removesuffix("0-")
    for folder in out.glob(f"{here}*"):
        process = folder.name.removeprefix(here).partition("-")[0]
        if process.isdecimal() and not _runs(int(process)):
            shutil.rmtree(folder, ignore_errors=True)


def _runs(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True


def _parts(tries: Tries, size: int) -> Iterator[list[tuple[int, Exam]]]:
    part: list[tuple[int, Exam]] = []
    while (following := tries.next()) is not None:
        part.append(following)
        if len(part) == size:
            yield part
            part = []
    if part:
        yield part


def _read(exams: list[Exam], settings: ReadSettings, reader: MakeReader) -> list[Answer]:
    """Read some examinations; runs in a job."""
    reads = reader_of(reader, settings)
    return [answer_of(reads, exam) for exam in exams]


@contextmanager
def _found_by_jobs() -> Iterator[None]:
    """Let jobs that are submitted in the block find this library, where it is not installed."""
    before = os.environ.get("PYTHONPATH")
    os.environ["PYTHONPATH"] = library_paths()
    try:
        yield
    finally:
        if before is None:
            del os.environ["PYTHONPATH"]
        else:
            os.environ["PYTHONPATH"] = before
