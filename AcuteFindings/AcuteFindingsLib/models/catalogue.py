"""Models as plain data, for a command line or a table to print."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from AcuteFindingsLib.errors import ModelError
from AcuteFindingsLib.models.find import DamagedPackage, list_packages
from AcuteFindingsLib.models.package import BuildNetwork, ModelPackage


def list_models(
    *, folders: Iterable[Path | str] = (), cache: Path | None = None, shipped: Path | None = None
) -> list[dict[str, Any]]:
    """Return one row a model, in the order in which they are found: what to show in a list.

    Rows of damaged packages have `error` and empty fields; all others an empty `error`.
    """
    return [_row(package) for package in list_packages(folders=folders, cache=cache, shipped=shipped)]


def show_model(package: ModelPackage) -> dict[str, Any]:
    """Return everything that a package says about itself, with the model card's text under ``text``."""
    size = (package.folder / package.weights).stat().st_size if (package.folder / package.weights).is_file() else 0
    return {
        **_row(package),
        "weights": package.weights,
        "weights_bytes": size,
        "description": package.metadata.description,
        "authors": package.metadata.authors,
        "copyright": package.metadata.copyright,
        "changelog": package.metadata.changelog,
        "card": package.card.model_dump(mode="json"),
        "text": package.read_card_text(),
    }


def verify_model(package: ModelPackage, *, build: BuildNetwork | None = None) -> dict[str, Any]:
    """Verify a package; return its row with `error` empty where it is whole."""
    try:
        package.verify(build=build)
    except ModelError as error:
        return {**_row(package), "error": str(error)}
    return _row(package)


def _row(package: ModelPackage | DamagedPackage) -> dict[str, Any]:
    row: dict[str, Any] = {"id": package.id, "folder": str(package.folder)}
    if isinstance(package, DamagedPackage):
        empty = {"task": "", "title": "", "version": "", "sha256": "", "trained_on": "", "phantoms_only": None}
        return {**row, **empty, "licence": "", "error": package.error}
    card = package.card
    return {
        **row,
        "task": card.task,
        "title": card.title,
        "version": package.version,
        "sha256": package.sha256,
        "trained_on": card.training_data.summary,
        "phantoms_only": card.training_data.phantoms_only,
        "licence": card.licence,
        "error": "",
    }
