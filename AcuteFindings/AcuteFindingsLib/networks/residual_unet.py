"""The three-dimensional residual-encoder U-Net of nnU-Net (docs/sources.md 8): modules are named as in its files."""

import math
from collections.abc import Sequence
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from AcuteFindingsLib.errors import ModelError
from AcuteFindingsLib.networks.layers import one_against_others

_SLOPE = 0.01
"""Of the leaky ReLU below 0, nnU-Net's."""


class ResidualUNet(nn.Module):
    """A CT volume → one logit a voxel, by an encoder of residual blocks and a decoder that joins its maps.

    Instance norm with learned scale and shift, leaky ReLU, kernels of 3; where a block halves the size, its shortcut is
    a mean over the stride and, where the channels differ, a convolution of 1 without bias.

    Parameters
    ----------
    in_channels
        Channels of the volumes.
    features
        Channels of each stage; published for PE: 32, 64, 128, 256, 320, 320, 320.
    blocks
        Residual blocks of each stage; published: 1, 3, 4, 6, 6, 6, 6.
    strides
        ``(z, y, x)`` of each stage, the first not strided; published: 2 each, and 1, 2, 2 in the last.
    decoder_convolutions
        Of each step of the decoder; published: 1 each.
    classes
        Logits that the network was trained with, which exclude each other (softmax).
    finding
        The class of the finding.

    Raises
    ------
    ModelError
        The stages do not match in number, or the class is not there.
    """

    def __init__(
        self,
        *,
        in_channels: int = 1,
        features: Sequence[int] = (32, 64, 128, 256, 320, 320, 320),
        blocks: Sequence[int] = (1, 3, 4, 6, 6, 6, 6),
        strides: Sequence[Sequence[int]] = ((1, 1, 1), *[(2, 2, 2)] * 5, (1, 2, 2)),
        decoder_convolutions: Sequence[int] = (1, 1, 1, 1, 1, 1),
        classes: int = 2,
        finding: int = 1,
    ) -> None:
        super().__init__()
        counts = {len(features), len(blocks), len(strides), len(decoder_convolutions) + 1}
        if len(counts) > 1 or len(features) < 2 or min(*blocks, *decoder_convolutions) < 1:
            raise ModelError(
                f"features, blocks and strides name {len(features)}, {len(blocks)} and {len(strides)} stages and "
                f"decoder_convolutions {len(decoder_convolutions)} steps; name as many of each, and one step less."
            )
        if classes < 2 or not 0 <= finding < classes:
            raise ModelError(f"finding={finding}: name one of the {classes} classes, of which there are at least 2.")
        self.finding = finding
        self.encoder = _Encoder(in_channels, features, blocks, strides)
        self.decoder = _Decoder(features, strides, decoder_convolutions, classes)
        self.gradcam_layer = f"encoder.stages.{len(features) - 1}"
        self.divisor = [math.prod(stride[axis] for stride in strides) for axis in range(3)]

    def forward(self, volumes: Tensor) -> dict[str, Tensor]:
        """Return ``"mask": (n, 1, z, y, x)`` for ``(n, c, z, y, x)``, whose sides are multiples of `divisor`."""
        logits = self.decoder(self.encoder(volumes))
        if logits.shape[1] > 2:
            return {"mask": one_against_others(logits, self.finding)}
        other = 1 - self.finding
        return {"mask": logits[:, self.finding : self.finding + 1] - logits[:, other : other + 1]}


class _Step(nn.Module):
    """Convolution and instance norm; the leaky ReLU is where the step is used."""

    def __init__(
        self, channels: int, width: int, kernel: int = 3, stride: Sequence[int] = (1, 1, 1), bias: bool = True
    ) -> None:
        super().__init__()
        self.conv = nn.Conv3d(channels, width, kernel, _triple(stride), (kernel - 1) // 2, bias=bias)
        self.norm = nn.InstanceNorm3d(width, eps=1e-5, affine=True)

    def forward(self, maps: Tensor) -> Tensor:
        return self.norm(self.conv(maps))


class _Steps(nn.Module):
    """Steps, each with its leaky ReLU."""

    def __init__(self, count: int, channels: int, width: int) -> None:
        super().__init__()
        self.convs = nn.Sequential(*(_Step(width if number else channels, width) for number in range(count)))

    def forward(self, maps: Tensor) -> Tensor:
        for step in self.convs:
            maps = functional.leaky_relu(step(maps), _SLOPE)
        return maps


class _Block(nn.Module):
    """Two steps and a shortcut beside them."""

    def __init__(self, channels: int, width: int, stride: Sequence[int]) -> None:
        super().__init__()
        self.conv1 = _Step(channels, width, stride=stride)
        self.conv2 = _Step(width, width)
        shortcut: list[nn.Module] = []
        if set(stride) != {1}:
            shortcut.append(nn.AvgPool3d(_triple(stride), _triple(stride)))
        if channels != width:
            shortcut.append(_Step(channels, width, kernel=1, bias=False))
        self.skip = nn.Sequential(*shortcut)

    def forward(self, maps: Tensor) -> Tensor:
        made = self.conv2(functional.leaky_relu(self.conv1(maps), _SLOPE))
        return functional.leaky_relu(made + self.skip(maps), _SLOPE)


class _Stage(nn.Module):
    def __init__(self, count: int, channels: int, width: int, stride: Sequence[int]) -> None:
        super().__init__()
        self.blocks = nn.Sequential(
            *(_Block(width if number else channels, width, (1, 1, 1) if number else stride) for number in range(count))
        )

    def forward(self, maps: Tensor) -> Tensor:
        return self.blocks(maps)


class _Encoder(nn.Module):
    """A stem and the stages; gives the maps of each stage."""

    def __init__(
        self, channels: int, features: Sequence[int], blocks: Sequence[int], strides: Sequence[Sequence[int]]
    ) -> None:
        super().__init__()
        self.stem = _Steps(1, channels, features[0])
        coming = [features[0], *features[:-1]]
        self.stages = nn.Sequential(*map(_Stage, blocks, coming, features, strides))

    def forward(self, volumes: Tensor) -> list[Tensor]:
        maps, found = self.stem(volumes), []
        for stage in self.stages:
            maps = stage(maps)
            found.append(maps)
        return found


class _Decoder(nn.Module):
    """From the deepest map to the volume's size; of the layers that nnU-Net trains at every size the last answers."""

    def __init__(
        self, features: Sequence[int], strides: Sequence[Sequence[int]], convolutions: Sequence[int], classes: int
    ) -> None:
        super().__init__()
        wide = list(reversed(features))
        self.stages = nn.ModuleList(map(_Steps, convolutions, [2 * width for width in wide[1:]], wide[1:]))
        steps = [_triple(stride) for stride in reversed(strides[1:])]
        self.transpconvs = nn.ModuleList(
            nn.ConvTranspose3d(channels, width, step, step)
            for channels, width, step in zip(wide[:-1], wide[1:], steps, strict=True)
        )
        self.seg_layers = nn.ModuleDict({str(len(steps) - 1): nn.Conv3d(features[0], classes, 1)})

    def forward(self, found: list[Tensor]) -> Tensor:
        maps = found[-1]
        for enlarge, join, finer in zip(self.transpconvs, self.stages, reversed(found[:-1]), strict=True):
            maps = join(torch.cat([enlarge(maps), finer], dim=1))
        return cast(nn.Conv3d, next(iter(self.seg_layers.values())))(maps)


def _triple(values: Sequence[int]) -> tuple[int, int, int]:
    z, y, x = values
    return z, y, x
