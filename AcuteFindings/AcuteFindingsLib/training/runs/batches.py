"""Prepared arrays as Lightning's batches.

A batch holds ``images`` and ``mask`` as bytes (255 is 1.0; mask 0/1), ``mask_known``, ``labels`` (NaN where unknown)
and ``positive``; scans have one more axis, and ``valid`` says which slices are not padding. Batches of encodings hold
``encodings``, ``valid``, ``slices``, ``stack`` and ``exam``.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from pydantic import BaseModel
from torch import Tensor
from torch.utils.data import Dataset

from AcuteFindingsLib.training.runs.items import Item
from AcuteFindingsLib.training.runs.objectives import Batch

# An example's number; in training also one to draw from what is random about it.
Index = int | tuple[int, int]


class PictureSet(Dataset[Batch]):
    """Single pictures: each slice of each series, or each radiograph."""

    def __init__(self, items: Sequence[Item], *, settings: BaseModel) -> None:
        self.items, self.settings = list(items), settings
        self.places = [(item, z) for item in self.items for z in range(item.count)]
        self.positive = np.array([item.positive[z] for item, z in self.places], bool)
        self.sources = np.array([item.source for item, _ in self.places])

    def __len__(self) -> int:
        """How many pictures there are."""
        return len(self.places)

    def __getitem__(self, index: Index) -> Batch:
        """Return one picture."""
        item, z = self.places[_number(index)]
        return {
            "images": torch.from_numpy(item.pictures(slice(z, z + 1), self.settings)[0]),
            "mask": torch.from_numpy(item.masks(slice(z, z + 1)).copy()),
            "mask_known": torch.tensor(float(item.mask_known[z])),
            "labels": torch.from_numpy(item.labels[z]),
            "positive": torch.tensor(bool(self.positive[_number(index)])),
        }


class ScanSet(Dataset[Batch]):
    """Whole scans, or some neighboring slices of each: half of the time around a positive one, either way up."""

    def __init__(self, items: Sequence[Item], *, settings: BaseModel, slices: int | None, seed: int) -> None:
        self.items, self.settings, self.slices, self.seed = list(items), settings, slices, seed
        self.positive = np.array([item.positive.any() for item in self.items], bool)
        self.sources = np.array([item.source for item in self.items])

    def __len__(self) -> int:
        """How many scans there are."""
        return len(self.items)

    def __getitem__(self, index: Index) -> Batch:
        """Return one scan."""
        item = self.items[_number(index)]
        part, backwards = slice(0, item.count), False
        if isinstance(index, tuple):
            generator = np.random.default_rng((self.seed, index[1]))
            part, backwards = self._window(item, generator), bool(generator.random() < 0.5)
        images, masks = item.pictures(part, self.settings), item.masks(part)
        labels, known = item.labels[part], item.mask_known[part]
        if backwards:
            images, masks, labels, known = images[::-1], masks[::-1], labels[::-1], known[::-1]
        return {
            "images": torch.from_numpy(images.copy()),
            "mask": torch.from_numpy(masks.copy())[:, None],
            "mask_known": torch.from_numpy(known.astype(np.float32)),
            "labels": torch.from_numpy(labels.copy()),
            "positive": torch.tensor(bool(self.positive[_number(index)])),
            "valid": torch.ones(len(images), dtype=torch.bool),
        }

    def _window(self, item: Item, generator: np.random.Generator) -> slice:
        if self.slices is None or item.count <= self.slices:
            return slice(0, item.count)
        positives = np.flatnonzero(item.positive)
        center = generator.integers(item.count)
        if len(positives) and generator.random() < 0.5:
            center = generator.choice(positives)
        start = int(np.clip(center - generator.integers(self.slices), 0, item.count - self.slices))
        return slice(start, start + self.slices)


class _EncodedSet(Dataset[Batch]):
    """Encodings of whole series, with what a sampler asks of them."""

    def __init__(self, stacks: Sequence[dict[str, Any]], *, seed: int) -> None:
        self.stacks, self.seed = list(stacks), seed
        self.positive = np.array([bool((stack["slices"] >= 0.5).any()) for stack in self.stacks], bool)
        self.sources = np.array([stack["source"] for stack in self.stacks])

    def __len__(self) -> int:
        """How many series there are."""
        return len(self.stacks)


class StackSet(_EncodedSet):
    """Encodings of whole series; longer ones are cut to `length` slices, at random in training.

    Parameters
    ----------
    stacks
        Of each series: encodings ``(n, e)``, labels ``(n,)`` and exam labels ``(k,)``, NaN where unknown; its source.
    """

    def __init__(self, stacks: Sequence[dict[str, Any]], *, length: int, seed: int) -> None:
        super().__init__(stacks, seed=seed)
        self.length = length

    def __getitem__(self, index: Index) -> Batch:
        """Return one stack, padded at the end."""
        stack = self.stacks[_number(index)]
        count, start = len(stack["encodings"]), 0
        if isinstance(index, tuple) and count > self.length:
            start = int(np.random.default_rng((self.seed, index[1])).integers(count - self.length + 1))
        encodings, slices = (stack[name][start : start + self.length] for name in ("encodings", "slices"))
        pad = self.length - len(encodings)
        shown = float(np.nanmax(slices) >= 0.5) if not np.isnan(slices).all() else float("nan")
        # Cutting off the slices that hold the clot leaves a stack without embolism.
        exam = stack["exam"] * (shown if shown == 0 else 1.0)
        return {
            "encodings": torch.from_numpy(np.pad(encodings, ((0, pad), (0, 0)))).float(),
            "valid": torch.arange(self.length) < len(encodings),
            "slices": torch.from_numpy(np.pad(slices, (0, pad))).float(),
            "stack": torch.tensor([shown]),
            "exam": torch.from_numpy(exam).float(),
        }


class EncodedScanSet(_EncodedSet):
    """Encodings of whole scans with the labels of their slices, in training half of them the other way up.

    Parameters
    ----------
    stacks
        As of `StackSet`, with all labels ``(n, L)`` under ``"labels"``.
    """

    def __getitem__(self, index: Index) -> Batch:
        """Return one scan."""
        stack = self.stacks[_number(index)]
        backwards = isinstance(index, tuple) and np.random.default_rng((self.seed, index[1])).random() < 0.5
        encodings, labels = (stack[name][:: -1 if backwards else 1].copy() for name in ("encodings", "labels"))
        return {
            "encodings": torch.from_numpy(encodings).float(),
            "labels": torch.from_numpy(labels).float(),
            "valid": torch.ones(len(labels), dtype=torch.bool),
        }


def join(parts: Sequence[Batch]) -> Batch:
    """Put examples into one batch; scans of different length are padded at the end with black slices."""
    if "valid" in parts[0] and "labels" in parts[0]:
        longest = max(len(part["valid"]) for part in parts)
        parts = [
            {name: value if value.ndim == 0 else _padded(value, longest) for name, value in part.items()}
            for part in parts
        ]
    return {name: torch.stack([part[name] for part in parts]) for name in parts[0]}


def _padded(value: Tensor, length: int) -> Tensor:
    if len(value) == length:
        return value
    return torch.cat([value, value.new_zeros((length - len(value), *value.shape[1:]))])


def _number(index: Any) -> int:
    return int(index[0] if isinstance(index, tuple) else index)
