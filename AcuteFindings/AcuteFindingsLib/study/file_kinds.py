"""What a file is, by its first bytes: names and endings are not believed."""

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

Use = Literal["dicom", "volume", "picture", "packed", "zip", "archive", "other"]

WHAT_IS_READ = "DICOM (a file, a folder or a zip of one), NIfTI, NRRD, MetaImage, PNG, JPEG, BMP and TIFF are read"
"""For messages about kinds that are not."""

# A DICOM file is known by 132 bytes, NIfTI by 348 and a tar archive by 262.
START_BYTES = 352


@dataclass(frozen=True)
class FileKind:
    """A kind of file.

    Attributes
    ----------
    name
        As a sentence calls it, with its article: ``"a WebP picture"``.
    use
        ``"dicom"``, ``"volume"`` and ``"picture"`` are read, ``"packed"`` (gz, zst) may hold such a file, ``"zip"`` is
        read like a folder; ``"archive"`` (to be unpacked by the user) and ``"other"`` are not read.
    """

    name: str
    use: Use


DICOM = FileKind("a DICOM file", "dicom")
GZIP = FileKind("a gzip file", "packed")
ZSTD = FileKind("a zstd file", "packed")
ZIP = FileKind("a zip archive", "zip")


def _at(place: int, *magic: bytes) -> Callable[[bytes], bool]:
    return lambda start: any(start[place : place + len(one)] == one for one in magic)


def _heif(*brands: bytes) -> Callable[[bytes], bool]:
    return lambda start: start[4:8] == b"ftyp" and start[8:12] in brands


def _riff(form: bytes) -> Callable[[bytes], bool]:
    return lambda start: start[:4] == b"RIFF" and start[8:12] == form


def _is_nifti(start: bytes) -> bool:
    size = start[:4]
    return size in (b"\x5c\x01\0\0", b"\0\0\x01\x5c") or start[4:8] in (b"n+2\0", b"ni2\0")


def _is_bare_dicom(start: bytes) -> bool:
    """Whether a file without the DICM mark still begins with group 0002 or 0008, as old files do."""
    return len(start) >= 8 and start[:2] in (b"\x02\x00", b"\x08\x00") and start[3:4] == b"\x00"


# First match wins. Signatures are those of the formats' own documents, as the `file` program lists them.
_KINDS: tuple[tuple[Callable[[bytes], bool], FileKind], ...] = (
    (_at(128, b"DICM"), DICOM),
    (_at(0, b"\x1f\x8b"), GZIP),
    (_at(0, b"\x28\xb5\x2f\xfd"), ZSTD),
    (_at(0, b"PK\x03\x04", b"PK\x05\x06", b"PK\x07\x08"), ZIP),
    (_at(0, b"\x89PNG\r\n\x1a\n"), FileKind("a PNG picture", "picture")),
    (_at(0, b"\xff\xd8\xff"), FileKind("a JPEG picture", "picture")),
    (_at(0, b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"), FileKind("a TIFF picture", "picture")),
    (_at(0, b"NRRD"), FileKind("an NRRD volume", "volume")),
    (_at(0, b"ObjectType", b"NDims"), FileKind("a MetaImage volume", "volume")),
    (_is_nifti, FileKind("a NIfTI volume", "volume")),
    (_riff(b"WEBP"), FileKind("a WebP picture", "other")),
    (_riff(b"AVI "), FileKind("an AVI video", "other")),
    (_at(0, b"GIF87a", b"GIF89a"), FileKind("a GIF picture", "other")),
    (_at(0, b"\0\0\0\x0cjP  \r\n\x87\n", b"\xff\x4f\xff\x51"), FileKind("a JPEG 2000 picture", "other")),
    (_at(0, b"\0\0\0\x0cJXL \r\n\x87\n", b"\xff\x0a"), FileKind("a JPEG XL picture", "other")),
    (_heif(b"heic", b"heix", b"hevc", b"mif1", b"msf1"), FileKind("a HEIC picture", "other")),
    (_heif(b"avif", b"avis"), FileKind("an AVIF picture", "other")),
    (_at(4, b"ftyp"), FileKind("an MP4 video", "other")),
    (_at(0, b"\x1a\x45\xdf\xa3"), FileKind("a Matroska or WebM video", "other")),
    (_at(0, b"%PDF"), FileKind("a PDF document", "other")),
    (_at(0, b"{\\rtf"), FileKind("an RTF document", "other")),
    (_at(0, b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"), FileKind("an old Office document", "other")),
    (_at(0, b"\x89HDF\r\n\x1a\n"), FileKind("an HDF5 file", "other")),
    (_at(0, b"\x93NUMPY"), FileKind("a NumPy array", "other")),
    (_at(0, b"\0\x05\x16\x07", b"\0\x05\x16\0"), FileKind("a leftover of macOS (AppleDouble)", "other")),
    (_at(0, b"7z\xbc\xaf\x27\x1c"), FileKind("a 7z archive", "archive")),
    (_at(0, b"Rar!\x1a\x07"), FileKind("a RAR archive", "archive")),
    (_at(0, b"\xfd7zXZ\0"), FileKind("an xz file", "archive")),
    (_at(0, b"BZh"), FileKind("a bzip2 file", "archive")),
    (_at(257, b"ustar"), FileKind("a tar archive", "archive")),
    (_at(32769, b"CD001"), FileKind("a disc image", "archive")),
    (_is_bare_dicom, DICOM),
    (_at(0, b"BM"), FileKind("a BMP picture", "picture")),
)


def kind_of_bytes(start: bytes) -> FileKind | None:
    """Return what a file is whose first `START_BYTES` bytes these are; None where it is of no known kind."""
    return next((kind for fits, kind in _KINDS if fits(start)), None)


def kind_of(path: Path) -> FileKind | None:
    """Return what a file is; None where it is of no known kind.

    Raises
    ------
    OSError
        Where the file cannot be opened.
    """
    with path.open("rb") as stream:
        return kind_of_bytes(stream.read(START_BYTES))


def shown_name(path: Path) -> str:
    """Return a file's name as text that every screen and file can hold.

    Names are bytes: what is no UTF-8 is shown as a replacement character, and control characters as ``?``.
    """
    name = os.fsencode(path.name).decode("utf-8", "replace")
    return "".join(letter if letter.isprintable() else "?" for letter in name)


def is_leftover(path: Path) -> bool:
    """Whether a name is one that macOS or a file manager leaves beside the files: ``._x``, ``.DS_Store``, ..."""
    return path.name.startswith(".") or path.name.lower() in ("thumbs.db", "desktop.ini") or "__MACOSX" in path.parts
