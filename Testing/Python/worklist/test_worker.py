"""The worklist's jobs of the worker process."""

from pathlib import Path

import pytest

from AcuteFindingsLib.errors import CancelledError, WorklistError
from AcuteFindingsLib.jobs.messages import MessageError, Request
from AcuteFindingsLib.jobs.tools import Tools
from AcuteFindingsLib.jobs.worker_jobs import JOBS
from AcuteFindingsLib.progress import never_cancelled, no_progress
from AcuteFindingsLib.worklist.records import Record, ResultsFolder
from AcuteFindingsLib.worklist.worker import WORKLIST_JOBS

AT = "2026-11-30T08:00:00.000+00:00"


def ask(job: str, cancelled=never_cancelled, **fields):
    sent = {
        name: [str(one) for one in value] if name == "files" else str(value) if isinstance(value, Path) else value
        for name, value in fields.items()
    }
    return WORKLIST_JOBS[job](Request(1, job, sent), Tools(no_progress, cancelled))


@pytest.fixture
def found(tmp_path):
    """Two examinations that no detector can read, and the file that lists them."""
    folder = tmp_path / "studies"
    folder.mkdir()
    for name in ("one", "two"):
        (folder / f"{name}.nii").write_text(name)
    listed = ask("find_exams", source=folder, out=tmp_path / "exams.jsonl")
    return tmp_path, listed


def test_no_job_hides_another():
    assert not set(JOBS) & set(WORKLIST_JOBS)


def test_what_was_found_is_read_by_its_place_in_the_file(found):
    folder, listed = found
    results = folder / "results"
    places = [place for place, _uid in listed["exams"]]
    assert len(places) == 2
    for place in reversed(places):
        given = ask(
            "read_exam",
            exams=folder / "exams.jsonl",
            place=place,
            results=results,
            detector="hemorrhage",
        )
        [outcome] = given["outcomes"]
        assert (outcome["record"]["state"], outcome["skipped"]) == ("failed", False)
    again = ask("read_exam", exams=folder / "exams.jsonl", place=places[0], results=results, detector="hemorrhage")
    assert again["outcomes"][0]["skipped"]
    assert len(list(ResultsFolder(results).records())) == 2


def test_named_files_are_examinations_and_those_that_are_gone_are_counted(found):
    folder, _ = found
    files = [folder / "studies" / "one.nii", folder / "studies" / "gone.nii"]
    listed = ask("find_exams", files=files, out=folder / "chosen.jsonl")
    assert (len(listed["exams"]), listed["missing"]) == (1, 1)


def test_a_reading_is_cancelled_and_leaves_nothing(found):
    folder, listed = found
    with pytest.raises(CancelledError):
        ask(
            "read_exam",
            cancelled=lambda: True,
            exams=folder / "exams.jsonl",
            place=listed["exams"][0][0],
            results=folder / "results",
            detector="auto",
        )


def test_a_list_of_examinations_that_is_gone_is_told(found):
    folder, _ = found
    with pytest.raises(MessageError, match="add them again"):
        ask("read_exam", exams=folder / "gone.jsonl", place=0, results=folder / "results", detector="auto")


def test_rows_come_by_urgency_and_answers_stay_with_them(tmp_path):
    folder = ResultsFolder(tmp_path)
    for key, verdict, probability in (("aa", "negative", 0.1), ("bb", "positive", 0.9)):
        folder.write(Record(key, "hemorrhage", "done", verdict=verdict, probability=probability, arrived=AT))
    rows = ask("worklist_items", results=tmp_path, rebuild=True)["items"]
    assert [row["key"] for row in rows] == ["bb", "aa"]
    ask("worklist_answer", results=tmp_path, key="bb", answer="agree", reader="R")
    read = {"key": "cc", "detector": "pe", "state": "done", "verdict": "positive", "probability": 1.0, "arrived": AT}
    rows = ask("worklist_items", results=tmp_path, records=[read])["items"]
    assert [(row["key"], row["answer"]) for row in rows] == [("cc", ""), ("aa", ""), ("bb", "agree")]
    with pytest.raises(WorklistError, match="no study"):
        ask("worklist_answer", results=tmp_path, key="zz", answer="agree")
