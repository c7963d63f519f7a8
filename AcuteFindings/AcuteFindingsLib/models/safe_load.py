"""Weights into a network without running anything that a file brings along."""

import pickle
import zipfile
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file

from AcuteFindingsLib.errors import AcuteFindingsError, ModelError
from AcuteFindingsLib.models.metadata import Network
from AcuteFindingsLib.models.package import METADATA, BuildNetwork, ModelPackage

_NAMED_FAULTS = 3


def read_state_dict(path: Path) -> dict[str, torch.Tensor]:
    """Read the tensors of a weights file onto the CPU; executes nothing.

    Floating-point tensors of any precision become float32; integer ones (`num_batches_tracked`) stay as they are.

    Parameters
    ----------
    path
        ``.safetensors``, or a PyTorch file (``.pt``, ``.pth``, ``.ckpt``, ``.bin``) that holds tensors by name, also
        under the key ``state_dict``.

    Raises
    ------
    ModelError
        When the file is damaged, holds no tensors by name, or is a pickle that asks for more than tensors.
    """
    tensors = _read_safetensors(path) if path.suffix == ".safetensors" else _read_pickle(path)
    return {name: tensor.float() if tensor.is_floating_point() else tensor for name, tensor in tensors.items()}


def check_state_dict(state: Mapping[str, torch.Tensor], network: torch.nn.Module, *, source: Path) -> None:
    """Hold tensors against a network: every name, every shape, every value finite.

    Raises
    ------
    ModelError
        Names `source` and the first three tensors at fault.
    """
    expected = network.state_dict()
    faults = []
    for name in [*expected, *(name for name in state if name not in expected)]:
        if name not in state:
            faults.append(f"{name} is missing")
        elif name not in expected:
            faults.append(f"{name} is not in the network")
        elif state[name].shape != expected[name].shape:
            faults.append(f"{name} is {tuple(state[name].shape)}, expected {tuple(expected[name].shape)}")
        elif state[name].is_floating_point() != expected[name].is_floating_point():
            faults.append(f"{name} is {state[name].dtype}, expected {expected[name].dtype}")
    if faults:
        raise ModelError(f"{source} does not fit the network that {METADATA} names: {_first(faults)}.")
    faults = [
        name for name, value in state.items() if value.is_floating_point() and not bool(torch.isfinite(value).all())
    ]
    if faults:
        raise ModelError(f"{source} holds values that are not finite numbers, in {_first(faults)}; train it again.")


def make_network(network: Network, *, source: Path, build: BuildNetwork | None = None) -> torch.nn.Module:
    """Build the network that a card names, with fresh weights.

    Raises
    ------
    ModelError
        When the name or the arguments are not known.
    """
    if build is None:
        from AcuteFindingsLib.networks import build_network

        build = build_network
    try:
        return build(network.name, dict(network.arguments))
    except AcuteFindingsError:
        raise
    except (TypeError, ValueError, LookupError, RuntimeError) as error:
        raise ModelError(
            f"{source}: field 'acutefindings.network' ({network.name!r}) cannot be built: {error}. Update "
            "AcuteFindings or choose another model."
        ) from error


def load_network(package: ModelPackage, *, build: BuildNetwork | None = None) -> torch.nn.Module:
    """Verify a package as a whole and return its network with the weights in it.

    The network is on the CPU, float32, in evaluation mode, without gradients.

    Parameters
    ----------
    package
        As `read_package` gives it.
    build
        Makes the network from its name and arguments; `AcuteFindingsLib.networks.build_network` when None.

    Raises
    ------
    ModelError
        Whatever is wrong with the package, before any tensor is used.
    """
    package.verify_files()
    weights = package.folder / package.weights
    network = make_network(package.card.network, source=package.folder / METADATA, build=build)
    state = read_state_dict(weights)
    check_state_dict(state, network, source=weights)
    network.load_state_dict(state)
    return network.eval().requires_grad_(False)


def _read_safetensors(path: Path) -> dict[str, torch.Tensor]:
    try:
        return load_file(path)
    except (SafetensorError, OSError) as error:
        raise ModelError(f"{path} is no readable safetensors file: {error}.") from error


def _read_pickle(path: Path) -> dict[str, torch.Tensor]:
    try:
        data = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        # Neither a pickle nor an archive of one: it wants nothing, it is just something else.
        if not _is_pickle(path):
            raise ModelError(f"{path} is no readable PyTorch weights file: it begins like none.") from error
        raise ModelError(
            f"{path} was refused: it is a pickle that holds more than tensors and could run code when opened; "
            "ask for the weights as safetensors."
        ) from error
    except (RuntimeError, EOFError, OSError, ValueError, LookupError, AttributeError, TypeError) as error:
        raise ModelError(f"{path} is no readable PyTorch weights file: {error}.") from error
    if isinstance(data, Mapping) and isinstance(data.get("state_dict"), Mapping):
        data = data["state_dict"]
    if not isinstance(data, Mapping) or not data or not all(isinstance(item, torch.Tensor) for item in data.values()):
        raise ModelError(f"{path} holds no tensors by name (a state dict was expected); save the model's state_dict().")
    return dict(data)


def _is_pickle(path: Path) -> bool:
    with path.open("rb") as stream:
        return stream.read(2)[:1] == b"\x80" or zipfile.is_zipfile(path)


def _first(faults: list[str]) -> str:
    more = f"; and {len(faults) - _NAMED_FAULTS} more" if len(faults) > _NAMED_FAULTS else ""
    return "; ".join(faults[:_NAMED_FAULTS]) + more
