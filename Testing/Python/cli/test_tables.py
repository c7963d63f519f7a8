"""Tables of the command line: readable at any width, and JSON wherever something is listed or shown."""

import json

import pytest
from rich.cells import cell_len

from AcuteFindingsLib.cli import main, tables
from AcuteFindingsLib.cli.tables import print_facts, print_rows

UID = "1.2.826.0.1.3680043.8.498." + "7" * 38
COLUMNS = ("date", "modality", "n", "what it is", "UID")
ROWS = [("20260102 0830", "CT", "120", "Thorax with contrast, thin slices", UID), ("", "DX", "2", "", "1.2")]


@pytest.fixture
def printed(monkeypatch, capsys):
    """Return what is printed on a terminal of a width."""

    def at(width: int, call) -> list[str]:
        monkeypatch.setattr(type(tables.out_console), "width", property(lambda _: width))
        call()
        return capsys.readouterr().out.splitlines()

    return at


@pytest.mark.parametrize("width", [40, 60, 80, 160])
def test_nothing_is_lost_or_broken_at_any_width(printed, width: int) -> None:
    lines = printed(width, lambda: print_rows(COLUMNS, ROWS))
    text = " ".join(" ".join(lines).split())
    assert all(cell in text for row in ROWS for cell in row)
    assert all(len(line) <= width or UID in line for line in lines)


def test_what_does_not_fit_stands_named_below_its_row(printed) -> None:
    wide, narrow = (printed(width, lambda: print_rows(COLUMNS, ROWS)) for width in (160, 80))
    assert len(wide) == 3
    assert narrow[0].split() == ["date", "modality", "n", "what", "it", "is"]
    assert narrow[2] == f"  UID  {UID}"


def test_numbers_are_set_to_the_right_and_wide_letters_count_twice(printed) -> None:
    lines = printed(80, lambda: print_rows(("who", "p"), [("肺", "< 0.001"), ("lung", "–"), ("x", "0.5")]))
    assert {cell_len(line) for line in lines} == {13}
    assert lines[3].endswith("    0.5")


def test_a_value_that_is_not_there_has_no_line(printed) -> None:
    assert printed(80, lambda: print_facts([("license", ""), ("size", "7 MB")])) == ["  size  7 MB"]


@pytest.mark.slow
@pytest.mark.parametrize(
    "command",
    ["models list", "models default", "models catalogue", "models download --list", "providers list", "recipes list"],
)
def test_every_list_can_be_had_as_json(monkeypatch, capsys, command: str) -> None:
    monkeypatch.setattr("sys.argv", ["acutefindings", *command.split(), "--json"])
    with pytest.raises(SystemExit) as stopped:
        main()
    assert stopped.value.code == 0
    found = json.loads(capsys.readouterr().out)
    listed = found["models"] if isinstance(found, dict) else found
    assert all(one["id"] for one in listed)
    assert len(listed) >= 3


@pytest.mark.parametrize(
    ("command", "key"),
    [
        ("models show pe-sequence-small", "card"),
        ("providers show blast-ct", "license"),
        ("recipes show pe-model-a", "stages"),
    ],
)
def test_everything_shown_can_be_had_as_json(monkeypatch, capsys, command: str, key: str) -> None:
    monkeypatch.setattr("sys.argv", ["acutefindings", *command.split(), "--json"])
    with pytest.raises(SystemExit) as stopped:
        main()
    assert stopped.value.code == 0
    assert json.loads(capsys.readouterr().out)[key]


def test_a_damaged_model_is_listed_with_what_is_wrong(monkeypatch, capsys, tmp_path) -> None:
    (tmp_path / "broken" / "configs").mkdir(parents=True)
    (tmp_path / "broken" / "configs" / "metadata.json").write_text("{")
    monkeypatch.setattr("sys.argv", ["acutefindings", "models", "list", "--models-folder", str(tmp_path)])
    with pytest.raises(SystemExit):
        main()
    listed = capsys.readouterr().out
    assert "broken                   damaged" in listed
    assert "broken: " in listed


def test_a_model_card_is_shown_whole_at_80_columns(monkeypatch, capsys) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setattr("sys.argv", ["acutefindings", "models", "show", "pe-sequence-small"])
    with pytest.raises(SystemExit):
        main()
    card = capsys.readouterr().out
    assert "…" not in card
    assert "seeds 800000 to 800359, 199 positive" in card
    assert "\n  Cases    360\n" in card
