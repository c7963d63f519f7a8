"""What reaches the terminal: no control characters, every character in some form, progress without a terminal."""

import io
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from rich.table import Table

from AcuteFindingsLib.cli import common

HOSTILE = {
    "escape": "a\x1b[2Jb",
    "title": "a\x1b]0;owned\x07b",
    "c1": "a\x9b31mb",
    "delete": "a\x7fb",
    "direction": "a\u202egnp.exe\u2066b",
    "unseen": "a\u200b\ufeffb",
    "tag": "a\U000e0041b",
    "not utf-8": os.fsdecode(b"a\xffb"),
}


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE)
def test_plain_leaves_nothing_that_steers_a_terminal(text: str) -> None:
    shown = common.plain(text)
    assert shown.isprintable()
    assert shown.startswith("a")
    assert shown.endswith("b")


def test_plain_is_one_line_and_keeps_other_scripts() -> None:
    assert common.plain("scan.dcm\nacutefindings: NEGATIVE\t!") == "scan.dcm acutefindings: NEGATIVE !"
    for name in ("Müller", "影像", "می‌خواهم", "📁 scan"):  # the third holds a joiner that Persian needs
        assert common.plain(name) == name


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE)
def test_no_text_or_table_on_a_console_steers_the_terminal(text: str) -> None:
    stream = io.StringIO()
    console = common.PlainConsole(file=stream, width=80, markup=False)
    table = Table("name", title=text)
    table.add_row(text)
    console.print(text)
    console.print(table)
    assert all(character.isprintable() or character == "\n" for character in stream.getvalue())


def test_a_consoles_own_colors_stay() -> None:
    stream = io.StringIO()
    common.PlainConsole(file=stream, force_terminal=True, color_system="standard").print("done", style="bold red")
    assert "\x1b[" in stream.getvalue()


def test_json_for_programs_gives_the_same_text_back_and_steers_no_terminal(capsys: pytest.CaptureFixture) -> None:
    common.print_json({"name": "a\u202eb\x9bc", "unit": "mm²"})
    printed = capsys.readouterr().out
    assert json.loads(printed) == {"name": "a\u202eb\x9bc", "unit": "mm²"}
    assert "\u202e" not in printed
    assert "mm²" in printed


def test_progress_without_a_terminal_is_a_line_a_stage_and_a_tenth() -> None:
    lines: list[str] = []
    progress = common.progress_lines(lines.append)
    for number in range(1000):
        progress(f"Reading slice {number} of 1000", 0.5 * number / 1000)
    for number in range(1000):
        progress(f"Scoring slice {number} of 1000", 0.5 + 0.5 * number / 1000)
    progress("Done", 1.0)
    assert lines[0] == "Reading slice 0 of 1000 (0 %)"
    assert lines[-1] == "Done (100 %)"
    assert len(lines) == 11  # the beginning and ten tenths, with two of which a stage begins


@pytest.mark.slow
@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "cp1252"])
def test_an_answer_is_never_lost_for_a_character_that_the_terminal_lacks(encoding: str, tmp_path: Path) -> None:
    table = tmp_path / "影像 – λ.csv"
    table.write_text("image,pe\na.png,1\nb.png,0\n", encoding="utf-8")
    other = tmp_path / "second.csv"
    other.write_text("image,pe\na.png,1\nb.png,0\n", encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-c", "from AcuteFindingsLib.cli import main; main()", "agree", str(table), str(other)],
        capture_output=True,
        env={**os.environ, "PYTHONIOENCODING": encoding, "LANG": "C", "LC_ALL": "C", "PYTHONUTF8": "0"},
    )
    assert b"Traceback" not in done.stderr
    assert done.returncode == 0, done.stderr
    assert b"second" in done.stdout
