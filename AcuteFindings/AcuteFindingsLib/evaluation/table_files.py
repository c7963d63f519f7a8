"""The one reader of table files: CSV as spreadsheets of all countries and systems write it, and Excel sheets."""

import codecs
import csv
import io
import re
import zipfile
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime, time
from itertools import islice
from pathlib import Path
from typing import Any, TextIO

from AcuteFindingsLib.budgets import budgets
from AcuteFindingsLib.csv_text import cell_text
from AcuteFindingsLib.errors import AcuteFindingsError, EvaluationError
from AcuteFindingsLib.files import ZIP_FAILS
from AcuteFindingsLib.study.file_kinds import GZIP
from AcuteFindingsLib.study.unpacking import UNPACKING_FAILS, unpacked, within_budget

SEPARATORS = (",", ";", "\t", "|")

# How much of a table is looked at to tell how it is written.
_SAMPLE = 1 << 18
_RECORDS = 200

# The longer mark of UTF-32 begins with that of UTF-16.
_MARKS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
_SHEET, _GZIP, _OLD_EXCEL = b"PK\x03\x04", b"\x1f\x8b", b"\xd0\xcf\x11\xe0"
# What is named as a table and is none.
_OTHERS = {b"%PDF": "a PDF file", b"PAR1": "a Parquet file", b"{\\rtf": "a word processor document"}
_DAMAGED: tuple[type[Exception], ...] = (*UNPACKING_FAILS, *ZIP_FAILS)
_QUOTED = re.compile(r'"(?:[^"]|"")*"')
_DECIMAL_COMMA = re.compile(r"\s*-?\d+,\d+\s*%?\s*")
_DECIMAL_POINT = re.compile(r"\s*-?\d+\.\d+\s*%?\s*")


@dataclass(frozen=True)
class TableFile:
    """A table's bytes and how they are written.

    Attributes
    ----------
    path
        Where it came from.
    encoding, separator
        Of the text.
    decimal_comma
        Whether numbers have a comma where others have a point.
    skipped
        Bytes before the header: a byte order mark, and Excel's line ``sep=;``.
    remarks
        What a person should know of how it was read.
    """

    path: Path
    content: bytes
    encoding: str = "utf-8"
    separator: str = ","
    decimal_comma: bool = False
    skipped: int = 0
    remarks: tuple[str, ...] = ()

    def open(self) -> TextIO:
        """Return its text from the header on."""
        stream = io.BytesIO(self.content)
        stream.seek(self.skipped)
        return io.TextIOWrapper(stream, self.encoding, newline="")

    def rows(self) -> Iterator[list[str]]:
        """Yield its rows as texts without blanks around them, the header first; blank rows are left out.

        Raises
        ------
        EvaluationError
            Where a quoted entry does not end, or a row has more entries than the header.
        """
        # An entry may be a whole run of predictions.
        csv.field_size_limit(max(csv.field_size_limit(), len(self.content)))
        reader = csv.reader(self.open(), delimiter=self.separator, skipinitialspace=True, strict=True)
        width = 0
        try:
            for row in reader:
                entries = [cell_text(entry.strip()) for entry in row]
                if not any(entries):
                    continue
                if not width:
                    entries = _named(entries)
                    width = len(entries)
                elif len(entries) > width:
                    if any(entries[width:]):
                        raise EvaluationError(self._too_long(reader.line_num, len(entries), width))
                    del entries[width:]
                yield entries
        except csv.Error as error:
            raise EvaluationError(
                f"{self.path} cannot be read as a table: line {reader.line_num}: {error}; is a quotation mark missing?"
            ) from error
        except UnicodeDecodeError as error:
            raise EvaluationError(
                f"{self.path} is damaged or cut short: it holds bytes that are not {error.encoding} text; save it "
                "again."
            ) from error

    def _too_long(self, line: int, count: int, width: int) -> str:
        text = f"{self.path}: line {line} has {count} entries and the header {width}"
        if width == 1:
            return f"{text}; remove what is above the names of the columns."
        if self.separator == ",":
            return (
                f"{text}. Where numbers have decimal commas, columns need another separator: save it with semicolons "
                "or tabs, or put such numbers in quotation marks."
            )
        return f"{text}; put entries that hold {self.separator!r} in quotation marks."


def open_table(path: Path) -> TableFile:
    """Look at a table file: CSV with any separator and encoding, also packed as gz or zip, or an Excel sheet (.xlsx).

    What a file is, is told by its content, not by its name.

    Raises
    ------
    EvaluationError
        Where it cannot be read, is of another kind, or is larger than `Budgets.table_bytes`.
    """
    try:
        size = path.stat().st_size
        _check_size(path, size)
        content = path.read_bytes()
    except OSError as error:
        raise EvaluationError(f"{path} cannot be read as a table: {error.strerror or error}.") from error
    remarks: tuple[str, ...] = ()
    if content.startswith((_SHEET, _GZIP)):
        content, remarks = _unpacked(path, content)
    return _described(path, content, remarks)


def first_rows(path: Path, count: int = 1) -> list[list[str]]:
    """Return the first rows of a table, its header before them; of a large file only the beginning is read.

    Raises
    ------
    EvaluationError
        As `open_table`.
    """
    try:
        with path.open("rb") as stream:
            start = stream.read(_SAMPLE)
    except OSError as error:
        raise EvaluationError(f"{path} cannot be read as a table: {error.strerror or error}.") from error
    if len(start) < _SAMPLE or start.startswith((_SHEET, _GZIP)):
        return list(islice(open_table(path).rows(), count))
    beginning = start[: start.rfind(b"\n") + 1] or start
    return list(islice(_described(path, beginning, (), whole=False).rows(), count))


def _described(path: Path, content: bytes, remarks: tuple[str, ...], *, whole: bool = True) -> TableFile:
    if content.startswith(_OLD_EXCEL):
        raise EvaluationError(f"{path} is an old Excel file (.xls); save it as .xlsx or as CSV.")
    other = next((text for start, text in _OTHERS.items() if content.startswith(start)), None)
    if other:
        raise EvaluationError(f"{path} is {other}; save the table as CSV or .xlsx.")
    encoding, mark = _encoding(content)
    sample = content[mark : mark + _SAMPLE].decode(encoding, "ignore")
    if "\0" in sample:
        raise EvaluationError(f"{path} holds bytes that are not text, so it is not a table; save it as CSV or .xlsx.")
    separator, first = _stated_separator(sample)
    skipped = mark + len(sample[:first].encode(encoding))
    sample = sample[first:]
    separator = separator or _separator(path, sample, whole=whole and len(content) <= mark + _SAMPLE)
    return TableFile(path, content, encoding, separator, _has_decimal_commas(sample, separator), skipped, remarks)


def number(text: str, *, decimal_comma: bool = False) -> float:
    """Return the number that an entry states: ``0.7``, ``0,7``, ``70 %``, ``1e-3``; NaN where it states none.

    A comma is a decimal comma. ``1,234`` may also be a thousand and more: that is NaN unless `decimal_comma` says that
    the other numbers of the column have one.
    """
    plain = text.replace("\xa0", "").replace("\u202f", "").replace("\u2212", "-").strip()
    share = plain.endswith("%")
    plain = plain.removesuffix("%").strip()
    if "," in plain:
        unclear = not decimal_comma and is_unclear(plain)
        if plain.count(",") > 1 or "." in plain or unclear:
            return float("nan")
        plain = plain.replace(",", ".")
    if "_" in plain:
        return float("nan")
    try:
        value = float(plain)
    except ValueError:
        return float("nan")
    return value / 100 if share else value


def is_unclear(text: str) -> bool:
    """Whether a number with a comma may be thousands as well as a number with three decimals: ``1,234``."""
    return bool(re.fullmatch(r"[-+]?[1-9]\d{0,2},\d{3}", text.strip()))


def _check_size(path: Path, size: int) -> None:
    most = budgets().table_bytes
    if size > most:
        raise EvaluationError(f"{path} is a table of {size / 1e6:.0f} MB; at most {most / 1e6:.0f} MB are read.")


def _unpacked(path: Path, content: bytes) -> tuple[bytes, tuple[str, ...]]:
    try:
        if content.startswith(_GZIP):
            data = unpacked(io.BytesIO(content), GZIP, packed_bytes=len(content))
            _check_size(path, len(data))
            return data, ()
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            members = [one for one in archive.infolist() if not one.is_dir() and not _is_leftover(one.filename)]
            for one in members:
                _check_size(path, one.file_size)
            _check_size(path, sum(one.file_size for one in members))
            names = {one.filename for one in members}
            if "[Content_Types].xml" in names and any(name.startswith("xl/") for name in names):
                return _from_sheet(path, content)
            if len(members) != 1:
                raise EvaluationError(f"{path} holds {len(members)} files; unpack it and name the table.")
            with archive.open(members[0]) as stream:
                return within_budget(stream, packed_bytes=len(content)), ()
    except EvaluationError:
        raise
    except _DAMAGED as error:
        raise EvaluationError(f"{path} cannot be unpacked: it is damaged, cut short or protected.") from error
    except AcuteFindingsError as error:
        raise EvaluationError(f"{path}: {error}") from error


def _is_leftover(name: str) -> bool:
    return name.startswith("__MACOSX/") or name.rsplit("/", 1)[-1].startswith("._")


def _from_sheet(path: Path, content: bytes) -> tuple[bytes, tuple[str, ...]]:
    """Return the first filled sheet of a workbook as CSV."""
    try:
        from openpyxl import load_workbook
    except ImportError as error:
        raise EvaluationError(f"{path} is an Excel sheet; install openpyxl to read it, or save it as CSV.") from error
    try:
        book = load_workbook(io.BytesIO(content), read_only=True, data_only=True)
        filled = {sheet.title: rows for sheet in book.worksheets if (rows := _sheet_rows(sheet))}
    except Exception as error:  # openpyxl raises whatever its XML parser meets
        raise EvaluationError(f"{path} cannot be read as an Excel sheet: it is damaged or protected.") from error
    if not filled:
        raise EvaluationError(f"{path} holds no rows.")
    # A sheet of one column is a note about the others.
    wide = [title for title, rows in filled.items() if any(sum(map(bool, row)) > 1 for row in rows)]
    first = next(iter(wide or filled))
    rows = filled[first]
    titles = _titles(rows)
    stream = io.StringIO()
    csv.writer(stream).writerows(rows[titles:])
    remarks = []
    if len(filled) > 1:
        which = "the first was read" if first == next(iter(filled)) else "the first with more than one column was read"
        remarks.append(f"{path.name} has {len(filled)} filled sheets; {which}.")
    if titles:
        remarks.append(f"{path.name}: what is above the names of the columns was skipped.")
    return stream.getvalue().encode(), tuple(remarks)


def _titles(rows: list[list[str]]) -> int:
    """Return how many rows of one entry each stand above the names of the columns."""
    return next((place for place, row in enumerate(rows) if sum(map(bool, row)) > 1), 0)


def _sheet_rows(sheet: Any) -> list[list[str]]:
    if not hasattr(sheet, "iter_rows"):
        return []
    # A writer may state a wrong size, and then rows are lost.
    sheet.reset_dimensions()
    rows = [[_cell(value) for value in row] for row in sheet.iter_rows(values_only=True)]
    return [row for row in rows if any(row)]


def _cell(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(value).upper()
    if isinstance(value, float):
        return str(int(value)) if value.is_integer() and abs(value) < 1e15 else repr(value)
    if isinstance(value, datetime | date | time):
        return value.isoformat()
    return str(value)


def _encoding(content: bytes) -> tuple[str, int]:
    """Return the encoding and the length of its mark; without a mark UTF-16 by its zeros, UTF-8, else Western."""
    for mark, name in _MARKS:
        if content.startswith(mark):
            return name, len(mark)
    start = content[: 1 << 12]
    even, odd = start[::2].count(0), start[1::2].count(0)
    if even + odd > len(start) / 4:
        return ("utf-16-le" if odd > even else "utf-16-be"), 0
    try:
        content.decode("utf-8")
    except UnicodeDecodeError:
        try:
            content.decode("cp1252")
        except UnicodeDecodeError:
            return "latin-1", 0
        return "cp1252", 0
    return "utf-8", 0


def _stated_separator(sample: str) -> tuple[str, int]:
    """Return the separator of Excel's first line ``sep=;`` and that line's length."""
    found = re.match(r'"?sep=(.)"?\r?\n', sample, re.IGNORECASE)
    return (found.group(1), found.end()) if found else ("", 0)


def _separator(path: Path, sample: str, *, whole: bool) -> str:
    """Return what stands between entries: what all rows have as often as the header."""
    lines = _QUOTED.sub("Q", sample).splitlines()
    if not whole and len(lines) > 1:
        lines.pop()  # cut
    lines = [line for line in lines if line.strip()][:_RECORDS]
    if not lines:
        return SEPARATORS[0]
    found: dict[str, tuple[float, int]] = {}
    for separator in SEPARATORS:
        header = lines[0].count(separator)
        if header:
            alike = Counter(line.rstrip().count(separator) == header for line in lines[1:])
            share = alike[True] / max(len(lines) - 1, 1)
            found[separator] = (share if len(lines) > 1 else 1.0, header)
    if not found:
        return SEPARATORS[0]
    best = max(found.values())
    equal = [separator for separator, score in found.items() if score == best]
    if len(equal) > 1:
        words = " and ".join(repr(one) for one in equal)
        raise EvaluationError(f"{path}: {words} could both separate the columns; save it with one of them only.")
    return equal[0]


def _has_decimal_commas(sample: str, separator: str) -> bool:
    if separator == ",":
        return False
    entries = [entry for line in sample.splitlines()[1:_RECORDS] for entry in line.split(separator)]
    commas = sum(bool(_DECIMAL_COMMA.fullmatch(entry)) for entry in entries)
    return commas > 0 and not any(_DECIMAL_POINT.fullmatch(entry) for entry in entries)


def _named(header: list[str]) -> list[str]:
    """Return the names of the columns, those without one numbered; trailing ones without a name fall away."""
    while len(header) > 1 and not header[-1]:
        header.pop()
    return [name or f"Unnamed: {number}" for number, name in enumerate(header)]
