"""A recipe from data to package: every run and fold, every stage, what came out, and where it goes on after a kill."""

import json
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch.utilities import rank_zero_only
from torch import nn

from AcuteFindingsLib.errors import TrainingError
from AcuteFindingsLib.files import replace_when_written
from AcuteFindingsLib.models.find import default_package
from AcuteFindingsLib.models.torch_predictor import choose_device
from AcuteFindingsLib.networks import build_network
from AcuteFindingsLib.progress import Progress
from AcuteFindingsLib.training.data.table import DataTable
from AcuteFindingsLib.training.recipes.plans import EncodeStage
from AcuteFindingsLib.training.recipes.read import recipe_yaml
from AcuteFindingsLib.training.recipes.schema import Recipe
from AcuteFindingsLib.training.runs.arrays import Preparation
from AcuteFindingsLib.training.runs.batches import PictureSet, ScanSet, StackSet
from AcuteFindingsLib.training.runs.data import (
    PHANTOMS,
    Parts,
    RunData,
    not_measured_on,
    open_data,
    parts,
    people,
    require_both_classes,
)
from AcuteFindingsLib.training.runs.encode import encode
from AcuteFindingsLib.training.runs.fit_stage import Hardware, fit_stage
from AcuteFindingsLib.training.runs.items import Item
from AcuteFindingsLib.training.runs.labels import trained_labels
from AcuteFindingsLib.training.runs.measure import choose_points, default_points, measure
from AcuteFindingsLib.training.runs.package import make_card, published_table, write_model
from AcuteFindingsLib.training.runs.predictions import write_answers
from AcuteFindingsLib.training.runs.score import score_items
from AcuteFindingsLib.training.runs.start import start_from
from AcuteFindingsLib.training.runs.store import Prepared, prepare, write_left_out
from AcuteFindingsLib.training.runs.summary import FOLD, Summary, summarize

RECIPE = "recipe.yaml"
MODEL = "model"


@dataclass(frozen=True)
class RunRequest:
    """What the user asked for.

    Attributes
    ----------
    recipe
        Checked, with all overrides.
    out
        Folder of the run.
    cache
        Where phantoms, prepared arrays and encodings are kept between runs.
    data
        Folder of the data set; None makes the recipe's phantoms.
    kind
        Kind of the data set, one of `training.data.KINDS`; None looks at what lies there.
    corrections
        Folder of corrections saved by the modules, added to the training part.
    resume
        Go on with the run that `out` holds.
    command
        That repeats the run, for cards.
    version
        Of the model package.
    """

    recipe: Recipe
    out: Path
    cache: Path
    data: Path | None = None
    kind: str | None = None
    corrections: Path | None = None
    resume: bool = False
    hardware: Hardware = field(default_factory=Hardware)
    command: str = "acutefindings train"
    version: str = "0.1.0"


@dataclass(frozen=True)
class _Turn:
    """One fold of one run."""

    run: int
    fold: int
    folder: Path
    seed: int


def run_recipe(request: RunRequest, *, progress: Progress) -> Summary:
    """Run a recipe to its end.

    Returns
    -------
    Summary
        Over all folds and runs; the package of the best fold lies in ``out/model``.

    Raises
    ------
    TrainingError
        Where the folder holds another run, or there is nothing to learn from.
    """
    recipe, tell = request.recipe, request.hardware.tell
    _check_folder(request)
    for text in (f"{recipe.title} ({recipe.id})", recipe.notes):
        if text:
            tell(text)
    data = open_data(
        recipe,
        request.data,
        kind=request.kind,
        corrections=request.corrections,
        cache=request.cache,
        workers=request.hardware.workers,
        progress=progress,
        tell=tell,
    )
    prepared = _prepare(request, data, progress)
    _claim_folder(request)
    turns = [
        _Turn(run, fold, request.out / f"run-{run}" / f"fold-{fold}", recipe.seed + run)
        for run in range(recipe.runs)
        for fold in recipe.data.split.use or range(recipe.data.split.folds)
    ]
    for turn in turns:
        if not (request.resume and (turn.folder / FOLD).is_file()):
            _run_turn(request, data, prepared, turn, progress)
    if _is_helper():
        return Summary(recipe=recipe, folds=())
    summary = summarize(recipe, [turn.folder for turn in turns], request.out)
    _copy_best(summary, request.out / MODEL)
    return summary


def _check_folder(request: RunRequest) -> None:
    """Refuse a folder that holds another run, or this one where nobody asked to go on with it."""
    if _is_helper():
        # Further processes of one run are started when it is under way.
        return
    place, text = request.out / RECIPE, recipe_yaml(request.recipe)
    if place.is_file():
        if not request.resume:
            raise TrainingError(
                f"{request.out} holds a run already; add --resume to go on with it, or name another --out."
            )
        if place.read_text(encoding="utf-8") != text:
            raise TrainingError(
                f"{request.out} holds a run of another recipe, or of this one with other values; a run goes on with "
                f"those of its {RECIPE}. Name another --out."
            )


def _claim_folder(request: RunRequest) -> None:
    """Mark the folder as this run's, once there is data to train on."""
    if not _is_helper():
        with replace_when_written(request.out / RECIPE) as partial:
            partial.write_text(recipe_yaml(request.recipe), encoding="utf-8")


def _prepare(request: RunRequest, data: RunData, progress: Progress) -> dict[str, Prepared]:
    recipe = request.recipe
    lungs = default_package("lungs").folder if recipe.data.region != "whole" else None
    plan = Preparation(
        task=recipe.task,
        settings=recipe.settings().model_dump(),
        labels=trained_labels(recipe),
        series=recipe.reads_series,
        lungs=lungs,
    )
    found = {}
    for name, table in (("data", data.table), ("corrections", data.extra)):
        if table is None:
            continue
        one = prepare(table, plan, request.cache / "arrays", workers=request.hardware.workers, progress=progress)
        if one.left_out:
            first = one.left_out[0]
            place = request.out / f"left-out-{name}.csv"
            request.hardware.tell(
                f"{len(one.left_out)} of {len(one.left_out) + len(one.items)} were left out, the first "
                f"because: {first.reason} All are listed in {place.name}."
            )
            write_left_out(one.left_out, place)
        found[name] = one
    return found


def _run_turn(
    request: RunRequest, data: RunData, prepared: dict[str, Prepared], turn: _Turn, progress: Progress
) -> None:
    recipe, tell = request.recipe, request.hardware.tell
    part = parts(recipe, data.table, turn.fold)
    chosen = {name: _items(prepared["data"], getattr(part, name), recipe) for name in ("train", "validation", "test")}
    if data.extra is not None:
        chosen["train"] += _items(prepared["corrections"], not_measured_on(data.extra, part), recipe)
    tell(
        f"Run {turn.run + 1} of {recipe.runs}, fold {turn.fold + 1} of {recipe.data.split.folds}: "
        + ", ".join(f"{_count(items)} {name}" for name, items in chosen.items())
    )
    torch.manual_seed(turn.seed)
    network = build_network(recipe.network.name, recipe.network.arguments)
    if recipe.start:
        tell(start_from(network, recipe.start))
    stages = _fit(network, request, chosen, turn, progress)
    network.to(choose_device(_device(request.hardware)))
    _conclude(network, request, data, part, chosen, turn, stages, progress)


def _fit(
    network: nn.Module, request: RunRequest, chosen: dict[str, list[Item]], turn: _Turn, progress: Progress
) -> list[dict[str, Any]]:
    recipe = request.recipe
    stacks: dict[str, list[Any]] = {}
    told = []
    for name, stage in recipe.stages.present().items():
        if isinstance(stage, EncodeStage):
            stacks = {
                part: encode(
                    network,
                    chosen[part],
                    recipe,
                    request.cache / "encodings",
                    augmented=part == "train",
                    seed=turn.seed,
                    device=choose_device(_device(request.hardware)),
                    progress=progress,
                )
                for part in ("train", "validation")
            }
            network.cpu()
            continue
        sets = [_examples(name, recipe, chosen, stacks, part, turn.seed) for part in ("train", "validation")]
        if recipe.task != "lungs":
            require_both_classes(sets[0].positive, "examples")
        told.append(
            fit_stage(
                network,
                recipe,
                name,
                train=sets[0],
                validation=sets[1],
                folder=turn.folder / name,
                hardware=request.hardware,
                seed=turn.seed,
                resume=request.resume,
                progress=progress,
            )
        )
    return told


def _examples(
    name: str, recipe: Recipe, chosen: dict[str, list[Item]], stacks: dict[str, list[Any]], part: str, seed: int
) -> Any:
    settings = recipe.settings()
    if name == "sequence":
        length = int(recipe.network.arguments.get("sequence", {}).get("length", 96))
        return StackSet(stacks[part], length=length, seed=seed)
    if name == "scan":
        plan = recipe.stages.scan
        assert plan is not None
        return ScanSet(chosen[part], settings=settings, slices=plan.slices, seed=seed)
    return PictureSet(chosen[part], settings=settings)


def _conclude(
    network: nn.Module,
    request: RunRequest,
    data: RunData,
    part: Parts,
    chosen: dict[str, list[Item]],
    turn: _Turn,
    stages: Sequence[dict[str, Any]],
    progress: Progress,
) -> None:
    """Choose operating points, measure, write tables and the package, and mark the fold as done."""
    if _is_helper():
        return
    recipe = request.recipe
    who = "phantoms" if data.table.kind == PHANTOMS else "patients"
    epochs = ", ".join(f"{stage['stage']} {stage['epochs']}" for stage in stages)
    facts: dict[str, Any] = {
        "trained_on": data.words[:1].upper() + data.words[1:],
        "count": f"{people(part.train)} {who}, {_count(chosen['train'])}; epochs: {epochs}",
        "phantoms_only": data.phantoms_only,
    }
    card = make_card(recipe, points=default_points(recipe), evaluation=[], **facts)
    where = f"the validation part, {_count(chosen['validation'])}, that the weights were not fitted to"
    validated = score_items(network, recipe, card, chosen["validation"], progress) if chosen["validation"] else None
    points = choose_points(recipe, validated, where=where)
    card = make_card(recipe, points=points, evaluation=[], **facts)
    scored = score_items(network, recipe, card, chosen["test"], progress)
    figures = measure(
        recipe, scored, points, data=f"{people(part.test)} {who} kept aside, of {data.words}", command=request.command
    )
    card = make_card(recipe, points=points, evaluation=figures, **facts)
    write_answers(recipe, scored, turn.folder)
    package = write_model(
        network, recipe, card, turn.folder / MODEL, version=request.version, text=published_table(recipe, figures)
    )
    told = {
        "run": turn.run,
        "fold": turn.fold,
        "seed": turn.seed,
        "stages": list(stages),
        "patients": {name: people(getattr(part, name)) for name in ("train", "validation", "test")},
        "pictures": {name: sum(item.count for item in items) for name, items in chosen.items()},
        "operating_points": [point.model_dump() for point in points],
        "evaluation": [figure.model_dump() for figure in figures],
        "model": str(package.folder.relative_to(request.out)),
    }
    with replace_when_written(turn.folder / FOLD) as partial:
        partial.write_text(json.dumps(told, indent=2) + "\n", encoding="utf-8")
    for figure in figures:
        request.hardware.tell(
            f"  {figure.metric}: {figure.value:.3f} ({figure.low:.3f} to {figure.high:.3f}), n = {figure.count}"
        )


def _items(prepared: Prepared, table: DataTable, recipe: Recipe) -> list[Item]:
    return prepared.of(table, series=recipe.reads_series)


def _count(items: Sequence[Item]) -> str:
    pictures = sum(item.count for item in items)
    return f"{len(items)} series with {pictures} slices" if pictures > len(items) else f"{pictures} images"


def _is_helper() -> bool:
    """Whether this is a further process of a run on several devices, which leaves writing to the first."""
    return bool(getattr(rank_zero_only, "rank", 0))


def _device(hardware: Hardware) -> str:
    return {"gpu": "cuda", "cuda": "cuda", "cpu": "cpu"}.get(hardware.accelerator, "auto")


def _copy_best(summary: Summary, target: Path) -> None:
    """Put the package of the best fold where it is looked for; it takes its place whole."""
    best = summary.best
    if best is None:
        return
    with replace_when_written(target) as partial:
        shutil.copytree(best, partial)
