"""A folder that holds the old results or the new ones, never a mix; what AcuteFindings did not write stays in it.

New results are written into a folder of their own and take the place of the old ones when they are complete. A list of
the files and their checksums goes with them: the next run removes what that list names, unchanged, and nothing else.
"""

import errno
import glob
import hashlib
import json
import os
import re
import shutil
import stat
import tempfile
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

from AcuteFindingsLib import __version__
from AcuteFindingsLib.errors import ExportError
from AcuteFindingsLib.files import (
    ABANDONED_AFTER,
    check_whole,
    exchange,
    idle_seconds,
    sweep_abandoned,
    sweep_temporary,
)

MANIFEST = "acutefindings-files.json"
"""Lists the files of a folder of results; its last change makes a result the one that counts."""

RESULTS = ("finding.json", "report.html", "scene.mrb", "heatmap.nrrd", "masks", "pictures")
"""What a run writes: files and folders."""

FORMAT_VERSION = 1

_MOST_NAMED = 3
_WORK, _EARLIER = "partial", "earlier"
_LEFT = re.compile(rf"\.[0-9a-f]{{8}}\.(?:{_WORK}|{_EARLIER})\.(.+)")
# What file managers put into any folder.
_CLUTTER = {".DS_Store", "Thumbs.db", "desktop.ini"}


@dataclass(frozen=True)
class _Earlier:
    """What a folder holds before a run: the files of an earlier one, and whether there is anything else."""

    files: dict[str, dict[str, Any]] = field(default_factory=dict)
    shared: bool = False


@contextmanager
def results_folder(out: Path, *, entries: Sequence[str] = RESULTS, what: str = "--out") -> Iterator[Path]:
    """Yield an empty folder to write to; what it holds when the block ends well becomes the content of `out`.

    Whenever the process is killed, `out` holds the earlier results or the new ones. Where it holds files of others
    too, or is the root of a drive, the results are moved in one by one, the first of `entries` last; the next run
    undoes what a killed one began. After an error in the block, `out` is as it was. Links to a folder are followed.

    Parameters
    ----------
    out
        Made where it does not exist.
    entries
        Files and folders that may be written, relative to `out`; the one that readers look for first.
    what
        How the user named the folder, for messages.

    Raises
    ------
    ExportError
        Before the block: `out` is a file or cannot be written to, another run writes to it, a file that AcuteFindings
        did not write (or that was changed since) is in the way. After it: the results could not be put in place.
    """
    target = Path(os.path.realpath(out))
    said = f"{what} {out}"
    _check_place(target, said)
    with _alone(target, said):
        with writing(said):
            _finish_killed(target)
            inside = _examine(target, entries, said).shared or _stays(target)
            work = _beside(target, _WORK, inside=inside)
            work.mkdir(parents=True)
        try:
            yield work
            with writing(said):
                _seal(work)
                # Hours may have passed.
                tops = {path.name for path in work.iterdir()} - {MANIFEST}
                earlier = _examine(target, (*entries, *sorted(tops)), said)
                if inside or earlier.shared:
                    _move_in(work, target, earlier, first=entries[0])
                else:
                    _swap_in(work, target)
        except BaseException:
            _discard(work)
            raise


def remove_results(out: Path, *, what: str = "--out") -> None:
    """Remove the results that a run wrote into a folder; what others put there or changed since stays.

    Raises
    ------
    ExportError
        Another run writes there, or they cannot be removed.
    """
    target = Path(os.path.realpath(out))
    said = f"{what} {out}"
    with _alone(target, said), writing(said):
        _finish_killed(target)
        files = _manifest(target)
        for name, known in files.items():
            if os.path.lexists(target / name) and _facts(target / name) == known:
                (target / name).unlink()
        _drop_empty(target, files)
        (target / MANIFEST).unlink(missing_ok=True)
        with suppress(OSError):
            target.rmdir()


def killed_runs(folder: Path) -> list[Path]:
    """Return the folders of results below `folder` beside which killed runs left something."""
    found = (_LEFT.fullmatch(entry.name) for entry in folder.iterdir() if entry.is_dir())
    return sorted({folder / left[1] for left in found if left})


def finish_killed(out: Path, *, what: str = "--out") -> None:
    """Finish or undo what killed runs began, as the next run would; what was unfinished goes after a day.

    Raises
    ------
    ExportError
        A run writes there, or it cannot be done.
    """
    target = Path(os.path.realpath(out))
    said = f"{what} {out}"
    with _alone(target, said), writing(said):
        _finish_killed(target)


@contextmanager
def writing(said: str) -> Iterator[None]:
    """Turn errors of the file system into a sentence about the folder that the user named.

    Raises
    ------
    ExportError
        For any `OSError` of the block.
    """
    try:
        yield
    except OSError as error:
        raise ExportError(
            f"{said}: the results could not be written ({error.strerror or error}); make room on the disk, or name "
            "another folder."
        ) from error


def _stays(target: Path) -> bool:
    """Whether a folder must not be exchanged for another: a drive, the current folder, one whose parent is closed."""
    current = Path(os.path.realpath(os.curdir))
    return os.path.ismount(target) or target in (current, *current.parents) or not _writable(_existing(target.parent))


def _existing(path: Path) -> Path:
    return next(one for one in (path, *path.parents) if one.exists())


def _writable(folder: Path) -> bool:
    # A superuser may write anywhere; what nobody was meant to write to is left alone.
    return os.access(folder, os.W_OK | os.X_OK) and bool(folder.stat().st_mode & 0o222)


def _check_place(target: Path, said: str) -> None:
    existing = _existing(target)
    if not existing.is_dir():
        raise ExportError(f"{said}: {existing} is a file; name a folder for the results.")
    if not _writable(existing):
        raise ExportError(f"{said}: {existing} cannot be written to; name another folder for the results.")


@contextmanager
def _alone(target: Path, said: str) -> Iterator[None]:
    """Hold the folder for this process; refuse where another one does."""
    from filelock import FileLock, Timeout

    user = os.getuid() if hasattr(os, "getuid") else "user"
    locks = Path(tempfile.gettempdir()) / f"acutefindings-locks-{user}"
    locks.mkdir(mode=0o700, exist_ok=True)
    if locks.is_symlink() or (hasattr(os, "getuid") and locks.stat().st_uid != os.getuid()):
        raise ExportError(f"{locks} belongs to another user, so folders cannot be locked; set TMPDIR to another place.")
    name = hashlib.sha256(os.fsencode(target)).hexdigest()[:32]
    try:
        with FileLock(locks / f"{name}.lock", timeout=0):
            yield
    except Timeout as error:
        raise ExportError(f"{said}: another run is writing there; wait for it or name another folder.") from error


def _examine(target: Path, entries: Sequence[str], said: str) -> _Earlier:
    """Look at what is there; raise `ExportError` where something in the way is not an earlier run's."""
    if not target.is_dir():
        return _Earlier()
    files = _manifest(target)
    changed = [
        name for name, known in files.items() if os.path.lexists(target / name) and _facts(target / name) != known
    ]
    if changed:
        raise ExportError(
            f"{said}: {_named(changed)} changed since AcuteFindings wrote {'it' if len(changed) == 1 else 'them'}; "
            "move what you want to keep elsewhere, or name another folder."
        )
    own = {*files, MANIFEST}
    foreign: list[str] = []
    shared = False
    tops = {PurePosixPath(name).parts[0] for name in own}
    for entry in target.iterdir():
        if _ours(entry.name):
            continue
        wanted = entry.name in entries
        if not wanted and entry.name not in tops:
            shared = True
            continue
        within = [entry, *entry.rglob("*")] if entry.is_dir() and not entry.is_symlink() else [entry]
        others = [path for path in within if path.is_symlink() or not path.is_dir()]
        others = [path for path in others if path.relative_to(target).as_posix() not in own]
        shared = shared or bool(others)
        if wanted:
            foreign += [path.relative_to(target).as_posix() for path in others if path.name not in _CLUTTER]
    if foreign:
        raise ExportError(
            f"{said}: {_named(foreign)} {'is' if len(foreign) == 1 else 'are'} in the way and not known to be results "
            "of an earlier run; move what you want to keep elsewhere, or name another folder for the results."
        )
    return _Earlier(files, shared)


def _named(names: Sequence[str]) -> str:
    more = f" and {len(names) - _MOST_NAMED} more" if len(names) > _MOST_NAMED else ""
    return ", ".join(names[:_MOST_NAMED]) + more


def _seal(work: Path) -> None:
    """Prove that every file is whole and on the disk, and list them."""
    files = {}
    for path in sorted(path for path in work.rglob("*") if path.is_file()):
        if not path.stat().st_size:
            raise OSError(errno.ENOSPC, "a file is empty; is the disk full?", path.name)
        check_whole(path)
        with path.open("rb+") as stream:
            # A full or failing disk is told here at the latest.
            os.fsync(stream.fileno())
        files[path.relative_to(work).as_posix()] = _facts(path)
    data = {"format": FORMAT_VERSION, "software": f"AcuteFindings {__version__}", "files": files}
    (work / MANIFEST).write_text(json.dumps(data, indent=2) + "\n", encoding="utf-8")


def _facts(path: Path) -> dict[str, Any]:
    """Return size and SHA-256 of a plain file; nothing of a link or anything else, which is never what was listed."""
    if not stat.S_ISREG(path.lstat().st_mode):
        return {}
    with path.open("rb") as stream:
        return {"bytes": path.stat().st_size, "sha256": hashlib.file_digest(stream, "sha256").hexdigest()}


def _manifest(folder: Path) -> dict[str, dict[str, Any]]:
    """Return the files that a folder's list names, those that lie within it and are reached by no link."""
    try:
        data = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
        listed = data["files"] if data["format"] == FORMAT_VERSION else {}
        return {
            str(name): {"bytes": facts["bytes"], "sha256": facts["sha256"]}
            for name, facts in listed.items()
            if _lies_within(folder, str(name))
        }
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return {}


def _lies_within(folder: Path, name: str) -> bool:
    pure = PurePosixPath(name)
    plain = bool(pure.parts) and not pure.is_absolute() and not {"..", ".", ""} & set(name.split("/"))
    if not plain or "\\" in name or ":" in name or "\0" in name:
        return False
    return not any((folder / parent).is_symlink() for parent in pure.parents)


def _beside(target: Path, kind: str, *, inside: bool) -> Path:
    number = uuid.uuid4().hex[:8]
    return target / f".{number}.{kind}.acutefindings" if inside else target.with_name(f".{number}.{kind}.{target.name}")


def _ours(name: str) -> bool:
    """Whether a name is that of a folder of `_beside` within a shared folder."""
    parts = name.split(".")
    return len(parts) == 4 and parts[0] == "" and parts[2] in (_WORK, _EARLIER) and parts[3] == "acutefindings"


def _swap_in(work: Path, target: Path) -> None:
    """Let new results take the place of a folder that holds earlier ones or nothing, in one step where it can be."""
    if not target.exists():
        work.rename(target)
        return
    shutil.copymode(target, work)
    if exchange(work, target):
        aside = work
    else:
        aside = _beside(target, _EARLIER, inside=False)
        target.rename(aside)
        work.rename(target)
    # The results are in place: what cannot be removed now is removed by the next run.
    with suppress(OSError):
        _give_back(aside, target)
        if (aside / MANIFEST).is_file():
            _discard(aside)
        else:
            aside.rmdir()


def _move_in(work: Path, target: Path, earlier: _Earlier, *, first: str) -> None:
    """Move new results into a folder that others use too: the old ones out, the new ones in, the old ones away."""
    target.mkdir(parents=True, exist_ok=True)
    there = [name for name in earlier.files if os.path.lexists(target / name)]
    aside = _beside(target, _EARLIER, inside=True)
    new = _manifest(work)
    try:
        if there:
            aside.mkdir()
            shutil.copyfile(target / MANIFEST, aside / MANIFEST)
        for name in sorted(there, key=lambda name: name != first):
            _move(target / name, aside / name)
        (work / MANIFEST).replace(target / MANIFEST)
        for name in sorted(new, key=lambda name: name == first):
            _move(work / name, target / name)
    except BaseException:
        if there:
            _undo_or_finish(aside, target)
        else:
            _undo(target, new)
        raise
    _drop_empty(target, earlier.files)
    shutil.rmtree(work, ignore_errors=True)
    if there:
        with suppress(OSError):
            _discard(aside)


def _move(source: Path, goal: Path) -> None:
    goal.parent.mkdir(parents=True, exist_ok=True)
    source.replace(goal)


def _finish_killed(target: Path) -> None:
    """Finish or undo what killed runs began, and sweep what they left."""
    sweep_temporary()
    parent, name = target.parent, target.name
    for aside in parent.glob(f".????????.{_EARLIER}.{glob.escape(name)}") if parent.is_dir() else ():
        if not target.exists():
            aside.rename(target)
        else:
            _give_back(aside, target)
            _discard(aside)
    for work in parent.glob(f".????????.{_WORK}.{glob.escape(name)}") if parent.is_dir() else ():
        _sweep(work, target)
    if not target.is_dir():
        return
    for aside in target.glob(f".????????.{_EARLIER}.acutefindings"):
        _undo_or_finish(aside, target)
    for work in target.glob(f".????????.{_WORK}.acutefindings"):
        _sweep(work, target)
    sweep_abandoned(target, r"\.scene-[a-z0-9_]{8}")


def _sweep(work: Path, target: Path) -> None:
    """Remove what a killed run left beside its target, the results it exchanged already or its own unfinished ones.

    Unfinished ones only after a day: another machine may be at work.
    """
    if (work / MANIFEST).is_file():
        _give_back(work, target)
        _discard(work)
    elif idle_seconds(work) > ABANDONED_AFTER:
        shutil.rmtree(work, ignore_errors=True)


def _undo_or_finish(aside: Path, target: Path) -> None:
    old, new = _manifest(aside), _manifest(target)
    if old and new and old != new and all((target / name).exists() for name in new):
        _discard(aside)
        return
    if old != new:
        _undo(target, new)
    for name in old:
        if (aside / name).exists():
            _move(aside / name, target / name)
    if old:
        (aside / MANIFEST).replace(target / MANIFEST)
    _drop_empty(aside, old)
    with suppress(OSError):
        aside.rmdir()


def _undo(target: Path, new: dict[str, dict[str, Any]]) -> None:
    """Take new results out again, as far as they were moved in."""
    for name, known in new.items():
        if (target / name).exists() and _facts(target / name) == known:
            (target / name).unlink()
    _drop_empty(target, new)
    if _manifest(target) == new:
        (target / MANIFEST).unlink(missing_ok=True)


def _give_back(folder: Path, target: Path) -> None:
    """Move what somebody put into a folder of old results, before it was exchanged, to where it was put."""
    known = {MANIFEST, *(PurePosixPath(name).parts[0] for name in _manifest(folder))}
    for entry in folder.iterdir() if target.is_dir() and folder != target else ():
        if entry.name not in known and not os.path.lexists(target / entry.name):
            entry.rename(target / entry.name)


def _discard(folder: Path) -> None:
    """Remove a folder of results: what its list names; one that is empty or not complete yet has no list and goes."""
    if not (folder / MANIFEST).is_file():
        shutil.rmtree(folder, ignore_errors=True)
        return
    files = _manifest(folder)
    for name in files:
        (folder / name).unlink(missing_ok=True)
    _drop_empty(folder, files)
    if [entry.name for entry in folder.iterdir()] == [MANIFEST]:
        (folder / MANIFEST).unlink()
        folder.rmdir()


def _drop_empty(folder: Path, files: dict[str, dict[str, Any]]) -> None:
    """Remove the folders that held listed files and hold nothing now."""
    parents = {parent for name in files for parent in PurePosixPath(name).parents if parent.parts}
    for parent in sorted(parents, key=lambda path: -len(path.parts)):
        with suppress(OSError):
            (folder / parent).rmdir()
