"""Studies that `acutefindings phantom` writes: a folder a study, with ``dicom`` and ``truth``."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any, cast

import pandas as pd

from AcuteFindingsLib.errors import DataError, StudyError
from AcuteFindingsLib.models.metadata import Task
from AcuteFindingsLib.progress import Progress
from AcuteFindingsLib.study.itk_files import image_size
from AcuteFindingsLib.training.data.checks import Problems, binary, counted, read_csv
from AcuteFindingsLib.training.data.table import DataTable, Example, MaskSource

KIND = "phantoms"


@dataclass(frozen=True)
class _Plan:
    """What a task takes from a kind of phantom: labels of the slice, labels of the study, the mask that comes first."""

    kind: str
    slices: tuple[str, ...]
    study: tuple[str, ...]
    mask: str


_PATHOLOGIES = ("pneumothorax", "effusion", "atelectasis", "cardiomegaly", "consolidation", "nodule")
_TUBES = ("chest_drain", "tracheostomy", "endotracheal", "nasogastric")
# Named as the readers of the public data sets name them.
_PLANS = MappingProxyType(
    {
        "hemorrhage": _Plan(
            "head-ct",
            ("any", "epidural", "intraparenchymal", "intraventricular", "subarachnoid", "subdural"),
            (),
            "hemorrhage",
        ),
        "pe": _Plan(
            "ctpa",
            ("pe",),
            (
                "pe_present",
                "negative_exam",
                "indeterminate",
                "left",
                "right",
                "central",
                "rv_lv_ge_1",
                "rv_lv_lt_1",
                "chronic",
                "acute_and_chronic",
            ),
            "embolus",
        ),
        "pneumothorax": _Plan("chest-xray", (*_PATHOLOGIES, *_TUBES), (), "pneumothorax"),
        "chest": _Plan("chest-xray", (*_PATHOLOGIES, *_TUBES), (), "pneumothorax"),
        "lungs": _Plan("chest-xray", (), (), "lungs"),
    }
)
_FIRST_TASK = MappingProxyType({"head-ct": "hemorrhage", "ctpa": "pe", "chest-xray": "pneumothorax"})


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
    chosen = task or cast(Task, _FIRST_TASK.get(str(kinds[studies[0]]), "hemorrhage"))
    plan = _PLANS[chosen]
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
    labels = (*plan.slices, *plan.study)
    return DataTable.from_examples(KIND, chosen, labels, examples, root=folder, problems=problems.sorted())


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
    missing = [name for name in plan.slices if name not in slices]
    if missing:
        problems.add("warn", f"{where}/slices.csv", missing[0], "no such column; the label is unknown.")
    columns = {
        name: binary(slices[name], f"{where}/slices.csv", problems).tolist() for name in plan.slices if name in slices
    }
    of_study = _study_labels(_study_row(study), plan.study)
    masks = _mask_files(truth, plan.mask, len(files), problems, where)
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


def _mask_files(truth: Path, first: str, planes: int, problems: Problems, where: str) -> list[tuple[str, Path]]:
    """Return the masks that fit the images, the one that the task is about first."""
    found = []
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


def _study_labels(row: dict[str, Any], names: Sequence[str]) -> dict[str, float]:
    if not names:
        return {}
    positive = float(row.get("pe", "nan"))
    known = {name: float(row[name]) for name in names if name in row}
    # As the public data set: the ventricles are judged in examinations with embolism only.
    known["pe_present"], known["negative_exam"] = positive, 1 - positive
    known["rv_lv_lt_1"] = positive * (1 - known.get("rv_lv_ge_1", float("nan")))
    known["rv_lv_ge_1"] = positive * known.get("rv_lv_ge_1", float("nan"))
    return known


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
