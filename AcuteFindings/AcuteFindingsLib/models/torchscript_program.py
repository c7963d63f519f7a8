"""TorchScript files run by PyTorch.

A TorchScript file is a program, though one in a small language without Python: `check_torchscript` reads it first.
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

from AcuteFindingsLib.errors import ModelError
from AcuteFindingsLib.models.torchscript_check import check_torchscript


def load_torchscript(path: Path, *, device: str) -> Callable[[np.ndarray], list[np.ndarray]]:
    """Load a TorchScript file of one input.

    Raises
    ------
    ModelError
        When the file is damaged or no TorchScript.
    """
    module = _load(path, device)

    def run(batch: np.ndarray) -> list[np.ndarray]:
        return [value.float().cpu().numpy() for value in _call(module, path, batch, device).values()]

    return run


def torchscript_outputs(path: Path, batch: np.ndarray) -> list[str]:
    """Return the names of the outputs for one batch, in order; ``""`` for those that have none."""
    return list(_call(_load(path, "cpu"), path, batch, "cpu"))


def _load(path: Path, device: str) -> Any:
    check_torchscript(path)
    try:
        return torch.jit.load(str(path), map_location=device).eval()
    except (RuntimeError, ValueError, OSError) as error:
        raise ModelError(f"{path.name} is no readable TorchScript file: {_line(error)}.") from error


def _call(module: Any, path: Path, batch: np.ndarray, device: str) -> dict[str, torch.Tensor]:
    try:
        with torch.inference_mode():
            outputs = module(torch.from_numpy(np.array(batch, dtype=np.float32)).to(device))
    except RuntimeError as error:
        raise ModelError(f"{path.name} could not process a batch of shape {batch.shape}: {_line(error)}.") from error
    if isinstance(outputs, Mapping):
        return dict(outputs)
    several = outputs if isinstance(outputs, tuple | list) else [outputs]
    if not several or not all(isinstance(value, torch.Tensor) for value in several):
        raise ModelError(f"{path.name} does not answer with tensors.")
    # Names that can be told apart and that no detector knows.
    return {f"{number}": value for number, value in enumerate(several)}


def _line(error: Exception) -> str:
    return (" ".join(str(error).split())[:300] or type(error).__name__).rstrip(".")
