"""CITATION.cff is what `cffconvert --validate` takes, as far as its required fields go, and says what README says."""

import yaml
from blocks import ROOT

from AcuteFindingsLib import __version__

CITATION = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))


def test_required_fields_are_there_and_the_version_is_the_librarys():
    assert {"cff-version", "message", "title", "authors"} <= set(CITATION)
    assert CITATION["cff-version"] == "1.2.0"
    assert (CITATION["type"], CITATION["license"], CITATION["version"]) == ("software", "Apache-2.0", __version__)
    assert all({"type", "title", "authors"} <= set(reference) for reference in CITATION["references"])


def test_what_it_refers_to_stands_in_the_readme():
    readme = " ".join((ROOT / "README.md").read_text(encoding="utf-8").split())
    for reference in CITATION["references"]:
        assert reference["title"].lower() in readme.lower()
        assert reference.get("doi", "") in readme
