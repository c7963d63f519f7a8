"""The tensors of a public model's files under the names that they have here, checked against its graphs."""

import re
from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np

from AcuteFindingsLib.errors import ModelError
from AcuteFindingsLib.models.graphs.check import FLOAT, check_graph
from AcuteFindingsLib.models.graphs.fill import StoredTensors
from AcuteFindingsLib.models.public.description import ImportDescription, WeightsFile
from AcuteFindingsLib.models.public.torch_file import read_torch_file

_NAMED_FAULTS = 3
# How many batches PyTorch's batch norm saw: changes no answer, and files before PyTorch 0.4.1 do not have it.
_COUNTER, _COUNTED = "num_batches_tracked", "running_var"


def prefix_of(key: str, file: WeightsFile) -> str:
    """Return what goes before the names of a file's tensors: its key and a dot where the description says nothing."""
    return f"{key}." if file.prefix is None else file.prefix


def package_name(key: str, file: WeightsFile, name: str) -> str:
    """Return what a tensor of a file is called in the package, in the graphs and in the network's state dict.

    Raises
    ------
    ModelError
        A rename of the description names a group that its pattern has not.
    """
    for rename in file.renames:
        match = re.fullmatch(rename.pattern, name)
        if match is None:
            continue
        try:
            name = match.expand(rename.to)
        except (re.error, IndexError) as error:
            raise ModelError(f"The rename of {rename.pattern!r} to {rename.to!r} does not work: {error}.") from error
        break
    return prefix_of(key, file) + name


def read_tensors(description: ImportDescription, files: Mapping[str, Path]) -> dict[str, np.ndarray]:
    """Read the files of a public model; executes nothing.

    Parameters
    ----------
    files
        By the keys of the description: safetensors, or what `torch.save` wrote.

    Returns
    -------
    dict
        Arrays by their names in the package: floating-point ones float32 and finite, whole numbers int64. What the
        description calls unused is left out; the counters of batch norms that a file lacks are added.

    Raises
    ------
    ModelError
        A file is damaged, holds more than tensors or numbers that are not finite, or two tensors that are not the same
        get one name.
    """
    tensors: dict[str, np.ndarray] = {}
    for key, path in files.items():
        stated = description.files[key]
        unused = [re.compile(pattern) for pattern in stated.unused]
        source = _source(path)
        for name in source:
            if any(pattern.fullmatch(name) for pattern in unused):
                continue
            here = package_name(key, stated, name)
            value = _plain(source[name], name, path)
            if here in tensors and not np.array_equal(tensors[here], value):
                raise ModelError(f"Two tensors of {description.address} would be called {here}, one of them in {key}.")
            # A module that a network has in two places is stored once for each.
            tensors.setdefault(here, value)
    for name in [name for name in tensors if name.endswith(f".{_COUNTED}")]:
        tensors.setdefault(name.removesuffix(_COUNTED) + _COUNTER, np.array(0, np.int64))
    return tensors


def require_fit(
    tensors: Mapping[str, np.ndarray], graphs: Mapping[str, bytes], *, source: str, more: Iterable[str] = ()
) -> None:
    """Compare tensors with what graphs ask for: every name, shape and kind, and none that nothing needs.

    Parameters
    ----------
    source
        What messages call the files.
    more
        Names that are needed beside: tensors of the network that no graph reads.

    Raises
    ------
    ModelError
        Names the first three tensors at fault.
    """
    wanted: dict[str, tuple[tuple[int, ...], int]] = {}
    for file, data in graphs.items():
        wanted |= check_graph(data, name=f"The graph {file}").lacking
    faults = []
    for name, (shape, kind) in wanted.items():
        if name not in tensors:
            faults.append(f"{name} is missing")
        elif tensors[name].shape != shape:
            faults.append(f"{name} is {tensors[name].shape}, expected {shape}")
        elif (tensors[name].dtype.kind == "f") != (kind == FLOAT):
            faults.append(f"{name} is of {tensors[name].dtype}")
    known = {*wanted, *more}
    faults += [f"{name} is not needed here" for name in tensors if name not in known and not name.endswith(_COUNTER)]
    if faults:
        further = f"; and {len(faults) - _NAMED_FAULTS} more" if len(faults) > _NAMED_FAULTS else ""
        raise ModelError(
            f"{source} does not fit the network of its description: {'; '.join(faults[:_NAMED_FAULTS])}{further}. It "
            "may have been changed; import the revision that the description names, or correct the description."
        )


def _source(path: Path) -> Mapping[str, np.ndarray]:
    return StoredTensors(path) if path.suffix == ".safetensors" else read_torch_file(path)


def _plain(value: np.ndarray, name: str, path: Path) -> np.ndarray:
    """Return an array as a package keeps it."""
    if value.dtype.kind == "f":
        value = value.astype(np.float32, copy=False)
        if not np.isfinite(value).all():
            raise ModelError(f"{path.name} holds values that are not finite numbers, in {name}.")
    elif value.dtype.kind in "iub":
        value = value.astype(np.int64, copy=False)
    else:
        raise ModelError(f"{path.name}: the tensor {name} is not one of plain numbers ({value.dtype}).")
    return np.ascontiguousarray(value).reshape(value.shape)
