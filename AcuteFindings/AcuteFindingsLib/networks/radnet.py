"""RADnet (docs/sources.md 4): slice labels with attention drawn to the bleed, and context from neighboring slices."""

from typing import Optional

import torch
from torch import Tensor, nn
from torch.jit import Final

from AcuteFindingsLib.errors import ModelError
from AcuteFindingsLib.networks.backbones import PyramidBackbone
from AcuteFindingsLib.networks.densenet40 import DenseNet40Pyramid
from AcuteFindingsLib.networks.layers import BidirectionalLSTM, pad_to_multiple, resize_like
from AcuteFindingsLib.networks.mask_decoder import MASK_BIAS, MASK_FEATURES, MaskDecoder, shown_by

# The order of the RSNA Intracranial Hemorrhage Detection challenge 2019, with "any" first.
HEMORRHAGE_LABELS = ("any", "epidural", "intraparenchymal", "intraventricular", "subarachnoid", "subdural")
POOLINGS = ("avg", "avgmax")


class AttentionHead(nn.Module):
    """1×1 convolution to one map, then a deconvolution to the size of the picture (docs/sources.md 4).

    The deconvolution starts as bilinear interpolation.
    """

    def __init__(self, channels: int, factor: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, 1, 1)
        nn.init.kaiming_normal_(self.conv.weight, nonlinearity="linear")
        self.conv.bias = nn.Parameter(torch.full((1,), MASK_BIAS))
        self.up: nn.Module = nn.Identity()
        if factor > 1:
            up = nn.ConvTranspose2d(1, 1, 2 * factor, stride=factor, padding=factor // 2, bias=False)
            ramp = 1 - (torch.arange(2 * factor) + 0.5 - factor).abs() / factor
            up.weight.data[0, 0] = ramp[:, None] * ramp[None, :]
            self.up = up

    def forward(self, maps: Tensor) -> Tensor:
        """Return mask logits ``(n, 1, factor * y, factor * x)``."""
        return self.up(self.conv(maps))


class RADnet(nn.Module):
    """RADnet, its two ablations, and the same heads on any timm backbone.

    DenseNet-40 or another backbone; after three of its stages a 1×1 convolution and a deconvolution to a mask of the
    bleed (`attention`); the pooled features of a scan's slices through one bidirectional LSTM (`recurrent`); one
    linear layer. `attention=False, recurrent=False` is the source's DenseNet, `recurrent=False` its DenseNet-A.

    A scan need not be in memory at once: run `features` on batches of slices, keep what each gives under
    ``"features"``, and run `head` once on all of them.

    Parameters
    ----------
    backbone
        ``"densenet40"``, with blocks at 1/2, 1/4 and 1/8 of the picture, or any timm model.
    in_channels, labels
        Channels of a slice; numbers a slice gets (`HEMORRHAGE_LABELS`).
    attention, recurrent
        See above.
    taps
        At which reductions the attention masks are taken.
    growth
        Of DenseNet-40.
    hidden
        Units of each direction of the LSTM.
    pooling
        ``"avg"`` as published, or ``"avgmax"``: mean and maximum, for small bleeds.
    mask_features
        Tell the LSTM and the linear layer what the mask shows too: its area and its highest probability. Where few
        scans are at hand, the pooled features alone learn a small bleed much later than the mask does.
    decoder, decoder_channels
        Add a light decoder over all stages, that gives a finer ``"mask"`` than the attention masks' mean.
    dropout, backbone_dropout
        Of the pooled features, before the LSTM (or the linear layer); after each convolution of DenseNet-40.
    pretrained
        Start a timm backbone from ImageNet weights.

    Raises
    ------
    ModelError
        When the backbone has no stage at one of the `taps`, or an argument makes no sense.
    """

    attention: Final[bool]
    recurrent: Final[bool]
    maximum: Final[bool]
    has_decoder: Final[bool]
    shown: Final[int]
    multiple: Final[int]

    # What detectors call, and which output of the first part each part reads.
    graph_parts = {"features": "", "head": "features"}  # noqa: RUF012

    def __init__(
        self,
        *,
        backbone: str = "densenet40",
        in_channels: int = 1,
        attention: bool = True,
        recurrent: bool = True,
        labels: int = 6,
        taps: tuple[int, ...] | list[int] = (2, 4, 8),
        growth: int = 12,
        hidden: int = 128,
        pooling: str = "avg",
        mask_features: bool = False,
        decoder: bool = False,
        decoder_channels: int = 32,
        dropout: float = 0.0,
        backbone_dropout: float = 0.0,
        pretrained: bool = False,
    ) -> None:
        super().__init__()
        if pooling not in POOLINGS:
            raise ModelError(f"There is no pooling {pooling!r}; choose {' or '.join(POOLINGS)}.")
        if backbone == "densenet40":
            if pretrained:
                raise ModelError("DenseNet-40 has no ImageNet weights; choose pretrained=False or a timm backbone.")
            self.backbone: nn.Module = DenseNet40Pyramid(
                in_channels=in_channels, growth=growth, stem_stride=2, dropout=backbone_dropout
            )
        else:
            self.backbone = PyramidBackbone(backbone, in_channels=in_channels, pretrained=pretrained)
        channels, reductions = list(self.backbone.channels), list(self.backbone.reductions)
        missing = [tap for tap in taps if tap not in reductions]
        if attention and missing:
            raise ModelError(
                f"The backbone {backbone!r} has no stage at 1/{missing[0]}; choose taps among {reductions}."
            )
        self.attention, self.recurrent = attention, recurrent
        self.maximum, self.has_decoder = pooling == "avgmax", decoder
        if mask_features and not (attention or decoder):
            raise ModelError("mask_features needs a mask: choose attention=True or decoder=True.")
        self.shown = MASK_FEATURES if mask_features else 0
        self.multiple = max(reductions)
        self.tap_places = [reductions.index(tap) for tap in taps] if attention else [0]
        self.tap_names = [f"attention_x{tap}" for tap in taps] if attention else [""]
        self.attention_heads = nn.ModuleList(
            AttentionHead(channels[reductions.index(tap)], tap) for tap in (taps if attention else ())
        )
        # Of two maps at one scale the later one, which went through batch norm, is fused.
        self.decoder_places = [i for i, value in enumerate(reductions) if value not in reductions[i + 1 :]]
        if decoder:
            self.decoder = MaskDecoder([channels[place] for place in self.decoder_places], decoder_channels)
        self.feature_map = nn.Identity()
        features = channels[-1] * (2 if self.maximum else 1) + self.shown
        self.dropout = nn.Dropout(dropout)
        if recurrent:
            self.lstm = BidirectionalLSTM(features, hidden)
        self.output = nn.Linear(2 * hidden + self.shown if recurrent else features, labels)
        self.gradcam_layer = "feature_map"

    def features(self, images: Tensor) -> dict[str, Tensor]:
        """Read slices one by one.

        Parameters
        ----------
        images
            ``(n, c, y, x)``, brain window 0..1, of any size.

        Returns
        -------
        dict
            ``{"features": (n, f)}`` for `head`; with attention ``"attention_x2"`` and so on, ``(n, 1, y, x)``; with
            attention or decoder ``"mask"`` ``(n, 1, y, x)``: the decoder's, else the mean of the attention logits.
        """
        rows, columns = images.shape[-2], images.shape[-1]
        padded = pad_to_multiple(images, self.multiple)
        maps = self.backbone(padded)
        last = self.feature_map(maps[-1])
        pooled = last.mean(dim=(2, 3))
        if self.maximum:
            pooled = torch.cat([pooled, last.amax(dim=(2, 3))], dim=1)
        outputs = {"features": pooled}
        if self.attention:
            total = torch.zeros_like(padded[:, :1])
            for number, attend in enumerate(self.attention_heads):
                mask = attend(maps[self.tap_places[number]])
                # Backbones with unpadded convolutions fall short of their nominal scale.
                if mask.shape[-2:] != padded.shape[-2:]:
                    mask = resize_like(mask, padded.shape[-2], padded.shape[-1])
                total = total + mask
                outputs[self.tap_names[number]] = mask[..., :rows, :columns]
            outputs["mask"] = (total / len(self.attention_heads))[..., :rows, :columns]
        if self.has_decoder:
            fine = self.decoder([maps[place] for place in self.decoder_places])
            outputs["mask"] = resize_like(fine, padded.shape[-2], padded.shape[-1])[..., :rows, :columns]
        if self.shown:
            outputs["features"] = torch.cat([pooled, shown_by(outputs["mask"])], dim=1)
        return outputs

    def head(self, features: Tensor, valid: Optional[Tensor] = None) -> dict[str, Tensor]:  # noqa: UP045
        """Read the features of whole scans.

        Parameters
        ----------
        features
            ``(b, n, f)``: the slices of each scan in order, padding at the end.
        valid
            ``(b, n)`` bool, True for slices; None where there is no padding.

        Returns
        -------
        dict
            ``{"slice": (b, n, labels)}``.
        """
        count = features.shape[-1] - self.shown
        shown = features[..., count:]
        features = torch.cat([self.dropout(features[..., :count]), shown], dim=-1)
        if self.recurrent:
            if valid is None:
                lengths = torch.full_like(features[:, 0, 0], features.shape[1]).long()
            else:
                lengths = valid.sum(dim=1)
            # Past the LSTM as well: the shortest way from what the mask shows to the label.
            features = torch.cat([self.lstm(features, lengths), shown], dim=-1)
        return {"slice": self.output(features)}

    def forward(self, scans: Tensor, valid: Optional[Tensor] = None) -> dict[str, Tensor]:  # noqa: UP045
        """Read whole scans ``(b, n, c, y, x)``, slices in order.

        Returns
        -------
        dict
            ``{"slice": (b, n, labels)}`` and, as `features` gives them, the masks ``(b, n, 1, y, x)``.
        """
        count, length = scans.shape[0], scans.shape[1]
        by_slice = self.features(scans.flatten(0, 1))
        outputs = self.head(by_slice["features"].reshape(count, length, -1), valid)
        for name, value in by_slice.items():
            if name != "features":
                outputs[name] = value.reshape(count, length, 1, scans.shape[-2], scans.shape[-1])
        return outputs
