"""The files of a model package: what they are called, their checksums, and small texts read within limits.

Nothing in them is followed or run. Needs the standard library only: the application lists models before pydantic or
torch are installed.
"""

import hashlib
import json
import stat
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

from AcuteFindingsLib import json_text
from AcuteFindingsLib.budgets import budgets
from AcuteFindingsLib.errors import ModelError
from AcuteFindingsLib.names import inner_path

METADATA = "configs/metadata.json"
INFERENCE = "configs/inference.json"
CARD_TEXT = "docs/README.md"
LICENSE = "LICENSE"
CHECKSUMS = "checksums.json"
# The first one that a package lists holds its weights.
WEIGHTS = ("models/model.safetensors", "models/model.pt", "models/model.ts", "models/model.onnx")

READ_BYTES = 4 * 2**20
"""How much of a file is read at a step, where the application works between the steps."""

_MOST_VALUES = 1_000_000


def require_plain_file(path: Path, *, inside: Path | None = None) -> None:
    """Refuse what is no file of its own: a link, a pipe, a device, or one that links lead out of `inside`.

    Raises
    ------
    ModelError
        Names the file.
    """
    try:
        mode = path.lstat().st_mode
        outside = inside is not None and not path.resolve().is_relative_to(inside.resolve())
    except FileNotFoundError as error:
        raise missing(path) from error
    except (OSError, ValueError, RuntimeError) as error:
        raise ModelError(f"{path} could not be read: {error}.") from error
    if stat.S_ISLNK(mode) or outside:
        raise ModelError(f"{path} is a link; a model package can hold only plain files. Replace it by the file.")
    if not stat.S_ISREG(mode):
        raise ModelError(f"{path} is not a file (a folder, pipe or device); do not use this package.")


def read_text(path: Path, *, inside: Path | None = None) -> str:
    """Return the text of a small file of a package; raises `ModelError` as `require_plain_file`."""
    require_plain_file(path, inside=inside)
    try:
        if path.stat().st_size > budgets().settings_bytes:
            raise ModelError(
                f"{path} is larger than {budgets().settings_bytes >> 20} MB, more than such a file needs; "
                "do not use it."
            )
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ModelError(f"{path} could not be read: {error}.") from error


def read_json(path: Path, *, inside: Path | None = None) -> Any:
    """Return what a small JSON file of a package holds; raises `ModelError` as `read_text` and `parse_json`."""
    return parse_json(read_text(path, inside=inside), source=str(path))


def parse_json(text: str | bytes, *, source: str) -> Any:
    """Return what JSON holds, within the limits of `require_bounded`.

    Raises
    ------
    ModelError
        Names `source`.
    """
    try:
        data = json_text.parse_json(text.encode("utf-8", "surrogatepass") if isinstance(text, str) else text)
    except json.JSONDecodeError as error:
        raise ModelError(f"{source} is not valid JSON: {error}.") from error
    except ValueError as error:
        raise ModelError(f"{source} {error}; do not use it.") from error
    return require_bounded(data, source=source)


def require_bounded(data: Any, *, source: str) -> Any:
    """Return `data` where its depth is within `Budgets.nesting` and it holds no more than a million values.

    Raises
    ------
    ModelError
        Names `source`.
    """
    level, depth, count = [data], 0, 0
    while level:
        count += len(level)
        if depth > budgets().nesting:
            raise ModelError(_too_deep(source))
        if count > _MOST_VALUES:
            raise ModelError(f"{source} holds more than {_MOST_VALUES:,} values; do not use it.")
        inner: list[Any] = []
        for item in level:
            if isinstance(item, dict):
                inner.extend(item.values())
            elif isinstance(item, list | tuple):
                inner.extend(item)
        level, depth = inner, depth + 1
    return data


def read_checksums(folder: Path) -> dict[str, str]:
    """Return what `checksums.json` of a package lists: SHA-256 in hexadecimal by path below `folder`.

    Raises
    ------
    ModelError
        When it is missing or no such list, or lists a path that leads outside, no metadata or no weights.
    """
    path = folder / CHECKSUMS
    data = read_json(path, inside=folder)
    if not isinstance(data, dict):
        raise ModelError(f"{path} must hold one JSON object of file names and SHA-256 sums.")
    for name, value in data.items():
        try:
            inner_path(name)
        except ValueError as error:
            raise ModelError(
                f"{path} lists a file that lies outside the model package or is not allowed in one: {error}; do not "
                "use it."
            ) from error
        if not (isinstance(value, str) and len(value) == 64 and set(value) <= set("0123456789abcdef")):
            raise ModelError(
                f"{path}: the entry of {name!r} is not a SHA-256 checksum (64 lower-case hexadecimal digits)."
            )
    if len({name.casefold() for name in data}) < len(data):
        raise ModelError(f"{path} lists names that differ in capitals only; not every system can hold both.")
    if METADATA not in data:
        raise ModelError(f"{path} does not list {METADATA}; fetch the package again.")
    if not any(name in data for name in WEIGHTS):
        raise ModelError(f"{path} lists no weights ({' or '.join(WEIGHTS)}); fetch the package again.")
    return data


def verify_files(folder: Path, checksums: Mapping[str, str], *, known: Collection[str] = ()) -> None:
    """Check every file of a package against its checksum: none missing, changed or extra.

    Those `known` to be what they should be are not read; they must be there all the same.

    Raises
    ------
    ModelError
        Names the first file at fault.
    """
    for _ in verify_steps(folder, checksums, known=known):
        pass


def verify_steps(folder: Path, checksums: Mapping[str, str], *, known: Collection[str] = ()) -> Iterator[float]:
    """Do what `verify_files` does, `READ_BYTES` a step; yields the share that is read."""
    present = {path.relative_to(folder).as_posix(): path for path in files_of(folder)}
    present.pop(CHECKSUMS, None)
    total = sum(path.stat().st_size for path in present.values()) or 1
    read = 0
    for name, expected in checksums.items():
        path = present.pop(name, None)
        if path is None:
            raise missing(folder / name)
        if name in known:
            continue
        digest = hashlib.sha256()
        with path.open("rb") as stream:
            while part := stream.read(READ_BYTES):
                digest.update(part)
                read += len(part)
                yield min(read / total, 1.0)
        if digest.hexdigest() != expected:
            raise changed(path)
    if present:
        raise ModelError(
            f"{next(iter(present.values()))} does not belong to the model package ({CHECKSUMS} does not list it); "
            "remove the file or fetch the package again."
        )


def missing(path: Path) -> ModelError:
    """Return the error of a file that is not there."""
    return ModelError(f"{path} is missing from the model package; fetch the package again.")


def changed(path: Path) -> ModelError:
    """Return the error of a file whose checksum is another one."""
    return ModelError(f"{path} is not the file that {CHECKSUMS} lists (its SHA-256 differs); fetch the package again.")


def package_folders(place: Path) -> list[Path]:
    """Return the package folders of a place: the place itself where it is one, else those in it, by name.

    Any other folder is left out: a place may hold more than models. A hidden one is a package in the making.

    Raises
    ------
    ModelError
        When the place cannot be looked into.
    """
    if (place / METADATA).is_file():
        return [place]
    if not place.is_dir():
        return []
    try:
        inside = [path for path in sorted(place.iterdir()) if path.is_dir() and not path.name.startswith(".")]
    except OSError as error:
        raise ModelError(f"{place} cannot be searched for models: {error.strerror or error}.") from error
    return [folder for folder in inside if (folder / METADATA).parent.is_dir()]


def file_sha256(path: Path) -> str:
    """Return the SHA-256 of a file's bytes in hexadecimal."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def files_of(folder: Path) -> list[Path]:
    """Return every file below `folder`, sorted.

    A link is refused, since it can point outside the package, and so is what is neither file nor folder.
    """
    found = []
    for path in sorted(folder.rglob("*")):
        mode = path.lstat().st_mode
        if stat.S_ISLNK(mode):
            raise ModelError(f"{path} is a link; a model package can hold only plain files. Replace it by the file.")
        if stat.S_ISREG(mode):
            found.append(path)
        elif not stat.S_ISDIR(mode):
            raise ModelError(f"{path} is a pipe or a device; a model package can hold only plain files.")
    return found


def _too_deep(source: str) -> str:
    return f"{source} is nested more than {budgets().nesting} levels deep; do not use it."
