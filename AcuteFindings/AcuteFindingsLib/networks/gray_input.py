"""Gray pictures as networks take them: each channel with its own mean, or seen through several windows."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from AcuteFindingsLib.errors import ModelError

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)
"""Of ImageNet's pictures in 0..1, as torchvision normalizes them."""


class GrayInput(nn.Module):
    """A gray picture → as many equal channels as a network takes, each with its own mean and standard deviation.

    Normalizing the channels inside the network is exact; folding it into the first convolution is not, because that
    pads with zeros after normalization.

    Parameters
    ----------
    mean, std
        One number a channel.

    Raises
    ------
    ModelError
        When they are not equally many, or a standard deviation is not positive.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, mean: Sequence[float], std: Sequence[float]) -> None:
        super().__init__()
        if len(mean) != len(std) or not len(mean) or min(std) <= 0:
            raise ModelError(f"A gray input needs as many means as positive deviations; got {mean} and {std}.")
        # Settings, not weights: they come from the arguments, so that the state dict is that of the network alone.
        self.register_buffer("mean", torch.tensor(list(mean)).reshape(1, -1, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(list(std)).reshape(1, -1, 1, 1), persistent=False)

    def forward(self, images: Tensor) -> Tensor:
        """Return ``(n, c, y, x)`` for ``(n, 1, y, x)`` in 0..1."""
        return (images - self.mean) / self.std


def gray_input(mean: Sequence[float] | None, std: Sequence[float] | None, *, in_channels: int) -> nn.Module:
    """Return a `GrayInput`, or what passes pictures on unchanged where no `mean` is given.

    Raises
    ------
    ModelError
        When there is not one mean and one deviation for each channel.
    """
    if mean is None and std is None:
        return nn.Identity()
    if mean is None or std is None or len(mean) != in_channels:
        raise ModelError(f"The network takes {in_channels} channels; give as many grey_mean and grey_std, or neither.")
    return GrayInput(mean, std)


class GrayWindows(nn.Module):
    """Images → the same through each of some windows, one window's channels after the other's, stretched to -1..1.

    Parameters
    ----------
    windows
        Lowest and highest gray of each, as the images have them.

    Raises
    ------
    ModelError
        When there is none, or one is empty.
    """

    low: Tensor
    high: Tensor

    def __init__(self, windows: Sequence[Sequence[float]]) -> None:
        super().__init__()
        low, high = torch.tensor(windows, dtype=torch.float32).reshape(-1, 2, 1, 1, 1).unbind(1)
        if not len(low) or not bool((low < high).all()):
            raise ModelError(f"windows={windows} needs pairs of a lower and a higher gray.")
        # Settings, not weights, as those of `GrayInput`.
        self.register_buffer("low", low, persistent=False)
        self.register_buffer("high", high, persistent=False)

    def forward(self, images: Tensor) -> Tensor:
        """Return ``(n, w * c, y, x)`` in -1..1 for ``(n, c, y, x)``."""
        stretched = (images.unsqueeze(1) - self.low) * (2 / (self.high - self.low)) - 1
        return stretched.clamp(-1, 1).flatten(1, 2).contiguous(memory_format=torch.channels_last)
