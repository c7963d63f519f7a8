"""What each stage shows a network, and what the answers are held against."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from AcuteFindingsLib.training.augment import at_size
from AcuteFindingsLib.training.recipes.schema import Recipe

Batch = dict[str, Tensor]
# Slices that go through a network at once where no gradients are kept.
_CHUNK = 32


@dataclass(frozen=True)
class Step:
    """Answers of a network to one batch with their truth.

    Attributes
    ----------
    outputs
        Logits by name.
    targets
        0..1, shaped as the outputs of the same name.
    known
        1 where the truth is known, 0 elsewhere; of some outputs.
    main
        The output whose first label the stage is about.
    """

    outputs: Mapping[str, Tensor]
    targets: Mapping[str, Tensor]
    known: Mapping[str, Tensor]
    main: str


def step_for(stage: str, recipe: Recipe) -> Callable[[nn.Module, Batch], Step]:
    """Return what a stage does with a network and a batch (see `batches` for what is in one)."""
    if stage == "findings":
        arguments = recipe.network.arguments
        groups = {name: len(arguments.get(name, ())) for name in ("pathologies", "tubes")}
        return lambda network, batch: _findings(network, batch, groups)
    return {"slice": _slice, "sequence": _sequence, "scan": _scan, "image": _image, "segment": _segment}[stage]


def trained_part(stage: str, network: nn.Module) -> nn.Module:
    """Return the part of a network that a stage fits: of slice encoder and sequence network in one, either."""
    part = {"slice": "encoder", "sequence": "sequence_network"}.get(stage, "")
    return getattr(network, part, network) if part else network


def _slice(network: nn.Module, batch: Batch) -> Step:
    outputs = trained_part("slice", network)(batch["images"])
    labels = batch["labels"][:, :1]
    targets = {"slice": labels.nan_to_num(), **_mask_targets(outputs, batch["mask"])}
    known = {"slice": (~labels.isnan()).float(), **_mask_known(outputs, batch["mask_known"])}
    return Step(outputs, targets, known, "slice")


def _sequence(network: nn.Module, batch: Batch) -> Step:
    outputs = trained_part("sequence", network)(batch["encodings"], batch["valid"])
    inside = batch["valid"].float()
    targets = {"slice": batch["slices"].nan_to_num(), "stack": batch["stack"].nan_to_num()}
    known = {"slice": inside * (~batch["slices"].isnan()), "stack": (~batch["stack"].isnan()).float()}
    if "exam" in outputs:
        targets["exam"], known["exam"] = batch["exam"].nan_to_num(), (~batch["exam"].isnan()).float()
    return Step(outputs, targets, known, "stack")


def _scan(network: Any, batch: Batch) -> Step:
    images = batch["images"]
    scans, slices = images.shape[0], images.shape[1]
    flat = images.flatten(0, 1)
    if torch.is_grad_enabled():
        outputs = network.features(flat)
    else:
        parts = [network.features(part) for part in flat.split(_CHUNK)]
        outputs = {name: torch.cat([part[name] for part in parts]) for name in parts[0]}
    features = outputs.pop("features").float().reshape(scans, slices, -1)
    outputs["slice"] = network.head(features, batch["valid"])["slice"]
    labels = batch["labels"]
    known = (~labels.isnan()).float() * batch["valid"].unsqueeze(2)
    inside = batch["mask_known"].flatten() * batch["valid"].flatten()
    masks = batch["mask"].flatten(0, 1)
    return Step(
        outputs,
        {"slice": labels.nan_to_num(), **_mask_targets(outputs, masks)},
        {"slice": known, **_mask_known(outputs, inside)},
        "slice",
    )


def _image(network: nn.Module, batch: Batch) -> Step:
    labels = batch["labels"][:, :1]
    return Step(network(batch["images"]), {"image": labels.nan_to_num()}, {"image": (~labels.isnan()).float()}, "image")


def _segment(network: nn.Module, batch: Batch) -> Step:
    outputs = network(batch["images"])
    targets, known = _mask_targets(outputs, batch["mask"]), _mask_known(outputs, batch["mask_known"])
    if "empty" in outputs:
        # Of a crop, what the crop shows counts.
        targets["empty"] = 1.0 - batch["mask"].flatten(1).amax(dim=1, keepdim=True)
        known["empty"] = batch["mask_known"].reshape(-1, 1)
    return Step(outputs, targets, known, "mask")


def _findings(network: nn.Module, batch: Batch, groups: Mapping[str, int]) -> Step:
    outputs = network(batch["images"])
    targets, known, first = {}, {}, 0
    for name, count in groups.items():
        if name in outputs:
            labels = batch["labels"][:, first : first + count]
            targets[name], known[name] = labels.nan_to_num(), (~labels.isnan()).float()
            first += count
    return Step(outputs, targets, known, next(name for name in groups if name in outputs))


def _mask_targets(outputs: Mapping[str, Tensor], masks: Tensor) -> dict[str, Tensor]:
    """Return the truth for every output that is a map, at that output's size."""
    return {name: at_size(masks, value.shape[-2:]) for name, value in outputs.items() if value.ndim == 4}


def _mask_known(outputs: Mapping[str, Tensor], known: Tensor) -> dict[str, Tensor]:
    return {name: known.reshape(-1, 1, 1, 1) for name, value in outputs.items() if value.ndim == 4}
