"""What the worker says of public models, and the import that it is asked for."""

import pytest

from AcuteFindingsLib.jobs import public_jobs
from AcuteFindingsLib.jobs.messages import Request
from AcuteFindingsLib.jobs.public_jobs import hub_address, import_public, public_models
from AcuteFindingsLib.jobs.tools import Tools
from AcuteFindingsLib.jobs.worker_jobs import JOBS
from AcuteFindingsLib.models.public import import_public as importer
from AcuteFindingsLib.models.public.recommended import shipped_descriptions
from AcuteFindingsLib.progress import never_cancelled, no_progress

TOOLS = Tools(no_progress, never_cancelled)


def listed(**fields):
    return public_models(Request(1, "public_models", fields), TOOLS)["models"]


def test_the_worker_knows_both_jobs():
    assert (JOBS["public_models"], JOBS["import_public"]) == (public_models, public_jobs.import_public)


@pytest.mark.parametrize(
    ("typed", "address"),
    [
        ("hf:a/b", "hf:a/b"),
        (" hf:a/b@1a2b ", "hf:a/b@1a2b"),
        ("a/b", "hf:a/b"),
        ("https://huggingface.co/a/b", "hf:a/b"),
        ("https://huggingface.co/a/b/tree/main?show=all", "hf:a/b@main"),
        ("huggingface.co/a/b/blob/v1/config.json", "hf:a/b@v1"),
        ("https://hf.co/a/b/", "hf:a/b"),
        ("https://elsewhere.org/a/b", "https://elsewhere.org/a/b"),
    ],
)
def test_an_address_is_taken_as_people_copy_it(typed, address):
    assert hub_address(typed) == address


def test_every_description_is_listed_with_license_size_and_figures():
    models = listed()
    assert [model["id"] for model in models] == [one.id for one in shipped_descriptions()]
    for model, one in zip(models, shipped_descriptions(), strict=True):
        assert (model["license"], model["megabytes"], model["needs"]) == (one.license.name, one.megabytes, one.needs)
        assert len(model["figures"]) == len(one.published)
        assert bool(model["figures"]) == bool(model["figures_from"])
        # What an import takes is the id: an address may hold several models.
        assert model["address"] == one.id


def test_an_address_is_found_and_keeps_the_revision_that_was_asked_for():
    one = shipped_descriptions()[0]
    (model,) = listed(address=f"{one.address}@1a2b")
    assert (model["source"], model["address"]) == (one.address, f"{one.address}@1a2b")
    (model,) = listed(address=f"https://huggingface.co/{one.address.removeprefix('hf:')}")
    assert (model["source"], model["address"]) == (one.address, model["id"])


def test_an_import_hands_on_address_description_and_consent(monkeypatch, tmp_path):
    class Package:
        id, folder = "own", tmp_path

    asked = {}
    monkeypatch.setattr(
        importer, "import_public", lambda address, **rest: asked.update(rest, address=address) or Package
    )
    fields = {"address": "hf:a/b", "description": str(tmp_path / "own.yaml"), "agreed": True}
    result = import_public(Request(1, "import_public", fields), TOOLS)
    assert result == {"folder": str(tmp_path), "id": "own"}
    assert (asked["address"], asked["description"], asked["agreed"]) == ("hf:a/b", tmp_path / "own.yaml", True)
