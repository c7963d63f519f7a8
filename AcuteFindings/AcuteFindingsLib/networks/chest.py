"""Chest radiographs: pathologies and tubes, alone or at once, and the lung U-Net (docs/sources.md 5)."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.jit import Final

from AcuteFindingsLib.errors import ModelError
from AcuteFindingsLib.networks.backbones import Freezable, PooledBackbone
from AcuteFindingsLib.networks.gray_input import gray_input
from AcuteFindingsLib.networks.layers import chosen_logits, resize_like
from AcuteFindingsLib.networks.mask_decoder import PyramidSegmenter
from AcuteFindingsLib.networks.unet import UNet

# docs/sources.md 5.
_PUBLISHED_PATHOLOGIES, _PUBLISHED_TUBES = 5, 4


class ChestClassifier(Freezable):
    """A radiograph → one logit a pathology, one a tube, or both: backbone, global average pool, one layer a task.

    Parameters
    ----------
    backbone
        Any timm model; published: DenseNet121.
    in_channels
        Channels of the pictures.
    pathologies, tubes
        Names of the labels; an empty list leaves the task out. None is as many as published, of any names.
    dropout
        Before the last layers.
    pretrained
        Start from ImageNet weights.
    grey_mean, grey_std
        One number a channel: the network is shown gray pictures in 0..1 and repeats and normalizes them itself.
    point_norm
        Bring each pathology's operating point to a probability of 0.5, as TorchXRayVision does (its "op-norm"): the
        weights hold one point each, ``point_norm.points``.
    points
        The operating points, for weights that hold none; with `point_norm` only.
    exclusive
        The pathologies exclude each other (trained with softmax): each answer is the logit of "this one, none of the
        others".
    chosen
        Which of the pathologies are the answer, in this order; all when None.

    Raises
    ------
    ModelError
        When both lists are empty, a name comes twice, `chosen` names one that is not there, or there is not one point
        for each pathology.
    """

    has_pathologies: Final[bool]
    has_tubes: Final[bool]
    has_points: Final[bool]
    exclusive: Final[bool]
    chooses: Final[bool]

    def __init__(
        self,
        *,
        backbone: str = "densenet121",
        in_channels: int = 1,
        pathologies: Sequence[str] | None = None,
        tubes: Sequence[str] | None = None,
        dropout: float = 0.0,
        pretrained: bool = False,
        grey_mean: Sequence[float] | None = None,
        grey_std: Sequence[float] | None = None,
        point_norm: bool = False,
        points: Sequence[float] | None = None,
        exclusive: bool = False,
        chosen: Sequence[int] | None = None,
    ) -> None:
        super().__init__()
        if pathologies is None:
            pathologies = [f"pathology {number}" for number in range(_PUBLISHED_PATHOLOGIES)]
        if tubes is None:
            tubes = [f"tube {number}" for number in range(_PUBLISHED_TUBES)]
        names = [*pathologies, *tubes]
        if not names or len(set(names)) < len(names):
            raise ModelError(f"The labels of a chest classifier must be at least one, none of them twice; got {names}.")
        self.gray = gray_input(grey_mean, grey_std, in_channels=in_channels)
        self.backbone = PooledBackbone(backbone, in_channels=in_channels, pretrained=pretrained)
        self.dropout = nn.Dropout(dropout)
        self.has_pathologies, self.has_tubes = bool(pathologies), bool(tubes)
        self.has_points = point_norm and self.has_pathologies
        self.exclusive = exclusive
        if points is not None and (not self.has_points or len(points) != len(pathologies)):
            raise ModelError(f"points={list(points)}: with point_norm, name one for each of the pathologies.")
        if exclusive and len(pathologies) < 2:
            raise ModelError("Labels that exclude each other must be at least two; choose exclusive=False.")
        self.chosen: list[int] = list(range(len(pathologies)) if chosen is None else chosen)
        if not set(self.chosen) <= set(range(len(pathologies))):
            raise ModelError(f"chosen={self.chosen} names pathologies beyond the {len(pathologies)} that there are.")
        self.chooses = exclusive or self.chosen != list(range(len(pathologies)))
        if pathologies:
            self.pathologies = nn.Linear(self.backbone.features, len(pathologies))
        if self.has_points:
            self.point_norm = PointNorm(len(pathologies), points)
        if tubes:
            self.tubes = nn.Linear(self.backbone.features, len(tubes))
        self.gradcam_layer = "backbone.feature_map"

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        """Return ``{"pathologies": (n, P), "tubes": (n, T)}``, less the task left out, for ``(n, c, y, x)``."""
        features = self.dropout(self.backbone(self.gray(images)))
        outputs: dict[str, Tensor] = {}
        if self.has_pathologies:
            logits = self.pathologies(features)
            if self.has_points:
                logits = self.point_norm(logits)
            if self.chooses:
                logits = chosen_logits(logits, self.chosen, exclusive=self.exclusive)
            outputs["pathologies"] = logits
        if self.has_tubes:
            outputs["tubes"] = self.tubes(features)
        return outputs


class PointNorm(nn.Module):
    """Logits whose probabilities are bent so that a label's operating point comes to lie at 0.5.

    Below its point t a probability p becomes p / 2t, above it 1 - (1 - p) / 2(1 - t); without a point it is 0.5
    whatever the network says. As in TorchXRayVision (Cohen 2022), but from logit to logit.

    Parameters
    ----------
    labels
        How many.
    fixed
        The points, where they are settings and not weights.

    Attributes
    ----------
    points
        ``(labels,)``: the points, within 0..1; one that is not stands for none.
    """

    points: Tensor
    log_half: Final[float]

    def __init__(self, labels: int, fixed: Sequence[float] | None = None) -> None:
        super().__init__()
        self.log_half = math.log(0.5)
        points = torch.full((labels,), 0.5) if fixed is None else torch.tensor(fixed, dtype=torch.float32)
        self.register_buffer("points", points, persistent=fixed is None)

    def forward(self, logits: Tensor) -> Tensor:
        """Return ``(n, labels)`` for ``(n, labels)``."""
        known = (self.points > 0) & (self.points < 1)
        points = torch.where(known, self.points, 0.5)
        # In logarithms, so that neither end is rounded to certainty: log p below the point, log (1 - p) above it.
        low = nn.functional.logsigmoid(logits) - torch.log(2 * points)
        high = nn.functional.logsigmoid(-logits) - torch.log(2 * (1 - points))
        below = low <= self.log_half
        near = torch.where(below, low, high).clamp(max=self.log_half)
        bent = near - torch.log1p(-torch.exp(near))
        return torch.where(known, torch.where(below, bent, -bent), 0.0)


class LungUNet(nn.Module):
    """A radiograph → mask logits of both lungs: a U-Net of 1.9 million weights, with batch norm.

    The source's own is the classic 64-128-256-512-1024 without batch norm; `channels` and `batch_norm` give it.

    Parameters
    ----------
    encoder
        ``"scratch"``, or any timm model with a light decoder of `decoder_channels`: learns from fewer radiographs
        when it starts from ImageNet weights (`pretrained`). `channels`, `batch_norm` and `dropout` are then unused.
    channels
        Of each level.
    in_channels
        Channels of the pictures.
    batch_norm, dropout
        See `UNet`.
    scales
        Shares of a picture's size at which it is outlined; the answer is the mean of the probabilities. While it learns
        it is shown pictures as they come.

    Raises
    ------
    ModelError
        When the encoder is not known, `pretrained` weights are asked for a U-Net from scratch, or a scale is not above
        zero.
    """

    scales: list[float]
    rescales: Final[bool]

    def __init__(
        self,
        *,
        encoder: str = "scratch",
        channels: tuple[int, ...] | list[int] = (16, 32, 64, 128, 256),
        in_channels: int = 1,
        batch_norm: bool = True,
        dropout: float = 0.0,
        decoder_channels: int = 32,
        pretrained: bool = False,
        scales: Sequence[float] = (1.0,),
    ) -> None:
        super().__init__()
        if not scales or min(scales) <= 0:
            raise ModelError(f"scales={list(scales)}: name at least one, each above zero.")
        self.scales = [float(scale) for scale in scales]
        self.rescales = self.scales != [1.0]
        if encoder == "scratch":
            if pretrained:
                raise ModelError("A U-Net from scratch has no pretrained weights; choose pretrained=False.")
            self.unet: nn.Module = UNet(
                in_channels=in_channels, channels=channels, batch_norm=batch_norm, dropout=dropout
            )
        else:
            self.unet = PyramidSegmenter(
                encoder, in_channels=in_channels, decoder_channels=decoder_channels, pretrained=pretrained
            )
        # The mean of several scales, unchanged: the one map that all of them lead to is the place for Grad-CAM.
        self.feature_map = nn.Identity()
        self.gradcam_layer = "feature_map" if self.rescales else "unet.feature_map"

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        """Return ``{"mask": (n, 1, y, x)}`` for ``(n, c, y, x)`` of any size."""
        if self.training or not self.rescales:
            return {"mask": self.unet(images)}
        rows, columns = images.shape[-2], images.shape[-1]
        total = torch.zeros_like(images[:, :1])
        for scale in self.scales:
            mask = self.unet(resize_like(images, int(scale * rows + 0.5), int(scale * columns + 0.5)))
            total = total + torch.sigmoid(resize_like(mask, rows, columns))
        return {"mask": self.feature_map(torch.logit(total / len(self.scales), eps=1e-6))}
