"""Layers of a Keras file matched with our own modules by graph order and shape, and their arrays as torch has them."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from AcuteFindingsLib.errors import ModelError
from AcuteFindingsLib.models.importing.keras_file import KerasFile, SavedLayer
from AcuteFindingsLib.models.importing.keras_graph import Layer, keras_order, read_graph

_NAMED_FAULTS = 3
_WEIGHTED = ("Conv2D", "BatchNormalization", "LSTM", "Dense")
# What two layers must agree in to compute the same; with the value that Keras takes where nothing is said.
_SETTINGS: dict[str, dict[str, Any]] = {
    "Conv2D": {
        "filters": None,
        "kernel_size": None,
        "strides": (1, 1),
        "padding": "valid",
        "dilation_rate": (1, 1),
        "groups": 1,
        "activation": "linear",
    },
    "Dense": {"units": None, "activation": "linear"},
    "LSTM": {"units": None, "activation": "tanh", "recurrent_activation": "sigmoid"},
    "MaxPooling2D": {"pool_size": (2, 2), "strides": None, "padding": "valid"},
    "AveragePooling2D": {"pool_size": (2, 2), "strides": None, "padding": "valid"},
    "Activation": {"activation": None},
    "Scale": {"scale": None},
}
# They change no number when a model answers, or only how numbers are laid out.
_SILENT = ("InputLayer", "Dropout", "Reshape")
_SAME = {"CustomScaleLayer": "Scale", "Lambda": "Scale", "ReLU": "Activation"}


def torch_weights(
    file: KerasFile, expected: tuple[list[Layer], list[str]], *, name: str, optional: Sequence[str] = ()
) -> tuple[dict[str, torch.Tensor], list[str]]:
    """Match a file's layers with a graph's and return their weights as our network takes them.

    Where the file holds the model's configuration its graph decides which layer is which, and every setting that
    changes the answer (kernel, strides, padding, activation, scale of a block) must be that of the expected one; an
    epsilon of batch norm other than the expected one is put into the variance. Where it holds weights alone, the order
    in which Keras saves them decides. Either way each shape must fit.

    Parameters
    ----------
    file
        As read.
    expected
        Layers, named as our modules, and outputs: see `keras_networks`.
    name
        Of the network, for messages.
    optional
        Modules that the file may lack.

    Returns
    -------
    tuple
        A state dict, and the names of layers of the file that were not needed.

    Raises
    ------
    ModelError
        Names the file and up to three layers that lack, are too many or do not fit.
    """
    wanted = keras_order(*expected)
    given, faults = _in_graph_order(file, [layer for layer in wanted if layer.name not in optional])
    pairs: list[tuple[Layer, SavedLayer]] = []
    left_over: list[str] = []
    for kind in _WEIGHTED:
        ours = [layer for layer in wanted if layer.kind == kind and _has_weights(layer)]
        theirs = [layer for layer in given if layer.kind == kind]
        needed = [layer for layer in ours if layer.name not in optional]
        if kind == "Dense" and len(ours) > len(needed) == 0:
            left_over += [layer.name for layer in theirs]
            continue
        matched, unused = _by_shape(ours, theirs) if kind == "Dense" and not file.ordered else (theirs, [])
        if len(theirs) != len(ours):
            faults.append(f"{len(theirs)} layers {kind} where {len(ours)} belong")
        left_over += [layer.name for layer in unused]
        pairs += zip(ours, matched, strict=False)
    state: dict[str, torch.Tensor] = {}
    epsilons = _epsilons(file)
    unfit = []
    for layer, saved in pairs:
        try:
            state.update(_converted(layer, saved, epsilons.get(saved.name)))
        except ModelError as error:
            unfit.append(str(error))
    unknown = [layer.name for layer in given if layer.kind == "unknown"]
    faults += [f"layer {name!r} is of a kind that the network does not have" for name in unknown]
    faults += unfit
    if faults:
        more = f"; and {len(faults) - _NAMED_FAULTS} more" if len(faults) > _NAMED_FAULTS else ""
        raise ModelError(f"{file.path.name} is not {name}: {'; '.join(faults[:_NAMED_FAULTS])}{more}.")
    return state, left_over


def dense_shapes(file: KerasFile) -> list[tuple[int, ...]]:
    """Return the shapes of the file's dense layers, in its order: what tells a slice model from a backbone."""
    return [layer.arrays["kernel"].shape for layer in file.layers if layer.kind == "Dense"]


def first_channels(file: KerasFile) -> int:
    """Return how many channels the pictures have: the first convolution's, the one that takes fewest.

    Raises
    ------
    ModelError
        When there is no convolution.
    """
    channels = [layer.arrays["kernel"].shape[2] for layer in file.layers if layer.kind == "Conv2D"]
    if not channels:
        raise ModelError(f"{file.path.name} holds no convolution, so it is not a network for pictures.")
    return min(channels)


def _has_weights(layer: Layer) -> bool:
    return not layer.name.startswith("#")


def _in_graph_order(file: KerasFile, wanted: list[Layer]) -> tuple[list[SavedLayer], list[str]]:
    if file.model is None:
        return file.layers, []
    try:
        order = keras_order(*read_graph(file.model))
    except ModelError as error:
        raise ModelError(f"{file.path.name}: {error}.") from error
    faults = _unlike(order, wanted)
    if not file.ordered:
        # Keras 3 counts the layers of each class on its own, in the same order.
        return file.layers, faults
    by_name = {layer.name: layer for layer in file.layers}
    named = [by_name[layer.name] for layer in order if layer.name in by_name]
    return (named if len(named) == len(file.layers) else file.layers), faults


def _unlike(order: list[Layer], wanted: list[Layer]) -> list[str]:
    """Say how two graphs differ, layer by layer in Keras' order; what follows the network itself does not count."""
    faults = []
    for (_, kind, ours), (name, their_kind, theirs) in zip(_signatures(wanted), _signatures(order), strict=False):
        if kind != their_kind:
            faults.append(f"layer {name!r} is {their_kind}, expected {kind}")
        elif ours != theirs:
            key = next(key for key in ours if ours[key] != theirs[key])
            faults.append(f"{key} of layer {name!r} is {theirs[key]}, expected {ours[key]}")
    return faults


def _signatures(layers: list[Layer]) -> list[tuple[str, str, dict[str, Any]]]:
    found = []
    for layer in layers:
        if layer.kind in _SILENT:
            continue
        kind = _SAME.get(layer.kind, layer.kind)
        config = layer.config
        if layer.kind == "Lambda":
            # What it computes is Python code and not looked at; Keras 2 gives a block's scale beside it.
            config = config.get("arguments") or {}
        elif layer.kind == "ReLU":
            config = {"activation": "relu" if config.get("max_value") is None else "relu with a maximum"}
        settings = {}
        for key, default in _SETTINGS.get(kind, {}).items():
            value = config.get(key, default)
            settings[key] = tuple(value) if isinstance(value, list) else value
        found.append((layer.name, kind, settings))
    return found


def _epsilons(file: KerasFile) -> dict[str, float]:
    if file.model is None:
        return {}
    layers, outputs = read_graph(file.model)
    if file.ordered:
        return {layer.name: float(layer.config.get("epsilon", 1e-3)) for layer in layers}
    norms = [layer for layer in keras_order(layers, outputs) if layer.kind == "BatchNormalization"]
    saved = [layer for layer in file.layers if layer.kind == "BatchNormalization"]
    return {s.name: float(n.config.get("epsilon", 1e-3)) for s, n in zip(saved, norms, strict=False)}


def _by_shape(ours: list[Layer], theirs: list[SavedLayer]) -> tuple[list[SavedLayer], list[SavedLayer]]:
    """Match dense layers whose order among classes the file does not tell by how many units they have and take."""
    rest, matched = list(theirs), []
    sizes = _dense_inputs(ours)
    for layer, size in zip(ours, sizes, strict=True):
        fits = [
            saved
            for saved in rest
            if saved.arrays["kernel"].shape[1] == layer.config["units"]
            and size in (None, saved.arrays["kernel"].shape[0])
        ]
        if not fits:
            return theirs, []
        matched.append(fits[0])
        rest = [saved for saved in rest if saved is not fits[0]]
    return matched, rest


def _dense_inputs(ours: list[Layer]) -> list[int | None]:
    """Return how many numbers each dense layer takes where the layer before it says so."""
    sizes: list[int | None] = []
    for number, layer in enumerate(ours):
        before = ours[number - 1] if number else None
        sizes.append(
            before.config["units"] if before and before.name in layer.inbound and before.config["units"] > 1 else None
        )
    return sizes


def _converted(layer: Layer, saved: SavedLayer, epsilon: float | None) -> dict[str, torch.Tensor]:
    arrays = saved.arrays
    if layer.kind == "Conv2D":
        kernel = _shaped(saved, "kernel", (*layer.config["kernel_size"], None, layer.config["filters"]))
        return _with_bias(layer, saved, kernel.transpose(3, 2, 0, 1), layer.config["use_bias"])
    if layer.kind == "Dense":
        return _with_bias(layer, saved, _shaped(saved, "kernel", (None, layer.config["units"])).T, True)
    if layer.kind == "BatchNormalization":
        variance = _shaped(saved, "moving_variance", (None,)).astype(np.float64)
        # Only the sum of variance and epsilon counts.
        variance = variance + (0.0 if epsilon is None else epsilon - layer.config["epsilon"])
        if variance.min() <= -layer.config["epsilon"]:
            raise ModelError(f"layer {saved.name!r} has variances that are not positive")
        count = variance.shape
        values = {
            "weight": arrays.get("gamma", np.ones(count)),
            "bias": arrays.get("beta", np.zeros(count)),
            "running_mean": _shaped(saved, "moving_mean", count),
            "running_var": variance,
        }
        state = {f"{layer.name}.{key}": _tensor(value) for key, value in values.items()}
        return {**state, f"{layer.name}.num_batches_tracked": torch.tensor(0)}
    return _lstm(layer, saved)


def _lstm(layer: Layer, saved: SavedLayer) -> dict[str, torch.Tensor]:
    """Convert both directions: the gates stand in the same order, but Keras has one bias where torch adds two."""
    units = layer.config["units"]
    state = {}
    for theirs, ours in (("forward", "forwards"), ("backward", "backwards")):
        kernel = _shaped(saved, f"{theirs}/kernel", (None, 4 * units))
        recurrent = _shaped(saved, f"{theirs}/recurrent_kernel", (units, 4 * units))
        bias = (
            _shaped(saved, f"{theirs}/bias", (4 * units,)) if f"{theirs}/bias" in saved.arrays else np.zeros(4 * units)
        )
        name = f"{layer.name}.{ours}"
        state[f"{name}.weight_ih_l0"] = _tensor(kernel.T)
        state[f"{name}.weight_hh_l0"] = _tensor(recurrent.T)
        state[f"{name}.bias_ih_l0"] = _tensor(bias)
        state[f"{name}.bias_hh_l0"] = torch.zeros(4 * units)
    return state


def _with_bias(layer: Layer, saved: SavedLayer, weight: np.ndarray, use_bias: bool) -> dict[str, torch.Tensor]:
    state = {f"{layer.name}.weight": _tensor(weight)}
    if use_bias:
        bias = saved.arrays.get("bias", np.zeros(len(weight), np.float32))
        state[f"{layer.name}.bias"] = _tensor(bias)
    elif "bias" in saved.arrays:
        raise ModelError(f"layer {saved.name!r} has a bias where none belongs")
    return state


def _shaped(saved: SavedLayer, key: str, shape: tuple[int | None, ...]) -> np.ndarray:
    """Return an array whose shape is as expected (None: any)."""
    if key not in saved.arrays:
        raise ModelError(f"layer {saved.name!r} has no {key}")
    array = saved.arrays[key]
    fits = len(shape) == array.ndim and all(want in (None, have) for want, have in zip(shape, array.shape, strict=True))
    if not fits:
        told = "×".join("any" if want is None else str(want) for want in shape)
        raise ModelError(f"the {key} of layer {saved.name!r} is {'×'.join(map(str, array.shape))}, expected {told}")
    return array


def _tensor(array: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(np.ascontiguousarray(array, dtype=np.float32))
