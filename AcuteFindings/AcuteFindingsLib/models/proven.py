"""Which files of model packages were held against their checksums, so that a file is read for it once a change.

What a file was when it was read (size, times, number on its disk) is kept in the account's cache folder. A file that
has been anything else since is read again; so is one that changed in the last seconds before it was read, because its
times need not show a further change. A change that leaves size and time as they were shows on Linux and macOS, which
keep the time of that too, not on Windows. Needs the standard library only.
"""

import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from AcuteFindingsLib.errors import AcuteFindingsError
from AcuteFindingsLib.files import replace_when_written
from AcuteFindingsLib.models.files import verify_files
from AcuteFindingsLib.places import proven_files

# Packages that are remembered; the ones unused for longest make room.
_PACKAGES = 100
# Coarser than the clock of any file system in use: FAT counts in steps of two seconds.
_SETTLED_NS = 3_000_000_000


def verify_once(folder: Path, checksums: Mapping[str, str]) -> None:
    """Check a package as `verify_files` does; files that are as they were when they were last checked are not read.

    Raises
    ------
    ModelError
        Names the first file at fault.
    """
    memory = _remembered()
    key = str(folder.absolute())
    before = memory.get(key, {})
    # What is read after this, if it changes meanwhile, is not what is remembered.
    states = {name: state for name in checksums if (state := _state(folder / name)) is not None}
    known = {name for name, state in states.items() if before.get(name) == [checksums[name], *state]}
    verify_files(folder, checksums, known=known)
    settled = time.time_ns() - _SETTLED_NS
    after = {
        name: [checksums[name], *state]
        for name, state in states.items()
        if name in known or max(state[1], state[2]) < settled
    }
    if after != before:
        memory.pop(key, None)
        _remember(memory | {key: after})


def _state(path: Path) -> list[int] | None:
    try:
        facts = path.lstat()
    except OSError:
        return None
    return [facts.st_size, facts.st_mtime_ns, facts.st_ctime_ns, facts.st_ino]


def _remembered() -> dict[str, Any]:
    """Return what is remembered; nothing where there is no such file, or one that this did not write."""
    try:
        data = json.loads(proven_files().read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError, AcuteFindingsError):
        return {}
    if not isinstance(data, dict):
        return {}
    return {folder: files for folder, files in data.items() if isinstance(files, dict)}


def _remember(memory: dict[str, Any]) -> None:
    """Keep it; where nothing can be written, files are read again the next time."""
    try:
        with replace_when_written(proven_files()) as partial:
            partial.write_text(json.dumps(dict(list(memory.items())[-_PACKAGES:])), encoding="utf-8")
    except (OSError, AcuteFindingsError):
        return
