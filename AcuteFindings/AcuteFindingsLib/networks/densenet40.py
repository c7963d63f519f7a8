"""DenseNet-40 with growth 12 (Huang 2017), the base of RADnet (docs/sources.md 4)."""

import torch
from torch import Tensor, nn

from AcuteFindingsLib.networks.layers import he_normal


class DenseLayer(nn.Module):
    """Batch norm, ReLU, 3×3 convolution to `growth` maps, dropout; the input stays beside them."""

    def __init__(self, channels: int, growth: int, dropout: float) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(channels)
        self.conv = nn.Conv2d(channels, growth, 3, padding=1, bias=False)
        self.dropout = nn.Dropout(dropout)

    def forward(self, maps: Tensor) -> Tensor:
        """Return ``(n, channels + growth, y, x)``."""
        return torch.cat([maps, self.dropout(self.conv(torch.relu(self.norm(maps))))], dim=1)


class Transition(nn.Module):
    """Batch norm, ReLU, 1×1 convolution that keeps the channels, dropout, 2×2 average pool."""

    def __init__(self, channels: int, dropout: float) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(channels)
        self.conv = nn.Conv2d(channels, channels, 1, bias=False)
        self.dropout = nn.Dropout(dropout)
        self.pool = nn.AvgPool2d(2)

    def forward(self, maps: Tensor) -> Tensor:
        """Return ``(n, channels, y / 2, x / 2)``."""
        return self.pool(self.dropout(self.conv(torch.relu(self.norm(maps)))))


class DenseNet40Pyramid(nn.Module):
    """The feature maps of DenseNet-40: the three blocks' outputs and, last, the third after batch norm and ReLU.

    Parameters
    ----------
    in_channels, growth, layers
        Channels of the pictures, maps a layer adds, layers of each of the three blocks (40 = 3 · 12 + 4).
    stem_stride
        1 as for CIFAR; 2 puts the blocks at 1/2, 1/4 and 1/8, where RADnet's ×2, ×4 and ×8 return from.
    dropout
        After each convolution; 0.2 where data are not augmented (Huang 2017).
    """

    def __init__(
        self, *, in_channels: int = 3, growth: int = 12, layers: int = 12, stem_stride: int = 1, dropout: float = 0.0
    ) -> None:
        super().__init__()
        channels = 16
        self.stem = nn.Conv2d(in_channels, channels, 3, stride=stem_stride, padding=1, bias=False)
        self.blocks = nn.ModuleList()
        self.transitions = nn.ModuleList()
        self.channels: list[int] = []
        for number in range(3):
            block = [DenseLayer(channels + growth * step, growth, dropout) for step in range(layers)]
            self.blocks.append(nn.Sequential(*block))
            channels += growth * layers
            self.channels.append(channels)
            # One entry a block, so that both lists can be walked together.
            self.transitions.append(Transition(channels, dropout) if number < 2 else nn.Identity())
        self.norm = nn.BatchNorm2d(channels)
        self.channels.append(channels)
        self.reductions = [stem_stride, 2 * stem_stride, 4 * stem_stride, 4 * stem_stride]
        he_normal(self)

    def forward(self, images: Tensor) -> list[Tensor]:
        """Return four maps, fine to coarse, for ``(n, c, y, x)``."""
        maps = self.stem(images)
        outputs: list[Tensor] = []
        for block, transition in zip(self.blocks, self.transitions, strict=True):
            maps = block(maps)
            outputs.append(maps)
            maps = transition(maps)
        outputs.append(torch.relu(self.norm(maps)))
        return outputs


class DenseNet40(nn.Module):
    """The plain classifier: DenseNet-40, global average pool, one linear layer.

    With `in_channels` 3 and 10 `classes` it has the 1.0 million weights of Huang 2017 (1,019,722).
    """

    def __init__(self, *, in_channels: int = 3, classes: int = 10, dropout: float = 0.0) -> None:
        super().__init__()
        self.pyramid = DenseNet40Pyramid(in_channels=in_channels, dropout=dropout)
        self.feature_map = nn.Identity()
        self.output = nn.Linear(self.pyramid.channels[-1], classes)
        he_normal(self.output)
        self.gradcam_layer = "feature_map"

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        """Return ``{"classes": (n, classes)}`` for ``(n, c, y, x)``."""
        maps = self.feature_map(self.pyramid(images)[-1])
        return {"classes": self.output(maps.mean(dim=(2, 3)))}
