"""One way to fit a network: Lightning's loop around a loss."""

from collections.abc import Callable, Iterable
from typing import Any

import lightning
import torch
from torch import Tensor, nn

from AcuteFindingsLib.training.depthwise import SingleDepthwise


class Fitting(lightning.LightningModule):
    """A network, a loss of one batch, AdamW with a one-cycle rate."""

    def __init__(self, network: nn.Module, loss: Callable[[Any, Any], Tensor], *, rate: float, steps: int) -> None:
        super().__init__()
        self.network, self.loss, self.rate, self.steps = network, loss, rate, steps

    def training_step(self, batch: Any, _index: int) -> Tensor:
        """Return the loss of one batch."""
        value = self.loss(self.network, batch)
        self.log("loss", value, prog_bar=True)
        return value

    def configure_optimizers(self) -> Any:
        """Return AdamW and the one-cycle schedule over all steps."""
        optimiser = torch.optim.AdamW(self.network.parameters(), lr=self.rate, weight_decay=1e-4)
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, self.rate, total_steps=self.steps, pct_start=0.15)
        return {"optimizer": optimiser, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}


def fit(
    network: nn.Module,
    batches: Iterable[Any],
    loss: Callable[[Any, Any], Tensor],
    *,
    steps: int,
    rate: float,
    report_every: int = 50,
    hold_norms: bool = False,
) -> nn.Module:
    """Fit for a number of steps in bfloat16 mixed precision; returns the network in evaluation mode.

    Parameters
    ----------
    batches
        An iterable that yields at least `steps` batches.
    loss
        Function of network and batch.
    hold_norms
        Leave the statistics of batch norms, and dropout, as in use: for batches that look unlike what the network will
        read.
    """
    trainer = lightning.Trainer(
        max_steps=steps,
        accelerator="auto",
        devices=1,
        precision="bf16-mixed",
        logger=False,
        enable_checkpointing=False,
        enable_model_summary=False,
        enable_progress_bar=False,
        gradient_clip_val=1.0,
        callbacks=[SingleDepthwise(), _Report(report_every)],
    )
    network.to(memory_format=torch.channels_last).train(not hold_norms)
    trainer.fit(Fitting(network, loss, rate=rate, steps=steps), train_dataloaders=batches)
    return network.eval()


class _Report(lightning.Callback):
    def __init__(self, every: int) -> None:
        self.every, self.total = every, 0.0

    def on_train_batch_end(self, trainer: Any, module: Any, outputs: Any, *_: Any) -> None:  # noqa: ARG002
        self.total += float(outputs["loss"])
        if trainer.global_step % self.every == 0:
            print(f"step {trainer.global_step}: loss {self.total / self.every:.4f}", flush=True)
            self.total = 0.0
