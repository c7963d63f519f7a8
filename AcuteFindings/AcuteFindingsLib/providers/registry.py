"""Every provider there is: those of this library, and those that other packages bring.

A package brings one with an entry point of the group `GROUP` whose value is ``"module:name"`` of a `Provider`. The
library's own are read in the same way from `BUILT_IN`.
"""

from functools import lru_cache
from importlib.metadata import entry_points

from AcuteFindingsLib.errors import ProviderError
from AcuteFindingsLib.models.task import load_reference
from AcuteFindingsLib.providers.provider import Provider
from AcuteFindingsLib.providers.terms import Terms

GROUP = "acutefindings.providers"

BUILT_IN = (
    "AcuteFindingsLib.providers.blast_ct.provider:PROVIDER",
    "AcuteFindingsLib.providers.torchxrayvision.provider:PROVIDER",
    "AcuteFindingsLib.providers.totalsegmentator.provider:PROVIDER",
)
"""The providers of this library, in the order in which lists show them."""


@lru_cache(maxsize=1)
def list_providers() -> tuple[Provider, ...]:
    """Return every provider: this library's own first, then those of other packages by name.

    Raises
    ------
    ProviderError
        One of another package cannot be imported, or has the name of another one.
    """
    brought = sorted({point.value for point in entry_points(group=GROUP)} - set(BUILT_IN))
    found: dict[str, Provider] = {}
    for reference in (*BUILT_IN, *brought):
        try:
            provider: Provider = load_reference(reference)
            name = provider.terms.id
        except (ImportError, AttributeError) as error:
            raise ProviderError(
                f"The provider {reference} of another package cannot be imported ({error}); update or uninstall it."
            ) from error
        if name in found:
            raise ProviderError(f"Two providers are called {name!r}, one of them {reference}; uninstall one of them.")
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
