"""The list in a database: an index of a folder of results that many can read and answer at once.

SQLite in the folder of results by default; any address that SQLAlchemy knows (PostgreSQL for several computers:
SQLite's log beside the file, which lets reading and writing go on at once, does not work over a network).
"""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, create_engine, delete, event, func, insert, select, update
from sqlalchemy.engine import URL, Engine, make_url
from sqlalchemy.exc import ArgumentError, IntegrityError, SQLAlchemyError

from AcuteFindingsLib.errors import WorklistError
from AcuteFindingsLib.names import printable
from AcuteFindingsLib.worklist.answer_files import AnswerFile, read_answers, remove_answers, write_answer
from AcuteFindingsLib.worklist.item import WorklistItem
from AcuteFindingsLib.worklist.records import Record, ResultsFolder
from AcuteFindingsLib.worklist.tables import ANSWERS, STUDIES
from AcuteFindingsLib.worklist.urgency import UrgencySettings
from AcuteFindingsLib.worklist.words import ANSWERS as WORDS

FILE = "worklist.sqlite"
"""The database inside a folder of results."""

_MIGRATIONS = Path(__file__).resolve().parent / "migrations"
_BUSY_SECONDS = 30
_LONGEST_NOTE, _LONGEST_NAME = 2000, 128


class Store:
    """The database of one folder of results.

    Attributes
    ----------
    folder
        The folder of results; the truth of which this is an index.
    settings
        What makes an urgency of a verdict.
    """

    def __init__(self, folder: Path, *, url: str | None = None, settings: UrgencySettings | None = None) -> None:
        """Open the database, make it where there is none, and bring an earlier one up to date.

        Raises
        ------
        WorklistError
            There is no such address, it cannot be reached, or a later version of this software made it.
        """
        self.folder = ResultsFolder(folder)
        self.settings = settings or UrgencySettings()
        self._engine = _engine_of(url or URL.create("sqlite", database=str(folder / FILE)))
        with self._told():
            _migrate(self._engine)

    def close(self) -> None:
        """Let go of every connection."""
        self._engine.dispose()

    def put(self, record: Record) -> None:
        """Write what became of a study; an earlier row of it is replaced, answers stay."""
        self.put_items([self.item_of(record)])

    def put_items(self, items: Iterable[WorklistItem]) -> None:
        """Write rows, each in the place of the one with its key; raises `WorklistError` where that fails."""
        with self._told(), self._engine.begin() as connection:
            for item in items:
                _put(connection, _row(item))

    def drop(self, keys: Iterable[str]) -> None:
        """Take rows off the list that nobody has answered, as of studies that no longer wait."""
        with self._told(), self._engine.begin() as connection:
            for key in keys:
                answered = connection.execute(select(ANSWERS.c.id).where(ANSWERS.c.key == key).limit(1)).first()
                if answered is None:
                    connection.execute(delete(STUDIES).where(STUDIES.c.key == key))

    def items(self, *, state: str | None = None, detector: str | None = None) -> list[WorklistItem]:
        """Return the rows, with the last answer of each, in no order that means anything."""
        wanted = select(STUDIES).order_by(STUDIES.c.arrived, STUDIES.c.key)
        if state is not None:
            wanted = wanted.where(STUDIES.c.state == state)
        if detector is not None:
            wanted = wanted.where(STUDIES.c.detector == detector)
        with self._told(), self._engine.connect() as connection:
            rows = connection.execute(wanted).mappings().all()
            said = connection.execute(select(ANSWERS).order_by(ANSWERS.c.at, ANSWERS.c.id)).mappings().all()
        last = {answer["key"]: answer for answer in said}
        return [_item(dict(row), last.get(row["key"])) for row in rows]

    def item(self, key: str) -> WorklistItem | None:
        """Return the row of one study, with its last answer; None where the list has none."""
        with self._told(), self._engine.connect() as connection:
            row = connection.execute(select(STUDIES).where(STUDIES.c.key == key)).mappings().first()
            said = select(ANSWERS).where(ANSWERS.c.key == key).order_by(ANSWERS.c.at.desc(), ANSWERS.c.id.desc())
            last = None if row is None else connection.execute(said.limit(1)).mappings().first()
        return None if row is None else _item(dict(row), last)

    def forget(self, key: str) -> None:
        """Take a study off the list with all answers to it, for its results are being removed."""
        with self._told(), self._engine.begin() as connection:
            connection.execute(delete(ANSWERS).where(ANSWERS.c.key == key))
            connection.execute(delete(STUDIES).where(STUDIES.c.key == key))
        remove_answers(self.folder.folder, key)

    def edition(self) -> tuple[object, ...]:
        """Return what differs after any change of the list, whichever program made it."""
        rows = select(
            func.count(), func.max(STUDIES.c.finished), func.max(STUDIES.c.arrived), func.sum(STUDIES.c.urgency)
        )
        said = select(func.count(), func.max(ANSWERS.c.id))
        states = select(STUDIES.c.state, func.count()).group_by(STUDIES.c.state).order_by(STUDIES.c.state)
        with self._told(), self._engine.connect() as connection:
            return tuple(tuple(row) for wanted in (rows, said, states) for row in connection.execute(wanted))

    def answers(self) -> list[AnswerFile]:
        """Return every answer, the earliest first."""
        with self._told(), self._engine.connect() as connection:
            rows = connection.execute(select(ANSWERS).order_by(ANSWERS.c.at, ANSWERS.c.id)).mappings().all()
        return [AnswerFile(row["key"], row["answer"], row["note"], row["reader"], row["at"]) for row in rows]

    def answer(self, key: str, answer: str, *, reader: str, note: str = "") -> None:
        """Keep what a reader says of a verdict; earlier answers stay, the last one counts.

        It is written into the folder of results too, where that can be written to, so that a rebuilt list has it.

        Raises
        ------
        WorklistError
            There is no such study on the list or no such answer, or it cannot be kept.
        """
        if answer not in WORDS:
            raise WorklistError(f"{answer!r} is no answer; choose one of {', '.join(WORDS)}.")
        said = AnswerFile(
            key,
            answer,
            printable(note)[:_LONGEST_NOTE],
            printable(reader)[:_LONGEST_NAME],
            datetime.now(UTC).isoformat(timespec="milliseconds"),
        )
        with self._told():
            try:
                with self._engine.begin() as connection:
                    if connection.execute(select(STUDIES.c.key).where(STUDIES.c.key == key)).first() is None:
                        raise WorklistError(f"The list has no study {key!r}; give a key as `worklist list` shows it.")
                    connection.execute(insert(ANSWERS), [_answer_row(said)])
            except IntegrityError as error:
                raise WorklistError(f"The study {key!r} was taken off the list meanwhile.") from error
        write_answer(self.folder.folder, said)

    def rebuild(self) -> int:
        """Make the rows anew from the folder of results and return how many there are; no answer is lost."""
        records = list(self.folder.records())
        kept = {record.key for record in records}
        files = read_answers(self.folder.folder)
        with self._told(), self._engine.begin() as connection:
            answered = {row.key for row in connection.execute(select(ANSWERS.c.key).distinct())}
            for row in connection.execute(select(STUDIES.c.key)).all():
                if row.key not in kept and row.key not in answered:
                    connection.execute(delete(STUDIES).where(STUDIES.c.key == row.key))
            for record in records:
                _put(connection, _row(self.item_of(record)))
            known = {
                (row.key, row.at, row.reader)
                for row in connection.execute(select(ANSWERS.c.key, ANSWERS.c.at, ANSWERS.c.reader))
            }
            new = [_answer_row(one) for one in files if one.key in kept and (one.key, one.at, one.reader) not in known]
            if new:
                connection.execute(insert(ANSWERS), new)
        return len(records)

    def item_of(self, record: Record) -> WorklistItem:
        """Return the row of a record, without answers."""
        return WorklistItem(
            record.key,
            record.detector,
            record.state,
            record.study_uid,
            record.series_uid,
            record.arrived,
            record.finished,
            record.verdict,
            record.probability,
            self.settings.urgency(record.verdict, record.probability, record.detector),
            record.model,
            record.said,
        )

    @contextmanager
    def _told(self) -> Iterator[None]:
        """Turn what a database says into a sentence; an address may hold a password and is shown without."""
        try:
            yield
        except SQLAlchemyError as error:
            cause = getattr(error, "orig", None) or error
            told = " ".join(str(cause).split())[:300]
            shown = self._engine.url.render_as_string(hide_password=True)
            raise WorklistError(f"The worklist {shown} cannot be used: {told}.") from error


def _engine_of(url: str | URL) -> Engine:
    try:
        address = make_url(url)
        engine = create_engine(address, connect_args=_how(address), pool_pre_ping=True)
    except (ArgumentError, ImportError, SQLAlchemyError) as error:
        told = " ".join(str(error).split())[:200]
        raise WorklistError(
            f"The address of the worklist's database cannot be used: {told}. Give one as SQLAlchemy has it, for "
            "example postgresql+psycopg://NAME@HOST/DATABASE, with its driver installed."
        ) from error
    if address.get_backend_name() == "sqlite":
        event.listen(engine, "connect", _prepare_sqlite)
    return engine


def _how(address: URL) -> dict[str, Any]:
    return {"timeout": _BUSY_SECONDS} if address.get_backend_name() == "sqlite" else {}


def _prepare_sqlite(connection: Any, _record: Any) -> None:
    cursor = connection.cursor()
    cursor.execute("PRAGMA journal_mode=WAL")
    cursor.execute("PRAGMA foreign_keys=ON")
    cursor.close()


def _migrate(engine: Engine) -> None:
    from alembic import command
    from alembic.config import Config
    from alembic.util.exc import CommandError

    config = Config()
    config.set_main_option("script_location", str(_MIGRATIONS).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    with engine.begin() as connection:
        if engine.url.get_backend_name() == "postgresql":
            # Of two that start at once one makes the tables; the number is only ours.
            connection.exec_driver_sql("SELECT pg_advisory_xact_lock(7302026)")
        elif engine.url.get_backend_name() == "sqlite":
            connection.exec_driver_sql("BEGIN IMMEDIATE")
        config.attributes["connection"] = connection
        try:
            command.upgrade(config, "head")
        except CommandError as error:
            raise WorklistError(
                f"The worklist was made by a later version of AcuteFindings ({error}); bring this one up to date."
            ) from error


def _put(connection: Connection, row: dict[str, Any]) -> None:
    changed = connection.execute(update(STUDIES).where(STUDIES.c.key == row["key"]).values(row))
    if changed.rowcount == 0:
        connection.execute(insert(STUDIES), [row])


def _row(item: WorklistItem) -> dict[str, Any]:
    return {column.name: _stored(getattr(item, column.name), column.type) for column in STUDIES.columns}


def _stored(value: Any, kind: Any) -> Any:
    """Return a value as every database takes it: texts without NUL, no longer than their column; no NaN."""
    if isinstance(value, str):
        return value.replace("\0", "")[: getattr(kind, "length", None)]
    return None if isinstance(value, float) and value != value else value


def _answer_row(said: AnswerFile) -> dict[str, Any]:
    return {"key": said.key, "answer": said.answer, "note": said.note, "reader": said.reader, "at": said.at}


def _item(row: dict[str, Any], answer: Any) -> WorklistItem:
    said = {} if answer is None else {name: answer[name] for name in ("answer", "reader", "note")}
    return WorklistItem(**row, **said, answered="" if answer is None else answer["at"])
