"""The proof of a public model's import: with its weights, graphs and the network in PyTorch answer alike."""

from collections.abc import Mapping
from importlib.util import find_spec

import numpy as np

from AcuteFindingsLib.errors import ModelError
from AcuteFindingsLib.models.metadata import Card, Graphs
from AcuteFindingsLib.models.public.description import ImportDescription

_NEEDED = ("torch", "timm", "segmentation_models_pytorch")
# Beside noise that fills the range, faint noise about its middle, as `graphs.make` asks.
_FAINT = 0.01

NOISE = "noise in the range of the network's input"
"""What both are asked, as `graphs.make.NOISE`."""

NOT_COMPARED = "Compared on random weights, not on these"
"""What a card says where there was no PyTorch to compare with."""


def compare_graphs(
    description: ImportDescription, card: Card, tensors: Mapping[str, np.ndarray], graphs: Mapping[str, bytes]
) -> tuple[Graphs, str]:
    """Ask graphs and network, both with these weights, the same, where PyTorch is installed.

    Returns
    -------
    tuple
        What the card says of the graphs, with the largest difference on these weights; and why they were not compared,
        empty where they were.

    Raises
    ------
    ModelError
        They differ by more than `graphs.prove.TOLERANCE`, or the network takes other tensors.
    """
    stated = card.graphs
    if stated is None or description.image is None:
        raise ModelError(f"The import description {description.id} names no graphs or no images.")
    lacking = [name for name in _NEEDED if find_spec(name) is None]
    if lacking:
        return stated, f"{NOT_COMPARED}: {lacking[0]} is not installed here."
    from AcuteFindingsLib.models.public.torch_proof import difference_to_torch

    difference = difference_to_torch(card, tensors, graphs, _noise(description), source=description.address)
    return stated.model_copy(update={"largest_difference": difference, "compared_on": NOISE}), ""


def _noise(description: ImportDescription) -> np.ndarray:
    image = description.image
    assert image is not None
    low, high = image.value_range
    noise = np.random.default_rng(23).uniform(-1, 1, (2, image.channels, *image.shape))
    noise[1] *= _FAINT
    return ((low + high) / 2 + noise * (high - low) / 2).astype(np.float32)
