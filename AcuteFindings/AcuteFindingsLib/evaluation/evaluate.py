"""From predictions and truth to an evaluation, and from two predictions to a comparison."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np

from AcuteFindingsLib import __version__
from AcuteFindingsLib.counting import counted, plural
from AcuteFindingsLib.errors import EvaluationError
from AcuteFindingsLib.evaluation.calibration import calibration_error, calibration_measure
from AcuteFindingsLib.evaluation.case_names import plain
from AcuteFindingsLib.evaluation.cases import Cases, Truth, align, by_study, read_truth
from AcuteFindingsLib.evaluation.comparison import compare_level, compare_masks, same_cases
from AcuteFindingsLib.evaluation.labels import FEW, auc_figure, label_result
from AcuteFindingsLib.evaluation.matching import match
from AcuteFindingsLib.evaluation.operating_points import DEFAULT_CHOSEN, DEFAULT_THRESHOLD, Threshold
from AcuteFindingsLib.evaluation.predictions import Predictions, Scores, read_predictions
from AcuteFindingsLib.evaluation.readers import read_readers, readers_table
from AcuteFindingsLib.evaluation.resampling import Bootstrap, Measure
from AcuteFindingsLib.evaluation.schema import (
    Comparison,
    Evaluation,
    Figure,
    LevelResult,
    MaskResult,
    Readers,
    RunResult,
)
from AcuteFindingsLib.evaluation.subgroups import subgroups
from AcuteFindingsLib.evaluation.tables import CASE_COLUMNS, PATIENT_COLUMNS, find_column, names
from AcuteFindingsLib.models.metadata import Card
from AcuteFindingsLib.progress import Cancelled, Progress, never_cancelled, no_progress, stop_if

if TYPE_CHECKING:
    from AcuteFindingsLib.evaluation.mask_files import MaskSet
    from AcuteFindingsLib.evaluation.schema import MaskRow

ALL_LABELS = ""
"""Key of a threshold that holds for every label without one of its own."""


@dataclass(frozen=True)
class Request:
    """What is held against what.

    Attributes
    ----------
    truth
        A table of labels, a folder of phantoms, or a folder of true masks.
    level
        ``"slice"`` or ``"study"``; None for what the predictions hold.
    labels
        Labels to look at, or the truth's column by label; all that both know when empty.
    patient, study
        Columns of the truth that name patients and studies; found by their usual names when None.
    thresholds
        Operating points by label; `ALL_LABELS` for the rest.
    card
        Of the model whose operating points hold where `thresholds` says nothing.
    subgroups
        Columns of the truth.
    readers
        Table of what readers said.
    masks
        Folder of true masks, where `truth` is a table.
    """

    truth: Path
    level: Literal["slice", "study"] | None = None
    labels: Mapping[str, str] | Sequence[str] = ()
    patient: str | None = None
    study: str | None = None
    thresholds: Mapping[str, float] = field(default_factory=dict)
    card: Card | None = None
    subgroups: Sequence[str] = ()
    readers: Path | None = None
    masks: Path | None = None


def evaluate(
    predictions: Path,
    request: Request,
    *,
    progress: Progress = no_progress,
    cancelled: Cancelled = never_cancelled,
) -> Evaluation:
    """Evaluate predictions; reads files, writes none.

    Raises
    ------
    EvaluationError
        When predictions or truth cannot be read or do not fit together.
    CancelledError
        When `cancelled` answered True.
    """
    progress("Reading predictions and truth", 0.0)
    found = read_predictions(predictions)
    truth = _labels_of(request) if found.levels else None
    masks, notices = _mask_results(predictions, request, truth, progress, cancelled)
    aligned, lost = _aligned(found, truth, request)
    if not aligned and not masks:
        raise EvaluationError(
            " ".join(lost)
            or f"{predictions} holds no table, findings or masks that could be compared with {request.truth}."
        )
    levels = []
    for number, cases in enumerate(aligned):
        stop_if(cancelled)
        progress(f"Evaluating {len(cases.names)} cases", 0.2 + 0.8 * number / len(aligned))
        levels.append(_level(cases, request, found.model or found.name))
    said = [notice for cases in aligned for notice in (*cases.notices, *_one_sided(cases))]
    progress("Done", 1.0)
    return Evaluation(
        predictions=found.name,
        truth=request.truth.name,
        model=found.model or (request.card.id if request.card else ""),
        software=__version__,
        levels=levels,
        masks=masks,
        notices=list(dict.fromkeys([*found.notices, *_remarks(truth), *said, *lost, *notices])),
    )


def compare(
    first: Path,
    second: Path,
    request: Request,
    *,
    card_of_second: Card | None = None,
    progress: Progress = no_progress,
    cancelled: Cancelled = never_cancelled,
) -> Comparison:
    """Compare two predictions on the cases that both have; `request` as for `evaluate`."""
    progress("Reading predictions and truth", 0.0)
    both = [read_predictions(path) for path in (first, second)]
    truth = _labels_of(request) if all(found.levels for found in both) else None
    sides = [_aligned(found, truth, request) for found in both]
    levels, said = [], [notice for _, lost in sides for notice in lost]
    for a in sides[0][0]:
        for b in (other for other in sides[1][0] if other.level == a.level):
            stop_if(cancelled)
            progress(f"Comparing {len(a.names)} cases", 0.3)
            shared_a, shared_b = same_cases(a, b)
            if len(shared_a.names) < max(len(a.names), len(b.names)):
                said.append(f"Compared on the {len(shared_a.names)} {plural(a.level)} that both hold.")
            points = [
                {label: _thresholds(label, cases, request, card)[0].value for label in cases.labels}
                for cases, card in ((a, request.card), (b, card_of_second or request.card))
            ]
            levels.append(compare_level(shared_a, shared_b, *points))
            said += [*a.notices, *b.notices]
    rows = [_mask_rows(path, request, progress, cancelled)[0] for path in (first, second)]
    masks = [
        compared
        for segment in rows[0]
        if segment in rows[1]
        for compared in [compare_masks(segment, rows[0][segment][1], rows[1][segment][1])]
        if compared is not None
    ]
    if not levels and not masks:
        raise EvaluationError(
            " ".join(said)
            or f"{first} and {second} have nothing in common that {request.truth} could be compared with."
        )
    progress("Done", 1.0)
    return Comparison(
        a=_told_apart(first, second),
        b=_told_apart(second, first),
        truth=request.truth.name,
        software=__version__,
        levels=levels,
        masks=masks,
        notices=list(dict.fromkeys(said)),
    )


def _labels_of(request: Request) -> Truth | None:
    if request.truth.is_dir() and not any(request.truth.rglob("s*.csv")):
        return None
    return read_truth(request.truth)


def _aligned(found: Predictions, truth: Truth | None, request: Request) -> tuple[list[Cases], list[str]]:
    """Return the levels that fit the truth, and for each of several that does not, why."""
    if truth is None:
        return [], []
    levels = [item for scores in found.levels for item in _at_level(scores, truth, request)]
    if not levels:
        raise EvaluationError(f"{found.name} holds no {plural(request.level or '')}.")
    cases, lost = [], []
    for scores in levels:
        try:
            cases.append(align(scores, truth, labels=request.labels, patient=request.patient))
        except EvaluationError as error:
            if len(levels) == 1:
                raise
            lost.append(f"No figures for {plural(scores.level)}: {error}")
    return cases, lost


def _at_level(scores: Scores, truth: Truth, request: Request) -> list[Scores]:
    if scores.level != "image":
        return [scores] if request.level in (None, scores.level) else []
    if request.level is None:
        return [scores]
    if request.level == "study" and (request.study or _names_studies(truth)):
        named = align(scores, truth, labels=request.labels, patient=request.patient)
        own = replace(
            scores,
            keys=named.keys,
            labels=named.labels,
            values=named.values,
            runs=named.runs,
        )
        return [by_study(own, truth, request.study)]
    return [replace(scores, level=request.level)]


def _remarks(truth: Truth | None) -> tuple[str, ...]:
    return tuple(truth.rows.attrs.get("remarks", ())) if truth is not None else ()


def _names_studies(truth: Truth) -> bool:
    """Whether the table names a study and, beside it, an image."""
    from AcuteFindingsLib.evaluation.tables import STUDY_COLUMNS

    known = [plain(name) for name in truth.rows.columns]
    return any(name in STUDY_COLUMNS for name in known) and any(
        name in CASE_COLUMNS and name not in STUDY_COLUMNS for name in known
    )


def _level(cases: Cases, request: Request, model: str) -> LevelResult:
    bootstrap = Bootstrap(cases.patients, by=cases.grouped_by)
    stated = {label: _thresholds(label, cases, request, request.card) for label in cases.labels}
    labels = [
        label_result(label, column, cases.truth[:, number], cases.values[:, number], bootstrap, stated[label])
        for number, (label, column) in enumerate(zip(cases.labels, cases.columns, strict=True))
    ]
    groups = [
        subgroups(cases, label, column, stated[label][0], request.truth)
        for column in request.subgroups
        for label in cases.labels
    ]
    return LevelResult(
        level=cases.level,
        cases=len(cases.names),
        patients=bootstrap.patients,
        grouped_by=cases.grouped_by,
        labels=labels,
        class_wise_calibration_error=_class_wise(cases, bootstrap),
        runs=_runs(cases),
        subgroups=groups,
        readers=_readers(cases, request, stated, model),
    )


def _thresholds(label: str, cases: Cases, request: Request, card: Card | None) -> list[Threshold]:
    by_name = {plain(name): value for name, value in request.thresholds.items()}
    unknown = [name for name in request.thresholds if name and plain(name) not in map(plain, cases.labels)]
    if unknown:
        raise EvaluationError(
            f"--threshold names {names(unknown)}, which is not evaluated; labels are {names(cases.labels)}."
        )
    if plain(label) in by_name:
        return [Threshold(by_name[plain(label)], "stated by the user")]
    levels = ("slice", "study") if cases.level == "image" else (cases.level,)
    for point in card.operating_points if card else ():
        if point.level in levels and plain(point.label) == plain(label):
            return [Threshold(point.threshold, f"model card, {point.level}: {point.chosen}")]
    if label in cases.thresholds:
        return [Threshold(cases.thresholds[label], "as the findings state")]
    if ALL_LABELS in request.thresholds:
        return [Threshold(request.thresholds[ALL_LABELS], "stated by the user")]
    return [Threshold(DEFAULT_THRESHOLD, DEFAULT_CHOSEN)]


def _class_wise(cases: Cases, bootstrap: Bootstrap) -> Figure | None:
    if len(cases.labels) < 2:
        return None
    known = ~np.isnan(cases.truth) & ~np.isnan(cases.values)
    errors, measures = [], list[tuple[np.ndarray, Measure]]()
    for number in range(len(cases.labels)):
        kept = known[:, number]
        if kept.any():
            truth, score = cases.truth[kept, number], cases.values[kept, number]
            errors.append(calibration_error(truth, score))
            measures.append((kept, calibration_measure(truth, score)))
    if not errors:
        return None
    span = bootstrap.interval(
        lambda weights: np.mean([measure(weights[:, kept]) for kept, measure in measures], axis=0)
    )
    return Figure(value=float(np.mean(errors)), intervals=[span] if span else [], count=len(cases.names))


def _runs(cases: Cases) -> list[RunResult]:
    results = []
    for name, values in cases.runs.items():
        auc: dict[str, float | None] = {}
        error: dict[str, float | None] = {}
        for number, label in enumerate(cases.labels):
            known = ~np.isnan(cases.truth[:, number])
            truth, score = cases.truth[known, number] == 1, values[known, number]
            auc[label] = auc_figure(truth, score, Bootstrap(np.arange(len(truth)), draws=1)).value
            error[label] = calibration_error(truth, score) if len(truth) else None
        results.append(RunResult(name=name, auc=auc, calibration_error=error))
    return results


def _readers(cases: Cases, request: Request, stated: Mapping[str, Sequence[Threshold]], model: str) -> list[Readers]:
    if request.readers is None:
        return []
    return [
        readers_table(
            label,
            cases.truth[:, cases.labels.index(label)],
            cases.values[:, cases.labels.index(label)],
            answers,
            stated[label][0],
            model,
        )
        for label, answers in read_readers(request.readers, cases).items()
        if answers
    ]


def _one_sided(cases: Cases) -> list[str]:
    said = []
    for number, label in enumerate(cases.labels):
        kinds = set(cases.truth[:, number][~np.isnan(cases.truth[:, number])])
        if len(kinds) < 2:
            which = "positive" if kinds == {1.0} else "negative" if kinds else "without a label"
            said.append(f"{label}: all {plural(cases.level)} are {which}, so there is no ROC curve.")
            continue
        for value, word in ((1.0, "positive"), (0.0, "negative")):
            few = len(set(cases.patients[cases.truth[:, number] == value]))
            if few < FEW:
                unit = cases.level if cases.grouped_by == "case" else "patient"
                said.append(
                    f"{label}: only {counted(few, f'{word} {unit}')}; the figures are uncertain, as their intervals "
                    "show."
                )
    count, groups = len(cases.patients), len(set(cases.patients))
    if groups < count:
        said.append(
            f"The {count} {plural(cases.level)} fall into {groups} groups ({cases.grouped_by}); Wilson's "
            "and DeLong's intervals treat them as independent, the bootstrap does not: use the bootstrap."
        )
    return said


def _mask_results(
    predictions: Path, request: Request, truth: Truth | None, progress: Progress, cancelled: Cancelled
) -> tuple[list[MaskResult], list[str]]:
    found, notices = _mask_rows(predictions, request, progress, cancelled)
    if not found:
        return [], notices
    from AcuteFindingsLib.evaluation.masks import mask_result

    return [
        mask_result(segment, unit, rows, _patients_of(rows, truth, request)) for segment, (unit, rows) in found.items()
    ], notices


def _mask_rows(
    predictions: Path, request: Request, progress: Progress, cancelled: Cancelled
) -> tuple[dict[str, tuple[str, list["MaskRow"]]], list[str]]:
    if not predictions.is_dir():
        return {}, []
    # MONAI is loaded only where there are masks.
    from AcuteFindingsLib.evaluation.mask_files import find_masks, score_masks

    mine, true = find_masks(predictions), _true_masks(request)
    if not mine.images:
        return {}, []
    if true is None or not true.images:
        return {}, ["The predictions hold masks; name the folder of true ones with --masks to compare them."]
    return score_masks(mine, true, progress=progress, cancelled=cancelled)


def _true_masks(request: Request) -> "MaskSet | None":
    from AcuteFindingsLib.evaluation.mask_files import find_masks, run_length_masks

    if request.masks is not None:
        if not request.masks.is_dir():
            raise EvaluationError(f"--masks {request.masks} is not a folder.")
        return find_masks(request.masks)
    return find_masks(request.truth) if request.truth.is_dir() else run_length_masks(request.truth)


def _patients_of(rows: Sequence["MaskRow"], truth: Truth | None, request: Request) -> np.ndarray:
    alone = np.arange(len(rows))
    if truth is None:
        return alone
    table = truth.rows
    patient = find_column(table, request.patient, PATIENT_COLUMNS, what="the patients", path=truth.path)
    case = find_column(table, None, CASE_COLUMNS, what="the cases", path=truth.path)
    if patient is None or case is None:
        return alone
    found = match([(row.image,) for row in rows], table[case].tolist())
    return np.array([str(table[patient].iloc[hit[0]]) if hit else f"\0{n}" for n, hit in enumerate(found)])


def _told_apart(path: Path, other: Path) -> str:
    return path.name if path.name != other.name else f"{path.parent.name}/{path.name}"
