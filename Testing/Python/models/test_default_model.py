"""Which model is used if none is named."""

import json
from datetime import date

import pytest

from AcuteFindingsLib.errors import ModelError
from AcuteFindingsLib.models.default_model import (
    chosen_defaults,
    chosen_since,
    defaults_file,
    set_default,
    version_key,
)
from AcuteFindingsLib.models.find import default_choice, find_id, find_package, list_packages, why_default


@pytest.fixture
def places(tmp_path, network, write, make_card, monkeypatch):
    """One shipped model for hemorrhage, and a cache that is empty yet; nothing of the developer's own."""
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    (tmp_path / "cache").mkdir()
    write(tmp_path / "shipped" / "own", network.state_dict(), card=make_card(id="own"), version="0.9.0")
    return {"cache": tmp_path / "cache", "shipped": tmp_path / "shipped"}


@pytest.fixture
def install(places, network, write, make_card):
    def _install(name, version="1.0.0", place="cache"):
        return write(places[place] / name, network.state_dict(), card=make_card(id=name), version=version)

    return _install


def test_an_installed_model_is_not_the_default_until_it_is_chosen(places, install):
    install("a-stranger")
    assert default_choice("hemorrhage", **places).model.id == "own"
    set_default("hemorrhage", "a-stranger")
    choice = default_choice("hemorrhage", **places)
    assert (choice.model.id, choice.reason) == ("a-stranger", "chosen with `models default`")
    set_default("hemorrhage", None)
    assert default_choice("hemorrhage", **places).reason == "came with AcuteFindings"


def test_a_folder_that_is_searched_does_not_make_its_models_the_default(places, tmp_path, network, write, make_card):
    write(tmp_path / "mine" / "a-mine", network.state_dict(), card=make_card(id="a-mine"))
    assert default_choice("hemorrhage", folders=[tmp_path / "mine"], **places).model.id == "own"


@pytest.mark.parametrize(("cached", "used"), [("0.10.0", "0.10.0"), ("0.8.9", "0.9.0"), ("0.9.0", "0.9.0")])
def test_the_newest_version_of_an_id_wins_wherever_it_lies(places, install, cached, used):
    install("own", cached)
    assert find_package("own", **places).version == used
    choice = default_choice("hemorrhage", **places)
    assert choice.model.version == used
    assert choice.reason.startswith("newer version") == (used == "0.10.0")


def test_a_choice_that_is_gone_falls_back_and_says_so(places):
    set_default("hemorrhage", "gone")
    choice = default_choice("hemorrhage", **places)
    assert choice.model.id == "own"
    assert choice.reason.endswith("gone, the one chosen with `models default`, is not installed")


def test_the_list_says_of_each_task_what_is_used(places, install):
    install("another")
    assert why_default(list_packages(**places), shipped=places["shipped"]) == {"own": "came with AcuteFindings"}


@pytest.mark.parametrize(
    "text",
    [
        "{",
        "[]",
        '{"defaults": {"pe": "../x"}}',
        '{"defaults": {"pe": 3}}',
        '{"defaults": {}, "since": {"pe": "?"}}',
        "[" * 10000,
    ],
)
def test_a_damaged_file_of_choices_is_a_sentence(places, text):
    defaults_file().parent.mkdir(parents=True)
    defaults_file().write_text(text)
    with pytest.raises(ModelError, match="delete it and choose again"):
        chosen_defaults()


def test_choices_are_kept_whole_and_by_task(places):
    set_default("pe", "one")
    set_default("chest", "two")
    assert json.loads(defaults_file().read_text())["defaults"] == {"chest": "two", "pe": "one"}
    assert [path.name for path in defaults_file().parent.iterdir()] == ["models.json"]


def test_the_day_of_a_choice_is_kept_until_another_is_made(places, install):
    install("a-stranger")
    set_default("hemorrhage", "a-stranger")
    assert default_choice("hemorrhage", **places).since == date.today().isoformat()
    kept = json.loads(defaults_file().read_text())
    defaults_file().write_text(json.dumps({**kept, "since": {"hemorrhage": "2026-01-31"}}))
    set_default("hemorrhage", "a-stranger")
    assert default_choice("hemorrhage", **places).since == "2026-01-31"
    set_default("hemorrhage", None)
    assert (default_choice("hemorrhage", **places).since, chosen_since()) == ("", {})


def test_choices_of_an_earlier_version_are_read_without_their_day(places, install):
    install("a-stranger")
    defaults_file().parent.mkdir(parents=True)
    defaults_file().write_text('{"defaults": {"hemorrhage": "a-stranger"}}')
    choice = default_choice("hemorrhage", **places)
    assert (choice.model.id, choice.since) == ("a-stranger", "")


def test_without_a_home_folder_what_ships_is_used(places, monkeypatch):
    def none():
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr("pathlib.Path.home", none)
    assert default_choice("hemorrhage", shipped=places["shipped"]).model.id == "own"
    with pytest.raises(Exception, match=r"no home folder.*HOME"):
        set_default("pe", "one")


def test_an_id_out_of_a_file_is_never_a_path(places, monkeypatch, tmp_path):
    monkeypatch.chdir(places["shipped"])
    for name in ("./own", str(places["shipped"] / "own"), "../shipped/own"):
        with pytest.raises(ModelError, match="cannot be a model's id"):
            find_id(name, **places)
    with pytest.raises(ModelError, match="no model 'own'"):
        find_id("own", cache=tmp_path / "none", shipped=tmp_path / "none")


def test_versions_are_ordered_as_people_do():
    order = ["word", "0.9", "0.10.0", "1.0.0-rc1", "1.0.0-rc2", "1.0", "1.0.1", "v2", "10.0"]
    assert sorted(reversed(order), key=version_key) == order
    assert version_key("1.0") == version_key("1.0.0+cpu")
    dates = ["word", "1.0", "2026-05-31", "2026-06-01", "2026-11-30.small"]
    assert sorted(reversed(dates), key=version_key) == dates
    assert version_key("9" * 5000) == version_key("9" * 64)
