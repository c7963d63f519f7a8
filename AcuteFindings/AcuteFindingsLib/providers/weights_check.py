"""A pickled network proven harmless before its own package opens it."""

import codecs
import inspect
import pickle
from collections.abc import Iterable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import torch
from torch import nn

from AcuteFindingsLib.errors import ProviderError


def prove_harmless(file: Path, *, modules: Iterable[ModuleType] = ()) -> None:
    """See to it that a file holds tensors, plain values and layers only, so that opening it runs no code of its own.

    TorchXRayVision publishes whole pickled networks and opens them with ``torch.load(weights_only=False)``.

    Parameters
    ----------
    file
        What `torch.load` will be given, in its old or its zip format.
    modules
        Further modules whose network classes may stand in the file; those of `torch.nn` may always.

    Raises
    ------
    ProviderError
        The file asks for anything else, or cannot be read.
    """
    allowed = [*_layers(nn.modules), *(cls for module in modules for cls in _networks_of(module)), *_numpy()]
    try:
        with torch.serialization.safe_globals(allowed):
            torch.load(file, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        reason = next((line.strip() for line in str(error).splitlines() if "GLOBAL" in line), str(error))
        raise ProviderError(
            f"{file} holds more than weights, and opening it could run code ({reason[:160]}); nothing was loaded. "
            "Delete the file, so that it is fetched again."
        ) from error
    except (OSError, EOFError, RuntimeError, ValueError) as error:
        raise ProviderError(
            f"{file} is damaged ({str(error)[:120]}); delete it, so that it is fetched again."
        ) from error


def _layers(package: ModuleType) -> list[type]:
    inside = [member for _, member in inspect.getmembers(package, inspect.ismodule)]
    return [cls for module in inside for cls in _networks_of(module)]


def _networks_of(module: ModuleType) -> list[type]:
    return [
        cls
        for _, cls in inspect.getmembers(module, inspect.isclass)
        if issubclass(cls, nn.Module) and cls.__module__ == module.__name__
    ]


def _numpy() -> list[Any]:
    scalar = np.float64(0).__reduce__()[0]
    types = [getattr(np.dtypes, name) for name in dir(np.dtypes) if name.endswith("DType")]
    return [
        np.dtype,
        codecs.encode,
        *types,
        *((scalar, f"numpy.{core}.multiarray.scalar") for core in ("core", "_core")),
    ]
