"""Networks with random weights whose answers are of a sane size."""

from typing import Any

import torch


def random_network(name: str, arguments: dict[str, Any], images: torch.Tensor | None = None, *, seed: int = 23) -> Any:
    """Return `build_network(name, arguments)` with random weights, in evaluation mode.

    Parameters
    ----------
    images
        ``(n, c, y, x)`` or ``(n, c, z, y, x)`` float32: what the network is shown, so that the statistics of its batch
        norms are those of its own activations. Without them activations reach a million, and float noise alone exceeds
        any bound. None for a network without batch norms.
    """
    raise NotImplementedError
