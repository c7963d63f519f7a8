"""The examinations below a folder, or in a table of paths: what there is to be read."""

import os
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from pydicom.dataset import Dataset
from pydicom.errors import InvalidDicomError
from pydicom.tag import Tag

from AcuteFindingsLib.errors import DataError
from AcuteFindingsLib.evaluation.table_files import open_table
from AcuteFindingsLib.progress import Cancelled, Progress, never_cancelled, no_progress, stop_if
from AcuteFindingsLib.study.dicom_files import UNREADABLE, DicomIndexError, read_tags
from AcuteFindingsLib.study.dicom_fit import OTHER_MODALITIES, PROJECTION_MODALITIES, VOLUME_MODALITIES
from AcuteFindingsLib.study.file_kinds import kind_of
from AcuteFindingsLib.study.folder_files import files_below, spoiled_among
from AcuteFindingsLib.study.images import is_picture, is_volume
from AcuteFindingsLib.study.patient import PATIENT_TAGS, join_patients, keep_no_patient

READ_MODALITIES = (*VOLUME_MODALITIES, *PROJECTION_MODALITIES, *OTHER_MODALITIES)
"""Modalities that a detector may read; examinations without any of these are counted and left alone."""

_TAGS = [Tag(name) for name in ("StudyInstanceUID", "SeriesInstanceUID", "Modality", *PATIENT_TAGS)]
_COLUMNS = ("path", "file", "study", "image")
_MOST_ROWS = 1_000_000
# A department's tree is larger than a study's, for which `Budgets.files` is.
_MOST_FILES = 50_000_000
# File, modality, and Series Instance UID.
_Member = tuple[Path, str, str]


@dataclass(frozen=True)
class Exam:
    """One examination of one patient: DICOM files of one study, or another file that is a study by itself.

    Attributes
    ----------
    source
        The file, or the folder that all its files lie below.
    files
        Its DICOM files; none where `source` is the study, whatever it holds.
    study_uid
        Study Instance UID; empty where none is stated.
    modalities
        Of its DICOM files.
    arrived
        When it was first seen, ISO 8601 in UTC; empty where nobody said.
    series
        One file of each series.
    """

    source: Path
    files: tuple[Path, ...] = ()
    study_uid: str = ""
    modalities: frozenset[str] = frozenset()
    arrived: str = ""
    series: tuple[Path, ...] = ()


@dataclass(frozen=True)
class Found:
    """What a source holds.

    Attributes
    ----------
    exams
        What may be read, in the order of their files.
    others
        Examinations of modalities that no detector reads (MR, US, ...).
    unreadable
        Files that should be DICOM and cannot be read.
    missing
        Paths of a table that do not exist.
    """

    exams: tuple[Exam, ...]
    others: int = 0
    unreadable: tuple[Path, ...] = ()
    missing: tuple[Path, ...] = ()


def find_exams(source: Path, *, progress: Progress = no_progress, cancelled: Cancelled = never_cancelled) -> Found:
    """Return the examinations of a folder tree, of a table of paths, or the one that a single file is.

    A folder may hold any number of patients, studies and series, their files mixed; of DICOM files those with one
    Study Instance UID and one patient are an examination. Volume files and pictures are examinations by themselves; so
    are zip files. A table (CSV, TSV, Excel) has a column ``path``; paths in it are relative to the table.

    Raises
    ------
    DataError
        There is no such source, or a table without such a column.
    CancelledError
        When `cancelled` says so.
    """
    if not source.exists():
        raise DataError(f"{source} does not exist; give a folder of studies, or a table of their paths.")
    if source.is_dir():
        files, closed = files_below(source, most=_MOST_FILES)
        found = _sorted_out(source, _without_results(files), progress, cancelled)
        return Found(found.exams, found.others, (*found.unreadable, *closed))
    if source.suffix.lower() in (".csv", ".tsv", ".txt", ".xlsx"):
        return _of_table(source, progress, cancelled)
    return Found((Exam(source),))


def exams_of(
    files: Sequence[Path], *, progress: Progress = no_progress, cancelled: Cancelled = never_cancelled
) -> Found:
    """Return the examinations that named files are, as `find_exams` does for a folder: chosen series, for example.

    Raises
    ------
    CancelledError
        When `cancelled` says so.
    """
    there = [file for file in files if file.is_file()]
    missing = tuple(file for file in files if not file.is_file())
    if not there:
        return Found((), missing=missing)
    root = Path(os.path.commonpath([file.parent for file in there]))
    found = _sorted_out(root, there, progress, cancelled)
    return Found(found.exams, found.others, found.unreadable, missing)


def _of_table(table: Path, progress: Progress, cancelled: Cancelled) -> Found:
    rows = iter(open_table(table).rows())
    header = [name.casefold() for name in next(rows, [])]
    column = next((header.index(name) for name in _COLUMNS if name in header), None)
    if column is None:
        raise DataError(f"{table} has no column 'path' with the files or folders of studies; it has {header}.")
    named = dict.fromkeys(table.parent / row[column] for row in rows if column < len(row) and row[column])
    if len(named) > _MOST_ROWS:
        raise DataError(f"{table} names more than {_MOST_ROWS:,} paths; cut it into parts.")
    exams: dict[tuple[str, tuple[Path, ...]], Exam] = {}
    missing: list[Path] = []
    unreadable: list[Path] = []
    others = 0
    for number, path in enumerate(named):
        stop_if(cancelled)
        progress(f"Looking at path {number + 1} of {len(named)}", number / len(named))
        if not path.exists():
            missing.append(path)
            continue
        found = find_exams(path, cancelled=cancelled) if path.is_dir() else Found((Exam(path),))
        exams |= {(str(exam.source), exam.files): exam for exam in found.exams}
        others += found.others
        unreadable += found.unreadable
    return Found(tuple(exams.values()), others, tuple(unreadable), tuple(missing))


def _sorted_out(root: Path, files: Sequence[Path], progress: Progress, cancelled: Cancelled) -> Found:
    headers: list[tuple[Path, Dataset]] = []
    others: list[Path] = []
    unreadable: list[Path] = []
    for number, file in enumerate(files):
        if number % 50 == 0:
            stop_if(cancelled)
            progress(f"Looking at file {number} of {len(files)}", number / len(files))
        try:
            header = read_tags(file, _TAGS, stop_before_pixels=True)
        except DicomIndexError:
            continue
        except InvalidDicomError:
            others.append(file)
            continue
        except UNREADABLE:
            unreadable.append(file)
            continue
        keep_no_patient(header, kept=())
        headers.append((file, header))
    unreadable += spoiled_among(others, [file for file, _ in headers] + unreadable)
    join_patients(header for _, header in headers)
    groups: dict[tuple[str, str], list[_Member]] = defaultdict(list)
    for file, header in headers:
        study = str(header.get("StudyInstanceUID") or "")
        # Without a study's UID what lies in one folder belongs together.
        key = (study or f"in {file.parent}", str(header.get("PatientID") or ""))
        modality = str(header.get("Modality") or "").strip().upper()
        groups[key].append((file, modality, str(header.get("SeriesInstanceUID") or "")))
    exams: list[Exam] = []
    left = 0
    for (study, _), members in _without_nameless(groups).items():
        modalities = frozenset(modality for _, modality, _ in members)
        if modalities.isdisjoint(READ_MODALITIES):
            left += 1
            continue
        paths = tuple(file for file, _, _ in members)
        first = {series: file for file, _, series in reversed(members)}
        uid = "" if study.startswith("in ") else study
        exams.append(Exam(_place(paths, root), paths, uid, modalities, series=tuple(first.values())))
    exams, unreadable = _with_unreadable(exams, unreadable)
    spoiled = set(unreadable) | {file for exam in exams for file in exam.files}
    exams += [Exam(file) for file in others if file not in spoiled and _is_study(file)]
    return Found(tuple(exams), left, tuple(unreadable))


def _without_results(files: Sequence[Path]) -> list[Path]:
    """Leave out what batches wrote: a folder of results below the source is none of its studies."""
    results = {file.parent.parent for file in files if file.name == "key" and file.parent.name == "records"}
    if not results:
        return list(files)
    return [file for file in files if results.isdisjoint(file.parents)]


def _with_unreadable(exams: list[Exam], unreadable: list[Path]) -> tuple[list[Exam], list[Path]]:
    """Give files that cannot be read to the only examination of their folder, whose reader tells what is lost."""
    by_folder: dict[Path, set[int]] = defaultdict(set)
    for number, exam in enumerate(exams):
        for file in exam.files:
            by_folder[file.parent].add(number)
    given: dict[int, list[Path]] = defaultdict(list)
    left = []
    for file in unreadable:
        owners = by_folder.get(file.parent, set())
        if len(owners) == 1:
            given[next(iter(owners))].append(file)
        else:
            left.append(file)
    joined = [
        replace(exam, files=tuple(sorted((*exam.files, *given[number])))) if number in given else exam
        for number, exam in enumerate(exams)
    ]
    return joined, left


def _without_nameless(
    groups: dict[tuple[str, str], list[_Member]],
) -> dict[tuple[str, str], list[_Member]]:
    """Give images that name no patient to the only patient of their study."""
    patients: dict[str, set[str]] = defaultdict(set)
    for study, patient in groups:
        patients[study].add(patient)
    joined: dict[tuple[str, str], list[_Member]] = {}
    for (study, patient), members in groups.items():
        named = patients[study] - {""}
        key = (study, next(iter(named)) if not patient and len(named) == 1 else patient)
        joined.setdefault(key, []).extend(members)
    return joined


def _place(files: Iterable[Path], root: Path) -> Path:
    parents = {file.parent for file in files}
    return next(iter(parents)) if len(parents) == 1 else root


def _is_study(file: Path) -> bool:
    if is_volume(file) or is_picture(file):
        return True
    try:
        kind = kind_of(file)
    except OSError:
        return False
    return kind is not None and kind.use in ("zip", "volume", "picture")
