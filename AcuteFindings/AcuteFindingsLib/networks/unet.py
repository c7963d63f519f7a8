"""The classic U-Net (Ronneberger 2015) with padded convolutions, at any width and for any picture size."""

import torch
from torch import Tensor, nn

from AcuteFindingsLib.networks.layers import he_normal, pad_to_multiple


class DoubleConvolution(nn.Sequential):
    """Twice: padded 3×3 convolution, optional batch norm, ReLU."""

    def __init__(self, channels: int, width: int, *, batch_norm: bool) -> None:
        layers: list[nn.Module] = []
        for count in (channels, width):
            layers.append(nn.Conv2d(count, width, 3, padding=1, bias=not batch_norm))
            if batch_norm:
                layers.append(nn.BatchNorm2d(width))
            layers.append(nn.ReLU())
        super().__init__(*layers)


class UpStep(nn.Module):
    """Deconvolution ×2, the skip beside it, and two convolutions."""

    def __init__(self, channels: int, width: int, *, batch_norm: bool) -> None:
        super().__init__()
        self.up = nn.ConvTranspose2d(channels, width, 2, stride=2)
        self.blend = DoubleConvolution(2 * width, width, batch_norm=batch_norm)

    def forward(self, maps: Tensor, skip: Tensor) -> Tensor:
        """Return ``(n, width, y, x)`` at the size of `skip`."""
        return self.blend(torch.cat([skip, self.up(maps)], dim=1))


class UNet(nn.Module):
    """Classic U-Net.

    Parameters
    ----------
    in_channels, classes
        Channels of the pictures and of the logits.
    channels
        Of each level; published: 64, 128, 256, 512, 1024.
    batch_norm
        After each 3×3 convolution; the original has none.
    dropout
        Share of whole maps dropped in the lowest level.
    """

    def __init__(
        self,
        *,
        in_channels: int = 1,
        classes: int = 1,
        channels: tuple[int, ...] | list[int] = (64, 128, 256, 512, 1024),
        batch_norm: bool = False,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        inputs = [in_channels, *channels[:-1]]
        self.downs = nn.ModuleList(
            DoubleConvolution(count, width, batch_norm=batch_norm)
            for count, width in zip(inputs, channels, strict=True)
        )
        self.pool = nn.MaxPool2d(2)
        self.dropout = nn.Dropout2d(dropout)
        # The lowest level's map, unchanged: the place for Grad-CAM.
        self.feature_map = nn.Identity()
        self.ups = nn.ModuleList(
            UpStep(channels[level + 1], channels[level], batch_norm=batch_norm)
            for level in reversed(range(len(channels) - 1))
        )
        self.output = nn.Conv2d(channels[0], classes, 1)
        self.features = int(channels[-1])
        self.multiple = 2 ** (len(channels) - 1)
        he_normal(self)

    def encode(self, images: Tensor) -> list[Tensor]:
        """Return each level's map, fine to coarse, for ``(n, c, y, x)`` whose sides are multiples of `multiple`."""
        maps: list[Tensor] = []
        for level, down in enumerate(self.downs):
            images = down(images if level == 0 else self.pool(images))
            maps.append(images)
        maps[-1] = self.feature_map(self.dropout(maps[-1]))
        return maps

    def decode(self, maps: list[Tensor]) -> Tensor:
        """Return the finest decoded map ``(n, channels[0], y, x)`` for the maps of `encode`."""
        fused = maps[-1]
        for number, up in enumerate(self.ups):
            fused = up(fused, maps[len(maps) - 2 - number])
        return fused

    def forward(self, images: Tensor) -> Tensor:
        """Return logits ``(n, classes, y, x)`` for ``(n, c, y, x)`` of any size."""
        logits = self.output(self.decode(self.encode(pad_to_multiple(images, self.multiple))))
        return logits[..., : images.shape[-2], : images.shape[-1]]
