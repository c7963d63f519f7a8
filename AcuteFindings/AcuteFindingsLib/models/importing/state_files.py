"""State dicts as people's training scripts leave them: inside checkpoints, under prefixes, with old names."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch

from AcuteFindingsLib.errors import ModelError
from AcuteFindingsLib.models.runtime.torch_weights import read_state_dict

_NAMED_FAULTS = 3
_AVERAGE = re.compile(r"(^|[._])(ema|teacher|average|averaged|swa|momentum|shadow)([._]|$)")
_SUFFIXES = (".safetensors", ".pt", ".pth", ".ckpt", ".bin", ".tar", ".pkl")


def read_state(path: Path, *, anchor: str) -> dict[str, torch.Tensor]:
    """Read a state dict and take off whatever stands before the names of the network itself.

    Parameters
    ----------
    path
        ``.safetensors`` or a PyTorch file; read without running anything in it.
    anchor
        The end of a name that the network has once, such as ``features.conv0.weight``: what stands before it is a
        prefix (``module.``, ``model.``, ``densenet121.``).

    Raises
    ------
    ModelError
        When the file is missing, damaged, wants to run code, or holds no such name.
    """
    return split_state(path, anchor=anchor)[0]


def split_state(path: Path, *, anchor: str) -> tuple[dict[str, torch.Tensor], dict[str, torch.Tensor]]:
    """Return what `read_state` does, and the tensors that lie beside that network, by their whole names."""
    if not path.is_file():
        raise ModelError(f"There is no file {path}; correct the path.")
    if path.suffix.lower() not in _SUFFIXES:
        raise ModelError(f"{path.name} is not a file of PyTorch weights; expected one of {', '.join(_SUFFIXES)}.")
    # `torch.compile` puts `_orig_mod` before, or between, names.
    state = {name.replace("_orig_mod.", ""): value for name, value in read_state_dict(path).items()}
    anchors = [name for name in state if name == anchor or name.endswith(f".{anchor}")]
    if not anchors:
        some = ", ".join(list(state)[:_NAMED_FAULTS])
        raise ModelError(f"{path.name} holds another network: there is no {anchor} in it (it begins with {some}).")
    # An average of the weights, or a teacher, beside the network that was trained.
    own = [name for name in anchors if not _AVERAGE.search(name.removesuffix(anchor))] or anchors
    if len(own) > 1:
        where = ", ".join(name.removesuffix(anchor).rstrip(".") or "the top" for name in own[:_NAMED_FAULTS])
        raise ModelError(
            f"{path.name} holds {len(own)} such networks ({where}); save the state_dict() of the one meant."
        )
    prefix = own[0].removesuffix(anchor)
    inside = {name.removeprefix(prefix): value for name, value in state.items() if name.startswith(prefix)}
    others = tuple(name.removesuffix(anchor) for name in anchors if name != own[0])
    return inside, {
        name: value for name, value in state.items() if not name.startswith(prefix) and not name.startswith(others)
    }


def fill_counters(state: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Add the counters of batches that PyTorch before 0.4.1 did not save; they change no answer."""
    filled = dict(state)
    for name in state:
        if name.endswith(".running_var"):
            filled.setdefault(name.replace("running_var", "num_batches_tracked"), torch.tensor(0))
    return filled


def require_fit(state: Mapping[str, torch.Tensor], network: torch.nn.Module, *, source: str, what: str) -> None:
    """Hold weights against a network: names, shapes and finite values.

    Raises
    ------
    ModelError
        Names `source` and the first three tensors at fault.
    """
    expected = network.state_dict()
    faults = [f"{name} is missing" for name in expected if name not in state]
    faults += [
        f"{name} is {tuple(state[name].shape)}, expected {tuple(value.shape)}"
        for name, value in expected.items()
        if name in state and state[name].shape != value.shape
    ]
    faults += [f"{name} is not in the network" for name in state if name not in expected]
    if faults:
        raise ModelError(f"{source} does not fit {what}: {first_faults(faults)}.")
    faults = [name for name, value in state.items() if value.is_floating_point() and not value.isfinite().all()]
    if faults:
        raise ModelError(f"{source} holds values that are not finite numbers, in {first_faults(faults)}.")


def first_faults(faults: Sequence[str]) -> str:
    """Return the first three, and how many more there are."""
    more = f"; and {len(faults) - _NAMED_FAULTS} more" if len(faults) > _NAMED_FAULTS else ""
    return "; ".join(faults[:_NAMED_FAULTS]) + more
