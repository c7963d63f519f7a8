"""What a network may be built from where its arguments come out of a file: plain values of bounded size, no addresses.

No `pretrained`, file, address or hub's name gets through to timm, segmentation-models-pytorch or MONAI, and a network
larger than the budget is refused while it is built, before the memory is taken.
"""

import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from AcuteFindingsLib.budgets import budgets
from AcuteFindingsLib.errors import ModelError
from AcuteFindingsLib.names import label_name

MOST = 65_536
"""Largest whole number: channels, layers, pixels. The largest in use here is 1,536."""

_MOST_REAL = 1e9
_MOST_ENTRIES = 4_096
_DEEPEST = 8
_MOST_TENSORS = 12_000


def check_arguments(arguments: Mapping[str, Any], *, network: str) -> None:
    """Refuse arguments that are no plain values of sensible size.

    Texts are names (`label_name`): no path, address or hub's name is one.

    Raises
    ------
    ModelError
        Names the network and the argument.
    """
    for key, value in arguments.items():
        _check(value, f"argument {ascii(key)[:80]} of the network {network!r}", 0)


def without_pretrained(arguments: Mapping[str, Any], *, network: str) -> dict[str, Any]:
    """Return the arguments of a network whose weights are all there: `pretrained` is left out, at any depth.

    Raises
    ------
    ModelError
        `pretrained` asks for weights from elsewhere.
    """
    kept = {}
    for key, value in arguments.items():
        if key == "pretrained":
            if value not in (False, None):
                raise ModelError(
                    f"The network {network!r} asks for pretrained weights, which would be fetched from elsewhere; a "
                    "model package has all of its weights."
                )
            continue
        kept[key] = without_pretrained(value, network=network) if isinstance(value, Mapping) else value
    return kept


@contextmanager
def bounded_memory(network: str) -> Iterator[None]:
    """Refuse a network, while it is built, whose tensors hold more values than `Budgets.network_values`.

    Raises
    ------
    ModelError
        Inside, before the memory is taken.
    """
    from torch.utils._python_dispatch import TorchDispatchMode

    class Bounded(TorchDispatchMode):
        """Counts what is made new: operators that take sizes and no tensor."""

        values = 0
        tensors = 0

        def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            if args and isinstance(args[0], list | tuple) and all(isinstance(side, int) for side in args[0]):
                self.values += math.prod(args[0])
                self.tensors += 1
                if self.values > budgets().network_values or self.tensors > _MOST_TENSORS:
                    raise ModelError(
                        f"The network {network!r} would have more than {budgets().network_values / 1e6:.0f} million "
                        f"weights or {_MOST_TENSORS:,} layers as its arguments ask; do not use this model."
                    )
            return func(*args, **(kwargs or {}))

    with Bounded():
        yield


def _check(value: Any, what: str, depth: int) -> None:
    if depth > _DEEPEST:
        raise ModelError(f"The {what} is nested more than {_DEEPEST} levels deep.")
    if value is None or isinstance(value, bool):
        return
    if isinstance(value, int | float):
        most = MOST if isinstance(value, int) else _MOST_REAL
        if not abs(value) <= most:
            raise ModelError(f"The {what} is {str(value)[:40]}; it must be a number within ±{most:g}.")
    elif isinstance(value, str):
        try:
            label_name(value)
        except ValueError as error:
            raise ModelError(f"The {what} is not a name: {error}.") from error
    elif isinstance(value, Mapping):
        for key, item in value.items():
            _check(str(key), what, depth + 1)
            _check(item, what, depth + 1)
    elif isinstance(value, list | tuple):
        if len(value) > _MOST_ENTRIES:
            raise ModelError(f"The {what} has {len(value):,} entries; at most {_MOST_ENTRIES:,} are taken.")
        for item in value:
            _check(item, what, depth + 1)
    else:
        raise ModelError(f"The {what} is a {type(value).__name__}; numbers, texts, lists and mappings are taken.")
