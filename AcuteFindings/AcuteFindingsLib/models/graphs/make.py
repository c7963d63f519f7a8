"""The graphs of a package that is being written: exported, proven, and what the card says of them."""

from typing import Any

import numpy as np
import torch
from torch import nn

from AcuteFindingsLib.errors import ModelError
from AcuteFindingsLib.models.graphs.check import FOLDER
from AcuteFindingsLib.models.graphs.explain import export_explained
from AcuteFindingsLib.models.graphs.export import OPSET, export_graphs, graph_file, network_parts
from AcuteFindingsLib.models.graphs.fill import fill_graph
from AcuteFindingsLib.models.graphs.prove import (
    MAP_TOLERANCE,
    TOLERANCE,
    largest_difference,
    largest_map_difference,
)
from AcuteFindingsLib.models.metadata import Card, ExplainingGraph, GraphPart, Graphs
from AcuteFindingsLib.models.runtime.graph_predictor import map_name, run_graph
from AcuteFindingsLib.models.runtime.session import line_of, open_session
from AcuteFindingsLib.models.runtime.torch_predictor import TorchPredictor

NOISE = "noise in the range of the network's input"

# Beside noise that fills the range, faint noise about its middle: less drives probabilities to certainty, where every
# network answers alike.
_FAINT = 0.01


def make_graphs(
    network: nn.Module,
    *,
    card: Card,
    data_format: dict[str, Any],
    images: np.ndarray | None = None,
    compared_on: str = NOISE,
    map_tolerance: float = MAP_TOLERANCE,
) -> tuple[Graphs, dict[str, bytes]]:
    """Write a network's graphs and hold their answers against its own.

    Parameters
    ----------
    network
        With its weights, in evaluation mode, on the CPU.
    card
        Of the package: the length of its sequences is ``window`` of its preprocessing.
    data_format
        MONAI's `network_data_format`: channels, size and range of the images.
    images
        ``(n, c, y, x)`` float32 as the network is shown them, to ask both; noise when None, or where `data_format`
        states another size.
    compared_on
        What `images` are, in words.
    map_tolerance
        Largest difference of maps that counts as the same, as a share of their maximum: more than `MAP_TOLERANCE` for
        random weights alone, whose maps torch itself gives less precisely.

    Returns
    -------
    tuple
        What the card says, and the files by their path in the package. A network that cannot be written, or answers
        otherwise, has none: the card says why.
    """
    try:
        shape = _image_shape(data_format) or (() if images is None else images.shape[1:])
        if images is None or images.shape[1:] != shape:
            images, compared_on = _noise(shape, data_format), NOISE
        length = card.preprocessing.get("window")
        length = length if isinstance(length, int) else None
        exported = export_graphs(network, torch.from_numpy(images[:2]), length=length)
        tensors = {name: value.numpy() for name, value in network.state_dict().items()}
        sessions = {
            part: open_session(fill_graph(one.graph, tensors), device="cpu", name=graph_file(part))
            for part, one in exported.items()
        }
        source = TorchPredictor(network, card=card, version="0", sha256="", device="cpu")
        difference = largest_difference(
            lambda part, batch: source.predict(batch, part=part),
            lambda part, batch: dict(
                zip(exported[part].outputs, run_graph(sessions[part], exported[part].outputs, batch), strict=True)
            ),
            network_parts(network),
            images,
            length=length,
        )
        if not difference <= TOLERANCE:
            raise ModelError(
                f"on {compared_on} it answers otherwise in ONNX Runtime than in PyTorch, by {difference:.1e} "
                f"(more than {TOLERANCE:.0e})"
            )
    except ModelError as error:
        return Graphs(reason=str(error).rstrip(".")), {}
    # The network's own: it takes no images such as its card states.
    except (RuntimeError, ValueError, TypeError, LookupError) as error:
        return Graphs(reason=f"it takes no images of the size that its card states: {line_of(error)}"), {}
    parts = {part: GraphPart(file=graph_file(part), outputs=list(one.outputs)) for part, one in exported.items()}
    files = {graph_file(part): one.graph for part, one in exported.items()}
    stated = Graphs(parts=parts, opset=OPSET, largest_difference=difference, compared_on=compared_on)
    if images.ndim > 4:
        return stated.model_copy(update={"unexplained": "a network of volumes draws what it finds"}), files
    try:
        explaining, graph = _explaining(network, source, tensors, images, map_tolerance)
    except ModelError as error:
        return stated.model_copy(update={"unexplained": str(error).rstrip(".")}), files
    except (RuntimeError, ValueError, TypeError, LookupError) as error:
        return stated.model_copy(update={"unexplained": line_of(error)}), files
    return stated.model_copy(update={"explaining": explaining}), files | {explaining.file: graph}


def _explaining(
    network: nn.Module, source: TorchPredictor, tensors: dict[str, np.ndarray], images: np.ndarray, tolerance: float
) -> tuple[ExplainingGraph, bytes]:
    """Write the graph that says where the network looked; raises `ModelError` where it is not as torch says."""
    made = export_explained(network, torch.from_numpy(images[:2]))
    stated = ExplainingGraph(
        file=f"{FOLDER}/{made.part or 'forward'}.explained.onnx",
        part=made.part,
        outputs=[name for name in made.written.outputs if name not in map(map_name, made.outputs)],
        explains=list(made.outputs),
        then=made.then,
        method=source.explanation,
    )
    session = open_session(fill_graph(made.written.graph, tensors), device="cpu", name=stated.file)
    said = source.predict_explained(images, outputs=made.outputs, part=made.part, then=made.then)
    maps = run_graph(session, [map_name(name) for name in made.outputs], images)
    difference = largest_map_difference(said.maps, dict(zip(made.outputs, maps, strict=True)))
    if not difference <= tolerance:
        raise ModelError(f"its maps differ in ONNX Runtime from those of PyTorch by {difference:.1e} of their maximum")
    return stated.model_copy(update={"largest_difference": difference}), made.written.graph


def _image_shape(data_format: dict[str, Any]) -> tuple[int, ...]:
    """Return channels, rows and columns of the images as stated; nothing where they are not."""
    image = next(iter(data_format["inputs"].values()))
    sides = image["spatial_shape"]
    if len(sides) != 2 or not all(isinstance(side, int) and 0 < side <= 4096 for side in sides):
        return ()
    return (image["num_channels"], *sides)


def _noise(shape: tuple[int, ...], data_format: dict[str, Any]) -> np.ndarray:
    if not shape:
        raise ModelError("its card does not say what size its images are")
    low, high = next(iter(data_format["inputs"].values()))["value_range"] or (0.0, 1.0)
    noise = np.random.default_rng(22).uniform(-1, 1, (2, *shape))
    noise[1] *= _FAINT
    return ((low + high) / 2 + noise * (high - low) / 2).astype(np.float32)
