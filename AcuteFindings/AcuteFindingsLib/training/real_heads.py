"""Real head CT slices on top of phantoms: fitting, cross-validation, and what the pictures' look alone would tell."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import cast

import numpy as np
import torch
from sklearn.ensemble import RandomForestClassifier
from torch import Tensor
from torch.nn import functional

from AcuteFindingsLib.detectors.hemorrhage.detector import HemorrhageSettings, head_images
from AcuteFindingsLib.detectors.registry import find_kind
from AcuteFindingsLib.networks.backbones import PyramidBackbone
from AcuteFindingsLib.networks.radnet import RADnet
from AcuteFindingsLib.preprocessing.head_slice import neutral_head
from AcuteFindingsLib.study.reader import read_study
from AcuteFindingsLib.training.augment import augment, mask_loss
from AcuteFindingsLib.training.data import DataTable, read_data
from AcuteFindingsLib.training.first_arrays import BLEEDS
from AcuteFindingsLib.training.fit import fit
from AcuteFindingsLib.training.lesions.bleeds import Bleed, draw_bleed, draw_calcium
from AcuteFindingsLib.training.out_of_fold import out_of_fold, turns_of
from AcuteFindingsLib.training.remembered import Remembered

STEPS = 100
FOLDS = 5
# The finest layers keep what phantoms and ImageNet taught them: most of the time would go there.
FROZEN_SHARE = 0.3
# The weights are left so far on the way from those given to those fitted, as Wortsman 2022 does: fitted wholly, the
# network forgets on these few slices how phantoms' bleeds are outlined.
ON_THE_WAY = 0.7
# Bleeds drawn into each slice without one, before fitting.
DRAWN_EACH = 12
# Slices with a bleed, without one, and with a drawn one in a batch; a scan of phantom slices comes on top.
_BLEEDING, _SOUND, _DRAWN = 8, 8, 8
# Pixels of which a bleed must at least hold so many, for the mask to show one where only the label is known.
_SEEN_PIXELS = 60

PhantomBatches = Callable[[int, np.random.Generator], Iterator[dict[str, Tensor]]]


@dataclass(frozen=True)
class RealHeads:
    """Slices as the network reads them.

    Attributes
    ----------
    images
        ``(n, y, x)`` float32 in 0..1, of the pictures as they are.
    neutral
        The same of a version cropped to the head, black outside the skull and of one size.
    bleeding
        ``(n,)`` bool.
    look
        ``(n, 36)``: size, border and histogram of each picture; nothing of anatomy.
    table
        The data set; near-duplicates share a group.
    """

    images: np.ndarray
    neutral: np.ndarray
    bleeding: np.ndarray
    look: np.ndarray
    table: DataTable

    @property
    def groups(self) -> np.ndarray:
        """Return the near-duplicate group of each slice ``(n,)``."""
        return np.array([example.group for example in self.table.examples])


def read_heads(folder: Path, settings: HemorrhageSettings, *, neutral_size: int = 256) -> RealHeads:
    """Read a folder of labelled slices; raises `DataError` where it is not whole."""
    table = read_data("head-slices", folder)
    table.require_usable()
    studies = [
        read_study(cast(Path, example.source), requirements=find_kind("hemorrhage").requirements)
        for example in table.examples
    ]
    neutral = [replace(study, array=neutral_head(study.array[0], neutral_size)[None]) for study in studies]
    return RealHeads(
        images=np.stack([head_images(study, settings).images[0] for study in studies]),
        neutral=np.stack([head_images(study, settings).images[0] for study in neutral]),
        bleeding=np.array([example.labels[table.main_label] == 1 for example in table.examples]),
        look=np.stack([_look(study.array[0]) for study in studies]),
        table=table,
    )


def fit_to_heads(
    network: RADnet,
    heads: RealHeads,
    chosen: np.ndarray,
    phantoms: PhantomBatches,
    *,
    steps: int = STEPS,
    seed: int = 0,
) -> RADnet:
    """Go on fitting a network to the `chosen` (indices) real slices, to bleeds drawn into them, and to phantoms."""
    given = {name: value.clone() for name, value in network.state_dict().items()}
    torch.manual_seed(seed)
    generator = np.random.default_rng(seed)
    drawn = _drawn(heads, chosen[~heads.bleeding[chosen]], generator)
    batches = _batches(heads, chosen, drawn, phantoms(steps, generator), steps, generator)
    backbone = cast(PyramidBackbone, network.backbone)
    backbone.freeze_first(FROZEN_SHARE)
    fit(network, batches, _loss, steps=steps, rate=6e-4, report_every=20)
    backbone.freeze_first(0.0)
    between = {
        name: torch.lerp(given[name], value, ON_THE_WAY) if value.is_floating_point() else value
        for name, value in network.state_dict().items()
    }
    network.load_state_dict(between)
    return network


def score_heads(network: RADnet, images: np.ndarray) -> np.ndarray:
    """Return the probability of any hemorrhage ``(n,)``, each slice for itself."""
    with torch.inference_mode():
        parts = [
            network.features(torch.from_numpy(part)[:, None])["features"]
            for part in np.array_split(images, len(images) // 16 + 1)
        ]
        return torch.cat([network.head(part[:, None])["slice"][:, 0, 0].sigmoid() for part in parts]).numpy()


def cross_validate(
    start: Callable[[], RADnet],
    heads: RealHeads,
    phantoms: PhantomBatches,
    *,
    steps: int = STEPS,
    kept: Remembered | None = None,
) -> dict[str, np.ndarray]:
    """Score every slice by a network that saw neither it nor its near-duplicates.

    Parameters
    ----------
    start
        Gives the network to go on from, a new one for each fold; it must not have seen any of the slices.
    kept
        Holds the scores of folds that are done.

    Returns
    -------
    dict
        ``"images"`` and ``"neutral"``: the network's probabilities ``(n,)``; ``"look"``: those of a random forest that
        knows size, border and histogram only; ``"fold"``: in which fold each slice was held out, from 1.
    """

    def answer(inside: np.ndarray, outside: np.ndarray) -> dict[str, np.ndarray]:
        network = fit_to_heads(start(), heads, inside, phantoms, steps=steps)
        forest = RandomForestClassifier(500, random_state=0).fit(heads.look[inside], heads.bleeding[inside])
        return {
            "images": score_heads(network, heads.images[outside]),
            "neutral": score_heads(network, heads.neutral[outside]),
            "look": forest.predict_proba(heads.look[outside])[:, 1],
        }

    return out_of_fold("heads", turns_of(heads.table, FOLDS), answer, kept)


def mask_heads(network: RADnet, images: np.ndarray) -> np.ndarray:
    """Return the attention mask's probability ``(n, y, x)`` of each slice."""
    with torch.inference_mode():
        parts = [
            network.features(torch.from_numpy(part)[:, None])["mask"][:, 0].sigmoid()
            for part in np.array_split(images, len(images) // 16 + 1)
        ]
        return torch.cat(parts).float().numpy()


def _look(image: np.ndarray) -> np.ndarray:
    border = np.concatenate([image[0], image[-1], image[:, 0], image[:, -1]])
    histogram = np.histogram(image, bins=32, range=(0, 1))[0] / image.size
    return np.array([*image.shape, border.mean(), border.std(), *histogram], np.float32)


def _drawn(heads: RealHeads, sound: np.ndarray, generator: np.random.Generator) -> list[Bleed]:
    bleeds = []
    for number in np.repeat(sound, DRAWN_EACH):
        image = heads.images[number]
        bleed = draw_bleed(generator, draw_calcium(generator, image) if generator.random() < 0.3 else image)
        if bleed is not None:
            bleeds.append(bleed)
    return bleeds


def _batches(
    heads: RealHeads,
    chosen: np.ndarray,
    drawn: list[Bleed],
    phantoms: Iterator[dict[str, Tensor]],
    steps: int,
    generator: np.random.Generator,
) -> Iterator[dict[str, Tensor]]:
    bleeding, sound = chosen[heads.bleeding[chosen]], chosen[~heads.bleeding[chosen]]
    for _ in range(steps):
        real = [heads.images[n] for n in generator.choice(bleeding, _BLEEDING)]
        for number in generator.choice(sound, _SOUND):
            image = heads.images[number]
            real.append(draw_calcium(generator, image) if generator.random() < 0.3 else image)
        added = [drawn[n] for n in generator.integers(len(drawn), size=_DRAWN)] if drawn else []
        images = torch.from_numpy(np.stack([*real, *(bleed.image for bleed in added)]))[:, None]
        masks = torch.zeros_like(images)
        labels = torch.zeros(len(images), len(BLEEDS))
        labels[:_BLEEDING, 0] = 1
        for row, bleed in enumerate(added, len(real)):
            masks[row, 0] = torch.from_numpy(bleed.mask).float()
            labels[row, [0, BLEEDS.index(bleed.kind)]] = 1
        images, moved = augment(
            _displayed(images), masks, rotate_deg=15, scale=0.12, shift=0.04, contrast=0.15, noise=0.03
        )
        assert moved is not None
        phantom = next(phantoms)
        yield {
            "images": torch.cat([images, phantom["images"]]),
            "masks": torch.cat([moved, phantom["mask"]]),
            "labels": labels,
            "scans": phantom["labels"],
        }


def _displayed(images: Tensor) -> Tensor:
    """Change grey scale and sharpness: collections differ in window, rendering and compression."""
    images = images.clamp(0, 1) ** torch.exp((torch.rand(len(images), 1, 1, 1) * 2 - 1) * 0.35)
    if torch.rand(1) < 0.4:
        share = float(torch.empty(1).uniform_(0.5, 0.9))
        small = functional.interpolate(images, scale_factor=share, mode="bilinear", antialias=True)
        images = functional.interpolate(small, size=images.shape[-2:], mode="bilinear")
    return images


def _loss(network: RADnet, batch: dict[str, Tensor]) -> Tensor:
    entropy = functional.binary_cross_entropy_with_logits
    outputs = network.features(batch["images"])
    features, count = outputs["features"].float(), len(batch["labels"])
    single = network.head(features[:count, None])["slice"][:, 0].float()
    scans = network.head(features[count:].reshape(*batch["scans"].shape[:2], -1))["slice"].float()
    loss = 2 * entropy(single[:, 0], batch["labels"][:, 0]) + 0.5 * entropy(scans, batch["scans"])
    # Which kind a real bleed is, and where, nobody wrote down.
    loss = loss + 0.5 * entropy(single[_BLEEDING:], batch["labels"][_BLEEDING:])
    weights = {"mask": 1.0, **{name: 0.1 for name in outputs if name.startswith("attention_")}}
    for name, weight in weights.items():
        loss = loss + weight * mask_loss(outputs[name][_BLEEDING:], batch["masks"][_BLEEDING:])
    highest = outputs["mask"][:_BLEEDING].float().flatten(1).topk(_SEEN_PIXELS, dim=1).values.mean(dim=1)
    return loss + 0.3 * functional.softplus(-highest).mean()
