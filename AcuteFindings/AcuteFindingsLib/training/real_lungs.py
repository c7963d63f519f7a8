"""Real radiographs with lung masks beside phantoms: fitting, and cross-validation by patient."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from AcuteFindingsLib.detectors.radiograph import RadiographSettings, network_images
from AcuteFindingsLib.evaluation.masks import dice
from AcuteFindingsLib.preprocessing.square import fit_square
from AcuteFindingsLib.training.augment import augment, mask_loss
from AcuteFindingsLib.training.data import DataTable, read_data
from AcuteFindingsLib.training.data.load import load_image, load_mask
from AcuteFindingsLib.training.fit import fit
from AcuteFindingsLib.training.out_of_fold import out_of_fold, turns_of
from AcuteFindingsLib.training.phantom_sets import Arrays
from AcuteFindingsLib.training.radiograph_sets import scaled
from AcuteFindingsLib.training.remembered import Remembered

FOLDS = 4
# Real radiographs and phantoms in a batch; phantoms only where there are no real ones.
_REAL, _PHANTOMS = 10, 4
_RATE = 1.5e-3
# A batch is shown at one of these shares of the size: lungs fill little of one picture and all of the next, and no
# scale of the outline may be learnt by heart.
_SHARES = (2 / 3, 5 / 6, 1.0, 1.0)

Outline = Callable[[nn.Module, np.ndarray], np.ndarray]
"""A network and a picture ``(y, x)`` in 0..1 to the mask ``(y, x)`` bool that the detector would draw."""


@dataclass(frozen=True)
class RealLungs:
    """Radiographs and the lungs that people drew.

    Attributes
    ----------
    pictures, masks
        ``(y, x)`` each, as they are: float32 in 0..1, bool.
    images, lungs
        ``(n, size, size)`` uint8 as the network is fitted to them: 0..255 before scaling, and how much of each pixel
        is lung, in 255ths.
    table
        The data set, with the patients.
    """

    pictures: list[np.ndarray]
    masks: list[np.ndarray]
    images: np.ndarray
    lungs: np.ndarray
    table: DataTable

    @property
    def patients(self) -> np.ndarray:
        """Return whose each radiograph is ``(n,)``."""
        return np.array([example.patient for example in self.table.examples])


def read_lungs(folder: Path, settings: RadiographSettings) -> RealLungs:
    """Read a folder of radiographs with masks; raises `DataError` where it is not whole."""
    table = read_data("lung-masks", folder)
    table.require_usable()
    pictures = [load_image(example) for example in table.examples]
    masks = []
    for example, picture in zip(table.examples, pictures, strict=True):
        mask = load_mask(example, picture.shape)
        assert mask is not None
        masks.append(mask)
    plain = settings.model_copy(update={"mean": 0.0, "std": 1.0})
    return RealLungs(
        pictures=pictures,
        masks=masks,
        images=np.rint(255 * network_images(pictures, plain)[:, 0]).astype(np.uint8),
        lungs=np.stack([shares(mask, settings.size) for mask in masks]),
        table=table,
    )


def shares(mask: np.ndarray, size: int) -> np.ndarray:
    """Return how much of each of `size` by `size` pixels a mask ``(y, x)`` covers, in 255ths: uint8."""
    return np.rint(255 * fit_square(mask.astype(np.float32), size)).astype(np.uint8)


def fit_to_lungs(
    start: Callable[[], nn.Module],
    real: RealLungs | None,
    chosen: np.ndarray,
    phantoms: list[Arrays],
    *,
    steps: int,
    seed: int = 0,
) -> nn.Module:
    """Fit to the `chosen` (indices) real radiographs and to phantoms, or to phantoms only where there are none.

    `start` makes the network; what is random in it hangs on `seed` too.
    """
    torch.manual_seed(seed)
    network = start()
    batches = _batches(real, chosen, phantoms, steps, np.random.default_rng(seed))
    return fit(network, batches, _loss, steps=steps, rate=_RATE, report_every=20)


def cross_validate(
    start: Callable[[], nn.Module],
    real: RealLungs,
    phantoms: list[Arrays],
    outline: Outline,
    *,
    steps: int,
    kept: Remembered | None = None,
) -> Arrays:
    """Outline every radiograph by a network that saw none of its patient's.

    Returns
    -------
    dict
        ``"dice"`` ``(n,)`` at the radiograph's own size; ``"drawn"`` ``(n, size, size)`` bool, for pictures; ``"fold"``
        ``(n,)`` from 1.
    """

    def answer(inside: np.ndarray, outside: np.ndarray) -> Arrays:
        network = fit_to_lungs(start, real, inside, phantoms, steps=steps)
        masks = [outline(network, real.pictures[number]) for number in outside]
        return {
            "dice": np.array([dice(real.masks[number], mask) for number, mask in zip(outside, masks, strict=True)]),
            "drawn": np.stack([shares(mask, real.images.shape[-1]) >= 128 for mask in masks]),
        }

    def report(number: int, part: Arrays) -> None:
        print(f"fold {number}: Dice {part['dice'].mean():.4f}", flush=True)

    return out_of_fold("lungs", turns_of(real.table, FOLDS), answer, kept, report=report)


def _batches(
    real: RealLungs | None,
    chosen: np.ndarray,
    phantoms: list[Arrays],
    steps: int,
    generator: np.random.Generator,
) -> Iterator[dict[str, Tensor]]:
    for _ in range(steps):
        drawn = generator.integers(len(phantoms), size=_PHANTOMS if real else _REAL + _PHANTOMS)
        images = [phantoms[number]["image"] for number in drawn]
        lungs = [phantoms[number]["lungs"] for number in drawn]
        if real:
            numbers = generator.choice(chosen, _REAL)
            images += list(real.images[numbers])
            lungs += list(real.lungs[numbers])
        pictures = torch.from_numpy(np.stack(images)[:, None]).float() / 255
        masks = torch.from_numpy(np.stack(lungs)[:, None]).float() / 255
        pictures, moved = augment(
            pictures,
            masks,
            rotate_deg=12,
            scale=0.15,
            shift=0.05,
            flip=True,
            contrast=0.25,
            noise=0.04,
            mask_mode="bilinear",
        )
        assert moved is not None
        share = float(generator.choice(_SHARES))
        if share < 1:
            pictures, moved = (_smaller(each, share) for each in (pictures, moved))
        # Exposure and processing differ between machines.
        bent = pictures ** torch.exp((torch.rand(len(pictures), 1, 1, 1) * 2 - 1) * 0.4)
        yield {"images": scaled(bent), "masks": moved}


def _smaller(pictures: Tensor, share: float) -> Tensor:
    """Return pictures ``(n, c, y, x)`` with `share` of the pixels a side, every pixel the mean of what it covers."""
    size = [round(share * length) for length in pictures.shape[-2:]]
    small = functional.interpolate(pictures, size, mode="bilinear", antialias=True, align_corners=False)
    return small.contiguous(memory_format=torch.channels_last)


def _loss(network: nn.Module, batch: dict[str, Tensor]) -> Tensor:
    return mask_loss(network(batch["images"])["mask"], batch["masks"])
