"""A slice's own answer by logistic regression, before the sequence network learns what its neighbors add."""

from collections.abc import Mapping, Sequence
from typing import Any, cast

import numpy as np
import torch
from sklearn.linear_model import LogisticRegression
from torch import nn

from AcuteFindingsLib.errors import RecipeError
from AcuteFindingsLib.networks.pe import PEModel, lasting_peaks
from AcuteFindingsLib.training.recipes.stages import LineStage
from AcuteFindingsLib.training.runs.data import require_both_classes


def fit_lines(network: nn.Module, stacks: Sequence[Mapping[str, Any]], plan: LineStage) -> None:
    """Set the linear answers of a slice encoder and a sequence network, and where the latter starts from.

    Parameters
    ----------
    network
        With an encoder in fields and a sequence network that is residual.
    stacks
        Encodings and labels of whole series, as `runs.encode.encode` gives them.

    Raises
    ------
    RecipeError
        Where the network is another one, or `plan.stack` has not as many weights as the stack output.
    TrainingError
        Where all slices, or none, show the finding.
    """
    if not (isinstance(network, PEModel) and network.encoder.in_fields and network.sequence_network.lasting):
        raise RecipeError("stages.lines: it takes an encoder with fields and a sequence network with lasting: true.")
    sequence = network.sequence_network
    if plan.stack and len(plan.stack) != sequence.stack.in_features:
        raise RecipeError(f"stages.lines.stack: expected {sequence.stack.in_features} weights, got {len(plan.stack)}.")
    labels = np.concatenate([stack["slices"] for stack in stacks])
    known = ~np.isnan(labels)
    require_both_classes(labels[known] >= 0.5, "slices")
    highest = np.concatenate([stack["encodings"].max(axis=1, keepdims=True) for stack in stacks])
    lasting = torch.cat([_lasting(stack["encodings"]) for stack in stacks]).numpy()
    _fit_line(network.encoder.output, highest[known], labels[known] >= 0.5)
    _fit_line(sequence.own, lasting[known], labels[known] >= 0.5)
    last = cast(nn.Linear, sequence.slices[-1])
    for value in (last.weight, last.bias, sequence.stack.bias):
        nn.init.zeros_(value)
    if plan.stack:
        with torch.no_grad():
            sequence.stack.weight[0] = torch.tensor(plan.stack)


def _lasting(encodings: np.ndarray) -> torch.Tensor:
    everywhere = torch.ones(1, len(encodings), dtype=torch.bool)
    return lasting_peaks(torch.from_numpy(encodings[None]), everywhere)[0]


def _fit_line(layer: nn.Linear, values: np.ndarray, positive: np.ndarray) -> None:
    """Set weight and bias by logistic regression of ``(n,)`` on `values` ``(n, 1)``, classes of one weight."""
    line = LogisticRegression(class_weight="balanced").fit(values, positive)
    with torch.no_grad():
        layer.weight.copy_(torch.from_numpy(line.coef_))
        layer.bias.copy_(torch.from_numpy(line.intercept_))
