"""Starting a network from the weights of a model package."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy.special import logit
from torch import Tensor, nn

from AcuteFindingsLib.errors import TrainingError
from AcuteFindingsLib.models.find import find_package
from AcuteFindingsLib.models.runtime.torch_weights import load_network

# Parts that a package may hold alone, by their names in whole networks.
_PREFIXES = (
    "",
    "encoder.",
    "encoder.backbone.",
    "backbone.",
    "backbone.network.",
    "parts.encoder.",
    "parts.unet.",
    "unet.",
)


def start_from(network: nn.Module, package: str | Path, *, phantoms_only: bool = False) -> str:
    """Fill a network with the tensors of a package that agree in name and shape; returns how many, in words.

    The package may hold the same network, a part of it, or one that shares a part.

    Parameters
    ----------
    phantoms_only
        Refuse weights that have seen more than phantoms: figures on real images that they were fitted to would be of
        what they learned by heart.

    Raises
    ------
    TrainingError
        Where no tensor fits, or the package has seen more than it may.
    """
    found = find_package(package)
    if phantoms_only and not found.card.training_data.phantoms_only:
        raise TrainingError(
            f"start: the model package {found.id} was fitted to more than phantoms; figures on real images would "
            "flatter it. Name one that was not."
        )
    own = network.state_dict()
    best: dict[str, Tensor] = {}
    stored = load_network(found).state_dict()
    for given in _PREFIXES:
        for wanted in _PREFIXES:
            fitting = _fitting(stored, own, given, wanted)
            if len(fitting) > len(best):
                best = fitting
    if not best:
        raise TrainingError(f"start: no tensor of the model package {found.id} fits the network; name another one.")
    network.load_state_dict(best, strict=False)
    return f"{len(best)} of {len(own)} tensors start from {found.id} {found.version}"


def start_from_frequency(network: Any, labels: Sequence[np.ndarray]) -> None:
    """Let the last layers of a network of findings start from how often each finding occurs.

    Parameters
    ----------
    labels
        ``(n, L)`` each, in the order of the outputs; NaN where unknown.
    """
    every = np.concatenate(labels)
    often = np.nan_to_num(np.nanmean(every, axis=0)).clip(1 / len(every), 0.5)
    first = 0
    for layer in (getattr(network, name, None) for name in ("pathologies", "tubes")):
        if layer is not None:
            with torch.no_grad():
                layer.bias.copy_(torch.from_numpy(logit(often[first : first + layer.out_features])))
            first += layer.out_features


def _fitting(stored: Mapping[str, Tensor], own: Mapping[str, Tensor], given: str, wanted: str) -> dict[str, Tensor]:
    pairs = ((wanted + name.removeprefix(given), value) for name, value in stored.items() if name.startswith(given))
    return {name: value for name, value in pairs if name in own and own[name].shape == value.shape}
