"""What only the DICOM headers of a data set say: patient, series, position, sex, age, view, spacing."""

import hashlib
import os
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pydicom
from pydicom.errors import InvalidDicomError

from AcuteFindingsLib.files import replace_when_written
from AcuteFindingsLib.progress import Progress, no_progress
from AcuteFindingsLib.study.dicom_files import quiet_pydicom

COLUMNS = (
    "patient", "study", "series", "sop", "sex", "age", "view", "spacing_mm", "thickness_mm", "rows", "columns",
    "position", "modality", "turned", "unreadable",
)  # fmt: skip

_TAGS = [
    "PatientID", "PatientSex", "PatientAge", "StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID", "ViewPosition",
    "PixelSpacing", "ImagerPixelSpacing", "SliceThickness", "Rows", "Columns", "ImagePositionPatient",
    "ImageOrientationPatient", "InstanceNumber", "Modality", "PatientOrientation",
]  # fmt: skip
_TEXTS = ("patient", "study", "series", "sop", "sex", "age", "view", "modality", "unreadable")
_MANY = 4000
_CHUNK = 500


def scan_headers(
    root: Path, files: Sequence[str], *, cache: Path | None = None, progress: Progress = no_progress
) -> pd.DataFrame:
    """Read the headers of DICOM files.

    Parameters
    ----------
    root
        Folder that the names are relative to.
    files
        Names with ``/``.
    cache
        Folder for what was read. A file that changed its size or time is read again, the others are not.
    progress
        Called with what is being done and the share done.

    Returns
    -------
    pandas.DataFrame
        Indexed by the names, with `COLUMNS`. `patient` is a digest of the Patient ID: what is in the file itself
        never leaves it. `position` is the place along the slice normal in mm; `turned` whether the stored radiograph
        is shown otherwise; `unreadable` says why a file could not be read, else it is empty.
    """
    stamps = [_stamp(root / name) for name in files]
    wanted = pd.DataFrame({"stamp": stamps}, index=pd.Index(files, dtype=object))
    kept = _load(cache, root)
    fresh = wanted.index.isin(kept.index[kept["stamp"].reindex(wanted.index).eq(wanted["stamp"]).reindex(kept.index)])
    todo = [name for name, known in zip(files, fresh, strict=True) if not known]
    found = _scan(root, todo, progress)
    found["stamp"] = wanted.loc[todo, "stamp"]
    every = pd.concat([kept[~kept.index.isin(todo)], found]) if len(kept) else found
    if cache is not None and todo:
        with replace_when_written(_file(cache, root)) as partial:
            every.to_csv(partial, index_label="file", compression="gzip")
    return every.loc[list(files), list(COLUMNS)].astype({name: object if name in _TEXTS else float for name in COLUMNS})


def _scan(root: Path, names: Sequence[str], progress: Progress) -> pd.DataFrame:
    pieces = [names[start : start + _CHUNK] for start in range(0, len(names), _CHUNK)]
    records: list[dict[str, Any]] = []
    if len(names) < _MANY:
        parts: Any = (_read_many(root, piece) for piece in pieces)
        records = _gather(parts, len(names), progress)
    else:
        with ProcessPoolExecutor(os.cpu_count(), mp_context=get_context("spawn")) as pool:
            records = _gather(pool.map(_read_many, [root] * len(pieces), pieces), len(names), progress)
    return pd.DataFrame(records, index=pd.Index(names, dtype=object), columns=list(COLUMNS))


def _gather(parts: Any, total: int, progress: Progress) -> list[dict[str, Any]]:
    records: list[dict[str, Any]] = []
    for part in parts:
        records += part
        progress(f"Reading headers: {len(records)} of {total} files", len(records) / total)
    return records


def _read_many(root: Path, names: Sequence[str]) -> list[dict[str, Any]]:
    with quiet_pydicom():
        return [_read(root / name) for name in names]


def _read(path: Path) -> dict[str, Any]:
    record: dict[str, Any] = {**dict.fromkeys(COLUMNS, float("nan")), **dict.fromkeys(_TEXTS, ""), "turned": 0}
    try:
        header = pydicom.dcmread(path, stop_before_pixels=True, specific_tags=_TAGS)
        spacing = header.get("PixelSpacing") or header.get("ImagerPixelSpacing")
        patient = str(header.get("PatientID") or "")
        record |= {
            "patient": hashlib.sha256(patient.encode()).hexdigest()[:16] if patient else "",
            "study": str(header.get("StudyInstanceUID") or ""),
            "series": str(header.get("SeriesInstanceUID") or ""),
            "sop": str(header.get("SOPInstanceUID") or ""),
            "sex": str(header.get("PatientSex") or ""),
            "age": str(header.get("PatientAge") or ""),
            "view": str(header.get("ViewPosition") or "").upper(),
            "spacing_mm": float(spacing[0]) if spacing else float("nan"),
            "thickness_mm": float(header.get("SliceThickness") or "nan"),
            "rows": float(header.get("Rows") or "nan"),
            "columns": float(header.get("Columns") or "nan"),
            "position": _position(header),
            "modality": str(header.get("Modality") or ""),
            "turned": int(_is_turned(header)),
        }
    except (InvalidDicomError, OSError, EOFError, ValueError, TypeError, AttributeError, KeyError) as error:
        record["unreadable"] = "no DICOM file" if isinstance(error, InvalidDicomError) else "damaged or cut short"
    return record


def _position(header: pydicom.Dataset) -> float:
    """Return the place along the slice normal in mm, else the Instance Number."""
    position, axes = header.get("ImagePositionPatient"), header.get("ImageOrientationPatient")
    if position and axes and len(position) == 3 and len(axes) == 6:
        normal = np.cross(np.array(axes[:3], float), np.array(axes[3:], float))
        return float(np.dot(normal, np.array(position, float)))
    number = header.get("InstanceNumber")
    return float("nan") if number is None else float(number)


def _is_turned(header: pydicom.Dataset) -> bool:
    stated = [str(one) for one in header.get("PatientOrientation") or []]
    return len(stated) == 2 and all(stated) and (stated[0][0], stated[1][0]) != ("L", "F")


def _stamp(path: Path) -> str:
    try:
        status = path.stat()
    except OSError:
        return ""
    return f"{status.st_size}-{status.st_mtime_ns}"


def _file(cache: Path, root: Path) -> Path:
    # What is read of a header is decided by this file: another version of it reads them anew.
    digest = hashlib.sha256(f"{root.resolve()}".encode() + Path(__file__).read_bytes()).hexdigest()[:16]
    return cache / "headers" / f"{digest}.csv.gz"


def _load(cache: Path | None, root: Path) -> pd.DataFrame:
    empty = pd.DataFrame(columns=[*COLUMNS, "stamp"], index=pd.Index([], dtype=object), dtype=object)
    if cache is None or not _file(cache, root).is_file():
        return empty
    kept = pd.read_csv(
        _file(cache, root), index_col="file", dtype=dict.fromkeys((*_TEXTS, "stamp", "file"), str), keep_default_na=True
    )
    return kept.fillna(dict.fromkeys(_TEXTS, ""))
