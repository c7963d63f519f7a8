"""Importing models for the detectors there are: the general forms of file, and those that only one detector has."""

from collections.abc import Callable
from dataclasses import replace as changed
from pathlib import Path

from AcuteFindingsLib.detectors.registry import importers, model_tasks
from AcuteFindingsLib.models.importing import import_model as general
from AcuteFindingsLib.models.importing import recognize as seen
from AcuteFindingsLib.models.importing.converted import Options
from AcuteFindingsLib.models.importing.import_model import Identity
from AcuteFindingsLib.models.importing.proof import Say
from AcuteFindingsLib.models.metadata import Card
from AcuteFindingsLib.models.package import ModelPackage
from AcuteFindingsLib.models.task import load_reference
from AcuteFindingsLib.progress import Cancelled, Progress, never_cancelled, no_progress


def architectures() -> dict[str, str]:
    """Return what can be imported, by the name to give, with what it is."""
    return {importer.name: importer.told for importer in importers()} | general.architectures()


def recognize(path: Path) -> str:
    """Return the architecture that a file's ending and content show, as `architectures` names it.

    Raises
    ------
    ModelError
        When the file is damaged, would run code, or is none that can be imported.
    """
    for importer in importers():
        if importer.recognize and load_reference(importer.recognize)(path):
            return importer.name
    return seen.recognize(path)


def import_model(
    path: Path | str,
    *,
    architecture: str,
    out: Path | str,
    options: Options | None = None,
    identity: Identity | None = None,
    prove: bool = True,
    say: Say | None = None,
    replace: bool = False,
    described: Callable[[Card], Card] | None = None,
    progress: Progress = no_progress,
    cancelled: Cancelled = never_cancelled,
) -> ModelPackage:
    """Import a model for one of the detectors' tasks.

    Parameters and errors are those of `models.importing.import_model.import_model`; `architecture` is one of
    `architectures`.
    """
    return general.import_model(
        path,
        architecture=architecture,
        out=out,
        options=changed(options or Options(), tasks=model_tasks()),
        identity=identity,
        prove=prove,
        say=say,
        replace=replace,
        described=described,
        more={importer.name: load_reference(importer.convert) for importer in importers()},
        progress=progress,
        cancelled=cancelled,
    )
