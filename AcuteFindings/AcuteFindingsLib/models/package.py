"""A model package on disk, read but not yet proven."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from AcuteFindingsLib.errors import ModelError
from AcuteFindingsLib.models.files import (
    CARD_TEXT,
    METADATA,
    WEIGHTS,
    read_checksums,
    read_json,
    read_text,
    require_plain_file,
    verify_files,
)
from AcuteFindingsLib.models.metadata import Card, Metadata
from AcuteFindingsLib.models.proven import verify_once

if TYPE_CHECKING:
    import torch

BuildNetwork = Callable[[str, dict[str, Any]], "torch.nn.Module"]

_NAMED_FAULTS = 3


@dataclass(frozen=True)
class ModelPackage:
    """A folder in MONAI Bundle layout whose metadata and checksum list could be read.

    Nothing of it is proven before `models.verify.verify_package` has returned.

    Attributes
    ----------
    folder
        Where the package is.
    metadata
        What `configs/metadata.json` says.
    checksums
        SHA-256 in hexadecimal of every other file, by path below `folder`.
    """

    folder: Path
    metadata: Metadata
    checksums: dict[str, str]

    @property
    def card(self) -> Card:
        """Our section of the metadata."""
        return self.metadata.acutefindings

    @property
    def id(self) -> str:
        """The name under which the model is found."""
        return self.card.id

    @property
    def version(self) -> str:
        """Version of the package."""
        return self.metadata.version

    @property
    def weights(self) -> str:
        """Path of the weights file below `folder`."""
        return next(name for name in WEIGHTS if name in self.checksums)

    @property
    def sha256(self) -> str:
        """SHA-256 of the weights file as `checksums.json` states it; proven by `verify_files`."""
        return self.checksums[self.weights]

    def summary(self) -> dict[str, Any]:
        """Return what a list shows of the model; `size` is that of its weights in bytes, None where there are none."""
        path = self.folder / self.weights
        return {
            "id": self.id,
            "task": self.card.task,
            "version": self.version,
            "title": self.card.title,
            "size": path.stat().st_size if path.is_file() else None,
            "license": self.card.license,
            "trained_on": self.card.training_data.summary,
            "folder": str(self.folder),
        }

    def file(self, name: str) -> Path:
        """Return where a file is that the card names; raises `ModelError` where it is not listed, or a link."""
        path = self.folder / name
        if name not in self.checksums:
            raise ModelError(f"{path} is named by the card but not in the model package.")
        require_plain_file(path, inside=self.folder)
        return path

    def read_card_text(self) -> str:
        """Return the model card, Markdown.

        Raises
        ------
        ModelError
            When the package has none.
        """
        return read_text(self.folder / CARD_TEXT, inside=self.folder)

    def verify_files(self) -> None:
        """Hold every file against `checksums.json`: none missing, changed or extra.

        Raises
        ------
        ModelError
            Names the first file at fault.
        """
        verify_files(self.folder, self.checksums)

    def verify_once(self) -> None:
        """Do what `verify_files` does, without reading again what has not changed since it was last read."""
        verify_once(self.folder, self.checksums)


def read_package(folder: Path | str) -> ModelPackage:
    """Read a package's metadata and checksum list; no weights are touched and torch is not needed.

    Parameters
    ----------
    folder
        The package's top folder, the one that holds `configs` and `checksums.json`.

    Raises
    ------
    ModelError
        When a file is missing or no JSON, a field of the metadata is missing or wrong, a listed path leads outside the
        package, or no weights are listed.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise ModelError(f"{folder} is not a model package: there is no such folder.")
    metadata = parse_metadata(read_json(folder / METADATA, inside=folder), source=folder / METADATA)
    return ModelPackage(folder, metadata, read_checksums(folder))


def parse_metadata(data: Any, *, source: Path) -> Metadata:
    """Check metadata against what a package must state.

    Raises
    ------
    ModelError
        Names up to three fields at fault, and `source`.
    """
    try:
        return Metadata.model_validate(data)
    except ValidationError as error:
        faults = error.errors(include_url=False, include_input=False)
        told = "; ".join(
            f"field '{'.'.join(str(part) for part in fault['loc']) or 'top level'}': {fault['msg']}"
            for fault in faults[:_NAMED_FAULTS]
        )
        more = f"; and {len(faults) - _NAMED_FAULTS} more" if len(faults) > _NAMED_FAULTS else ""
        raise ModelError(f"{source} does not describe a model: {told}{more}.") from error
