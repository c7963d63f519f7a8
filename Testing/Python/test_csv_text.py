import csv
import io

import pytest

from AcuteFindingsLib.csv_text import CsvWriter, cell_text, csv_cell


@pytest.mark.parametrize(
    "text", ["=1+1", "+cmd|' /C calc'!A0", "-2+3", "@SUM(A1)", "\tx", "\rx", "=", "-", "+1_0", "-１"]
)
def test_a_text_that_a_spreadsheet_would_compute_is_quoted_and_comes_back(text: str) -> None:
    assert csv_cell(text) == f"'{text}"
    assert cell_text(csv_cell(text)) == text


@pytest.mark.parametrize("value", ["-0.5", "+1e-3", "-12", "0.25", -0.5, 3, None, "", "a.png", "'quoted'", "-inf"])
def test_numbers_and_plain_texts_stay(value: object) -> None:
    assert csv_cell(value) == value
    if isinstance(value, str):
        assert cell_text(value) == value


def test_every_cell_of_a_table_is_written_so() -> None:
    stream = io.StringIO()
    writer = CsvWriter(stream)
    writer.writerow(("image", "=label"))
    writer.writerows([["=HYPERLINK(1).png", "-0.25"], ["b.png", 0.5]])
    rows = list(csv.reader(io.StringIO(stream.getvalue())))
    assert rows == [["image", "'=label"], ["'=HYPERLINK(1).png", "-0.25"], ["b.png", "0.5"]]
