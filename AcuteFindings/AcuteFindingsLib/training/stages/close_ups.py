"""Close-ups of what a slice encoder gets wrong: found anew before each round, then fitted to."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from scipy import ndimage
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel
from torch.utils.data import Dataset

from AcuteFindingsLib.errors import RecipeError, TrainingError
from AcuteFindingsLib.models.device import choose_device
from AcuteFindingsLib.progress import Progress
from AcuteFindingsLib.training.recipes.plans import Optimiser, Sampler, TrainStage
from AcuteFindingsLib.training.recipes.schema import Recipe
from AcuteFindingsLib.training.recipes.stages import CloseUpStage, Round
from AcuteFindingsLib.training.runs.batches import Index
from AcuteFindingsLib.training.runs.fit_stage import DONE, Hardware, fit_stage
from AcuteFindingsLib.training.runs.items import Item
from AcuteFindingsLib.training.runs.module import input_range
from AcuteFindingsLib.training.runs.objectives import CLOSE_UP_RIM, Batch, trained_part

NAME = "close_ups"
# Cells of the mask that a close-up shows; it is cut larger by a rim, to be turned.
SHOWN = 32
_CUT = SHOWN + 2 * CLOSE_UP_RIM
# How far a close-up's middle may lie from what it is about, in cells.
_OFF_CENTER = 12
# A probability that makes a cell without finding worth another look.
_SUSPICIOUS = 0.08
_PLACES_A_SLICE = 3
# Slices, and cells, around a finding or a place that has been taken.
_BESIDE = 5
# Shares of the close-ups that show a missed finding, any finding, a mistaken place; the rest shows anything.
MISSED, ANY, MISTAKEN = 1 / 4, 1 / 6, 3 / 8
_READ_AT_ONCE = 32


class Place(NamedTuple):
    """A cell of a slice of an item: numbers of the item and the slice, row and column."""

    item: int
    z: int
    row: int
    column: int


@dataclass
class Focus:
    """What to look at again: places, and how often each in comparison."""

    places: list[Place] = field(default_factory=list)
    weights: list[float] = field(default_factory=list)

    def add(self, place: Place, weight: float) -> None:
        """Take in a place."""
        self.places.append(place)
        self.weights.append(weight)

    def draw(self, rng: np.random.Generator) -> Place:
        """Draw a place by its weight."""
        weights = np.array(self.weights)
        return self.places[int(rng.choice(len(weights), p=weights / weights.sum()))]


Masks = Callable[[Item, np.ndarray], np.ndarray]
"""An item and numbers of its slices ``(k,)`` to the probability of a finding in every cell: ``(k, y, x)``."""


def fit_close_ups(
    network: nn.Module,
    recipe: Recipe,
    items: Sequence[Item],
    fresh: Callable[[int], list[Item]] | None,
    *,
    folder: Path,
    hardware: Hardware,
    seed: int,
    resume: bool,
    progress: Progress,
) -> dict[str, Any]:
    """Fit the slice encoder through all rounds; a round that is done is only loaded.

    Parameters
    ----------
    items
        The training part.
    fresh
        Gives new items to a round by its number, in place of those of the data set; None gives none.

    Returns
    -------
    dict
        What happened, as `fit_stage` says of its stage.

    Raises
    ------
    RecipeError
        Where the encoder draws no mask.
    TrainingError
        Where no item shows a finding whose outline is known.
    """
    stage = recipe.stages.close_ups
    assert stage is not None
    encoder = trained_part(NAME, network)
    if not getattr(encoder, "has_decoder", False):
        raise RecipeError("stages.close_ups: the network's encoder draws no mask; choose one with decoder: true.")
    mean = AveragedModel(encoder)
    count = 0
    for number, one in enumerate(stage.rounds):
        place = folder / f"round-{number + 1:02d}"
        seen = list(items) if fresh is None else fresh(number)
        done = resume and (place / DONE).is_file()
        examples = CloseUpSet(seen, recipe, count=one.steps * stage.batch, seed=seed + number)
        if not done:
            masks = encoder_masks(network, recipe, choose_device(hardware.torch_device))
            examples.missed, examples.mistaken = missed_places(masks, seen), mistaken_places(masks, seen)
            places = len(examples.mistaken.places)
            hardware.tell(f"close-ups: round {number + 1} of {len(stage.rounds)}, {places} mistaken places")
        network.cpu()
        told = fit_stage(
            network,
            recipe,
            NAME,
            train=examples,
            validation=[],
            folder=place,
            hardware=hardware,
            seed=seed + number,
            resume=resume,
            progress=progress,
            plan=_plan(stage, one),
        )
        count += told["examples"]
        if number >= len(stage.rounds) - stage.averaged:
            mean.update_parameters(encoder)
    encoder.load_state_dict(mean.module.state_dict())
    return {"stage": NAME, "epochs": len(stage.rounds), "kept": "last", "best_val_loss": None, "examples": count}


def _plan(stage: CloseUpStage, one: Round) -> TrainStage:
    return TrainStage(
        epochs=1,
        batch=stage.batch,
        loss=stage.loss,
        optimiser=Optimiser(name="adamw", rate=one.rate, weight_decay=1e-4, schedule="one-cycle", clip=1.0),
        sampler=Sampler(),
        augmentation=stage.augmentation,
        freeze=stage.freeze,
        # Close-ups look unlike the slices that the network will read.
        freeze_batch_norm=True,
        keep="last",
    )


class CloseUpSet(Dataset[Batch]):
    """Cuts of pictures with the masks of the same pixels.

    Attributes
    ----------
    missed, mistaken
        What the encoder gets wrong, set before a round.
    """

    def __init__(self, items: Sequence[Item], recipe: Recipe, *, count: int, seed: int) -> None:
        self.items, self.settings, self.count, self.seed = list(items), recipe.settings(), count, seed
        self.missed, self.mistaken = Focus(), Focus()
        self.slices = [(number, z) for number, item in enumerate(self.items) for z in range(item.count)]
        self.with_finding = [
            (number, np.flatnonzero(item.positive & item.mask_known))
            for number, item in enumerate(self.items)
            if (item.positive & item.mask_known).any()
        ]
        if not self.with_finding:
            raise TrainingError(f"None of the {len(self.items)} series to fit to shows an outlined finding; add more.")
        self.positive = np.zeros(count, bool)
        self.sources = np.full(count, self.items[0].source)

    def __len__(self) -> int:
        """How many close-ups a round shows."""
        return self.count

    def __getitem__(self, index: Index) -> Batch:
        """Return one close-up."""
        number, drawn = index if isinstance(index, tuple) else (index, 0)
        rng = np.random.default_rng((self.seed, number, drawn))
        place = self._chosen((number + 0.5) / self.count, rng)
        item = self.items[place.item]
        mask = item.masks(slice(place.z, place.z + 1))
        images = item.pictures(slice(place.z, place.z + 1), self.settings)[0]
        cell = images.shape[-1] // mask.shape[-1]
        top, left = (
            int(np.clip(at - _CUT // 2 + rng.integers(-_OFF_CENTER, _OFF_CENTER + 1), 0, max(length - _CUT, 0)))
            for at, length in zip((place.row, place.column), mask.shape[1:], strict=True)
        )
        return {
            "images": torch.from_numpy(
                images[:, cell * top : cell * (top + _CUT), cell * left : cell * (left + _CUT)].copy()
            ),
            "mask": torch.from_numpy(mask[:, top : top + _CUT, left : left + _CUT].copy()),
            "mask_known": torch.tensor(float(item.mask_known[place.z])),
            "positive": torch.tensor(bool(item.positive[place.z])),
        }

    def _chosen(self, share: float, rng: np.random.Generator) -> Place:
        """Return a place of the kind that a close-up at this share of all is for."""
        if share < MISSED and self.missed.places:
            return self.missed.draw(rng)
        if share < MISSED + ANY:
            number, slices = self.with_finding[int(rng.integers(len(self.with_finding)))]
            z = int(rng.choice(slices))
            inside = np.argwhere(self.items[number].masks(slice(z, z + 1))[0])
            return Place(number, z, *(int(v) for v in rng.choice(inside))) if len(inside) else self._anything(rng)
        if share < MISSED + ANY + MISTAKEN and self.mistaken.places:
            return self.mistaken.draw(rng)
        return self._anything(rng)

    def _anything(self, rng: np.random.Generator) -> Place:
        number, z = self.slices[int(rng.integers(len(self.slices)))]
        sides = self.items[number].masks(slice(z, z + 1)).shape[1:]
        return Place(number, z, *(int(v) for v in rng.integers(sides)))


def mistaken_places(masks: Masks, items: Sequence[Item]) -> Focus:
    """Find where the encoder sees a finding and none is within two slices, the surer the heavier.

    An encoder that sees none anywhere has the middle of every slice to learn from.
    """
    found = Focus()
    for number, item in enumerate(items):
        near = np.convolve(item.positive, np.ones(_BESIDE), "same") > 0
        free = np.flatnonzero(~near)
        for z, mask in zip(free, masks(item, free), strict=True):
            for _ in range(_PLACES_A_SLICE):
                row, column = (int(v) for v in np.unravel_index(mask.argmax(), mask.shape))
                if mask[row, column] < _SUSPICIOUS:
                    break
                found.add(Place(number, int(z), row, column), min(float(mask[row, column]), 0.9) + 0.1)
                mask[max(row - _BESIDE, 0) : row + _BESIDE + 1, max(column - _BESIDE, 0) : column + _BESIDE + 1] = 0
    if not found.places:
        for number, item in enumerate(items):
            middle = [side // 2 for side in item.masks(slice(0, 1)).shape[1:]]
            for every in range(item.count):
                found.add(Place(number, every, *middle), 1.0)
    return found


def missed_places(masks: Masks, items: Sequence[Item]) -> Focus:
    """List every outlined finding of every slice, the heavier the less the encoder sees of it."""
    found = Focus()
    for number, item in enumerate(items):
        slices = np.flatnonzero(item.positive & item.mask_known)
        truth = item.masks()
        for z, mask in zip(slices, masks(item, slices), strict=True):
            parts, _ = ndimage.label(truth[z], np.ones((3, 3)))
            for part, box in enumerate(ndimage.find_objects(parts), 1):
                middle = [(side.start + side.stop) // 2 for side in box]
                found.add(Place(number, int(z), *middle), 1.1 - float(mask[box][parts[box] == part].max()))
    return found


def encoder_masks(network: nn.Module, recipe: Recipe, device: str) -> Masks:
    """Return what reads the probability of a finding in every cell off a network's encoder."""
    encoder: Any = trained_part(NAME, network).eval().to(device)
    low, high = input_range(recipe)
    settings = recipe.settings()

    def of(item: Item, slices: np.ndarray) -> np.ndarray:
        sides = item.masks(slice(0, 1)).shape[1:]
        parts: list[Tensor] = [torch.zeros(0, *sides)]
        with torch.inference_mode(), torch.autocast(torch.device(device).type, torch.bfloat16):
            for start in range(0, len(slices), _READ_AT_ONCE):
                chosen = [item.pictures(slice(z, z + 1), settings)[0] for z in slices[start : start + _READ_AT_ONCE]]
                images = torch.from_numpy(np.stack(chosen)).to(device).float() / 255 * (high - low) + low
                images = images.contiguous(memory_format=torch.channels_last)
                parts.append(encoder.features(images)["mask"][:, 0].float().sigmoid().cpu())
        return torch.cat(parts).numpy()

    return of
