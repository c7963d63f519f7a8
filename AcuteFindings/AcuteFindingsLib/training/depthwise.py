"""Depthwise convolutions in single precision while a network is fitted in bfloat16 on a processor."""

from functools import partial
from typing import Any

import lightning
import torch
from torch import Tensor, nn


class SingleDepthwise(lightning.Callback):
    """Takes depthwise convolutions out of mixed precision while a network is fitted, on a processor only.

    There the gradient of one of 5x5, or of one with a stride, takes 3 to 15 times as long in bfloat16 as in single
    precision, and most of a step of EfficientNet-Lite0 (``Testing/Benchmarks/test_fitting.py`` measures it).
    """

    def on_fit_start(self, trainer: Any, pl_module: Any) -> None:
        """Let each depthwise convolution compute in single precision."""
        if trainer.strategy.root_device.type == "cpu":
            for convolution in _depthwise(pl_module):
                convolution.__dict__["forward"] = partial(_in_single, convolution)

    def on_fit_end(self, trainer: Any, pl_module: Any) -> None:  # noqa: ARG002
        """Give each its own way back."""
        for convolution in _depthwise(pl_module):
            convolution.__dict__.pop("forward", None)

    def on_exception(self, trainer: Any, pl_module: Any, exception: BaseException) -> None:  # noqa: ARG002
        """Give each its own way back where fitting stopped early."""
        self.on_fit_end(trainer, pl_module)


def _depthwise(network: nn.Module) -> list[nn.Conv2d]:
    return [part for part in network.modules() if isinstance(part, nn.Conv2d) and part.groups == part.in_channels > 1]


def _in_single(convolution: nn.Conv2d, images: Tensor) -> Tensor:
    with torch.autocast("cpu", enabled=False):
        return type(convolution).forward(convolution, images.float())
