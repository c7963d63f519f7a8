"""A batch reads each study exactly once: stopped, killed, started twice, with studies that fail."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pretend
import pytest

from AcuteFindingsLib.detectors.phantoms import make_phantom
from AcuteFindingsLib.detectors.registry import find_kind, kinds
from AcuteFindingsLib.phantoms.write_dicom import write_phantom
from AcuteFindingsLib.worklist.batch import BatchResult, read_batch
from AcuteFindingsLib.worklist.engines.local import LocalEngine
from AcuteFindingsLib.worklist.exams import Exam, Found, find_exams
from AcuteFindingsLib.worklist.reading import Reader, ReadSettings, _without_names, may_show
from AcuteFindingsLib.worklist.records import RECORD, Record, ResultsFolder, record_bytes

_DRIVER = """
import sys
from pathlib import Path
from AcuteFindingsLib.worklist.batch import read_batch
from AcuteFindingsLib.worklist.engines.choose import make_engine
from AcuteFindingsLib.worklist.exams import find_exams
from AcuteFindingsLib.worklist.reading import ReadSettings
source, out, engine = sys.argv[1:]
read_batch(find_exams(Path(source)), ReadSettings(Path(out), device="0.02"), make_engine(engine, workers=2),
           reader="pretend:make")
"""


def _batch(folder: Path, out: Path, **settings) -> BatchResult:
    return read_batch(find_exams(folder), ReadSettings(out, **settings), LocalEngine(2), reader=pretend.REFERENCE)


def test_what_was_read_is_skipped_and_what_failed_is_read_again_only_if_asked(pretended, tmp_path: Path) -> None:
    folder, out = pretended("study1", "study2", "fail1", "refuse1"), tmp_path / "out"
    first = _batch(folder, out)
    assert (first.done, first.failed, first.refused, first.skipped) == (2, 1, 1, 0)
    assert first.wrong
    second = _batch(folder, out)
    assert (second.read, second.skipped) == (0, 4)
    assert second.wrong, "a study that failed is not all right because it was skipped"
    (folder / "fail1.nii").rename(folder / "study3.nii")
    assert _batch(folder, out, retry_failed=True).done == 1


def test_changed_files_are_another_study(pretended, tmp_path: Path) -> None:
    folder, out = pretended("study1"), tmp_path / "out"
    _batch(folder, out)
    (folder / "study1.nii").write_text("a later image came")
    assert _batch(folder, out).done == 1


@pytest.mark.parametrize("engine", ["local", "ray", "slurm"])
def test_killed_at_any_moment_and_resumed_every_study_is_read_exactly_once(
    engine: str, pretended: Callable[..., Path], tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    environment = dict(os.environ, RAY_USAGE_STATS_ENABLED="0")
    if engine == "slurm":
        environment |= request.getfixturevalue("slurm")
    if engine == "ray":
        environment["RAY_ADDRESS"] = request.getfixturevalue("ray_cluster")
    folder, out = pretended(*(f"study{number}" for number in range(60))), tmp_path / "out"
    command = [sys.executable, "-c", _DRIVER, str(folder), str(out), engine]
    moments = random.Random(5)
    # Drivers of clusters need longer until anything is read.
    first, last = (0.8, 2.2) if engine == "local" else (3.0, 7.0)
    for _ in range(4):
        driver = subprocess.Popen(command, start_new_session=True, stderr=subprocess.DEVNULL, env=environment)
        time.sleep(moments.uniform(first, last))
        # The whole group: driver and workers, as a machine that loses its power.
        os.killpg(driver.pid, signal.SIGKILL)
        driver.wait()
    subprocess.run(command, check=True, timeout=240, env=environment)
    keys = pretend.kept(out)
    records = list(ResultsFolder(out).records())
    assert [record.state for record in records] == ["done"] * 60
    # A reading that was kept but not yet written down counts once, in its record.
    assert len(keys) == len(set(keys)) <= 60


def test_two_batches_at_once_share_the_work_and_never_collide(pretended: Callable[..., Path], tmp_path: Path) -> None:
    folder, out = pretended(*(f"study{number}" for number in range(40))), tmp_path / "out"
    command = [sys.executable, "-c", _DRIVER, str(folder), str(out), "local"]
    drivers = [subprocess.Popen(command) for _ in range(2)]
    assert [driver.wait(timeout=120) for driver in drivers] == [0, 0]
    keys = pretend.kept(out)
    assert len(keys) == len(set(keys)) == 40


@pytest.fixture(scope="module")
def studies(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("studies")
    write_phantom(make_phantom("chest-xray", 1, positive=True), folder / "one")
    write_phantom(make_phantom("head-ct", 1, matrix=64, slice_spacing=20.0), folder / "two")
    return folder


def test_real_studies_are_read_by_the_detector_that_fits_and_known_again(studies: Path, tmp_path: Path) -> None:
    found = find_exams(studies)
    exams = [exam for exam in found.exams if exam.modalities]
    settings = ReadSettings(tmp_path / "out")
    reader = Reader(settings)
    for exam in exams:
        (outcome,) = reader.read(exam)
        record = outcome.record
        assert record.detector == ("hemorrhage" if "CT" in exam.modalities else "pneumothorax")
        if record.state != "done":
            assert record.said
            continue
        folder = ResultsFolder(settings.out).results(record.key)
        finding = json.loads((folder / "finding.json").read_text())
        assert json.loads((folder / RECORD).read_text())["model_sha256"] == finding["model"]["sha256"]
        assert exam.study_uid not in record.key
        (again,) = reader.read(exam)
        assert again.skipped
    assert any(record.state == "done" for record in ResultsFolder(settings.out).records())


def test_a_study_is_not_read_for_a_detector_of_another_part_of_the_body(studies: Path) -> None:
    exam = next(exam for exam in find_exams(studies).exams if "CT" in exam.modalities)
    asked = {kind.id: may_show(exam, kind.requirements) for kind in kinds() if not kind.reads_radiographs}
    assert asked == {"pe": False, "hemorrhage": True}
    assert may_show(replace(exam, series=()), find_kind("pe").requirements), "what is not known may be anything"


def test_a_sentence_in_a_record_names_no_file(tmp_path: Path) -> None:
    file = tmp_path / "DOE^JOHN.nii"
    file.write_text("no volume")
    (outcome,) = Reader(ReadSettings(tmp_path / "out", detector="hemorrhage")).read(Exam(file))
    assert outcome.record.state == "failed"
    assert "DOE" not in outcome.record.said
    assert "DOE" not in (tmp_path / "out" / "records" / f"{outcome.record.key}.json").read_text()


def test_a_file_that_is_gone_is_a_row_and_not_the_end(tmp_path: Path) -> None:
    exam = Exam(tmp_path, (tmp_path / "gone.dcm",), "1.2.3", frozenset({"CT"}))
    outcomes = Reader(ReadSettings(tmp_path / "out", detector="hemorrhage")).read(exam)
    assert [one.record.state for one in outcomes] == ["failed"]


def test_results_of_another_model_do_not_count(studies: Path, tmp_path: Path, monkeypatch) -> None:
    from AcuteFindingsLib.worklist import reading

    exam = next(exam for exam in find_exams(studies).exams if "DX" in exam.modalities)
    settings = ReadSettings(tmp_path / "out")
    assert [one.record.state for one in Reader(settings).read(exam)] == ["done"]
    monkeypatch.setattr(reading, "weights_of", lambda *_: "another")
    (again,) = Reader(settings).read(exam)
    assert not again.skipped
    assert again.record.attempts == 2
    assert Reader(replace(settings, dicom=True)).read(exam)[0].record.asked.endswith("dicom=1")


def test_an_empty_source_is_no_fault(tmp_path: Path) -> None:
    assert not read_batch(Found(()), ReadSettings(tmp_path / "out"), LocalEngine(1)).wrong


def test_the_last_reading_counts_also_where_the_clock_was_set_back(tmp_path: Path) -> None:
    folder = ResultsFolder(tmp_path / "out")
    early, late = "2026-01-01T00:00:00+00:00", "2026-12-31T00:00:00+00:00"
    folder.write(Record("aa", "hemorrhage", "failed", finished=late, attempts=1))
    folder.results("aa").mkdir()
    (folder.results("aa") / RECORD).write_bytes(
        record_bytes(Record("aa", "hemorrhage", "done", finished=early, attempts=2))
    )
    assert folder.read("aa").state == "done"


def test_what_an_earlier_version_refused_is_read_again(studies: Path, tmp_path: Path) -> None:
    exam = next(exam for exam in find_exams(studies).exams if "DX" in exam.modalities)
    settings = ReadSettings(tmp_path / "out", detector="hemorrhage")
    (first,) = Reader(settings).read(exam)
    assert first.record.state == "refused"
    assert Reader(settings).read(exam)[0].skipped
    ResultsFolder(settings.out).write(replace(first.record, software="0.0.1"))
    assert not Reader(settings).read(exam)[0].skipped


def test_a_name_that_is_a_word_of_the_sentence_leaves_it_alone() -> None:
    exam = Exam(Path("/data/DOE JOHN/CT"), (Path("/data/DOE JOHN/CT/1"),))
    said = _without_names("2 slices in /data/DOE JOHN/CT/1 of DOE JOHN make 100 mm; CT is expected.", exam)
    assert said == "2 slices in a file of a file make 100 mm; CT is expected."


def test_a_study_that_changes_while_it_is_read_is_no_result(studies: Path, tmp_path: Path, monkeypatch) -> None:
    from AcuteFindingsLib.worklist import reading

    exam = next(exam for exam in find_exams(studies).exams if "DX" in exam.modalities)
    states = iter([(1, 1.0), (2, 1.0)])
    monkeypatch.setattr(reading, "files_now", lambda _files: next(states))
    (outcome,) = Reader(ReadSettings(tmp_path / "out")).read(exam)
    assert outcome.record.state == "failed"
    assert "changed while it was read" in outcome.record.said


def test_what_nobody_expected_names_no_patient_in_a_record(studies: Path, tmp_path: Path, monkeypatch) -> None:
    from AcuteFindingsLib.worklist import reading

    def broken(*_given, **_more):
        raise RuntimeError("DOE^JANE cannot be decoded")

    logged: list[str] = []
    monkeypatch.setattr(reading, "read_study", broken)
    monkeypatch.setattr(reading, "write_log", lambda error, doing: logged.append(type(error).__name__))
    exam = next(exam for exam in find_exams(studies).exams if "DX" in exam.modalities)
    (outcome,) = Reader(ReadSettings(tmp_path / "out")).read(exam)
    assert outcome.record.said == "Something unexpected went wrong (RuntimeError)."
    assert logged == ["RuntimeError"]
