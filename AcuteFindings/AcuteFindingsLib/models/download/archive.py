"""A model package out of a zip file, into a folder of its own; needs nothing beyond the standard library."""

import stat
import zipfile
from collections.abc import Generator
from pathlib import Path, PurePosixPath

from AcuteFindingsLib.budgets import budgets
from AcuteFindingsLib.errors import ModelError
from AcuteFindingsLib.files import ZIP_FAILS
from AcuteFindingsLib.models.files import METADATA, READ_BYTES
from AcuteFindingsLib.names import inner_path

_LONGEST_REASON = 200


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
    except ZIP_FAILS as error:
        # A damaged directory is quoted at length.
        told = " ".join(str(error).split())[:_LONGEST_REASON]
        raise ModelError(f"{archive} could not be unpacked: {told}.") from error


def _refuse_traps(packed: zipfile.ZipFile, archive: Path) -> None:
    limits = budgets()
    entries = packed.infolist()
    if len(entries) > limits.archive_members:
        raise ModelError(f"{archive} holds more than {limits.archive_members:,} files; it was not unpacked.")
    seen: set[str] = set()
    for entry in entries:
        name = entry.filename
        path = PurePosixPath(name)
        if path.is_absolute() or ".." in path.parts or "\\" in name or ":" in name:
            raise ModelError(f"{archive} would write outside its folder ({name!a}); do not use it.")
        kind = stat.S_IFMT(entry.external_attr >> 16)
        if kind == stat.S_IFLNK:
            raise ModelError(f"{archive} holds a link ({name!a}); a model package can hold only plain files.")
        if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
            raise ModelError(f"{archive} holds a pipe or device ({name!a}); a package can hold only plain files.")
        if name.casefold() in seen:
            raise ModelError(f"{archive} holds {name!a} twice; do not use it.")
        seen.add(name.casefold())
        large = entry.file_size > limits.ratio_counts_from
        if large and entry.file_size > limits.unpacked_ratio * max(entry.compress_size, 1):
            raise ModelError(f"{archive} unpacks to far more than any model would ({name!a}); it was not unpacked.")
    if sum(entry.file_size for entry in entries) > limits.archive_bytes:
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
        inner = path.relative_to(top)
        try:
            target = work / inner_path(inner.as_posix())
        except ValueError as error:
            raise ModelError(
                f"{packed.filename} holds a file that may not be in a package: {error}; do not use it."
            ) from error
        target.parent.mkdir(parents=True, exist_ok=True)
        with packed.open(entry) as source, target.open("wb") as stream:
            while part := source.read(READ_BYTES):
                stream.write(part)
                written += len(part)
                yield min(written / total, 1.0)
