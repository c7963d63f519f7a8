"""A model package that comes as one zip file, unpacked into the folder of downloaded packages."""

import shutil
import uuid
import zipfile
from collections.abc import Generator
from pathlib import Path, PurePosixPath

from AcuteFindingsLib.errors import ModelError
from AcuteFindingsLib.widgets.model_rows import METADATA, check_steps, default_cache, read_row

READ_BYTES = 4 * 2**20

MOST_BYTES = 8 * 2**30
"""More than any model package takes; beyond it the archive is a trap or a mistake."""


def unpack_steps(archive: Path, cache: Path | None = None) -> Generator[float, None, Path]:
    """Unpack, check, and only then move into place; `READ_BYTES` a step.

    Yields the share that is done; returns the package's folder, named after the model's id.

    Parameters
    ----------
    archive
        A zip file that holds one package, at its top or in a folder of its own.
    cache
        Where packages are kept; `default_cache` when None.

    Raises
    ------
    ModelError
        When it is no such archive, the package in it is damaged, or one with its id is there already.
    """
    cache = cache or default_cache()
    work = cache / f".{uuid.uuid4().hex[:8]}.partial"
    try:
        with zipfile.ZipFile(archive) as packed:
            top = _top_of(packed, archive)
            work.mkdir(parents=True)
            yield from _extract(packed, top, work, archive)
        row = read_row(work)
        error = row.error or (yield from _second_half(work))
        if error:
            raise ModelError(error.replace(str(work), archive.name))
        target = cache / row.id
        if target.exists():
            raise ModelError(f"There is a model {row.id!r} in {target} already; delete it first.")
        work.rename(target)
        return target
    except (zipfile.BadZipFile, OSError, RuntimeError, NotImplementedError) as error:
        raise ModelError(f"{archive} could not be unpacked: {error}.") from error
    finally:
        shutil.rmtree(work, ignore_errors=True)


def _top_of(packed: zipfile.ZipFile, archive: Path) -> PurePosixPath:
    tops = [PurePosixPath(name).parents[1] for name in packed.namelist() if f"/{name}".endswith(f"/{METADATA}")]
    if len(tops) != 1:
        raise ModelError(f"{archive} holds {len(tops)} model packages; choose a zip file of one package.")
    if sum(entry.file_size for entry in packed.infolist()) > MOST_BYTES:
        raise ModelError(f"{archive} is larger than any model package; it was not unpacked.")
    return tops[0]


def _extract(packed: zipfile.ZipFile, top: PurePosixPath, work: Path, archive: Path) -> Generator[float, None, None]:
    entries = [entry for entry in packed.infolist() if not entry.is_dir()]
    total = sum(entry.file_size for entry in entries) or 1
    written = 0
    for entry in entries:
        path = PurePosixPath(entry.filename)
        if path.is_absolute() or ".." in path.parts or "\\" in entry.filename or ":" in entry.filename:
            raise ModelError(f"{archive} wants to write outside its folder ({entry.filename}); do not use it.")
        if not path.is_relative_to(top):
            continue
        target = work / path.relative_to(top)
        target.parent.mkdir(parents=True, exist_ok=True)
        with packed.open(entry) as source, target.open("wb") as stream:
            while part := source.read(READ_BYTES):
                stream.write(part)
                written += len(part)
                yield 0.5 * min(written / total, 1.0)


def _second_half(folder: Path) -> Generator[float, None, str]:
    steps = check_steps(folder)
    while True:
        try:
            yield 0.5 + 0.5 * next(steps)
        except StopIteration as end:
            return end.value
