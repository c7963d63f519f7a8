"""Which licenses of public models the user has agreed to: asked once, kept with the day and the license's checksum."""

from pathlib import Path

from AcuteFindingsLib.models.public.description import ImportDescription


def needs_consent(description: ImportDescription, *, file: Path | None = None) -> bool:
    """Return whether the user has to agree to the license before the import: not commercial, and not agreed yet."""
    raise NotImplementedError


def give_consent(description: ImportDescription, *, file: Path | None = None) -> None:
    """Remember that the user has agreed to the license as it stands in the description."""
    raise NotImplementedError
