"""Writing files and folders so that a target is either whole or untouched."""

import ctypes
import errno
import lzma
import os
import re
import shutil
import sys
import tempfile
import time
import uuid
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

ABANDONED_AFTER = 24 * 3600.0
"""Seconds after which partial files and folders are taken to be those of a process that was killed."""

ZIP_FAILS = (
    zipfile.BadZipFile,
    zlib.error,
    lzma.LZMAError,
    EOFError,
    OSError,
    # A member that is encrypted or packed in an unknown way, and numbers in the directory that cannot be.
    RuntimeError,
    ValueError,
)
"""What a damaged, cut, encrypted or made-up zip file raises when it is opened or a member is read."""

_PNG_END = b"IEND\xaeB`\x82"
# Linux: rename(2); macOS: renamex_np(2).
_AT_FDCWD, _RENAME_EXCHANGE, _RENAME_SWAP = -100, 2, 2


@contextmanager
def replace_when_written(target: Path) -> Iterator[Path]:
    """Yield a path beside `target` to write to, or to make a folder at; it takes the target's place when the block ends
    well.

    The partial file keeps the target's suffixes, so writers that choose a format by name work. After an error the
    target is as it was and the partial file or folder is gone.

    Raises
    ------
    OSError
        What was written is cut short, as some writers leave it on a full disk without a word.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = target.with_name(f".{uuid.uuid4().hex[:8]}.partial.{target.name}")
    try:
        yield partial
        check_whole(partial)
        if partial.is_dir() and target.is_dir():
            shutil.rmtree(target)
        partial.replace(target)
    finally:
        if partial.is_dir():
            shutil.rmtree(partial)
        partial.unlink(missing_ok=True)


def check_whole(path: Path) -> None:
    """Raise `OSError` where a picture or an archive was cut short; nothing is known of other files.

    A PNG ends in its IEND chunk (ISO/IEC 15948, 11.2.5), a zip in its directory.
    """
    suffix = path.suffix.lower()
    size = path.stat().st_size
    whole = True
    if suffix == ".png":
        with path.open("rb") as stream:
            stream.seek(max(0, size - len(_PNG_END)))
            whole = stream.read() == _PNG_END
    elif suffix in (".mrb", ".zip"):
        try:
            with zipfile.ZipFile(path) as archive:
                whole = bool(archive.namelist())
        except zipfile.BadZipFile:
            whole = False
    if not whole:
        raise OSError(errno.ENOSPC, "what was written is cut short; is the disk full?", path.name)


def exchange(first: Path, second: Path) -> bool:
    """Let two folders of one file system change places in one step; False where the system cannot."""
    with suppress(AttributeError, OSError, TypeError):
        library = ctypes.CDLL(None, use_errno=True)
        names = os.fsencode(first), os.fsencode(second)
        if sys.platform == "darwin":
            done = library.renamex_np(names[0], names[1], _RENAME_SWAP)
        else:
            done = library.renameat2(_AT_FDCWD, names[0], _AT_FDCWD, names[1], _RENAME_EXCHANGE)
        return bool(done == 0)
    return False


def sweep_abandoned(folder: Path, pattern: str, *, older_than: float = ABANDONED_AFTER) -> None:
    """Remove what killed processes left in a folder: entries whose whole name matches a regular expression.

    Only what nobody has written to for `older_than` seconds goes; what cannot be removed stays.
    """
    with suppress(OSError):
        for entry in folder.iterdir():
            if re.fullmatch(pattern, entry.name) and _is_mine(entry) and idle_seconds(entry) > older_than:
                if entry.is_dir() and not entry.is_symlink():
                    shutil.rmtree(entry, ignore_errors=True)
                else:
                    with suppress(OSError):
                        entry.unlink()


def sweep_temporary() -> None:
    """Remove the temporary folders that killed processes of this user left in the system's place for them."""
    with suppress(OSError):
        sweep_abandoned(Path(tempfile.gettempdir()), r"[Aa]cute[Ff]indings-(export-|check-|zip-)?[a-z0-9_]{8}")


def _is_mine(entry: Path) -> bool:
    return not hasattr(os, "getuid") or entry.lstat().st_uid == os.getuid()


def idle_seconds(entry: Path) -> float:
    """Return the seconds since a file, or anything within a folder, was last written, moved or made.

    What a file was copied from may be years old: when its own entry changed counts as well.
    """
    parts = [entry, *(entry.rglob("*") if entry.is_dir() and not entry.is_symlink() else ())]
    times = [path.lstat() for path in parts]
    return time.time() - max(max(one.st_mtime, one.st_ctime) for one in times)
