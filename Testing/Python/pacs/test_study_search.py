"""Long lists of studies are asked for once more in parts, for servers that cut them without a word."""

from dataclasses import dataclass, field

import pytest

from AcuteFindingsLib.pacs.connection import Shortfall
from AcuteFindingsLib.pacs.matches import StudyMatch, StudyQuery
from AcuteFindingsLib.pacs.study_search import find_studies


@dataclass
class Cutting:
    """A server that gives no more than `cap` studies to a question; `says_so` where it held some back."""

    days: list[str]
    cap: int
    says_so: bool = False
    asked: list[str | None] = field(default_factory=list)
    shortfalls: list[Shortfall] = field(default_factory=list)

    def find_studies(self, query: StudyQuery, *, show_patient: bool, limit: int) -> list[StudyMatch]:
        self.asked.append(query.date)
        first, dash, last = (query.date or "-").partition("-")
        last = last if dash else first
        fitting = [
            StudyMatch(f"1.2.{number}", day, "", "", (), None, None)
            for number, day in enumerate(self.days)
            if (not first or day >= first) and (not last or day <= last)
        ]
        if self.says_so and len(fitting) > self.cap:
            self.shortfalls.append(Shortfall("study", "cut"))
        return fitting[: min(self.cap, limit)]


def days(count: int) -> list[str]:
    return [f"2024{1 + number // 28:02d}{1 + number % 28:02d}" for number in range(count)]


@pytest.mark.parametrize("date", [None, "20230101-", "-20250101", "20240101-20241231"])
@pytest.mark.parametrize("count", [11, 25, 90])
def test_all_studies_are_found_of_a_server_that_gives_ten_at_once(count: int, date: str | None) -> None:
    server = Cutting(days(count), cap=10)
    found = find_studies(server, StudyQuery(patient_id="ME", date=date))
    assert sorted(study.date for study in found) == sorted(server.days)
    assert [study.date for study in found] == sorted(server.days, reverse=True)
    assert server.shortfalls == []


def test_a_complete_list_costs_three_questions_more_and_a_short_one_none() -> None:
    server = Cutting(days(60), cap=1000)
    assert len(find_studies(server, StudyQuery(patient_id="ME"))) == 60
    assert len(server.asked) == 4
    short = Cutting(days(9), cap=1000)
    assert len(find_studies(short, StudyQuery(patient_id="ME"))) == 9
    assert len(short.asked) == 1


def test_a_day_that_is_cut_is_said_to_be() -> None:
    server = Cutting(["20240101"] * 5 + ["20240102"] * 20, cap=10)
    found = find_studies(server, StudyQuery(patient_id="ME"))
    assert len(found) == 15
    assert [shortfall.level for shortfall in server.shortfalls] == ["study"]
    assert "only a part of the studies of 20240102" in server.shortfalls[0].text


def test_studies_without_a_date_or_with_a_wrong_one_end_nothing() -> None:
    for day in ("", "20249999", "unknown"):
        assert len(find_studies(Cutting([day] * 12, cap=10), StudyQuery(patient_id="ME"))) == 10


def test_no_more_than_the_limit_are_returned() -> None:
    assert len(find_studies(Cutting(days(90), cap=10), StudyQuery(patient_id="ME"), limit=15)) == 15


def test_a_list_that_is_said_to_be_cut_is_completed_in_parts_and_then_complete() -> None:
    server = Cutting(days(25), cap=4, says_so=True)
    assert len(find_studies(server, StudyQuery(patient_id="ME"))) == 25
    assert server.shortfalls == []


def test_a_server_that_always_says_it_cut_is_not_asked_for_ever() -> None:
    class Lying(Cutting):
        def find_studies(self, query: StudyQuery, **options) -> list[StudyMatch]:
            found = super().find_studies(query, **options)
            self.shortfalls.append(Shortfall("study", "cut"))
            return found

    server = Lying(days(150), cap=1000)
    assert len(find_studies(server, StudyQuery(patient_id="ME"))) == 150
    assert server.shortfalls
    assert len(server.asked) < 110
