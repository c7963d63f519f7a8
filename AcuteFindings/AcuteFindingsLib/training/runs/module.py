"""One stage as Lightning runs it: pictures made ready, loss, optimiser, what is frozen, how well it goes."""

import math
from typing import Any

import lightning
import torch
from torch import Tensor, nn
from torchmetrics import MeanMetric
from torchmetrics.classification import BinaryAUROC

from AcuteFindingsLib.errors import RecipeError
from AcuteFindingsLib.training.losses import WeightedLoss
from AcuteFindingsLib.training.recipes.plans import Optimiser, TrainStage
from AcuteFindingsLib.training.recipes.schema import Recipe
from AcuteFindingsLib.training.runs.changes import apply_changes, at_random_size, random_crops
from AcuteFindingsLib.training.runs.objectives import Batch, Step, step_for, trained_part

_OPTIMISERS: dict[str, Any] = {
    "adam": torch.optim.Adam,
    "adamw": torch.optim.AdamW,
    "nadam": torch.optim.NAdam,
    "sgd": torch.optim.SGD,
}
_WARM_UP = 0.15
# Resuming must not depend on how many numbers an epoch drew.
_EPOCH_SEEDS = 1_000_003


class StageModule(lightning.LightningModule):
    """A network in one stage of a recipe.

    Parameters
    ----------
    network
        The whole network; the stage fits its part of it.
    recipe, stage
        The experiment, and which of its stages this is.
    steps
        Optimiser steps an epoch.
    plan
        How the stage is fitted; left out, as the recipe says.
    seed
        Fixes all that is random in each epoch, so that a resumed run goes on as if it had not been stopped.
    """

    def __init__(
        self,
        network: nn.Module,
        recipe: Recipe,
        stage: str,
        *,
        steps: int,
        seed: int,
        plan: TrainStage | None = None,
    ) -> None:
        super().__init__()
        plan = plan or recipe.stages.fitted(stage)
        self.network, self.recipe, self.stage, self.plan = network, recipe, stage, plan
        self.steps, self.seed = max(steps, 1), seed
        self.step = step_for(stage, recipe)
        self.loss = WeightedLoss(plan.loss)
        self.losses = MeanMetric()
        self.auc = BinaryAUROC()
        self.overlap = MeanMetric()

    @property
    def part(self) -> nn.Module:
        """Return the part of the network that the stage fits."""
        return trained_part(self.stage, self.network)

    def on_train_epoch_start(self) -> None:
        """Seed the epoch, and freeze what this epoch leaves as it is."""
        torch.manual_seed(self.seed * _EPOCH_SEEDS + self.current_epoch)
        freeze(self.part, self.plan, epoch=self.current_epoch)

    def on_after_batch_transfer(self, batch: Batch, dataloader_idx: int) -> Batch:  # noqa: ARG002
        """Make pictures of bytes into what the network takes; in training, change them at random first."""
        training = bool(self._trainer and self.trainer.training)
        return ready(batch, self.recipe, self.plan if training else None)

    def training_step(self, batch: Batch, _index: int) -> Tensor:
        """Return the loss of one batch."""
        step = self._checked(batch)
        value, _ = self.loss(step.outputs, step.targets, step.known)
        self.log("loss", value, prog_bar=True, on_step=True, on_epoch=False)
        self.log("train_loss", value, on_step=False, on_epoch=True, batch_size=_size(batch))
        return value

    def validation_step(self, batch: Batch, _index: int) -> None:
        """Gather loss, AUC and overlap over the validation part."""
        step = self._checked(batch)
        value, parts = self.loss(step.outputs, step.targets, step.known)
        self.losses.update(value, weight=_size(batch))
        for name, part in parts.items():
            self.log(f"val_{name}_loss", part, on_epoch=True, batch_size=_size(batch), sync_dist=True)
        self._gather(step)

    def on_validation_epoch_end(self) -> None:
        """Log what was gathered."""
        self.log("val_loss", self.losses.compute(), prog_bar=True)
        self.losses.reset()
        if self.auc.target:
            truth = torch.cat(self.auc.target)
            if truth.any() and not truth.all():
                self.log("val_auc", self.auc.compute(), prog_bar=True)
        self.auc.reset()
        if self.overlap.update_called:
            self.log("val_dice", self.overlap.compute(), prog_bar=True)
        self.overlap.reset()

    def configure_optimizers(self) -> Any:
        """Return the recipe's optimiser and schedule."""
        plan = self.plan.optimiser
        if self._trainer:
            # On several devices each takes a part of an epoch's steps, which is known only now.
            self.steps = max(int(self.trainer.estimated_stepping_batches) // self.plan.epochs, 1)
        optimiser = _OPTIMISERS[plan.name](self.part.parameters(), lr=plan.rate, **_options(plan))
        schedule = torch.optim.lr_scheduler.LambdaLR(optimiser, lambda step: rate_factor(self.plan, step, self.steps))
        return {"optimizer": optimiser, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    def _checked(self, batch: Batch) -> Step:
        step = self.step(self.network, batch)
        for name in self.plan.loss:
            if name not in step.outputs:
                raise RecipeError(
                    f"stages.{self.stage}.loss.{name}: the network {self.recipe.network.name!r} gives no such output; "
                    f"it gives {', '.join(step.outputs)}."
                )
            if name not in step.targets:
                usable = ", ".join(step.targets)
                raise RecipeError(f"stages.{self.stage}.loss.{name}: this stage has a truth for {usable} only.")
        return step

    def _gather(self, step: Step) -> None:
        logits, target = step.outputs[step.main].detach().float(), step.targets[step.main]
        known = step.known[step.main]
        if logits.ndim == 4:
            for picture, truth, counts in zip(logits[:, 0], target[:, 0], known.flatten(), strict=True):
                if counts > 0:
                    self.overlap.update(_dice(picture > 0, truth > 0.5))
            return
        first, inside = logits[..., 0].flatten(), known[..., 0].flatten() > 0
        self.auc.update(first[inside].sigmoid(), (target[..., 0].flatten()[inside] >= 0.5).long())


def ready(batch: Batch, recipe: Recipe, plan: TrainStage | None) -> Batch:
    """Return a batch as the network takes it.

    Parameters
    ----------
    batch
        Pictures ``(b, [n,] c, y, x)`` and masks as bytes; batches of encodings pass unchanged.
    plan
        The stage whose random changes are made; None for none.
    """
    if "images" not in batch:
        return batch
    images = batch["images"].float() / 255
    masks = batch["mask"].float()
    scans = images.shape[:2] if images.ndim == 5 else None
    if scans:
        images, masks = images.flatten(0, 1), masks.flatten(0, 1)
    if plan:
        images, moved = apply_changes(
            images, masks, plan.augmentation, positive=batch["positive"], groups=scans[1] if scans else 1
        )
        if plan.crop:
            images, moved = random_crops(images, moved, plan.crop)
        assert moved is not None
        images, masks = at_random_size(images, moved, plan.augmentation.sizes)
    low, high = input_range(recipe)
    images = images * (high - low) + low
    if scans:
        images, masks = images.unflatten(0, scans), masks.unflatten(0, scans)
    elif images.device.type == "cpu":
        images = images.contiguous(memory_format=torch.channels_last)
    return {**batch, "images": images, "mask": masks}


def input_range(recipe: Recipe) -> tuple[float, float]:
    """Return what 0 and 1 of a picture become for the network: as the task's detector scales them, or as stated."""
    if recipe.input_range:
        return recipe.input_range
    program = recipe.model_task.program
    if program is not None and not program.normalized:
        return program.value_range
    settings = recipe.settings()
    mean, std = settings.mean, settings.std
    return -mean / std, (1 - mean) / std


def rate_factor(plan: TrainStage, step: int, steps: int) -> float:
    """Return what the rate is multiplied by at a step, with so many steps an epoch.

    ``thirds`` and ``cosine`` count the epochs after the frozen ones.
    """
    epoch = step // steps
    if epoch < plan.frozen_epochs:
        return plan.frozen_rate / plan.optimiser.rate
    total = (plan.epochs - plan.frozen_epochs) * steps
    done = min((step - plan.frozen_epochs * steps) / total, 1.0)
    if plan.optimiser.schedule == "thirds":
        # Rounded against steps that do not divide by three.
        return 0.1 ** int(3 * done + 1e-9) if done < 1 else 0.01
    if plan.optimiser.schedule == "cosine":
        return 0.5 * (1 + math.cos(math.pi * done))
    if plan.optimiser.schedule == "one-cycle":
        if done < _WARM_UP:
            return 0.04 + 0.96 * 0.5 * (1 - math.cos(math.pi * done / _WARM_UP))
        return 0.5 * (1 + math.cos(math.pi * (done - _WARM_UP) / (1 - _WARM_UP)))
    return 1.0


def freeze(network: Any, plan: TrainStage, *, epoch: int) -> None:
    """Hold fixed what an epoch of a stage leaves as it is, and free the rest.

    Raises
    ------
    RecipeError
        Where the network has no backbone, or no order of layers, to freeze.
    """
    network.requires_grad_(True)
    if plan.freeze:
        first: Any = network if hasattr(network, "freeze_first") else getattr(network, "backbone", None)
        if not hasattr(first, "freeze_first"):
            raise RecipeError(
                f"freeze: the network {type(network).__name__} cannot freeze its first layers; leave it out."
            )
        first.freeze_first(plan.freeze)
    if epoch < plan.frozen_epochs:
        backbone = getattr(network, "backbone", None) or getattr(getattr(network, "parts", None), "encoder", None)
        if not isinstance(backbone, nn.Module):
            raise RecipeError(
                f"frozen_epochs: the network {type(network).__name__} has no backbone to freeze; choose 0."
            )
        backbone.requires_grad_(False)
        # Batch norms keep their statistics too, as in Keras.
        backbone.eval()
    elif plan.frozen_epochs:
        network.train()
    if plan.freeze_batch_norm:
        for layer in network.modules():
            if isinstance(layer, nn.BatchNorm1d | nn.BatchNorm2d):
                layer.eval()


def _options(plan: Optimiser) -> dict[str, Any]:
    if plan.name == "sgd":
        return {"momentum": plan.momentum, "weight_decay": plan.weight_decay}
    if plan.momentum:
        raise RecipeError(f"optimiser.momentum: {plan.name} takes none; choose sgd or leave it out.")
    return {"weight_decay": plan.weight_decay}


def _dice(mask: Tensor, truth: Tensor) -> Tensor:
    total = mask.sum() + truth.sum()
    return 2 * (mask & truth).sum() / total if total > 0 else torch.ones((), device=mask.device)


def _size(batch: Batch) -> int:
    return len(next(iter(batch.values())))
