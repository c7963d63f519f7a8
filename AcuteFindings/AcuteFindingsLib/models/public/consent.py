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


def license_text(description: ImportDescription, *, stated: str = "") -> str:
    """Return what the user agrees to, as plain text: the model, its license and where both are.

    Parameters
    ----------
    stated
        The license as the hub states it today; empty where it is not known.
    """
    terms = description.license
    lines = [description.title, f"License: {terms.name}", f"Source: {description.address}"]
    if terms.address:
        lines.append(f"Full text: {terms.address}")
    if _is_another(description, stated):
        lines.append(f"The hub states another license today: {stated}")
    return "\n".join([*lines, terms.text.strip()])


def needs_consent(description: ImportDescription, *, stated: str = "", file: Path | None = None) -> bool:
    """Return whether the user has to agree to the license before the import.

    So it is where the license does not allow commercial use, or the hub has `stated` another than the description
    names, and the user has not agreed yet.

    Raises
    ------
    ModelError
        The file is damaged.
    """
    if description.license.commercial and not _is_another(description, stated):
        return False
    return not _agreements(file).has(_name(description, stated), _sha256(description, stated))


def give_consent(description: ImportDescription, *, stated: str = "", file: Path | None = None) -> None:
    """Remember that the user has agreed to the license as it stands; raises as `needs_consent`."""
    if not description.license.commercial or _is_another(description, stated):
        _agreements(file).add(_name(description, stated), _sha256(description, stated))


def withdraw_consent(description: ImportDescription, *, file: Path | None = None) -> None:
    """Forget that the user has agreed; raises as `needs_consent`."""
    _agreements(file).remove(description.id)


def require_consent(description: ImportDescription, *, stated: str = "", file: Path | None = None) -> None:
    """Raise `ConsentError` where the user still has to agree to the license."""
    if not needs_consent(description, stated=stated, file=file):
        return
    name = description.license.name
    why = f"{description.title} is under {name}, which does not allow commercial use."
    if name.startswith("not stated"):
        why = f"No license is stated for {description.title}, so nothing allows its commercial use."
    if _is_another(description, stated):
        why = f"The hub states the license {stated} for {description.title}, not {name}, which its description names."
    raise ConsentError(
        f"{why} Read it with `acutefindings models recommended --show {description.id}` and agree with "
        "--accept-license, or in the panel."
    )


def _is_another(description: ImportDescription, stated: str) -> bool:
    return bool(stated) and stated.casefold() != description.license.name.casefold()


def _name(description: ImportDescription, stated: str) -> str:
    """Return under what an agreement is kept: that to the hub's license beside that to the description's."""
    return f"{description.id}: {stated}" if _is_another(description, stated) else description.id


def _sha256(description: ImportDescription, stated: str) -> str:
    return hashlib.sha256(license_text(description, stated=stated).encode()).hexdigest()


def _agreements(file: Path | None) -> Agreements:
    return Agreements(file or licenses_file(), ModelError)
