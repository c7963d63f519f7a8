"""A public model's network in PyTorch, with the same weights as its graphs, asked the same."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch

from AcuteFindingsLib.errors import ModelError
from AcuteFindingsLib.models.graphs.export import network_parts
from AcuteFindingsLib.models.graphs.fill import fill_graph
from AcuteFindingsLib.models.graphs.prove import TOLERANCE, largest_difference
from AcuteFindingsLib.models.metadata import Card
from AcuteFindingsLib.models.runtime.graph_predictor import graphs_of, run_graph
from AcuteFindingsLib.models.runtime.session import open_session
from AcuteFindingsLib.models.runtime.torch_predictor import TorchPredictor
from AcuteFindingsLib.networks import build_stored_network


def difference_to_torch(
    card: Card, tensors: Mapping[str, np.ndarray], graphs: Mapping[str, bytes], images: np.ndarray, *, source: str
) -> float:
    """Return the largest difference between the answers of a card's network and of its graphs on the same weights.

    Parameters
    ----------
    tensors
        The weights by name.
    graphs
        By their path in the package.
    images
        ``(n, c, y, x)`` or ``(n, c, z, y, x)`` float32: what both are asked.
    source
        Where the weights come from, for messages.

    Raises
    ------
    ModelError
        They differ by more than `graphs.prove.TOLERANCE`, or the network takes other tensors.
    """
    stated = graphs_of(card)
    network = build_stored_network(card.network.name, card.network.arguments)
    state = {name: torch.tensor(value) for name, value in tensors.items()}
    _require_same(network.state_dict(), state, source)
    network.load_state_dict(state)
    del state
    theirs = TorchPredictor(network.eval().requires_grad_(False), card=card, version="0", sha256="", device="cpu")
    sessions: dict[str, Any] = {}

    def ask(part: str, batch: np.ndarray) -> dict[str, np.ndarray]:
        one = stated.parts[part]
        if one.file not in sessions:
            filled = fill_graph(graphs[one.file], tensors, name=f"The graph {one.file}")
            sessions[one.file] = open_session(filled, device="cpu", name=one.file)
        return dict(zip(one.outputs, run_graph(sessions[one.file], one.outputs, batch), strict=True))

    length = card.preprocessing.get("window")
    difference = largest_difference(
        lambda part, batch: theirs.predict(batch, part=part),
        ask,
        network_parts(network),
        images,
        length=length if isinstance(length, int) else None,
    )
    if not difference <= TOLERANCE:
        raise ModelError(
            f"{source} was refused: with its weights the graphs and the network in PyTorch differ by {difference:.1e}, "
            f"more than {TOLERANCE:.0e}; nothing was written."
        )
    return difference


def _require_same(expected: Mapping[str, Any], given: Mapping[str, Any], source: str) -> None:
    faults = [f"{name} is missing" for name in expected if name not in given]
    faults += [f"{name} is not in it" for name in given if name not in expected]
    faults += [
        f"{name} has another shape" for name in expected if name in given and expected[name].shape != given[name].shape
    ]
    if faults:
        raise ModelError(f"{source} does not fit the network of its description in PyTorch: {faults[0]}.")
