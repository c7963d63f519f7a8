"""Names that come from files: what a model's id, a detector, a label, a version or a file may be called.

A package, a scene, a DICOM file or a catalogue is data from elsewhere. A name out of one becomes part of a path or of a
page only where it passes here; whatever else it holds stays text.
"""

import re
import unicodedata
from pathlib import Path, PurePosixPath

LONGEST = 64
"""Characters of an id, label or version."""

LONGEST_FILE = 128
"""Characters of a file's name: with a folder before it below the 260 of a path on Windows."""

_ID = re.compile(r"[a-z0-9](?:[a-z0-9.-]*[a-z0-9])?")
_DETECTOR = re.compile(r"[a-z](?:[a-z0-9_-]*[a-z0-9])?")
_LABEL = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9 _.,()+-]*[A-Za-z0-9_)+])?")
_VERSION = re.compile(r"[0-9A-Za-z](?:[0-9A-Za-z.+_-]*[0-9A-Za-z])?")
_FILE = re.compile(r"[A-Za-z0-9_](?:[A-Za-z0-9 ._()+-]*[A-Za-z0-9_()+-])?")
# https://learn.microsoft.com/windows/win32/fileio/naming-a-file: these are devices, with any ending.
_DEVICES = frozenset(
    ["con", "prn", "aux", "nul", "conin$", "conout$", *(f"{port}{n}" for port in ("com", "lpt") for n in range(10))]
)
# Folders of this software that lie, or once lay, beside model packages.
_TAKEN = frozenset(["providers", "arrays", "encodings", "headers", "phantoms", "cross-validation"])


def model_id(text: str) -> str:
    """Return `text` where it can be a model's id, and so a folder's name.

    Small letters, digits, dots and dashes, at most `LONGEST`; no name that Windows keeps for devices, none that this
    software gives to folders of its own.

    Raises
    ------
    ValueError
        Says what an id looks like.
    """
    if not _fits(text, _ID) or ".." in text or text in _TAKEN:
        raise ValueError(
            f"{_shown(text)} cannot be a model's id: up to {LONGEST} small letters, digits, dots and dashes, and no "
            "name that the system or this software uses itself"
        )
    return text


def detector_name(text: str) -> str:
    """Return `text` where it can be a detector's name; else raise `ValueError`."""
    if not _fits(text, _DETECTOR):
        raise ValueError(f"{_shown(text)} cannot be a detector's name: small letters, digits, dashes and underscores")
    return text


def label_name(text: str) -> str:
    """Return `text` where it can name an output: a column of a table, a curve, a code; else raise `ValueError`."""
    if not isinstance(text, str) or len(text) > LONGEST or not _LABEL.fullmatch(text):
        raise ValueError(
            f"{_shown(text)} cannot be a label's name: up to {LONGEST} letters A to Z, digits, spaces and "
            "_ . , ( ) + -, beginning with a letter or digit"
        )
    return text


def version_name(text: str) -> str:
    """Return `text` where it can be a version, and so part of a file's name; else raise `ValueError`."""
    if not isinstance(text, str) or len(text) > LONGEST or not _VERSION.fullmatch(text) or ".." in text:
        raise ValueError(f"{_shown(text)} cannot be a version: digits, letters and . + - _, such as 1.2.0")
    return text


def file_name(text: str) -> str:
    """Return `text` where every system can hold a file of this name; else raise `ValueError`.

    No separators, no leading or trailing dot, no trailing space, no device of Windows, ASCII only, so that no two names
    look alike.
    """
    if not _fits(text, _FILE, LONGEST_FILE):
        raise ValueError(f"{_shown(text)} cannot be a file's name here: letters A to Z, digits and _ . ( ) + - only")
    return text


def inner_path(text: str) -> PurePosixPath:
    """Return a path below a folder, with forward slashes, of which every part is a `file_name`.

    Raises
    ------
    ValueError
        It is absolute, leads upwards, or a part of it is no file's name.
    """
    if not isinstance(text, str) or not text or text.startswith("/") or text.endswith("/") or "//" in text:
        raise ValueError(f"{_shown(text)} is not a path below the folder")
    parts = text.split("/")
    for part in parts:
        file_name(part)
    return PurePosixPath(*parts)


def below(folder: Path, text: str) -> Path:
    """Return the file of this name below `folder`; raises `ValueError` as `inner_path`, and where links lead out."""
    path = folder.joinpath(*inner_path(text).parts)
    if not path.resolve().is_relative_to(folder.resolve()):
        raise ValueError(f"{_shown(text)} leads outside its folder")
    return path


def plain_text(text: str) -> str:
    """Return `text` where it holds nothing that steers a terminal or turns the order of what is read.

    Raises
    ------
    ValueError
        It holds a control character other than a line break or tab, or one that changes the direction of writing.
    """
    for character in text:
        if character not in "\n\t" and unicodedata.category(character) in ("Cc", "Cf", "Cs", "Co"):
            raise ValueError(f"holds the control character U+{ord(character):04X}; write plain text")
    return text


def printable(text: str) -> str:
    """Return `text` with a blank for every character that steers a terminal, is unseen or turns what is read."""
    return "".join(" " if unicodedata.category(one) in ("Cc", "Cf", "Cs", "Co", "Zl", "Zp") else one for one in text)


def _fits(text: str, pattern: re.Pattern[str], longest: int = LONGEST) -> bool:
    if not isinstance(text, str) or len(text) > longest or not pattern.fullmatch(text):
        return False
    return text.split(".")[0].rstrip(" ").casefold() not in _DEVICES


def _shown(text: object) -> str:
    """Return a name as it may be printed: escaped, and cut where it is long."""
    whole = ascii(text)
    return whole if len(whole) <= LONGEST else f"{whole[:LONGEST]}...'"
