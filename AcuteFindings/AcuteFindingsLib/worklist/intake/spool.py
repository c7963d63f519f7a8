"""What has arrived and is not read yet: a folder of DICOM files, each whole and on the disk before it is acknowledged.

::

    SPOOL/<study>/<instance>.dcm    names made from the UIDs by a checksum: no text from a file becomes a path

The folder is the queue: what lies in it is read again after a restart if its record does not say that it was read.
"""

import hashlib
import os
import shutil
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from AcuteFindingsLib.errors import DataError
from AcuteFindingsLib.files import replace_when_written

_NAME_LENGTH = 32


@dataclass(frozen=True)
class Waiting:
    """A study of the spool: its folder, when its first and last instance came (seconds), and how many there are."""

    folder: Path
    first: float
    last: float
    count: int


class Spool:
    """See above; several threads may put into it at once."""

    def __init__(self, folder: Path) -> None:
        """Make the folder where it does not exist; raises `DataError` where that is not possible."""
        self.folder = folder
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
            times = [file.stat().st_mtime for file in folder.rglob("*.dcm")] if folder.is_dir() else []
            if times:
                found.append(Waiting(folder, min(times), max(times), len(times)))
        yield from sorted(found, key=lambda one: one.first)

    def drop(self, folder: Path, *, older_than: float) -> bool:
        """Remove a study whose last instance came so many seconds ago, and return whether it is gone."""
        times = [file.stat().st_mtime for file in folder.rglob("*.dcm")]
        if folder.parent != self.folder or (times and time.time() - max(times) < older_than):
            return False
        shutil.rmtree(folder, ignore_errors=True)
        return True


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
