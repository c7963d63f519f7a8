"""Encodings of every slice by the encoder that was just fitted, kept on disk until it changes."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from AcuteFindingsLib.progress import Progress
from AcuteFindingsLib.training.cache import DiskCache, digest_of
from AcuteFindingsLib.training.recipes.schema import Recipe
from AcuteFindingsLib.training.recipes.stages import EncodeStage
from AcuteFindingsLib.training.runs.changes import apply_changes
from AcuteFindingsLib.training.runs.items import Arrays, Item
from AcuteFindingsLib.training.runs.module import input_range
from AcuteFindingsLib.training.runs.objectives import encoded, trained_part


def encode(
    network: nn.Module,
    items: Sequence[Item],
    recipe: Recipe,
    folder: Path,
    *,
    augmented: bool,
    seed: int,
    device: str,
    progress: Progress,
) -> list[dict[str, Any]]:
    """Return the stacks of encodings of some series, as `StackSet` takes them.

    Parameters
    ----------
    network
        Of slices, that has an encoder; of scans, whose `features` are kept.
    folder
        Where encodings are kept; their names hold a digest of the encoder's weights, the series and the changes.
    augmented
        Add the changed versions that the recipe asks for: for the training part.
    """
    plan = recipe.stages.encode
    assert plan is not None
    kept = DiskCache(
        folder, trained_part("slice", network).state_dict(), plan, recipe.settings(), input_range(recipe), _encode_one
    )
    network = network.eval().to(device)
    jobs = [(item, version) for item in items for version in range(_versions(item, plan, seed) if augmented else 1)]
    stacks = []
    for number, (item, version) in enumerate(jobs, 1):
        key = (item.folder.name, version, seed if version else None)

        def make(item: Item = item, version: int = version) -> Arrays:
            # Each version has a seed of its own, so that it matters neither which were made before nor where they lie.
            torch.manual_seed(_number(seed, item.key, version))
            return {"encodings": _encode_one(network, item, recipe, plan, changed=version > 0, device=device)}

        encodings = kept.arrays(*key, make=make)["encodings"]
        truth = {"slices": item.labels[:, 0], "labels": item.labels, "exam": item.exam}
        stacks.append({"encodings": encodings, "source": item.source, **truth})
        progress(f"Encoding {number} of {len(jobs)}", number / len(jobs))
    return stacks


def _versions(item: Item, plan: EncodeStage, seed: int) -> int:
    """Return how many versions of a series there are, the unchanged one among them."""
    if item.positive.any():
        return 1 + plan.augmented_positives
    return 2 if _number(seed, item.key) / 2**32 < plan.augmented else 1


def _number(*things: Any) -> int:
    """Return a number below 2**32 that hangs on the things alone."""
    return int(digest_of(*things)[:8], 16)


def _encode_one(
    network: nn.Module, item: Item, recipe: Recipe, plan: EncodeStage, *, changed: bool, device: str
) -> np.ndarray:
    low, high = input_range(recipe)
    pictures = torch.from_numpy(item.pictures(slice(0, item.count), recipe.settings()))
    positive = torch.from_numpy(item.positive)
    parts = []
    with torch.inference_mode():
        for start in range(0, len(pictures), plan.batch):
            images = pictures[start : start + plan.batch].to(device).float() / 255
            if changed:
                # One change for a whole series, as it would be scanned.
                torch.manual_seed(torch.initial_seed())
                everything = torch.tensor([bool(positive.any())])
                images, _ = apply_changes(images, None, plan.augmentation, positive=everything, groups=len(images))
            images = images * (high - low) + low
            parts.append(encoded(network, images).float().cpu())
    return torch.cat(parts).numpy()
