from dataclasses import replace

import pytest

from AcuteFindingsLib.errors import ConsentError, ProviderError
from AcuteFindingsLib.providers.consent import (
    consent_file,
    give_consent,
    has_consent,
    require_consent,
    withdraw_consent,
)


def test_nothing_is_agreed_to_at_first(providers) -> None:
    provider = providers["blast-ct"]
    assert not has_consent(provider)
    with pytest.raises(ConsentError, match="acutefindings providers consent blast-ct"):
        require_consent(provider)


def test_consent_is_kept_for_that_provider_alone_and_can_be_withdrawn(providers) -> None:
    give_consent(providers["blast-ct"])
    require_consent(providers["blast-ct"])
    assert not has_consent(providers["torchxrayvision"])
    withdraw_consent(providers["blast-ct"])
    assert not has_consent(providers["blast-ct"])


def test_consent_lapses_where_the_terms_change(providers) -> None:
    give_consent(providers["blast-ct"])
    assert not has_consent(replace(providers["blast-ct"], license="Another"))


def test_the_file_says_when_and_to_what_but_not_who(providers, home) -> None:
    give_consent(providers["blast-ct"])
    assert consent_file().is_relative_to(home)
    text = consent_file().read_text(encoding="utf-8")
    assert providers["blast-ct"].sha256 in text
    assert str(home) not in text


@pytest.mark.parametrize("text", ["no json", "[1]"])
def test_a_damaged_file_is_named(providers, text) -> None:
    consent_file().parent.mkdir(parents=True)
    consent_file().write_text(text, encoding="utf-8")
    with pytest.raises(ProviderError, match=r"providers\.json"):
        has_consent(providers["blast-ct"])
