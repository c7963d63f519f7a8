import json

import pytest

from AcuteFindingsLib.errors import ProviderError
from AcuteFindingsLib.providers.registry import find_provider, find_terms, list_terms


def test_the_three_providers_are_listed_with_license_and_citation() -> None:
    providers = list_terms()
    assert [provider.id for provider in providers] == ["blast-ct", "torchxrayvision", "totalsegmentator"]
    for provider in providers:
        assert provider.license
        assert provider.citations
        assert provider.license in provider.text
        assert all(citation in provider.text for citation in provider.citations)


def test_providers_are_listed_by_task() -> None:
    assert [provider.id for provider in list_terms("hemorrhage")] == ["blast-ct", "totalsegmentator"]
    assert [provider.id for provider in list_terms("pneumothorax")] == ["torchxrayvision"]
    assert [provider.id for provider in list_terms("pe")] == ["totalsegmentator"]


def test_the_licensed_task_is_named_in_the_terms() -> None:
    assert "heartchambers_highres" in find_terms("totalsegmentator").text


def test_an_unknown_provider_is_refused_with_the_known_ones() -> None:
    with pytest.raises(ProviderError, match="blast-ct, torchxrayvision, totalsegmentator"):
        find_provider("nothing")


def test_changed_terms_have_another_checksum(tmp_path) -> None:
    from AcuteFindingsLib.providers.terms import read_terms

    data = json.loads(find_terms("blast-ct").file.read_text(encoding="utf-8"))
    changed = tmp_path / "blast-ct.json"
    changed.write_text(json.dumps({**data, "license": "Another"}), encoding="utf-8")
    assert read_terms(changed).sha256 != find_terms("blast-ct").sha256
