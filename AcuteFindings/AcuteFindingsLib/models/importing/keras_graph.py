"""Keras models as graphs of layers, and the order in which Keras numbers, saves and loads those layers.

Layer names are chance: Keras counts every layer that a session has made. Which layer is which shows in the graph alone.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from AcuteFindingsLib.errors import ModelError

_MODELS = ("Functional", "Model", "Sequential")


@dataclass(frozen=True)
class Layer:
    """One layer of a Keras model.

    Attributes
    ----------
    name
        In a file, the layer's name there; in a graph to match it with, the name of our own module.
    kind
        Keras' class name, that of the inner layer for `TimeDistributed` and `Bidirectional`.
    config
        The settings that decide what the layer computes, by Keras' names.
    inbound
        Names of the layers whose outputs it takes, in order.
    """

    name: str
    kind: str
    config: dict[str, Any] = field(default_factory=dict)
    inbound: tuple[str, ...] = ()


def keras_order(layers: Sequence[Layer], outputs: Sequence[str]) -> list[Layer]:
    """Sort layers as Keras does, versions 2 and 3 alike: by distance from the output, then as met from the outputs.

    This is the order of `model.layers`, in which HDF5 files list them. Layers that no output needs are left out.

    Parameters
    ----------
    layers
        All layers.
    outputs
        Names of the layers that give the model's outputs, in order.

    Raises
    ------
    ModelError
        When a layer takes its input from one that is not there, or from itself by a circle.
    """
    by_name = {layer.name: layer for layer in layers}
    met: dict[str, int] = {}
    finished: dict[str, None] = {}
    for output in outputs:
        _walk(output, by_name, met, finished)
    depth = dict.fromkeys(finished, 0)
    for name in reversed(finished):
        for source in by_name[name].inbound:
            depth[source] = max(depth[source], depth[name] + 1)
    return [by_name[name] for name in sorted(finished, key=lambda name: (-depth[name], met[name]))]


def _walk(output: str, by_name: Mapping[str, Layer], met: dict[str, int], finished: dict[str, None]) -> None:
    # Without recursion: InceptionResNetV2 is 780 layers deep.
    stack: list[tuple[str, Iterator[str]]] = []
    open_names: set[str] = set()

    def enter(name: str) -> None:
        if name not in by_name:
            raise ModelError(f"the graph names a layer {name!r} that it does not hold")
        if name in open_names:
            raise ModelError(f"the graph runs in a circle at layer {name!r}")
        met.setdefault(name, len(met))
        open_names.add(name)
        stack.append((name, iter(by_name[name].inbound)))

    if output not in finished:
        enter(output)
    while stack:
        name, sources = stack[-1]
        source = next((source for source in sources if source not in finished), None)
        if source is not None:
            enter(source)
            continue
        stack.pop()
        open_names.discard(name)
        finished.setdefault(name, None)


def read_graph(model: Mapping[str, Any]) -> tuple[list[Layer], list[str]]:
    """Read the graph from a model's configuration, as HDF5 and ``.keras`` files hold it; nothing of it is run.

    Models that are layers of the model are replaced by their own layers.

    Parameters
    ----------
    model
        ``{"class_name": ..., "config": {...}}``.

    Returns
    -------
    tuple
        All layers, and the names of those that give the outputs.

    Raises
    ------
    ModelError
        When the configuration is none of a functional or sequential model.
    """
    try:
        return _read_model(model)
    except (KeyError, TypeError, IndexError, AttributeError, RecursionError) as error:
        raise ModelError(f"the model's configuration cannot be read as a graph of layers ({error!r})") from error


def _read_model(model: Mapping[str, Any]) -> tuple[list[Layer], list[str]]:
    kind, config = model["class_name"], model["config"]
    if kind not in _MODELS:
        raise ModelError(f"the model is a {kind}, not a functional or sequential one, so its graph is not in the file")
    entries = config["layers"] if isinstance(config, Mapping) else config
    chain = kind == "Sequential"
    layers: list[Layer] = []
    ends: dict[str, list[str]] = {}
    previous: list[str] = []
    for entry in entries:
        name = entry.get("name") or entry["config"]["name"]
        inbound = previous if chain else [e for s in _sources(entry.get("inbound_nodes", [])) for e in ends.get(s, [s])]
        if entry["class_name"] in _MODELS:
            inner, inner_outputs = _read_model(entry)
            inputs = {layer.name for layer in inner if layer.kind == "InputLayer"}
            # Of several inputs the order would count; the networks looked for have one.
            layers += [
                Layer(layer.name, layer.kind, layer.config, _joined(layer, inputs, inbound))
                for layer in inner
                if layer.name not in inputs
            ]
            ends[name] = inner_outputs
        else:
            layers.append(_layer(name, entry, tuple(inbound)))
            ends[name] = [name]
        previous = ends[name]
    if chain:
        return layers, previous
    outputs = [end for source in _histories(config["output_layers"]) for end in ends.get(source, [source])]
    return layers, outputs


def _joined(layer: Layer, inputs: set[str], inbound: Sequence[str]) -> tuple[str, ...]:
    if not layer.inbound and layer.kind != "InputLayer":
        return tuple(inbound)
    return tuple(new for old in layer.inbound for new in (inbound if old in inputs else (old,)))


def _layer(name: str, entry: Mapping[str, Any], inbound: tuple[str, ...]) -> Layer:
    kind, config = entry["class_name"], entry["config"]
    while kind in ("TimeDistributed", "Bidirectional"):
        if config.get("merge_mode", "concat") != "concat":
            raise ModelError(f"the layer {name!r} merges its two directions by {config['merge_mode']!r}, not 'concat'")
        kind, config = config["layer"]["class_name"], config["layer"]["config"]
    return Layer(name, kind, dict(config), inbound)


def _sources(nodes: Any) -> list[str]:
    return list(_histories(nodes[:1]))


def _histories(value: Any) -> Iterator[str]:
    """Find the names of layers in what Keras 2 (``["name", 0, 0, {}]``) and 3 (``keras_history``) write of a call."""
    if isinstance(value, Mapping):
        if "keras_history" in value:
            yield value["keras_history"][0]
        else:
            for part in value.values():
                yield from _histories(part)
    elif isinstance(value, list | tuple):
        if len(value) >= 3 and isinstance(value[0], str) and isinstance(value[1], int) and isinstance(value[2], int):
            yield value[0]
        else:
            for part in value:
                yield from _histories(part)
