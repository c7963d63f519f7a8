"""What becomes of jobs whatever the engine answers: nothing is lost, nothing is said twice."""

import errno
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from AcuteFindingsLib.cli.common import keep_telling
from AcuteFindingsLib.errors import CancelledError, EngineError, WorklistError
from AcuteFindingsLib.serve import runner as module
from AcuteFindingsLib.serve.board import Board
from AcuteFindingsLib.serve.job_files import Job, JobFiles
from AcuteFindingsLib.serve.runner import Runner
from AcuteFindingsLib.serve.settings import ServeSettings
from AcuteFindingsLib.worklist.exams import find_exams
from AcuteFindingsLib.worklist.reading import Outcome
from AcuteFindingsLib.worklist.records import UPLOAD, Record, ResultsFolder, now
from AcuteFindingsLib.worklist.store import Store

RECORD = Record("a" * 20, "hemorrhage", "done", verdict="negative", probability=0.1, finished=now(), origin=UPLOAD)


class Engine:
    """Answers what a test says, the first answers first; a callable is called."""

    name = "scripted"

    def __init__(self, *answers, workers: int = 1) -> None:
        self.answers, self.workers, self.runs = list(answers), workers, 0

    def run(self, exams, settings, *, done, cancelled, reader, told) -> None:
        self.runs += 1
        for exam in exams:
            answer = self.answers.pop(0)
            if callable(answer):
                answer = answer(cancelled)
            if isinstance(answer, BaseException):
                raise answer
            done(exam, answer)


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., tuple[Board, list[Job]]]:
    """Let an engine answer some jobs until all have ended, and return them."""
    monkeypatch.setattr(module, "_AGAIN_SECONDS", 0.01)
    monkeypatch.setattr(module, "_LOOK_SECONDS", 0.01)

    def make(engine: Engine, count: int = 1, meanwhile: Callable[[Board, list[Job]], None] | None = None):
        results = tmp_path / "results"
        files = JobFiles(results)
        board, store = Board(files), Store(results)
        jobs = []
        for number in range(count):
            job = replace(files.new("auto", None, 30.0), created=f"2026-01-01T00:00:0{number}.000+00:00")
            (files.files(job.id) / "00001.nii").write_text(str(number))
            board.add(job)
            jobs.append(job)
        runner = Runner(ServeSettings(results), board, store, engine, say=lambda _line: None)
        runner.start()
        if meanwhile is not None:
            meanwhile(board, jobs)
        until = time.monotonic() + 60
        while any(not job.ended for job in board.all()) and time.monotonic() < until:
            time.sleep(0.01)
        runner.stop()
        store.close()
        return board, [board.get(job.id) for job in jobs]

    return make


def test_a_study_that_another_process_is_reading_is_looked_at_again(run):
    engine = Engine([Outcome(replace(RECORD, state="reading"))], [Outcome(RECORD, skipped=True)])
    _board, (job,) = run(engine)
    assert (job.state, job.studies, engine.runs) == ("done", (RECORD.key,), 2)


def test_several_detectors_make_one_job_with_the_urgent_study_first(run):
    urgent = replace(RECORD, key="b" * 20, detector="pe", verdict="positive", probability=0.9)
    refused = replace(RECORD, key="c" * 20, detector="pneumothorax", state="refused", said="It does not fit.")
    _board, (job,) = run(Engine([Outcome(RECORD), Outcome(refused), Outcome(urgent)]))
    assert job.state == "done"
    assert job.studies[0] == urgent.key
    assert set(job.studies) == {RECORD.key, urgent.key, refused.key}
    assert "Pulmonary embolism: positive, 0.90." in job.text
    assert "Pneumothorax: It does not fit." in job.text


def test_what_fits_no_detector_is_refused_in_a_sentence(run):
    _board, (job,) = run(Engine([]))
    assert (job.state, job.studies) == ("refused", ())
    assert job.text == "No detector is made for what was uploaded."


@pytest.mark.parametrize("error", [EngineError("The engine is not here."), RuntimeError("secret"), OSError(5, "x")])
def test_an_engine_that_fails_fails_its_job_and_reads_the_next(run, error, monkeypatch):
    monkeypatch.setattr(module, "write_log", lambda *_given, **_more: None)
    _board, jobs = run(Engine(error, [Outcome(RECORD)]), count=2)
    assert [job.state for job in jobs] == ["failed", "done"]
    assert jobs[0].text.endswith(".")
    assert "secret" not in jobs[0].text


def test_an_upload_that_cannot_be_looked_at_fails_alone(run, monkeypatch):
    seen = []

    def look(folder, **_more):
        seen.append(folder)
        if len(seen) == 1:
            raise RuntimeError("secret")
        return find_exams(folder)

    monkeypatch.setattr(module, "find_exams", look)
    monkeypatch.setattr(module, "write_log", lambda *_given, **_more: None)
    _board, jobs = run(Engine([Outcome(RECORD)], workers=2), count=2)
    assert [job.state for job in jobs] == ["failed", "done"]
    assert "secret" not in jobs[0].text


def test_a_job_that_is_deleted_while_its_files_are_looked_at_stops_and_the_next_is_read(run, monkeypatch):
    deleted = []

    def look(folder, *, cancelled):
        if deleted:
            return find_exams(folder, cancelled=cancelled)
        while not cancelled():
            time.sleep(0.01)
        deleted.append(folder)
        raise CancelledError("stopped")

    def meanwhile(board: Board, jobs: list[Job]) -> None:
        while board.get(jobs[0].id).state != "reading":
            time.sleep(0.01)
        board.remove(jobs[0].id)

    monkeypatch.setattr(module, "find_exams", look)
    _board, (first, second) = run(Engine([Outcome(RECORD)]), 2, meanwhile)
    assert len(deleted) == 1
    assert first is None
    assert second.state == "done"


def test_what_cannot_be_read_by_any_detector_leaves_the_record_of_an_earlier_upload_for_one(run, tmp_path):
    failed = [replace(RECORD, key=letter * 20, state="failed", said="It is damaged.") for letter in "ab"]
    folder = ResultsFolder(tmp_path / "results")
    for record in failed:
        folder.write(record)
    _board, jobs = run(Engine([Outcome(failed[0])], [Outcome(one) for one in failed]), count=2)
    assert jobs[0].studies == (failed[0].key,)
    assert jobs[1].text == "It is damaged."
    assert [record.key for record in folder.records()] == [failed[0].key]


def test_jobs_wait_while_the_list_cannot_be_used(run, tmp_path, monkeypatch):
    monkeypatch.setattr(module, "_LIST_SECONDS", 0.01)
    away = [WorklistError("The database is away.")]

    def put(self, record):
        if away:
            raise away.pop()
        written(self, record)

    written = Store.put
    monkeypatch.setattr(Store, "put", put)
    engine = Engine([Outcome(RECORD)], [Outcome(RECORD, skipped=True)])
    _board, (job,) = run(engine)
    assert (job.state, job.studies, engine.runs) == ("done", (RECORD.key,), 2)
    store = Store(tmp_path / "results")
    assert [item.key for item in store.items()] == [RECORD.key]
    store.close()


def test_a_wish_to_stop_one_job_of_several_leaves_the_others_to_be_read(run):
    deleted = []

    def stopped(cancelled):
        while not cancelled():
            time.sleep(0.01)
        return CancelledError("stopped")

    def meanwhile(board: Board, jobs: list[Job]) -> None:
        while not engine.runs:
            time.sleep(0.01)
        deleted.append(board.remove(jobs[0].id))

    engine = Engine(stopped, [Outcome(RECORD)], workers=2)
    board, (first, second) = run(engine, 2, meanwhile)
    assert deleted == [True]
    assert first is None
    assert second.state == "done"
    assert [path.name for path in board.files.folder.iterdir() if path.is_dir()] == [second.id]


def test_a_job_that_was_deleted_when_its_study_is_read_puts_nothing_on_the_list(run, tmp_path):
    holder: list[tuple[Board, str]] = []

    def read(_cancelled):
        while not holder:
            time.sleep(0.01)
        board, job_id = holder[0]
        board.remove(job_id)
        return [Outcome(RECORD)]

    board, (job,) = run(Engine(read), meanwhile=lambda board, jobs: holder.append((board, jobs[0].id)))
    assert job is None
    store = Store(tmp_path / "results")
    assert store.items() == []
    store.close()
    assert not any(path.is_dir() for path in board.files.folder.iterdir())


def test_what_cannot_be_kept_for_want_of_room_is_read_again_after_a_restart(run, tmp_path, monkeypatch):
    def full(_self, job: Job) -> None:
        if job.ended:
            raise OSError(errno.ENOSPC, "No space left on device")
        written(_self, job)

    written = JobFiles.write
    monkeypatch.setattr(JobFiles, "write", full)
    _board, (job,) = run(Engine([Outcome(RECORD)]))
    assert job.ended
    monkeypatch.undo()
    again = Board(JobFiles(tmp_path / "results"))
    assert again.get(job.id).state == "waiting"
    assert (again.files.files(job.id) / "00001.nii").is_file()


@pytest.mark.parametrize("error", [BrokenPipeError(errno.EPIPE, "x"), OSError(errno.ENOSPC, "x")])
def test_an_output_that_nobody_takes_any_more_stops_no_reading(monkeypatch, tmp_path, error):
    stream = (tmp_path / "output").open("w")

    class Closed:
        encoding = "utf-8"
        fileno = stream.fileno

        def write(self, _text):
            raise error

        def flush(self):
            raise error

        def isatty(self):
            return False

    monkeypatch.setattr("sys.stdout", Closed())
    with stream:
        keep_telling("a line")
