"""Three ways to a real archive: what is sent is there, is found, and comes back as it was."""

import json
import re
import signal
from dataclasses import replace
from pathlib import Path

import pydicom
import pytest

from AcuteFindingsLib.cli.pacs import _stop_on_interrupt
from AcuteFindingsLib.errors import CancelledError
from AcuteFindingsLib.pacs.connect import connect
from AcuteFindingsLib.pacs.instance_files import Inbox
from AcuteFindingsLib.pacs.matches import StudyQuery
from AcuteFindingsLib.pacs.pull import pull_studies
from AcuteFindingsLib.pacs.push import collect_files, push_files
from AcuteFindingsLib.pacs.servers import find_server

pytestmark = pytest.mark.slow

WAYS = ("web", "classic", "classic-get")
PATIENT = re.compile(r"geheim|gräfin|-4711|-0815|(?<!\d)19010203(?!\d)", re.IGNORECASE)


@pytest.fixture(params=WAYS)
def way(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture
def on_server(archive, sent_study):
    """The archive with the study in it, put there without any of this library's help."""
    for file in sent_study.files:
        archive.session.post(f"{archive.rest}/instances", data=file.read_bytes(), timeout=10).raise_for_status()
    return archive


def pulled_files(out: Path) -> list[Path]:
    return sorted(out.rglob("*.dcm"))


@pytest.mark.parametrize("way", ["web", "classic"])
def test_what_is_sent_is_stored_as_it_is(way: str, archive, sent_study, command) -> None:
    status, out, err = command("push", way, sent_study.folder, "--servers", archive.servers)
    assert (status, err) == (0, "")
    assert f"{len(sent_study.files)} of {len(sent_study.files)} instances are stored." in out
    assert not PATIENT.search(out)
    sent = sent_study.by_uid()
    stored = archive.session.get(f"{archive.rest}/instances", timeout=10).json()
    assert len(stored) == len(sent)
    for name in stored:
        raw = archive.session.get(f"{archive.rest}/instances/{name}/file", timeout=10).content
        dataset = pydicom.dcmread(pydicom.filebase.DicomBytesIO(raw))
        before = sent[dataset.SOPInstanceUID]
        assert dataset == before
        assert dataset.file_meta.TransferSyntaxUID == before.file_meta.TransferSyntaxUID


def test_every_instance_has_its_own_line_and_its_own_answer(archive, sent_study, command) -> None:
    _, out, _ = command("push", "classic", sent_study.folder, "--servers", archive.servers)
    for uid in sent_study.by_uid():
        assert len([line for line in out.splitlines() if line.startswith("stored (0x0000)") and uid in line]) == 1
    status, out, _ = command("push", "web", sent_study.folder, "--servers", archive.servers, "--json")
    answers = json.loads(out)["instances"]
    assert status == 0
    assert {answer["sop_instance_uid"] for answer in answers} == set(sent_study.by_uid())
    assert {answer["state"] for answer in answers} == {"stored"}


def test_what_is_pulled_is_what_the_server_has(way: str, on_server, sent_study, command, tmp_path: Path) -> None:
    status, out, err = command(
        "pull", way, "--study", sent_study.study_uid, "--out", tmp_path, "--servers", on_server.servers
    )
    assert (status, err) == (0, "")
    assert not PATIENT.search(out)
    sent = sent_study.by_uid()
    files = pulled_files(tmp_path)
    assert len(files) == len(sent)
    for file in files:
        dataset = pydicom.dcmread(file)
        before = sent[dataset.SOPInstanceUID]
        assert dataset == before
        assert dataset.file_meta.TransferSyntaxUID == before.file_meta.TransferSyntaxUID
        assert file.relative_to(tmp_path).parts == (
            sent_study.study_uid,
            dataset.SeriesInstanceUID,
            f"{dataset.SOPInstanceUID}.dcm",
        )
    assert not [path for path in tmp_path.rglob("*") if "partial" in path.name]


def test_only_what_is_missing_or_damaged_is_fetched_again(way, on_server, sent_study, command, tmp_path) -> None:
    asked = ("pull", way, "--study", sent_study.study_uid, "--out", tmp_path, "--servers", on_server.servers)
    command(*asked)
    files = pulled_files(tmp_path / sent_study.study_uid / sent_study.ct_series)
    whole = {file: (file.read_bytes(), file.stat().st_mtime_ns) for file in files}
    gone, cut, *untouched = files
    gone.unlink()
    cut.write_bytes(whole[cut][0][:-100])
    status, out, _ = command(*asked)
    assert status == 0
    assert f"CT: 2 fetched, {len(untouched)} were here already" in out
    for file in (gone, cut):
        assert pydicom.dcmread(file) == pydicom.dcmread(pydicom.filebase.DicomBytesIO(whole[file][0]))
    assert all(file.stat().st_mtime_ns == whole[file][1] for file in untouched)


def test_a_study_is_found_by_number_accession_patient_and_date(way, on_server, sent_study, command) -> None:
    for asked in (
        ("--study", sent_study.study_uid, "--level", "study"),
        ("--accession", "ACC-0815"),
        ("--patient-id", "GEHEIM-4711", "--modality", "CT"),
        ("--date", "20240101-20240103"),
    ):
        status, out, err = command("find", way, *asked, "--servers", on_server.servers)
        assert (status, err) == (0, "")
        assert sent_study.study_uid in out
        assert "CT/SEG/SR" in out
        assert "Head for a test" in out
        assert not PATIENT.search(out)
    for asked in (("--accession", "ACC-9"), ("--patient-id", "GEHEIM"), ("--date", "20230101")):
        assert "Nothing fits." in command("find", way, *asked, "--servers", on_server.servers)[1]


def test_patients_are_shown_only_on_request(way, on_server, sent_study, command) -> None:
    _, out, _ = command("find", way, "--accession", "ACC-0815", "--show-patient", "--servers", on_server.servers)
    assert "Geheim^Gräfin" in out
    assert "GEHEIM-4711" in out
    _, out, _ = command("find", way, "--accession", "ACC-0815", "--json", "--servers", on_server.servers)
    assert json.loads(out)[0]["patient"] is None
    assert not PATIENT.search(out)


def test_results_in_a_study_are_found_by_their_modality(way, on_server, sent_study, command) -> None:
    study = ("find", way, "--study", sent_study.study_uid, "--servers", on_server.servers)
    _, out, _ = command(*study)
    assert {sent_study.ct_series, sent_study.seg_series, sent_study.sr_series} <= set(out.split())
    _, out, _ = command(*study, "--modality", "SEG")
    assert sent_study.seg_series in out
    assert sent_study.ct_series not in out
    _, out, _ = command(*study, "--modality", "SR", "--level", "instance")
    assert "Comprehensive SR Storage" in out
    _, out, _ = command(*study, "--series", sent_study.ct_series, "--json")
    found = json.loads(out)
    assert [match["number"] for match in found] == [1, 2, 3, 4, 5, 6, 7, 8]
    assert all(match["sop_uid"] in sent_study.by_uid() for match in found)


def test_one_series_or_one_kind_can_be_pulled(way, on_server, sent_study, command, tmp_path) -> None:
    study = ("pull", way, "--study", sent_study.study_uid, "--servers", on_server.servers)
    command(*study, "--series", sent_study.sr_series, "--out", tmp_path / "series")
    assert [pydicom.dcmread(file).Modality for file in pulled_files(tmp_path / "series")] == ["SR"]
    command(*study, "--modality", "SEG", "--out", tmp_path / "kind")
    assert [pydicom.dcmread(file).Modality for file in pulled_files(tmp_path / "kind")] == ["SEG"]
    status, _, err = command(*study, "--series", "1.2.3.4", "--out", tmp_path / "none")
    assert status == 2
    assert "no series 1.2.3.4 in this study" in err
    assert not (tmp_path / "none").exists()


def test_several_studies_are_fetched_only_on_request(on_server, make_study, command, tmp_path) -> None:
    second = make_study(tmp_path / "second", slices=1)
    command("push", "web", second.folder, "--servers", on_server.servers)
    asked = ("pull", "web", "--patient-id", "GEHEIM-4711", "--modality", "SR", "--servers", on_server.servers)
    status, out, err = command(*asked, "--out", tmp_path / "out")
    assert status == 2
    assert second.study_uid in out
    assert "2 studies fit; choose one with --study UID, or fetch all with --all." in err
    assert not (tmp_path / "out").exists()
    status, _, _ = command(*asked, "--out", tmp_path / "out", "--all")
    assert status == 0
    assert len(pulled_files(tmp_path / "out")) == 2


def test_a_study_that_is_not_there_is_said(way, archive, command, tmp_path) -> None:
    status, out, err = command("pull", way, "--study", "1.2.3", "--out", tmp_path / "out", "--servers", archive.servers)
    assert (status, out) == (2, "")
    assert f"{way} has no such study." in err


def test_a_pull_that_is_stopped_keeps_what_came_and_goes_on_later(way, on_server, sent_study, tmp_path) -> None:
    connection = connect(find_server(on_server.servers, way))
    studies = connection.find_studies(StudyQuery(study_uid=sent_study.study_uid))
    seen: list[str] = []

    def progress(text: str, fraction: float) -> None:
        seen.append(text)

    with pytest.raises(CancelledError, match="what has arrived is kept, and the same command fetches the rest"):
        pull_studies(
            connection,
            studies,
            tmp_path,
            series_uid=sent_study.ct_series,
            progress=progress,
            cancelled=lambda: any("2 of 8" in text for text in seen),
        )
    came = pulled_files(tmp_path)
    assert len(came) >= 2
    assert not [path for path in tmp_path.rglob("*") if "partial" in path.name]
    (pulled,) = pull_studies(connection, studies, tmp_path, series_uid=sent_study.ct_series)
    assert (pulled.present, pulled.fetched, pulled.missing) == (len(came), 8 - len(came), ())


@pytest.mark.parametrize("way", ["web", "classic"])
def test_a_push_that_is_stopped_says_what_was_not_sent(way, archive, sent_study) -> None:
    connection = connect(find_server(archive.servers, way))
    done: list[float] = []
    answers = push_files(
        connection,
        collect_files([sent_study.folder]).files,
        progress=lambda text, fraction: done.append(fraction),
        cancelled=lambda: len(done) >= 3,
    )
    assert [answer.state for answer in answers] == ["stored"] * 3 + ["not sent"] * 7
    assert {answer.text for answer in answers[3:]} == {"stopped on request"}
    assert archive.count() == 3


@pytest.mark.parametrize("way", ["web", "classic"])
def test_a_damaged_file_is_not_sent_and_the_rest_is(way, archive, make_study, command, tmp_path) -> None:
    study = make_study(tmp_path / "study", slices=4)
    cut = study.files[0]
    cut.write_bytes(cut.read_bytes()[:-200])
    (study.folder / "notes.txt").write_text("no DICOM")
    status, out, err = command("push", way, study.folder, "--servers", archive.servers)
    assert status == 1
    assert f"not sent  {cut}: cut short" in out
    assert "1 file that is not a DICOM object was left out." in out
    assert "5 of 6 instances are stored." in out
    assert "1 instance is NOT stored" in err
    assert archive.count() == 5


def test_every_server_of_the_file_is_tested(archive, command) -> None:
    status, out, _ = command("servers", "test", "--servers", archive.servers)
    assert status == 0
    assert [line.split(":")[0] for line in out.splitlines()] == list(WAYS)
    assert all(": works." in line for line in out.splitlines())


def test_the_first_interrupt_asks_to_stop_and_the_second_stops_at_once(capsys) -> None:
    before = signal.getsignal(signal.SIGINT)
    with _stop_on_interrupt() as cancelled:
        assert not cancelled()
        signal.raise_signal(signal.SIGINT)
        assert cancelled()
        assert "press Ctrl-C again to stop at once" in capsys.readouterr().err
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
    assert signal.getsignal(signal.SIGINT) is before


def test_an_instance_that_the_server_lost_does_not_hold_up_the_rest(on_server, sent_study, tmp_path) -> None:
    connection = connect(find_server(on_server.servers, "web"))
    (series,) = [match for match in connection.find_series(sent_study.study_uid) if match.modality == "CT"]
    wanted = connection.find_instances(sent_study.study_uid, series.series_uid)[:3]
    lost = replace(wanted[1], sop_uid="1.2.3.4")
    inbox = Inbox(tmp_path, [wanted[0], lost, wanted[2]], arrived=lambda uid: None)
    connection.fetch(inbox.missing, inbox, complete=False, cancelled=lambda: False)
    assert inbox.missing == [lost]
    assert len(inbox.refused) == 1
    assert inbox.refused[0].startswith("1.2.3.4: the server ")


def test_an_interrupted_pull_ends_with_the_status_of_an_interrupt(
    on_server, sent_study, command, monkeypatch, tmp_path
) -> None:
    class Interrupting(Inbox):
        def take_dataset(self, dataset) -> bool:
            signal.raise_signal(signal.SIGINT)
            return super().take_dataset(dataset)

    monkeypatch.setattr("AcuteFindingsLib.pacs.pull.Inbox", Interrupting)
    asked = ("pull", "web", "--study", sent_study.study_uid, "--out", tmp_path, "--servers", on_server.servers)
    status, _, err = command(*asked)
    assert status == 130
    assert "what has arrived is kept" in err
    assert len(pulled_files(tmp_path)) == 1
