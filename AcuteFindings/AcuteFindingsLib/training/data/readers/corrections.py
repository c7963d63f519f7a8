"""Annotators' corrections as the modules save them: a folder each with ``correction.json``."""

import hashlib
import json
from collections import Counter
from pathlib import Path
from typing import Any

import pandas as pd
import SimpleITK as sitk
from pydantic import BaseModel, Field, ValidationError

from AcuteFindingsLib.detectors.registry import detector_ids, find_task
from AcuteFindingsLib.errors import DataError, StudyError
from AcuteFindingsLib.models.metadata import Task
from AcuteFindingsLib.names import below
from AcuteFindingsLib.progress import Progress
from AcuteFindingsLib.study.itk_files import image_size, read_image
from AcuteFindingsLib.training.data.checks import Problems, counted, read_csv
from AcuteFindingsLib.training.data.table import DataTable, Example, MaskSource

KIND = "corrections"
RECORD = "correction.json"
_ANSWERS = {"present": 1.0, "absent": 0.0}


class _Segment(BaseModel):
    name: str
    value: int = Field(ge=0, lt=2**31)
    in_corrected_mask: bool = False
    status: str | None = None


class _Record(BaseModel):
    """What is read of a record; anything else in it is nobody's business here."""

    detector: str
    files: dict[str, str | None]
    segments: list[_Segment] = []
    series_instance_uid: str | None = None


def fits(folder: Path) -> bool:
    """Whether the folder holds this data set."""
    return any(folder.glob(f"*/{RECORD}"))


def read(folder: Path, *, task: Task | None, cache: Path | None, progress: Progress) -> DataTable:  # noqa: ARG001
    """Read and check the corrections of one detector; of several, those that `task` is about, else the most frequent.

    One example a plane of the image. Its label is what the annotator said of the slice; else 1 where the corrected
    mask marks it, and 0 where it does not although the annotator called the mask completed; else it is unknown.
    """
    problems = Problems()
    records = _records(folder, problems)
    if not records:
        raise DataError(f"{folder.name} holds no correction that can be read (name/{RECORD}).")
    counts = Counter(str(record.get("detector")) for _, record in records)
    chosen = str(task)
    if chosen not in detector_ids():
        chosen = next((name for name, _ in counts.most_common() if name in detector_ids()), detector_ids()[-1])
    label = find_task(chosen).main_label
    others = [path.name for path, record in records if record.get("detector") != chosen]
    if others:
        text = f"{counted(others, 'correction')} of another detector than {chosen}; not read."
        problems.add("info", RECORD, "detector", text, others)
    examples: list[Example] = []
    mine = [(path, record) for path, record in records if record.get("detector") == chosen]
    for number, (path, record) in enumerate(mine):
        progress(f"Reading corrections: {number} of {len(mine)}", number / max(len(mine), 1))
        examples += _examples(path, record, chosen, label, problems)
    if not examples:
        problems.add("error", folder.name, "", f"no correction of the {chosen} detector can be used.")
    else:
        text = "corrections do not name the patient; images of one series are kept together."
        problems.add("info", RECORD, "series_instance_uid", text)
    return DataTable.from_examples(KIND, chosen, [label], examples, root=folder, problems=problems.sorted())


def _records(folder: Path, problems: Problems) -> list[tuple[Path, dict[str, Any]]]:
    found = []
    for path in sorted(folder.glob(f"*/{RECORD}")):
        try:
            record = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            problems.add("warn", f"{path.parent.name}/{RECORD}", "", "it cannot be read; the correction is left out.")
            continue
        if not isinstance(record, dict) or not _files_are_its_own(path.parent, record):
            text = "it names files that are missing; the correction is left out."
            problems.add("warn", f"{path.parent.name}/{RECORD}", "files", text)
        elif record.get("format") == 1:
            try:
                _Record.model_validate(record)
            except ValidationError as error:
                field = ".".join(str(part) for part in error.errors()[0]["loc"])[:80]
                text = "it is damaged or of another program; the correction is left out."
                problems.add("warn", f"{path.parent.name}/{RECORD}", field, text)
            else:
                found.append((path.parent, record))
        else:
            text = f"format {record.get('format')} is unknown (expected 1); the correction is left out."
            problems.add("warn", f"{path.parent.name}/{RECORD}", "format", text)
    return found


def _files_are_its_own(folder: Path, record: dict[str, Any]) -> bool:
    """Whether every file that a record names lies in its own folder."""
    files = record.get("files", {})
    if not isinstance(files, dict):
        return False
    try:
        return all(below(folder, name).parent == folder for name in files.values() if name is not None)
    except ValueError:
        return False


def _examples(folder: Path, record: dict[str, Any], task: Task, label_name: str, problems: Problems) -> list[Example]:
    files = record.get("files", {})
    image = folder / str(files.get("image"))
    size = _size(image)
    if size is None:
        problems.add("warn", f"{folder.name}/{image.name}", "", "the image is missing or damaged; left out.")
        return []
    masks = _masks(folder, record, size, problems)
    said = _said(folder, record, size[0], problems)
    completed = bool(masks) and all(
        one.get("status") == "completed" for one in record.get("segments", []) if one.get("in_corrected_mask")
    )
    marked = _marked(masks, size[0])
    series = str(record.get("series_instance_uid") or "")
    patient = hashlib.sha256(series.encode()).hexdigest()[:16] if series else folder.name
    examples = []
    for plane in range(size[0]):
        label = said.get(plane)
        if label is None and masks:
            label = 1.0 if marked[plane] else 0.0 if completed else None
        examples.append(
            Example(
                key=f"{folder.name}/{plane + 1}",
                patient=patient,
                series=folder.name if size[0] > 1 else "",
                order=float(plane),
                source=image,
                frame=plane,
                task=task,
                labels={label_name: float("nan") if label is None else label},
                masks={name: MaskSource(one.path, plane, one.value) for name, one in masks.items()},
                facts={"annotated": float(plane in said)},
            )
        )
    return examples


def _masks(folder: Path, record: dict[str, Any], size: tuple[int, ...], problems: Problems) -> dict[str, MaskSource]:
    name = record.get("files", {}).get("corrected_mask")
    if not name:
        return {}
    path = folder / str(name)
    found = _size(path)
    if found != size:
        what = "is missing or damaged" if found is None else f"is {found}, the image {size} (z, y, x)"
        problems.add("warn", f"{folder.name}/{path.name}", "", f"the mask {what}; it is left out.")
        return {}
    segments = [one for one in record.get("segments", []) if one.get("in_corrected_mask")]
    return {str(one["name"]): MaskSource(path=path, value=int(one["value"])) for one in segments}


def _marked(masks: dict[str, MaskSource], planes: int) -> list[bool]:
    """Return in which planes the segment that the detector is about marks something."""
    first = next(iter(masks.values()), None)
    if first is None or first.path is None:
        return [False] * planes
    values = sitk.GetArrayFromImage(read_image(first.path)).astype("int64")
    values = values if values.ndim == 3 else values[None]
    return [bool(one) for one in ((values & (first.value or 1)) != 0).any(axis=(1, 2))]


def _said(folder: Path, record: dict[str, Any], planes: int, problems: Problems) -> dict[int, float]:
    """Return the annotator's answer by plane; NaN where unsure."""
    path = folder / str(record.get("files", {}).get("slice_labels"))
    where = f"{folder.name}/{path.name}"
    try:
        rows = read_csv(path, ["slice", "corrected"], dtype=str, keep_default_na=False)
    except DataError as error:
        problems.add("warn", where, "", f"{error} Its labels are unknown.")
        return {}
    answers = rows["corrected"].str.strip()
    if not (answers != "").any():
        return {}
    if len(rows) != planes:
        text = f"labels of {len(rows)} slices, but the image has {planes} planes; the labels are left out."
        problems.add("warn", where, "slice", text)
        return {}
    strange = ~answers.isin([*_ANSWERS, "unsure", ""])
    if strange.any():
        text = f"{counted(strange, 'answer')} none of present, absent, unsure; unknown."
        problems.add("warn", where, "corrected", text, answers[strange])
    numbers = pd.to_numeric(rows["slice"], errors="coerce") - 1
    if not numbers.isin(range(planes)).all() or numbers.duplicated().any():
        text = f"slices are not numbered 1 to {planes}, each once; the labels are left out."
        problems.add("warn", where, "slice", text)
        return {}
    return {
        plane: _ANSWERS.get(answer, float("nan"))
        for plane, answer in zip(numbers.astype(int), answers, strict=True)
        if answer
    }


def _size(path: Path) -> tuple[int, ...] | None:
    try:
        return image_size(path)
    except StudyError:
        return None
