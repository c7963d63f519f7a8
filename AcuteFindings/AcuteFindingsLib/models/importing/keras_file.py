"""Weights out of the files that Keras writes: HDF5 of Keras 2 and 3, ``.keras`` archives; nothing in them is run."""

import io
import re
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from AcuteFindingsLib.budgets import budgets
from AcuteFindingsLib.errors import ModelError
from AcuteFindingsLib.files import ZIP_FAILS
from AcuteFindingsLib.models.files import parse_json

if TYPE_CHECKING:
    import h5py

# Keras 3's files of weights name no weights, they number them: in the order in which a layer makes them.
_NUMBERED = {
    "Conv2D": ("kernel", "bias"),
    "Dense": ("kernel", "bias"),
    "LSTM": ("kernel", "recurrent_kernel", "bias"),
}
_ENDINGS = (".h5", ".hdf5", ".keras")
_STATISTICS = ("moving_mean", "moving_variance")


@dataclass
class SavedLayer:
    """A layer's arrays as the file has them.

    Attributes
    ----------
    name
        As the file has it.
    kind
        Told by the arrays: ``"Conv2D"``, ``"BatchNormalization"``, ``"Dense"``, ``"LSTM"`` or ``"unknown"``.
    arrays
        By Keras' names: ``kernel``, ``bias``, ``gamma``, ``beta``, ``moving_mean``, ``moving_variance``,
        ``recurrent_kernel``; of the two directions of an LSTM ``forward/kernel`` and so on.
    """

    name: str
    kind: str
    arrays: dict[str, np.ndarray] = field(default_factory=dict)


@dataclass
class KerasFile:
    """What a file of Keras holds.

    Attributes
    ----------
    path
        The file.
    layers
        Those that have weights, in the order of the file.
    ordered
        Whether that is Keras' own order throughout (`keras_graph.keras_order`); else for each kind of layer alone.
    model
        The model's configuration, where the file has it.
    version
        Keras' version as the file states it; empty where it does not.
    nested
        Whether a model is a layer of the model.
    """

    path: Path
    layers: list[SavedLayer]
    ordered: bool
    model: Mapping[str, Any] | None
    version: str
    nested: bool = False


def is_keras(path: Path) -> bool:
    """Whether a file's ending is one of Keras."""
    return path.is_file() and path.suffix.lower() in _ENDINGS


def read_keras_file(path: Path) -> KerasFile:
    """Read a file that Keras wrote.

    Parameters
    ----------
    path
        ``.h5`` or ``.hdf5`` of Keras 2 or 3 (a whole model or its weights), ``.weights.h5`` or ``.keras`` of Keras 3.

    Raises
    ------
    ModelError
        When the file is none of these, truncated, or leads to other files.
    """
    if not path.is_file():
        raise ModelError(f"There is no file {path}; correct the path.")
    try:
        if zipfile.is_zipfile(path):
            return _read_archive(path)
        with _open(path) as file:
            return _read_hdf5(path, file)
    except ModelError:
        raise
    except ImportError as error:
        raise ModelError(
            f"{path.name} is an HDF5 file, and reading it needs the package h5py: pip install 'acutefindings[torch]'."
        ) from error
    except (*ZIP_FAILS, KeyError, TypeError) as error:
        raise ModelError(
            f"{path.name} is not a readable Keras file, or it is truncated ({' '.join(str(error).split())}); "
            "fetch or save it again."
        ) from error


@contextmanager
def _open(source: Path | io.BytesIO) -> "Iterator[h5py.File]":
    import h5py

    with h5py.File(source, "r") as file:
        yield file


def _read_archive(path: Path) -> KerasFile:
    with zipfile.ZipFile(path) as archive:
        if not {"config.json", "model.weights.h5"} <= set(archive.namelist()):
            raise ModelError(
                f"{path.name} is a zip archive, but not a .keras file: config.json or model.weights.h5 is missing."
            )
        weights = archive.getinfo("model.weights.h5")
        _require_unpackable(path, weights.file_size, packed=weights.compress_size)
        for name in ("config.json", "metadata.json"):
            if name in archive.namelist() and archive.getinfo(name).file_size > budgets().text_bytes:
                raise ModelError(f"{path.name} holds a {name} larger than {budgets().text_bytes >> 20} MB.")
        model = parse_json(archive.read("config.json"), source=path.name)
        version = ""
        if "metadata.json" in archive.namelist():
            version = str(parse_json(archive.read("metadata.json"), source=path.name).get("keras_version", ""))
        with _open(io.BytesIO(archive.read("model.weights.h5"))) as file:
            layers = _numbered_layers(path, file)
            return KerasFile(path, layers, False, model, version, _is_nested(layers))


def _is_nested(layers: list[SavedLayer]) -> bool:
    return any(layer.name.count("layers/") > 1 for layer in layers)


def _read_hdf5(path: Path, file: "h5py.File") -> KerasFile:
    _refuse_links(path, file)
    group = file.get("model_weights", file)
    model = None
    if "model_config" in file.attrs:
        model = parse_json(_text(file.attrs["model_config"]), source=path.name)
    version = _text(group.attrs.get("keras_version", file.attrs.get("keras_version", "")))
    if "layer_names" in group.attrs or "layer_names0" in group.attrs:
        entries = [_named_layers(group[name], name) for name in _names(group, "layer_names")]
        layers = [layer for entry in entries for layer in entry]
        return KerasFile(path, layers, True, model, version, any(len(entry) > 1 for entry in entries))
    if any("layers" in name for name in file):
        layers = _numbered_layers(path, file)
        return KerasFile(path, layers, False, model, version, _is_nested(layers))
    raise ModelError(f"{path.name} is an HDF5 file, but Keras did not write it: it lists no layers.")


def _refuse_links(path: Path, file: "h5py.File") -> None:
    import h5py

    total = 0
    packed = file.id.get_filesize()

    def look(group: Any, depth: int) -> None:
        nonlocal total
        # A group that holds itself has no end.
        if depth > budgets().nesting:
            raise ModelError(f"{path.name} nests its groups more than {budgets().nesting} levels deep; do not use it.")
        for name in group:
            link = group.get(name, getlink=True)
            if not isinstance(link, h5py.HardLink):
                raise ModelError(f"{path.name} was refused: {name!r} in it is a link to another place or file.")
            item = group[name]
            if isinstance(item, h5py.Group):
                look(item, depth + 1)
                continue
            if item.external or item.is_virtual:
                raise ModelError(f"{path.name} was refused: the numbers of {name!r} lie in another file.")
            total += item.nbytes
            _require_unpackable(path, total, packed=packed)

    look(file, 0)


def _require_unpackable(path: Path, size: int, *, packed: int) -> None:
    limits = budgets()
    if size > limits.unpacked_bytes:
        raise ModelError(
            f"{path.name} unpacks to more than {limits.unpacked_bytes >> 30} GB, more than any of these models has."
        )
    if size > limits.ratio_counts_from and size > limits.unpacked_ratio * packed:
        raise ModelError(
            f"{path.name} unpacks to {size / max(packed, 1):,.0f} times its size, which weights never do. Do not use "
            "it."
        )


def _named_layers(group: "h5py.Group", name: str) -> list[SavedLayer]:
    """Read one entry of Keras' older layout; a model that is a layer gives several."""
    parts: dict[str, dict[str, np.ndarray]] = {}
    for weight in _names(group, "weight_names"):
        parent, _, leaf = weight.rpartition("/")
        parts.setdefault(parent, {})[leaf.split(":")[0]] = np.asarray(group[weight])
    if any("recurrent_kernel" in arrays for arrays in parts.values()):
        merged: dict[str, np.ndarray] = {}
        for parent, arrays in parts.items():
            direction = "backward/" if "backward" in parent else "forward/"
            merged.update({direction + key: value for key, value in arrays.items()})
        return [SavedLayer(name, "LSTM", merged)]
    single = len(parts) == 1
    return [
        SavedLayer(name if single else parent.rsplit("/", 1)[-1], _kind(arrays), arrays)
        for parent, arrays in parts.items()
    ]


def _kind(arrays: Mapping[str, np.ndarray]) -> str:
    if "moving_variance" in arrays:
        return "BatchNormalization"
    kernel = arrays.get("kernel")
    return {4: "Conv2D", 2: "Dense"}.get(kernel.ndim if kernel is not None else 0, "unknown")


def _numbered_layers(path: Path, file: "h5py.File") -> list[SavedLayer]:
    """Read Keras 3's own layout: ``layers/conv2d_7/vars/0``, named by class and counted in Keras' order."""
    _refuse_links(path, file)
    found: dict[str, dict[str, np.ndarray]] = {}

    def visit(name: str, item: Any) -> None:
        parent, _, number = name.rpartition("/")
        if hasattr(item, "shape") and parent.endswith("vars") and not name.startswith("optimizer"):
            found.setdefault(parent.removesuffix("vars").strip("/"), {})[number] = np.asarray(item)

    file.visititems(visit)
    merged: dict[str, dict[str, dict[str, np.ndarray]]] = {}
    for place, arrays in found.items():
        direction = next((part for part in ("forward", "backward") if f"{part}_layer" in place), "")
        top = re.sub(r"/(layer|cell|forward_layer.*|backward_layer.*)$", "", place)
        merged.setdefault(top, {})[direction] = arrays
    layers: list[SavedLayer] = []
    for place in sorted(merged, key=_natural):
        for direction in sorted(merged[place], reverse=True):
            numbers = merged[place][direction]
            values = [numbers[key] for key in sorted(numbers, key=int)]
            kind = _kind_of_numbered(values)
            if kind == "LSTM" and direction == "backward" and layers and layers[-1].name == place:
                layers[-1].arrays.update(_by_name(kind, values, direction))
                continue
            layers.append(SavedLayer(place, kind, _by_name(kind, values, direction or "forward")))
    return layers


def _kind_of_numbered(values: list[np.ndarray]) -> str:
    dimensions = [value.ndim for value in values]
    if dimensions[0] == 4 and len(values) <= 2:
        return "Conv2D"
    if dimensions[:2] == [2, 2]:
        return "LSTM"
    if dimensions[0] == 2 and len(values) <= 2:
        return "Dense"
    return "BatchNormalization" if 2 <= len(values) <= 4 and set(dimensions) == {1} else "unknown"


def _by_name(kind: str, values: list[np.ndarray], direction: str) -> dict[str, np.ndarray]:
    if kind == "BatchNormalization":
        # Neither array says which it is where there are three; Keras' networks leave out the scale, never the center.
        names = {2: (), 3: ("beta",), 4: ("gamma", "beta")}[len(values)]
        return dict(zip((*names, *_STATISTICS), values, strict=True))
    prefix = f"{direction}/" if kind == "LSTM" else ""
    return {prefix + name: value for name, value in zip(_NUMBERED.get(kind, ()), values, strict=False)}


def _natural(text: str) -> list[Any]:
    return [(int(part), "") if part.isdigit() else (-1, part) for part in re.split(r"(\d+)", text)]


def _names(group: "h5py.Group", attribute: str) -> list[str]:
    """Read a list of names; Keras splits long ones into ``layer_names0``, ``layer_names1`` and so on."""
    if attribute in group.attrs:
        return [_text(name) for name in group.attrs[attribute]]
    names: list[str] = []
    number = 0
    while f"{attribute}{number}" in group.attrs:
        names += [_text(name) for name in group.attrs[f"{attribute}{number}"]]
        number += 1
    return names


def _text(value: Any) -> str:
    return value.decode("utf-8") if isinstance(value, bytes) else str(value)
