"""The descriptions that ship: whole, named as their ids, and each that can be imported is, on random weights."""

import runpy
import sys
from math import prod
from pathlib import Path

import pytest
from hub_server import serve_hub
from random_repository import graph_state, write_random_repository

from AcuteFindingsLib import cli
from AcuteFindingsLib.detectors.registry import model_tasks
from AcuteFindingsLib.models.default_model import chosen_defaults, chosen_since
from AcuteFindingsLib.models.find import find_package
from AcuteFindingsLib.models.graphs.check import check_graph
from AcuteFindingsLib.models.public.consent import needs_consent
from AcuteFindingsLib.models.public.recommended import (
    find_description,
    graph_bytes,
    read_description,
    shipped_descriptions,
)

DESCRIPTIONS = {one.id: one for one in shipped_descriptions()}
WITH_GRAPHS = [name for name, one in DESCRIPTIONS.items() if one.graphs is not None and not one.needs]
DETECTORS = ("hemorrhage", "pe", "pneumothorax")
RECOMMENDED = [name for name, one in DESCRIPTIONS.items() if one.recommended]


def command(monkeypatch, capsys, *arguments):
    """Run the command in this process; returns status, stdout and stderr as one line each."""
    monkeypatch.setattr(sys, "argv", ["acutefindings", *map(str, arguments)])
    with pytest.raises(SystemExit) as stopped:
        cli.main()
    out, err = capsys.readouterr()
    return int(stopped.value.code or 0), " ".join(out.split()), " ".join(err.split())


@pytest.fixture
def as_set_up(tmp_path, monkeypatch):
    """Serve a folder of repositories, as the environment would name a hub."""
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    places = "{repo_id}/resolve/{revision}/{filename}"
    with serve_hub(tmp_path / "repositories") as server:
        monkeypatch.setattr(constants, "ENDPOINT", server.endpoint)
        monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", f"{server.endpoint}/{places}")
        yield server


@pytest.mark.parametrize("name", DESCRIPTIONS)
def test_a_description_is_for_a_task_and_a_form_that_there_are(name):
    one = DESCRIPTIONS[name]
    tasks = model_tasks()
    assert one.task == "part" or one.task in tasks
    if one.task != "part":
        tasks[one.task].form(one.form)
    assert one.license.text.strip()
    assert all(figure.source for figure in one.published)


def test_each_detector_has_at_most_one_recommended_model():
    tasks = [DESCRIPTIONS[name].task for name in RECOMMENDED]
    assert len(set(tasks)) == len(tasks)


@pytest.mark.parametrize("name", WITH_GRAPHS)
def test_the_settings_of_a_description_are_those_of_its_form(name):
    one = DESCRIPTIONS[name]
    if one.task != "part":
        model_tasks()[one.task].load_settings(one.form).model_validate(one.preprocessing)


@pytest.mark.parametrize("name", WITH_GRAPHS)
def test_the_size_that_is_shown_is_that_of_the_weights_and_graphs_are_small(name):
    one = DESCRIPTIONS[name]
    graphs = graph_bytes(one)
    assert sum(map(len, graphs.values())) < 4e6
    shapes = {}
    for data in graphs.values():
        shapes |= check_graph(data, name=name).lacking
    assert sum(4 * prod(shape) for shape, _ in shapes.values()) / 1e6 == pytest.approx(one.megabytes, rel=0.05)


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in RECOMMENDED if DESCRIPTIONS[name].task in DETECTORS])
def test_a_recommended_model_is_imported_in_one_command_without_torch(name, as_set_up, tmp_path, monkeypatch, capsys):
    for module in ("models.public.proof", "models.verify"):
        monkeypatch.setattr(f"AcuteFindingsLib.{module}.find_spec", lambda _: None)
    one = DESCRIPTIONS[name]
    write_random_repository(one, tmp_path / "repositories", state=graph_state(one, graph_bytes(one)))
    importing = ("models", "import", "recommended", "--detector", one.task)
    if needs_consent(one):
        status, _, err = command(monkeypatch, capsys, *importing)
        assert (status, as_set_up.asked) == (2, [])
        assert "--accept-license" in err
    status, out, err = command(monkeypatch, capsys, *importing, "--accept-license", "--no-default")
    assert status == 0, err
    package = find_package(one.id)
    assert package.card.form == one.form
    assert package.card.origin.revision in out
    assert one.license.name in out
    assert "Compared on random weights, not on these" in out
    assert chosen_defaults() == {}


def test_a_public_model_becomes_the_default_where_it_is_said_and_never_silently(
    as_set_up, describe, tmp_path, monkeypatch, capsys
):
    file = describe()
    write_random_repository(read_description(file), tmp_path / "repositories")
    importing = ("models", "import", "hf:someone/tiny-lungs", "--description", file)
    status, out, err = command(monkeypatch, capsys, *importing)
    assert status == 0, err
    assert "acutefindings models default tiny-lungs" in out
    assert chosen_defaults() == {}
    as_set_up.asked.clear()
    status, _, err = command(monkeypatch, capsys, *importing, "--replace", "--default")
    assert status == 0, err
    assert not [line for line in as_set_up.asked if line.startswith("GET /storage")]
    assert chosen_defaults() == {"lungs": "tiny-lungs"}
    assert f"since {chosen_since()['lungs']}" in command(monkeypatch, capsys, "models", "default")[1]
    listed = command(monkeypatch, capsys, "models", "list", "--long")[1]
    assert listed.index("tiny-lungs") < listed.index("lungs-unet-small")
    assert "Dice: 0.900 (0 patients; published by its authors: https://example.org)" in listed


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("hf:someone/x", "--size", "64"), "--size is for importing a file"),
        (("x.pt", "--as", "timm", "--out", "y", "--no-default"), "--default is for public models"),
        (("x.pt",), "Importing a file needs --as"),
        (("recommended",), "Say which detector"),
        (("recommended", "--detector", "spleen"), "No public model is recommended for spleen"),
    ],
)
def test_options_that_do_not_belong_together_are_refused(monkeypatch, capsys, arguments, told):
    status, _, err = command(monkeypatch, capsys, "models", "import", *arguments)
    assert status == 2
    assert told in err


def test_the_list_names_license_size_and_whether_it_imports_today(monkeypatch, capsys):
    status, out, _ = command(monkeypatch, capsys, "models", "recommended", "--all")
    assert status == 0
    for one in DESCRIPTIONS.values():
        assert f"{one.id} " in out
        assert f"{one.megabytes:.0f} MB" in out
    status, out, _ = command(monkeypatch, capsys, "models", "recommended", "--show", RECOMMENDED[0])
    one = DESCRIPTIONS[RECOMMENDED[0]]
    assert one.published[0].source in out
    assert " ".join(one.license.text.split())[:200] in out


def test_an_address_is_found_whatever_its_capitals():
    one = DESCRIPTIONS[RECOMMENDED[0]]
    assert find_description(one.address.upper().replace("HF:", "hf:")).address == one.address


def test_the_page_of_public_models_is_made_from_the_descriptions():
    writer = runpy.run_path(str(Path(__file__).parents[4] / "Tools" / "imports" / "write_page.py"))
    text = writer["PAGE"].read_text(encoding="utf-8")
    assert writer["page"](text) == text, "run: python Tools/imports/write_page.py"
