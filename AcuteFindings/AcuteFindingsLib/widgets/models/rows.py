"""Which model packages there are, read with nothing but the standard library: a panel opens before torch is installed.

The rules are those of `AcuteFindingsLib.models`, which the worker process applies again, and in full, before it loads
any weights.
"""

import json
import struct
from collections.abc import Generator, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from AcuteFindingsLib.errors import AcuteFindingsError, ModelError
from AcuteFindingsLib.models.default_model import Choice, choose_default, chosen_defaults, chosen_since, newest
from AcuteFindingsLib.models.evidence import SAW_PHANTOMS, evidence_rank, figures
from AcuteFindingsLib.models.files import (
    METADATA,
    READ_BYTES,
    WEIGHTS,
    changed,
    file_sha256,
    missing,
    package_folders,
    read_checksums,
    read_json,
    verify_steps,
)
from AcuteFindingsLib.models.task import PART
from AcuteFindingsLib.places import models_cache
from AcuteFindingsLib.resources import resource_path

SMALL_BYTES = 2**20
"""Files up to this size are checked against their checksum whenever the list is made; larger ones by `check_steps`."""

PROVIDER = "provider"
"""The place of a model whose weights come through a package of their own."""

FOLDERS_KEY = "AcuteFindings/ModelFolders"


@dataclass(frozen=True)
class ModelRow:
    """What a list shows of a model package.

    Attributes
    ----------
    id, task, title, version, license, trained_on
        As the package's metadata says; a package that cannot be read has its folder's name as `id` and no `task`.
    size_mb
        Size of the weights in megabytes (10⁶ bytes).
    phantoms_only
        Whether the model has never seen a patient's image.
    folder
        Where it is.
    place
        ``"shipped"``, ``"downloaded"`` (the cache), ``"added"`` (a folder that the user named) or ``"provider"`` (its
        weights come through a package of their own; see `widgets.provider_rows`).
    error
        Why it cannot be used, in one sentence; empty where nothing is known against it.
    rank
        Where it stands in a list by evidence (`models.evidence.evidence_rank`).
    figures
        How good it is, in words, each figure with its origin.
    """

    id: str
    task: str
    title: str
    version: str
    size_mb: float
    license: str
    trained_on: str
    phantoms_only: bool
    folder: Path
    place: str = "added"
    error: str = ""
    rank: int = SAW_PHANTOMS
    figures: tuple[str, ...] = ()

    @property
    def shipped(self) -> bool:
        """Whether it came with the extension, and so cannot be deleted."""
        return self.place in ("shipped", PROVIDER)


def user_folders(settings: Any) -> list[Path]:
    """Return the folders that the user added and that are there, from the application's settings (a `QSettings`)."""
    try:
        names = json.loads(settings.value(FOLDERS_KEY, "[]") or "[]")
    except (TypeError, ValueError):
        return []
    folders = [Path(name) for name in names if isinstance(name, str)] if isinstance(names, list) else []
    return [folder for folder in folders if folder.is_dir()]


def set_user_folders(settings: Any, folders: Iterable[Path]) -> None:
    """Remember the folders that the user added, each once, in their order."""
    settings.setValue(FOLDERS_KEY, json.dumps(list(dict.fromkeys(str(folder) for folder in folders))))


def list_rows(
    folders: Iterable[Path] = (), *, task: str | None = None, cache: Path | None = None, shipped: Path | None = None
) -> list[ModelRow]:
    """List model packages: those in the user's folders, the cache, what ships; inside each by id.

    Of packages with the same id the newest version is listed, because it is the one that is used; of equal versions
    the first one found. Packages that cannot be read are listed last, with their error.

    Parameters
    ----------
    folders
        Packages, or folders of packages.
    task
        What the models answer for; all when None. A package that cannot be read belongs to every task.
    cache, shipped
        Where else to look; by default `models_cache` and the extension's ``Resources/Models``.
    """
    found: list[ModelRow] = []
    unreadable: list[ModelRow] = []
    for place, kind in _places(folders, cache, shipped):
        for row in rows_in(place, kind=kind):
            if row.task:
                found.append(row)
            else:
                unreadable.append(row)
    return [row for row in (*newest(found).values(), *unreadable) if task is None or row.task in ("", task)]


def default_choices(rows: Iterable[ModelRow]) -> dict[str, Choice[ModelRow]]:
    """Return, by task, the package that is used if none is named, and why: as `models.find.default_choice`.

    Parameters
    ----------
    rows
        In the order of `list_rows`.
    """
    made = [row for row in rows if row.task not in ("", PART) and row.place != PROVIDER]
    try:
        chosen, since = chosen_defaults(), chosen_since()
    except ModelError:
        # The run itself says that the file of choices is damaged.
        chosen, since = {}, {}
    shipped = _shipped_versions()
    choices = {}
    for task in {row.task for row in made}:
        choice = choose_default(
            [row for row in made if row.task == task],
            shipped=shipped,
            chosen=chosen.get(task),
            since=since.get(task, ""),
        )
        if choice is not None:
            choices[task] = choice
    return choices


def _shipped_versions() -> dict[str, str]:
    try:
        folders = package_folders(resource_path("Models"))
    except AcuteFindingsError:
        return {}  # a build without models is whole all the same
    versions = {}
    for folder in folders:
        with suppress(AcuteFindingsError, KeyError, TypeError):  # a damaged one; the list says what is wrong with it
            metadata = read_json(folder / METADATA, inside=folder)
            versions[str(metadata["acutefindings"]["id"])] = str(metadata["version"])
    return versions


def rows_in(place: Path, *, kind: str = "added") -> list[ModelRow]:
    """List the packages of one place, by id: the place itself where it is a package, else the folders in it."""
    return sorted((read_row(folder, place=kind) for folder in package_folders(place)), key=lambda row: row.id)


def read_row(folder: Path, *, place: str = "added") -> ModelRow:
    """Read what a package says of itself and what is at once seen to be wrong with it; never raises."""
    try:
        metadata = read_json(folder / METADATA, inside=folder)
        card = metadata["acutefindings"]
        checksums = read_checksums(folder)
        data = card["training_data"]
        weights = next(name for name in WEIGHTS if name in checksums)
        path = folder / weights
        row = ModelRow(
            id=str(card["id"]),
            task=str(card["task"]),
            title=str(card["title"]),
            version=str(metadata["version"]),
            size_mb=path.stat().st_size / 1e6 if path.is_file() else 0.0,
            license=str(card["licence" if "licence" in card else "license"]),
            trained_on=str(data["summary"]),
            phantoms_only=bool(data["phantoms_only"]),
            folder=folder,
            place=place,
            error=_fault(folder, checksums),
            rank=evidence_rank(card),
            figures=figures(card),
        )
    except (AcuteFindingsError, OSError) as error:
        return _unreadable(folder, place, str(error))
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        return _unreadable(folder, place, f"{folder / METADATA} does not describe a model ({error!r}).")
    return row


def signature(folder: Path) -> tuple[tuple[str, int, int], ...]:
    """Return name, size and time of every file of a package: where it has not changed, a check need not be repeated."""
    paths = sorted(path for path in folder.rglob("*") if path.is_file())
    facts = [(path.relative_to(folder).as_posix(), path.stat()) for path in paths]
    return tuple((name, stat.st_size, stat.st_mtime_ns) for name, stat in facts)


def check_steps(folder: Path) -> Generator[float, None, str]:
    """Check every file of a package against its checksum, step by step.

    Yields the share that is read; returns the error in one sentence, or ``""`` where every file is what it should be.
    A provider has no files here that could be checked.
    """
    if folder.is_file():
        return ""
    try:
        checksums = read_checksums(folder)
        fault = _fault(folder, {name: value for name, value in checksums.items() if name not in WEIGHTS})
        if fault:
            return fault
        yield from verify_steps(folder, checksums)
    except (AcuteFindingsError, OSError) as error:
        return str(error)
    return ""


def _places(folders: Iterable[Path], cache: Path | None, shipped: Path | None) -> Iterator[tuple[Path, str]]:
    for folder in folders:
        yield Path(folder), "added"
    yield cache or models_cache(), "downloaded"
    if shipped is None:
        try:
            shipped = resource_path("Models")
        except AcuteFindingsError:
            return  # a build without models is whole all the same
    yield shipped, "shipped"


def _unreadable(folder: Path, place: str, error: str) -> ModelRow:
    return ModelRow(folder.name, "", folder.name, "", 0.0, "", "", False, folder, place, error)


def _fault(folder: Path, checksums: dict[str, str]) -> str:
    """Return what can be seen without reading the weights: files missing, small files changed, weights cut short."""
    for name, expected in checksums.items():
        path = folder / name
        if not path.is_file():
            return str(missing(path))
        if path.stat().st_size <= SMALL_BYTES:
            if file_sha256(path) != expected:
                return str(changed(path))
        elif path.suffix == ".safetensors" and path.stat().st_size != _safetensors_size(path):
            return f"{path} is truncated or too long; fetch the package again."
    return ""


def _safetensors_size(path: Path) -> int:
    """Return the size that a safetensors file's header announces.

    The file is the header's length (8 bytes, little-endian), the header (JSON) and the tensors, whose offsets the
    header lists (https://huggingface.co/docs/safetensors, "Format").
    """
    with path.open("rb") as stream:
        (length,) = struct.unpack("<Q", stream.read(8))
        if length > READ_BYTES * 4:
            return -1
        try:
            header = json.loads(stream.read(length))
            ends = [entry["data_offsets"][1] for name, entry in header.items() if name != "__metadata__"]
        except (ValueError, KeyError, TypeError, IndexError, AttributeError):
            return -1
    return 8 + length + max(ends, default=0)
