"""What a file of PyTorch weights is, whoever reads it: how far it may unpack, and where in it the tensors lie."""

import zipfile
from pathlib import Path
from typing import TypeVar, cast

from AcuteFindingsLib.budgets import budgets
from AcuteFindingsLib.errors import ModelError

T = TypeVar("T")

WRAPPERS = (
    *("state_dict", "model_state_dict", "model_state", "model_weights", "model", "net_state_dict", "net", "network"),
    *("module", "weights", "params", "ema", "ema_state_dict", "state_dict_ema", "model_ema", "params_ema"),
)
"""Keys under which training scripts keep a network's tensors, the network as it was trained before its average."""

_DEEPEST_WRAPPER = 4


def require_room(path: Path) -> None:
    """Refuse an archive that unpacks to more than the budget; PyTorch stores its tensors uncompressed.

    Raises
    ------
    ModelError
        It does; says to how much.
    """
    if not zipfile.is_zipfile(path):
        return
    limits = budgets()
    with zipfile.ZipFile(path) as archive:
        entries = archive.infolist()
    total, packed = sum(entry.file_size for entry in entries), sum(entry.compress_size for entry in entries)
    if len(entries) > limits.archive_members or total > limits.archive_bytes:
        raise ModelError(f"{path} unpacks to {total / 1e9:.1f} GB in {len(entries):,} parts, more than any model here.")
    if total > limits.ratio_counts_from and total > limits.unpacked_ratio * max(packed, 1):
        raise ModelError(f"{path} unpacks to far more than its size, as no file of weights does.")


def require_state(data: object, kind: type[T], path: Path) -> dict[str, T]:
    """Return the tensors by name that lie in what was read: itself, under one of `WRAPPERS`, or the only ones.

    Settings, optimizers and other things that training scripts keep beside them are left out.

    Parameters
    ----------
    data
        What a file holds.
    kind
        The class of its tensors.
    path
        The file, for messages.

    Raises
    ------
    ModelError
        There are none, or they have no names; says what the file's entries are.
    """
    # A mapping may hold another, or itself, any number of times: each is searched once.
    searched: dict[int, dict[str, T] | None] = {}

    def search(data: object, depth: int) -> dict[str, T] | None:
        if not isinstance(data, dict) or depth > _DEEPEST_WRAPPER:
            return None
        if id(data) not in searched:
            searched[id(data)] = None
            # What a pickle wrote on a mapping may hide its methods.
            searched[id(data)] = inside(dict(dict.items(data)), depth)
        return searched[id(data)]

    def inside(entries: dict[object, object], depth: int) -> dict[str, T] | None:
        for key in WRAPPERS:
            inner = search(entries.get(key), depth + 1)
            if inner is not None:
                return inner
        tensors = {name: value for name, value in entries.items() if isinstance(value, kind)}
        if tensors:
            if not all(isinstance(name, str) for name in tensors):
                raise ModelError(f"{path} holds tensors that have no names; save the model's state_dict().")
            return cast("dict[str, T]", tensors)
        states = [state for value in entries.values() if (state := search(value, depth + 1)) is not None]
        return states[0] if len(states) == 1 else None

    state = search(data, 0)
    if state is None:
        raise ModelError(
            f"{path} holds no tensors by name (a state dict was expected){_keys(data)}; save the model's state_dict()."
        )
    return state


def _keys(data: object) -> str:
    if not isinstance(data, dict) or not data:
        return ""
    return f"; its entries are {', '.join(ascii(str(key))[:40] for key in list(dict.keys(data))[:8])}"
