"""Weights into a network without running anything that a file brings along."""

import pickle
import zipfile
from collections import OrderedDict
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch.serialization import get_unsafe_globals_in_checkpoint, safe_globals

from AcuteFindingsLib.budgets import budgets
from AcuteFindingsLib.errors import AcuteFindingsError, ModelError
from AcuteFindingsLib.models.checkpoint import require_room, require_state
from AcuteFindingsLib.models.files import METADATA
from AcuteFindingsLib.models.metadata import Network
from AcuteFindingsLib.models.package import BuildNetwork, ModelPackage

_NAMED_FAULTS = 3

# Modules of which a training script keeps no object, and a pickle that wants to run something does.
_RUNNERS = frozenset(
    """builtins __builtin__ os posix nt sys subprocess runpy importlib ctypes socket shutil pty code codeop webbrowser
    pickle marshal types operator threading multiprocessing asyncio signal tempfile io zipfile tarfile urllib http
    requests pip timeit cProfile profile pdb bdb""".split()  # noqa: SIM905
)


def read_state_dict(path: Path) -> dict[str, torch.Tensor]:
    """Read the tensors of a weights file onto the CPU; executes nothing.

    Floating-point tensors of any precision become float32; integer ones (`num_batches_tracked`) stay as they are.

    Parameters
    ----------
    path
        ``.safetensors``, or a PyTorch file (``.pt``, ``.pth``, ``.ckpt``, ``.bin``) that holds tensors by name, also
        inside a checkpoint (`models.checkpoint.WRAPPERS`), beside settings of any class, which are not made.

    Raises
    ------
    ModelError
        When the file is damaged, holds no tensors by name, or is a pickle that asks for more than tensors.
    """
    tensors = _read_safetensors(path) if path.suffix == ".safetensors" else _read_pickle(path)
    _require_plain(tensors, path)
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
        from AcuteFindingsLib.networks import build_stored_network

        build = build_stored_network
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
    package.verify_once()
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
        raise ModelError(f"{path} is not a readable safetensors file: {error}.") from error


def _read_pickle(path: Path) -> dict[str, torch.Tensor]:
    try:
        require_room(path)
        data = _load(path)
    except pickle.UnpicklingError as error:
        # Neither a pickle nor an archive of one: it wants nothing, it is just something else.
        if not _is_pickle(path):
            raise ModelError(f"{path} is not a readable PyTorch weights file: it begins like none.") from error
        raise ModelError(
            f"{path} was refused: it is a pickle that holds more than tensors and could run code when opened; "
            "ask for the weights as safetensors."
        ) from error
    except ModelError:
        raise
    # A damaged pickle may fail in any way inside PyTorch.
    except Exception as error:
        told = " ".join(str(error).split())[:300] or type(error).__name__
        raise ModelError(f"{path} is not a readable PyTorch weights file, or it is damaged: {told}.") from error
    return require_state(data, torch.Tensor, path)


def _load(path: Path) -> object:
    """Unpickle tensors; classes that a training script left beside them are stood in for by ones that do nothing."""
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError:
        if not zipfile.is_zipfile(path):
            raise
        wanted = get_unsafe_globals_in_checkpoint(path)
        if not wanted or any(_runs_code(name) for name in wanted):
            raise
        with safe_globals([(_Nothing, name) for name in wanted]):
            return torch.load(path, map_location="cpu", weights_only=True)


class _Nothing:
    """Stands for any class a training script used: what is made of it is an empty mapping, whatever it is given."""

    def __new__(cls, *_arguments: object, **_named: object) -> "OrderedDict[str, object]":  # type: ignore[misc]
        return OrderedDict()


def _runs_code(name: str) -> bool:
    """Whether a pickle that names this asks for something to be done rather than for a setting of a training."""
    top, _, rest = name.partition(".")
    return top in _RUNNERS or (top == "torch" and (rest.startswith("nn.") or "load" in rest)) or not rest


def _require_plain(tensors: Mapping[str, torch.Tensor], path: Path) -> None:
    """Refuse tensors that hold no plain numbers, or more of them than the file has."""
    values = 0
    for name, tensor in tensors.items():
        kinds = {
            "quantized": tensor.is_quantized,
            "sparse": tensor.layout != torch.strided,
            "meta: it has no numbers": tensor.is_meta,
            "complex": tensor.is_complex(),
            "nested": tensor.is_nested,
        }
        kind = next((kind for kind, found in kinds.items() if found), "")
        if kind:
            raise ModelError(f"{path}: the tensor {name} is not one of plain numbers ({kind}); save it as float32.")
        if tensor.numel() * tensor.element_size() > tensor.untyped_storage().nbytes():
            raise ModelError(f"{path}: the tensor {name} claims {tensor.numel():,} numbers, more than the file holds.")
        values += tensor.numel()
        if values > budgets().network_values:
            raise ModelError(f"{path} holds more than {budgets().network_values / 1e6:.0f} million numbers.")


def _is_pickle(path: Path) -> bool:
    with path.open("rb") as stream:
        return stream.read(2)[:1] == b"\x80" or zipfile.is_zipfile(path)


def _first(faults: list[str]) -> str:
    more = f"; and {len(faults) - _NAMED_FAULTS} more" if len(faults) > _NAMED_FAULTS else ""
    return "; ".join(faults[:_NAMED_FAULTS]) + more
