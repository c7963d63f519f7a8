"""A table that says on which day studies were made, where that of their arrival says nothing."""

from collections.abc import Sequence
from datetime import date, datetime
from pathlib import Path

from AcuteFindingsLib.errors import DataError, EvaluationError
from AcuteFindingsLib.evaluation.table_files import open_table

_STUDY_COLUMNS = ("study", "key", "study_uid", "studyinstanceuid", "series_uid", "seriesinstanceuid", "image")
_DATE_COLUMNS = ("date", "study_date", "studydate", "arrived", "day")


def read_dates(path: Path) -> dict[str, date]:
    """Return the day of each study by its key or UID, from a table with a column of studies and one of dates.

    Raises
    ------
    DataError
        The table cannot be read, has no such column, or a date is not written as 2026-07-31 or 20260731.
    """
    try:
        rows = open_table(path).rows()
        header = [name.strip().lower() for name in next(rows, [])]
        study, day = (_column(header, names, path) for names in (_STUDY_COLUMNS, _DATE_COLUMNS))
        return {row[study].strip(): _day(row[day], path) for row in rows if len(row) > max(study, day) and row[study]}
    except EvaluationError as error:
        raise DataError(f"--dates {error}") from error


def _column(header: Sequence[str], names: Sequence[str], path: Path) -> int:
    found = next((header.index(name) for name in names if name in header), None)
    if found is None:
        raise DataError(f"--dates {path} has no column {names[0]!r}; it needs 'study' (key or UID) and 'date'.")
    return found


def _day(text: str, path: Path) -> date:
    try:
        return datetime.fromisoformat(text.strip()).date()
    except ValueError as error:
        raise DataError(f"--dates {path}: {text[:40]!r} is no date; write it as 2026-07-31.") from error
