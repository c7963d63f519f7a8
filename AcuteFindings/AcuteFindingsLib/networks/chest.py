"""Chest radiographs: pathologies and tubes, alone or at once, and the lung U-Net (SOURCES.md 5)."""

from collections.abc import Sequence

from torch import Tensor, nn
from torch.jit import Final

from AcuteFindingsLib.errors import ModelError
from AcuteFindingsLib.networks.backbones import Freezable, PooledBackbone
from AcuteFindingsLib.networks.mask_decoder import PyramidSegmenter
from AcuteFindingsLib.networks.unet import UNet

# The five pathologies and four tubes of SOURCES.md 5; the pathologies as its public code names them.
PATHOLOGIES = ("pneumothorax", "effusion", "atelectasis", "cardiomegaly", "pneumonia")
TUBES = ("chest_drain", "tracheostomy", "endotracheal", "nasogastric")


class ChestClassifier(Freezable):
    """A radiograph → one logit a pathology, one a tube, or both: backbone, global average pool, one layer a task.

    Parameters
    ----------
    backbone
        Any timm model; published: DenseNet121.
    in_channels
        Channels of the pictures.
    pathologies, tubes
        Names of the labels; an empty list leaves the task out.
    dropout
        Before the last layers.
    pretrained
        Start from ImageNet weights.

    Raises
    ------
    ModelError
        When both lists are empty, or a name comes twice.
    """

    has_pathologies: Final[bool]
    has_tubes: Final[bool]

    def __init__(
        self,
        *,
        backbone: str = "densenet121",
        in_channels: int = 1,
        pathologies: Sequence[str] = PATHOLOGIES,
        tubes: Sequence[str] = TUBES,
        dropout: float = 0.0,
        pretrained: bool = False,
    ) -> None:
        super().__init__()
        names = [*pathologies, *tubes]
        if not names or len(set(names)) < len(names):
            raise ModelError(f"The labels of a chest classifier must be at least one, none of them twice; got {names}.")
        self.backbone = PooledBackbone(backbone, in_channels=in_channels, pretrained=pretrained)
        self.dropout = nn.Dropout(dropout)
        self.has_pathologies, self.has_tubes = bool(pathologies), bool(tubes)
        if pathologies:
            self.pathologies = nn.Linear(self.backbone.features, len(pathologies))
        if tubes:
            self.tubes = nn.Linear(self.backbone.features, len(tubes))
        self.gradcam_layer = "backbone.feature_map"

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        """Return ``{"pathologies": (n, P), "tubes": (n, T)}``, less the task left out, for ``(n, c, y, x)``."""
        features = self.dropout(self.backbone(images))
        outputs: dict[str, Tensor] = {}
        if self.has_pathologies:
            outputs["pathologies"] = self.pathologies(features)
        if self.has_tubes:
            outputs["tubes"] = self.tubes(features)
        return outputs


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

    Raises
    ------
    ModelError
        When the encoder is not known, or `pretrained` weights are asked for a U-Net from scratch.
    """

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
    ) -> None:
        super().__init__()
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
        self.gradcam_layer = "unet.feature_map"

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        """Return ``{"mask": (n, 1, y, x)}`` for ``(n, c, y, x)`` of any size."""
        return {"mask": self.unet(images)}
