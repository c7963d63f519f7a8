"""Which providers the user has agreed to: one small file in the home folder."""

from pathlib import Path

from AcuteFindingsLib.errors import ConsentError, ProviderError
from AcuteFindingsLib.models.agreements import Agreements
from AcuteFindingsLib.places import settings_folder
from AcuteFindingsLib.providers.terms import Terms


def consent_file() -> Path:
    """Return the file that keeps the user's consents, ``providers.json`` in the folder of settings."""
    return settings_folder() / "providers.json"


def has_consent(provider: Terms, *, file: Path | None = None) -> bool:
    """Return whether the user has agreed to this provider's terms as they stand today.

    Raises
    ------
    ProviderError
        The file is damaged.
    """
    return _agreements(file).has(provider.id, provider.sha256)


def give_consent(provider: Terms, *, file: Path | None = None) -> None:
    """Remember that the user has agreed, with the day and the terms' checksum."""
    _agreements(file).add(provider.id, provider.sha256)


def withdraw_consent(provider: Terms, *, file: Path | None = None) -> None:
    """Forget that the user has agreed."""
    _agreements(file).remove(provider.id)


def require_consent(provider: Terms, *, file: Path | None = None) -> None:
    """Raise `ConsentError` where the user has not agreed to the provider's terms as they stand."""
    if not has_consent(provider, file=file):
        raise ConsentError(
            f"{provider.id} can be used after you agree to its license ({provider.license.split('. ')[0].rstrip('.')}"
            f"): read it with `acutefindings providers show {provider.id}` and agree with "
            f"`acutefindings providers consent {provider.id}`, or choose it in the module's model list and press Apply."
        )


def _agreements(file: Path | None) -> Agreements:
    return Agreements(file or consent_file(), ProviderError)
