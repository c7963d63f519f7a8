"""What the tests of the networks share."""

from collections.abc import Callable, Iterator

import pytest
import torch
from torch import Tensor, nn


@pytest.fixture(autouse=True)
def _same_numbers_every_time() -> Iterator[None]:
    state, threads = torch.random.get_rng_state(), torch.get_num_threads()
    torch.manual_seed(0)
    # Small pictures gain nothing from more threads, and suffer where the processors are busy.
    torch.set_num_threads(1)
    yield
    torch.random.set_rng_state(state)
    torch.set_num_threads(threads)


@pytest.fixture(scope="session")
def weights() -> Callable[[nn.Module], int]:
    """Count a network's weights."""
    return lambda module: sum(parameter.numel() for parameter in module.parameters())


@pytest.fixture(scope="session")
def answer() -> Callable[..., dict[str, Tensor]]:
    """Run a network in evaluation mode without gradients."""

    def run(network: nn.Module, *inputs: Tensor) -> dict[str, Tensor]:
        with torch.inference_mode():
            return network.eval()(*inputs)

    return run


@pytest.fixture(scope="session")
def without_gradient() -> Callable[[nn.Module, Tensor], list[str]]:
    """Name the weights that a sum over outputs gives no gradient."""

    def names(network: nn.Module, total: Tensor) -> list[str]:
        network.zero_grad(set_to_none=True)
        total.backward()
        return [name for name, weight in network.named_parameters() if weight.grad is None or not weight.grad.any()]

    return names
