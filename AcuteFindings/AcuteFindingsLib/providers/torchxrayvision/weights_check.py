"""A pickled network proven harmless before its own package opens it."""

import codecs
import inspect
import pickle
from collections import OrderedDict
from collections.abc import Iterable
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import torch
from torch import nn

from AcuteFindingsLib.errors import ProviderError

_BUILTINS = (set, frozenset, bytearray, complex)
_REBUILDERS = ("_rebuild_tensor", "_rebuild_tensor_v2", "_rebuild_parameter")


def prove_harmless(file: Path, *, modules: Iterable[ModuleType] = ()) -> None:
    """See to it that a file holds tensors, plain values and layers only, so that opening it runs no code of its own.

    TorchXRayVision publishes whole pickled networks and opens them with ``torch.load(weights_only=False)``; torch's own
    ``weights_only=True`` refuses whole networks in torch's old format. Here they are read by an unpickler that knows
    the names of layers and tensors and nothing else (https://docs.python.org/3/library/pickle.html, "Restricting
    Globals").

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
    allowed = _allowed(modules)

    class Reader(pickle.Unpickler):
        def find_class(self, module: str, name: str) -> Any:
            try:
                return allowed[module, name]
            except KeyError:
                raise _AsksForMoreError(f"{module}.{name}") from None

    def load(stream: Any, **named: Any) -> Any:
        return Reader(stream, **named).load()

    reader = SimpleNamespace(__name__="reader", Unpickler=Reader, load=load, UnpicklingError=pickle.UnpicklingError)
    try:
        torch.load(file, map_location="cpu", pickle_module=reader, weights_only=False)
    except _AsksForMoreError as error:
        raise ProviderError(
            f"{file} holds more than weights, and opening it could run code (it asks for {error}); nothing was loaded. "
            "Delete the file, so that it is fetched again."
        ) from error
    # Whatever reading a broken file raises, the person needs to know which one it is.
    except Exception as error:
        raise ProviderError(
            f"{file} is damaged ({str(error)[:120]}); delete it, so that it is fetched again."
        ) from error


class _AsksForMoreError(Exception):
    """A pickle names something that is neither layer nor tensor."""


def _allowed(modules: Iterable[ModuleType]) -> dict[tuple[str, str], Any]:
    layers = [member for _, member in inspect.getmembers(nn.modules, inspect.ismodule)]
    found: dict[tuple[str, str], Any] = {
        (cls.__module__, cls.__name__): cls for module in (*layers, *modules) for cls in _networks_of(module)
    }
    found.update({(place, cls.__name__): cls for cls in _BUILTINS for place in ("builtins", "__builtin__")})
    found.update({("torch._utils", name): getattr(torch._utils, name) for name in _REBUILDERS})
    found.update({("torch", name): getattr(torch, name) for name in dir(torch) if name.endswith("Storage")})
    found["torch.nn.parameter", "Parameter"] = nn.Parameter
    found["torch", "Size"] = torch.Size
    found["collections", "OrderedDict"] = OrderedDict
    found["_codecs", "encode"] = codecs.encode
    found["numpy", "dtype"] = np.dtype
    found["numpy", "str_"] = np.str_
    scalar = np.float64(0).__reduce__()[0]
    found.update({(f"numpy.{core}.multiarray", "scalar"): scalar for core in ("core", "_core")})
    return found


def _networks_of(module: ModuleType) -> list[type]:
    return [
        cls
        for _, cls in inspect.getmembers(module, inspect.isclass)
        if issubclass(cls, nn.Module) and cls.__module__ == module.__name__
    ]
