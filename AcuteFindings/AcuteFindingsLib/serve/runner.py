"""The thread that lets an engine read what was uploaded, and says what became of it."""

import os
import re
import tempfile
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from AcuteFindingsLib.errors import AcuteFindingsError, CancelledError, StudyError, WorklistError
from AcuteFindingsLib.last_resort import expected, sentence, write_log
from AcuteFindingsLib.serve.board import Board
from AcuteFindingsLib.serve.job_files import Job
from AcuteFindingsLib.serve.settings import ServeSettings
from AcuteFindingsLib.worklist.engines.engine import Answer, Engine
from AcuteFindingsLib.worklist.exams import Exam, find_exams
from AcuteFindingsLib.worklist.intake.deliver import describe
from AcuteFindingsLib.worklist.item import by_urgency
from AcuteFindingsLib.worklist.listing import finding_words
from AcuteFindingsLib.worklist.reading import Outcome, ReadSettings
from AcuteFindingsLib.worklist.records import now
from AcuteFindingsLib.worklist.store import Store

_LOOK_SECONDS, _AGAIN_SECONDS, _LIST_SECONDS = 0.5, 1.0, 30.0


class Runner:
    """Reads what waits on a board until it is told to stop."""

    def __init__(
        self,
        settings: ServeSettings,
        board: Board,
        store: Store,
        engine: Engine,
        say: Callable[[str], object] = print,
    ) -> None:
        self._board, self._store, self._engine, self._say = board, store, engine, say
        self._reader = settings.reader
        self._reading = ReadSettings(
            settings.results, device=settings.device, model_folders=settings.model_folders, upload=True
        )
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="jobs", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """Stop what is being read, which is read again by the next server of this folder, and return when it has."""
        self._stopping.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._stopping.is_set():
            jobs = self._board.take(self._engine.workers, timeout=_LOOK_SECONDS)
            try:
                if jobs:
                    self._read(jobs)
            except CancelledError:
                self._put_back(jobs)
            # A database that is away, a list on a full disk: what was read lies with its results, and is put on the
            # list then.
            except WorklistError as error:
                self._say(f"Jobs wait until the list can be used again: {sentence(error)}")
                self._put_back(jobs)
                self._stopping.wait(_LIST_SECONDS)
            # Whatever one job brings about, the next ones are read.
            except Exception as error:
                self._failed(jobs, error)
            self._board.drop_removed(jobs)

    def _put_back(self, jobs: list[Job]) -> None:
        for job in self._open(jobs):
            self._board.change(job.id, state="waiting", progress=0.0)

    def _open(self, jobs: list[Job]) -> list[Job]:
        """Return those of which nothing has become yet."""
        found = [self._board.get(job.id) for job in jobs]
        return [job for job in found if job is not None and not job.ended]

    def _read(self, jobs: list[Job]) -> None:
        owner: dict[int, str] = {}
        exams: list[Exam] = []
        for job in jobs:
            try:
                found = self._exams(job)
            except CancelledError:
                raise
            except AcuteFindingsError as error:
                self._end(job.id, [str(error)])
                continue
            # Whatever one upload holds, the others are read.
            except Exception as error:
                self._failed([job], error)
                continue
            exams += found
            owner |= {id(exam): job.id for exam in found}
        answers: dict[str, list[Answer]] = {job_id: [] for job_id in owner.values()}
        counts = {job_id: sum(one == job_id for one in owner.values()) for job_id in answers}
        elsewhere: list[Exam] = []

        open_jobs = set(answers)

        def done(exam: Exam, answer: Answer) -> None:
            job_id = owner[id(exam)]
            if job_id not in self._board:
                return
            if not isinstance(answer, str) and any(one.record.state == "reading" for one in answer):
                elsewhere.append(exam)
                return
            answers[job_id].append(answer)
            if len(answers[job_id]) == counts[job_id]:
                open_jobs.discard(job_id)
                self._end(job_id, answers[job_id])

        def told(exam: Exam, text: str, fraction: float) -> None:
            job_id = owner[id(exam)]
            share = (len(answers[job_id]) + fraction) / counts[job_id]
            self._board.change(job_id, text=text, progress=min(share, 1.0))

        def cancelled() -> bool:
            return self._stopping.is_set() or any(job_id not in self._board for job_id in open_jobs)

        while exams:
            self._engine.run(exams, self._reading, done=done, cancelled=cancelled, reader=self._reader, told=told)
            # A worker that outlived the server before this one is reading it: looked at again when it has ended.
            exams, elsewhere = elsewhere, []
            if exams and self._stopping.wait(_AGAIN_SECONDS):
                raise CancelledError("The server stops.")

    def _exams(self, job: Job) -> list[Exam]:
        found = find_exams(
            self._board.files.files(job.id),
            cancelled=lambda: self._stopping.is_set() or job.id not in self._board,
        )
        if not found.exams:
            what = (
                "Nothing that was uploaded can be read as an image"
                if found.unreadable or not found.others
                else "What was uploaded is of a kind that no detector reads"
            )
            raise StudyError(f"{what}; upload DICOM files, a zip of them, NIfTI, NRRD, MetaImage, PNG or JPEG.")
        return [replace(exam, arrived=job.created) for exam in found.exams]

    def _end(self, job_id: str, answers: list[Answer]) -> None:
        """Put what was read on the list, and say in the job what became of all of it."""
        outcomes: list[Outcome] = []
        lost: list[str] = []
        for answer in answers:
            if isinstance(answer, str):
                lost.append(self._without_place(answer))
                continue
            for one in answer:
                record = replace(one.record, said=self._without_place(one.record.said))
                outcomes.append(replace(one, record=record))
        if len(outcomes) > 1 and {one.record.state for one in outcomes} == {"failed"}:
            said_of_all = {one.record.said for one in outcomes}
            if len(said_of_all) == 1:
                # It could not be read at all, so it is no detector's study: the job says so, once.
                for outcome in outcomes:
                    # Unless an upload before this one, for one detector, put it on the list.
                    if self._store.item(outcome.record.key) is None:
                        self._store.folder.forget(outcome.record.key)
                outcomes, lost = [], [*said_of_all, *lost]
        for outcome in outcomes:
            self._store.put(outcome.record)
        items = by_urgency((self._store.item_of(one.record) for one in outcomes), self._store.settings)
        states = [item.state for item in items] + ["failed"] * len(lost)
        state = next((one for one in ("done", "failed", "refused") if one in states), "refused")
        said = [
            f"{finding_words(item.detector)}: {item.said if item.said else _verdict(item.verdict, item.probability)}"
            for item in items
        ]
        text = " ".join([*said, *lost]) or "No detector is made for what was uploaded."
        if self._board.change(job_id, studies=tuple(item.key for item in items)) is not None:
            self._board.end(job_id, state=state, text=text, finished=now())
        for item in items:
            self._say(describe(item, finding_words(item.detector)))

    def _failed(self, jobs: list[Job], error: Exception) -> None:
        if not expected(error):
            write_log(error, doing="serve")
        said = self._without_place(sentence(error, kept=True))
        self._say(f"A job failed: {said}")
        for job in self._open(jobs):
            # What cannot be kept now is tried again by the next server of this folder.
            with suppress(OSError):
                self._board.end(job.id, state="failed", text=said, finished=now())

    def _without_place(self, said: str) -> str:
        """Return a sentence without the paths of this computer, which are nobody's business elsewhere."""
        # Path.home raises for an account without one.
        home = os.path.expanduser("~")  # noqa: PTH111
        places = (self._reading.out, Path(tempfile.gettempdir()), *self._reading.model_folders, Path(home))
        # Accounts of services may have the root as their home.
        for place in sorted({str(place) for place in places if place.name}, key=len, reverse=True):
            # With what lies below: a key, a number.
            said = re.sub(rf"(--out )?{re.escape(place)}(/[\w.-]+)*", "the server's folder", said)
        return said[:1].upper() + said[1:]


def _verdict(verdict: str | None, probability: float | None) -> str:
    return f"{verdict}, {probability:.2f}." if probability is not None else f"{verdict}."
