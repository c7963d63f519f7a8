"""Real radiographs with the NIH's fourteen findings: fitting, and cross-validation by patient."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from scipy.special import logit
from sklearn.model_selection import StratifiedGroupKFold
from torch import Tensor
from torch.nn import functional

from AcuteFindingsLib.detectors.radiograph import RadiographSettings, network_images
from AcuteFindingsLib.networks.chest import ChestClassifier
from AcuteFindingsLib.training.augment import augment
from AcuteFindingsLib.training.data import DataTable, read_data
from AcuteFindingsLib.training.data.load import load_image
from AcuteFindingsLib.training.fit import fit
from AcuteFindingsLib.training.out_of_fold import out_of_fold
from AcuteFindingsLib.training.phantom_sets import Arrays
from AcuteFindingsLib.training.radiograph_sets import scaled
from AcuteFindingsLib.training.remembered import Remembered

FOLDS = 5
# The finest layers keep what ImageNet taught them: most of the time would go there.
FROZEN_SHARE = 0.3
_BATCH = 32
_RATE = 1e-3


@dataclass(frozen=True)
class RealChests:
    """Radiographs and findings.

    Attributes
    ----------
    images
        ``(n, size, size)`` float16 in 0..1, before scaling.
    labels
        ``(n, findings)`` float32: 0 or 1.
    names
        Of the findings.
    table
        The data set, with the patients.
    """

    images: np.ndarray
    labels: np.ndarray
    names: tuple[str, ...]
    table: DataTable

    @property
    def patients(self) -> np.ndarray:
        """Return whose each radiograph is ``(n,)``."""
        return np.array([example.patient for example in self.table.examples])

    def patients_with(self, finding: int) -> int:
        """Return how many people have a radiograph with a finding."""
        return len(set(self.patients[self.labels[:, finding] == 1]))


def read_chests(folder: Path, settings: RadiographSettings) -> RealChests:
    """Read a folder in the layout of NIH ChestX-ray14; raises `DataError` where it is not whole."""
    table = read_data("nih", folder, task="chest")
    table.require_usable()
    plain = settings.model_copy(update={"mean": 0.0, "std": 1.0})
    names = tuple(table.label_names)
    return RealChests(
        images=network_images([load_image(example) for example in table.examples], plain)[:, 0].astype(np.float16),
        labels=np.array([[example.labels[name] for name in names] for example in table.examples], np.float32),
        names=names,
        table=table,
    )


def fit_to_chests(
    network: ChestClassifier,
    chests: RealChests,
    chosen: np.ndarray,
    *,
    steps: int,
    seed: int = 0,
) -> ChestClassifier:
    """Fit to the `chosen` (indices) radiographs, each as often as the next.

    Rare findings are not shown more often: a network that sees them more often than they occur states too high a
    probability, and the calibration is one of the two figures that source 5 reports. The last layer starts from how
    often each finding occurs.
    """
    torch.manual_seed(seed)
    often = chests.labels[chosen].mean(axis=0).clip(1 / len(chosen), 0.5)
    with torch.no_grad():
        network.pathologies.bias.copy_(torch.from_numpy(logit(often)))
    network.freeze_first(FROZEN_SHARE)
    batches = _batches(chests, chosen, steps, np.random.default_rng(seed))
    fit(network, batches, _loss, steps=steps, rate=_RATE)
    return network


def score_chests(network: ChestClassifier, images: np.ndarray) -> np.ndarray:
    """Return the probabilities ``(n, findings)``."""
    with torch.inference_mode():
        parts = [
            network(scaled(torch.from_numpy(part.astype(np.float32))[:, None]))["pathologies"].float().sigmoid()
            for part in np.array_split(images, len(images) // 32 + 1)
        ]
        return torch.cat(parts).numpy()


def cross_validate(
    start: Callable[[], ChestClassifier],
    chests: RealChests,
    *,
    steps: int,
    kept: Remembered | None = None,
) -> Arrays:
    """Score every radiograph by a network that saw none of its patient's.

    Returns
    -------
    dict
        ``"probabilities"`` ``(n, findings)``, ``"often"`` likewise: how often each finding is in what was fitted to,
        the answer of one who does not look; ``"fold"`` ``(n,)`` from 1.
    """

    def answer(inside: np.ndarray, outside: np.ndarray) -> Arrays:
        network = fit_to_chests(start(), chests, inside, steps=steps)
        often = chests.labels[inside].mean(axis=0)
        return {
            "probabilities": score_chests(network, chests.images[outside]),
            "often": np.tile(often, (len(outside), 1)),
        }

    divider = StratifiedGroupKFold(FOLDS, shuffle=True, random_state=0)
    turns = divider.split(chests.images, _strata(chests.labels), chests.patients)
    return out_of_fold("chests", turns, answer, kept)


def _strata(labels: np.ndarray) -> np.ndarray:
    """Return for each radiograph ``(n,)`` its rarest finding, from 1; 0 where there is none."""
    rarity = labels / np.maximum(labels.sum(axis=0), 1)
    return np.where(labels.any(axis=1), rarity.argmax(axis=1) + 1, 0)


def _batches(
    chests: RealChests,
    chosen: np.ndarray,
    steps: int,
    generator: np.random.Generator,
) -> Iterator[dict[str, Tensor]]:
    for _ in range(steps):
        numbers = generator.choice(chosen, _BATCH)
        images = torch.from_numpy(chests.images[numbers].astype(np.float32))[:, None]
        # Not mirrored: the heart lies on the left.
        images, _ = augment(images, rotate_deg=7, scale=0.1, shift=0.05, flip=False, contrast=0.2, noise=0.02)
        yield {"images": scaled(images), "labels": torch.from_numpy(chests.labels[numbers])}


def _loss(network: ChestClassifier, batch: dict[str, Tensor]) -> Tensor:
    return functional.binary_cross_entropy_with_logits(network(batch["images"])["pathologies"].float(), batch["labels"])
