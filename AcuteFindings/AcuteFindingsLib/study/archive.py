"""A zip of a study, as portals give it, unpacked within the budgets into a folder that goes with its last user."""

import errno
import shutil
import stat
import tempfile
import weakref
import zipfile
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import IO

from AcuteFindingsLib.budgets import budgets
from AcuteFindingsLib.errors import StudyError
from AcuteFindingsLib.files import ZIP_FAILS
from AcuteFindingsLib.places import make_temporary_folder
from AcuteFindingsLib.study.file_kinds import START_BYTES, ZIP, is_leftover, kind_of, kind_of_bytes, shown_name
from AcuteFindingsLib.study.folder_files import DICOM_ENDINGS
from AcuteFindingsLib.study.unpacking import check_growth

PREFIX = "acutefindings-zip-"
"""How the temporary folders are named."""

_STEP = 1 << 20
_ENCRYPTED = 0x1
# Endings that say what a file is to the readers of volumes and pictures; no other part of a name becomes a path.
_ENDINGS = (
    *DICOM_ENDINGS, ".nii.gz", ".nii", ".nrrd", ".mha", ".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".gz",
    ".zst",
)  # fmt: skip


class UnpackedZip:
    """The folder that a zip was unpacked to; it is removed when nothing refers to this any more.

    Attributes
    ----------
    folder
        Holds the members that may be images, numbered in the order of their names.
    """

    def __init__(self) -> None:
        self.folder = make_temporary_folder(PREFIX)
        weakref.finalize(self, shutil.rmtree, self.folder, ignore_errors=True)


def is_zip(path: Path) -> bool:
    """Whether a file is a zip by its first bytes."""
    return kind_of(path) == ZIP


def unpack_zip(path: Path) -> UnpackedZip:
    """Unpack what may be an image from a zip; where it holds no such file, from the zips in it, one level deep.

    Names of members become no path: links, leftovers of macOS, programs and documents are left where they are. A
    damaged member becomes an empty DICOM file, so that it is counted among the unreadable ones.

    Raises
    ------
    StudyError
        Where the zip is damaged, encrypted, packed in a way that is not read, beyond the budgets, holds nothing that
        may be an image, or does not fit on the disk.
    """
    name = shown_name(path)
    result = UnpackedZip()
    try:
        with zipfile.ZipFile(path) as archive:
            spent = _unpack(archive, result.folder, name, spent=0)
            if not any(result.folder.iterdir()):
                _unpack_inner(archive, result.folder, name, spent=spent)
    except zipfile.BadZipFile as error:
        raise StudyError(f"{name} is damaged or cut short and cannot be unpacked; download it again.") from error
    except OSError as error:
        if error.errno == errno.ENOSPC:
            raise StudyError(
                f"There is not enough room in {tempfile.gettempdir()} to unpack {name}; make room, or unpack it "
                "yourself and give the folder."
            ) from error
        raise StudyError(f"{name} cannot be read ({error.strerror or type(error).__name__}).") from error
    if not any(result.folder.iterdir()):
        raise StudyError(f"{name} is a zip archive but holds no DICOM file and no other image that is read.")
    return result


def _unpack_inner(archive: zipfile.ZipFile, folder: Path, name: str, *, spent: int) -> None:
    """Unpack the zips in a zip."""
    for place, member in enumerate(_members(archive, name)):
        if not member.filename.lower().endswith(".zip"):
            continue
        with tempfile.TemporaryFile() as inner:
            try:
                spent = _copy(archive, member, inner, name, spent=spent)
                within = zipfile.ZipFile(inner)
            except ZIP_FAILS as error:
                raise StudyError(f"{name} holds a zip that is damaged; unpack it and give the folder.") from error
            with within:
                spent = _unpack(within, folder, name, spent=spent, prefix=f"{place:06d}-")


def _unpack(archive: zipfile.ZipFile, folder: Path, name: str, *, spent: int, prefix: str = "") -> int:
    """Unpack the members that may be images; return the bytes unpacked so far."""
    for place, member in enumerate(_members(archive, name)):
        target = folder / f"{prefix}{place:06d}{_ending(member.filename)}"
        try:
            with archive.open(member) as source:
                start = source.read(START_BYTES)
            if not _may_be_image(member.filename, start):
                continue
            with target.open("wb") as sink:
                spent = _copy(archive, member, sink, name, spent=spent)
        except ZIP_FAILS as error:
            if isinstance(error, OSError) and error.errno == errno.ENOSPC:
                raise
            if isinstance(error, NotImplementedError):
                raise StudyError(
                    f"{name} is packed in a way that is not read here; unpack it and give the folder."
                ) from error
            if _ending(member.filename) in DICOM_ENDINGS or _is_bare(member.filename):
                target.unlink(missing_ok=True)
                target.with_suffix(".dcm").write_bytes(b"")
    return spent


def _members(archive: zipfile.ZipFile, name: str) -> Iterator[zipfile.ZipInfo]:
    """Yield the files of a zip that are neither links nor leftovers, in the order of their names."""
    members = archive.infolist()
    limits = budgets()
    if len(members) > limits.archive_members:
        raise StudyError(f"{name} holds more than {limits.archive_members:,} files; give the zip of one study.")
    for member in sorted(members, key=lambda one: one.filename):
        if member.is_dir() or stat.S_ISLNK(member.external_attr >> 16):
            continue
        if is_leftover(Path(*PurePosixPath(member.filename).parts)):
            continue
        if member.flag_bits & _ENCRYPTED:
            raise StudyError(f"{name} is encrypted; unpack it with its password and give the folder.")
        yield member


def _copy(archive: zipfile.ZipFile, member: zipfile.ZipInfo, sink: IO[bytes], name: str, *, spent: int) -> int:
    """Unpack one member; return the bytes unpacked so far."""
    own, most = 0, budgets().archive_bytes
    with archive.open(member) as source:
        while step := source.read(_STEP):
            own += len(step)
            try:
                check_growth(own, member.compress_size)
            except StudyError as error:
                raise StudyError(f"{name} was not read. {error}") from error
            if spent + own > most:
                raise StudyError(
                    f"{name} unpacks to more than {most / 1024**3:.3g} GB and was not read; give the zip of one study."
                )
            sink.write(step)
    return spent + own


def _may_be_image(filename: str, start: bytes) -> bool:
    kind = kind_of_bytes(start)
    if kind is not None:
        return kind.use in ("dicom", "volume", "picture", "packed")
    # What should be DICOM but is not.
    return _ending(filename) in DICOM_ENDINGS or (_is_bare(filename) and not start.strip(b"\0"))


def _is_bare(filename: str) -> bool:
    """Whether a name has no ending; numbers, as in a UID or a slice number, are none."""
    ending = PurePosixPath(filename).suffix[1:]
    return not ending or ending.isdigit()


def _ending(filename: str) -> str:
    """Return the ending that a reader asks for; empty where it is none of these."""
    lowered = filename.lower()
    return next((ending for ending in _ENDINGS if lowered.endswith(ending)), "")
