"""Which models a client may name: ids of what is installed, never a path."""

from collections.abc import Sequence
from pathlib import Path

from AcuteFindingsLib.models.find import DamagedPackage, list_packages
from AcuteFindingsLib.models.package import ModelPackage
from AcuteFindingsLib.providers.registry import list_providers
from AcuteFindingsLib.serve.problem import Problem


def packages(folders: Sequence[Path]) -> list[ModelPackage]:
    """Return the models that are installed and whole."""
    return [one for one in list_packages(folders=folders) if not isinstance(one, DamagedPackage)]


def known_model(named: str, folders: Sequence[Path]) -> str | None:
    """Return the model that a client names, None where it names none.

    Raises
    ------
    Problem
        There is none of that name. A path is none: it would be read on the server.
    """
    if not named:
        return None
    ids = {one.id for one in packages(folders)}
    providers = {provider.terms.id for provider in list_providers()}
    base, plus, provider = named.rpartition("+")
    if named in ids or named in providers or (plus and base in ids and provider in providers):
        return named
    raise Problem(422, "There is no such model on this server; choose one of those that /api/v1/models names.")
