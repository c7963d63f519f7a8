"""Pulmonary embolism: slice encoder and sequence network (docs/sources.md 1), with the RSNA challenge's exam labels."""

from collections.abc import Mapping, Sequence
from typing import Any, Optional

import torch
from torch import Tensor, nn
from torch.jit import Final

from AcuteFindingsLib.errors import ModelError
from AcuteFindingsLib.networks.backbones import Freezable, PooledBackbone, PyramidBackbone
from AcuteFindingsLib.networks.gray_input import GrayWindows
from AcuteFindingsLib.networks.layers import BidirectionalLSTM
from AcuteFindingsLib.networks.mask_decoder import MASK_FEATURES, MOST_PEAK, MaskDecoder, peaks_in_fields, shown_by

# RSNA STR Pulmonary Embolism Detection challenge 2020, exam-level labels.
EXAM_LABELS = (
    "pe_present",
    "left",
    "right",
    "central",
    "rv_lv_ge_1",
    "rv_lv_lt_1",
    "chronic",
    "acute_and_chronic",
    "indeterminate",
)
# The finest map that a mask decoder reads spans so many pixels: a clot is wider, and finer ones cost most of the time.
_MASK_REDUCTION = 4
# A probability of nothing for slices that are not there.
PADDED_LOGIT = -30.0
# Beyond these a slice is as good as certain; the stack output must not hang on how certain.
_LEAST_LOGIT, _MOST_LOGIT = -8.0, 8.0


class SliceEncoder(Freezable):
    """A slice → 64 numbers that stand for it, and a logit of its own.

    Backbone, global average pool, Dense `hidden` ReLU, dropout, Dense `encoding` without activation, Dense 1
    (docs/sources.md 1; the encoding has no activation in the public code).

    Parameters
    ----------
    backbone
        Any timm model; published: InceptionResNetV2.
    in_channels
        1 (model A) or 3 (model B).
    dropout, drop_path
        Shares dropped after the hidden layer and, where the backbone supports it, of its residual branches.
    pretrained
        Start the backbone from ImageNet weights.
    decoder
        Add a light decoder to a mask of the clot, and let the hidden layer read what it shows: its area and its highest
        probability. Not published; on few studies the mean over a slice alone misses small clots.
    decoder_channels
        Its width.
    fields
        Not 0: what stands for a slice is its mask alone, the highest logit in each of `fields` by `fields` parts of the
        picture (`peaks_in_fields`); `encoding` is their number, and there is no hidden layer.
    places
        Say where in the picture a clot is, from the backbone's last feature map: slice labels alone leave
        a small clot to chance on few studies; as in RADnet (docs/sources.md 4) a mask draws the attention to it. Only
        without `decoder`, to teach a backbone that a decoder then goes on from.
    windows
        Lowest and highest gray, in -1..1, of each window on the images: the backbone sees all images through the first,
        then all through the second, each stretched to -1..1. None shows them once, as they are. Not published: how wide
        a vessel is shows against the lung, what fills it in a window of blood, and one window of both leaves few grays
        to either.

    Raises
    ------
    ModelError
        When `drop_path` and `decoder` are combined, `fields` does not go with the rest, or a window is empty.
    """

    has_decoder: Final[bool]
    in_fields: Final[bool]
    in_places: Final[bool]

    def __init__(
        self,
        *,
        backbone: str = "inception_resnet_v2",
        in_channels: int = 1,
        hidden: int = 512,
        encoding: int = 64,
        dropout: float = 0.2,
        drop_path: float = 0.0,
        pretrained: bool = False,
        decoder: bool = False,
        decoder_channels: int = 32,
        fields: int = 0,
        places: bool = False,
        windows: Sequence[Sequence[float]] | None = None,
    ) -> None:
        super().__init__()
        self.gray: nn.Module = nn.Identity()
        if windows is not None:
            self.gray = GrayWindows(windows)
            in_channels *= len(windows)
        if fields and not (decoder and encoding == fields**2):
            raise ModelError(f"fields={fields} needs decoder=True and encoding={fields**2}, not {encoding}.")
        if places and decoder:
            raise ModelError("places and decoder cannot be combined; choose places=False.")
        self.in_places = places
        self.has_decoder, self.in_fields, self.fields = decoder, fields > 0, fields
        self.first_map = 0
        if decoder:
            if drop_path:
                raise ModelError("drop_path and decoder cannot be combined; choose drop_path=0.")
            pyramid = PyramidBackbone(backbone, in_channels=in_channels, pretrained=pretrained)
            self.first_map = next(n for n, value in enumerate(pyramid.reductions) if value >= _MASK_REDUCTION)
            self.backbone: nn.Module = pyramid
            self.decoder = MaskDecoder(pyramid.channels[self.first_map :], decoder_channels)
            features = pyramid.channels[-1] + MASK_FEATURES
        else:
            pooled = PooledBackbone(backbone, in_channels=in_channels, pretrained=pretrained, drop_path=drop_path)
            self.backbone = pooled
            features = pooled.features
            if places:
                self.where = nn.Conv2d(features, 1, 1)
        self.feature_map = nn.Identity()
        self.encoded = encoding
        if fields:
            self.output = nn.Linear(1, 1)
        else:
            self.hidden = nn.Linear(features, hidden)
            self.dropout = nn.Dropout(dropout)
            self.encoding = nn.Linear(hidden, encoding)
            self.output = nn.Linear(encoding, 1)
        self.gradcam_layer = "feature_map" if decoder else "backbone.feature_map"

    def features(self, images: Tensor) -> dict[str, Tensor]:
        """Return ``{"features": (n, f)}`` for `head`; with the decoder also ``"mask"``: logits ``(n, 1, y/4, x/4)``."""
        images = self.gray(images)
        if self.has_decoder:
            maps = self.backbone(images)
            mask = self.decoder(maps[self.first_map :])
            if self.in_fields:
                # The classifier reads the mask; while it learns it does not bend it.
                shown = self.feature_map(mask.detach() if self.training else mask)
                return {"features": peaks_in_fields(shown, self.fields), "mask": mask}
            pooled = self.feature_map(maps[-1]).mean(dim=(2, 3))
            return {"features": torch.cat([pooled, shown_by(mask)], dim=1), "mask": mask}
        if self.in_places:
            maps = self.backbone.maps(images)  # type: ignore[operator]
            return {"features": maps.mean(dim=(2, 3)), "where": self.where(maps)}
        return {"features": self.backbone(images)}

    def head(self, features: Tensor) -> dict[str, Tensor]:
        """Return ``{"encoding": (..., 64), "slice": (..., 1)}`` for `features` ``(..., f)``."""
        if self.in_fields:
            return {"encoding": features, "slice": self.output(features.amax(dim=-1, keepdim=True))}
        encoding = self.encoding(self.dropout(torch.relu(self.hidden(features))))
        return {"encoding": encoding, "slice": self.output(encoding)}

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        """Return ``{"encoding": (n, 64), "slice": (n, 1)}`` and perhaps ``"mask"`` for ``(n, c, y, x)`` in -1..1."""
        outputs = self.features(images)
        answers = self.head(outputs["features"])
        if self.has_decoder:
            answers["mask"] = outputs["mask"]
        if self.in_places:
            answers["where"] = outputs["where"]
        return answers


def lasting_peaks(encodings: Tensor, inside: Tensor, nothing: float = -MOST_PEAK) -> Tensor:
    """Return the highest number of each slice together with what a slice beside it has in the same place.

    Their mean, not the lower of both: where a clot ends, the next slice shows little of it.

    Parameters
    ----------
    encodings
        ``(n, length, fields)``.
    inside
        ``(n, length)`` bool, False for padding.
    nothing
        What padding shows, and what lies beyond the ends.

    Returns
    -------
    torch.Tensor
        ``(n, length, 1)``: the maximum over the fields of the mean of the slice's own number and the higher of its two
        neighbors'.
    """
    shown = encodings.masked_fill(~inside.unsqueeze(2), nothing)
    wide = nn.functional.pad(shown, [0, 0, 1, 1], value=nothing)
    beside = torch.maximum(wide[:, :-2], wide[:, 2:])
    return ((shown + beside) / 2).amax(dim=2, keepdim=True)


class SequenceNetwork(nn.Module):
    """The encodings of a stack → a logit a slice, one for the stack and, optionally, the exam labels.

    Batch norm, bidirectional LSTM 64, per slice Dense 512 and 128 with ReLU and Dense 1; the slices' probabilities,
    dropout 0.05 and Dense 1 for the stack (docs/sources.md 1). The exam head takes mean and maximum of the LSTM's
    features over the slices through Dense 128 to `EXAM_LABELS`.

    Parameters
    ----------
    length
        Slices of a stack; shorter ones are padded at the end.
    encoding
        Numbers a slice.
    hidden
        Units of each direction of the LSTM.
    dense
        Units of the two layers before the slice output.
    dropout
        Share of the slice probabilities dropped before the stack output.
    exam_head
        Give the nine exam labels too.
    stack_top
        0: the stack output reads the probability of every slice at its place, as published. Else: it reads the logits
        of so many slices, the most suspicious first, wherever they lie; so a clot of three slices counts as much at
        the top of a stack as in its middle, and many slices of faint suspicion do not add up to a certain answer.
    residual
        Add a slice's own answer, linear in its encoding, to what the LSTM says of it, so that neighbors correct an
        encoder that is already good instead of having to learn all of it again; from few stacks that costs less.
    lasting
        Read a slice's own answer from its highest number together with that of a slice beside it in the same place
        (`lasting_peaks`): a clot goes on from slice to slice, what is mistaken for one seldom. For encodings in fields
        (`SliceEncoder`); needs `residual`.
    mask_padding
        Keep padding out of batch norm, LSTM, pooling and stack output. False lets padding through the network like
        slices, as published: right for weights that were trained so.
    """

    exam_head: Final[bool]
    residual: Final[bool]
    lasting: Final[bool]
    mask_padding: Final[bool]
    padded_logit: Final[float]
    stack_top: Final[int]
    least_logit: Final[float]
    most_logit: Final[float]

    def __init__(
        self,
        *,
        length: int = 96,
        encoding: int = 64,
        hidden: int = 64,
        dense: tuple[int, int] | list[int] = (512, 128),
        dropout: float = 0.05,
        exam_head: bool = True,
        stack_top: int = 0,
        residual: bool = False,
        lasting: bool = False,
        mask_padding: bool = True,
    ) -> None:
        super().__init__()
        if lasting and not residual:
            raise ModelError("lasting is how a slice's own answer is read; choose residual=True.")
        if not 0 <= stack_top <= length:
            raise ModelError(f"stack_top is {stack_top}; a stack has {length} slices, so choose 0 to {length}.")
        self.stack_top = stack_top
        self.least_logit, self.most_logit = _LEAST_LOGIT, _MOST_LOGIT
        self.exam_head = exam_head
        self.residual, self.lasting = residual, lasting
        self.mask_padding = mask_padding
        self.padded_logit = PADDED_LOGIT
        # Keras' epsilon, so that imported weights give the same numbers.
        self.norm = nn.BatchNorm1d(encoding, eps=1e-3)
        self.lstm = BidirectionalLSTM(encoding, hidden)
        self.slices = nn.Sequential(
            nn.Linear(2 * hidden, dense[0]),
            nn.ReLU(),
            nn.Linear(dense[0], dense[1]),
            nn.ReLU(),
            nn.Linear(dense[1], 1),
        )
        if residual:
            self.own = nn.Linear(1 if lasting else encoding, 1)
        self.dropout = nn.Dropout(dropout)
        self.stack = nn.Linear(stack_top or length, 1)
        if exam_head:
            self.exam = nn.Sequential(nn.Linear(4 * hidden, 128), nn.ReLU(), nn.Linear(128, len(EXAM_LABELS)))

    def forward(self, encodings: Tensor, valid: Optional[Tensor] = None) -> dict[str, Tensor]:  # noqa: UP045
        """Read stacks.

        Parameters
        ----------
        encodings
            ``(n, length, encoding)``, slices in order, padding at the end.
        valid
            ``(n, length)`` bool, True for slices. Left out, rows of nothing but zeros at the end are padding.

        Returns
        -------
        dict
            ``{"slice": (n, length), "stack": (n, 1)}`` and, with the exam head, ``"exam": (n, 9)``. The slice logit of
            padding is -30.
        """
        steps = torch.arange(encodings.shape[1], device=encodings.device).unsqueeze(0)
        if not self.mask_padding:
            lengths = torch.full_like(encodings[:, 0, 0], encodings.shape[1]).long()
        elif valid is None:
            lengths = ((encodings != 0).any(dim=2) * (steps + 1)).amax(dim=1)
        else:
            lengths = (valid * (steps + 1)).amax(dim=1)
        # A stack of padding alone is read as one slice, so that no mean over nothing arises.
        lengths = lengths.clamp(min=1)
        inside = steps < lengths.unsqueeze(1)
        features = self.lstm(self._normalize(encodings, inside), lengths)
        slices = self.slices(features).squeeze(2)
        if self.residual:
            own = lasting_peaks(encodings, inside) if self.lasting else encodings
            slices = slices + self.own(own).squeeze(2)
        if self.mask_padding:
            slices = slices.masked_fill(~inside, self.padded_logit)
        outputs = {"slice": slices, "stack": self.stack(self.dropout(self._stack_input(slices, inside)))}
        if self.exam_head:
            weights = inside.unsqueeze(2).to(features.dtype)
            mean = (features * weights).sum(dim=1) / weights.sum(dim=1)
            # The LSTM's output lies within -1..1, so padding at -1 never is the maximum on its own.
            highest = (features * weights + (weights - 1.0)).amax(dim=1)
            outputs["exam"] = self.exam(torch.cat([mean, highest], dim=1))
        return outputs

    def _stack_input(self, slices: Tensor, inside: Tensor) -> Tensor:
        if self.stack_top > 0:
            highest = torch.topk(slices, self.stack_top, dim=1).values
            return highest.clamp(self.least_logit, self.most_logit)
        return torch.sigmoid(slices) * inside

    def _normalize(self, encodings: Tensor, inside: Tensor) -> Tensor:
        if self.training and self.mask_padding:
            # The statistics are those of slices, not of padding.
            normalized = torch.zeros_like(encodings)
            normalized[inside] = self.norm(encodings[inside]).to(encodings.dtype)
            return normalized
        return self.norm(encodings.transpose(1, 2)).transpose(1, 2)


class PEModel(nn.Module):
    """Slice encoder and sequence network in one module, so that one weights file holds both.

    Parameters
    ----------
    encoder, sequence
        Arguments of `SliceEncoder` and `SequenceNetwork`.

    Raises
    ------
    ModelError
        When the encoder gives another number of features than the sequence network takes.
    """

    # What detectors call, and which output of the first part each part reads.
    graph_parts = {"encode": "", "sequence": "encoding"}  # noqa: RUF012

    def __init__(self, *, encoder: Mapping[str, Any] | None = None, sequence: Mapping[str, Any] | None = None) -> None:
        super().__init__()
        self.encoder = SliceEncoder(**(encoder or {}))
        self.sequence_network = SequenceNetwork(**(sequence or {}))
        given, taken = self.encoder.encoded, self.sequence_network.norm.num_features
        if given != taken:
            raise ModelError(f"The encoder gives {given} numbers a slice and the sequence network takes {taken}.")
        self.gradcam_layer = f"encoder.{self.encoder.gradcam_layer}"

    def encode(self, images: Tensor) -> dict[str, Tensor]:
        """Return ``{"encoding": (n, 64), "slice": (n, 1)}`` and perhaps ``"mask"`` for slices ``(n, c, y, x)``."""
        return self.encoder(images)

    def sequence(self, encodings: Tensor, valid: Optional[Tensor] = None) -> dict[str, Tensor]:  # noqa: UP045
        """Read stacks of encodings ``(n, length, 64)``; see `SequenceNetwork.forward`."""
        return self.sequence_network(encodings, valid)

    def forward(self, stacks: Tensor, valid: Optional[Tensor] = None) -> dict[str, Tensor]:  # noqa: UP045
        """Read whole stacks ``(n, length, c, y, x)``; outputs of `SequenceNetwork`, padding as `valid` says.

        Without `valid` every slice counts, for the encoding of an empty picture is not zero.
        """
        count, length = stacks.shape[0], stacks.shape[1]
        encodings = self.encode(stacks.flatten(0, 1))["encoding"].reshape(count, length, -1)
        if valid is None:
            valid = torch.ones(count, length, dtype=torch.bool, device=stacks.device)
        return self.sequence(encodings, valid)
