"""Starting a network from the weights of a model package."""

from collections.abc import Mapping
from pathlib import Path

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


def start_from(network: nn.Module, package: str | Path) -> str:
    """Fill a network with the tensors of a package that agree in name and shape; returns how many, in words.

    The package may hold the same network, a part of it, or one that shares a part.

    Raises
    ------
    TrainingError
        Where none fits.
    """
    found = find_package(package)
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


def _fitting(stored: Mapping[str, Tensor], own: Mapping[str, Tensor], given: str, wanted: str) -> dict[str, Tensor]:
    pairs = ((wanted + name.removeprefix(given), value) for name, value in stored.items() if name.startswith(given))
    return {name: value for name, value in pairs if name in own and own[name].shape == value.shape}
