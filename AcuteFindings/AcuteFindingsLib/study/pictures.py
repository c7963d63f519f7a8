"""Studies from pictures: PNG, JPEG, BMP and TIFF, with one page or several."""

from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from AcuteFindingsLib.budgets import budgets
from AcuteFindingsLib.errors import StudyError
from AcuteFindingsLib.study.dicom_decoding import is_really_gray
from AcuteFindingsLib.study.dicom_intensity import stretch
from AcuteFindingsLib.study.file_kinds import WHAT_IS_READ, kind_of, shown_name
from AcuteFindingsLib.study.gray_values import looks_like_hu, make_finite
from AcuteFindingsLib.study.picture_study import picture_study
from AcuteFindingsLib.study.requirements import CtRequirements, Requirements
from AcuteFindingsLib.study.study import Study

# What Pillow may open; of its many other kinds some start programs.
_KINDS = ("PNG", "JPEG", "BMP", "TIFF")
_DEEP_MODES = ("I;16", "I;16B", "I;16L", "I", "F")
# TIFF tags 254 NewSubfileType (bit 0: a smaller copy of another page) and 262 PhotometricInterpretation (0: white is
# the lowest value); TIFF 6.0, Adobe 1992.
_SUBFILE_TYPE, _PHOTOMETRIC = 254, 262
_DAMAGES = (
    OSError, EOFError, SyntaxError, ValueError, TypeError, KeyError, IndexError, OverflowError, MemoryError,
)  # fmt: skip


def read_picture(path: Path, *, requirements: Requirements | None = None) -> Study:
    """Read a picture as CT slices where these are asked for, else as a radiograph.

    8-bit gray levels are taken as they are, deeper ones stretched as for radiographs without a window. The pages of a
    TIFF are the slices of a CT. A radiograph that is a negative is turned, with a warning.

    Raises
    ------
    StudyError
        Where the file is no picture of these kinds, is damaged, too large or really in color, or has pages that
        cannot all be read.
    """
    name = shown_name(path)
    is_ct = isinstance(requirements, CtRequirements)
    try:
        _refuse_other_kinds(path, name)
        _check_checksums(path, name)
        # A stream: of a path Pillow maps the file to memory, and scrambles a TIFF that its header turns by a quarter.
        with path.open("rb") as stream, Image.open(stream, formats=_KINDS) as picture:
            pages = _pages(picture, name, is_ct=is_ct)
    except Image.DecompressionBombError as error:
        raise StudyError(
            f"{name} states more pixels than are allowed ({budgets().pixels / 1e6:.0f} million per picture); reduce it "
            "first."
        ) from error
    except _DAMAGES as error:
        raise StudyError(
            f"{name} cannot be read as a picture: it is damaged or cut short. Copy or export it again."
        ) from error
    stored = np.stack(pages)
    if stored.dtype == np.uint8:
        return picture_study(_alone(stretch(stored, bits=8)), path, requirements=requirements, ijk_to_ras=None)
    values = stored.astype(np.float32)
    try:
        notices = make_finite(values)
    except StudyError as error:
        raise StudyError(f"{name}: {error}") from error
    lowest, highest = float(values.min()), float(values.max())
    is_hu = is_ct and looks_like_hu(lowest)
    as_it_is = is_hu or (stored.dtype.kind == "f" and lowest >= 0 and highest <= 1)
    if not as_it_is:
        values = stretch(values, bits=8 if lowest >= 0 and highest <= 255 else 16)
    return picture_study(_alone(values), path, requirements=requirements, ijk_to_ras=None, notices=notices, is_hu=is_hu)


def _alone(stack: np.ndarray) -> np.ndarray:
    return stack[0] if len(stack) == 1 else stack


def _refuse_other_kinds(path: Path, name: str) -> None:
    kind = kind_of(path)
    if kind is None or kind.use != "picture":
        what = kind.name if kind is not None else "not a picture of a known kind"
        raise StudyError(f"{name} cannot be read as a picture: it is {what}. {WHAT_IS_READ}.")


def _check_checksums(path: Path, name: str) -> None:
    """Compare the checksums of a PNG's pieces, which decoding alone does not."""
    with path.open("rb") as stream, Image.open(stream, formats=_KINDS) as picture:
        _check_size(picture, name)
        if picture.format == "PNG":
            picture.verify()


def _check_size(picture: Image.Image, name: str, pages: int = 1) -> None:
    width, height = picture.size
    limits = budgets()
    if width * height > limits.pixels or width * height * pages > limits.voxels or pages > limits.frames:
        raise StudyError(
            f"{name} has {width}×{height} pixels{f' on {pages} pages' if pages > 1 else ''}, more than are allowed "
            f"({limits.pixels / 1e6:.0f} million per picture); reduce it first."
        )


def _pages(picture: Image.Image, name: str, *, is_ct: bool) -> list[np.ndarray]:
    """Return the values of each page ``(y, x)``; smaller copies of a page are none."""
    count = getattr(picture, "n_frames", 1) if picture.format == "TIFF" else 1
    _check_size(picture, name, count)
    pages = []
    for number in range(count):
        picture.seek(number)
        if number and int(_tag(picture, _SUBFILE_TYPE)) & 1:
            continue
        _check_size(picture, name, count)
        pages.append(_values(picture, name))
        if len(pages) > 1 and not is_ct:
            raise StudyError(f"{name} has {count} pages, but one radiograph is expected; save one page alone.")
        if pages[-1].shape != pages[0].shape or pages[-1].dtype != pages[0].dtype:
            raise StudyError(f"{name} has pages of different sizes or kinds, so they are not a stack; give one.")
    return pages


def _tag(picture: Image.Image, tag: int) -> int:
    tags = getattr(picture, "tag_v2", {})
    value = tags.get(tag, 0) if tag == _SUBFILE_TYPE else tags.get(tag, 1)
    return int(value[0] if isinstance(value, tuple) else value)


def _values(picture: Image.Image, name: str) -> np.ndarray:
    """Return one page's gray values ``(y, x)``: uint8 where it has 8 bits or less, else in its own type."""
    upright = ImageOps.exif_transpose(picture)
    if picture.mode in _DEEP_MODES:
        values = np.asarray(upright)
        # Pillow turns negatives over only where they have 8 bits or less.
        if picture.format == "TIFF" and _tag(picture, _PHOTOMETRIC) == 0:
            return (65535 if picture.mode.startswith("I;16") else values.max()) - values
        return values
    if upright.mode in ("LA", "PA", "RGBA", "RGBa", "La") or "transparency" in upright.info:
        # As a viewer with a dark ground shows it.
        black = Image.new("RGBA", upright.size, (0, 0, 0, 255))
        upright = Image.alpha_composite(black, upright.convert("RGBA"))
    if upright.mode in ("1", "L"):
        return np.asarray(upright.convert("L"))
    color = np.asarray(upright.convert("RGB"))
    if not is_really_gray(color):
        raise StudyError(f"{name} is a color picture; CT and radiographs are gray.")
    return np.ascontiguousarray(color[..., 1])
