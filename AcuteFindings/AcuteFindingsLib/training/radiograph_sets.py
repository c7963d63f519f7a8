"""What the first radiograph models are fitted to alike: phantoms, their scale, their batches."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from AcuteFindingsLib.detectors.radiograph import RadiographSettings
from AcuteFindingsLib.training.augment import augment
from AcuteFindingsLib.training.first_arrays import chest_xray_arrays
from AcuteFindingsLib.training.phantom_sets import Arrays, phantom_arrays

SIZE = 256
# Phantoms are drawn finer than the networks read them, as a detector reads a finer picture.
DRAWN = 384
SETTINGS = RadiographSettings(size=SIZE, mean=0.5, std=0.25, flip=True)
SOURCE_5 = "Label reliability, tubes and shortcuts on chest X-ray, ITU Copenhagen, 2023"
TUNED = "on tuning phantoms that the weights were not fitted to"
USE = "To show the software at work from study to report, and to test it. Not for patients."


def radiograph_sets(cache: Path, first: int, count: int, workers: int) -> list[Arrays]:
    """Return radiograph phantoms from seed `first` on, as `chest_xray_arrays` gives them."""
    settings = {"size": SIZE, "flip": True}
    sources = ("phantoms/chest_xray/*.py", "detectors/radiograph.py")
    return phantom_arrays(
        chest_xray_arrays,
        range(first, first + count),
        cache=cache,
        workers=workers,
        sources=sources,
        settings=settings,
        size=DRAWN,
    )


def scaled(images: Tensor) -> Tensor:
    """Bring pictures in 0..1 to the scale that the networks read."""
    return (images - SETTINGS.mean) / SETTINGS.std


def radiograph_batches(
    sets: list[Arrays], steps: int, size: int, generator: np.random.Generator, *, masks: tuple[str, ...] = ()
) -> Iterator[dict[str, Any]]:
    """Yield pictures with their masks and labels, half of them with pneumothorax."""
    positive = [number for number, item in enumerate(sets) if item.get("pathologies", np.zeros(1))[0]]
    for _ in range(steps):
        chosen = list(generator.integers(len(sets), size=size))
        if positive:
            chosen[: size // 3] = generator.choice(positive, size // 3)
        items = [sets[number] for number in chosen]
        images = torch.from_numpy(np.stack([item["image"] for item in items])[:, None]).float() / 255
        planes = None
        if masks:
            planes = torch.from_numpy(np.stack([[item[name] for name in masks] for item in items])).float()
        # Mirroring would move the heart to the right: left alone for the labels' sake, right for outlines.
        images, planes = augment(images, planes, rotate_deg=7, flip=bool(masks), contrast=0.25, noise=0.04)
        batch: dict[str, Any] = {"images": scaled(images), "masks": planes}
        for name in ("pathologies", "tubes"):
            if all(name in item for item in items):
                batch[name] = torch.from_numpy(np.stack([item[name] for item in items])).float()
        yield batch
