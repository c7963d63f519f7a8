"""The commands that measure: how good predictions are, how two compare, how label sets agree, where a network looks."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, cast

import typer

from AcuteFindingsLib import RESEARCH_USE_ONLY
from AcuteFindingsLib.cli.common import (
    AsJson,
    Device,
    Model,
    ModelFolders,
    Threads,
    device_name,
    err_console,
    listed,
    one_of,
    out_console,
    print_json,
    progress_bar,
)
from AcuteFindingsLib.cli.tables import print_facts, print_rows
from AcuteFindingsLib.counting import counted, plural
from AcuteFindingsLib.detectors.registry import explained_tasks, find_task, kind_of_task
from AcuteFindingsLib.errors import EvaluationError

if TYPE_CHECKING:
    from AcuteFindingsLib.evaluation.evaluate import Request
    from AcuteFindingsLib.evaluation.schema import Comparison, Evaluation, Figure
    from AcuteFindingsLib.models.metadata import Card

_PREDICTIONS = "A CSV of predict, a folder of results of run, a folder of masks, or a CSV with Preds_model1 and so on."
Predictions = Annotated[Path, typer.Argument(metavar="PREDICTIONS", help=_PREDICTIONS)]
Truth = Annotated[Path, typer.Option("--truth", help="CSV of labels; or a folder of true masks or of phantoms.")]
OptionalOut = Annotated[Path | None, typer.Option("--out", help="Folder for the JSON and the HTML report.")]
Level = Annotated[str | None, typer.Option("--level", help="slice or study; default: what the predictions hold.")]
Patient = Annotated[str | None, typer.Option("--patient", help="Column of the truth that names the patient.")]
Study = Annotated[str | None, typer.Option("--study", help="Column of the truth that names the study of a slice.")]
Labels = Annotated[
    list[str] | None,
    typer.Option("--label", help="A label, or PREDICTED=COLUMN if the truth uses another name; may be repeated."),
]
Thresholds = Annotated[
    list[str] | None, typer.Option("--threshold", help="LABEL=0.5, or 0.5 for all labels; may be repeated.")
]
Masks = Annotated[Path | None, typer.Option("--masks", help="Folder of true masks, if --truth is a CSV.")]


def evaluate(
    predictions: Predictions,
    truth: Truth,
    out: OptionalOut = None,
    level: Level = None,
    patient: Patient = None,
    study: Study = None,
    label: Labels = None,
    threshold: Thresholds = None,
    model: Annotated[str | None, typer.Option("--model", help="Model whose operating points to use.")] = None,
    subgroups: Annotated[str, typer.Option("--subgroups", help="Columns of the truth, such as sex,age,view.")] = "",
    readers: Annotated[
        Path | None, typer.Option("--readers", help="CSV of readers' answers for the same cases.")
    ] = None,
    masks: Masks = None,
    checklist: Annotated[
        str | None, typer.Option("--checklist", help="claim: what CLAIM 2024 and STARD-AI ask, as far as known here.")
    ] = None,
    models_folder: ModelFolders = None,
    as_json: AsJson = False,
) -> None:
    """Measure predictions against the truth: ROC, operating points, calibration, masks, readers, subgroups."""
    from AcuteFindingsLib.evaluation.checklist import write_checklists
    from AcuteFindingsLib.evaluation.checklist_known import known_of
    from AcuteFindingsLib.evaluation.evaluate import evaluate as run_evaluation
    from AcuteFindingsLib.evaluation.report import write_evaluation

    if checklist is not None:
        one_of("--checklist", checklist, ("claim",))
        if out is None:
            raise EvaluationError("--checklist writes a page; name a folder for it with --out.")
    request = replace(
        _request(truth, level, label, patient, study, threshold, masks),
        card=_card(model, models_folder),
        subgroups=tuple(name.strip() for name in subgroups.split(",") if name.strip()),
        readers=readers,
    )
    with progress_bar() as progress:
        result = run_evaluation(predictions, request, progress=progress)
    written = write_evaluation(result, out) if out else ()
    if checklist is not None and out is not None:
        known = known_of(predictions, result, request, folders=tuple(models_folder or ()))
        written = (*written, *write_checklists(known, out))
    if as_json:
        print_json(result.model_dump(mode="json"))
        return
    _print_evaluation(result)
    _print_files(written)


def compare(
    first: Annotated[Path, typer.Argument(metavar="A", help=_PREDICTIONS)],
    second: Annotated[Path, typer.Argument(metavar="B", help="Predictions of the other model for the same cases.")],
    truth: Truth,
    out: OptionalOut = None,
    level: Level = None,
    patient: Patient = None,
    study: Study = None,
    label: Labels = None,
    threshold: Thresholds = None,
    model_a: Annotated[
        str | None, typer.Option("--model-a", help="Model whose operating points are used for A.")
    ] = None,
    model_b: Annotated[
        str | None, typer.Option("--model-b", help="Model whose operating points are used for B.")
    ] = None,
    masks: Masks = None,
    models_folder: ModelFolders = None,
    as_json: AsJson = False,
) -> None:
    """Compare two models on the same cases: DeLong's test, McNemar's test, Dice."""
    from AcuteFindingsLib.evaluation.evaluate import compare as run_comparison
    from AcuteFindingsLib.evaluation.report import write_comparison

    request = _request(truth, level, label, patient, study, threshold, masks)
    request = replace(request, card=_card(model_a, models_folder))
    with progress_bar() as progress:
        result = run_comparison(first, second, request, card_of_second=_card(model_b, models_folder), progress=progress)
    written = write_comparison(result, out) if out else ()
    if as_json:
        print_json(result.model_dump(mode="json"))
        return
    _print_comparison(result)
    _print_files(written)


def agree(
    sets: Annotated[
        list[Path], typer.Argument(metavar="LABELS...", help="CSV tables of labels, or one with a column 'reader'.")
    ],
    label: Annotated[
        list[str] | None, typer.Option("--label", help="Which label; default: all that two sets share.")
    ] = None,
    images: Annotated[
        Path | None, typer.Option("--images", help="Folder of the images, to show disagreements.")
    ] = None,
    out: OptionalOut = None,
    as_json: AsJson = False,
) -> None:
    """Measure how well label sets agree: Cohen's kappa of each pair, Fleiss' kappa of all, and the disagreements."""
    from AcuteFindingsLib.evaluation.agreement import agreement, read_label_sets
    from AcuteFindingsLib.evaluation.contact_sheet import disagreement_sheets
    from AcuteFindingsLib.evaluation.report import number_text, write_agreement

    if images is not None and out is None:
        raise EvaluationError("--images draws pictures of disagreements; name a folder for them with --out.")
    result = agreement(read_label_sets(sets, label or ()), label or ())
    written: Sequence[Path] = ()
    if out is not None:
        with progress_bar() as progress:
            pictures = disagreement_sheets(result, images, out, progress=progress) if images else {}
        written = (*write_agreement(result, out, pictures=pictures), *pictures.values())
    if as_json:
        print_json(result.model_dump(mode="json"))
        return
    rows = []
    for item in result.labels:
        for pair in item.pairs:
            words, kappa = f"{pair.first} – {pair.second}", pair.kappa
            rows.append((item.label, words, str(pair.cases), number_text(kappa, 2), _range(kappa, 2)))
        if len(item.sets) > 2:
            kappa = item.fleiss
            rows.append((item.label, "all (Fleiss)", str(kappa.count), number_text(kappa, 2), _range(kappa, 2)))
    print_rows(("label", "pair", "cases", "kappa", "95 % interval"), rows)
    _print_notices(result.notices)
    _print_files(written)


def join_runs(
    runs: Annotated[list[Path], typer.Argument(metavar="RUN...", help="CSV tables of predict, one per run.")],
    out: Annotated[Path, typer.Option("--out", help="The CSV to write: Preds_model1, Preds_model2 and so on.")],
    order: Annotated[
        Path | None, typer.Option("--order", help="CSV whose rows give the order of the images; else the first run's.")
    ] = None,
) -> None:
    """Join runs of one model into one file of predictions, one column per run."""
    from AcuteFindingsLib.evaluation.predictions import join_tables, write_runs

    joined = join_tables(runs, order=order)
    write_runs(out, joined.runs)
    said = f"{counted(len(joined.runs), 'run')} of {counted(len(joined.runs[0]), 'image')}"
    out_console.print(f"{said}, labels {', '.join(joined.labels)}.")
    _print_files((out,))


def explain(
    detector: Annotated[str, typer.Option("--detector", help=f"{listed(explained_tasks())}.")],
    images: Annotated[Path, typer.Option("--images", help="A folder of single images, or a study.")],
    out: Annotated[Path, typer.Option("--out", help="Folder for the pictures and the report.")],
    listing: Annotated[Path | None, typer.Option("--list", help="CSV whose column 'image' names the images.")] = None,
    label: Annotated[
        str | None, typer.Option("--label", help="The label to explain; default: the model's first.")
    ] = None,
    count: Annotated[int, typer.Option("--count", min=1, help="How many images, the most probable first.")] = 24,
    model: Model = None,
    device: Device = "auto",
    threads: Threads = None,  # noqa: ARG001
    models_folder: ModelFolders = None,
) -> None:
    """Show where a model looked, and the masks it draws, over the images, on one sheet and one by one."""
    from AcuteFindingsLib.evaluation.explain import ExplainRequest, explain_images
    from AcuteFindingsLib.jobs.image_files import listed_images

    one_of("--detector", detector, explained_tasks())
    single = listing is not None or (images.is_dir() and _single_images(images, detector))
    request = ExplainRequest(
        task=detector,
        files=tuple(listed_images(images, listing)) if single else (images,),
        out=out,
        label=label,
        count=count,
        model=model,
        device=device_name(device),
        model_folders=tuple(models_folder or ()),
    )
    with progress_bar() as progress:
        result = explain_images(request, progress=progress)
    out_console.print(
        f"{result.shown} of {result.images} images shown for {result.label}, the most probable first, by {result.way}, "
        f"computed by {result.computed}. {RESEARCH_USE_ONLY}"
    )
    for notice in result.notices:
        err_console.print(f"  {notice.severity}  {notice.text}")
    _print_files((result.sheet, result.report))


def _single_images(folder: Path, detector: str) -> bool:
    """Whether the files of a folder are images each on its own; DICOM files of a CT are the slices of one study."""
    if kind_of_task(detector).reads_radiographs:
        return True
    names = [path.name.lower() for path in folder.iterdir() if path.is_file()]
    return find_task(detector).single_images and any(name.endswith((".png", ".jpg", ".jpeg")) for name in names)


def _request(
    truth: Path,
    level: str | None,
    labels: list[str] | None,
    patient: str | None,
    study: str | None,
    thresholds: list[str] | None,
    masks: Path | None,
) -> "Request":
    """Return what the options ask for that `evaluate` and `compare` have in common."""
    from AcuteFindingsLib.evaluation.evaluate import Request

    if level is not None:
        one_of("--level", level, ("slice", "study"))
    pairs = [option.partition("=") for option in labels or ()]
    return Request(
        truth=truth,
        level=cast(Literal["slice", "study"] | None, level),
        labels={name.strip(): column.strip() for name, _, column in pairs},
        patient=patient,
        study=study,
        thresholds=_thresholds(thresholds),
        masks=masks,
    )


def _thresholds(options: list[str] | None) -> dict[str, float]:
    found = {}
    for option in options or ():
        name, equals, value = option.rpartition("=")
        try:
            number = float(value)
        except ValueError:
            number = -1.0
        if not 0 <= number <= 1 or (equals and not name):
            raise EvaluationError(f"--threshold {option}: LABEL=NUMBER with a number from 0 to 1, or the number alone.")
        found[name.strip()] = number
    return found


def _card(model: str | None, folders: list[Path] | None) -> "Card | None":
    if model is None:
        return None
    from AcuteFindingsLib.models.find import find_package

    return find_package(model, folders=tuple(folders or ())).card


def _print_evaluation(result: "Evaluation") -> None:
    from AcuteFindingsLib.evaluation.report import number_text

    for level in result.levels:
        groups = f", {level.patients} groups ({level.grouped_by})" if level.patients < level.cases else ""
        rows = []
        for item in level.labels:
            point = item.points[0]
            counts = (str(item.cases), str(item.positives))
            area = (number_text(item.auc), _range(item.auc))
            figures = (number_text(point.figures[name], 2) for name in ("sensitivity", "specificity", "f1"))
            rows.append((item.label, *counts, *area, f"{point.threshold:.2f}", *figures))
        columns = ("label", "n", "pos.", "AUC", "95 % interval", "at", "sens.", "spec.", "F1")
        print_rows(columns, rows, title=f"{plural(level.level)}: {level.cases}{groups}")
        for readers in level.readers:
            _print_readers(readers.label, readers.rows)
    for masks in result.masks:
        out_console.print(
            f"Dice, {masks.segment}: {_with_range(masks.dice)} on {counted(masks.images, 'image')}; "
            f"{_with_range(masks.dice_with_truth)} on the {masks.with_truth} with a true mask."
        )
    _print_notices(result.notices)


def _print_readers(label: str, rows: Sequence) -> None:
    from AcuteFindingsLib.evaluation.report import number_text, p_text

    names: Mapping[str, str] = {"accuracy": "accuracy", "recall": "sensitivity", "precision": "ppv", "F1": "f1"}
    columns = ("who", "n", *names, "p (McNemar)")
    shown = [
        (row.name, str(row.cases), *(number_text(row.figures[key], 3) for key in names.values()), p_text(row.p_value))
        for row in rows
    ]
    print_rows(columns, shown, title=f"readers: {label}")


def _print_comparison(result: "Comparison") -> None:
    from AcuteFindingsLib.evaluation.report import p_text

    out_console.print(f"A: {result.a}   B: {result.b}")
    for level in result.levels:
        rows = [
            (
                item.label,
                str(item.cases),
                *(_with_range(figure) for figure in (item.auc_a, item.auc_b, item.difference)),
                p_text(item.p_value),
                p_text(item.mcnemar[0].p_value),
            )
            for item in level.labels
        ]
        columns = ("label", "n", "AUC A", "AUC B", "A − B", "p (DeLong)", "p (McNemar)")
        print_rows(columns, rows, title=f"{plural(level.level)}: {level.cases}")
    for masks in result.masks:
        out_console.print(
            f"Dice, {masks.segment}: A {_with_range(masks.dice_a)}, B {_with_range(masks.dice_b)}, "
            f"A − B {_with_range(masks.difference)}, p (Wilcoxon) {p_text(masks.p_value)}"
        )
    _print_notices(result.notices)


def _with_range(figure: "Figure") -> str:
    from AcuteFindingsLib.evaluation.report import number_text

    span = _range(figure)
    return f"{number_text(figure)} ({span})" if span else number_text(figure)


def _range(figure: "Figure", decimals: int = 3) -> str:
    from AcuteFindingsLib.evaluation.report import interval_text

    return interval_text(figure, decimals)


def _print_notices(notices: Sequence[str]) -> None:
    print_facts(("note:", notice) for notice in notices)


def _print_files(paths: Sequence[Path]) -> None:
    for path in paths:
        out_console.print(f"  {path.suffix[1:] or 'file':<8}{path}")
