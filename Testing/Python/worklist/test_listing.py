"""Table, page and report of the list, and the names of patients apart from it."""

import csv
import json
import stat
import sys
from dataclasses import replace
from pathlib import Path

import pretend
import pydicom
import pytest

from AcuteFindingsLib import cli
from AcuteFindingsLib.worklist.batch import read_batch
from AcuteFindingsLib.worklist.batch_list import BatchList
from AcuteFindingsLib.worklist.engines.local import LocalEngine
from AcuteFindingsLib.worklist.exams import Exam, Found
from AcuteFindingsLib.worklist.item import WorklistItem
from AcuteFindingsLib.worklist.listing import COLUMNS, counts, write_listing
from AcuteFindingsLib.worklist.monitor import monitor
from AcuteFindingsLib.worklist.patients import Patient, Patients, patient_of
from AcuteFindingsLib.worklist.reading import ReadSettings
from AcuteFindingsLib.worklist.records import Record, ResultsFolder
from AcuteFindingsLib.worklist.store import Store
from AcuteFindingsLib.worklist.urgency import UrgencySettings

AT = "2026-11-30T08:00:00.000+00:00"


def _item(key: str, state: str = "done", **facts) -> WorklistItem:
    return WorklistItem(key, "hemorrhage", state, arrived=AT, finished="2026-11-30T08:06:00.000+00:00", **facts)


ITEMS = [
    _item("aa", verdict="negative", probability=0.1, urgency=0.03),
    _item("bb", verdict="positive", probability=0.9, urgency=0.97, note="=1+1 <b>", answer="agree", answered=AT),
    _item("cc", "failed", said="It cannot be read <script>."),
]


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture):
    def run(*words: object, status: int = 0) -> str:
        monkeypatch.setattr(sys, "argv", ["acutefindings", *map(str, words)])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        assert (ended.value.code or 0) == status
        printed, errors = capsys.readouterr()
        return printed + errors

    return run


@pytest.fixture
def results(tmp_path: Path) -> Path:
    folder = ResultsFolder(tmp_path / "results")
    for key, verdict, probability in (("aa", "positive", 0.9), ("bb", "negative", 0.2), ("cc", None, None)):
        state = "done" if verdict else "refused"
        said = "" if verdict else "It shows no head."
        folder.write(
            Record(
                key, "hemorrhage", state, arrived=AT, finished=AT, verdict=verdict, probability=probability, said=said
            )
        )
    return folder.folder


def test_the_table_holds_every_row_and_no_formula(tmp_path: Path) -> None:
    (tmp_path / "bb").mkdir()
    (tmp_path / "bb" / "report.html").write_text("")
    table, page = write_listing(ITEMS, tmp_path, UrgencySettings())
    rows = list(csv.DictReader(table.read_text().splitlines()))
    assert tuple(rows[0]) == COLUMNS
    assert {row["key"]: row["report"] for row in rows} == {"aa": "", "bb": "bb/report.html", "cc": ""}
    assert next(row for row in rows if row["key"] == "bb")["note"].startswith("'=")
    text = page.read_text()
    assert "<b>" not in text.split("<table")[1].split("</table>")[0]
    assert "&lt;script&gt;" in text
    assert 'href="bb/report.html"' in text


def test_counts_name_verdicts_of_what_is_done_and_states_of_the_rest() -> None:
    assert counts(ITEMS) == {"positive": 1, "negative": 1, "failed": 1}


def test_figures_rest_on_sure_answers_and_say_how_many() -> None:
    def answered(key: str, verdict: str, answer: str, month: str) -> WorklistItem:
        return _item(key, verdict=verdict, answer=answer, answered=f"2026-{month}-01T00:00:00+00:00")

    items = [
        *(answered(f"p{n}", "positive", "agree", "10") for n in range(3)),
        answered("p4", "positive", "disagree", "11"),
        answered("p5", "positive", "unsure", "11"),
        answered("n1", "negative", "disagree", "11"),
        _item("n2", verdict="negative"),
    ]
    (figures,) = monitor(items)
    assert (figures.ppv.value, figures.ppv.count) == (0.75, 4)
    assert (figures.missed.value, figures.missed.count) == (1.0, 1)
    assert figures.ppv.intervals[0].low < 0.75 < figures.ppv.intervals[0].high
    assert [(row.span, row.agreed.count, row.unsure) for row in figures.agreement] == [
        ("all", 5, 1), ("2026-10", 3, 0), ("2026-11", 2, 1),
    ]  # fmt: skip
    assert figures.turnaround == (7, 6.0, 6.0, 6.0)
    assert monitor([]) == []


def test_commands_list_answer_report_and_rebuild(results: Path, command) -> None:
    assert "empty" in command("worklist", "list", results)
    assert "3 studies" in command("worklist", "rebuild", results)
    listed = command("worklist", "list", results)
    assert listed.index("aa") < listed.index("bb")
    assert "It shows no head." in listed
    command("worklist", "answer", results, "aa", "agree", "--reader", "R")
    assert json.loads(command("worklist", "list", results, "--json", "--state", "done"))[1]["answer"] == "agree"
    assert "100 %" in command("worklist", "report", results)
    assert json.loads(command("worklist", "report", results, "--json"))[0]["ppv"]["count"] == 1
    assert (results / "worklist-report.html").is_file()
    assert "choose" in command("worklist", "answer", results, "aa", "perhaps", status=2)
    assert "no results of a batch" in command("worklist", "list", results.parent, status=2)


def test_a_batch_shows_what_waits_and_what_became_of_it(pretended, tmp_path: Path) -> None:
    folder, out = pretended("study1", "die1"), tmp_path / "out"
    exams = tuple(Exam(file, study_uid=f"1.2.{n}") for n, file in enumerate(sorted(folder.iterdir())))
    shown = BatchList(out)
    shown.waiting(exams)
    assert counts(shown.store.items()) == {"waiting": 2}
    seen: list[dict[str, int]] = []

    def begun(exam: Exam) -> None:
        shown.begun(exam)
        seen.append(counts(shown.store.items()))

    engine = LocalEngine(1)
    read_batch(Found(exams), ReadSettings(out), engine, reader=pretend.REFERENCE, told=shown.heard, begun=begun)
    assert {"waiting": 1, "reading": 1} in seen
    shown.finish()
    assert counts(Store(out).items()) == {"negative": 1, "failed": 1}


def test_what_a_killed_batch_was_reading_waits_again_in_the_next(tmp_path: Path) -> None:
    exam = Exam(tmp_path / "a.dcm", study_uid="1.2.3")
    first = BatchList(tmp_path / "out")
    first.waiting([exam])
    first.begun(exam)
    (before,) = first.store.items()
    assert before.state == "reading"
    again = BatchList(tmp_path / "out")
    again.waiting([exam])
    assert again.store.items() == [replace(before, state="waiting")]


def test_names_of_patients_lie_in_the_account_and_never_with_the_results(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("AcuteFindingsLib.worklist.patients.settings_folder", lambda: tmp_path / "settings")
    image = tmp_path / "image.dcm"
    data = pydicom.Dataset()
    data.PatientName, data.PatientID, data.Modality = "DOE^JANE", "4711", "CT"
    data.file_meta = pydicom.dataset.FileMetaDataset()
    data.file_meta.TransferSyntaxUID = pydicom.uid.ExplicitVRLittleEndian
    data.save_as(image, enforce_file_format=False)
    patient = patient_of(Exam(tmp_path, (image,)))
    assert patient == Patient("DOE JANE", "4711")
    results = tmp_path / "results"
    ResultsFolder(results)
    people = Patients(results)
    people.add({"aa": patient})
    assert Patients(results).all() == {"aa": patient}
    assert results not in people.file.parents
    if sys.platform != "win32":
        assert stat.S_IMODE(people.file.stat().st_mode) == 0o600
    people.file.write_text("damaged")
    with pytest.raises(Exception, match="--show-patient"):
        people.all()
