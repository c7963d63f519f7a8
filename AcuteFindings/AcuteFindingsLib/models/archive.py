"""A model package out of a zip file, into a folder of its own; needs nothing beyond the standard library."""

import stat
import zipfile
from collections.abc import Generator
from pathlib import Path, PurePosixPath

from AcuteFindingsLib.errors import ModelError

METADATA = "configs/metadata.json"

READ_BYTES = 4 * 2**20

MOST_BYTES = 8 * 2**30
"""More than any model package takes; beyond it the archive is a trap or a mistake."""


def extract_steps(archive: Path, work: Path) -> Generator[float, None, None]:
    """Unpack the one package of a zip file into the new folder `work`, `READ_BYTES` a step.

    Yields the share that is done. What lies beside the package in the archive is left out; nothing is written outside
    `work`. After an error the caller removes `work`.

    Parameters
    ----------
    archive
        A zip file that holds one package, at its top or in a folder of its own.
    work
        Made here.

    Raises
    ------
    ModelError
        When it is no such archive, damaged, encrypted, or holds links or paths that lead outside.
    """
    try:
        with zipfile.ZipFile(archive) as packed:
            _refuse_traps(packed, archive)
            top = _top_of(packed, archive)
            work.mkdir(parents=True)
            yield from _extract(packed, top, work)
    except (zipfile.BadZipFile, OSError, EOFError, RuntimeError, NotImplementedError) as error:
        raise ModelError(f"{archive} could not be unpacked: {error}.") from error


def _refuse_traps(packed: zipfile.ZipFile, archive: Path) -> None:
    seen: set[str] = set()
    for entry in packed.infolist():
        name = entry.filename
        path = PurePosixPath(name)
        if path.is_absolute() or ".." in path.parts or "\\" in name or ":" in name:
            raise ModelError(f"{archive} wants to write outside its folder ({name}); do not use it.")
        if stat.S_ISLNK(entry.external_attr >> 16):
            raise ModelError(f"{archive} holds a link ({name}); a model package may hold plain files only.")
        if name.casefold() in seen:
            raise ModelError(f"{archive} holds {name} twice; do not use it.")
        seen.add(name.casefold())
    if sum(entry.file_size for entry in packed.infolist()) > MOST_BYTES:
        raise ModelError(f"{archive} is larger than any model package; it was not unpacked.")


def _top_of(packed: zipfile.ZipFile, archive: Path) -> PurePosixPath:
    tops = [PurePosixPath(name).parents[1] for name in packed.namelist() if f"/{name}".endswith(f"/{METADATA}")]
    if len(tops) != 1:
        raise ModelError(f"{archive} holds {len(tops)} model packages; choose a zip file of one package.")
    return tops[0]


def _extract(packed: zipfile.ZipFile, top: PurePosixPath, work: Path) -> Generator[float, None, None]:
    entries = [entry for entry in packed.infolist() if not entry.is_dir()]
    total = sum(entry.file_size for entry in entries) or 1
    written = 0
    for entry in entries:
        path = PurePosixPath(entry.filename)
        if not path.is_relative_to(top):
            continue
        target = work / path.relative_to(top)
        target.parent.mkdir(parents=True, exist_ok=True)
        with packed.open(entry) as source, target.open("wb") as stream:
            while part := source.read(READ_BYTES):
                stream.write(part)
                written += len(part)
                yield min(written / total, 1.0)
