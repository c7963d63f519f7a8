"""Batches of slices that teach the PE encoder to outline clots: whole ones, and close-ups of what it gets wrong."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from scipy import ndimage
from torch import Tensor

from AcuteFindingsLib.errors import ModelError
from AcuteFindingsLib.networks.pe import SliceEncoder
from AcuteFindingsLib.preprocessing.pe_input import with_neighbors
from AcuteFindingsLib.training.augment import augment
from AcuteFindingsLib.training.phantom_sets import Arrays

# How many slices on each side of the one it judges the encoder sees: a vessel can be followed through them.
REACH = 2
BATCH = 24
CLOSE_BATCH = 32
# Cells of the truth, of four pixels each: a close-up is cut a little larger than it is shown, to be turned.
_CELL = 4
_CUT, _SHOWN = 36, 32
# How far a close-up's middle may lie from what it is about.
_OFF_CENTRE = 12
# A probability that makes a cell without clot worth another look.
_SUSPICIOUS = 0.08
_PLACES_A_SLICE = 3
_BESIDE = 5


class Place(NamedTuple):
    """A cell of a slice of a study: numbers of the study and the slice, row and column."""

    study: int
    z: int
    row: int
    column: int


@dataclass(frozen=True)
class Focus:
    """What to look at again: places, and how often each in comparison."""

    places: list[Place]
    weights: np.ndarray

    def draw(self, count: int, generator: np.random.Generator) -> list[Place]:
        """Draw places by their weight."""
        chosen = generator.choice(len(self.places), count, p=self.weights / self.weights.sum())
        return [self.places[number] for number in chosen]


def stacked(item: Arrays, z: int) -> np.ndarray:
    """Return a slice in the middle of those beside it: ``(2 * REACH + 1, y, x)`` bytes."""
    wide, places = with_neighbors(slice(z, z + 1), len(item["slices"]), REACH)
    return item["images"][wide][places[0]]


def clots_by_study(sets: list[Arrays]) -> list[tuple[int, np.ndarray]]:
    """Return the number and the positive slices of each study that has some.

    Raises
    ------
    ModelError
        Where none has.
    """
    positive = [(n, np.flatnonzero(item["slices"])) for n, item in enumerate(sets) if item["slices"].any()]
    if not positive:
        raise ModelError(f"None of the {len(sets)} phantoms to fit to shows an embolus; fit to more studies.")
    return positive


def whole_slices(sets: list[Arrays], steps: int, generator: np.random.Generator) -> Iterator[dict[str, Tensor]]:
    """Yield batches of slices, half of them with a clot: `images`, `labels` and `where`."""
    everything, positive = _every_slice(sets), clots_by_study(sets)
    for _ in range(steps):
        chosen = _one_of_each(positive, BATCH // 2, generator)
        chosen += [everything[i] for i in generator.integers(len(everything), size=BATCH - len(chosen))]
        yield _batch(sets, chosen)


def close_ups(
    sets: list[Arrays], missed: Focus, mistaken: Focus, steps: int, generator: np.random.Generator
) -> Iterator[dict[str, Tensor]]:
    """Yield batches of quarter pictures, `images` and `where` of the same pixels, for a quarter of the work.

    A quarter shows missed clots, a sixth any clot, three eighths what was mistaken for one, the rest anything.
    """
    everything, positive = _every_slice(sets), clots_by_study(sets)
    for _ in range(steps):
        chosen = missed.draw(CLOSE_BATCH // 4, generator)
        for n, z in _one_of_each(positive, CLOSE_BATCH // 6, generator):
            chosen.append(Place(n, z, *generator.choice(np.argwhere(sets[n]["where"][z]))))
        chosen += mistaken.draw(3 * CLOSE_BATCH // 8, generator)
        for i in generator.integers(len(everything), size=CLOSE_BATCH - len(chosen)):
            n, z = everything[i]
            chosen.append(Place(n, z, *generator.integers(sets[n]["where"].shape[1:])))
        cuts = [_cut(sets[place.study], place, generator) for place in chosen]
        images, where = augment(
            torch.from_numpy(np.stack([image for image, _ in cuts])).float() / 255,
            torch.from_numpy(np.stack([truth for _, truth in cuts])[:, None]).float(),
            shift=0.0,
        )
        assert where is not None
        rim = _CELL * (_CUT - _SHOWN) // 2
        images = images[..., rim:-rim, rim:-rim].contiguous(memory_format=torch.channels_last)
        yield {"images": images * 2 - 1, "where": where[..., rim:-rim, rim:-rim]}


def mistaken_places(encoder: SliceEncoder, sets: list[Arrays]) -> Focus:
    """Find where the encoder sees a clot and none is within two slices, the surer the heavier.

    An encoder that sees none anywhere has the middle of every slice to learn from.
    """
    places, weights = [], []
    for n, item in enumerate(sets):
        near = np.convolve(item["slices"], np.ones(_BESIDE), "same") > 0
        free = np.flatnonzero(~near)
        for z, mask in zip(free, outlined(encoder, item, free), strict=True):
            for _ in range(_PLACES_A_SLICE):
                row, column = (int(v) for v in np.unravel_index(mask.argmax(), mask.shape))
                if mask[row, column] < _SUSPICIOUS:
                    break
                places.append(Place(n, int(z), row, column))
                weights.append(min(float(mask[row, column]), 0.9) + 0.1)
                mask[max(row - _BESIDE, 0) : row + _BESIDE + 1, max(column - _BESIDE, 0) : column + _BESIDE + 1] = 0
    if not places:
        places = [Place(n, z, *(side // 2 for side in sets[n]["where"].shape[1:])) for n, z in _every_slice(sets)]
        return Focus(places, np.ones(len(places)))
    return Focus(places, np.array(weights))


def missed_clots(encoder: SliceEncoder, sets: list[Arrays]) -> Focus:
    """List every clot of every slice, the heavier the less the encoder sees of it."""
    places, weights = [], []
    for n, found in clots_by_study(sets):
        for z, mask in zip(found, outlined(encoder, sets[n], found), strict=True):
            parts, _ = ndimage.label(sets[n]["where"][z], np.ones((3, 3)))
            for number, box in enumerate(ndimage.find_objects(parts), 1):
                places.append(Place(n, int(z), *((side.start + side.stop) // 2 for side in box)))
                weights.append(1.1 - float(mask[box][parts[box] == number].max()))
    return Focus(places, np.array(weights))


def outlined(encoder: SliceEncoder, item: Arrays, chosen: np.ndarray) -> np.ndarray:
    """Return the encoder's probability of clot in every cell of some slices: ``(n, y/4, x/4)``."""
    with torch.autocast("cpu", torch.bfloat16):
        return read_slices(encoder, item, chosen, "mask")[:, 0].float().sigmoid().numpy()


def read_slices(encoder: SliceEncoder, item: Arrays, chosen: np.ndarray, output: str) -> Tensor:
    """Return one of `SliceEncoder.features`' outputs for some slices of a study, a few at a time."""
    encoder.eval()
    parts = []
    with torch.inference_mode():
        for part in np.array_split(chosen, max(1, len(chosen) // CLOSE_BATCH)):
            images = torch.from_numpy(np.stack([stacked(item, int(z)) for z in part])).float() / 127.5 - 1
            images = images.contiguous(memory_format=torch.channels_last)
            parts.append(encoder.features(images)[output])
    return torch.cat(parts)


def _every_slice(sets: list[Arrays]) -> list[tuple[int, int]]:
    return [(n, z) for n, item in enumerate(sets) for z in range(len(item["slices"]))]


def _one_of_each(
    positive: list[tuple[int, np.ndarray]], count: int, generator: np.random.Generator
) -> list[tuple[int, int]]:
    """Draw studies, then a slice of each: a clot of four slices is seen as often as one of forty."""
    drawn = (positive[i] for i in generator.integers(len(positive), size=count))
    return [(n, int(generator.choice(slices))) for n, slices in drawn]


def _batch(sets: list[Arrays], chosen: list[tuple[int, int]]) -> dict[str, Tensor]:
    images = torch.from_numpy(np.stack([stacked(sets[n], z) for n, z in chosen])).float() / 255
    where = torch.from_numpy(np.stack([sets[n]["where"][z] for n, z in chosen])[:, None]).float()
    images, moved = augment(images, where, shift=0.03)
    assert moved is not None
    labels = torch.tensor([[float(sets[n]["slices"][z])] for n, z in chosen])
    return {"images": images * 2 - 1, "labels": labels, "where": moved}


def _cut(item: Arrays, place: Place, generator: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Cut a close-up of `_CUT` cells that holds the place, not always in its middle."""
    corner = []
    for centre, length in zip((place.row, place.column), item["where"].shape[1:], strict=True):
        start = centre - _CUT // 2 + int(generator.integers(-_OFF_CENTRE, _OFF_CENTRE + 1))
        corner.append(int(np.clip(start, 0, length - _CUT)))
    top, left = corner
    image = stacked(item, place.z)[:, _CELL * top : _CELL * (top + _CUT), _CELL * left : _CELL * (left + _CUT)]
    return image, item["where"][place.z][top : top + _CUT, left : left + _CUT]
