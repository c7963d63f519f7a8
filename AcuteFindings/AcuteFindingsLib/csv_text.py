"""CSV files whose cells a spreadsheet shows and never computes."""

import csv
from collections.abc import Iterable
from typing import Any, TextIO

_COMPUTED = ("=", "+", "-", "@", "\t", "\r")
"""First characters by which spreadsheets take a text for a formula (OWASP, CSV Injection)."""

_QUOTE = "'"


def csv_cell(value: Any) -> Any:
    """Return a cell as it is written: a text that a spreadsheet would compute gets an apostrophe; numbers stay."""
    if not isinstance(value, str) or not value.startswith(_COMPUTED) or _is_number(value):
        return value
    return _QUOTE + value


def cell_text(text: str) -> str:
    """Return the text of a cell as it was before `csv_cell`."""
    return text[1:] if text.startswith(_QUOTE) and text[1:].startswith(_COMPUTED) else text


class CsvWriter:
    """As `csv.writer`, its cells as `csv_cell` gives them."""

    def __init__(self, stream: TextIO, *, lineterminator: str = "\r\n") -> None:
        self._writer = csv.writer(stream, lineterminator=lineterminator)

    def writerow(self, row: Iterable[Any]) -> None:
        """Write one row."""
        self._writer.writerow([csv_cell(value) for value in row])

    def writerows(self, rows: Iterable[Iterable[Any]]) -> None:
        """Write several rows."""
        for row in rows:
            self.writerow(row)


def _is_number(text: str) -> bool:
    # Of plain digits only: float() also takes blanks, underscores and digits of all scripts.
    try:
        float(text)
    except ValueError:
        return False
    return text.isascii() and text == text.strip() and "_" not in text
