"""Studies that `acutefindings phantom` writes: a folder a study, with ``dicom`` and ``truth``."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from AcuteFindingsLib.detectors.kind import SamplePhantoms
from AcuteFindingsLib.detectors.registry import find_task, kind_of_task, kinds
from AcuteFindingsLib.errors import DataError, EvaluationError, StudyError
from AcuteFindingsLib.evaluation.table_files import first_rows
from AcuteFindingsLib.models.metadata import Task
from AcuteFindingsLib.models.task import load_reference
from AcuteFindingsLib.progress import Progress
from AcuteFindingsLib.study.itk_files import image_size
from AcuteFindingsLib.training.data.checks import Problems, binary, counted, read_csv
from AcuteFindingsLib.training.data.table import DataTable, Example, MaskSource

KIND = "phantoms"


# Columns of slices.csv that are no labels.
_NAMES = ("slice", "sop_instance_uid")


@dataclass(frozen=True)
class _Plan:
    """What a task takes from its phantoms: labels of slices, what reads those of examinations, masks to come first."""

    kind: str
    labels: tuple[str, ...]
    exam_labels: Callable[[Mapping[str, Any]], Mapping[str, float]]
    masks: tuple[str, ...]


def fits(folder: Path) -> bool:
    """Whether the folder holds this data set."""
    return any(folder.glob("*/truth/study.csv"))


def read(folder: Path, *, task: Task | None, cache: Path | None, progress: Progress) -> DataTable:  # noqa: ARG001
    """Read and check the phantoms of one kind; where several lie there, those that `task` is about.

    A phantom is a patient of its own. Labels of a study stand with each of its slices.
    """
    studies = sorted(path.parent.parent for path in folder.glob("*/truth/study.csv"))
    if not studies:
        raise DataError(f"{folder.name} holds no phantom (name/truth/study.csv); make some with acutefindings phantom.")
    problems = Problems()
    kinds = {study: _study_row(study).get("kind", "") for study in studies}
    chosen = task or _first_task(str(kinds[studies[0]]))
    plan = _plan(chosen, [study for study in studies if kinds[study] == _phantoms(chosen).generator])
    others = [study.name for study in studies if kinds[study] != plan.kind]
    if others:
        text = f"{counted(others, 'phantom')} of another kind than {plan.kind}; not read."
        problems.add("info", "study.csv", "kind", text, others)
    examples: list[Example] = []
    wanted = [study for study in studies if kinds[study] == plan.kind]
    for number, study in enumerate(wanted):
        progress(f"Reading phantoms: {number} of {len(wanted)}", number / len(wanted))
        examples += _examples(study, plan, chosen, problems)
    if not examples:
        problems.add("error", "study.csv", "kind", f"no {plan.kind} phantom is here; task {chosen} needs some.")
    labels = dict.fromkeys((*plan.labels, *(name for one in examples for name in one.labels)))
    return DataTable.from_examples(KIND, chosen, tuple(labels), examples, root=folder, problems=problems.sorted())


def _phantoms(task: Task) -> SamplePhantoms:
    kind = kind_of_task(task)
    if kind.phantoms is None:
        raise DataError(f"No phantoms are drawn for the task {task}.")
    return kind.phantoms


def _first_task(generator: str) -> Task:
    drawn = [kind for kind in kinds() if kind.phantoms is not None]
    return next((kind.id for kind in drawn if kind.phantoms and kind.phantoms.generator == generator), drawn[0].id)


def _plan(task: Task, studies: Sequence[Path]) -> _Plan:
    """Return what a task takes of these phantoms: no labels where none has its main one, for outlines alone."""
    phantoms, own = _phantoms(task), find_task(task)
    columns = dict.fromkeys(name for study in studies for name in _columns(study) if name not in _NAMES)
    if own.main_label not in columns:
        return _Plan(phantoms.generator, (), _no_labels, (own.main_label,))
    labels = (own.main_label, *(name for name in columns if name != own.main_label))
    exam_labels = load_reference(phantoms.exam_labels) if phantoms.exam_labels else _no_labels
    return _Plan(
        phantoms.generator, labels, exam_labels, (own.main_label, phantoms.finding, phantoms.mask or phantoms.finding)
    )


def _no_labels(_row: Mapping[str, Any]) -> dict[str, float]:
    return {}


def _columns(study: Path) -> list[str]:
    try:
        return next(iter(first_rows(study / "truth" / "slices.csv")), [])
    except EvaluationError:
        # The study is left out, and told, when it is read.
        return []


def _examples(study: Path, plan: _Plan, task: Task, problems: Problems) -> list[Example]:
    truth = study / "truth"
    where = f"{study.name}/truth"
    try:
        slices = read_csv(truth / "slices.csv", ["slice", "sop_instance_uid"])
        facts = _facts(study)
    except DataError as error:
        problems.add("warn", where, "", f"{error} The phantom is left out.")
        return []
    files = sorted((study / "dicom").glob("*.dcm"))
    if len(files) != len(slices):
        text = f"{len(files)} images, but labels of {len(slices)} slices; the phantom is left out."
        problems.add("warn", f"{study.name}/dicom", "", text)
        return []
    missing = [name for name in plan.labels if name not in slices]
    if missing:
        problems.add("warn", f"{where}/slices.csv", missing[0], "no such column; the label is unknown.")
    columns = {
        name: binary(slices[name], f"{where}/slices.csv", problems).tolist() for name in plan.labels if name in slices
    }
    of_study = plan.exam_labels(_study_row(study))
    masks = _mask_files(truth, plan.masks, len(files), problems, where)
    key = [str(uid) for uid in slices["sop_instance_uid"]]
    return [
        Example(
            key=key[number],
            patient=study.name,
            series=study.name if len(files) > 1 else "",
            order=float(number),
            source=file,
            task=task,
            labels={**{name: values[number] for name, values in columns.items()}, **of_study},
            masks={name: MaskSource(path=path, plane=number) for name, path in masks},
            facts=facts,
        )
        for number, file in enumerate(files)
    ]


def _mask_files(
    truth: Path, names: Sequence[str], planes: int, problems: Problems, where: str
) -> list[tuple[str, Path]]:
    """Return the masks that fit the images, the one that the task is about first: that of the earliest name."""
    found = []
    first = next((name for name in names if (truth / f"{name}.nrrd").is_file()), names[-1])
    for path in sorted(truth.glob("*.nrrd"), key=lambda path: (path.stem != first, path.stem)):
        try:
            found_planes = image_size(path)[0]
        except StudyError:
            problems.add("warn", f"{where}/{path.name}", "", "the mask cannot be read and is left out.")
            continue
        if found_planes == planes:
            found.append((path.stem, path))
        else:
            text = f"the mask has {found_planes} planes, the study {planes} images; the mask is left out."
            problems.add("warn", f"{where}/{path.name}", "", text)
    if not found or found[0][0] != first:
        problems.add("warn", f"{where}/{first}.nrrd", "", "the mask that the task is about is missing.")
        # Without it another structure would come first and pass for the finding.
        return []
    return found


def _study_row(study: Path) -> dict[str, Any]:
    try:
        rows: list[dict[str, Any]] = pd.read_csv(study / "truth" / "study.csv").to_dict("records")
    except (OSError, ValueError):
        return {}
    return rows[0] if rows else {}


def _facts(study: Path) -> dict[str, str | float]:
    """Return what `explore` shows: view, sex, spacing, and what was measured."""
    try:
        stored = json.loads((study / "truth" / "parameters.json").read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise DataError(f"{study.name}/truth/parameters.json cannot be read.") from error
    spacing = stored.get("spacing_mm") or [float("nan")] * 3
    row = _study_row(study)
    facts: dict[str, str | float] = {"spacing_mm": float(spacing[-1])}
    if row.get("kind") == "chest-xray":
        facts["view"] = "AP" if row.get("view_ap") else "PA"
    else:
        facts["thickness_mm"] = float(spacing[0])
    sex = str(stored.get("parameters", {}).get("sex", "")).upper()[:1]
    if sex in ("F", "M"):
        facts["sex"] = sex
    for name in ("volume_ml", "clot_volume_ml", "rv_lv_ratio", "pneumothorax_area_mm2", "pneumothorax_share"):
        if name in row:
            facts[name] = float(row[name])
    return facts
