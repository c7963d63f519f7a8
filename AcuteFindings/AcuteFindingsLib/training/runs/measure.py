"""Operating points chosen on the validation part, and figures with intervals on the part that was kept aside."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from AcuteFindingsLib.evaluation.calibration import calibration_measure, class_wise_calibration_error
from AcuteFindingsLib.evaluation.intervals import auc_interval, mean_interval, measure_interval
from AcuteFindingsLib.evaluation.masks import dice
from AcuteFindingsLib.evaluation.operating_points import decision_figures
from AcuteFindingsLib.evaluation.resampling import Bootstrap, Measure, auc_measure
from AcuteFindingsLib.evaluation.thresholds import f1_threshold, youden_threshold
from AcuteFindingsLib.models.metadata import Interval, OperatingPoint
from AcuteFindingsLib.networks.pe import EXAM_LABELS
from AcuteFindingsLib.training.recipes.schema import Recipe
from AcuteFindingsLib.training.runs.labels import label_of, trained_labels
from AcuteFindingsLib.training.runs.score import Answers, MaskAnswer, Scored

_WORDS = {
    "sensitivity": "Sensitivity",
    "specificity": "Specificity",
    "accuracy": "Accuracy",
    "ppv": "PPV",
    "npv": "NPV",
    "f1": "F1",
}
_GRID = np.linspace(0.2, 0.8, 13)
_HALF = 0.5
# A finding of fewer people says nothing about how well it is told.
_ENOUGH_PEOPLE = 10
_NOT_CHOSEN = "half: the validation part has no case of one of the classes"
_TOO_GOOD = "the threshold was chosen on these answers, so a little too good"


def default_points(recipe: Recipe) -> list[OperatingPoint]:
    """Return operating points of one half, for the detectors' code to run before any is chosen."""
    return [
        OperatingPoint(level=level, label=label, threshold=_HALF, chosen="half")  # type: ignore[arg-type]
        for level, label in _wanted(recipe)
    ]


def choose_points(recipe: Recipe, scored: Sequence[Scored], *, where: str) -> list[OperatingPoint]:
    """Choose thresholds: Youden's index; for the slices of PE stacks the highest F1; for masks the highest Dice.

    Parameters
    ----------
    scored
        Of the validation part, and of others that count as much for Youden's index; empty where there are none.
    where
        What those are, in words.
    """
    points: list[OperatingPoint] = []
    labels = trained_labels(recipe)
    for level, label in _wanted(recipe):
        value, chosen = _HALF, _NOT_CHOSEN
        if scored and level == "mask":
            best = _best_mask_threshold([mask for one in scored for mask in one.masks])
            value, chosen = (best, f"highest Dice on {where}") if best else (_HALF, "half")
        elif level == "empty" and recipe.card.empty_threshold is not None:
            value, chosen = recipe.card.empty_threshold, "as published"
        elif level == "empty":
            study = next(point for point in points if point.level == "study")
            value, chosen = 1 - study.threshold, "the complement of the study threshold"
        elif any(level in one.levels for one in scored):
            column = labels.index(label) if label in labels else 0
            known = [_known(one.levels[level], column) for one in scored if level in one.levels]
            truth, score = (np.concatenate(part) for part in zip(*known, strict=True))
            if truth.any() and not truth.all():
                by_f1 = level == "slice" and recipe.last == "sequence"
                sets = np.repeat(np.arange(len(known)), [len(one) for one, _ in known]) if len(known) > 1 else None
                value = f1_threshold(truth, score) if by_f1 else youden_threshold(truth, score, sets=sets)
                chosen = f"{'highest F1' if by_f1 else 'Youden index'} on {where}"
        points.append(OperatingPoint(level=level, label=label, threshold=value, chosen=chosen))  # type: ignore[arg-type]
    return points


def measure(
    recipe: Recipe,
    scored: Scored,
    points: Sequence[OperatingPoint],
    *,
    data: str,
    command: str,
    chosen_here: bool = False,
) -> list[Interval]:
    """Return the figures of the part that was kept aside; what cannot be measured there is left out.

    Parameters
    ----------
    points
        Chosen beforehand, on other patients; with `chosen_here` on the same answers, which the figures then say.
    data
        What was measured on, in words.
    command
        That repeats it.
    """
    figures: list[Interval] = []
    thresholds: dict[tuple[str, str], float] = {(point.level, point.label): point.threshold for point in points}
    too_good = f"; {_TOO_GOOD}" if chosen_here else ""
    # Studies first: they are what a person asks about.
    for level, answers in sorted(scored.levels.items(), key=lambda item: item[0] != "study"):
        for column, label in enumerate(_columns(recipe, level, answers)):
            truth, score = _known(answers, column)
            if not truth.any() or truth.all():
                continue
            patients = answers.patients[~np.isnan(answers.truth[:, column])]
            # Of findings, all count alike; elsewhere the first is what it is about.
            main = column == 0 and recipe.last != "findings"
            name = level if main else f"{level}, {label_of(label).meaning.lower()}"
            few = _few(patients[truth]) if recipe.last == "findings" else ""
            told = f"{data}, {int(truth.sum())} of {len(truth)} positive{few}"
            figures.append(
                auc_interval(truth, score, metric=f"AUC, {name}", patients=patients, data=told, command=command)
            )
            # A scan is positive where enough neighboring slices are: held against the slices' operating point.
            threshold = thresholds.get((level, label), thresholds.get(("slice", label)))
            if threshold is not None:
                called = score >= threshold
                figures += _decisions(truth, called, patients, name, data=f"{told}{too_good}", command=command)
        if recipe.last == "findings":
            figures += _over_labels(answers, data=data, command=command)
    return figures + _overlap(recipe, scored, thresholds, data=f"{data}{too_good}", command=command)


def _wanted(recipe: Recipe) -> list[tuple[str, str]]:
    """Return levels and labels of the operating points that a detector needs."""
    main = (*trained_labels(recipe), "lungs")[0]
    stage = recipe.last
    if stage == "findings":
        return [("study", label) for label in trained_labels(recipe)]
    levels = {
        "slice": ("slice",),
        "sequence": ("study", "slice"),
        "scan": ("slice", "mask"),
        "image": ("study",),
        "segment": ("study", "mask", "empty") if recipe.model_task.probabilities else ("mask",),
    }[stage]
    return [(level, main) for level in levels]


def _columns(recipe: Recipe, level: str, answers: Answers) -> list[str]:
    labels = list(trained_labels(recipe))
    if recipe.last == "sequence" and level == "study":
        labels = [*labels[:1], *EXAM_LABELS]
    return labels[: answers.score.shape[1]]


def _known(answers: Answers, column: int) -> tuple[np.ndarray, np.ndarray]:
    truth = answers.truth[:, column]
    known = ~np.isnan(truth)
    return truth[known] >= 0.5, answers.score[known, column]


def _decisions(
    truth: np.ndarray, called: np.ndarray, patients: np.ndarray, name: str, *, data: str, command: str
) -> list[Interval]:
    found = decision_figures(truth, called, Bootstrap(patients))
    intervals = []
    for key, words in _WORDS.items():
        figure = found[key]
        if figure.value is None or not figure.intervals:
            continue
        span = figure.intervals[0]
        intervals.append(
            Interval(
                metric=f"{words}, {name}",
                value=figure.value,
                low=span.low,
                high=span.high,
                data=data,
                count=figure.count,
                command=command,
            )
        )
    return intervals


def _over_labels(answers: Answers, *, data: str, command: str) -> list[Interval]:
    """Return calibration error and mean AUC over the labels that are known of every case (docs/sources.md 5)."""
    known = ~np.isnan(answers.truth).any(axis=0)
    if not known.any():
        return []
    truth, score = answers.truth[:, known] >= 0.5, answers.score[:, known]
    words: dict[str, Any] = {"command": command, "patients": answers.patients}
    errors = _mean([calibration_measure(truth[:, n], score[:, n]) for n in range(truth.shape[1])])
    value = class_wise_calibration_error(list(truth.T), list(score.T))
    told = f"{data}, {truth.shape[1]} labels"
    figures = [measure_interval(errors, value, metric="CWCE, study", data=told, **words)]
    people = [len(set(answers.patients[column])) if not column.all() else 0 for column in truth.T]
    enough = [number for number, count in enumerate(people) if count >= _ENOUGH_PEOPLE]
    if len(enough) > 1:
        area = _mean([auc_measure(truth[:, n], score[:, n]) for n in enough])
        metric = f"AUC, study, mean over the {len(enough)} labels that {_ENOUGH_PEOPLE} people or more have"
        figures.append(
            measure_interval(area, float(area(np.ones((1, len(truth))))[0]), metric=metric, data=data, **words)
        )
    return figures


def _few(patients: np.ndarray) -> str:
    """Return what is said of a finding that few people have."""
    count = len(set(patients.tolist()))
    return f", of {count} people: too few to tell" if count < _ENOUGH_PEOPLE else ""


def _mean(measures: Sequence[Measure]) -> Measure:
    return lambda weights: np.mean([one(weights) for one in measures], axis=0)


def _overlap(
    recipe: Recipe, scored: Scored, thresholds: dict[tuple[str, str], float], *, data: str, command: str
) -> list[Interval]:
    masks = [one for one in scored.masks if one.known.any()]
    if not masks:
        return []
    threshold = next((value for (level, _), value in thresholds.items() if level == "mask"), _HALF)
    values = np.array([dice(one.truth[one.known], one.soft[one.known] >= 255 * threshold) for one in masks])
    shown = np.array([bool(one.truth[one.known].any()) for one in masks])
    patients = np.array([one.patient for one in masks])
    size = f"at {masks[0].soft.shape[-1]} pixels per side"
    figures = []
    may_be_empty = recipe.last == "segment" and recipe.model_task.probabilities
    if may_be_empty:
        figures.append(
            mean_interval(
                values,
                metric="Dice, all images",
                patients=patients,
                data=f"{data}, {size}; two empty masks count as 1",
                command=command,
            )
        )
    if shown.any():
        figures.append(
            mean_interval(
                values[shown],
                metric="Dice, images with the finding" if may_be_empty else "Dice",
                patients=patients[shown],
                data=f"{data}, {size}; those whose mask is not empty",
                command=command,
            )
        )
    return figures


def _best_mask_threshold(masks: Sequence[MaskAnswer]) -> float | None:
    shown = [(one.truth[one.known], one.soft[one.known]) for one in masks if one.truth[one.known].any()]
    if not shown:
        return None
    overlaps = [np.mean([dice(truth, soft >= 255 * value) for truth, soft in shown]) for value in _GRID]
    return float(_GRID[int(np.argmax(overlaps))])
