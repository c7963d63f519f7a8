"""Pneumothorax on chest radiographs: the classifier and the segmenters of docs/sources.md 3."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

import segmentation_models_pytorch as smp
from torch import Tensor, nn
from torch.jit import Final

from AcuteFindingsLib.errors import ModelError
from AcuteFindingsLib.networks.backbones import Freezable, PooledBackbone
from AcuteFindingsLib.networks.gray_input import gray_input
from AcuteFindingsLib.networks.layers import one_against_others, pad_to_multiple
from AcuteFindingsLib.networks.pretrained import OFFLINE_BACKBONES, load_imagenet, with_download
from AcuteFindingsLib.networks.unet import UNet

ARCHITECTURES = (
    *("unet", "unetplusplus", "deeplabv3plus", "deeplabv3", "manet", "linknet", "fpn", "pspnet", "pan"),
    *("upernet", "segformer"),
)
"""Those of segmentation-models-pytorch whose decoder reads the encoder's maps."""

# What a network of segmentation-models-pytorch may be built otherwise than by default: nothing that goes to an encoder.
_OPTION = re.compile(r"(decoder|psp)_\w+|encoder_(depth|output_stride)|upsampling")


class PneumothoraxClassifier(Freezable):
    """A radiograph → one logit: DenseNet121 or another timm backbone, global average pool, Dense 1 (docs/sources.md 3).

    The source freezes the first layers: see `freeze_first`.

    Parameters
    ----------
    backbone
        Any timm model; published: DenseNet121.
    in_channels
        Channels of the pictures.
    dropout
        Before the last layer.
    pretrained
        Start from ImageNet weights.
    """

    def __init__(
        self, *, backbone: str = "densenet121", in_channels: int = 1, dropout: float = 0.0, pretrained: bool = False
    ) -> None:
        super().__init__()
        self.backbone = PooledBackbone(backbone, in_channels=in_channels, pretrained=pretrained)
        self.dropout = nn.Dropout(dropout)
        self.output = nn.Linear(self.backbone.features, 1)
        self.gradcam_layer = "backbone.feature_map"

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        """Return ``{"image": (n, 1)}`` for ``(n, c, y, x)``."""
        return {"image": self.output(self.dropout(self.backbone(images)))}


class PneumothoraxSegmenter(nn.Module):
    """A radiograph → mask logits and, with the branch, the logit that the mask is empty.

    U-Net from scratch, or one of `ARCHITECTURES` on an encoder, of which docs/sources.md 3 has U-Net, U-Net++ and
    DeepLabV3+. The branch is that of the
    fourth place: global average pool of the deepest map and one linear layer. U-Net++ does not script (its decoder
    looks modules up by name); trace it. All export.

    Parameters
    ----------
    architecture
        One of `ARCHITECTURES`.
    encoder
        ``"scratch"`` (U-Net only): the classic 64-128-256-512-1024; or an encoder of segmentation-models-pytorch, such
        as ``"densenet121"``, ``"resnet34"``, ``"se_resnext50_32x4d"``; or any timm model, such as
        ``"tf_efficientnet_lite0"``.
    dropout
        Share of whole maps dropped in each map handed to the decoder and before the output: the source's variant
        "with dropout layers in between".
    empty_branch
        Give ``"empty"`` too.
    in_channels
        Channels of the pictures.
    batch_norm
        Of the U-Net from scratch; the classic one has none.
    pretrained
        Start the encoder from ImageNet weights.
    grey_mean, grey_std
        One number a channel: the network is shown gray pictures in 0..1 and repeats and normalizes them itself.
    classes, channel
        Of a network that draws several classes, which exclude each other (trained with softmax): how many, and which
        one is the answer, as the logit of "this one, none of the others".
    options
        Of the decoder, as segmentation-models-pytorch names them, where they are not its defaults.

    Raises
    ------
    ModelError
        When architecture or encoder are not known or do not go together, or the weights cannot be had.
    """

    empty_branch: Final[bool]
    exclusive: Final[bool]
    channel: Final[int]
    multiple: Final[int]

    def __init__(
        self,
        *,
        architecture: str = "unet",
        encoder: str = "densenet121",
        dropout: float = 0.0,
        empty_branch: bool = False,
        in_channels: int = 1,
        batch_norm: bool = False,
        pretrained: bool = False,
        grey_mean: Sequence[float] | None = None,
        grey_std: Sequence[float] | None = None,
        classes: int = 1,
        channel: int = 0,
        options: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__()
        self.gray = gray_input(grey_mean, grey_std, in_channels=in_channels)
        if not 0 <= channel < classes:
            raise ModelError(f"The segmenter draws {classes} classes; there is none of number {channel}.")
        self.exclusive, self.channel = classes > 1, channel
        if architecture not in ARCHITECTURES:
            raise ModelError(f"There is no segmenter {architecture!r}; choose {', '.join(ARCHITECTURES)}.")
        if encoder == "scratch":
            if architecture != "unet" or pretrained:
                raise ModelError("From scratch there is the U-Net only, without ImageNet weights; choose an encoder.")
            if classes > 1 or options:
                raise ModelError("From scratch there is the U-Net of one class and no options; choose an encoder.")
            self.parts: _ScratchParts | _EncoderParts = _ScratchParts(in_channels, batch_norm)
        else:
            self.parts = _EncoderParts(architecture, encoder, in_channels, pretrained, classes, dict(options or {}))
        self.dropout = nn.Dropout2d(dropout)
        self.feature_map = nn.Identity()
        self.empty_branch = empty_branch
        # Every encoder halves the picture at most five times.
        self.multiple = 32
        if empty_branch:
            self.empty = nn.Linear(self.parts.features, 1)
        self.gradcam_layer = "feature_map"

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        """Return ``{"mask": (n, 1, y, x)}`` and, with the branch, ``"empty": (n, 1)``, for ``(n, c, y, x)``."""
        padded = self.gray(pad_to_multiple(images, self.multiple))
        # The first map may be the picture itself, which stays whole.
        maps: list[Tensor] = []
        for number, level in enumerate(self.parts.encode(padded)):
            maps.append(level if number == 0 else self.dropout(level))
        maps[-1] = self.feature_map(maps[-1])
        logits = self.parts.output(self.dropout(self.parts.decode(maps)))
        if self.exclusive:
            logits = one_against_others(logits, self.channel)
        outputs = {"mask": logits[..., : images.shape[-2], : images.shape[-1]]}
        if self.empty_branch:
            outputs["empty"] = self.empty(maps[-1].mean(dim=(2, 3)))
        return outputs


def encoder_name(encoder: str) -> str:
    """Return an encoder's name as segmentation-models-pytorch has it: of timm's models ``"tu-..."``."""
    return encoder if encoder in smp.encoders.get_encoder_names() else f"tu-{encoder.removeprefix('tu-')}"


class _ScratchParts(nn.Module):
    """The classic U-Net, cut into the same three."""

    def __init__(self, in_channels: int, batch_norm: bool) -> None:
        super().__init__()
        self.unet = UNet(in_channels=in_channels, batch_norm=batch_norm)
        self.features = self.unet.features

    def encode(self, images: Tensor) -> list[Tensor]:
        return self.unet.encode(images)

    def decode(self, maps: list[Tensor]) -> Tensor:
        return self.unet.decode(maps)

    def output(self, fused: Tensor) -> Tensor:
        return self.unet.output(fused)


class _EncoderParts(nn.Module):
    """Encoder, decoder and output of a model of segmentation-models-pytorch."""

    def __init__(
        self,
        architecture: str,
        encoder: str,
        in_channels: int,
        pretrained: bool,
        classes: int,
        options: dict[str, Any],
    ) -> None:
        super().__init__()
        if strange := [key for key in options if not _OPTION.fullmatch(key)]:
            raise ModelError(f"A segmenter is not built with {strange[0]!r} here; leave it out.")
        download = pretrained and encoder not in OFFLINE_BACKBONES
        arguments: dict[str, Any] = {
            "encoder_name": encoder_name(encoder),
            "encoder_weights": "imagenet" if download else None,
            "in_channels": in_channels,
            "classes": classes,
            **options,
        }
        if download:
            model = with_download(encoder, lambda: smp.create_model(architecture, **arguments))
        else:
            try:
                model = smp.create_model(architecture, **arguments)
            except (ValueError, KeyError, RuntimeError, TypeError) as error:
                raise ModelError(
                    f"The segmenter {architecture!r} does not go on the encoder {encoder!r}: {error}."
                ) from error
        if pretrained and not download:
            load_imagenet(model.encoder.model, encoder)
        self.encoder, self.decoder, self.segmentation_head = model.encoder, model.decoder, model.segmentation_head
        self.features = int(model.encoder.out_channels[-1])

    def encode(self, images: Tensor) -> list[Tensor]:
        return self.encoder(images)

    def decode(self, maps: list[Tensor]) -> Tensor:
        return self.decoder(maps)

    def output(self, fused: Tensor) -> Tensor:
        return self.segmentation_head(fused)
