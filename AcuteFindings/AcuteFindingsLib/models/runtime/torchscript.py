"""TorchScript files run by PyTorch.

A TorchScript file is a program, though one in a small language without Python: `check_torchscript` reads it first.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from AcuteFindingsLib.errors import ModelError
from AcuteFindingsLib.models.runtime.bounded import Run, load_bounded
from AcuteFindingsLib.models.runtime.torch_predictor import torch_runtime
from AcuteFindingsLib.models.runtime.torchscript_check import as_checked, check_torchscript
from AcuteFindingsLib.study.notice import Notice


def load_torchscript(path: Path, *, device: str) -> Run:
    """Load a TorchScript file of one input; one that may not end into a process of its own.

    Raises
    ------
    ModelError
        When the file is damaged or no TorchScript, or calls what does not only compute.
    """
    endless = check_torchscript(path)
    return load_bounded("torchscript", path, device=device) if endless else open_torchscript(path, device=device)


def open_torchscript(path: Path, *, device: str) -> Run:
    """Load a TorchScript file that was checked into this process; raises `ModelError` where it is damaged."""
    try:
        module = torch.jit.load(as_checked(path), map_location=device).eval()
    except Exception as error:
        raise ModelError(f"{path.name} is not a readable TorchScript file: {_line(error)}.") from error
    return _TorchScript(module, path, device)


@dataclass(frozen=True)
class _TorchScript:
    module: Any
    path: Path
    device: str
    runtime: str = torch_runtime("TorchScript by PyTorch")
    notices: tuple[Notice, ...] = ()

    def __call__(self, batch: np.ndarray) -> dict[str, np.ndarray]:
        outputs = _call(self.module, self.path, batch, self.device)
        return {name: value.float().cpu().numpy() for name, value in outputs.items()}


def _call(module: Any, path: Path, batch: np.ndarray, device: str) -> dict[str, torch.Tensor]:
    try:
        with torch.inference_mode():
            outputs = module(torch.from_numpy(np.array(batch, dtype=np.float32)).to(device))
    # What a program raises itself is no RuntimeError.
    except Exception as error:
        raise ModelError(f"{path.name} could not process a batch of shape {batch.shape}: {_line(error)}.") from error
    if not isinstance(outputs, Mapping):
        several = outputs if isinstance(outputs, tuple | list) else [outputs]
        # Names that can be told apart and that no detector knows.
        outputs = {f"{number}": value for number, value in enumerate(several)}
    if not outputs or not all(isinstance(v, torch.Tensor) and isinstance(name, str) for name, v in outputs.items()):
        raise ModelError(f"{path.name} does not answer with tensors.")
    return dict(outputs)


def _line(error: Exception) -> str:
    return (" ".join(str(error).split())[:300] or type(error).__name__).rstrip(".")
