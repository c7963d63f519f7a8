"""Predictions in the four forms in which they come: tables, runs of a model, folders of findings, folders of masks."""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd

from AcuteFindingsLib.csv_text import CsvWriter
from AcuteFindingsLib.errors import EvaluationError
from AcuteFindingsLib.evaluation.case_names import case_key, plain
from AcuteFindingsLib.evaluation.tables import CASE_COLUMNS, find_column, names, numbers, one_row_a_case, read_table
from AcuteFindingsLib.files import replace_when_written

Level = Literal["slice", "study", "image"]

RUN_PREFIX = "Preds_model"
TABLE_OF_FOLDER = "predictions.csv"
_UID_COLUMNS = ("sop_instance_uid", "sopinstanceuid")


@dataclass(frozen=True)
class Scores:
    """Probabilities of many cases at one level.

    Attributes
    ----------
    level
        ``"slice"``, ``"study"``, or ``"image"`` where a row is a single image.
    keys
        For each case the names under which a truth table may know it; empty where the rows stand in the truth's order.
    labels
        Names of the columns of `values`; empty where the file does not say (see `runs`).
    values
        ``(n, labels)`` in 0..1.
    groups
        For each case what it belongs to (the study of a slice); None where each stands alone.
    thresholds
        Stated operating points by label.
    runs
        Of several runs of one model, each run's ``(n, labels)``; `values` is then their mean.
    """

    level: Level
    keys: tuple[tuple[str, ...], ...]
    labels: tuple[str, ...]
    values: np.ndarray
    groups: tuple[str, ...] | None = None
    thresholds: Mapping[str, float] = field(default_factory=dict)
    runs: Mapping[str, np.ndarray] = field(default_factory=dict)


@dataclass(frozen=True)
class Predictions:
    """What was found at a path: scores a level, and the model's name where the files say it."""

    name: str
    levels: tuple[Scores, ...]
    model: str = ""
    notices: tuple[str, ...] = ()


def read_predictions(path: Path) -> Predictions:
    """Read predictions.

    A CSV of `acutefindings predict` (a column ``image``, one of probabilities a label) or of source 5 (``Preds_model1``
    and so on); a folder of results of `acutefindings run` (``finding.json`` at any depth), or one with a
    ``predictions.csv``. A folder of nothing but masks gives no levels.

    Raises
    ------
    EvaluationError
        When there is nothing of the kind, or a probability is missing or outside 0..1.
    """
    if path.is_dir():
        findings = sorted(path.rglob("finding.json"))
        if findings:
            return read_findings(path, findings)
        table = path / TABLE_OF_FOLDER
        return read_predictions(table) if table.is_file() else Predictions(path.name, ())
    if not path.is_file():
        raise EvaluationError(f"{path} is neither a table of predictions nor a folder.")
    table = read_table(path)
    if any(name.startswith(RUN_PREFIX) for name in table.columns):
        return _of_runs(path, table)
    return Predictions(path.name, (_of_table(path, table),), notices=tuple(table.attrs["remarks"]))


def read_runs(path: Path) -> dict[str, list[np.ndarray]]:
    """Read a file of source 5's form: for each ``Preds_model…`` column the ``(images, classes)`` of each row.

    Raises
    ------
    EvaluationError
        When a cell is not a list of equally long lists of probabilities.
    """
    return _runs(path, read_table(path))


def write_runs(path: Path, runs: Sequence[np.ndarray]) -> Path:
    """Write source 5's form: one row, a column ``Preds_model1`` and so on for each run's ``(images, classes)``.

    Numbers are written so that `read_runs` gives the same ones back.
    """
    with replace_when_written(path) as partial, partial.open("w", newline="", encoding="utf-8") as stream:
        writer = CsvWriter(stream)
        writer.writerow([f"{RUN_PREFIX}{number}" for number in range(1, len(runs) + 1)])
        writer.writerow([json.dumps(np.asarray(run).tolist(), allow_nan=False) for run in runs])
    return path


def read_findings(folder: Path, files: Sequence[Path]) -> Predictions:
    """Read results of `acutefindings run`: verdicts as studies, and their slices.

    A study's names are its folder below `folder` and its Series Instance UID; a slice's are its SOP Instance UID and
    ``study#number`` (from 1).
    """
    studies: list[dict[str, float]] = []
    slices: list[dict[str, float]] = []
    study_keys: list[tuple[str, ...]] = []
    slice_keys: list[tuple[str, ...]] = []
    groups: list[str] = []
    verdicts: list[str] = []
    models: set[str] = set()
    study_points: dict[str, float] = {}
    slice_points: dict[str, float] = {}
    for file in files:
        finding = _finding(file)
        place = file.parent.relative_to(folder).as_posix()
        study = folder.name if place == "." else place
        label, verdict = finding["main_label"], finding["verdict"]
        own = dict(finding["slices"][0]["probabilities"]) if len(finding["slices"]) == 1 else {}
        studies.append({**own, label: verdict["probability"]})
        study_keys.append(_named(study, Path(study).name, finding["series_instance_uid"]))
        verdicts.append(verdict["label"])
        models.add(f"{finding['model']['id']} {finding['model']['version']}")
        study_points.setdefault(label, verdict["threshold"])
        slice_points.setdefault(label, finding["slice_threshold"])
        if len(finding["slices"]) > 1:
            for item in finding["slices"]:
                slices.append(item["probabilities"])
                slice_keys.append(_named(item["sop_instance_uid"], f"{study}#{item['index'] + 1}"))
                groups.append(study)
    levels = [_collected("study", study_keys, studies, None, study_points)]
    if slices:
        levels.append(_collected("slice", slice_keys, slices, tuple(groups), slice_points))
    unsure = verdicts.count("indeterminate")
    notices = (
        (f"{unsure} of {len(verdicts)} verdicts are indeterminate; they count by their probability.",) if unsure else ()
    )
    return Predictions(folder.name, tuple(levels), ", ".join(sorted(models)), notices)


def study_scores(scores: Scores, groups: Sequence[str]) -> Scores:
    """Return a study's highest probability over its slices, for tables that name each slice's study."""
    order = list(dict.fromkeys(groups))
    member = np.array(groups)
    return Scores(
        level="study",
        keys=tuple((name,) for name in order),
        labels=scores.labels,
        values=np.stack([scores.values[member == name].max(0) for name in order]),
        thresholds=scores.thresholds,
        runs={run: np.stack([values[member == name].max(0) for name in order]) for run, values in scores.runs.items()},
    )


def _of_table(path: Path, table: pd.DataFrame) -> Scores:
    if {plain(name) for name in table.columns} == {"id", "label"}:
        # A submission to RSNA's hemorrhage challenge: a row an image and subtype.
        table = one_row_a_case(table, path)
    case = find_column(table, None, CASE_COLUMNS, what="the images", path=path)
    if case is None:
        raise EvaluationError(f"{path} has no column that names the images; call it 'image'.")
    if table[case].isna().any() or table[case].duplicated().any():
        raise EvaluationError(f"{path}: column {case!r} must name every image once.")
    others = [name for name in table.columns if plain(name) not in CASE_COLUMNS]
    stated = {name: numbers(table[name]) for name in others}
    labels = [name for name in others if stated[name].notna().any()]
    if not labels:
        raise EvaluationError(f"{path} has no column of probabilities beside {case!r}.")
    values = np.stack([stated[name].to_numpy(float) for name in labels], axis=1)
    uid = find_column(table, None, _UID_COLUMNS, what="the instances", path=path)
    further = table[uid].fillna("") if uid is not None else [""] * len(table)
    keys = tuple(_named(name, other) for name, other in zip(table[case], further, strict=True))
    return Scores("image", keys, tuple(labels), values)


def _of_runs(path: Path, table: pd.DataFrame) -> Predictions:
    runs = _runs(path, table)
    by_name = {
        run if len(rows) == 1 else f"{run}, row {number}": values
        for run, rows in runs.items()
        for number, values in enumerate(rows, 1)
    }
    shapes = {values.shape for values in by_name.values()}
    if len(shapes) > 1:
        raise EvaluationError(f"{path}: the runs differ in size ({names(sorted(shapes))}); images x classes expected.")
    mean = np.mean(list(by_name.values()), axis=0)
    shared = by_name if len(by_name) > 1 else {}
    notices = (f"The figures are those of the mean probability of {len(by_name)} runs.",) if shared else ()
    return Predictions(path.name, (Scores("image", (), (), mean, runs=shared),), notices=notices)


def _runs(path: Path, table: pd.DataFrame) -> dict[str, list[np.ndarray]]:
    columns = [name for name in table.columns if name.startswith(RUN_PREFIX)]
    if not columns:
        raise EvaluationError(f"{path} has no column {RUN_PREFIX}1 (predictions of source 5).")
    runs: dict[str, list[np.ndarray]] = {}
    for column in columns:
        runs[column] = []
        for cell in table[column].dropna():
            try:
                values = np.array(json.loads(cell), dtype=float)
            except (ValueError, TypeError) as error:
                raise EvaluationError(
                    f"{path}: column {column!r} is not a list of lists of numbers: {error}"
                ) from error
            if values.ndim != 2:
                raise EvaluationError(f"{path}: column {column!r} must be one list of probabilities per image.")
            check_probabilities(values, column, path)
            runs[column].append(values)
    return runs


def check_probabilities(values: np.ndarray, column: str, path: Path | str) -> None:
    """Raise `EvaluationError` where a number is missing or outside 0..1."""
    values = np.asarray(values, float)
    missing = int(np.isnan(values).sum())
    if missing:
        raise EvaluationError(f"{path}: column {column!r} has no number in {missing} rows; a probability is expected.")
    if values.size and (values.min() < 0 or values.max() > 1):
        raise EvaluationError(
            f"{path}: column {column!r} reaches from {values.min():g} to {values.max():g}; probabilities lie in 0..1 "
            "(divide percentages by 100, apply the sigmoid to logits first)."
        )


def _finding(file: Path) -> dict:
    try:
        data = json.loads(file.read_text(encoding="utf-8"))
        needed = ("main_label", "verdict", "slices", "model", "slice_threshold", "series_instance_uid")
        missing = [name for name in needed if name not in data]
    except (OSError, ValueError) as error:
        raise EvaluationError(f"{file} is not a finding: {error}") from error
    if missing or not data["slices"]:
        lacking = names(missing) if missing else "any slice"
        raise EvaluationError(f"{file} is not a finding of this version: it lacks {lacking}. Run the detector again.")
    return data


def _collected(
    level: Level,
    keys: Sequence[tuple[str, ...]],
    rows: Sequence[Mapping[str, float]],
    groups: tuple[str, ...] | None,
    points: Mapping[str, float],
) -> Scores:
    labels = tuple(dict.fromkeys(label for row in rows for label in row))
    values = np.array([[row.get(label, math.nan) for label in labels] for row in rows], float)
    return Scores(level, tuple(keys), labels, values, groups, points)


def _named(*keys: str) -> tuple[str, ...]:
    return tuple(dict.fromkeys(key for key in keys if key))


@dataclass(frozen=True)
class JoinedRuns:
    """Runs of one model: `runs` ``(images, labels)`` each, in one order of images and labels."""

    images: tuple[str, ...]
    labels: tuple[str, ...]
    runs: tuple[np.ndarray, ...]


def join_tables(paths: Sequence[Path], *, order: Path | None = None) -> JoinedRuns:
    """Join tables of `acutefindings predict`, one a run, in the order of the first run or of `order`'s rows.

    Raises
    ------
    EvaluationError
        When a run lacks an image or a label, or a probability is not one.
    """
    scores = [_of_table(path, read_table(path)) for path in paths]
    labels = scores[0].labels
    images = tuple(key[0] for key in scores[0].keys)
    if order is not None:
        table = read_table(order)
        case = find_column(table, None, CASE_COLUMNS, what="the images", path=order)
        if case is None:
            raise EvaluationError(f"{order} has no column that names the images; call it 'image'.")
        images = tuple(table[case].dropna())
    runs = []
    for path, run in zip(paths, scores, strict=True):
        if set(run.labels) != set(labels):
            raise EvaluationError(f"{path} has the labels {names(run.labels)}, the first run {names(labels)}.")
        rows = {case_key(key[0]): number for number, key in enumerate(run.keys)}
        missing = [image for image in images if case_key(image) not in rows]
        if missing:
            raise EvaluationError(f"{path} lacks {len(missing)} of {len(images)} images.")
        picked = run.values[[rows[case_key(image)] for image in images]]
        picked = picked[:, [run.labels.index(label) for label in labels]]
        for number, label in enumerate(labels):
            check_probabilities(picked[:, number], label, path)
        runs.append(picked)
    return JoinedRuns(images, labels, tuple(runs))
