"""Every provider there is: those of this library, those that other packages bring, and networks of the user's own.

A package brings one with an entry point of the group `GROUP` whose value is ``"module:name"`` of a `Provider`. The
library's own are read in the same way from `BUILT_IN`.

A network of the user's own (`own_networks`) is a provider of its own, read from the folder of settings at every call.
"""

import logging
from functools import lru_cache
from importlib.metadata import entry_points

from AcuteFindingsLib.errors import ProviderError
from AcuteFindingsLib.models.task import load_reference
from AcuteFindingsLib.providers.own_networks.provider import list_own_networks
from AcuteFindingsLib.providers.provider import Provider
from AcuteFindingsLib.providers.terms import Terms

GROUP = "acutefindings.providers"

BUILT_IN = (
    "AcuteFindingsLib.providers.blast_ct.provider:PROVIDER",
    "AcuteFindingsLib.providers.torchxrayvision.provider:PROVIDER",
    "AcuteFindingsLib.providers.totalsegmentator.provider:PROVIDER",
)
"""The providers of this library, in the order in which lists show them."""


_log = logging.getLogger(__name__)


def list_providers() -> tuple[Provider, ...]:
    """Return every provider: those of packages first, then the networks that the user has added.

    One whose name is in use is left out.
    """
    packaged = packaged_providers()
    names = {provider.terms.id for provider in packaged}
    return (*packaged, *(own for own in list_own_networks() if own.terms.id not in names))


@lru_cache(maxsize=1)
def packaged_providers() -> tuple[Provider, ...]:
    """Return the providers that packages bring: this library's own first, then those of other packages.

    One of another package that cannot be imported, or has a name that is in use, is named in a warning and left out.
    """
    found: dict[str, Provider] = {}
    for reference in BUILT_IN:
        provider: Provider = load_reference(reference)
        found[provider.terms.id] = provider
    for reference in sorted({point.value for point in entry_points(group=GROUP)} - set(BUILT_IN)):
        try:
            provider = load_reference(reference)
            name = provider.terms.id
        # The code of another package may fail in any way; the other providers work without it.
        except Exception as error:
            told = " ".join(str(error).split()) or type(error).__name__
            _log.warning("The provider %s of another package was left out: %s.", reference, told.rstrip("."))
            continue
        if name in found:
            _log.warning("The provider %s was left out: the name %r is in use.", reference, name)
            continue
        found[name] = provider
    return tuple(found.values())


def find_provider(name: str) -> Provider:
    """Return the provider with this id.

    Raises
    ------
    ProviderError
        There is none; names those there are.
    """
    providers = {provider.terms.id: provider for provider in list_providers()}
    if name not in providers:
        raise ProviderError(f"There is no provider {name!r}; choose one of {', '.join(providers)}.")
    return providers[name]


def list_terms(task: str | None = None) -> list[Terms]:
    """List the terms of the providers for one task, or of all."""
    return [provider.terms for provider in list_providers() if task is None or task in provider.terms.tasks]


def find_terms(name: str) -> Terms:
    """Return the terms of the provider with this id; raises as `find_provider`."""
    return find_provider(name).terms
