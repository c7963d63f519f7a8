"""Small building blocks that several networks share."""

import torch
from torch import Tensor, nn
from torch.nn import functional


def pad_to_multiple(images: Tensor, multiple: int) -> Tensor:
    """Repeat the last row and column of ``(n, c, y, x)`` until height and width are multiples of `multiple`.

    Nothing is added at the top and left, so `out[..., :y, :x]` of a result at the padded size lies on the input.
    """
    rows = (multiple - images.shape[-2] % multiple) % multiple
    columns = (multiple - images.shape[-1] % multiple) % multiple
    if rows == 0 and columns == 0:
        return images
    return functional.pad(images, [0, columns, 0, rows], mode="replicate")


def resize_like(maps: Tensor, rows: int, columns: int) -> Tensor:
    """Stretch ``(n, c, y, x)`` maps bilinearly to ``(rows, columns)``."""
    return functional.interpolate(maps, size=[rows, columns], mode="bilinear", align_corners=False)


def he_normal(module: nn.Module) -> None:
    """Initialize every convolution and linear layer as He 2015: normal by fan-in for ReLU, biases zero."""
    for layer in module.modules():
        if isinstance(layer, nn.Conv2d | nn.Linear):
            nn.init.kaiming_normal_(layer.weight, mode="fan_in", nonlinearity="relu")
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)


class BidirectionalLSTM(nn.Module):
    """One bidirectional LSTM layer whose answer does not depend on padding at the end of a sequence.

    `nn.LSTM(bidirectional=True)` reads padding first on its way back, and packed sequences do not export. Here each
    sequence is reversed within its own length, so padding comes last in both directions.

    Parameters
    ----------
    features
        Numbers in each step.
    hidden
        Units of each direction.
    """

    def __init__(self, features: int, hidden: int) -> None:
        super().__init__()
        self.forwards = nn.LSTM(features, hidden, batch_first=True)
        self.backwards = nn.LSTM(features, hidden, batch_first=True)

    def forward(self, sequence: Tensor, lengths: Tensor) -> Tensor:
        """Return ``(n, t, 2 * hidden)`` for ``(n, t, features)`` and `lengths` ``(n,)``, int64."""
        steps = torch.arange(sequence.shape[1], device=sequence.device).unsqueeze(0)
        last = lengths.unsqueeze(1) - 1
        order = torch.where(steps <= last, last - steps, steps).unsqueeze(2)
        ahead = self.forwards(sequence)[0]
        reverse = torch.gather(sequence, 1, order.expand(-1, -1, sequence.shape[2]))
        behind = self.backwards(reverse)[0]
        behind = torch.gather(behind, 1, order.expand(-1, -1, behind.shape[2]))
        return torch.cat([ahead, behind], dim=2)


def one_against_others(logits: Tensor, number: int) -> Tensor:
    """Return the logit of "class `number` and none of the others", ``(n, 1, ...)``, of classes ``(n, c, ...)``.

    Its sigmoid is the softmax of the class: log p / (1 - p) with p = exp(l) / sum(exp) is l - logsumexp(others).
    """
    others = torch.cat([logits[:, :number], logits[:, number + 1 :]], dim=1)
    return logits[:, number : number + 1] - torch.logsumexp(others, dim=1, keepdim=True)


def chosen_logits(logits: Tensor, classes: list[int], *, exclusive: bool) -> Tensor:
    """Return the logits ``(n, len(classes), ...)`` of some of the classes ``(n, c, ...)``.

    Where they are `exclusive`, each is that of "this one, none of the others" (`one_against_others`).
    """
    if exclusive:
        return torch.cat([one_against_others(logits, number) for number in classes], dim=1)
    return torch.cat([logits[:, number : number + 1] for number in classes], dim=1)


def some_against_others(logits: Tensor, numbers: list[int]) -> Tensor:
    """Return the logit of "one of the classes `numbers` and none of the others", ``(n, 1, ...)``, of ``(n, c, ...)``.

    Its sigmoid is the sum of their softmax.
    """
    named = torch.stack([logits[:, number] for number in numbers], dim=1)
    others = torch.stack([logits[:, number] for number in range(logits.shape[1]) if number not in numbers], dim=1)
    return torch.logsumexp(named, dim=1, keepdim=True) - torch.logsumexp(others, dim=1, keepdim=True)
