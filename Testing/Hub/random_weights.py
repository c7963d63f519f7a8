"""Networks with random weights whose answers are of a sane size."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn

from AcuteFindingsLib.models.graphs.export import PartModule, network_parts
from AcuteFindingsLib.models.runtime.gradcam import maps_of_its_own
from AcuteFindingsLib.networks import build_network


def random_network(name: str, arguments: dict[str, Any], images: torch.Tensor | None = None, *, seed: int = 23) -> Any:
    """Return `build_network(name, arguments)` with random weights, in evaluation mode, without gradients.

    Parameters
    ----------
    images
        ``(n, c, y, x)`` or ``(n, c, z, y, x)`` float32, at least two: what the network is shown, so that the statistics
        of its batch norms are those of its own activations. Without them activations reach a million, and float noise
        alone exceeds any bound. None for a network without batch norms.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = build_network(name, arguments)
        if images is not None:
            settle(network, images)
    return network.eval().requires_grad_(False)


def settle(network: nn.Module, images: torch.Tensor) -> None:
    """Take the statistics of a network's batch norms from what it makes of images, in one pass in training mode."""
    with torch.no_grad(), _measuring(network):
        first: dict[str, torch.Tensor] = {}
        for part, reads in network_parts(network).items():
            inputs = first[reads][None] if reads else images
            own = maps_of_its_own(network, part)
            # What draws maps has batch norms too.
            given = PartModule(network, part).named(inputs) if own is None else own(inputs)[0]
            first = first or given


@contextmanager
def _measuring(network: nn.Module) -> Iterator[None]:
    norms = [one for one in network.modules() if isinstance(one, nn.modules.batchnorm._BatchNorm)]
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        # The average of all passes, so of the one.
        norm.momentum = None
        norm.reset_running_stats()
    network.train()
    try:
        yield
    finally:
        network.eval()
        for norm, momentum in zip(norms, momenta, strict=True):
            norm.momentum = momentum
