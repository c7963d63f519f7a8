"""A researcher's own slice network of timm on slabs of a CT, and what reads a series of its features, if anything."""

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from AcuteFindingsLib.errors import ModelError
from AcuteFindingsLib.networks.gray_input import GrayInput
from AcuteFindingsLib.networks.layers import chosen_logits
from AcuteFindingsLib.networks.timm_classifier import TimmFeatures

RECURRENT: dict[str, type[nn.GRU] | type[nn.LSTM]] = {"gru": nn.GRU, "lstm": nn.LSTM}
POOLINGS = ("mean", "max", "attention")


class SlabReader(nn.Module):
    """Slabs → a number of labels a slice and a study; parts and outputs as `SlabSequence` has them.

    Parameters
    ----------
    backbone, arguments, layout
        As of `TimmClassifier`.
    in_channels
        Channels of a slab.
    order
        Which channel of the slab the network has at each place; as they are when None.
    mean, std
        One number a channel of the slab, 0..1, in the network's order.
    outputs
        Numbers that slice and study get.
    own
        Whether the slice network has a last layer of its own; without it a slice by itself is read as a series of one.
    classes, softmax
        As of `TimmClassifier`.
    sequence
        Arguments of `SeriesReader`; without one a study's number is the highest of its slices.

    Raises
    ------
    ModelError
        When an argument makes no sense.
    """

    # What detectors call, and which output of the first part each part reads.
    graph_parts = {"encode": "", "context": "encoding"}  # noqa: RUF012

    def __init__(
        self,
        *,
        backbone: str = "resnet18",
        arguments: Mapping[str, Any] | None = None,
        layout: str = "maps",
        in_channels: int = 9,
        order: Sequence[int] | None = None,
        mean: Sequence[float] | None = None,
        std: Sequence[float] | None = None,
        outputs: int = 1,
        own: bool = True,
        classes: Sequence[int] | None = None,
        softmax: bool = False,
        sequence: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__()
        self.order = list(range(in_channels) if order is None else order)
        if sorted(self.order) != list(range(in_channels)):
            raise ModelError(f"order is {self.order}; it must name each of the {in_channels} channels once.")
        self.scale = GrayInput(mean or [0.0] * in_channels, std or [1.0] * in_channels)
        if len(self.scale.mean.flatten()) != in_channels:
            raise ModelError(f"A slab has {in_channels} channels; give one mean and one deviation for each.")
        self.classes = list(range(outputs) if classes is None else classes)
        if not self.classes or not set(self.classes) <= set(range(outputs)) or (softmax and outputs < 2):
            raise ModelError(f"classes={self.classes} of {outputs} numbers make no answer.")
        if not own and sequence is None:
            raise ModelError("A slice network without a last layer needs what reads the series; choose own=True.")
        self.own, self.softmax = own, softmax
        self.encoder = TimmFeatures(
            backbone, arguments=arguments, in_channels=in_channels, outputs=outputs if own else 0, layout=layout
        )
        self.gradcam_layer = "encoder.feature_map" if self.encoder.gradcam_layer else ""
        self.sequence = None if sequence is None else SeriesReader(outputs=outputs, **sequence)

    def encode(self, slabs: Tensor) -> dict[str, Tensor]:
        """Return ``{"encoding": (n, f + 1), "slice": (n, labels)}`` for ``(n, c, y, x)`` in 0..1."""
        maps = self.encoder.features(self.scale(slabs[:, self.order]))
        features = self.encoder.network.forward_head(maps, pre_logits=True)
        return {"encoding": functional.pad(features, [0, 1]), "slice": self._chosen(self._alone(features))}

    def context(self, encodings: Tensor) -> dict[str, Tensor]:
        """Return ``{"slice": (b, n, labels), "study": (b, labels)}`` for ``(b, n, f + 1)``, places last."""
        if self.sequence is None:
            slices = self._chosen(self._alone(encodings[..., :-1]))
            return {"slice": slices, "study": slices.amax(dim=1)}
        read, study = self.sequence(encodings)
        slices = self._chosen(self._alone(encodings[..., :-1]) if read is None else read)
        return {"slice": slices, "study": slices.amax(dim=1) if study is None else self._chosen(study)}

    def forward(self, scans: Tensor) -> dict[str, Tensor]:
        """Return what `context` gives for ``(b, n, c, y, x)``."""
        count = scans.shape[1]
        encodings = self.encode(scans.flatten(0, 1))["encoding"].unflatten(0, scans.shape[:2])
        place = torch.arange(count, dtype=scans.dtype, device=scans.device) / max(count - 1, 1)
        place = place[None, :, None].expand(len(scans), -1, -1)
        return self.context(torch.cat([encodings[..., :-1], place], dim=2))

    def _alone(self, features: Tensor) -> Tensor:
        """Return the logits ``(..., outputs)`` of slices by themselves, for features ``(..., f)``."""
        if self.own:
            return self.encoder.network.get_classifier()(features)
        single = functional.pad(features, [0, 1]).flatten(0, -2).unsqueeze(1)
        slices, study = self.sequence(single)  # type: ignore[misc]
        answer = slices[:, 0] if study is None else study
        return answer.unflatten(0, features.shape[:-1])

    def _chosen(self, logits: Tensor) -> Tensor:
        return chosen_logits(logits.movedim(-1, 1), self.classes, exclusive=self.softmax).movedim(1, -1)


class SeriesReader(nn.Module):
    """A GRU or an LSTM over a series, a linear layer for each slice, and one for what the series is pooled to.

    Parameters
    ----------
    kind
        One of `RECURRENT`.
    features, place
        Numbers a slice; whether its place in the series, 0..1, is one more.
    hidden, layers, bidirectional, bias
        As of `torch.nn.GRU`.
    slices
        Whether each slice gets logits of its own.
    pooling
        One of `POOLINGS`, for the study; ``"none"`` where it gets no layer of its own.
    attention
        Layers' widths before the weight of a slice, with tanh between; empty for one linear layer.
    outputs
        Numbers of each.
    """

    def __init__(
        self,
        *,
        kind: str = "gru",
        features: int = 512,
        place: bool = False,
        hidden: int = 256,
        layers: int = 1,
        bidirectional: bool = True,
        bias: bool = True,
        slices: bool = True,
        pooling: str = "none",
        attention: Sequence[int] = (),
        outputs: int = 1,
    ) -> None:
        super().__init__()
        if kind not in RECURRENT or pooling not in ("none", *POOLINGS) or not (slices or pooling != "none"):
            raise ModelError(
                f"A series is read by {' or '.join(RECURRENT)}, and answers for slices, pooled ({', '.join(POOLINGS)}) "
                f"or both; got {kind!r} and {pooling!r}."
            )
        self.place, self.pooling = place, pooling
        self.recurrent = RECURRENT[kind](
            features + place, hidden, layers, bias=bias, batch_first=True, bidirectional=bidirectional
        )
        width = hidden * (2 if bidirectional else 1)
        self.slices = nn.Linear(width, outputs) if slices else None
        self.study = nn.Linear(width, outputs) if pooling != "none" else None
        if pooling == "attention":
            widths = [width, *attention, 1]
            steps: list[nn.Module] = []
            for before, after in pairwise(widths):
                steps += [nn.Linear(before, after), nn.Tanh()]
            self.attention = nn.Sequential(*steps[:-1])

    def forward(self, encodings: Tensor) -> tuple[Tensor | None, Tensor | None]:
        """Return logits ``(b, n, outputs)`` of slices and ``(b, outputs)`` of studies, for ``(b, n, f + 1)``."""
        read = self.recurrent(encodings if self.place else encodings[..., :-1])[0]
        slices = None if self.slices is None else self.slices(read)
        if self.study is None:
            return slices, None
        if self.pooling == "attention":
            pooled = (self.attention(read).softmax(dim=1) * read).sum(dim=1)
        else:
            pooled = read.mean(dim=1) if self.pooling == "mean" else read.amax(dim=1)
        return slices, self.study(pooled)
