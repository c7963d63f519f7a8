"""Slices with their neighbors through one encoder, a series of them through a GRU, bleeds drawn by several decoders.

The network of ``ianpan/ct-head-hemorrhage-detection``; its tensors are named by that model's files.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from AcuteFindingsLib.errors import ModelError
from AcuteFindingsLib.networks.backbones import create_backbone
from AcuteFindingsLib.networks.deeplab_decoder import RATES, DeepLabDecoder
from AcuteFindingsLib.networks.layers import resize_like

# Of a picture's rows and columns that become one of the maps that say where a bleed is drawn.
_MAP_PIXELS = 4


class SlabSequence(nn.Module):
    """Slabs → a number of labels a slice and a study, and where each label is drawn.

    A scan need not be in memory at once: run `encode` on batches of slices, put each slice's place in the last column
    of what it gives under ``"encoding"``, and run `context` once on all of them.

    Parameters
    ----------
    backbone
        A timm model of the family MaxViT: a stem, four stages, a head with a hidden layer.
    backbone_arguments
        For timm, to build it smaller.
    in_channels, labels
        Channels of a slab; numbers a slice and a study get.
    hidden, layers, attention
        Units of each direction of the GRU, its layers, and units of the attention over slices.
    folds
        Decoders whose answers are averaged.
    decoder_features, rates
        Of `DeepLabDecoder`.
    order
        Which of the numbers that the layers give each number of the answer is; as they are when None.

    Raises
    ------
    ModelError
        There is no decoder, or `order` leaves a number out.
    """

    # What detectors call, and which output of the first part each part reads.
    graph_parts = {"encode": "", "context": "encoding"}  # noqa: RUF012

    explanation = "Mean map of the decoders"
    """How it says where it looked: by maps of its own (`encode_explained`)."""

    def __init__(
        self,
        *,
        backbone: str = "maxvit_tiny_tf_512",
        backbone_arguments: Mapping[str, Any] | None = None,
        in_channels: int = 9,
        labels: int = 6,
        hidden: int = 256,
        layers: int = 2,
        attention: int = 128,
        folds: int = 5,
        decoder_features: int = 256,
        rates: Sequence[int] = RATES,
        order: Sequence[int] | None = None,
    ) -> None:
        super().__init__()
        self.order = list(range(labels) if order is None else order)
        if sorted(self.order) != list(range(labels)):
            raise ModelError(f"order is {self.order}; it must name each of the {labels} numbers once.")
        if folds < 1:
            raise ModelError(f"folds is {folds}; at least one decoder draws where the model looked.")
        self.classifier = _SliceClassifier(backbone, in_channels, labels, dict(backbone_arguments or {}))
        self.sequence = _SeriesReader(self.classifier.features, hidden, layers, attention, labels)
        fine, deep = self.classifier.stage_features
        self.fold_names = [f"fold{number}" for number in range(folds)]
        for name in self.fold_names:
            setattr(self, name, _Fold(fine, deep, labels, decoder_features, rates))

    def encode(self, slabs: Tensor) -> dict[str, Tensor]:
        """Read slices one by one.

        Parameters
        ----------
        slabs
            ``(n, c, y, x)`` in 0..1: windows of the slice before, of the slice itself and of the one after.

        Returns
        -------
        dict
            ``{"encoding": (n, f + 1), "slice": (n, labels)}``: what `context` reads, its last column 0 until whoever
            knows the series writes the slice's place there, and the logits of each slice by itself.
        """
        return self._read(self.classifier.maps(slabs)[-1])

    def encode_explained(self, slabs: Tensor) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """Do what `encode` does, and draw each label.

        Returns
        -------
        tuple
            What `encode` gives, and ``{"slice": (n, labels, y / 4, x / 4)}``: mean of the decoders' probabilities.
        """
        maps = self.classifier.maps(slabs)
        drawn = functional.avg_pool2d(self.draw(maps, slabs.shape[-2], slabs.shape[-1]), _MAP_PIXELS)
        return self._read(maps[-1]), {"slice": drawn[:, self.order]}

    def draw(self, maps: Sequence[Tensor], rows: int, columns: int) -> Tensor:
        """Return the mean of the decoders' probabilities ``(n, labels, rows, columns)``, in the layers' own order."""
        logits = [getattr(self, name)(maps[1], maps[-1]) for name in self.fold_names]
        total = torch.sigmoid(resize_like(logits[0], rows, columns))
        for one in logits[1:]:
            total = total + torch.sigmoid(resize_like(one, rows, columns))
        return total / len(logits)

    def context(self, encodings: Tensor) -> dict[str, Tensor]:
        """Read the encodings of whole scans.

        Parameters
        ----------
        encodings
            ``(b, n, f + 1)``: the slices of each scan in order; the last column is their place, 0 for the first slice
            of the series to 1 for the last.

        Returns
        -------
        dict
            ``{"slice": (b, n, labels), "study": (b, labels)}``: logits.
        """
        return {name: logits[..., self.order] for name, logits in self.sequence(encodings).items()}

    def forward(self, scans: Tensor) -> dict[str, Tensor]:
        """Return what `context` gives for ``(b, n, c, y, x)``."""
        count = scans.shape[1]
        encodings = self.encode(scans.flatten(0, 1))["encoding"].unflatten(0, scans.shape[:2])
        place = torch.arange(count, dtype=scans.dtype, device=scans.device) / max(count - 1, 1)
        place = place[None, :, None].expand(len(scans), -1, -1)
        return self.context(torch.cat([encodings[..., :-1], place], dim=2))

    def _read(self, deepest: Tensor) -> dict[str, Tensor]:
        features, logits = self.classifier(deepest)
        return {"encoding": functional.pad(features, [0, 1]), "slice": logits[:, self.order]}


class _SliceClassifier(nn.Module):
    """Encoder, its head's hidden layer, mean, and one linear layer."""

    def __init__(self, name: str, in_channels: int, labels: int, options: dict[str, Any]) -> None:
        super().__init__()
        backbone: Any = create_backbone(
            name, in_channels=in_channels, pretrained=False, num_classes=0, global_pool="", **options
        )
        self.backbone = backbone
        channels = [int(stage["num_chs"]) for stage in backbone.feature_info]
        self.stage_features = (channels[1], channels[-1])
        self.features = int(backbone.head_hidden_size)
        self.linear = nn.Linear(self.features, labels)

    def maps(self, slabs: Tensor) -> list[Tensor]:
        """Return the maps of the stem and of each stage, at 1/2, 1/4, ... of the picture."""
        maps = [self.backbone.stem(slabs * 2 - 1)]
        for stage in self.backbone.stages:
            maps.append(stage(maps[-1]))
        return maps

    def forward(self, deepest: Tensor) -> tuple[Tensor, Tensor]:
        """Return the features ``(n, f)`` and the logits ``(n, labels)`` of the deepest map."""
        features = self.backbone.head(self.backbone.norm(deepest), pre_logits=True).mean(dim=(2, 3))
        return features, self.linear(features)


class _SeriesReader(nn.Module):
    """Features and places of a series' slices → logits of each slice and of the series."""

    def __init__(self, features: int, hidden: int, layers: int, attention: int, labels: int) -> None:
        super().__init__()
        self.input_norm = nn.LayerNorm(features)
        self.projection = nn.Linear(features, features)
        self.projection_norm = nn.LayerNorm(features)
        self.sequence = nn.GRU(features + 1, hidden, layers, batch_first=True, bidirectional=True)
        self.slice_head = nn.Linear(2 * hidden, labels)
        self.sequence_pool = ClassAttention(2 * hidden, attention, labels)

    def forward(self, encodings: Tensor) -> dict[str, Tensor]:
        """Return ``{"slice": (b, n, labels), "study": (b, labels)}`` for ``(b, n, f + 1)``."""
        features = self.projection(self.input_norm(encodings[..., :-1]))
        features = self.projection_norm(functional.gelu(features))
        read = self.sequence(torch.cat([features, encodings[..., -1:]], dim=2))[0]
        return {"slice": self.slice_head(read), "study": self.sequence_pool(read)}


class ClassAttention(nn.Module):
    """For each label a mean over slices, weighed by what the label attends to, and its own linear layer."""

    def __init__(self, features: int, attention: int, labels: int) -> None:
        super().__init__()
        self.attention = nn.Sequential(nn.Linear(features, attention), nn.Tanh(), nn.Linear(attention, labels))
        self.classifier_weight = nn.Parameter(torch.empty(labels, features))
        self.classifier_bias = nn.Parameter(torch.zeros(labels))
        nn.init.xavier_uniform_(self.classifier_weight)

    def forward(self, features: Tensor) -> Tensor:
        """Return logits ``(b, labels)`` for ``(b, n, features)``."""
        weights = self.attention(features).softmax(dim=1)
        pooled = torch.matmul(weights.transpose(1, 2), features)
        return (pooled * self.classifier_weight).sum(dim=2) + self.classifier_bias


class _Fold(nn.Module):
    """One decoder and its last convolution."""

    def __init__(self, fine: int, deep: int, labels: int, features: int, rates: Sequence[int]) -> None:
        super().__init__()
        self.decoder = DeepLabDecoder(fine, deep, features=features, rates=rates)
        self.segmentation_head = nn.ModuleDict({"conv": nn.Conv2d(features, labels, 3, padding=1)})

    def forward(self, fine: Tensor, deep: Tensor) -> Tensor:
        """Return logits ``(n, labels, y, x)`` at the size of `fine`."""
        return self.segmentation_head["conv"](self.decoder(fine, deep))
