"""A department's arrivals read again: the published effects come out, and wrong tables are refused by line."""

from pathlib import Path

import numpy as np
import pytest

from AcuteFindingsLib.errors import AcuteFindingsError, DataError
from AcuteFindingsLib.worklist.arrivals import Accuracy, Arrivals, read_arrivals, synthetic_arrivals
from AcuteFindingsLib.worklist.replay import ORDERS, Replay, replay, wait_of
from AcuteFindingsLib.worklist.replay_page import write_replay
from AcuteFindingsLib.worklist.urgency import UrgencySettings

SETTINGS = UrgencySettings()


@pytest.fixture(scope="module")
def done() -> Replay:
    return replay(synthetic_arrivals(SETTINGS), SETTINGS, draws=15)


def test_a_flag_alone_changes_nothing(done: Replay) -> None:
    assert np.array_equal(done.waits["flag-only"], done.waits["first-come"])


def test_reordering_reads_positives_sooner_and_lets_the_longest_wait_grow(done: Replay) -> None:
    first, reordered = (done.positive[name].mean for name in ("first-come", "reorder"))
    assert reordered.high < first.low
    assert done.others["reorder"].longest.low > done.others["first-come"].longest.high


def test_with_the_limit_positives_are_still_sooner_and_the_longest_wait_stays(done: Replay) -> None:
    assert done.positive["reorder-with-limit"].mean.high < done.positive["first-come"].mean.low
    for group in (done.positive, done.others):
        longest = group["reorder-with-limit"].longest.value
        assert longest < 1.15 * max(group["first-come"].longest.value, SETTINGS.limit_minutes)
    assert done.past_limit["reorder-with-limit"] < 0.01 < 0.05 < done.past_limit["reorder"]


def test_all_orders_do_the_same_work(done: Replay) -> None:
    """Readers are as busy under each: when the last study is read does not hang on the order."""
    arrivals = done.arrivals
    ends = {name: float((arrivals.minutes + done.waits[name] + arrivals.reading).max()) for name in ORDERS}
    assert max(ends.values()) - min(ends.values()) < arrivals.reading.max()
    assert all((waits >= 0).all() for waits in done.waits.values())


def test_first_come_with_one_reader_is_what_one_counts_by_hand() -> None:
    arrivals = Arrivals(np.array([0.0, 1.0, 2.0]), np.array([10.0, 5.0, 1.0]), np.array([0, 1, 0]) > 0, np.zeros(3))
    assert wait_of(arrivals, SETTINGS, "first-come", 1).tolist() == [0, 9, 13]
    assert wait_of(arrivals, SETTINGS, "first-come", 2).tolist() == [0, 0, 4]


def test_an_answer_that_is_not_there_yet_does_not_reorder() -> None:
    arrivals = Arrivals(
        np.array([0.0, 1.0, 2.0]), np.array([10.0, 5.0, 5.0]), np.array([0, 0, 1]) > 0, np.array([0, 0, 1.0])
    )
    assert wait_of(arrivals, SETTINGS, "reorder", 1, 0.0).tolist() == [0, 14, 8]
    assert wait_of(arrivals, SETTINGS, "reorder", 1, 9.0).tolist() == [0, 9, 13]


def test_a_department_that_cannot_read_what_comes_is_told_so() -> None:
    arrivals = Arrivals(np.arange(50.0), np.full(50, 3.0), np.arange(50) % 2 > 0, np.zeros(50))
    with pytest.raises(DataError, match="--readers"):
        replay(arrivals, SETTINGS, readers=1, draws=2)


def test_a_table_of_ones_own_is_read_with_its_answers(tmp_path: Path) -> None:
    table = tmp_path / "arrivals.csv"
    table.write_text(
        "arrived,positive,reading_minutes,verdict,probability\n"
        "2026-11-30T08:10,1,7,positive,0.9\n"
        "2026-11-30T08:00,0,5,negative,0.1\n"
        "2026-11-30 09:00,no,6.5,,\n",
        encoding="utf-8",
    )
    arrivals = read_arrivals(table, SETTINGS)
    assert arrivals.minutes.tolist() == [480, 490, 540]
    assert arrivals.reading.tolist() == [5, 7, 6.5]
    assert arrivals.positive.tolist() == [False, True, False]
    assert arrivals.urgency[1] > arrivals.urgency[0] > arrivals.urgency[2] == 0
    assert not arrivals.assumed


def test_what_a_table_does_not_say_is_assumed_in_words(tmp_path: Path) -> None:
    table = tmp_path / "arrivals.csv"
    table.write_text("arrived;positive\n0;1\n30;0\n", encoding="utf-8")
    with pytest.raises(DataError, match="--reading-minutes"):
        read_arrivals(table, SETTINGS)
    arrivals = read_arrivals(table, SETTINGS, reading_minutes=8, accuracy=Accuracy(1.0, 1.0))
    assert arrivals.urgency[0] > 0.5 > arrivals.urgency[1]
    assert "8 minutes" in arrivals.assumed[0]
    assert "sensitivity 1" in arrivals.assumed[1]


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("arrived,reading_minutes\n0,1\n1,1\n", "'positive'"),
        ("arrived,positive,reading_minutes\n0,1,5\nyesterday,0,5\n", "row 3.*'arrived'"),
        ("arrived,positive,reading_minutes\n0,1,5\n1,maybe,5\n", "row 3.*'positive'"),
        ("arrived,positive,reading_minutes\n0,1,5\n1,0,-5\n", "row 3.*'reading_minutes'"),
        ("arrived,positive,reading_minutes,verdict\n0,1,5,sure\n1,0,5,\n", "row 2.*'verdict'"),
        ("arrived,positive,reading_minutes,verdict,probability\n0,1,5,positive,7\n1,0,5,,\n", "row 2.*'probability'"),
        ("arrived,positive,reading_minutes\n0,1,5\n", "1 studies"),
        ("", "arrivals.csv"),
    ],
)
def test_a_wrong_table_is_refused_with_row_and_column(tmp_path: Path, text: str, named: str) -> None:
    table = tmp_path / "arrivals.csv"
    table.write_text(text, encoding="utf-8")
    with pytest.raises(AcuteFindingsError, match=named):
        read_arrivals(table, SETTINGS)


def test_days_drawn_anew_keep_the_time_of_day() -> None:
    arrivals = synthetic_arrivals(SETTINGS, days=4)
    again = arrivals.of_days(np.array([3, 3, 0]))
    assert (np.diff(again.minutes) >= 0).all()
    counts = np.bincount(arrivals.days)
    assert np.bincount(again.days).tolist() == [counts[3], counts[3], counts[0]]


def test_page_and_numbers_say_what_was_assumed(done: Replay, tmp_path: Path) -> None:
    page, numbers = write_replay(done, tmp_path, answer_minutes=2.0)
    text = page.read_text(encoding="utf-8")
    assert "made-up department" in text
    assert "doi 10.1148/ryai.2020200024" in text
    assert "<svg" in text
    assert '"reorder-with-limit"' in numbers.read_text(encoding="utf-8")
