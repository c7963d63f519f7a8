"""Fits the encoder of the first PE model: where a clot is, its outline, then close-ups; coarse pictures before fine."""

from collections.abc import Iterable, Sequence
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.optim.swa_utils import AveragedModel

from AcuteFindingsLib.networks.backbones import PooledBackbone
from AcuteFindingsLib.networks.pe import PADDED_LOGIT, SliceEncoder
from AcuteFindingsLib.training.augment import at_size, mask_loss
from AcuteFindingsLib.training.clot_slices import (
    BATCH,
    CLOSE_BATCH,
    close_ups,
    missed_clots,
    mistaken_places,
    whole_slices,
)
from AcuteFindingsLib.training.fit import fit
from AcuteFindingsLib.training.phantom_sets import Arrays

# The finest layers keep what ImageNet taught them: most of the time would go there.
FROZEN_SHARE = 0.3
OUTLINE_STEPS = 2200
# Then close-ups of what the network so far misses or takes for a clot: steps and rate of each round.
CLOSE_UPS = ((800, 6e-4), (500, 5e-4), (750, 5e-4))
# On fine pictures a few whole slices first, to which the norms' statistics settle.
FINE_STEPS = 50
FINE_CLOSE_UPS = ((600, 5e-4), (600, 5e-4), (700, 5e-4))
# At last in chests that it has not seen, others for every round: what it mistakes there is what it will mistake.
FRESH_CLOSE_UPS = (
    *((800, 5e-4), (900, 5e-4), (900, 5e-4), (900, 4e-4), (800, 5e-4), (800, 5e-4)),
    *((900, 7e-4), (900, 6e-4), (900, 5e-4), (900, 5e-4), (900, 4e-4)),
    *((1000, 7e-4), (1000, 6e-4), (1000, 5e-4), (1000, 5e-4), (900, 5e-4), (900, 4e-4), (900, 4e-4)),
)
# Chests with many clots go round: so many parts, one in each round.
_MANY_PARTS = 5
# The weights of the last so many rounds are averaged.
AVERAGED = 3
# How much the surest cells of a close-up count beside its outlines: what is made of a study hangs on them alone.
PEAK_WEIGHT = 0.2
# A cell so far from a clot is free of it, in cells.
_CLOSE_TO_CLOT = 2


def fit_coarsely(
    encoder: SliceEncoder,
    arguments: dict[str, Any],
    sets: list[Arrays],
    many: list[Arrays],
    *,
    steps: int,
    generator: np.random.Generator,
) -> None:
    """Fit an encoder with a decoder from ImageNet on: places first, outlines then, close-ups last.

    Parameters
    ----------
    arguments
        Of the encoder, for one without decoder that learns the places.
    sets, many
        Chests as they come, and chests with many clots.
    steps
        For the places; no more than four times as many for the outlines, twice for a round of close-ups.
    """
    # First where in the picture a clot is, roughly and fast; from there, its outline.
    coarse = SliceEncoder(**{**arguments, "decoder": False, "fields": 0})
    _freeze(coarse)
    fit(Located(coarse), whole_slices(sets, steps, generator), _slice_loss, steps=steps, rate=1e-3)
    encoder.backbone.load_state_dict(_shared(coarse.backbone, encoder.backbone))
    _freeze(encoder)
    count = min(OUTLINE_STEPS, 4 * steps)
    fit(encoder, whole_slices(sets, count, generator), _mask_loss, steps=count, rate=1e-3)
    _fit_close_ups(encoder, sets, many, CLOSE_UPS, longest=2 * steps, generator=generator)


def fit_finely(
    encoder: SliceEncoder,
    sets: list[Arrays],
    fresh: Iterable[list[Arrays]],
    many: list[Arrays],
    *,
    steps: int,
    generator: np.random.Generator,
) -> None:
    """Go on with an encoder that `fit_coarsely` fitted, on pictures of more pixels.

    At the end all layers are free, and each of `fresh` is new chests for one of `FRESH_CLOSE_UPS`. The weights that it
    ends with are the mean of those after the last `AVERAGED` rounds: each round mends some mistakes and makes others.
    """
    _freeze(encoder)
    count = min(FINE_STEPS, steps)
    fit(encoder, whole_slices(sets, count, generator), _mask_loss, steps=count, rate=3e-4)
    _fit_close_ups(encoder, sets, many, FINE_CLOSE_UPS, longest=2 * steps, generator=generator)
    encoder.freeze_first(0.0)
    mean, parts = AveragedModel(encoder), min(_MANY_PARTS, len(many))
    for number, (chests, limit) in enumerate(zip(fresh, FRESH_CLOSE_UPS, strict=True)):
        some = many[number % parts :: parts]
        _fit_close_ups(encoder, chests, some, [limit], longest=2 * steps, generator=generator)
        if number >= len(FRESH_CLOSE_UPS) - AVERAGED:
            mean.update_parameters(encoder)
    encoder.load_state_dict(mean.module.state_dict())


def steps_in_words(steps: int) -> str:
    """Return what `fit_coarsely` and `fit_finely` fit to, for the card."""
    slices = steps + min(OUTLINE_STEPS, 4 * steps), min(FINE_STEPS, steps)
    close = [
        sum(min(limit, 2 * steps) for limit, _ in rounds) for rounds in (CLOSE_UPS, FINE_CLOSE_UPS + FRESH_CLOSE_UPS)
    ]
    coarse, fine = (
        f"{a} steps of {BATCH} slices and {b} of {CLOSE_BATCH} close-ups" for a, b in zip(slices, close, strict=True)
    )
    return f"{coarse} on coarse pictures, {fine} on fine ones"


def _fit_close_ups(
    encoder: SliceEncoder,
    sets: list[Arrays],
    many: list[Arrays],
    rounds: Sequence[tuple[int, float]],
    *,
    longest: int,
    generator: np.random.Generator,
) -> None:
    together = sets + many
    for limit, rate in rounds:
        steps = min(limit, longest)
        missed, mistaken = missed_clots(encoder, together), mistaken_places(encoder, sets)
        batches = close_ups(together, missed, mistaken, steps, generator)
        fit(encoder, batches, _outline_loss, steps=steps, rate=rate, hold_norms=True)


class Located(nn.Module):
    """The slice encoder with one more layer, for fitting only, that says where in the picture the clot is.

    Slice labels alone leave a small clot to chance on so few studies; as in RADnet (docs/sources.md 4) a mask draws the
    attention to it.
    """

    def __init__(self, encoder: SliceEncoder) -> None:
        super().__init__()
        self.encoder = encoder
        self.where = nn.Conv2d(cast(PooledBackbone, encoder.backbone).features, 1, 1)

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        """Return the encoder's outputs and ``"where"``: logits ``(n, 1, y', x')`` on its last feature map."""
        kept: list[Tensor] = []
        handle = cast(PooledBackbone, self.encoder.backbone).feature_map.register_forward_hook(
            lambda _m, _i, output: kept.append(output)
        )
        outputs = self.encoder(images)
        handle.remove()
        return {**outputs, "where": self.where(kept[0])}


def _slice_loss(located: nn.Module, batch: dict[str, Tensor]) -> Tensor:
    outputs = located(batch["images"])
    where = functional.adaptive_max_pool2d(batch["where"], outputs["where"].shape[-2:])
    slices = functional.binary_cross_entropy_with_logits(outputs["slice"].float(), batch["labels"])
    weight = torch.full_like(where[:1], 10.0)
    place = functional.binary_cross_entropy_with_logits(outputs["where"].float(), where, pos_weight=weight[0])
    return slices + place


def _freeze(encoder: SliceEncoder) -> None:
    """Hold the first layers fixed, but not the very first: ImageNet's three channels were colours, not slices."""
    encoder.freeze_first(FROZEN_SHARE)
    next(module for module in encoder.modules() if isinstance(module, nn.Conv2d)).requires_grad_(True)


def _shared(coarse: nn.Module, pyramid: nn.Module) -> dict[str, Tensor]:
    """Return the weights of the coarse encoder's backbone that the pyramid has too: all but its last convolution."""
    wanted = pyramid.state_dict()
    return {name: value for name, value in coarse.state_dict().items() if name in wanted}


def _outline_loss(encoder: SliceEncoder, batch: dict[str, Tensor]) -> Tensor:
    mask = encoder.features(batch["images"])["mask"]
    truth = at_size(batch["where"], mask.shape[-2:])
    return mask_loss(mask, truth) + PEAK_WEIGHT * peak_loss(mask, truth)


def peak_loss(mask: Tensor, truth: Tensor) -> Tensor:
    """Return the cross-entropy of the surest cell of each picture within its clots, and of the surest far from them.

    An outline's loss is that of its cells, so that one large clot outweighs many small ones; here each picture has one
    say for what it shows and one for what it might be mistaken for.

    Parameters
    ----------
    mask, truth
        Logits and 0 or 1, ``(n, 1, y, x)``.
    """
    near = functional.max_pool2d(truth, 2 * _CLOSE_TO_CLOT + 1, 1, _CLOSE_TO_CLOT)
    loss = functional.softplus(_surest(mask, near > 0)).mean()
    shown = truth.flatten(1).amax(dim=1) > 0
    if not shown.any():
        return loss
    return loss + functional.softplus(-_surest(mask, truth == 0)[shown]).mean() / 2


def _surest(mask: Tensor, covered: Tensor) -> Tensor:
    """Return the highest logit of each picture ``(n,)`` where nothing is `covered`."""
    return mask.float().masked_fill(covered, PADDED_LOGIT).flatten(1).amax(dim=1)


def _mask_loss(encoder: nn.Module, batch: dict[str, Tensor]) -> Tensor:
    outputs = encoder(batch["images"])
    slices = functional.binary_cross_entropy_with_logits(outputs["slice"].float(), batch["labels"])
    return slices + mask_loss(outputs["mask"], at_size(batch["where"], outputs["mask"].shape[-2:]))
