from collections.abc import Callable

import lightning
import pytest
import torch
from torch import Tensor, nn

from AcuteFindingsLib.training.depthwise import SingleDepthwise


class Seen(nn.Module):
    """A pointwise and a depthwise convolution that keep in which precision each answered."""

    def __init__(self) -> None:
        super().__init__()
        self.mix, self.each = nn.Conv2d(1, 4, 1), nn.Conv2d(4, 4, 3, groups=4)
        self.precisions: list[tuple[torch.dtype, torch.dtype]] = []

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        mixed = self.mix(images)
        found = self.each(mixed)
        self.precisions.append((mixed.dtype, found.dtype))
        return found


class Fitting(lightning.LightningModule):
    def __init__(self, network: Seen, loss: Callable[[Seen, Tensor], Tensor]) -> None:
        super().__init__()
        self.network, self.loss = network, loss

    def training_step(self, batch: Tensor, _index: int) -> Tensor:
        return self.loss(self.network, batch)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.AdamW(self.parameters(), lr=0.01)


def fit(network: Seen, loss: Callable[[Seen, Tensor], Tensor], *, steps: int) -> None:
    trainer = lightning.Trainer(
        max_steps=steps,
        accelerator="cpu",
        precision="bf16-mixed",
        callbacks=[SingleDepthwise()],
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    trainer.fit(Fitting(network, loss), train_dataloaders=iter([torch.ones(2, 1, 8, 8)] * steps))


def _loss(network: Seen, images: torch.Tensor) -> torch.Tensor:
    return network(images).square().mean()


def _stop(network: Seen, images: torch.Tensor) -> torch.Tensor:
    network(images)
    raise ArithmeticError("stopped")


@pytest.fixture
def network() -> Seen:
    torch.manual_seed(0)
    return Seen()


def test_only_depthwise_convolutions_are_fitted_in_single_precision(network: Seen) -> None:
    before = network.each.weight.detach().clone()
    fit(network, _loss, steps=2)
    assert network.precisions == [(torch.bfloat16, torch.float32)] * 2
    assert not torch.equal(network.each.weight, before)


def test_afterwards_they_compute_as_everything_around_them(network: Seen) -> None:
    fit(network, _loss, steps=1)
    with torch.autocast("cpu", torch.bfloat16):
        network(torch.ones(2, 1, 8, 8))
    assert network.precisions[-1] == (torch.bfloat16, torch.bfloat16)


def test_also_where_fitting_broke_off(network: Seen) -> None:
    with pytest.raises(ArithmeticError, match="stopped"):
        fit(network, _stop, steps=1)
    assert network.precisions == [(torch.bfloat16, torch.float32)]
    assert "forward" not in network.each.__dict__
