"""A study as a client packs it (Slicer's panels): a zip of ``study.json`` and ``array.npy``, and nothing else.

Whoever can reach a server can send one, so nothing in it is believed: the array's header is held against the budgets
before memory is taken, only plain numbers are read, never a pickle, and the facts against the array and one another.
"""

import json
import re
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import fields
from functools import lru_cache
from pathlib import Path
from tokenize import TokenError
from typing import IO, Any

import numpy as np

from AcuteFindingsLib.budgets import budgets
from AcuteFindingsLib.errors import StudyError
from AcuteFindingsLib.files import ZIP_FAILS, replace_when_written
from AcuteFindingsLib.json_text import parse_json
from AcuteFindingsLib.names import plain_text
from AcuteFindingsLib.progress import Cancelled, Progress, never_cancelled, no_progress, stop_if
from AcuteFindingsLib.study.geometry import orientation_of
from AcuteFindingsLib.study.gray_values import make_finite
from AcuteFindingsLib.study.notice import Notice
from AcuteFindingsLib.study.study import DicomFacts, Orientation, SourceSlice, Study
from AcuteFindingsLib.study.unpacking import check_growth
from AcuteFindingsLib.study.volume_header import usable_matrix

STUDY, ARRAY = "study.json", "array.npy"

STUDY_FORMAT_VERSION = 1

MEDIA_TYPE = "application/vnd.acutefindings.study+zip"

SOURCE_NAME = "The study"
"""What messages call it: a client's own name for it may name the patient."""

_STEP = 1 << 20
_ENCRYPTED = 0x1
# One date for all, so that the same study is the same bytes; the first that a zip can hold.
_DATE = (1980, 1, 1, 0, 0, 0)
# Our own headers have 118 bytes.
_MOST_HEADER_BYTES = 512
_BAD_HEADER = (ValueError, TypeError, SyntaxError, TokenError, RecursionError, MemoryError, OverflowError)
_MOST_NOTICES, _MOST_LETTERS, _MOST_WORDS = 200, 2000, 100
_CODE = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")
# Axes of a grid are at right angles: the cosine that rounding leaves.
_NOT_SQUARE = 0.01
# Where a slice says it lies and its place in the array may differ by this many planes.
_OFF_PLANE = 0.5
_INTENSITIES = ("HU", "unit", "windowed")


def pack_study(
    folder: Path, target: Path, *, progress: Progress = no_progress, cancelled: Cancelled = never_cancelled
) -> Path:
    """Pack a study's folder, as `jobs.arrays.StudyWriter` writes it, into a zip at `target`; return `target`.

    Names of files and of the study stay here. The same study gives the same bytes.

    Raises
    ------
    StudyError
        The folder holds no whole study, or the disk is full.
    CancelledError
        When `cancelled` says so.
    """
    try:
        facts = json.loads((folder / STUDY).read_text(encoding="utf-8"))
        facts |= {"source_name": "", "sources": [{**item, "file": None} for item in facts["sources"]]}
        size, done = (folder / ARRAY).stat().st_size, 0
        with replace_when_written(target) as partial, zipfile.ZipFile(partial, "w") as archive:
            archive.writestr(_entry(STUDY), json.dumps(facts, allow_nan=False), zipfile.ZIP_DEFLATED)
            with (folder / ARRAY).open("rb") as source, archive.open(_entry(ARRAY), "w", force_zip64=True) as sink:
                while step := source.read(_STEP):
                    stop_if(cancelled)
                    sink.write(step)
                    done += len(step)
                    progress("Packing the study", done / size)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise StudyError(f"The study could not be packed ({error}); is the disk full? Run again.") from error
    return target


def is_packed_study(path: Path) -> bool:
    """Whether a zip holds a packed study: these two entries and no other."""
    try:
        with zipfile.ZipFile(path) as archive:
            return sorted(archive.namelist()) == [ARRAY, STUDY]
    except ZIP_FAILS:
        return False


def read_packed_study(path: Path) -> Study:
    """Read what `pack_study` wrote.

    Raises
    ------
    StudyError
        It is damaged, of another version, beyond the budgets, or its facts contradict its array or one another.
    """
    with _damage_told(), zipfile.ZipFile(path) as archive:
        facts = _read_facts(archive)
        array = _read_array(archive, facts.get("shape"))
    return _study_of(facts, array)


def _entry(name: str) -> zipfile.ZipInfo:
    entry = zipfile.ZipInfo(name, _DATE)
    entry.compress_type = zipfile.ZIP_DEFLATED
    # Packing faster than most networks send; higher levels make CT hardly smaller.
    entry._compresslevel = 1  # type: ignore[attr-defined]
    return entry


@contextmanager
def _damage_told() -> Iterator[None]:
    try:
        yield
    except StudyError:
        raise
    except ZIP_FAILS as error:
        raise StudyError("The packed study is damaged or cut short; send it again.") from error


def _member(archive: zipfile.ZipFile, name: str) -> zipfile.ZipInfo:
    entries = [entry for entry in archive.infolist() if entry.filename == name]
    if len(entries) != 1 or entries[0].flag_bits & _ENCRYPTED:
        raise _wrong(f"its {name} is missing, there twice or encrypted")
    if entries[0].compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise _wrong(f"its {name} is packed in an unusual way")
    return entries[0]


def _read_facts(archive: zipfile.ZipFile) -> dict[str, Any]:
    entry, data = _member(archive, STUDY), bytearray()
    most = budgets().text_bytes
    with archive.open(entry) as stream:
        while step := stream.read(_STEP):
            data += step
            if len(data) > most:
                raise _wrong(f"its {STUDY} is larger than {most / 1e6:.0f} MB")
            check_growth(len(data), entry.compress_size)
    try:
        facts = parse_json(bytes(data))
    except ValueError as error:
        said = "is not JSON" if isinstance(error, json.JSONDecodeError) else error
        raise _wrong(f"its {STUDY} {said}") from error
    if not isinstance(facts, dict) or facts.get("format") != STUDY_FORMAT_VERSION:
        raise _wrong(f"it is not of format {STUDY_FORMAT_VERSION}")
    return facts


def _read_array(archive: zipfile.ZipFile, stated: Any) -> np.ndarray:
    """Return the array as float32; memory is taken only for a shape within the budgets, and filled plane by plane."""
    entry = _member(archive, ARRAY)
    with archive.open(entry) as stream:
        shape, kind = _read_header(stream)
        if list(shape) != stated:
            raise _wrong(f"its array is {_by(shape)}, which {STUDY} does not state")
        if stream.tell() + int(np.prod(shape, dtype=object)) * kind.itemsize != entry.file_size:
            raise _wrong("its array is not as long as its header says")
        array = np.empty(shape, np.float32)
        for plane in array:
            check_growth(stream.tell(), entry.compress_size)
            # A float64 beyond float32 becomes endless, which is told like any other that is no number.
            with np.errstate(over="ignore"):
                plane[...] = np.frombuffer(_exactly(stream, plane.size * kind.itemsize), kind).reshape(shape[1:])
        # The checksum is compared at the end of the data.
        if stream.read(1):
            raise _wrong("its array is not as long as its header says")
    return array


def _read_header(stream: IO[bytes]) -> tuple[tuple[int, ...], np.dtype]:
    try:
        if np.lib.format.read_magic(stream) != (1, 0):
            raise _wrong("its array is of another version of NumPy's format")
        shape, by_column, kind = np.lib.format.read_array_header_1_0(stream, max_header_size=_MOST_HEADER_BYTES)
    except _BAD_HEADER as error:
        raise _wrong("its array has no readable header") from error
    if kind.kind not in "iuf" or kind.itemsize > 8 or kind.byteorder == ">" or kind.shape or by_column:
        raise _wrong("its array holds something other than numbers in the usual order")
    if len(shape) != 3 or min(shape) < 1:
        raise _wrong(f"its array is {_by(shape) or 'a single number'}, not a stack of slices")
    limits = budgets()
    if np.prod(shape, dtype=object) > limits.voxels or shape[1] * shape[2] > limits.pixels:
        raise _wrong(f"its array of {_by(shape)} is larger than any examination")
    return shape, kind


def _exactly(stream: IO[bytes], count: int) -> bytes:
    parts, left = [], count
    while left and (part := stream.read(left)):
        parts.append(part)
        left -= len(part)
    if left:
        raise EOFError
    return b"".join(parts)


def _study_of(facts: dict[str, Any], array: np.ndarray) -> Study:
    try:
        matrix = _matrix(facts["ijk_to_ras"])
        study = Study(
            array=array,
            ijk_to_ras=matrix,
            modality=_word(facts["modality"], 16),
            intensity=facts["intensity"],
            orientation=_orientation(facts["orientation"], matrix),
            sources=tuple(_built(SourceSlice, item) for item in _listed(facts["sources"], budgets().frames)),
            dicom=_built(DicomFacts, facts["dicom"]),
            pixel_spacing_known=_flag(facts["pixel_spacing_known"]),
            regridded=_word(facts["regridded"], _MOST_LETTERS),
            notices=(*(_notice(item) for item in _listed(facts["notices"], _MOST_NOTICES)), *make_finite(array)),
            source_name=SOURCE_NAME,
        )
    except (KeyError, TypeError, ValueError) as error:
        raise _wrong("a fact is missing or not what it should be") from error
    _check_against_array(study)
    return study


def _matrix(value: Any) -> np.ndarray:
    matrix = np.array(value, float)
    if matrix.shape != (4, 4) or matrix[3].tolist() != [0.0, 0.0, 0.0, 1.0]:
        raise ValueError("not a matrix")
    matrix = usable_matrix("the packed study", matrix)
    axes = matrix[:3, :3] / np.linalg.norm(matrix[:3, :3], axis=0)
    if np.abs(axes.T @ axes - np.eye(3)).max() > _NOT_SQUARE:
        raise _wrong("its axes are not at right angles")
    return matrix


def _orientation(stated: Any, matrix: np.ndarray) -> Orientation:
    """Return the plane of the slices: but for a projection, which only the client can know, as the matrix has it."""
    if stated == "projection":
        return "projection"
    axes = matrix[:3, :2] / np.linalg.norm(matrix[:3, :2], axis=0)
    return orientation_of(axes.T.ravel())


def _built(kind: Callable[..., Any], entry: Any) -> Any:
    """Return a dataclass of the library with every field of its own type, no text long and no number endless."""
    right = _checked(kind)(**entry)
    values = {one.name: getattr(right, one.name) for one in fields(kind)}  # type: ignore[arg-type]
    for value in values.values():
        several = value if isinstance(value, tuple) else (value,)
        if len(several) > _MOST_WORDS:
            raise ValueError("too many words")
        for text in several:
            if isinstance(text, str):
                plain_text(text)
    return kind(**values)


@lru_cache
def _checked(kind: Callable[..., Any]) -> Callable[..., Any]:
    # The application imports this module, and may have no pydantic yet.
    from pydantic import ConfigDict
    from pydantic.dataclasses import dataclass

    config = ConfigDict(extra="forbid", allow_inf_nan=False, str_max_length=_MOST_LETTERS)
    return dataclass(kind, config=config, frozen=True)  # type: ignore[call-overload]


def _notice(entry: Any) -> Notice:
    notice: Notice = _built(Notice, entry)
    if not _CODE.fullmatch(notice.code):
        raise ValueError("not a code")
    return notice


def _listed(value: Any, most: int) -> list[Any]:
    if not isinstance(value, list) or len(value) > most:
        raise ValueError("not a list, or too long")
    return value


def _word(value: Any, longest: int) -> str:
    if not isinstance(value, str) or len(value) > longest:
        raise ValueError("not a word")
    return plain_text(value)


def _flag(value: Any) -> bool:
    if not isinstance(value, bool):
        raise ValueError("neither true nor false")
    return value


def _check_against_array(study: Study) -> None:
    depth = len(study.array)
    if study.intensity not in _INTENSITIES:
        raise _wrong("it does not say what its values are")
    if study.intensity != "HU" and (study.array.min() < 0.0 or study.array.max() > 1.0):
        raise _wrong("its values are said to be gray levels from 0 to 1 and are not")
    if study.orientation == "projection" and (depth != 1 or study.intensity != "unit"):
        raise _wrong("it is said to be one radiograph and is not")
    if not study.sources or (not study.regridded and len(study.sources) != depth):
        raise _wrong(f"it has {len(study.sources)} slices by its facts and {depth} by its array")
    if any(source.file is not None for source in study.sources):
        raise _wrong("it names files")
    centers = np.array([(*source.position_ras, 1.0) for source in study.sources])
    planes = (np.linalg.inv(study.ijk_to_ras) @ centers.T)[2]
    stated = np.array([source.k for source in study.sources])
    if (
        [source.index for source in study.sources] != list(range(len(study.sources)))
        or np.abs(planes - stated).max() > _OFF_PLANE
        or stated.min() < -_OFF_PLANE
        or stated.max() > depth - 1 + _OFF_PLANE
    ):
        raise _wrong("its slices do not lie where its array does")


def _wrong(what: str) -> StudyError:
    return StudyError(f"The packed study cannot be read: {what}. Use the same version of AcuteFindings on both sides.")


def _by(shape: tuple[int, ...]) -> str:
    return "×".join(str(length) for length in shape)
