"""A recipe from data to package: every run and fold, every stage, what came out, and where it goes on after a kill."""

import shutil
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from lightning.pytorch.utilities import rank_zero_only

from AcuteFindingsLib.errors import TrainingError
from AcuteFindingsLib.files import replace_when_written
from AcuteFindingsLib.models.device import choose_device
from AcuteFindingsLib.networks import build_network
from AcuteFindingsLib.progress import Progress
from AcuteFindingsLib.training.data.table import DataTable
from AcuteFindingsLib.training.recipes.read import recipe_yaml
from AcuteFindingsLib.training.recipes.schema import Recipe
from AcuteFindingsLib.training.runs.arrays import Preparation, preparation_of
from AcuteFindingsLib.training.runs.conclude import EVERYBODY, MODEL, Turn, conclude, count_words
from AcuteFindingsLib.training.runs.data import (
    Parts,
    RunData,
    not_measured_on,
    open_data,
    parts,
)
from AcuteFindingsLib.training.runs.fit_stage import Hardware
from AcuteFindingsLib.training.runs.items import Item
from AcuteFindingsLib.training.runs.package import stored_precision
from AcuteFindingsLib.training.runs.start import start_from
from AcuteFindingsLib.training.runs.store import Prepared, prepare, write_left_out
from AcuteFindingsLib.training.runs.summary import FOLD, Summary, summarize
from AcuteFindingsLib.training.stages.fit_stages import fit_stages
from AcuteFindingsLib.training.stages.mixture import Workshop

RECIPE = "recipe.yaml"
DATA = "data.txt"
"""Holds a digest of the images, patients and labels that a run is about."""


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


def run_recipe(request: RunRequest, *, progress: Progress) -> Summary:
    """Run a recipe to its end.

    Returns
    -------
    Summary
        Over all folds and runs; the package of the best fold lies in ``out/model``.

    Raises
    ------
    TrainingError
        Where the folder holds another run or one on other data, or there is nothing to learn from.
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
    about = data.digest()
    _check_data(request, about)
    plan = preparation_of(recipe)
    prepared = _prepare(request, plan, data, progress)
    _claim_folder(request, about)
    turns = _turns(request)
    for turn in turns:
        if not (request.resume and (turn.folder / FOLD).is_file()):
            _run_turn(request, plan, data, prepared, turn, progress)
    if _is_helper():
        return Summary(recipe=recipe, folds=())
    counted = [turn.folder for turn in turns if turn.validated_in] or [turn.folder for turn in turns]
    summary = summarize(recipe, counted, request.out)
    _copy_best(summary, request.out / MODEL)
    return summary


def _turns(request: RunRequest) -> list[Turn]:
    recipe, turns = request.recipe, []
    for run in range(recipe.runs):
        folder, seed = request.out / f"run-{run}", recipe.seed + run
        split = recipe.data.split
        folds = [Turn(run, fold, folder / f"fold-{fold}", seed) for fold in split.use or range(split.folds)]
        turns += folds
        if split.fit_all:
            turns.append(Turn(run, EVERYBODY, folder / EVERYBODY, seed, tuple(fold.folder for fold in folds)))
    return turns


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


def _check_data(request: RunRequest, about: str) -> None:
    """Refuse to go on with other data: stages that are done would have seen whom the rest measures on."""
    place = request.out / DATA
    if request.resume and place.is_file() and place.read_text(encoding="utf-8") != about:
        raise TrainingError(
            f"{request.out} holds a run on other images, patients, labels or corrections; a run goes on with the same "
            "--data and --corrections. Name these, or another --out."
        )


def _claim_folder(request: RunRequest, about: str) -> None:
    """Mark the folder as this run's, once there is data to train on."""
    if not _is_helper():
        for name, text in ((DATA, about), (RECIPE, recipe_yaml(request.recipe))):
            with replace_when_written(request.out / name) as partial:
                partial.write_text(text, encoding="utf-8")


def _prepare(request: RunRequest, plan: Preparation, data: RunData, progress: Progress) -> dict[str, Prepared]:
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
    request: RunRequest,
    plan: Preparation,
    data: RunData,
    prepared: dict[str, Prepared],
    turn: Turn,
    progress: Progress,
) -> None:
    recipe, tell = request.recipe, request.hardware.tell
    nobody = data.table.take(np.empty(0, np.int64))
    part = Parts(data.table, nobody, nobody) if isinstance(turn.fold, str) else parts(recipe, data.table, turn.fold)
    chosen = {name: _items(prepared["data"], getattr(part, name), recipe) for name in ("train", "validation", "test")}
    if data.extra is not None:
        chosen["train"] += _items(prepared["corrections"], not_measured_on(data.extra, part), recipe)
    workshop = Workshop(recipe, plan, request.cache, request.hardware.workers, progress)
    chosen["train"] += workshop.mixed(prepared["data"], part.train)
    if recipe.data.drawn_aside:
        for name in ("validation", "test"):
            known = workshop.known(prepared["data"], getattr(part, name))
            chosen[name] = workshop.drawn(recipe.data.drawn_aside, "drawn_aside", prepared["data"].items, known)
    tell(
        f"Run {turn.run + 1} of {recipe.runs}, {_fold_words(turn, recipe)}: "
        + ", ".join(f"{count_words(items)} {name}" for name, items in chosen.items())
    )
    torch.manual_seed(turn.seed)
    network = build_network(recipe.network.name, recipe.network.arguments)
    if recipe.start:
        tell(start_from(network, recipe.start, phantoms_only=recipe.start_phantoms_only))
    stages = fit_stages(
        network,
        workshop,
        chosen,
        folder=turn.folder,
        encodings=request.cache / "encodings",
        hardware=request.hardware,
        seed=turn.seed,
        resume=request.resume,
    )
    # What is measured is what the package will hold.
    network.load_state_dict(stored_precision(network.state_dict()))
    network.to(choose_device(request.hardware.torch_device))
    if _is_helper():
        return
    conclude(
        network,
        recipe,
        data,
        part,
        chosen,
        turn,
        stages=stages,
        command=request.command,
        version=request.version,
        root=request.out,
        phantoms=workshop.phantoms,
        tell=tell,
        progress=progress,
    )


def _fold_words(turn: Turn, recipe: Recipe) -> str:
    return turn.fold if isinstance(turn.fold, str) else f"fold {turn.fold + 1} of {recipe.data.split.folds}"


def _items(prepared: Prepared, table: DataTable, recipe: Recipe) -> list[Item]:
    return prepared.of(table, series=recipe.reads_series)


def _is_helper() -> bool:
    """Whether this is a further process of a run on several devices, which leaves writing to the first."""
    return bool(getattr(rank_zero_only, "rank", 0))


def _copy_best(summary: Summary, target: Path) -> None:
    """Put the package of the best fold where it is looked for; it takes its place whole."""
    best = summary.best
    if best is None:
        return
    with replace_when_written(target) as partial:
        shutil.copytree(best, partial)
