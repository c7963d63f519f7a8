"""What each stage shows a network, and what the answers are held against."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from AcuteFindingsLib.networks.pe import PADDED_LOGIT
from AcuteFindingsLib.training.recipes.schema import Recipe

Batch = dict[str, Tensor]
# Cells of the mask around a close-up that are cut with it and not shown.
CLOSE_UP_RIM = 2
# A cell so far from a finding is free of it, in cells.
_CLOSE_BY = 2
# Pixels of which a finding must hold so many, for the mask to show one where only the label is known.
_SEEN_PIXELS = 60
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
    return _STEPS[stage]


def trained_part(stage: str, network: nn.Module) -> nn.Module:
    """Return the part of a network that a stage fits: of slice encoder and sequence network in one, either."""
    part = {"slice": "encoder", "close_ups": "encoder", "sequence": "sequence_network"}.get(stage, "")
    return getattr(network, part, network) if part else network


def encoded(network: Any, images: Tensor) -> Tensor:
    """Return what a network keeps of each slice ``(n, e)`` for the stages that read whole series."""
    return network.encode(images)["encoding"] if hasattr(network, "encoder") else network.features(images)["features"]


def _slice(network: nn.Module, batch: Batch) -> Step:
    outputs = trained_part("slice", network)(batch["images"])
    labels = batch["labels"][:, :1]
    targets = {"slice": labels.nan_to_num(), **_mask_targets(outputs, batch["mask"])}
    known = {"slice": (~labels.isnan()).float(), **_mask_known(outputs, batch["mask_known"])}
    return Step(outputs, targets, known, "slice")


def _close_ups(network: nn.Module, batch: Batch) -> Step:
    """Hold close-ups against their masks; of what was cut, the rim that turning it leaves bare is not shown."""
    rim = CLOSE_UP_RIM * (batch["images"].shape[-1] // batch["mask"].shape[-1])
    images = batch["images"][..., rim:-rim, rim:-rim].contiguous(memory_format=torch.channels_last)
    mask: Tensor = trained_part("close_ups", network).features(images)["mask"]  # type: ignore[operator]
    truth = at_size(batch["mask"][..., CLOSE_UP_RIM:-CLOSE_UP_RIM, CLOSE_UP_RIM:-CLOSE_UP_RIM], mask.shape[-2:])
    near = functional.max_pool2d(truth, 2 * _CLOSE_BY + 1, 1, _CLOSE_BY) > 0
    there = truth.flatten(1).amax(dim=1, keepdim=True)
    outputs = {"mask": mask, "mistaken": _surest(mask, near), "found": _surest(mask, truth == 0)}
    targets = {"mask": truth, "mistaken": torch.zeros_like(there), "found": torch.ones_like(there)}
    return Step(outputs, targets, {**_mask_known(outputs, batch["mask_known"]), "found": there}, "mask")


def _surest(mask: Tensor, covered: Tensor) -> Tensor:
    """Return the highest logit of each picture ``(n, 1)`` where nothing is `covered`."""
    return mask.float().masked_fill(covered, PADDED_LOGIT).flatten(1).amax(dim=1, keepdim=True)


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
    inside = batch["valid"].flatten()
    flat = images.flatten(0, 1)[inside]
    if torch.is_grad_enabled():
        outputs = network.features(flat)
    else:
        parts = [network.features(part) for part in flat.split(_CHUNK)]
        outputs = {name: torch.cat([part[name] for part in parts]) for name in parts[0]}
    # Shorter scans are padded; what is shown of each slice hangs on slices alone.
    shown = outputs.pop("features").float()
    features = shown.new_zeros(scans * slices, shown.shape[1])
    features[inside] = shown
    labels, outlined = batch["labels"], batch["mask_known"].flatten()[inside]
    targets = _mask_targets(outputs, batch["mask"].flatten(0, 1)[inside])
    known = _mask_known(outputs, outlined)
    if "mask" in outputs:
        # Where a finding is there and nobody outlined it, the mask must show it somewhere.
        highest = outputs["mask"].float().flatten(1)
        outputs["seen"] = highest.topk(min(_SEEN_PIXELS, highest.shape[1]), dim=1).values.mean(dim=1, keepdim=True)
        there = labels.flatten(0, 1)[inside][:, :1] >= 0.5
        targets["seen"], known["seen"] = torch.ones_like(outputs["seen"]), there * (1 - outlined[:, None])
    outputs["slice"] = network.head(features.reshape(scans, slices, -1), batch["valid"])["slice"]
    targets["slice"] = labels.nan_to_num()
    known["slice"] = (~labels.isnan()).float() * batch["valid"].unsqueeze(2)
    return Step(outputs, targets, known, "slice")


def _head(network: Any, batch: Batch) -> Step:
    labels = batch["labels"]
    known = (~labels.isnan()).float() * batch["valid"].unsqueeze(2)
    answers = network.head(batch["encodings"], batch["valid"])["slice"]
    return Step({"slice": answers}, {"slice": labels.nan_to_num()}, {"slice": known}, "slice")


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


def at_size(masks: Tensor, size: Sequence[int]) -> Tensor:
    """Return masks ``(n, k, y, x)`` of 0 and 1 with `size` pixels, 1 where a half or more of a pixel is marked."""
    if masks.shape[-2:] == size:
        return masks
    share = functional.interpolate(masks, size=list(size), mode="area")
    return (share >= 0.5).to(masks.dtype)


def _mask_targets(outputs: Mapping[str, Tensor], masks: Tensor) -> dict[str, Tensor]:
    """Return the truth for every output that is a map, at that output's size; a place holds what any of it shows."""
    return {
        name: functional.adaptive_max_pool2d(masks, value.shape[-2:])
        if name == "where"
        else at_size(masks, value.shape[-2:])
        for name, value in outputs.items()
        if value.ndim == 4
    }


def _mask_known(outputs: Mapping[str, Tensor], known: Tensor) -> dict[str, Tensor]:
    return {name: known.reshape(-1, 1, 1, 1) for name, value in outputs.items() if value.ndim == 4}


_STEPS: dict[str, Callable[[nn.Module, Batch], Step]] = {
    "slice": _slice,
    "close_ups": _close_ups,
    "sequence": _sequence,
    "scan": _scan,
    "head": _head,
    "image": _image,
    "segment": _segment,
}
