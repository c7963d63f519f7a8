"""The list in a database: an index that can be made anew, that many write to at once, and that loses no answer."""

import sqlite3
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import postgres
import pytest
from sqlalchemy import create_engine, inspect

from AcuteFindingsLib.errors import WorklistError
from AcuteFindingsLib.worklist.item import WorklistItem, by_urgency
from AcuteFindingsLib.worklist.records import Record, ResultsFolder
from AcuteFindingsLib.worklist.store import FILE, Store
from AcuteFindingsLib.worklist.tables import METADATA
from AcuteFindingsLib.worklist.urgency import UrgencySettings

KEYS = ("a1", "b2", "c3")


def _record(key: str, state: str = "done", **facts) -> Record:
    when = "2026-11-30T08:00:00.000+00:00"
    return Record(key, "lungs", state, study_uid=f"1.2.{key}", arrived=when, finished=when, **facts)


@pytest.fixture
def results(tmp_path: Path) -> Path:
    folder = ResultsFolder(tmp_path / "results")
    folder.write(_record("a1", verdict="positive", probability=0.9))
    folder.write(_record("b2", verdict="negative", probability=0.1))
    folder.write(_record("c3", "failed", said="It cannot be read."))
    return folder.folder


@pytest.fixture(scope="module")
def database() -> Iterator[str]:
    if postgres.programs() is None:
        pytest.skip("PostgreSQL is not installed")
    with postgres.server() as address:
        yield address


def test_the_list_is_made_anew_from_the_folder_and_keeps_what_readers_said(results: Path) -> None:
    store = Store(results)
    assert store.rebuild() == 3
    store.answer("a1", "agree", reader="R. Reader", note="large")
    store.close()
    for path in results.glob(f"{FILE}*"):
        path.unlink()
    again = Store(results)
    again.rebuild()
    items = {item.key: item for item in again.items()}
    assert set(items) == set(KEYS)
    assert (items["a1"].answer, items["a1"].reader, items["a1"].note) == ("agree", "R. Reader", "large")
    assert items["c3"].said == "It cannot be read."
    assert len(again.answers()) == 1
    again.rebuild()
    assert len(again.answers()) == 1, "an answer is not taken in twice"


def test_the_last_answer_counts_and_the_earlier_ones_stay(results: Path) -> None:
    store = Store(results)
    store.rebuild()
    store.answer("a1", "unsure", reader="one")
    store.answer("a1", "disagree", reader="two")
    assert next(item for item in store.items() if item.key == "a1").answer == "disagree"
    assert [said.answer for said in store.answers()] == ["unsure", "disagree"]


def test_what_is_no_answer_or_no_study_is_told(results: Path) -> None:
    store = Store(results)
    store.rebuild()
    with pytest.raises(WorklistError, match="agree, disagree, unsure"):
        store.answer("a1", "perhaps", reader="one")
    with pytest.raises(WorklistError, match="no study"):
        store.answer("zz", "agree", reader="one")


def test_a_study_that_left_the_folder_leaves_the_list_unless_somebody_answered(results: Path) -> None:
    store = Store(results)
    store.rebuild()
    store.answer("b2", "agree", reader="one")
    for key in ("b2", "c3"):
        (results / "records" / f"{key}.json").unlink()
    store.rebuild()
    assert {item.key for item in store.items()} == {"a1", "b2"}


def test_a_database_of_a_later_version_is_not_touched(results: Path) -> None:
    Store(results).close()
    with sqlite3.connect(results / FILE) as connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
    with pytest.raises(WorklistError, match="later version"):
        Store(results)


def test_what_is_no_database_is_told_without_its_password(results: Path, tmp_path: Path) -> None:
    (results / FILE).write_bytes(b"this is no database" * 100)
    with pytest.raises(WorklistError, match="cannot be used"):
        Store(results)
    with pytest.raises(WorklistError) as told:
        Store(tmp_path / "other", url="postgresql+psycopg://me:secret@localhost:1/none")
    assert "secret" not in str(told.value)
    with pytest.raises(WorklistError, match="SQLAlchemy"):
        Store(tmp_path / "other", url="no address")


def test_the_steps_make_the_tables_that_the_program_uses(results: Path) -> None:
    from alembic.autogenerate import compare_metadata
    from alembic.migration import MigrationContext

    Store(results).close()
    with create_engine(f"sqlite:///{results / FILE}").connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), METADATA) == []
        assert set(inspect(connection).get_table_names()) == {"studies", "answers", "alembic_version"}


def _answer_at_once(results: Path, url: str | None) -> list[str]:
    """Let two readers answer the same two studies at once, twenty times each; return what went wrong."""
    faults: list[str] = []

    def read(name: str) -> None:
        store = Store(results, url=url)
        for number in range(20):
            try:
                store.answer(KEYS[number % 2], "agree", reader=name)
                store.put(_record("a1", verdict="positive", probability=0.5))
            except WorklistError as error:
                faults.append(str(error))
        store.close()

    readers = [threading.Thread(target=read, args=(name,)) for name in ("one", "two")]
    for reader in readers:
        reader.start()
    for reader in readers:
        reader.join()
    return faults


def test_two_readers_answer_at_once_in_sqlite(results: Path) -> None:
    Store(results).rebuild()
    assert _answer_at_once(results, None) == []
    assert len(Store(results).answers()) == 40


def test_two_readers_answer_at_once_in_postgresql(results: Path, database: str) -> None:
    store = Store(results, url=database)
    assert store.rebuild() == 3
    assert _answer_at_once(results, database) == []
    answers = store.answers()
    assert len(answers) == 40
    assert {said.reader for said in answers} == {"one", "two"}
    assert store.rebuild() == 3
    assert len(store.answers()) == 40
    store.close()


def test_the_urgent_stand_on_top_until_others_have_waited_long_enough() -> None:
    now = datetime(2026, 11, 30, 12, tzinfo=UTC)
    settings = UrgencySettings(limit_minutes=60)

    def item(key: str, urgency: float, minutes: float, **facts) -> WorklistItem:
        return WorklistItem(
            key, "lungs", "done", arrived=(now - timedelta(minutes=minutes)).isoformat(), urgency=urgency, **facts
        )

    items = [
        item("calm", 0.0, 5),
        item("urgent", 0.9, 5),
        item("late", 0.0, 61),
        item("answered", 1.0, 30, answer="agree", answered=now.isoformat()),
    ]
    assert [one.key for one in by_urgency(items, settings, at=now)] == ["late", "urgent", "calm", "answered"]
