"""What has arrived and is not read yet: a folder of DICOM files, each whole and on the disk before it is acknowledged.

::

    SPOOL/<study>/<instance>.dcm    names made from the UIDs by a checksum: no text from a file becomes a path

The folder is the queue: what lies in it is read again after a restart if its record does not say that it was read.
"""

import hashlib
import os
import shutil
import time
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from AcuteFindingsLib.errors import DataError
from AcuteFindingsLib.files import replace_when_written

_NAME_LENGTH = 32


@dataclass(frozen=True)
class Files:
    """What files of a study are there: how many, their bytes, and the newest of their times."""

    count: int
    size: int
    newest: float


@dataclass(frozen=True)
class Waiting:
    """A study of the spool: its folder, its files, and when the first of them came (seconds since 1970)."""

    folder: Path
    files: Files
    first: float


def files_now(files: Iterable[Path]) -> tuple[Files, float] | None:
    """Return what files are there and when the first came here; None where none is there any more.

    A file that is copied may keep the time of long ago at which it was made; the system's own time of its last change
    tells when it came, where there is one.
    """
    states = []
    for file in files:
        with suppress(OSError):
            states.append(file.stat())
    if not states:
        return None
    came = min(min(state.st_ctime, time.time()) for state in states)
    return Files(len(states), sum(state.st_size for state in states), max(one.st_mtime for one in states)), came


class Spool:
    """See above; several threads may put into it at once."""

    def __init__(self, folder: Path) -> None:
        """Make the folder where it does not exist; raises `DataError` where that is not possible."""
        self.folder = folder
        # Studies of which everything is known to be here, with how many instances that is.
        self.complete: dict[Path, int] = {}
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise DataError(f"{folder} cannot take studies: {error.strerror or error}.") from error

    def put(self, study_uid: str, instance_uid: str, content: bytes) -> bool:
        """Write one instance; return False where the very same one lies there already.

        When this returns, the instance is on the disk: a computer that loses its power keeps it.

        Raises
        ------
        OSError
            It cannot be written.
        """
        target = self.study(study_uid) / f"{_name(instance_uid)}.dcm"
        if target.is_file() and target.stat().st_size == len(content) and target.read_bytes() == content:
            return False
        target.parent.mkdir(exist_ok=True)
        with replace_when_written(target) as partial, partial.open("wb") as stream:
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
        for folder in (target.parent, self.folder):
            _sync(folder)
        return True

    def study(self, study_uid: str) -> Path:
        """Return the folder of a study."""
        return self.folder / _name(study_uid)

    def waiting(self) -> Iterator[Waiting]:
        """Yield the studies that lie here, the one whose first instance came earliest first."""
        found = []
        for folder in self.folder.iterdir():
            seen = files_now(_instances(folder)) if folder.is_dir() else None
            if seen is not None:
                found.append(Waiting(folder, *seen))
        yield from sorted(found, key=lambda one: one.first)

    def drop(self, folder: Path, *, older_than: float) -> bool:
        """Remove a study whose last instance came so many seconds ago, and return whether it is gone."""
        seen = files_now(_instances(folder))
        if folder.parent != self.folder or (seen is not None and time.time() - seen[0].newest < older_than):
            return False
        self.complete.pop(folder, None)
        shutil.rmtree(folder, ignore_errors=True)
        return True


def _instances(folder: Path) -> Iterator[Path]:
    """Yield whole instances; what is being written has a name that begins with a dot."""
    return (file for file in folder.rglob("*.dcm") if not file.name.startswith("."))


def _name(uid: str) -> str:
    return hashlib.sha256(uid.encode("utf-8", "replace")).hexdigest()[:_NAME_LENGTH]


def _sync(folder: Path) -> None:
    """Let the folder's own entry reach the disk, where the system knows how."""
    if os.name != "posix":
        return
    opened = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(opened)
    finally:
        os.close(opened)
