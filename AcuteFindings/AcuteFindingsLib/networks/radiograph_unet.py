"""The U-Net with labels of public radiograph models (docs/sources.md 6): modules are named as in their files."""

from collections.abc import Sequence
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from AcuteFindingsLib.errors import ModelError
from AcuteFindingsLib.networks.backbones import create_backbone
from AcuteFindingsLib.networks.layers import one_against_others, resize_like, some_against_others

VIEWS = 3


class RadiographUNet(nn.Module):
    """A radiograph → mask logits by a U-Net, and labels by one linear layer on the mean of its deepest map.

    Without attention and without a center block; each step of the decoder doubles the size by repeating pixels. The
    picture itself is not handed to the decoder.

    Parameters
    ----------
    backbone
        Any timm model that gives feature maps; published: EfficientNetV2-S.
    in_channels
        Channels of the pictures.
    decoder_channels
        Of each step, one for each of the encoder's maps.
    classes
        Masks that the decoder draws; several exclude each other (trained with softmax), the first being none of them.
    mask
        Numbers of those that together are the answer's mask.
    labels
        Numbers of the linear layer.
    finding
        The label that says that there is something to draw; its opposite is the answer ``empty``. None where no label
        says so.
    views
        The three labels that exclude each other: an AP, a PA, a lateral view. None where no label says so.
    pretrained
        Start the encoder from ImageNet weights.

    Raises
    ------
    ModelError
        When steps and maps do not match in number, or a class or label is named that is not there.
    """

    def __init__(
        self,
        *,
        backbone: str = "tf_efficientnetv2_s",
        in_channels: int = 1,
        decoder_channels: Sequence[int] = (256, 128, 64, 32, 16),
        classes: int = 1,
        mask: Sequence[int] = (0,),
        labels: int = 1,
        finding: int | None = 0,
        views: Sequence[int] | None = None,
        pretrained: bool = False,
    ) -> None:
        super().__init__()
        self.mask, self.views, self.finding = list(mask), list(views or ()), finding
        self.exclusive = classes > 1
        if not self.mask or not set(self.mask) <= set(range(classes)) or len(set(self.mask)) == classes > 1:
            raise ModelError(f"mask={self.mask}: name some of the {classes} classes that the network draws, not all.")
        asked = [*self.views, *([] if finding is None else [finding])]
        if not set(asked) <= set(range(labels)) or len(self.views) not in (0, VIEWS):
            raise ModelError(f"views={self.views}, finding={finding}: name three views and one of {labels} labels.")
        self.encoder = create_backbone(backbone, in_channels=in_channels, pretrained=pretrained, features_only=True)
        channels: list[int] = list(self.encoder.feature_info.channels())  # type: ignore[union-attr, operator]
        if len(decoder_channels) != len(channels):
            raise ModelError(
                f"{backbone} gives {len(channels)} maps, and decoder_channels={list(decoder_channels)} names "
                f"{len(decoder_channels)} steps; name one for each."
            )
        self.decoder = _Decoder(channels, decoder_channels)
        self.segmentation_head = _Head(decoder_channels[-1], classes)
        self.classifier = nn.Linear(channels[-1], labels)
        self.feature_map = nn.Identity()
        self.gradcam_layer = "feature_map"

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        """Return ``"mask": (n, 1, y, x)``, and ``"empty": (n, 1)`` and ``"views": (n, 3)`` where labels say so."""
        maps = self.encoder(images)
        maps[-1] = self.feature_map(maps[-1])
        drawn = self.segmentation_head(self.decoder(maps))
        if drawn.shape[-2:] != images.shape[-2:]:
            drawn = resize_like(drawn, images.shape[-2], images.shape[-1])
        outputs = {"mask": some_against_others(drawn, self.mask) if self.exclusive else drawn}
        labels = self.classifier(maps[-1].mean(dim=(2, 3)))
        if self.finding is not None:
            outputs["empty"] = -labels[:, self.finding : self.finding + 1]
        if self.views:
            logits = torch.stack([labels[:, number] for number in self.views], dim=1)
            outputs["views"] = torch.cat([one_against_others(logits, number) for number in range(VIEWS)], dim=1)
        return outputs


class _ConvolutionStep(nn.Module):
    """Convolution, batch norm, ReLU, named as in the files."""

    def __init__(self, channels: int, width: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, width, 3, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(width)

    def forward(self, maps: Tensor) -> Tensor:
        return functional.relu(self.norm(self.conv(maps)))


class _Block(nn.Module):
    """Double the size, join the encoder's map of that size, two convolutions."""

    def __init__(self, channels: int, finer: int, width: int) -> None:
        super().__init__()
        self.conv1 = _ConvolutionStep(channels + finer, width)
        self.conv2 = _ConvolutionStep(width, width)

    def forward(self, maps: Tensor, finer: Tensor | None) -> Tensor:
        if finer is None:
            maps = functional.interpolate(maps, scale_factor=2.0, mode="nearest")
        else:
            maps = functional.interpolate(maps, size=[finer.shape[-2], finer.shape[-1]], mode="nearest")
            maps = torch.cat([maps, finer], dim=1)
        return self.conv2(self.conv1(maps))


class _Decoder(nn.Module):
    """From the deepest map to the picture's size: a block for each finer map, and one without."""

    def __init__(self, channels: Sequence[int], widths: Sequence[int]) -> None:
        super().__init__()
        coming = [channels[-1], *widths[:-1]]
        finer = [*reversed(channels[:-1]), 0]
        self.blocks = nn.ModuleList(_Block(*sizes) for sizes in zip(coming, finer, widths, strict=True))

    def forward(self, maps: list[Tensor]) -> Tensor:
        fused = maps[-1]
        for block, finer in zip(self.blocks, [*reversed(maps[:-1]), None], strict=True):
            fused = cast(_Block, block)(fused, finer)
        return fused


class _Head(nn.Module):
    """The last convolution, named as in the files."""

    def __init__(self, channels: int, classes: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, classes, 3, padding=1)

    def forward(self, maps: Tensor) -> Tensor:
        return self.conv(maps)
