"""A torch network as ONNX graphs without weights, one a part that detectors call."""

import contextlib
import io
import logging
import re
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from AcuteFindingsLib.errors import ModelError
from AcuteFindingsLib.models.graphs.check import FLOAT, FOLDER, INT64, LATEST_IR, check_graph

OPSET = 18
"""Set of operators of the graphs: the one that PyTorch translates its own to; ONNX Runtime reads it since 1.14."""

_PREFIX = "network."


@dataclass(frozen=True)
class ExportedGraph:
    """One part of a network.

    Attributes
    ----------
    graph
        The file: ONNX without the tensors of the network's state dict, which it names.
    outputs
        Names of what it gives, in order.
    """

    graph: bytes
    outputs: tuple[str, ...]


def network_parts(network: nn.Module) -> dict[str, str]:
    """Return the parts of a network that detectors call, and which output of the first one each reads.

    A network of several parts names them in `graph_parts`: ``{"encode": "", "sequence": "encoding"}``. The first takes
    images; a part that reads an output takes it as sequences, ``(n, length, numbers)``. Others are called whole.
    """
    return dict(getattr(network, "graph_parts", None) or {"": ""})


def graph_file(part: str) -> str:
    """Return where the graph of a part is in a package."""
    return f"{FOLDER}/{part or 'forward'}.onnx"


def export_graphs(network: nn.Module, images: torch.Tensor, *, length: int | None = None) -> dict[str, ExportedGraph]:
    """Write every part of a network as an ONNX graph without weights.

    Parameters
    ----------
    network
        In evaluation mode, on the CPU.
    images
        ``(n, c, y, x)`` float32, at least two, as the network is shown them: their size is that of the graphs, their
        number is free. Of volumes ``(n, c, z, y, x)`` the size is free too, in multiples of the network's `divisor`.
    length
        Slices of a sequence for parts that read another; free when None.

    Returns
    -------
    dict
        By part, in the network's order.

    Raises
    ------
    ModelError
        PyTorch cannot write the network as operators of ONNX, or what does that is not installed.
    """
    exported: dict[str, ExportedGraph] = {}
    first: Mapping[str, torch.Tensor] = {}
    for part, reads in network_parts(network).items():
        inputs = images
        if reads:
            value = first[reads]
            inputs = value[torch.arange((length or 5) * 2) % len(value)].reshape(2, length or 5, -1)
        module = PartModule(network, part).eval()
        with torch.no_grad():
            named = module.named(inputs)
            first = first or named
            exported[part] = export_module(module, inputs, named, free_length=bool(reads) and length is None)
    return exported


class PartModule(nn.Module):
    """A part of a network as a module of one input that gives a tuple; the network's tensors are below `network`."""

    def __init__(self, network: nn.Module, part: str) -> None:
        super().__init__()
        self.network = network
        self.part = part

    def named(self, inputs: torch.Tensor) -> dict[str, torch.Tensor]:
        """Return the outputs by name, in the order of `forward`."""
        outputs = (getattr(self.network, self.part) if self.part else self.network)(inputs)
        return dict(outputs) if isinstance(outputs, Mapping) else {self.part or "output": outputs}

    def forward(self, inputs: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """Return the outputs."""
        return tuple(self.named(inputs).values())


def export_module(
    module: PartModule, inputs: torch.Tensor, named: Mapping[str, torch.Tensor], *, free_length: bool = False
) -> ExportedGraph:
    """Write one module as a graph without the tensors of its network; `named` is what it gives for `inputs`."""
    free: dict[int, Any] = {0: torch.export.Dim("n", min=1)}
    if free_length:
        free[1] = torch.export.Dim("length", min=1)
    if inputs.ndim == 5:
        for axis, (name, step) in enumerate(zip("zyx", _divisor(module.network), strict=True), start=2):
            free[axis] = step * torch.export.Dim(name, min=1)
            # An axis of one step is taken for a fixed one.
            inputs = torch.cat([inputs, inputs], dim=axis) if inputs.shape[axis] <= step else inputs
    # The exporter tells what it does on the way; a failure is raised.
    silent = contextlib.ExitStack()
    silent.enter_context(warnings.catch_warnings())
    silent.enter_context(contextlib.redirect_stdout(io.StringIO()))
    warnings.simplefilter("ignore")
    disabled = logging.root.manager.disable
    logging.disable(logging.WARNING)
    # What PyTorch keeps of an earlier export of these lets it unroll the next one, to a series of one length.
    for operator in (torch.ops.aten.gru.input, torch.ops.aten.lstm.input):
        operator._dispatch_cache.clear()
    try:
        with silent:
            program = torch.onnx.export(
                module,
                (inputs,),
                dynamo=True,
                # Optimized, tensors are computed with beforehand, and have other names.
                optimize=False,
                input_names=["input"],
                output_names=list(named),
                opset_version=OPSET,
                dynamic_shapes=(free,),
                verbose=False,
            )
            model = program.model_proto if program is not None else None
    except ImportError as error:
        raise ModelError(f"writing graphs needs the package {error.name or 'onnxscript'}") from error
    # What fails inside has no common base.
    except Exception as error:
        raise ModelError(f"PyTorch cannot write it as ONNX operators: {_line(error.__cause__ or error)}") from error
    finally:
        logging.disable(disabled)
    graph = _without_weights(model, module.network)
    found = check_graph(graph, name=f"the graph of {module.part or 'forward'}")
    if found.inputs != ("input",) or found.outputs != tuple(named):
        raise ModelError(
            f"its graph takes {', '.join(found.inputs) or 'nothing'} and gives {', '.join(found.outputs)} instead of "
            f"one batch and {', '.join(named)}"
        )
    return ExportedGraph(graph, tuple(named))


def _divisor(network: nn.Module) -> tuple[int, int, int]:
    """Return what the sides ``(z, y, x)`` of a network's volumes are multiples of, as it says itself."""
    stated = getattr(network, "divisor", None)
    if stated is None:
        raise ModelError("it takes volumes and does not say of what their sides are multiples")
    z, y, x = stated
    return z, y, x


def _line(error: BaseException) -> str:
    """Return the beginning of a message as plain text: without colors for terminals."""
    words = re.sub(r"\x1b\[[0-9;]*m", "", str(error)).split()
    return "".join(sign for sign in " ".join(words)[:200] if sign.isprintable()).rstrip(".") or type(error).__name__


def _without_weights(model: Any, network: nn.Module) -> bytes:
    """Leave out tensors of the state dict, whose names and shapes stay, and whatever computes nothing."""
    state = network.state_dict()
    model = _simplified(model, {_PREFIX + name for name in state})
    graph = model.graph
    held = [tensor for tensor in graph.initializer if tensor.name.removeprefix(_PREFIX) in state]
    lacking = {tensor.name: tensor.name.removeprefix(_PREFIX) for tensor in held}
    taken = {name for node in graph.node for name in node.output} | {one.name for one in graph.input}
    if taken & set(lacking.values()):
        raise ModelError(f"two values of its graph are called {min(taken & set(lacking.values()))}")
    kept = [tensor for tensor in graph.initializer if tensor.name not in lacking]
    del graph.initializer[:]
    graph.initializer.extend(kept)
    del graph.value_info[:]
    used = {name for node in graph.node for name in node.input} | {one.name for one in graph.output}
    for tensor in held:
        if tensor.name not in used:
            continue
        value = graph.value_info.add()
        value.name = lacking[tensor.name]
        value.type.tensor_type.elem_type = FLOAT if state[value.name].is_floating_point() else INT64
        for size in tensor.dims:
            value.type.tensor_type.shape.dim.add().dim_value = size
    for node in graph.node:
        node.input[:] = [lacking.get(name, name) for name in node.input]
        node.ClearField("doc_string")
        del node.metadata_props[:]
    for one in (*graph.input, *graph.output, *graph.initializer):
        one.ClearField("doc_string")
        del one.metadata_props[:]
    graph.ClearField("doc_string")
    del graph.metadata_props[:]
    del model.metadata_props[:]
    model.ClearField("doc_string")
    model.ir_version = min(model.ir_version, LATEST_IR)
    return model.SerializeToString(deterministic=True)


def _simplified(model: Any, weights: set[str]) -> Any:
    """Compute beforehand what hangs on no weight.

    The exporter leaves a cast and an expansion between convolution, batch norm and limits, so that ONNX Runtime
    does not join these: the shipped networks take 2.5 to 3 times as long. The weights are inputs meanwhile, so that
    they stay what they are.
    """
    from onnxscript import optimizer

    held = [tensor for tensor in model.graph.initializer if tensor.name in weights]
    for tensor in held:
        value = model.graph.input.add()
        value.name = tensor.name
        value.type.tensor_type.elem_type = tensor.data_type
        for size in tensor.dims:
            value.type.tensor_type.shape.dim.add().dim_value = size
    others = [tensor for tensor in model.graph.initializer if tensor.name not in weights]
    del model.graph.initializer[:]
    model.graph.initializer.extend(others)
    model = optimizer.optimize(model)
    inputs = [value for value in model.graph.input if value.name not in weights]
    del model.graph.input[:]
    model.graph.input.extend(inputs)
    model.graph.initializer.extend(held)
    return model
