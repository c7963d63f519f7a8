"""The decoder of DeepLabV3+ (Chen 2018) with separable convolutions, on the maps of an encoder that others share."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from AcuteFindingsLib.networks.layers import resize_like

FINE_FEATURES = 48
"""Maps that the finer stage is reduced to (Chen 2018, section 4.1)."""

RATES = (6, 12, 18, 24)


class DeepLabDecoder(nn.Module):
    """Deepest map through atrous pooling, joined with the map at a quarter of the picture.

    Tensors are named as by segmentation-models-pytorch's later relatives: ``aspp.0.convs.1.0.0.weight``.

    Parameters
    ----------
    fine, deep
        Maps of the encoder at 1/4 of the picture and at the deepest stage.
    features
        Maps that the decoder gives.
    rates
        Of the atrous convolutions.
    """

    def __init__(self, fine: int, deep: int, *, features: int = 256, rates: Sequence[int] = RATES) -> None:
        super().__init__()
        self.aspp = nn.Sequential(
            AtrousPooling(deep, features, rates),
            _separable(features, features),
            nn.BatchNorm2d(features),
            nn.ReLU(),
        )
        self.block1 = nn.Sequential(
            nn.Conv2d(fine, FINE_FEATURES, 1, bias=False), nn.BatchNorm2d(FINE_FEATURES), nn.ReLU()
        )
        self.block2 = nn.Sequential(_separable(FINE_FEATURES + features, features), nn.BatchNorm2d(features), nn.ReLU())

    def forward(self, fine: Tensor, deep: Tensor) -> Tensor:
        """Return ``(n, features, y, x)`` at the size of `fine`."""
        fine = self.block1(fine)
        deep = resize_like(self.aspp(deep), fine.shape[-2], fine.shape[-1])
        return self.block2(torch.cat([deep, fine], dim=1))


class AtrousPooling(nn.Module):
    """A map as it is, by atrous convolutions of several rates, and by its mean, joined to `features` maps."""

    def __init__(self, deep: int, features: int, rates: Sequence[int]) -> None:
        super().__init__()
        self.convs = nn.ModuleList(
            [
                _normed(nn.Conv2d(deep, features, 1, bias=False), features),
                *(_normed(_separable(deep, features, rate), features) for rate in rates),
                nn.Sequential(
                    nn.AdaptiveAvgPool2d(1), *_normed(nn.Conv2d(deep, features, 1, bias=False), features).children()
                ),
            ]
        )
        self.project = _normed(nn.Conv2d(len(self.convs) * features, features, 1, bias=False), features)

    def forward(self, deep: Tensor) -> Tensor:
        """Return ``(n, features, y, x)`` for ``(n, deep, y, x)``."""
        *near, whole = self.convs
        mean = resize_like(whole(deep), deep.shape[-2], deep.shape[-1])
        return self.project(torch.cat([*(conv(deep) for conv in near), mean], dim=1))


def _separable(inputs: int, outputs: int, rate: int = 1) -> nn.Sequential:
    each = nn.Conv2d(inputs, inputs, 3, padding=rate, dilation=rate, groups=inputs, bias=False)
    return nn.Sequential(each, nn.Conv2d(inputs, outputs, 1, bias=False))


def _normed(convolution: nn.Module, features: int) -> nn.Sequential:
    return nn.Sequential(convolution, nn.BatchNorm2d(features), nn.ReLU())
