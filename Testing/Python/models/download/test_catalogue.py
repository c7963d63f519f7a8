import json

import pytest

from AcuteFindingsLib.errors import ModelError
from AcuteFindingsLib.models import files
from AcuteFindingsLib.models.download.catalogue import (
    CATALOGUE,
    SCHEMA,
    ArchiveSource,
    Catalogue,
    ProviderSource,
    ShippedSource,
    catalogue_schema,
    load_catalogue,
)
from AcuteFindingsLib.models.download.mirror import refresh_catalogue, write_mirror
from AcuteFindingsLib.models.find import list_packages
from AcuteFindingsLib.providers.registry import list_terms
from AcuteFindingsLib.resources import resource_path

ENTRY = {
    "id": "bleeds",
    "tasks": ["hemorrhage"],
    "title": "Bleeds",
    "version": "1.0.0",
    "licence": "CC-BY-4.0",
    "citations": ["Somebody, 2025"],
    "source": {"kind": "archive", "urls": ["bleeds.zip"], "size": 10, "sha256": "0" * 64},
}


def write_catalogue(folder, *entries, **fields):
    path = folder / "catalogue.json"
    path.write_text(json.dumps({"format": 1, "models": list(entries), **fields}))
    return path


def changed(**source):
    return {**ENTRY, "source": {**ENTRY["source"], **source}}


def test_the_published_schema_is_the_models_own():
    assert json.loads(resource_path("Models", SCHEMA).read_text()) == catalogue_schema()


def test_the_catalogue_that_ships_names_every_shipped_model_with_its_true_size_and_sum(tmp_path):
    catalogue = load_catalogue()
    listed = {entry.id: entry for entry in catalogue.models if isinstance(entry.source, ShippedSource)}
    found = {package.id: package for package in list_packages(cache=tmp_path)}
    hint = "run python -m AcuteFindingsLib.models.rewrite"
    assert set(listed) == set(found), hint
    for name, entry in listed.items():
        weights = found[name].folder / found[name].weights
        assert (entry.version, entry.license) == (found[name].version, found[name].card.license), hint
        assert (entry.source.size, entry.source.sha256) == (weights.stat().st_size, files.file_sha256(weights)), hint


def test_the_catalogue_that_ships_says_of_the_providers_what_they_say():
    listed = {entry.id: entry for entry in load_catalogue().models if isinstance(entry.source, ProviderSource)}
    assert set(listed) == {provider.id for provider in list_terms()}
    for provider in list_terms():
        entry = listed[provider.id]
        assert (entry.license, tuple(entry.citations)) == (provider.license, provider.citations)
        assert (entry.source.requirement, entry.source.homepage) == (provider.requirement, provider.source)
        assert tuple(entry.tasks) == provider.tasks


def test_addresses_are_relative_to_the_catalogue(tmp_path):
    path = write_catalogue(tmp_path, changed(urls=["more/bleeds.zip", "https://example.org/b.zip"]))
    assert load_catalogue(path).entry("bleeds").source.urls == [
        str(tmp_path / "more" / "bleeds.zip"),
        "https://example.org/b.zip",
    ]
    assert load_catalogue(tmp_path) == load_catalogue(path)


@pytest.mark.parametrize(
    ("entry", "told"),
    [
        (changed(sha256="A" * 64), "model 'bleeds', field 'source.archive.sha256'"),
        (changed(size=0), "source.archive.size"),
        (changed(urls=[]), "source.archive.urls"),
        (changed(urls=["../outside.zip"]), "outside.zip"),
        (changed(urls=["/etc/passwd"]), "/etc/passwd"),
        (changed(urls=["file:///etc/passwd"]), "file:///etc/passwd"),
        (changed(urls=["ftp://example.org/a.zip"]), "neither"),
        (changed(kind="guess"), "source"),
        ({**ENTRY, "id": "../bleeds"}, "field 'id'"),
        ({**ENTRY, "licence": ""}, "field 'licence'"),
        ({**ENTRY, "citations": []}, "field 'citations'"),
        ({**ENTRY, "tasks": ["../knees"]}, "field 'tasks.0'"),
        ({**ENTRY, "colour": "red"}, "field 'colour'"),
        ("bleeds", "model 'number 1'"),
    ],
)
def test_a_wrong_entry_is_refused_with_its_name_and_field(tmp_path, entry, told):
    path = write_catalogue(tmp_path, entry)
    with pytest.raises(ModelError) as caught:
        load_catalogue(path)
    assert told in str(caught.value)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_two_models_of_one_name_and_other_formats_are_refused(tmp_path):
    with pytest.raises(ModelError, match="more than once: bleeds"):
        load_catalogue(write_catalogue(tmp_path, ENTRY, ENTRY))
    with pytest.raises(ModelError, match="format"):
        load_catalogue(write_catalogue(tmp_path, ENTRY, format=2))
    (tmp_path / "catalogue.json").write_text("{")
    with pytest.raises(ModelError, match="not valid JSON"):
        load_catalogue(tmp_path)
    with pytest.raises(ModelError, match="cannot be read"):
        load_catalogue(tmp_path / "nowhere.json")


def test_a_model_that_is_not_listed_is_told_with_those_that_are(tmp_path):
    with pytest.raises(ModelError, match="no model 'clots'; it lists bleeds"):
        load_catalogue(write_catalogue(tmp_path, ENTRY)).entry("clots")


def test_a_mirror_is_a_catalogue_with_archives_beside_it(package, tmp_path):
    path = write_mirror([package], tmp_path / "mirror")
    assert sorted(item.name for item in path.parent.iterdir()) == [CATALOGUE, SCHEMA, "tiny-test-0.1.0.zip"]
    entry = load_catalogue(path).entry("tiny-test")
    assert isinstance(entry.source, ArchiveSource)
    assert entry.source.size == (tmp_path / "mirror" / "tiny-test-0.1.0.zip").stat().st_size
    assert json.loads(path.read_text())["models"][0]["source"]["urls"] == ["tiny-test-0.1.0.zip"]
    assert (entry.license, entry.citations) == ("BSD-3-Clause", ["RADnet (2017)"])
    again = load_catalogue(write_mirror([package], tmp_path / "again")).entry("tiny-test")
    assert again.source.sha256 == entry.source.sha256


def test_writing_a_package_beside_a_catalogue_keeps_the_catalogue_true(network, write, tmp_path):
    first = write(tmp_path / "tiny-test", network.state_dict())
    assert not (tmp_path / CATALOGUE).exists()
    refresh_catalogue(tmp_path)
    provided = {
        **ENTRY,
        "source": {"kind": "provider", "provider": "x", "requirement": "x", "homepage": "https://x.org"},
    }
    listed = json.loads((tmp_path / CATALOGUE).read_text())
    (tmp_path / CATALOGUE).write_text(json.dumps({**listed, "models": [*listed["models"], provided]}))
    network.head.bias.data += 1
    second = write(tmp_path / "tiny-test", network.state_dict(), replace=True, version="0.2.0")
    entries = load_catalogue(tmp_path).models
    assert [entry.id for entry in entries] == ["tiny-test", "bleeds"]
    assert (entries[0].version, entries[0].source.sha256) == ("0.2.0", second.sha256)
    assert first.sha256 != second.sha256


def test_a_catalogue_survives_being_written_and_read():
    catalogue = Catalogue(models=[ENTRY])
    assert Catalogue.model_validate(catalogue.model_dump(mode="json", by_alias=True)) == catalogue


@pytest.fixture
def over_the_web(monkeypatch):
    """Give `load_catalogue` a catalogue as if it came from an address."""

    def give(*entries):
        text = json.dumps({"format": 1, "models": list(entries)}).encode()
        monkeypatch.setattr("AcuteFindingsLib.models.download.catalogue.read_bytes", lambda address, most: text)

    return give


def test_a_catalogue_that_came_encrypted_names_no_address_without(over_the_web):
    plain = changed(urls=["https://example.org/b.zip", "http://user:secret@example.org/b.zip?key=1"])
    over_the_web(plain)
    with pytest.raises(ModelError, match=r"came over https and names http://example.org/b.zip") as caught:
        load_catalogue("https://models.example/catalogue.json")
    assert "secret" not in str(caught.value)
    assert load_catalogue("http://127.0.0.1/catalogue.json").entry("bleeds").source.urls == plain["source"]["urls"]


def test_paths_of_a_catalogue_on_the_web_stay_on_its_server(over_the_web):
    over_the_web(changed(urls=["more/b.zip"]))
    loaded = load_catalogue("https://models.example/mirror/catalogue.json")
    assert loaded.entry("bleeds").source.urls == ["https://models.example/mirror/more/b.zip"]
    over_the_web(changed(urls=["//elsewhere.example/b.zip"]))
    with pytest.raises(ModelError, match="neither"):
        load_catalogue("https://models.example/mirror/catalogue.json")


@pytest.mark.parametrize("address", ["ftp://example.org/c.json", "file:///etc/passwd", "s3://bucket/c.json"])
def test_other_kinds_of_addresses_are_no_catalogue(address):
    with pytest.raises(ModelError, match=r"neither a file nor an http\(s\) address"):
        load_catalogue(address)


def test_a_catalogue_nested_deep_or_too_large_is_refused(tmp_path):
    path = tmp_path / "catalogue.json"
    path.write_text("[" * 100_000)
    with pytest.raises(ModelError, match="nested deeper than 32 levels"):
        load_catalogue(path)
    path.write_text(" " * (9 * 2**20))
    with pytest.raises(ModelError, match="larger than 8 MB"):
        load_catalogue(path)


def test_a_catalogues_id_that_the_system_or_this_software_uses_is_refused(tmp_path):
    for name in ("providers", "con", "a..b"):
        with pytest.raises(ModelError, match="cannot be a model's id"):
            load_catalogue(write_catalogue(tmp_path, {**ENTRY, "id": name}))
