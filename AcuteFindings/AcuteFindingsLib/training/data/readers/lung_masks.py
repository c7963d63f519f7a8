"""Radiographs with lung masks: ``index.csv`` (image, patient, view, ...), ``images``, ``masks`` of the same names."""

from pathlib import Path

import pandas as pd
from PIL import Image, UnidentifiedImageError

from AcuteFindingsLib.detectors.registry import kind_of_task
from AcuteFindingsLib.models.metadata import Task
from AcuteFindingsLib.progress import Progress
from AcuteFindingsLib.training.data.checks import (
    Problems,
    build_table,
    column_names,
    counted,
    existing,
    read_csv,
    with_value,
    without_repeats,
)
from AcuteFindingsLib.training.data.table import LUNGS, DataTable, MaskSource
from AcuteFindingsLib.training.data.tasks import task_of

KIND = "lung-masks"
TABLE = "index.csv"
_PROPORTIONS = 0.01


def fits(folder: Path) -> bool:
    """Whether the folder holds this data set."""
    return (
        (folder / TABLE).is_file()
        and (folder / "masks").is_dir()
        and {"image", "patient"} <= column_names(folder / TABLE)
    )


def read(folder: Path, *, task: Task | None, cache: Path | None, progress: Progress) -> DataTable:  # noqa: ARG001
    """Read and check it; masks only, no labels. An image whose mask is missing or has another shape is left out.

    For the finding that the lungs are outlined for, its label is unknown: such radiographs serve to draw it into.
    """
    own = task_of(KIND, task, [one.main_label for one in kind_of_task(LUNGS).tasks])
    labels = [] if own.id == LUNGS else [own.main_label]
    problems = Problems()
    progress(f"Reading {TABLE}", 0.0)
    frame = read_csv(folder / TABLE, ["image", "patient"], dtype={"image": "object", "patient": str})
    frame = with_value(frame, "patient", TABLE, problems)
    frame = without_repeats(frame, "image", TABLE, problems, labels=[]).reset_index(drop=True)
    frame["key"] = frame["image"]
    frame["source"] = existing(folder, "images/" + frame["image"], problems, what="images")
    kept = existing(folder, "masks/" + frame["image"], problems, what="masks")
    unlike = [
        image
        for image, source, mask in zip(frame["image"], frame["source"], kept, strict=True)
        if source and mask and not _alike(folder / source, folder / mask)
    ]
    if unlike:
        text = f"{counted(unlike, 'mask')} unreadable or of another shape than their image; left out."
        problems.add("warn", "masks", "", text, unlike)
    frame.loc[(kept == "") | frame["image"].isin(unlike), "source"] = ""
    frame["view"] = frame.get("view", pd.Series("", index=frame.index)).fillna("").astype(str).str.upper()
    stated = frame.get("intubation_present", pd.Series("", index=frame.index)).astype(str).str.upper().str[:1]
    frame["intubated"] = stated.map({"Y": 1.0, "N": 0.0})
    frame[labels] = float("nan")
    masks = {
        row: {LUNGS: MaskSource(path=folder / mask)}
        for row, mask in enumerate(kept)
        if mask and frame["image"][row] not in unlike
    }
    return build_table(
        frame,
        kind=KIND,
        task=own.id,
        label_names=labels,
        facts=("view", "intubated"),
        root=folder,
        problems=problems,
        masks=masks,
    )


def _alike(image: Path, mask: Path) -> bool:
    """Whether both can be opened and have the same proportions."""
    try:
        with Image.open(image) as one, Image.open(mask) as other:
            width, height = one.size
            return abs(other.size[1] * width / (other.size[0] * height) - 1) <= _PROPORTIONS
    except (OSError, UnidentifiedImageError):
        return False
