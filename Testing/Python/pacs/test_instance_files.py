"""Files are whole or not there, and lie where their UIDs say."""

import os
import threading
import time
from pathlib import Path

import pydicom
import pytest
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence

from AcuteFindingsLib.errors import PacsError
from AcuteFindingsLib.pacs.instance_files import Inbox, instance_path, is_whole, series_folder
from AcuteFindingsLib.pacs.matches import InstanceMatch, SeriesMatch, StudyMatch
from AcuteFindingsLib.pacs.pull import pull_studies


def uid_of(file: Path) -> str:
    return str(pydicom.dcmread(file, stop_before_pixels=True).SOPInstanceUID)


def test_a_file_cut_anywhere_is_not_whole(sent_study, tmp_path) -> None:
    for file in sent_study.files[:4]:
        content, uid = file.read_bytes(), uid_of(file)
        assert is_whole(file, uid)
        for length in (0, 100, 140, 400, len(content) // 2, len(content) - 8, len(content) - 1):
            cut = tmp_path / "cut.dcm"
            cut.write_bytes(content[:length])
            assert not is_whole(cut, uid), (file.name, length)


def test_a_report_cut_within_its_sequences_is_not_whole(sent_study, tmp_path) -> None:
    report = pydicom.dcmread(sent_study.files[-1])
    inner = Dataset()
    inner.ValueType, inner.TextValue = "TEXT", "inner"
    outer = Dataset()
    outer.ContentSequence = Sequence([inner, inner])
    outer["ContentSequence"].is_undefined_length = True
    report.ContentSequence = Sequence([outer, outer])
    report["ContentSequence"].is_undefined_length = True
    report.save_as(tmp_path / "report.dcm")
    content, uid = (tmp_path / "report.dcm").read_bytes(), str(report.SOPInstanceUID)
    assert is_whole(tmp_path / "report.dcm", uid)
    start = content.index(b"\x40\x00\x30\xa7")
    cut = tmp_path / "cut.dcm"
    for length in range(start + 1, len(content)):
        cut.write_bytes(content[:length])
        assert not is_whole(cut, uid), length - start


def test_a_file_of_another_instance_or_none_is_not_whole(sent_study, tmp_path) -> None:
    assert not is_whole(sent_study.files[0], uid_of(sent_study.files[1]))
    assert not is_whole(tmp_path / "none.dcm", "1.2.3")


@pytest.mark.parametrize(
    "uid", ["", "..", "../x", "/etc/passwd", "1.2/3", "1.2\\3", "a" * 65, ".hidden", "1.2\n3", "ä"]
)
def test_no_uid_leads_out_of_the_folder(uid: str, tmp_path) -> None:
    with pytest.raises(PacsError, match="is not a DICOM UID"):
        instance_path(tmp_path, uid)
    with pytest.raises(PacsError, match="is not a DICOM UID"):
        series_folder(tmp_path, "1.2.3", uid)
    with pytest.raises(PacsError, match="is not a DICOM UID"):
        series_folder(tmp_path, uid, "1.2.3")


def test_what_comes_twice_or_from_many_threads_counts_once(sent_study, tmp_path) -> None:
    files = sent_study.files[:8]
    wanted = [InstanceMatch(sent_study.study_uid, sent_study.ct_series, uid_of(file), "", None) for file in files]
    arrived: list[str] = []
    inbox = Inbox(tmp_path, wanted, arrived=arrived.append)
    threads = [threading.Thread(target=inbox.take_bytes, args=(file.read_bytes(),)) for file in files * 3]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert inbox.missing == []
    assert sorted(arrived) == sorted(match.sop_uid for match in wanted)
    assert {file.name for file in tmp_path.iterdir()} == {f"{match.sop_uid}.dcm" for match in wanted}


def test_what_comes_cut_short_is_not_kept(sent_study, tmp_path) -> None:
    file = sent_study.files[0]
    match = InstanceMatch(sent_study.study_uid, sent_study.ct_series, uid_of(file), "", None)
    inbox = Inbox(tmp_path, [match], arrived=lambda uid: None)
    assert not inbox.take_bytes(file.read_bytes()[:-10])
    assert inbox.missing == [match]
    assert inbox.refused == [f"{match.sop_uid} arrived incomplete"]
    assert list(tmp_path.iterdir()) == []


class _Listing:
    """A server that lists two instances and gives only the first."""

    def __init__(self, study) -> None:
        self._study = study

    def find_series(self, study_uid: str) -> list[SeriesMatch]:
        return [SeriesMatch(study_uid, self._study.ct_series, "CT", 1, "", 2)]

    def find_instances(self, study_uid: str, series_uid: str) -> list[InstanceMatch]:
        return [InstanceMatch(study_uid, series_uid, uid_of(file), "", None) for file in self._study.files[:2]]

    def fetch(self, wanted, inbox, *, complete, cancelled) -> None:
        inbox.take_bytes(self._study.files[0].read_bytes())
        inbox.refused.append("the second is lost")


def test_what_the_server_lists_but_does_not_give_is_named(sent_study, tmp_path) -> None:
    study = StudyMatch(sent_study.study_uid, "", "", "", (), None, None)
    abandoned, busy = (
        series_folder(tmp_path, sent_study.study_uid, sent_study.ct_series) / f".{name}.partial.1.2.dcm"
        for name in ("old", "new")
    )
    abandoned.parent.mkdir(parents=True)
    abandoned.touch()
    os.utime(abandoned, (time.time() - 7200,) * 2)
    busy.touch()
    (pulled,) = pull_studies(_Listing(sent_study), [study], tmp_path)
    assert (pulled.present, pulled.fetched) == (0, 1)
    assert pulled.missing == (uid_of(sent_study.files[1]),)
    assert pulled.remarks == ("the second is lost",)
    assert not abandoned.exists()
    assert busy.exists()
