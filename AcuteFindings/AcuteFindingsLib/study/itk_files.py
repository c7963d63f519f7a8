"""Files that SimpleITK opens and writes: the one place where paths go to native code.

ITK ends the process on names that are not UTF-8 and misreads others on Windows, so it gets names of plain letters only;
volume files it does not open at all, since their headers can name any file and crash it.
"""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import SimpleITK as sitk

from AcuteFindingsLib.errors import StudyError
from AcuteFindingsLib.places import temporary_folder
from AcuteFindingsLib.study.file_kinds import shown_name
from AcuteFindingsLib.study.grid import place_image
from AcuteFindingsLib.study.images import is_volume
from AcuteFindingsLib.study.volume_file import read_volume_header, read_voxels


def read_image(path: Path) -> sitk.Image:
    """Read a mask or a label map with its place, in its own type: a volume file or a picture.

    Raises
    ------
    StudyError
        The file is missing, damaged or not an image.
    """
    if not is_volume(path):
        try:
            with _plain_copy(path) as plain:
                return sitk.ReadImage(str(plain))
        except (RuntimeError, OSError) as error:
            raise StudyError(f"{shown_name(path)} cannot be read: it is missing, damaged or not an image.") from error
    header = read_volume_header(path, sparse=True)
    array = read_voxels(header, "float32" if header.is_scaled else header.dtype.newbyteorder("="))
    image = sitk.GetImageFromArray(array)
    place_image(image, header.ijk_to_ras)
    return image[:, :, 0] if header.flat else image


def image_size(path: Path) -> tuple[int, int, int]:
    """Return the size ``(z, y, x)`` of a volume file by its header.

    Raises
    ------
    StudyError
        The file is missing or damaged, or holds fewer voxels than its header says.
    """
    x, y, z = read_volume_header(path, sparse=True).sizes
    return z, y, x


def write_image(image: sitk.Image, path: Path, *, compressed: bool = False) -> None:
    """Write an image in the format that the path's suffixes name.

    Raises
    ------
    RuntimeError, OSError
        The file cannot be written.
    """
    if _is_plain(path):
        sitk.WriteImage(image, str(path), useCompression=compressed)
        return
    with _plain_folder() as folder:
        plain = folder / f"image{_suffixes(path)}"
        sitk.WriteImage(image, str(plain), useCompression=compressed)
        shutil.move(plain, path)


@contextmanager
def _plain_copy(path: Path) -> Iterator[Path]:
    """Yield a path of plain letters that holds what a file holds."""
    if _is_plain(path):
        yield path
        return
    with _plain_folder() as folder:
        yield Path(shutil.copyfile(path, folder / f"image{_suffixes(path)}"))


@contextmanager
def _plain_folder() -> Iterator[Path]:
    with temporary_folder() as folder:
        yield folder


def _is_plain(path: Path) -> bool:
    return str(path).isascii()


def _suffixes(path: Path) -> str:
    """Return what names the format: plain letters of the last two suffixes."""
    return "".join(suffix for suffix in path.suffixes[-2:] if suffix.isascii() and suffix[1:].isalnum())
