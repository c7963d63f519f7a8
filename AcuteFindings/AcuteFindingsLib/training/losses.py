"""What each output of a network is held against, and how the differences add up to one number."""

from collections.abc import Mapping

import torch
from segmentation_models_pytorch.losses import LovaszLoss
from torch import Tensor, nn
from torch.nn import functional

from AcuteFindingsLib.training.recipes.schema import OutputLoss


class WeightedLoss(nn.Module):
    """The weighted sum of the terms that a recipe names for each output.

    Parameters
    ----------
    plan
        Output name to its terms: ``{"mask": OutputLoss(bce=2.7, dice=0.9), "empty": OutputLoss(bce=0.1)}`` is the
        fourth place's loss (docs/sources.md 3).
    """

    def __init__(self, plan: Mapping[str, OutputLoss]) -> None:
        super().__init__()
        self.plan = dict(plan)
        self.lovasz = LovaszLoss(mode="binary", per_image=False, from_logits=True)

    def forward(
        self, outputs: Mapping[str, Tensor], targets: Mapping[str, Tensor], known: Mapping[str, Tensor]
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Return the loss and each output's share of it.

        Parameters
        ----------
        outputs
            Logits by name.
        targets
            0..1, shaped as the logits of the same name.
        known
            Of some outputs: 1 where the truth is known and counts, 0 for padding and missing labels.
        """
        parts = {
            name: self._of_one(terms, outputs[name].float(), targets[name].float(), known.get(name))
            for name, terms in self.plan.items()
        }
        return torch.stack(list(parts.values())).sum(), parts

    def _of_one(self, terms: OutputLoss, logits: Tensor, target: Tensor, known: Tensor | None) -> Tensor:
        total = logits.new_zeros(())
        if terms.bce:
            total = total + terms.bce * known_bce(
                logits, target, known, label_weights=terms.label_weights, positive_weight=terms.positive_weight
            )
        if terms.dice or terms.lovasz:
            logits, target = _known_rows(logits, target, known)
        if terms.dice and len(logits):
            total = total + terms.dice * dice_loss(logits, target)
        if terms.lovasz and len(logits):
            total = total + terms.lovasz * self.lovasz(logits, target)
        return total


def dice_loss(logits: Tensor, target: Tensor) -> Tensor:
    """Return one minus the soft Dice of a whole batch, so that empty pictures need no convention of their own."""
    probability = logits.float().sigmoid()
    overlap = (probability * target).sum()
    return 1 - (2 * overlap + 1) / (probability.sum() + target.sum() + 1)


def known_bce(
    logits: Tensor,
    target: Tensor,
    known: Tensor | None = None,
    *,
    label_weights: tuple[float, ...] | None = None,
    positive_weight: float = 1.0,
) -> Tensor:
    """Return the mean binary cross-entropy over what is known; zero where nothing is.

    Parameters
    ----------
    label_weights
        One factor for each number along the last axis.
    positive_weight
        How many times a positive counts.
    """
    factor = None if label_weights is None else logits.new_tensor(label_weights)
    each = functional.binary_cross_entropy_with_logits(
        logits, target, weight=factor, pos_weight=logits.new_tensor(positive_weight), reduction="none"
    )
    if known is None:
        return each.mean()
    counted = known.to(each.dtype).expand_as(each)
    return (each * counted).sum() / counted.sum().clamp(min=1)


def _known_rows(logits: Tensor, target: Tensor, known: Tensor | None) -> tuple[Tensor, Tensor]:
    """Return the pictures whose truth is known: overlap has no meaning for single pixels."""
    if known is None:
        return logits, target
    rows = known.flatten(1).amax(dim=1) > 0
    return logits[rows], target[rows]
