"""What an ONNX file asks for, looked at before anything of it is run: no other file, no foreign code."""

import math
from pathlib import Path
from typing import Any

from AcuteFindingsLib.budgets import budgets
from AcuteFindingsLib.errors import ModelError

_DOMAINS = frozenset(["", "ai.onnx", "ai.onnx.ml", "com.microsoft"])
# Of ONNX Runtime's own operators: this one holds, or names a file with, code compiled for one device.
_REFUSED = frozenset(["EPContext"])
_LOOPS = frozenset(["Loop", "Scan", "SequenceMap"])
_MOST_NODES = 200_000


def check_onnx(path: Path) -> bool:
    """Refuse an ONNX file that reads other files, calls operators from elsewhere, or is larger than any model here.

    Returns
    -------
    bool
        Whether it holds a loop, and so may take a time that is not to be seen in it.

    Raises
    ------
    ModelError
        Says what was found.
    """
    try:
        import onnx
    except ImportError as error:
        raise ModelError(
            "This model is an ONNX file, and checking it needs the package onnx: pip install onnx (about 20 MB)."
        ) from error
    if path.stat().st_size > budgets().unpacked_bytes // 2:
        raise ModelError(f"{path.name} is larger than 2 GB, more than an ONNX file can be.")
    try:
        model = onnx.load_model_from_string(path.read_bytes())
    # protobuf's errors have no common base here.
    except Exception as error:
        raise ModelError(f"{path.name} is not an ONNX model: {' '.join(str(error).split())[:200]}.") from error
    own = {(function.domain, function.name) for function in model.functions}
    work: list[tuple[Any, int]] = [(model.graph, 0), *((function, 0) for function in model.functions)]
    nodes = values = 0
    loops = False
    while work:
        graph, depth = work.pop()
        if depth > budgets().nesting:
            raise ModelError(f"{path.name} nests its graphs more than {budgets().nesting} levels deep; do not use it.")
        tensors = list(getattr(graph, "initializer", ()))
        for sparse in getattr(graph, "sparse_initializer", ()):
            tensors += [sparse.values, sparse.indices]
        for node in graph.node:
            nodes += 1
            if (node.domain not in _DOMAINS or node.op_type in _REFUSED) and (node.domain, node.op_type) not in own:
                raise ModelError(
                    f"{path.name} was refused: its operator {node.domain!a}.{node.op_type!a} is not one of "
                    "ONNX, so it would run code from elsewhere."
                )
            loops = loops or node.op_type in _LOOPS
            if node.op_type == "Loop" and not (node.input and node.input[0]):
                raise ModelError(f"{path.name} was refused: it holds a loop without a limit on its iterations.")
            for attribute in node.attribute:
                tensors += [attribute.t, *attribute.tensors]
                for sparse in (attribute.sparse_tensor, *attribute.sparse_tensors):
                    tensors += [sparse.values, sparse.indices]
                work += [
                    (inner, depth + 1) for inner in (*attribute.graphs, *([attribute.g] if attribute.g.node else ()))
                ]
        for tensor in tensors:
            if tensor.data_location == onnx.TensorProto.EXTERNAL or tensor.external_data:
                raise ModelError(
                    f"{path.name} was refused: its weights are in another file. Save the model as one file "
                    "(onnx.save without external data), and import that."
                )
            values += math.prod(tensor.dims)
        if nodes > _MOST_NODES or values > budgets().network_values:
            raise ModelError(f"{path.name} is larger than any model here ({nodes:,} operators, {values:,} numbers).")
    try:
        unfolded = _unfolded(model)
    except RecursionError:
        unfolded = math.inf
    if unfolded > _MOST_NODES:
        raise ModelError(f"{path.name} was refused: its functions call each other too often.")
    return loops


def _unfolded(model: Any) -> float:
    """Return how many operators a model has once each call of its own functions stands for what that does."""
    functions = {(function.domain, function.name): function for function in model.functions}
    sizes: dict[tuple[str, str], float] = {}

    def size(graph: Any) -> float:
        total = 0.0
        for node in graph.node:
            key = (node.domain, node.op_type)
            if key in functions and key not in sizes:
                # One that calls itself has no end.
                sizes[key] = math.inf
                sizes[key] = size(functions[key])
            total += sizes.get(key, 1.0)
            for attribute in node.attribute:
                total += sum(size(inner) for inner in (attribute.g, *attribute.graphs))
        return total

    return size(model.graph)


def answers_with_probabilities(path: Path) -> dict[str, bool]:
    """Return by output whether its last operator is a sigmoid or softmax, and so whether it is a probability."""
    import onnx

    graph = onnx.load_model_from_string(path.read_bytes()).graph
    makers = {name: node for node in graph.node for name in node.output}
    found = {}
    for output in graph.output:
        node = makers.get(output.name)
        # These pass values on as they are.
        passing = ("Identity", "Cast", "Reshape", "Squeeze", "Unsqueeze", "Flatten", "Slice", "Gather", "Transpose")
        for _ in range(len(graph.node)):
            if node is None or node.op_type not in passing:
                break
            node = makers.get(node.input[0])
        found[output.name] = node is not None and node.op_type in ("Sigmoid", "Softmax", "HardSigmoid")
    return found
