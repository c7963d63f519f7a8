"""Masks of something small on any backbone, and what a classifier is told of them."""

from typing import Optional

import torch
from torch import Tensor, nn
from torch.jit import Final

from AcuteFindingsLib.networks.backbones import PyramidBackbone
from AcuteFindingsLib.networks.layers import pad_to_multiple, resize_like

# Bleeds and clots fill few pixels: masks start at a probability of 5 %, so that the first steps are not spent on
# emptying them.
MASK_BIAS = -3.0

# How many numbers `shown_by` gives.
MASK_FEATURES = 3
# Quarters of a logit beyond which a mask is no surer.
MOST_PEAK = 4.0


def shown_by(mask: Tensor) -> Tensor:
    """Return what mask logits ``(n, 1, y, x)`` show, for a classifier to read: ``(n, 3)``.

    The area that is more likely filled than not and the expected area, in pixels as log(1 + area), and the highest
    probability. Detached: the classifier reads the mask, it does not bend it.
    """
    probability = mask.detach().float().sigmoid().flatten(1)
    areas = torch.stack([(probability >= 0.5).float().sum(dim=1), probability.sum(dim=1)], dim=1)
    return torch.cat([torch.log1p(areas), probability.amax(dim=1, keepdim=True)], dim=1)


def peaks_in_fields(mask: Tensor, fields: int, most: float = MOST_PEAK) -> Tensor:
    """Return the highest of mask logits ``(n, 1, y, x)`` in each of `fields` by `fields` parts: ``(n, fields²)``.

    In rows, a quarter of each logit, and within `-most` to `most`.
    """
    peaks = nn.functional.adaptive_max_pool2d(mask.float(), (fields, fields)).flatten(1) / 4.0
    # A gradient passes the limits all the same: Grad-CAM asks for it where a mask is sure.
    return peaks + (peaks.clamp(-most, most) - peaks).detach()


class FuseStep(nn.Module):
    """Bring a feature map to `width` channels, add the coarser one and blend both by a separable convolution."""

    def __init__(self, channels: int, width: int) -> None:
        super().__init__()
        self.lateral = nn.Sequential(nn.Conv2d(channels, width, 1, bias=False), nn.BatchNorm2d(width))
        self.blend = nn.Sequential(
            nn.ReLU(),
            nn.Conv2d(width, width, 3, padding=1, groups=width, bias=False),
            nn.Conv2d(width, width, 1, bias=False),
            nn.BatchNorm2d(width),
            nn.ReLU(),
        )

    def forward(self, maps: Tensor, coarser: Optional[Tensor]) -> Tensor:  # noqa: UP045
        """Return ``(n, width, y, x)`` at the size of `maps`."""
        maps = self.lateral(maps)
        if coarser is not None:
            maps = maps + resize_like(coarser, maps.shape[-2], maps.shape[-1])
        return self.blend(maps)


class MaskDecoder(nn.Module):
    """A light feature pyramid (after Lin 2017), coarse to fine, that ends in mask logits at the finest map's size."""

    def __init__(self, channels: list[int], width: int) -> None:
        super().__init__()
        self.steps = nn.ModuleList(FuseStep(count, width) for count in reversed(channels))
        self.output = nn.Conv2d(width, 1, 1)
        self.output.bias = nn.Parameter(torch.full((1,), MASK_BIAS))

    def forward(self, maps: list[Tensor]) -> Tensor:
        """Return ``(n, 1, y, x)`` for maps from fine to coarse."""
        fused: Optional[Tensor] = None  # noqa: UP045
        for number, step in enumerate(self.steps):
            fused = step(maps[len(maps) - 1 - number], fused)
        assert fused is not None
        return self.output(fused)


class PyramidSegmenter(nn.Module):
    """Any timm backbone and the light decoder: mask logits at the picture's own size."""

    multiple: Final[int]

    def __init__(self, backbone: str, *, in_channels: int, decoder_channels: int, pretrained: bool) -> None:
        super().__init__()
        self.backbone = PyramidBackbone(backbone, in_channels=in_channels, pretrained=pretrained)
        self.multiple = max(self.backbone.reductions)
        self.decoder = MaskDecoder(self.backbone.channels, decoder_channels)
        # The coarsest map, unchanged: the place for Grad-CAM.
        self.feature_map = nn.Identity()

    def forward(self, images: Tensor) -> Tensor:
        """Return logits ``(n, 1, y, x)`` for ``(n, c, y, x)`` of any size."""
        padded = pad_to_multiple(images, self.multiple)
        maps = self.backbone(padded)
        maps[-1] = self.feature_map(maps[-1])
        mask = resize_like(self.decoder(maps), padded.shape[-2], padded.shape[-1])
        return mask[..., : images.shape[-2], : images.shape[-1]]
