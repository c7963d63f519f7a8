"""The files of a folder: linked ones once, none of those that systems leave, and which of them should be DICOM."""

import os
from collections.abc import Sequence
from pathlib import Path

from AcuteFindingsLib.budgets import budgets
from AcuteFindingsLib.errors import StudyError
from AcuteFindingsLib.study.file_kinds import START_BYTES, is_leftover, kind_of, shown_name

DICOM_ENDINGS = (".dcm", ".dicom", ".dic", ".ima")
"""Endings of DICOM files."""


def files_below(folder: Path, *, most: int | None = None) -> tuple[list[Path], list[Path]]:
    """Return the files below a folder, sorted, and the folders that cannot be opened; each linked folder once.

    Raises
    ------
    StudyError
        There are more than `most`, by default `Budgets.files`.
    """
    files: list[Path] = []
    closed: list[Path] = []
    seen: set[tuple[int, int]] = set()
    most = most or budgets().files
    for place, folders, names in os.walk(
        folder, onerror=lambda error: closed.append(Path(error.filename)), followlinks=True
    ):
        folders[:] = sorted(name for name in folders if name != "__MACOSX")
        try:
            status = Path(place).stat()
            if (status.st_dev, status.st_ino) in seen:
                folders.clear()
                continue
            seen.add((status.st_dev, status.st_ino))
            here = [Path(place, name) for name in names]
            files += [file for file in here if not is_leftover(file) and file.is_file()]
        except PermissionError:
            folders.clear()
            closed.append(Path(place))
        if len(files) > most:
            raise StudyError(
                f"{shown_name(folder)} holds more than {most:,} files with its subfolders and linked folders; give the "
                "folder of one study."
            )
    return sorted(files), closed


def spoiled_among(others: Sequence[Path], dicom: Sequence[Path]) -> list[Path]:
    """Return which files that do not begin as DICOM should have: by their ending, or as all else is DICOM there.

    A file without an ending counts only where it is empty or begins with zeros, as after a broken copy, and lies beside
    DICOM files without ending.
    """
    bare_folders = {file.parent for file in dicom if _ending(file) == ""}
    spoiled = []
    for file in others:
        ending, kind = _ending(file), kind_of(file)
        if kind is not None:
            named = ending in DICOM_ENDINGS or _ending(file.with_suffix("")) in DICOM_ENDINGS
            wrong = named and kind.use in ("packed", "zip", "archive")
        elif ending == "" and file.parent in bare_folders:
            with file.open("rb") as stream:
                wrong = not stream.read(START_BYTES).strip(b"\0")
        else:
            wrong = ending in DICOM_ENDINGS
        if wrong:
            spoiled.append(file)
    return spoiled


def _ending(file: Path) -> str:
    """Return a name's ending in lower case; numbers, as in a UID or a slice number, are none."""
    ending = file.suffix.lower()
    return "" if ending[1:].isdigit() else ending
