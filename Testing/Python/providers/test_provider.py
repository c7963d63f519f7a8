import json

import pytest

from AcuteFindingsLib.errors import ProviderError
from AcuteFindingsLib.providers.provider import TERMS, find_provider, list_providers


def test_the_three_providers_are_listed_with_license_and_citation() -> None:
    providers = list_providers()
    assert [provider.id for provider in providers] == ["blast-ct", "torchxrayvision", "totalsegmentator"]
    for provider in providers:
        assert provider.license
        assert provider.citations
        assert provider.license in provider.terms
        assert all(citation in provider.terms for citation in provider.citations)


def test_providers_are_listed_by_task() -> None:
    assert [provider.id for provider in list_providers("hemorrhage")] == ["blast-ct", "totalsegmentator"]
    assert [provider.id for provider in list_providers("pneumothorax")] == ["torchxrayvision"]
    assert [provider.id for provider in list_providers("pe")] == ["totalsegmentator"]


def test_the_licensed_task_is_named_in_the_terms() -> None:
    assert "heartchambers_highres" in find_provider("totalsegmentator").terms


def test_an_unknown_provider_is_refused_with_the_known_ones() -> None:
    with pytest.raises(ProviderError, match="blast-ct, torchxrayvision, totalsegmentator"):
        find_provider("nothing")


def test_changed_terms_have_another_checksum(tmp_path) -> None:
    from AcuteFindingsLib.providers.provider import read_provider

    data = json.loads((TERMS / "blast-ct.json").read_text(encoding="utf-8"))
    changed = tmp_path / "blast-ct.json"
    changed.write_text(json.dumps({**data, "license": "Another"}), encoding="utf-8")
    assert read_provider(changed).terms_sha256 != find_provider("blast-ct").terms_sha256
