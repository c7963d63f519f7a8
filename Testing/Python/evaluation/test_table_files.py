"""One table, however a spreadsheet or a system wrote it."""

import gzip
import io
import zipfile
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
from openpyxl import Workbook

from AcuteFindingsLib.budgets import budgets, set_budgets
from AcuteFindingsLib.errors import DataError, EvaluationError
from AcuteFindingsLib.evaluation.table_files import number, open_table
from AcuteFindingsLib.evaluation.tables import label_values, numbers, read_table
from AcuteFindingsLib.training.data.checks import column_names, read_csv

TABLE = pd.DataFrame({"image": ["ä 1.png", "b|2.png", "c.png"], "any": [1, 0, 1], "score": [0.25, 0.5, 1e-3]})


def write(path: Path, form: str) -> Path:
    """Write `TABLE` in one of the forms."""
    text = TABLE.to_csv(index=False)
    european = TABLE.to_csv(index=False, sep=";", decimal=",")
    tabs = TABLE.to_csv(index=False, sep="\t")
    contents = {
        "comma": text.encode(),
        "marked utf-8": text.encode("utf-8-sig"),
        "cr lf": text.replace("\n", "\r\n").encode(),
        "cr": text.replace("\n", "\r").encode(),
        "western": european.encode("cp1252"),
        "semicolon": european.encode(),
        "stated separator": b"sep=;\r\n" + european.encode(),
        "marked, stated separator": ("\ufeffsep=;\n" + european).encode(),
        "tabs": tabs.encode(),
        "utf-16 with mark": tabs.encode("utf-16"),
        "utf-16 little endian": tabs.encode("utf-16-le"),
        "utf-16 big endian": tabs.encode("utf-16-be"),
        "utf-16, stated separator": ("sep=;\n" + european).encode("utf-16"),
        "utf-32": text.encode("utf-32"),
        "gzip": gzip.compress(text.encode()),
        "all quoted": TABLE.to_csv(index=False, quoting=1).encode(),
        "blank rows": (text.replace("\n", "\n\n") + ",,\n").encode(),
        "blanks around": text.replace(",", " , ").encode(),
        "trailing separators": text.replace("\n", ",\n").encode(),
    }
    if form in ("zip", "zip of macOS"):
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("table.csv", text)
            if form != "zip":
                archive.writestr("__MACOSX/._table.csv", b"\0\5\x16\7")
    elif form == "sheet":
        stream = io.BytesIO()
        TABLE.to_excel(stream, index=False)
        path.write_bytes(stream.getvalue())
    else:
        path.write_bytes(contents[form])
    return path


FORMS = (
    "comma", "marked utf-8", "cr lf", "cr", "western", "semicolon", "stated separator", "marked, stated separator",
    "tabs", "utf-16 with mark", "utf-16 little endian", "utf-16 big endian", "utf-16, stated separator", "utf-32",
    "gzip", "all quoted", "blank rows", "blanks around", "trailing separators", "zip", "zip of macOS", "sheet",
)  # fmt: skip


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("name", ["table.csv", "table.txt", "table"])
def test_every_form_gives_the_same_table_whatever_its_name(form: str, name: str, tmp_path: Path) -> None:
    path = write(tmp_path / name, form)
    table = read_table(path)
    assert list(table.columns) == ["image", "any", "score"]
    assert table["image"].tolist() == TABLE["image"].tolist()
    assert label_values(table, "any", "any", path).tolist() == [1, 0, 1]
    assert numbers(table["score"]).tolist() == TABLE["score"].tolist()
    assert column_names(path) == {"image", "any", "score"}
    if form != "trailing separators":
        of_training = read_csv(path, ["image", "any"], skipinitialspace=True).dropna(how="all")
        assert of_training["score"].astype(float).tolist() == TABLE["score"].tolist()


def test_a_quoted_entry_may_hold_separators_lines_and_marks(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text('image,remark,any\na.png,"two\nlines, and ""more"";",1\nb.png,,0\n')
    table = read_table(path)
    assert table["remark"][0] == 'two\nlines, and "more";'
    assert table["any"].tolist() == ["1", "0"]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"image,pe\na.png,0,7\nb.png,0,2\n", "decimal commas"),
        (b"image;pe\na.png;1;2\n", "3 entries and the header 2"),
        (b'image,pe\n"a.png,1\nb.png,0\n', "quotation mark"),
        (b"image,pe\n", "no rows"),
        (b"", "no rows"),
        (b"\n\n\n", "no rows"),
        (b"image,pe,pe\na.png,1,0\n", "two columns 'pe'"),
        (b"a;b,c\n1;2,3\n", "could both"),
        (b"%PDF-1.7\n", "PDF"),
        (b"PAR1\x15\x04", "Parquet"),
        (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(500), "old Excel file"),
        (b"\x89PNG\r\n\x1a\n" + bytes(3) + b"\rIHDR" + bytes(range(256)) * 4, "not a table"),
        (b"PK\x03\x04 no archive", "unpacked"),
        (b"\x1f\x8b no gzip", "unpacked"),
    ],
)
def test_what_cannot_be_read_rightly_is_refused_in_a_sentence(content: bytes, said: str, tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_bytes(content)
    with pytest.raises(EvaluationError, match=said) as refused:
        read_table(tmp_path / "t.csv")
    assert "\n" not in str(refused.value)
    if said not in ("no rows", "two columns 'pe'", "3 entries and the header 2", "decimal commas", "quotation mark"):
        with pytest.raises(DataError):
            read_csv(tmp_path / "t.csv", ["image"])


def test_columns_that_repeat_each_other_are_one(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("image,pe,pe\na.png,1,1\n")
    assert list(read_table(tmp_path / "t.csv").columns) == ["image", "pe"]


def test_an_index_column_without_a_name_stays_apart(tmp_path: Path) -> None:
    TABLE.to_csv(tmp_path / "t.csv")
    assert list(read_table(tmp_path / "t.csv").columns) == ["Unnamed: 0", "image", "any", "score"]


def test_of_several_filled_sheets_the_first_is_read_and_that_is_said(tmp_path: Path) -> None:
    with pd.ExcelWriter(tmp_path / "t.xlsx") as book:
        pd.DataFrame().to_excel(book, sheet_name="empty", index=False)
        TABLE.to_excel(book, sheet_name="truth", index=False)
        pd.DataFrame({"image": ["other"]}).to_excel(book, sheet_name="notes", index=False)
    table = read_table(tmp_path / "t.xlsx")
    assert len(table) == 3
    assert "2 filled sheets" in table.attrs["remarks"][0]


def test_titles_and_sheets_of_notes_are_passed_over_and_that_is_said(tmp_path: Path) -> None:
    book = Workbook()
    book.active.append(["Notes on how it was made"])
    sheet = book.create_sheet("labels")
    for row in (["Readers of 2024"], ["image", "any"], ["a.png", 1]):
        sheet.append(row)
    book.save(tmp_path / "t.xlsx")
    found = read_table(tmp_path / "t.xlsx")
    assert found.to_dict("list") == {"image": ["a.png"], "any": ["1"]}
    assert found.attrs["remarks"] == (
        "t.xlsx has 2 filled sheets; the first with more than one column was read.",
        "t.xlsx: what is above the names of the columns was skipped.",
    )


def test_what_stands_above_a_header_is_named(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("Exported today\n\nimage,any\na,1\n")
    with pytest.raises(EvaluationError, match="remove what is above the names of the columns"):
        read_table(tmp_path / "t.csv")


def test_a_large_table_is_read_and_one_beyond_the_budget_is_not(tmp_path: Path) -> None:
    path = write(tmp_path / "t.csv", "comma")
    packed = tmp_path / "t.csv.gz"
    packed.write_bytes(gzip.compress(TABLE.to_csv(index=False).encode() * 40))
    before = budgets()
    assert before.table_bytes > 120_000_000  # the table of RSNA's hemorrhage challenge
    try:
        set_budgets(replace(before, table_bytes=100))
        assert len(read_table(path)) == 3
        set_budgets(replace(before, table_bytes=50))
        with pytest.raises(EvaluationError, match="MB"):
            read_table(path)
        set_budgets(replace(before, table_bytes=1000))
        with pytest.raises(EvaluationError, match="MB"):
            read_table(packed)
    finally:
        set_budgets(before)


@pytest.mark.parametrize(
    ("text", "value"),
    [("0.7", 0.7), ("0,7", 0.7), ("70 %", 0.7), ("70%", 0.7), ("1e-3", 1e-3), ("1E-3", 1e-3), (",5", 0.5), ("-1", -1),
     ("\u22120,5", -0.5), ("0\xa0%", 0), ("12,34", 12.34), ("0,123", 0.123)],
)  # fmt: skip
def test_numbers_are_read_as_people_write_them(text: str, value: float) -> None:
    assert number(text) == pytest.approx(value)


@pytest.mark.parametrize("text", ["", "x", "1,234", "1.234,5", "1,234,567", "1_000", "0.7.1", "5 of 7"])
def test_what_states_no_clear_number_is_none(text: str) -> None:
    assert number(text) != number(text)


def test_a_column_tells_whether_a_comma_is_decimal() -> None:
    assert numbers(pd.Series(["0,923", "1,000", None], dtype="str")).tolist()[:2] == [0.923, 1.0]
    assert numbers(pd.Series(["1,234", "2,345"], dtype="str")).isna().all()


@pytest.mark.parametrize(
    ("entries", "values"),
    [
        (["TRUE", "FALSE", "true"], [1, 0, 1]),
        (["yes", "No", "Y"], [1, 0, 1]),
        (["1,0", "0,0", "1"], [1, 0, 1]),
        (["1.00", "0.00", "1e0"], [1, 0, 1]),
        (["100 %", "0 %", "100%"], [1, 0, 1]),
        (["positive", "negative", "present"], [1, 0, 1]),
    ],
)
def test_labels_are_read_as_people_write_them(entries: list[str], values: list[float]) -> None:
    table = pd.DataFrame({"pe": pd.Series(entries, dtype="str")})
    assert label_values(table, "pe", "pe", Path("t.csv")).tolist() == values


def test_a_number_that_is_no_label_is_named() -> None:
    table = pd.DataFrame({"pe": pd.Series(["1", "2", "0,7"], dtype="str")})
    with pytest.raises(EvaluationError, match=r"'2', '0,7'"):
        label_values(table, "pe", "pe", Path("t.csv"))


def test_text_that_ends_within_a_letter_is_refused_in_a_sentence(tmp_path: Path) -> None:
    path = tmp_path / "table.csv"
    path.write_bytes("image,pneumothorax\na.png,0.5\n".encode("utf-16") + b"7")
    with pytest.raises(EvaluationError, match="cut short"):
        list(open_table(path).rows())
