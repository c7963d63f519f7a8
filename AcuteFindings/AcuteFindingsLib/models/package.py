"""A model package on disk: reading it, and proving that it is what it says."""

import hashlib
import stat
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from AcuteFindingsLib.errors import ModelError
from AcuteFindingsLib.models.metadata import Card, Metadata
from AcuteFindingsLib.models.plain_files import read_json, read_text
from AcuteFindingsLib.names import inner_path

if TYPE_CHECKING:
    import torch

BuildNetwork = Callable[[str, dict[str, Any]], "torch.nn.Module"]

METADATA = "configs/metadata.json"
INFERENCE = "configs/inference.json"
CARD_TEXT = "docs/README.md"
LICENSE = "LICENSE"
CHECKSUMS = "checksums.json"
# The first one that a package lists holds its weights.
WEIGHTS = ("models/model.safetensors", "models/model.pt", "models/model.ts", "models/model.onnx")

_NAMED_FAULTS = 3


@dataclass(frozen=True)
class ModelPackage:
    """A folder in MONAI Bundle layout whose metadata and checksum list could be read.

    Nothing of it is proven before `verify` has returned.

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
        """SHA-256 of the weights file as `checksums.json` states it; proven by `verify`."""
        return self.checksums[self.weights]

    def row(self) -> tuple[str, ...]:
        """Return what a list shows of the model: id, task, version, size, license, trained on, where."""
        path = self.folder / self.weights
        size = f"{path.stat().st_size / 1e6:.1f} MB" if path.is_file() else "missing"
        data = self.card.training_data
        return self.id, self.card.task, self.version, size, self.card.license, data.summary, str(self.folder)

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
        present = {path.relative_to(self.folder).as_posix(): path for path in _files_of(self.folder)}
        present.pop(CHECKSUMS, None)
        for name, expected in self.checksums.items():
            path = present.pop(name, None)
            if path is None:
                raise ModelError(f"{self.folder / name} is missing from the model package; fetch the package again.")
            if file_sha256(path) != expected:
                raise ModelError(
                    f"{path} is not the file that {CHECKSUMS} lists (its SHA-256 differs); fetch the package again."
                )
        if present:
            raise ModelError(
                f"{next(iter(present.values()))} does not belong to the model package ({CHECKSUMS} does not list it); "
                "remove the file or fetch the package again."
            )

    def verify(self, *, build: BuildNetwork | None = None) -> None:
        """Prove the whole package: checksums, then names, shapes and finite values of all tensors.

        Parameters
        ----------
        build
            Makes the network from its name and arguments; `AcuteFindingsLib.networks.build_network` when None.

        Raises
        ------
        ModelError
            Names the file, field or tensors at fault.
        """
        from AcuteFindingsLib.models.program_predictor import is_program, load_program_predictor

        if is_program(self.card.network):
            load_program_predictor(self, device="cpu")
            return
        from AcuteFindingsLib.models.safe_load import load_network

        load_network(self, build=build)


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
        raise ModelError(f"{folder} is no model package: there is no such folder.")
    metadata = parse_metadata(read_json(folder / METADATA, inside=folder), source=folder / METADATA)
    return ModelPackage(folder, metadata, _read_checksums(folder))


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


def file_sha256(path: Path) -> str:
    """Return the SHA-256 of a file's bytes in hexadecimal."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _files_of(folder: Path) -> list[Path]:
    """Every file below `folder`, sorted.

    A link is refused, since it can point outside the package, and so is what is neither file nor folder.
    """
    found = []
    for path in sorted(folder.rglob("*")):
        mode = path.lstat().st_mode
        if stat.S_ISLNK(mode):
            raise ModelError(f"{path} is a link; a model package may hold plain files only. Replace it by the file.")
        if stat.S_ISREG(mode):
            found.append(path)
        elif not stat.S_ISDIR(mode):
            raise ModelError(f"{path} is a pipe or a device; a model package may hold plain files only.")
    return found


def _read_checksums(folder: Path) -> dict[str, str]:
    path = folder / CHECKSUMS
    data = read_json(path, inside=folder)
    if not isinstance(data, dict):
        raise ModelError(f"{path} must hold one JSON object of file names and SHA-256 sums.")
    for name, value in data.items():
        try:
            inner_path(name)
        except ValueError as error:
            raise ModelError(
                f"{path} lists a file that lies outside the model package or may not be in one: {error}; do not use it."
            ) from error
        if not (isinstance(value, str) and len(value) == 64 and set(value) <= set("0123456789abcdef")):
            raise ModelError(f"{path}: the entry of {name!r} is no SHA-256 sum (64 lower-case hexadecimal digits).")
    if len({name.casefold() for name in data}) < len(data):
        raise ModelError(f"{path} lists names that differ in capitals only; not every system can hold both.")
    if METADATA not in data:
        raise ModelError(f"{path} does not list {METADATA}; fetch the package again.")
    if not any(name in data for name in WEIGHTS):
        raise ModelError(f"{path} lists no weights ({' or '.join(WEIGHTS)}); fetch the package again.")
    return data
