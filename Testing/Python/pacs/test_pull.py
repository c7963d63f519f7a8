"""What a pull makes of servers that count, list and give different numbers of instances."""

from dataclasses import dataclass, field
from pathlib import Path

import pydicom
import pytest

from AcuteFindingsLib.budgets import Budgets, set_budgets
from AcuteFindingsLib.errors import PacsError
from AcuteFindingsLib.pacs.connection import Shortfall
from AcuteFindingsLib.pacs.instance_files import Inbox
from AcuteFindingsLib.pacs.matches import InstanceMatch, SeriesMatch, StudyMatch
from AcuteFindingsLib.pacs.pull import PulledSeries, pull_studies


@dataclass
class Server:
    """Counts, lists and gives what it is told to, of one series; gives the whole series where that is asked for."""

    files: tuple[Path, ...]
    counted: int | None
    listed: int
    given: list[Path]
    study_instances: int | None = None
    study_series: int | None = None
    shortfalls: list[Shortfall] = field(default_factory=list)
    asked: list[tuple[int, bool]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.data = {file: pydicom.dcmread(file) for file in self.files}
        first = self.data[self.files[0]]
        self.study_uid, self.series_uid = str(first.StudyInstanceUID), str(first.SeriesInstanceUID)

    def find_series(self, study_uid: str) -> list[SeriesMatch]:
        return [SeriesMatch(study_uid, self.series_uid, "CT", 1, "", self.counted)]

    def find_instances(self, study_uid: str, series_uid: str) -> list[InstanceMatch]:
        uids = [str(dataset.SOPInstanceUID) for dataset in self.data.values()]
        return [InstanceMatch(study_uid, series_uid, uid, "", None) for uid in uids[: self.listed]]

    def fetch(self, wanted, inbox, *, complete, cancelled) -> None:
        names = {match.sop_uid for match in wanted}
        self.asked.append((len(inbox.missing), complete))
        for file in self.given:
            if complete or str(self.data[file].SOPInstanceUID) in names:
                inbox.take_bytes(file.read_bytes())

    def pull(self, out: Path) -> PulledSeries:
        study = StudyMatch(self.study_uid, "", "", "", (), self.study_series, self.study_instances)
        (pulled,) = pull_studies(self, [study], out)
        return pulled


@pytest.fixture
def slices(sent_study) -> tuple[Path, ...]:
    return sent_study.files[:8]


def test_what_came_in_the_stream_is_kept_where_the_search_listed_fewer(slices, tmp_path) -> None:
    pulled = Server(slices, counted=8, listed=5, given=list(slices)).pull(tmp_path)
    assert (pulled.fetched, pulled.lacking, pulled.complete) == (8, 0, True)
    assert len(list(tmp_path.rglob("*.dcm"))) == 8


def test_a_series_that_is_counted_larger_than_it_came_is_incomplete(slices, tmp_path) -> None:
    pulled = Server(slices, counted=8, listed=5, given=list(slices[:6])).pull(tmp_path)
    assert (pulled.fetched, pulled.missing, pulled.lacking, pulled.complete) == (6, (), 2, False)
    assert "incomplete: the server counts 8 instances here, and 6 are here" in pulled.remarks


def test_the_rest_of_an_incomplete_pull_comes_with_the_same_call(slices, tmp_path) -> None:
    server = Server(slices, counted=8, listed=5, given=list(slices[:6]))
    server.pull(tmp_path)
    before = {file: file.stat().st_mtime_ns for file in tmp_path.rglob("*.dcm")}
    server.given = list(slices)
    pulled = server.pull(tmp_path)
    assert (pulled.present, pulled.fetched, pulled.lacking) == (6, 2, 0)
    assert all(file.stat().st_mtime_ns == time for file, time in before.items())
    server.asked.clear()
    assert server.pull(tmp_path).present == 8
    assert server.asked == []


def test_what_is_listed_is_fetched_by_name_where_a_part_is_here_already(slices, tmp_path) -> None:
    server = Server(slices, counted=8, listed=8, given=list(slices[:6]))
    assert server.pull(tmp_path).lacking == 2
    server.given = list(slices)
    assert server.pull(tmp_path).complete
    assert server.asked == [(8, True), (2, False)]


def test_a_series_whose_instances_no_search_lists_is_fetched_as_a_whole(slices, tmp_path) -> None:
    assert Server(slices, counted=None, listed=0, given=list(slices)).pull(tmp_path).fetched == 8
    nothing = Server(slices, counted=None, listed=0, given=[]).pull(tmp_path / "nothing")
    assert (nothing.fetched, nothing.complete) == (0, False)


def test_a_count_that_is_too_small_or_missing_takes_nothing_away(slices, tmp_path) -> None:
    for name, counted in (("none", None), ("zero", 0), ("small", 3)):
        pulled = Server(slices, counted=counted, listed=8, given=list(slices)).pull(tmp_path / name)
        assert (pulled.fetched, pulled.complete, pulled.remarks) == (8, True, ())


@pytest.mark.parametrize(
    ("counts", "says"),
    [
        ({"study_series": 3}, "the server counts 3 series in this study and lists 1"),
        ({"study_instances": 11}, "the server counts 11 instances in this study, and its series have 8"),
    ],
)
def test_a_study_that_is_counted_larger_than_its_series_is_incomplete(counts, says, slices, tmp_path) -> None:
    pulled = Server(slices, counted=8, listed=8, given=list(slices), **counts).pull(tmp_path)
    assert (pulled.lacking, pulled.complete) == (0, False)
    assert pulled.remarks == (f"incomplete: {says}",)


def test_files_of_another_series_do_not_count_as_here(slices, sent_study, tmp_path) -> None:
    server = Server(slices, counted=8, listed=5, given=list(slices[:6]))
    folder = server.pull(tmp_path).folder
    foreign = pydicom.dcmread(sent_study.files[-1])
    foreign.save_as(folder / f"{foreign.SOPInstanceUID}.dcm")
    assert server.pull(tmp_path).lacking == 2


def test_instances_of_other_series_are_refused_while_the_whole_series_is_fetched(slices, sent_study, tmp_path) -> None:
    server = Server(slices, counted=8, listed=5, given=list(slices))
    stranger = tmp_path / "stranger.dcm"
    other = pydicom.dcmread(slices[0])
    other.SOPInstanceUID, other.SeriesInstanceUID = "1.2.3.4", "1.2.3"
    other.save_as(stranger)
    server.given, server.data[stranger] = [stranger, *slices], other
    assert server.pull(tmp_path / "out").complete
    assert not list((tmp_path / "out").rglob("1.2.3.4.dcm"))


def test_the_first_of_two_instances_of_one_uid_is_kept(slices, tmp_path) -> None:
    uid = str(pydicom.dcmread(slices[0]).SOPInstanceUID)
    changed = pydicom.dcmread(slices[0])
    changed.SliceThickness = 7
    changed.save_as(tmp_path / "changed.dcm")
    first = pydicom.dcmread(slices[0])
    match = InstanceMatch(str(first.StudyInstanceUID), str(first.SeriesInstanceUID), uid, "", None)
    inbox = Inbox(tmp_path / "in", [match], arrived=lambda _: None)
    assert inbox.take_bytes(slices[0].read_bytes())
    assert inbox.take_bytes((tmp_path / "changed.dcm").read_bytes())
    assert (inbox.received, inbox.repeats) == (1, 1)
    assert "SliceThickness" not in pydicom.dcmread(tmp_path / "in" / f"{uid}.dcm")


def test_a_server_that_sends_the_same_again_without_end_is_stopped(slices, tmp_path) -> None:
    first = pydicom.dcmread(slices[0])
    match = InstanceMatch(
        str(first.StudyInstanceUID), str(first.SeriesInstanceUID), str(first.SOPInstanceUID), "", None
    )
    inbox = Inbox(tmp_path, [match], arrived=lambda _: None)
    content, count = slices[0].read_bytes(), 0
    while inbox.failure is None and count < 10_000:
        inbox.take_bytes(content)
        count += 1
    assert count < 1000
    assert "so the transfer was ended" in str(inbox.failure)


def test_a_series_beyond_its_budget_is_ended_with_a_sentence(slices, tmp_path) -> None:
    set_budgets(Budgets(series_bytes=5000))
    try:
        first = pydicom.dcmread(slices[0])
        series = SeriesMatch(str(first.StudyInstanceUID), str(first.SeriesInstanceUID), "CT", 1, "", 8)
        inbox = Inbox(tmp_path, [], arrived=lambda _: None, series=series)
        for file in slices:
            inbox.take_bytes(file.read_bytes())
        assert isinstance(inbox.failure, PacsError)
        assert "larger than" in str(inbox.failure)
    finally:
        set_budgets(Budgets())


class _Failing:
    """A server of several series that cannot give some of them."""

    def __init__(self, slices: tuple[Path, ...], fails: list[bool]) -> None:
        self.slices, self.fails, self.asked = slices, fails, 0
        first = pydicom.dcmread(slices[0])
        self.study_uid, self.series_uid = str(first.StudyInstanceUID), str(first.SeriesInstanceUID)

    def find_series(self, study_uid: str) -> list[SeriesMatch]:
        names = [f"1.2.{number}" if fails else self.series_uid for number, fails in enumerate(self.fails)]
        return [SeriesMatch(study_uid, name, "CT", 1, "", None) for name in names]

    def find_instances(self, study_uid: str, series_uid: str) -> list[InstanceMatch]:
        uid = str(pydicom.dcmread(self.slices[0]).SOPInstanceUID) if series_uid == self.series_uid else "1.2.3"
        return [InstanceMatch(study_uid, series_uid, uid, "", None)]

    def fetch(self, wanted, inbox, *, complete, cancelled) -> None:
        self.asked += 1
        if wanted[0].series_uid != self.series_uid:
            raise PacsError("The server sent nothing.")
        inbox.take_bytes(self.slices[0].read_bytes())


def test_a_series_that_cannot_be_had_does_not_hold_up_the_others(slices, tmp_path) -> None:
    server = _Failing(slices, [True, False, True])
    study = StudyMatch(server.study_uid, "", "", "", (), None, None)
    pulled = pull_studies(server, [study], tmp_path)
    assert [(result.fetched, result.lacking) for result in pulled] == [(0, 1), (1, 0), (0, 1)]
    assert pulled[0].remarks == ("The server sent nothing",)


@pytest.mark.parametrize(("series", "asked"), [(2, 2), (30, 3)])
def test_a_server_that_gives_nothing_at_all_is_given_up(series, asked, slices, tmp_path) -> None:
    server = _Failing(slices, [True] * series)
    study = StudyMatch(server.study_uid, "", "", "", (), None, None)
    with pytest.raises(PacsError, match="The server sent nothing"):
        pull_studies(server, [study], tmp_path)
    assert server.asked == asked
