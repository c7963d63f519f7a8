"""A part of a network and where it looked, as one graph: Grad-CAM's gradient is traced from torch.

A graph of its own beside the plain one, of the same tensors: ONNX Runtime computes all of a graph, whatever it is
asked for, and the gradient of a mask costs as much as the network.
"""

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch._decomp import decomposition_table
from torch._dispatch.python import enable_python_dispatcher
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.func import functional_call
from torch.fx.experimental.proxy_tensor import make_fx
from torch.fx.experimental.symbolic_shapes import DimDynamic, ShapeEnv, StatelessSymbolicContext

from AcuteFindingsLib.errors import ModelError
from AcuteFindingsLib.models.graphs.export import ExportedGraph, PartModule, export_module, network_parts
from AcuteFindingsLib.models.runtime.gradcam import maps_of_its_own, run_with_maps
from AcuteFindingsLib.models.runtime.graph_predictor import map_name

_aten = torch.ops.aten
LABELS = ("slice", "image", "labels", "pathologies", "tubes")
"""Outputs of labels, which scorers explain; a mask is explained where there is none."""


@dataclass(frozen=True)
class Explains:
    """A graph that explains.

    Attributes
    ----------
    written
        The graph; beside the outputs of `part` it gives each map, ``(n, numbers, y, x)``, under `map_name`.
    part
        The part that reads images.
    outputs
        What is explained.
    then
        The part that gives these, where `part` does not: it reads what `part` gives under its own name, each item as a
        sequence of its own.
    """

    written: ExportedGraph
    part: str
    outputs: tuple[str, ...]
    then: str


def export_explained(network: nn.Module, images: Tensor) -> Explains:
    """Write the part that reads images, with the maps of what the network explains, as a graph without weights.

    Parameters
    ----------
    network, images
        As for `export.export_graphs`.

    Raises
    ------
    ModelError
        The network gives nothing that a scorer explains, names no layer for it, or the gradient cannot be traced or
        written as operators of ONNX.
    """
    part = next(iter(network_parts(network)))
    explains, then = _what(network, part, images)
    looking = _Looking(network, part, explains, then).eval()
    # A gradient is traced first: the exporter takes none.
    own = maps_of_its_own(network, part) is not None
    module: PartModule = _Drawing(looking) if own else _Traced(looking, images)
    written = export_module(module.eval(), images, looking(images))
    return Explains(written, part, explains, then)


def _what(network: nn.Module, part: str, images: Tensor) -> tuple[tuple[str, ...], str]:
    """Return what is explained: labels, of the part that reads what the first gives if need be, else a mask."""
    with torch.no_grad():
        first = PartModule(network, part).named(images)
        labels = tuple(name for name in LABELS if name in first)
        if labels:
            return labels, ""
        for other, reads in network_parts(network).items():
            if reads and reads == part:
                last = PartModule(network, other).named(first[reads][:, None])
                labels = tuple(name for name in LABELS if name in last)
                if labels:
                    return labels, other
    if "mask" not in first:
        raise ModelError(f"it gives {', '.join(first)}, and neither labels nor a mask")
    return ("mask",), ""


class _Looking(nn.Module):
    """A part and its maps by name."""

    def __init__(self, network: nn.Module, part: str, explained: Sequence[str], then: str) -> None:
        super().__init__()
        self.network = network
        self.part, self.explained, self.then = part, explained, then

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        return _with_maps(self.network, self.part, self.explained, self.then, images)


def _with_maps(network: nn.Module, part: str, explained: Sequence[str], then: str, images: Tensor) -> dict[str, Tensor]:
    outputs, maps = run_with_maps(network, images, outputs=explained, part=part, then=then, model="network")
    return dict(outputs) | {map_name(name): value for name, value in maps.items()}


class _Drawing(PartModule):
    """The same of a network that draws its maps itself: nothing to trace."""

    def __init__(self, looking: _Looking) -> None:
        super().__init__(looking.network, looking.part)
        self.explained = looking.explained

    def named(self, images: Tensor) -> dict[str, Tensor]:
        return _with_maps(self.network, self.part, self.explained, "", images)


class _Traced(PartModule):
    """The same as a flat list of operators, gradients among them, on the network's own tensors."""

    def __init__(self, looking: _Looking, images: Tensor) -> None:
        super().__init__(looking.network, looking.part)
        self.traced = _trace(looking, images)

    def named(self, images: Tensor) -> dict[str, Tensor]:
        return self.traced(_tensors(self.network), images)


def _tensors(network: nn.Module) -> dict[str, Tensor]:
    return {**dict(network.named_parameters()), **dict(network.named_buffers())}


def _trace(looking: _Looking, images: Tensor) -> torch.fx.GraphModule:
    """Trace for any number of images; all other sizes are fixed, which makes it ten times as fast."""
    mode = FakeTensorMode(shape_env=ShapeEnv(), allow_non_fake_inputs=True)
    state = {name: mode.from_tensor(value, static_shapes=True) for name, value in _tensors(looking.network).items()}
    sizes = [DimDynamic.DYNAMIC] + [DimDynamic.STATIC] * (images.ndim - 1)
    batch = mode.from_tensor(images, symbolic_context=StatelessSymbolicContext(dynamic_sizes=sizes))

    def look(tensors: dict[str, Tensor], inputs: Tensor) -> dict[str, Tensor]:
        return functional_call(looking, {f"network.{name}": value for name, value in tensors.items()}, (inputs,))

    try:
        with mode, enable_python_dispatcher(), _whole_upsampling():
            traced = make_fx(look, decomposition_table=_backwards(), tracing_mode="real")(state, batch)
    except ModelError:
        raise
    # What fails inside has no common base.
    except Exception as error:
        told = " ".join(str(error).split())[:200].rstrip(".") or type(error).__name__
        raise ModelError(f"PyTorch cannot trace its gradient: {told}") from error
    for node in traced.graph.nodes:
        # As the exporter knows them; the scales say no more than the size.
        if node.target is _aten.upsample_bilinear2d.default:
            node.target, node.args = _aten.upsample_bilinear2d.vec, (*node.args[:3], None)
        elif node.target is _aten.upsample_nearest2d.default:
            node.target, node.args = _aten.upsample_nearest2d.vec, (*node.args[:2], None)
    traced.graph.eliminate_dead_code()
    traced.recompile()
    return traced


@contextlib.contextmanager
def _whole_upsampling() -> Iterator[None]:
    """Trace upsampling as one operator, which ONNX has too, not as the look-ups that PyTorch makes of it.

    Those take as long as the convolutions about them. What is called (``vec``) is computed here: PyTorch's own is not
    made for a number of images that is free.
    """

    def bilinear(images: Tensor, size: Any, align_corners: bool, scales: Any) -> Tensor:
        size, scales = _size(images, size, scales)
        return _aten.upsample_bilinear2d.default(images, size, align_corners, *scales)

    def nearest(images: Tensor, size: Any, scales: Any) -> Tensor:
        size, scales = _size(images, size, scales)
        return _aten.upsample_nearest2d.default(images, size, *scales)

    called: dict[Any, Any] = {_aten.upsample_bilinear2d.vec: bilinear, _aten.upsample_nearest2d.vec: nearest}
    operators = [*called, _aten.upsample_bilinear2d.default, _aten.upsample_nearest2d.default]
    kept = [dict(operator.py_kernels) for operator in operators]
    try:
        for operator in operators:
            _put(operator, {key: called[operator] for key in operator.py_kernels} if operator in called else {})
        yield
    finally:
        for operator, kernels in zip(operators, kept, strict=True):
            _put(operator, kernels)


def _put(operator: Any, kernels: dict[Any, Any]) -> None:
    operator.py_kernels.clear()
    operator.py_kernels.update(kernels)
    operator._dispatch_cache.clear()


def _size(images: Tensor, size: Any, scales: Any) -> tuple[list[int], list[float | None]]:
    if scales is None:
        return list(size), [None, None]
    return [int(old * scale) for old, scale in zip(images.shape[2:], scales, strict=True)], list(scales)


def _backwards() -> dict[Any, Any]:
    """Return the gradients of operators in terms of operators that ONNX has: PyTorch's own, and what these lack."""
    table = {operator: rule for operator, rule in decomposition_table.items() if "backward" in str(operator)}
    table[_aten.convolution_backward.default] = _convolution_backward
    table[_aten.upsample_bilinear2d_backward.default] = _bilinear_backward
    table[_aten.upsample_nearest2d_backward.default] = _nearest_backward
    table[_aten.adaptive_max_pool2d_backward.default] = _adaptive_max_pool_backward
    return table


def _convolution_backward(
    gradient: Tensor,
    inputs: Tensor,
    weight: Tensor,
    _bias_sizes: Any,
    stride: list[int],
    padding: list[int],
    dilation: list[int],
    transposed: bool,
    _output_padding: list[int],
    groups: int,
    _wanted: list[bool],
) -> tuple[Tensor, None, None]:
    """Return the gradient of the inputs alone: nobody asks for that of weights."""
    if transposed:
        nothing = [0] * len(stride)
        return _aten.convolution(gradient, weight, None, stride, padding, dilation, False, nothing, groups), None, None
    reach = [step * (size - 1) for step, size in zip(dilation, weight.shape[2:], strict=True)]
    if all(step == 1 for step in stride) and all(r >= p for r, p in zip(reach, padding, strict=True)):
        # The turned weights do not hang on the input: they are computed once, when a session is opened.
        turned = weight.unflatten(0, (groups, -1)).transpose(1, 2).flatten(0, 1).flip(2, 3)
        around = [r - p for r, p in zip(reach, padding, strict=True)]
        nothing = [0] * len(stride)
        return _aten.convolution(gradient, turned, None, stride, around, dilation, False, nothing, groups), None, None
    rest = [
        size - ((given - 1) * step - 2 * pad + r + 1)
        for size, given, step, pad, r in zip(inputs.shape[2:], gradient.shape[2:], stride, padding, reach, strict=True)
    ]
    return _aten.convolution(gradient, weight, None, stride, padding, dilation, True, rest, groups), None, None


def _bilinear_backward(
    gradient: Tensor, output_size: list[int], input_size: list[int], align_corners: bool, *_scales: float | None
) -> Tensor:
    options = {"mode": "linear", "align_corners": align_corners}
    return _spread_back(gradient, output_size, input_size, **options)


def _nearest_backward(
    gradient: Tensor, output_size: list[int], input_size: list[int], *_scales: float | None
) -> Tensor:
    return _spread_back(gradient, output_size, input_size, mode="nearest")


def _spread_back(gradient: Tensor, output_size: list[int], input_size: list[int], **options: Any) -> Tensor:
    """Gather what an upsampling spread: its weights along each axis, the other way round."""
    along_y, along_x = (
        nn.functional.interpolate(torch.eye(old, device=gradient.device)[None], size=new, **options)[0]
        for old, new in zip(input_size[2:], output_size, strict=True)
    )
    return along_y @ gradient @ along_x.T


def _adaptive_max_pool_backward(gradient: Tensor, inputs: Tensor, indices: Tensor) -> Tensor:
    flat = torch.zeros_like(inputs).flatten(2)
    return flat.scatter_add(2, indices.flatten(2), gradient.flatten(2)).view_as(inputs)
