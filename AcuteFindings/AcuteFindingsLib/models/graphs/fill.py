"""A graph without weights and the tensors of a package, made one model in memory; neither torch nor onnx is needed.

Serialized protocol buffers that follow each other are one message: repeated fields are joined, inner messages merged.
So the tensors that a graph lacks are written behind it, as initializers of the same graph.
"""

import io
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from AcuteFindingsLib.budgets import budgets
from AcuteFindingsLib.errors import ModelError
from AcuteFindingsLib.models.graphs.check import FLOAT, check_graph
from AcuteFindingsLib.models.graphs.wire import field, head

# `ModelProto.graph`, `GraphProto.initializer`, `TensorProto.dims`, `data_type`, `name` and `raw_data`.
_GRAPH, _INITIALIZER, _DIMS, _TYPE, _NAME, _RAW = 7, 5, 1, 2, 8, 9
# ONNX Runtime, as every reader of protocol buffers, takes no message beyond.
_LARGEST = 2**31 - 1


def fill_graph(graph: bytes, tensors: Mapping[str, np.ndarray], *, name: str = "The graph") -> bytes:
    """Return a whole ONNX model: a graph and the tensors that it lacks.

    Parameters
    ----------
    graph
        As `export.export_graphs` writes it.
    tensors
        Arrays by the names that the graph gives them; each is asked for once, so that a mapping that reads them from a
        file holds one at a time. Floating-point ones become float32.
    name
        What messages call the graph.

    Raises
    ------
    ModelError
        The graph holds what none may (`check.check_graph`), or a tensor is missing, or has another shape or type.
    """
    lacking = check_graph(graph, name=name).lacking
    heads: dict[str, bytes] = {}
    length = 0
    for tensor, (shape, kind) in lacking.items():
        size = (4 if kind == FLOAT else 8) * int(np.prod(shape, dtype=np.int64))
        stated = b"".join(field(_DIMS, axis) for axis in shape)
        stated += field(_TYPE, kind) + field(_NAME, tensor.encode()) + head(_RAW, size)
        heads[tensor] = head(_INITIALIZER, len(stated) + size) + stated
        length += len(heads[tensor]) + size
    if len(graph) + length > _LARGEST:
        raise ModelError(f"{name} and its weights are larger than 2 GB, more than an ONNX model can be.")
    whole = io.BytesIO()
    begin = graph + head(_GRAPH, length)
    # As long as it will be at once: growing, it would be copied.
    whole.seek(len(begin) + length - 1)
    whole.write(b"\0")
    whole.seek(0)
    whole.write(begin)
    for tensor, (shape, kind) in lacking.items():
        if tensor not in tensors:
            raise ModelError(f"{name} does not fit its weights: {tensor} is missing there.")
        value = tensors[tensor]
        if value.shape != shape or (value.dtype.kind == "f") != (kind == FLOAT):
            raise ModelError(
                f"{name} does not fit its weights: {tensor} is {value.shape} {value.dtype} there, expected {shape}."
            )
        whole.write(heads[tensor])
        whole.write(np.ascontiguousarray(value, dtype="<f4" if kind == FLOAT else "<i8").data)
    # No copy: the bytes are the buffer itself.
    return whole.getvalue()


class StoredTensors(Mapping[str, np.ndarray]):
    """The tensors of a safetensors file by name, read when they are asked for.

    Floating-point ones become float32, whole numbers int64; all are finite.
    """

    def __init__(self, path: Path) -> None:
        """Read what the file lists; raises `ModelError` where it is damaged or claims more than a network has."""
        from safetensors import SafetensorError, safe_open

        self._path = path
        try:
            self._file: Any = safe_open(path, framework="numpy")
            shapes = {name: tuple(self._file.get_slice(name).get_shape()) for name in self._file.keys()}  # noqa: SIM118
        except (SafetensorError, OSError) as error:
            raise ModelError(f"{path} is not a readable safetensors file: {error}.") from error
        if sum(int(np.prod(shape, dtype=np.float64)) for shape in shapes.values()) > budgets().network_values:
            raise ModelError(f"{path} holds more than {budgets().network_values / 1e6:.0f} million numbers.")
        self._shapes = shapes

    def __iter__(self) -> Iterator[str]:
        """Go through the names."""
        return iter(self._shapes)

    def __len__(self) -> int:
        """Return how many there are."""
        return len(self._shapes)

    def __contains__(self, name: object) -> bool:
        """Whether there is one of this name; nothing is read."""
        return name in self._shapes

    def shape(self, name: str) -> tuple[int, ...]:
        """Return the shape of one tensor without reading it."""
        return self._shapes[name]

    def __getitem__(self, name: str) -> np.ndarray:
        """Return one tensor; raises `ModelError` where it holds no plain, finite numbers."""
        if name not in self._shapes:
            raise KeyError(name)
        try:
            value = self._file.get_tensor(name)
        # Of a type that numpy has not, it is a TypeError or an AttributeError.
        except Exception as error:
            raise ModelError(f"{self._path}: the tensor {name} is not one of plain numbers; save it as float32.") from (
                error
            )
        if value.dtype.kind == "f":
            value = value.astype(np.float32, copy=False)
            if not np.isfinite(value).all():
                raise ModelError(f"{self._path} holds values that are not finite numbers, in {name}; train it again.")
            return value
        if value.dtype.kind not in "iub":
            raise ModelError(f"{self._path}: the tensor {name} is not one of plain numbers ({value.dtype}).")
        return value.astype(np.int64)
