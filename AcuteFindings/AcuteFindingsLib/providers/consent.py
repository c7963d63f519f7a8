"""Which providers the user has agreed to: one small file in the home folder."""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from AcuteFindingsLib.errors import ConsentError, ProviderError
from AcuteFindingsLib.files import replace_when_written
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
    entry = _read(file or consent_file()).get(provider.id)
    return isinstance(entry, dict) and entry.get("terms_sha256") == provider.sha256


def give_consent(provider: Terms, *, file: Path | None = None) -> None:
    """Remember that the user has agreed, with the day and the terms' checksum."""
    target = file or consent_file()
    entry = {"terms_sha256": provider.sha256, "date": datetime.now(UTC).date().isoformat()}
    _write(target, {**_read(target), provider.id: entry})


def withdraw_consent(provider: Terms, *, file: Path | None = None) -> None:
    """Forget that the user has agreed."""
    target = file or consent_file()
    _write(target, {name: entry for name, entry in _read(target).items() if name != provider.id})


def require_consent(provider: Terms, *, file: Path | None = None) -> None:
    """Raise `ConsentError` where the user has not agreed to the provider's terms as they stand."""
    if not has_consent(provider, file=file):
        raise ConsentError(
            f"{provider.id} can be used after you agree to its license ({provider.license.split('. ')[0].rstrip('.')}"
            f"): read it with `acutefindings providers show {provider.id}` and agree with "
            f"`acutefindings providers consent {provider.id}`, or choose it in the module's model list and press Apply."
        )


def _read(file: Path) -> dict[str, Any]:
    try:
        data = json.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise ProviderError(f"{file} cannot be read ({error}); delete it and agree again.") from error
    if not isinstance(data, dict):
        raise ProviderError(f"{file} must hold one JSON object; delete it and agree again.")
    return data


def _write(file: Path, data: dict[str, Any]) -> None:
    with replace_when_written(file) as partial:
        partial.write_text(json.dumps(data, indent=2), encoding="utf-8")
