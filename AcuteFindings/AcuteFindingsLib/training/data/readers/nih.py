"""NIH ChestX-ray14: ``Data_Entry*.csv``, pictures in ``images*``, boxes in ``BBox_List*.csv`` (docs/sources.md 5)."""

from pathlib import Path

import pandas as pd

from AcuteFindingsLib.models.metadata import Task
from AcuteFindingsLib.progress import Progress
from AcuteFindingsLib.training.data.checks import (
    Problems,
    build_table,
    counted,
    files_below,
    only_one,
    plausible_age,
    read_csv,
    report_missing,
    sex,
    table_with,
    with_value,
    without_repeats,
)
from AcuteFindingsLib.training.data.table import Box, DataTable
from AcuteFindingsLib.training.data.tasks import task_of

KIND = "nih"
FINDINGS = (
    "Pneumothorax", "Effusion", "Atelectasis", "Cardiomegaly", "Pneumonia", "Consolidation", "Edema", "Emphysema",
    "Fibrosis", "Hernia", "Infiltration", "Mass", "Nodule", "Pleural_Thickening",
)  # fmt: skip
NONE = "No Finding"
_COLUMNS = ("Image Index", "Finding Labels", "Patient ID")
_TABLES = ("Data_Entry*.csv*",)
_FRAMES = "BBox_List*.csv*"
_LISTS = {"train_val_list.txt": "train", "test_list.txt": "test"}
# The published frames call it otherwise than the published labels.
_FRAME_NAMES = {"Infiltrate": "Infiltration"}


def fits(folder: Path) -> bool:
    """Whether the folder holds this data set: a table with its columns, whatever it is called."""
    return table_with(folder, _TABLES, _COLUMNS) is not None


def read(folder: Path, *, task: Task | None, cache: Path | None, progress: Progress) -> DataTable:  # noqa: ARG001
    """Read and check it; labels in lower case. A frame is in pixels of the original of 1024×1024."""
    problems = Problems()
    path = table_with(folder, _TABLES, _COLUMNS) or only_one(folder, _TABLES, "table of findings")
    progress(f"Reading {path.name}", 0.0)
    frame = read_csv(path, _COLUMNS, dtype={"Patient ID": str, "Image Index": str, "Finding Labels": str})
    frame["Finding Labels"] = frame["Finding Labels"].fillna("")
    frame = with_value(frame, "Patient ID", path.name, problems)
    frame = without_repeats(frame, "Image Index", path.name, problems, labels=[]).reset_index(drop=True)
    _read_findings(frame, path.name, problems)
    progress("Looking for the images", 0.4)
    found = files_below(folder, (".png", ".jpg", ".jpeg"))
    sources = frame["Image Index"].map(found)
    report_missing(frame["Image Index"], sources.notna(), problems, what="images")
    frame["source"] = sources.fillna("").astype(object)
    frame["key"], frame["patient"] = frame["Image Index"], frame["Patient ID"].str.strip()
    _read_facts(frame, path.name, problems)
    for name, part in _LISTS.items():
        if (folder / name).is_file():
            listed = set((folder / name).read_text(encoding="utf-8").split())
            frame.loc[frame["key"].isin(listed), "published_split"] = part
    labels = [name.lower() for name in FINDINGS]
    return build_table(
        frame,
        kind=KIND,
        task=task_of(KIND, task, labels).id,
        label_names=labels,
        facts=("sex", "age", "view", "spacing_mm", "follow_up", "published_split"),
        root=folder,
        problems=problems,
        boxes=_boxes(folder, frame["key"], problems),
    )


def _read_findings(frame: pd.DataFrame, file: str, problems: Problems) -> None:
    """Add a 0/1 column a finding."""
    said = frame["Finding Labels"].str.split("|").explode().str.strip()
    known = said.isin([*FINDINGS, NONE])
    if (~known).any():
        text = f"{counted(~known, 'word')} none of the 14 findings; left out."
        problems.add("warn", file, "Finding Labels", text, said[~known].unique())
    for name in FINDINGS:
        frame[name.lower()] = (said == name).groupby(level=0).any().astype(float)
    silent = ~known.groupby(level=0).any()
    frame.loc[silent, [name.lower() for name in FINDINGS]] = float("nan")
    both = (said == NONE).groupby(level=0).any() & frame[[name.lower() for name in FINDINGS]].gt(0).any(axis=1)
    if both.any():
        text = f"{counted(both, 'image')} with findings and {NONE!r}; the findings count."
        problems.add("warn", file, "Finding Labels", text, frame.loc[both, "Image Index"])


def _read_facts(frame: pd.DataFrame, file: str, problems: Problems) -> None:
    if "Patient Age" in frame:
        frame["age"] = plausible_age(frame["Patient Age"], file, problems)
    for old in ("Patient Gender", "Patient Sex"):
        if old in frame:
            frame["sex"] = sex(frame[old])
    if "View Position" in frame:
        frame["view"] = frame["View Position"].fillna("").astype(str).str.strip().str.upper()
    if "Follow-up #" in frame:
        frame["follow_up"] = pd.to_numeric(frame["Follow-up #"], errors="coerce")
    # The published header holds "OriginalImagePixelSpacing[x,y]" without quotes: two columns.
    spacing = next((name for name in frame if str(name).startswith("OriginalImagePixelSpacing")), None)
    if spacing is not None:
        frame["spacing_mm"] = pd.to_numeric(frame[spacing], errors="coerce")


def _boxes(folder: Path, keys: pd.Series, problems: Problems) -> dict[int, tuple[Box, ...]]:
    tables = sorted(folder.glob(_FRAMES))
    if not tables:
        return {}
    path = tables[-1]
    frames = read_csv(path, ["Image Index", "Finding Label"])
    first = list(frames.columns).index("Finding Label") + 1
    numbers = frames.iloc[:, first : first + 4].apply(pd.to_numeric, errors="coerce")
    wrong = numbers.isna().any(axis=1) | (numbers.iloc[:, 2:] <= 0).any(axis=1) | (numbers < 0).any(axis=1)
    if wrong.any():
        text = f"{counted(wrong, 'frame')} without a place or a size; left out."
        problems.add("warn", path.name, "Bbox [x,y,w,h]", text)
    rows = pd.Series(keys.index, index=keys)
    boxes: dict[int, list[Box]] = {}
    unknown = 0
    for image, label, values in zip(
        frames["Image Index"][~wrong], frames["Finding Label"][~wrong], numbers[~wrong].to_numpy(float), strict=True
    ):
        if image not in rows.index:
            unknown += 1
            continue
        x, y, width, height = values.tolist()
        name = _FRAME_NAMES.get(str(label), str(label)).lower()
        boxes.setdefault(int(rows[image]), []).append(Box(name, x, y, width, height))
    if unknown:
        problems.add("info", path.name, "Image Index", f"{unknown} frames are of images that the table does not list.")
    return {row: tuple(found) for row, found in boxes.items()}
