"""All stages of a recipe in their order, each on the examples that it is about."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from torch import nn

from AcuteFindingsLib.models.device import choose_device
from AcuteFindingsLib.training.recipes.schema import Recipe
from AcuteFindingsLib.training.recipes.stages import CloseUpStage, EncodeStage, LineStage
from AcuteFindingsLib.training.runs.batches import EncodedScanSet, PictureSet, ScanSet, StackSet
from AcuteFindingsLib.training.runs.data import require_both_classes
from AcuteFindingsLib.training.runs.encode import encode
from AcuteFindingsLib.training.runs.fit_stage import Hardware, fit_stage
from AcuteFindingsLib.training.runs.items import Item
from AcuteFindingsLib.training.stages.close_ups import fit_close_ups
from AcuteFindingsLib.training.stages.lines import fit_lines
from AcuteFindingsLib.training.stages.mixture import Workshop

_FITTED = ("train", "validation")


def fit_stages(
    network: nn.Module,
    workshop: Workshop,
    chosen: dict[str, list[Item]],
    *,
    folder: Path,
    encodings: Path,
    hardware: Hardware,
    seed: int,
    resume: bool,
) -> list[dict[str, Any]]:
    """Fit a network through all stages of a recipe and leave the weights in it.

    Parameters
    ----------
    workshop
        Holds the recipe; makes phantoms for the stages that ask for new ones.
    chosen
        Items to fit to (``"train"``) and to choose epochs by (``"validation"``).
    folder
        Receives a folder a stage.
    encodings
        Where encodings are kept between runs.

    Returns
    -------
    list
        What each fitted stage says of itself (`fit_stage`).
    """
    recipe, progress = workshop.recipe, workshop.progress
    stacks: dict[str, list[Any]] = {}
    told = []
    for name, stage in recipe.stages.present().items():
        where: dict[str, Any] = {
            "hardware": hardware,
            "seed": seed,
            "resume": resume,
            "progress": progress,
            "folder": folder / name,
        }
        if isinstance(stage, EncodeStage):
            device = choose_device(hardware.torch_device)
            for part in _FITTED:
                asked = [one for one in chosen[part] if one.source in (stage.sources or (one.source,))]
                stacks[part] = encode(
                    network,
                    asked if part == "train" else chosen[part],
                    recipe,
                    encodings,
                    augmented=part == "train",
                    seed=seed,
                    device=device,
                    progress=progress,
                )
            network.cpu()
        elif isinstance(stage, LineStage):
            fit_lines(network, stacks["train"], stage)
        elif isinstance(stage, CloseUpStage):
            told.append(fit_close_ups(network, recipe, chosen["train"], _fresh(workshop, stage), **where))
        else:
            train, validation = (_examples(name, recipe, chosen[part], stacks.get(part, []), seed) for part in _FITTED)
            if recipe.model_task.probabilities:
                require_both_classes(train.positive, "examples")
            told.append(fit_stage(network, recipe, name, train=train, validation=validation, **where))
    return told


def _examples(name: str, recipe: Recipe, items: list[Item], stacks: list[Any], seed: int) -> Any:
    settings = recipe.settings()
    if name == "sequence":
        length = int(recipe.network.arguments.get("sequence", {}).get("length", 96))
        return StackSet(stacks, length=length, seed=seed)
    if name == "head":
        return EncodedScanSet(stacks, seed=seed)
    if name == "scan":
        return ScanSet(items, settings=settings, slices=recipe.stages.fitted(name).slices, seed=seed)
    return PictureSet(items, settings=settings)


def _fresh(workshop: Workshop, stage: CloseUpStage) -> Callable[[int], list[Item]] | None:
    """Return what makes new phantoms for a round, where the recipe asks for them."""
    plan = stage.fresh
    if plan is None:
        return None
    return lambda number: workshop.phantoms(
        plan.model_copy(update={"seed": plan.seed + number * plan.count}), f"round {number + 1}"
    )
