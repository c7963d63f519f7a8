"""The matrix products that a network's convolutions are, counted from its graph."""

from collections import Counter
from dataclasses import dataclass
from math import prod
from pathlib import Path

import onnx
from onnx import helper, shape_inference


@dataclass(frozen=True)
class Work:
    """What a network computes for one batch.

    Attributes
    ----------
    products
        ``(rows, inner, columns, count)`` of the convolutions and dense layers, each as one product.
    multiply_adds
        Of all of them.
    grouped
        Multiply-adds of convolutions in groups (depthwise ones), which are no such products and not in `products`.
    """

    products: tuple[tuple[int, int, int, int], ...]
    multiply_adds: int
    grouped: int


def count_work(model: Path, shape: tuple[int, ...]) -> Work:
    """Count a model's products for a batch of `shape`.

    A convolution with ``k`` kernel values of ``c`` channels to ``o`` channels at ``p`` places of ``n`` images is the
    product of ``(n p, c k)`` and ``(c k, o)``; a multiply-add is two floating-point operations.
    """
    proto = onnx.load(str(model))
    for axis, size in zip(proto.graph.input[0].type.tensor_type.shape.dim, shape, strict=True):
        axis.Clear()
        axis.dim_value = size
    # What was stated of a batch of any size would stand in the way of this one's.
    del proto.graph.value_info[:]
    for output in proto.graph.output:
        output.type.tensor_type.ClearField("shape")
    inferred = shape_inference.infer_shapes(proto, data_prop=True).graph
    shapes = {
        value.name: [axis.dim_value for axis in value.type.tensor_type.shape.dim]
        for value in (*inferred.value_info, *inferred.output, *inferred.input)
    }
    weights = {tensor.name: list(tensor.dims) for tensor in inferred.initializer}
    products: Counter[tuple[int, int, int]] = Counter()
    grouped = 0
    for node in inferred.node:
        kernel = weights.get(node.input[1], []) if len(node.input) > 1 else []
        made = shapes.get(node.output[0], []) if node.output else []
        if not kernel or not all(made):
            continue
        if node.op_type == "Conv":
            groups = next((helper.get_attribute_value(a) for a in node.attribute if a.name == "group"), 1)
            places = made[0] * prod(made[2:])
            if groups == 1:
                products[places, prod(kernel[1:]), kernel[0]] += 1
            else:
                grouped += places * prod(kernel)
        elif node.op_type in ("Gemm", "MatMul"):
            transposed = any(a.name == "transB" and a.i for a in node.attribute)
            inner, columns = (kernel[1], kernel[0]) if transposed else (kernel[0], kernel[1])
            products[prod(made[:-1]), inner, columns] += 1
    every = tuple((*shape, count) for shape, count in products.items())
    return Work(every, sum(prod(one) for one in every) + grouped, grouped)
