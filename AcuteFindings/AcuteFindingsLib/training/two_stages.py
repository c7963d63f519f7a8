"""Fitting in two stages: what the second goes on from, as a package keeps it."""

from collections.abc import Mapping
from pathlib import Path

from torch import Tensor, nn

from AcuteFindingsLib.errors import ModelError
from AcuteFindingsLib.models.metadata import Network
from AcuteFindingsLib.models.package import read_package
from AcuteFindingsLib.models.runtime.torch_weights import load_network


def fitted_before(folder: Path, *, task: str, network: Network) -> nn.Module:
    """Return the network of a package that a first stage wrote.

    Raises
    ------
    ModelError
        It is not of this task and shape, or has seen more than phantoms: a figure on real images that it was fitted to
        would be of what it learned by heart.
    """
    package = read_package(folder)
    if (package.card.task, package.card.network) != (task, network):
        raise ModelError(f"--start {folder} holds {package.card.title}; expected {network.name} as the model has it.")
    if not package.card.training_data.phantoms_only:
        raise ModelError(f"--start {folder} was fitted to more than phantoms: figures on real images would flatter it.")
    return load_network(package)


def stored_precision(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return weights as a package keeps them, so that what is measured is what ships."""
    return {
        name: value.half().float() if value.is_floating_point() and value.ndim > 1 else value.clone()
        for name, value in weights.items()
    }
