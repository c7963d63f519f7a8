"""Studies and results handed between the application and its worker process: JSON beside memory-mapped arrays.

Needs nothing beyond numpy that Slicer lacks: the application uses it too.
"""

import json
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, replace
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from AcuteFindingsLib.detectors.finding import Finding, Heatmap, file_stems, finding_from_dict, mask_from_dict
from AcuteFindingsLib.errors import AcuteFindingsError, ExportError, StudyError
from AcuteFindingsLib.files import replace_when_written
from AcuteFindingsLib.study.notice import Notice
from AcuteFindingsLib.study.nrrd_writer import as_kind
from AcuteFindingsLib.study.packed_study import ARRAY, STUDY, STUDY_FORMAT_VERSION
from AcuteFindingsLib.study.study import DicomFacts, SourceSlice, Study

FINDING = "finding.json"

# Of a study, what JSON holds as it is.
_PLAIN = ("modality", "intensity", "orientation", "pixel_spacing_known", "regridded", "source_name")


class StudyWriter:
    """Writes a study's folder in parts, so that an application stays alive between them.

    ``study.json`` is written by `close`, last: a folder that holds one is whole. As a context manager it closes where
    the block ended well and discards what it wrote where it did not.

    Parameters
    ----------
    folder
        Where ``study.json`` and ``array.npy`` go; made where it does not exist.
    study
        All facts; its `array` is not read.
    shape
        ``(z, y, x)`` of the array to come; by default that of `study.array`.
    dtype
        Type the voxels are kept in; by default that of `study.array`. Into integers, values are rounded and held
        within range. Whatever the type, `load_study` gives float32.

    Raises
    ------
    StudyError
        When the folder or the file cannot be made.
    """

    def __init__(
        self,
        folder: Path | str,
        study: Study,
        shape: tuple[int, int, int] | None = None,
        dtype: DTypeLike | None = None,
    ) -> None:
        self.folder = Path(folder)
        self.study = study
        self.shape = tuple(int(length) for length in (study.array.shape if shape is None else shape))
        self.dtype = np.dtype(study.array.dtype if dtype is None else dtype)
        self._missing = np.ones(self.shape[0], bool)
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            (self.folder / STUDY).unlink(missing_ok=True)
            # Plain writes, not a memory map: a full disk is then an error that can be told, not the end of the process.
            self._stream = (self.folder / ARRAY).open("wb")
            header = {"descr": np.lib.format.dtype_to_descr(self.dtype), "fortran_order": False, "shape": self.shape}
            np.lib.format.write_array_header_1_0(self._stream, header)
            self._first_byte = self._stream.tell()
        except OSError as error:
            raise self._failed(error) from error

    @property
    def plane_bytes(self) -> int:
        """Size of one plane on disk."""
        return int(np.prod(self.shape[1:])) * self.dtype.itemsize

    def write_planes(self, start: int, planes: np.ndarray) -> None:
        """Write ``(n, y, x)`` planes that begin at index `start`, in any order.

        Raises
        ------
        ValueError
            When they do not lie within the array.
        StudyError
            When the disk is full or the folder gone.
        """
        if planes.ndim != 3 or planes.shape[1:] != self.shape[1:] or not 0 <= start <= self.shape[0] - len(planes):
            raise ValueError(f"planes {planes.shape} from {start} do not lie within an array of shape {self.shape}")
        try:
            self._stream.seek(self._first_byte + start * self.plane_bytes)
            self._stream.write(np.ascontiguousarray(as_kind(planes, self.dtype)).ravel().view(np.uint8).data)
        except OSError as error:
            raise self._failed(error) from error
        self._missing[start : start + len(planes)] = False

    def close(self) -> Path:
        """Finish the array and write ``study.json``; return the folder.

        Raises
        ------
        StudyError
            When planes are missing, or the disk is full.
        """
        try:
            self._stream.close()
            if self._missing.any():
                raise StudyError(f"The copy of the study in {self.folder} lacks {int(self._missing.sum())} slices.")
            with replace_when_written(self.folder / STUDY) as partial:
                partial.write_text(json.dumps(_study_dict(self.study, self.shape)), encoding="utf-8")
        except OSError as error:
            raise self._failed(error) from error
        return self.folder

    def discard(self) -> None:
        """Stop before the end and remove what was written; the folder itself stays."""
        # What a full disk leaves in the buffer is not wanted any more.
        with suppress(OSError):
            self._stream.close()
        for name in (STUDY, ARRAY):
            (self.folder / name).unlink(missing_ok=True)

    def __enter__(self) -> "StudyWriter":
        """Return the writer itself."""
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        """Close, or discard after an error."""
        if kind is None:
            self.close()
        else:
            self.discard()

    def _failed(self, error: OSError) -> StudyError:
        return StudyError(
            f"The study could not be copied to {self.folder} ({error.strerror or error}); make room on the disk or "
            "choose another folder for temporary files."
        )


def save_study(study: Study, folder: Path | str, *, dtype: DTypeLike | None = None) -> Path:
    """Write a whole study in one go, as `StudyWriter` does in parts; return the folder."""
    with StudyWriter(folder, study, dtype=dtype) as writer:
        writer.write_planes(0, study.array)
    return writer.folder


def load_study(folder: Path | str) -> Study:
    """Read what `StudyWriter` wrote.

    The array is float32. Where it is stored so, it is mapped from the file and takes no memory of its own (changes to
    it stay in this process); other types are converted.

    Raises
    ------
    StudyError
        When a file is missing, cut short or of another version.
    """
    folder = Path(folder)
    with _readable(f"The copy of the study in {folder} cannot be read", "start again", StudyError):
        data = json.loads((folder / STUDY).read_text(encoding="utf-8"))
        if data["format"] != STUDY_FORMAT_VERSION:
            raise StudyError(f"{folder / STUDY}: field 'format' is {data['format']}, not {STUDY_FORMAT_VERSION}.")
        stored = _map(folder / ARRAY, "c")
        if list(stored.shape) != data["shape"]:
            raise StudyError(f"{folder / ARRAY} is {stored.shape}, but {STUDY} states {tuple(data['shape'])}.")
        # A plain array: a memmap's class would travel into every array computed from it.
        array = np.asarray(stored) if stored.dtype == np.float32 else stored.astype(np.float32)
        return _study_from_dict(data, np.asarray(array))


def save_result(finding: Finding, folder: Path | str) -> Path:
    """Write ``finding.json`` and, uncompressed, ``masks/*.npy`` and ``heatmap.npy``; return the JSON's path.

    Everything is written beside `folder` and moved there when complete, in place of an earlier result: whenever the
    process ends, `folder` is whole or not there. The JSON is `Finding.to_dict` but for the names of the files and the
    heat map's ``ijk_to_ras``.

    Raises
    ------
    ExportError
        When the disk is full, or `folder` holds something other than an earlier result.
    """
    folder = Path(folder).absolute()
    work = folder.with_name(f".{uuid.uuid4().hex[:8]}.partial.{folder.name}")
    data = finding.to_dict()
    try:
        work.mkdir(parents=True)
        for mask, stem, entry in zip(finding.masks, file_stems(finding.masks), data["masks"], strict=True):
            entry["file"] = f"masks/{stem}.npy"
            _save(work / entry["file"], mask.array)
        if finding.heatmap is not None:
            ijk_to_ras = np.asarray(finding.heatmap.ijk_to_ras, float).tolist()
            data["heatmap"] |= {"file": "heatmap.npy", "ijk_to_ras": ijk_to_ras}
            _save(work / "heatmap.npy", finding.heatmap.array)
        (work / FINDING).write_text(json.dumps(data, allow_nan=False), encoding="utf-8")
        _put_in_place(work, folder)
    except OSError as error:
        raise ExportError(f"The result could not be written to {folder}: {error.strerror or error}.") from error
    finally:
        shutil.rmtree(work, ignore_errors=True)
    return folder / FINDING


def load_result(folder: Path | str) -> Finding:
    """Read what `save_result` wrote; masks and heat map are read-only maps of their files.

    Raises
    ------
    ExportError
        When a file is missing, cut short or of another version.
    """
    folder = Path(folder)
    with _readable(f"The result in {folder} cannot be read", "run the detector again", ExportError):
        data = json.loads((folder / FINDING).read_text(encoding="utf-8"))
        finding = finding_from_dict({**data, "masks": [], "heatmap": None}, folder)
        masks = tuple(mask_from_dict(entry, _map(folder / entry["file"], "r")) for entry in data["masks"])
        heat = data["heatmap"]
        heatmap = heat and Heatmap(heat["name"], _map(folder / heat["file"], "r"), np.array(heat["ijk_to_ras"], float))
        return replace(finding, masks=masks, heatmap=heatmap)


@contextmanager
def _readable(what: str, advice: str, kind: type[AcuteFindingsError]) -> Iterator[None]:
    """Turn whatever a missing or damaged file raises into one sentence."""
    try:
        yield
    except (KeyError, TypeError, ValueError, OSError) as error:
        why = f"{error.strerror}: {error.filename}" if isinstance(error, OSError) else repr(error)
        raise kind(f"{what} ({why}); {advice}.") from error


def _map(path: Path, mode: Any) -> np.memmap:
    array = np.load(path, mmap_mode=mode, allow_pickle=False)
    if not isinstance(array, np.memmap):
        raise ValueError(f"{path} holds no single array")
    return array


def _save(path: Path, array: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    np.save(path, array, allow_pickle=False)


def _put_in_place(work: Path, folder: Path) -> None:
    if folder.is_dir() and any(folder.iterdir()):
        others = [path for path in folder.rglob("*") if path.relative_to(folder).as_posix() not in _parts(folder)]
        if others or not (folder / FINDING).is_file():
            raise ExportError(f"{folder} holds other files; name an empty folder for the result.")
        # Moved, then removed: where a file of it is still mapped and cannot go (Windows), nothing is lost.
        earlier = work.with_name(f"{work.name}.earlier")
        folder.rename(earlier)
        shutil.rmtree(earlier, ignore_errors=True)
    elif folder.is_dir():
        folder.rmdir()
    work.rename(folder)


def _parts(folder: Path) -> set[str]:
    """Return the files and folders that an earlier result in a folder consists of, by its own JSON."""
    try:
        masks = json.loads((folder / FINDING).read_text(encoding="utf-8"))["masks"]
        return {FINDING, "heatmap.npy", "masks", *(str(entry["file"]) for entry in masks)}
    except (OSError, ValueError, KeyError, TypeError):
        return {FINDING}


def _study_dict(study: Study, shape: tuple[int, ...]) -> dict[str, Any]:
    return {
        "format": STUDY_FORMAT_VERSION,
        "shape": list(shape),
        "ijk_to_ras": np.asarray(study.ijk_to_ras, float).tolist(),
        **{name: getattr(study, name) for name in _PLAIN},
        "sources": [{**asdict(item), "file": None if item.file is None else str(item.file)} for item in study.sources],
        # What a series is called stays in memory: its meaning is in `stated` and `stated_parts`.
        "dicom": {**asdict(study.dicom), "series_description": ""},
        "notices": [asdict(notice) for notice in study.notices],
    }


def _study_from_dict(data: dict[str, Any], array: np.ndarray) -> Study:
    files = (None if item["file"] is None else Path(item["file"]) for item in data["sources"])
    return Study(
        array=array,
        ijk_to_ras=np.asarray(data["ijk_to_ras"], float),
        sources=tuple(
            SourceSlice(**{**_with_tuples(item), "file": file})
            for item, file in zip(data["sources"], files, strict=True)
        ),
        dicom=DicomFacts(**_with_tuples(data["dicom"])),
        notices=tuple(Notice(**notice) for notice in data["notices"]),
        **{name: data[name] for name in _PLAIN},
    )


def _with_tuples(values: dict[str, Any]) -> dict[str, Any]:
    """Return values as they were before JSON, which has lists only."""
    return {name: tuple(value) if isinstance(value, list) else value for name, value in values.items()}
