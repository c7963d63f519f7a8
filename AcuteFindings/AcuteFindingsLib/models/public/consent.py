"""Which licenses of public models the user has agreed to: asked once, kept with the day and the license's checksum.

Asked are those that do not allow commercial use; the others stand in the package and in lists.
"""

import hashlib
from pathlib import Path

from AcuteFindingsLib.errors import ConsentError, ModelError
from AcuteFindingsLib.models.agreements import Agreements
from AcuteFindingsLib.models.public.description import ImportDescription
from AcuteFindingsLib.places import settings_folder


def licenses_file() -> Path:
    """Return the file that keeps what the user agreed to, ``licenses.json`` in the folder of settings."""
    return settings_folder() / "licenses.json"


def license_text(description: ImportDescription) -> str:
    """Return what the user agrees to, as plain text: the model, its license and where both are."""
    terms = description.license
    lines = [description.title, f"License: {terms.name}", f"Source: {description.address}"]
    if terms.address:
        lines.append(f"Full text: {terms.address}")
    return "\n".join([*lines, terms.text.strip()])


def needs_consent(description: ImportDescription, *, file: Path | None = None) -> bool:
    """Return whether the user has to agree to the license before the import: not commercial, and not agreed yet.

    Raises
    ------
    ModelError
        The file is damaged.
    """
    return not description.license.commercial and not _agreements(file).has(description.id, _sha256(description))


def give_consent(description: ImportDescription, *, file: Path | None = None) -> None:
    """Remember that the user has agreed to the license as it stands in the description; raises as `needs_consent`."""
    _agreements(file).add(description.id, _sha256(description))


def withdraw_consent(description: ImportDescription, *, file: Path | None = None) -> None:
    """Forget that the user has agreed; raises as `needs_consent`."""
    _agreements(file).remove(description.id)


def require_consent(description: ImportDescription, *, file: Path | None = None) -> None:
    """Raise `ConsentError` where the user still has to agree to the license."""
    if needs_consent(description, file=file):
        raise ConsentError(
            f"{description.title} is under {description.license.name}, which does not allow commercial use. Read it "
            f"with `acutefindings models recommended --show {description.id}` and agree with --agree, or in the panel."
        )


def _sha256(description: ImportDescription) -> str:
    return hashlib.sha256(license_text(description).encode()).hexdigest()


def _agreements(file: Path | None) -> Agreements:
    return Agreements(file or licenses_file(), ModelError)
