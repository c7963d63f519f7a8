"""A model package that comes as one zip file, unpacked into the folder of downloaded packages."""

import shutil
import uuid
from collections.abc import Generator
from pathlib import Path

from AcuteFindingsLib.errors import ModelError
from AcuteFindingsLib.models.download.archive import extract_steps
from AcuteFindingsLib.names import model_id
from AcuteFindingsLib.places import models_cache
from AcuteFindingsLib.widgets.models.rows import check_steps, read_row


def unpack_steps(archive: Path, cache: Path | None = None) -> Generator[float, None, Path]:
    """Unpack, check, and only then move into place, in steps well below 100 ms.

    Yields the share that is done; returns the package's folder, named after the model's id.

    Parameters
    ----------
    archive
        A zip file that holds one package, at its top or in a folder of its own.
    cache
        Where packages are kept; `models_cache` when None.

    Raises
    ------
    ModelError
        When it is no such archive, the package in it is damaged, or one with its id is there already.
    """
    cache = cache or models_cache()
    work = cache / f".{uuid.uuid4().hex[:8]}.partial"
    try:
        for share in extract_steps(archive, work):
            yield 0.5 * share
        row = read_row(work)
        error = row.error or (yield from _second_half(work))
        if error:
            raise ModelError(error.replace(str(work), archive.name))
        try:
            model_id(row.id)
        except ValueError as reason:
            raise ModelError(f"{archive.name} names its model wrongly: {reason}; do not use it.") from reason
        target = cache / row.id
        if target.exists():
            raise ModelError(f"There is a model {row.id!r} in {target} already; delete it first.")
        work.rename(target)
        return target
    except OSError as error:
        raise ModelError(f"{archive} could not be unpacked: {error}.") from error
    finally:
        shutil.rmtree(work, ignore_errors=True)


def _second_half(folder: Path) -> Generator[float, None, str]:
    steps = check_steps(folder)
    while True:
        try:
            yield 0.5 + 0.5 * next(steps)
        except StopIteration as end:
            return end.value
