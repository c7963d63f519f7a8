import numpy as np
import pytest
import torch

from AcuteFindingsLib.networks import build_network
from AcuteFindingsLib.training.runs.start import start_from_frequency

pytestmark = pytest.mark.slow


def test_the_last_layers_start_from_how_often_each_finding_occurs() -> None:
    arguments = {"backbone": "test_resnet", "pathologies": ["effusion", "edema", "mass"], "tubes": ["chest_drain"]}
    network = build_network("chest_classifier", arguments).eval()
    for layer in (network.pathologies, network.tubes):
        torch.nn.init.zeros_(layer.weight)
    labels = np.zeros((20, 4), np.float32)
    labels[:5, 0], labels[:, 2], labels[:10, 3], labels[10:, 3] = 1, 1, 1, np.nan
    start_from_frequency(network, [labels[:7], labels[7:]])
    outputs = network(torch.zeros(1, 1, 32, 32))
    # What never or always occurs is not taken for certain.
    assert outputs["pathologies"].sigmoid()[0].tolist() == pytest.approx([0.25, 0.05, 0.5])
    assert outputs["tubes"].sigmoid()[0].tolist() == pytest.approx([0.5])
