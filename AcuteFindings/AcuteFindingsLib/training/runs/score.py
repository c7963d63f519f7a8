"""What a fitted network says of prepared series and images, through the detectors' own rules."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from scipy.special import expit
from torch import nn

from AcuteFindingsLib.detectors.radiograph import RadiographSettings, predict_flipped
from AcuteFindingsLib.detectors.registry import find_task
from AcuteFindingsLib.models.metadata import Card
from AcuteFindingsLib.models.runtime.torch_predictor import TorchPredictor
from AcuteFindingsLib.progress import Progress, batches, never_cancelled, no_progress
from AcuteFindingsLib.training.recipes.schema import Recipe
from AcuteFindingsLib.training.runs.items import Item
from AcuteFindingsLib.training.runs.module import input_range

_BATCH = 16
# RADnet: three or more consecutive positive slices make a positive scan (docs/sources.md 4).
CONSECUTIVE = 3


@dataclass(frozen=True)
class Answers:
    """Probabilities of some level (slice, study) with their truth.

    Attributes
    ----------
    keys, patients
        ``(n,)``.
    truth, score
        ``(n, L)``; truth is NaN where unknown.
    """

    keys: np.ndarray
    patients: np.ndarray
    truth: np.ndarray
    score: np.ndarray


@dataclass(frozen=True)
class MaskAnswer:
    """A soft mask as bytes ``(n, y, x)`` beside the true one, of one item; `known` ``(n,)``: where that one counts."""

    key: str
    patient: str
    soft: np.ndarray
    truth: np.ndarray
    known: np.ndarray


@dataclass(frozen=True)
class Scored:
    """All that was said: answers by level, masks, and how likely each item's mask was called empty."""

    levels: dict[str, Answers]
    masks: list[MaskAnswer] = field(default_factory=list)


def score_items(network: nn.Module, recipe: Recipe, card: Card, items: Sequence[Item], progress: Progress) -> Scored:
    """Let a network answer for some items, one after the other.

    Parameters
    ----------
    card
        Names the labels; its preprocessing and operating points serve the detectors' rules.
    """
    predictor = _OnDevice(network, card)
    score = _SCORERS[recipe.last]
    rows: dict[str, list[_Row]] = {}
    masks: list[MaskAnswer] = []
    for number, item in enumerate(items, 1):
        for row in score(predictor, recipe, item):
            if isinstance(row, MaskAnswer):
                masks.append(row)
            else:
                rows.setdefault(row.level, []).append(row)
        progress(f"Measuring {number} of {len(items)}", number / len(items))
    return Scored({level: _joined(found) for level, found in rows.items()}, masks)


class _OnDevice(TorchPredictor):
    """A network that has not been written to a package yet, where it is: scoring runs where fitting ran."""

    def __init__(self, network: nn.Module, card: Card) -> None:
        device = "cuda" if torch.cuda.is_available() and next(network.parameters()).is_cuda else "cpu"
        super().__init__(network, card=card, version="0", sha256="", device=device)


@dataclass(frozen=True)
class _Row:
    level: str
    keys: np.ndarray
    patient: str
    truth: np.ndarray
    score: np.ndarray


def _joined(rows: Sequence[_Row]) -> Answers:
    return Answers(
        keys=np.concatenate([row.keys for row in rows]),
        patients=np.concatenate([np.full(len(row.keys), row.patient) for row in rows]),
        truth=np.concatenate([row.truth for row in rows]),
        score=np.concatenate([row.score for row in rows]),
    )


def _whole(predictor: _OnDevice, recipe: Recipe, item: Item) -> list[Any]:
    """Ask a complete model, as its detector does."""
    answer = find_task(recipe.task).load_scorer()(predictor).infer(_scaled(item, recipe))
    rows: list[Any] = [] if answer.soft is None else [_mask(item, answer.soft)]
    labels = item.labels[:, : answer.images.shape[1]]
    if answer.study:
        # The exam's own labels stand beside the stack's; the first of them repeats it.
        truth = [_any(labels[:, 0]), *item.exam]
        score = list(answer.study.values())[: len(truth)]
        rows.append(_Row("slice", item.keys, item.patient, labels, answer.images))
        rows.append(
            _Row("study", np.array([item.key]), item.patient, np.array([truth[: len(score)]]), np.array([score]))
        )
    elif answer.images.shape[1]:
        present = labels if answer.soft is None else _presence(item)
        rows.append(_Row("study", item.keys, item.patient, present, answer.images))
    return rows


def _slice(predictor: _OnDevice, recipe: Recipe, item: Item) -> list[_Row]:
    images = _scaled(item, recipe)
    score = np.concatenate([expit(predictor.predict(images[part])["slice"]) for part in _parts(len(images))])
    return [_Row("slice", item.keys, item.patient, item.labels[:, :1], score)]


def _image(predictor: _OnDevice, recipe: Recipe, item: Item) -> list[_Row]:
    settings = recipe.settings()
    assert isinstance(settings, RadiographSettings)
    answer = predict_flipped(predictor, _scaled(item, recipe), settings)["image"]
    return [_Row("study", item.keys, item.patient, item.labels[:, :1], answer)]


_SCORERS: dict[str, Callable[[_OnDevice, Recipe, Item], Sequence[Any]]] = {
    "slice": _slice,
    "sequence": _whole,
    "scan": _whole,
    "image": _image,
    "segment": _whole,
    "findings": _whole,
}


def _scaled(item: Item, recipe: Recipe) -> np.ndarray:
    low, high = input_range(recipe)
    pictures = item.pictures(slice(0, item.count), recipe.settings())
    return pictures.astype(np.float32) / 255 * (high - low) + low


def _mask(item: Item, soft: np.ndarray) -> MaskAnswer:
    drawn = np.rint(255 * soft).astype(np.uint8)
    return MaskAnswer(item.key, item.patient, drawn, item.masks().astype(bool), item.mask_known)


def _presence(item: Item) -> np.ndarray:
    """Return whether the finding is there: by its label, else by its mask."""
    stated = item.labels[:, :1] if item.labels.shape[1] else np.full((1, 1), np.nan, np.float32)
    drawn = np.where(item.mask_known, item.positive, np.nan)[:, None]
    return np.where(np.isnan(stated), drawn, stated)


def _any(labels: np.ndarray) -> float:
    if (labels >= 0.5).any():
        return 1.0
    return float("nan") if np.isnan(labels).all() else 0.0


def _parts(count: int) -> list[slice]:
    return list(batches(count, _BATCH, text="", span=(0.0, 1.0), progress=no_progress, cancelled=never_cancelled))
