from typing import Any

import numpy as np
import pytest
import torch
from scipy.special import expit

from AcuteFindingsLib.errors import EvaluationError
from AcuteFindingsLib.evaluation.gradcam import LabelLogits, evidence, gradcam_maps
from AcuteFindingsLib.models.find import find_package
from AcuteFindingsLib.models.load import load_predictor
from AcuteFindingsLib.networks import build_network, list_networks

MONAI_UNET = {"spatial_dims": 2, "in_channels": 1, "out_channels": 2, "channels": [4, 8], "strides": [2]}
SMALL: dict[str, tuple[dict[str, Any], int, int]] = {
    "chest_classifier": ({"backbone": "regnety_002"}, 1, 64),
    "densenet40": ({"in_channels": 1}, 1, 32),
    "monai": ({"arguments": MONAI_UNET}, 1, 64),
    "lung_unet": ({"channels": [4, 8, 16]}, 1, 64),
    "pe": ({"encoder": {"backbone": "regnety_002", "in_channels": 1}}, 1, 64),
    "pe_slice_cnn": ({"filters": [8, 8], "dense": [16], "in_channels": 1, "size": 64}, 1, 64),
    "pe_slice_encoder": ({"backbone": "regnety_002", "decoder": True}, 1, 64),
    "pneumothorax_classifier": ({"backbone": "regnety_002"}, 1, 64),
    "pneumothorax_segmenter": ({"encoder": "regnety_002"}, 1, 64),
    "radnet": ({"backbone": "regnety_002", "decoder": True}, 1, 64),
}


def test_every_network_that_labels_images_is_tried_here() -> None:
    assert set(SMALL) | {"pe_sequence", "image_features"} == set(list_networks())


@pytest.mark.parametrize("name", SMALL)
def test_every_network_that_reads_images_gives_a_finite_map_of_their_size(name: str) -> None:
    torch.manual_seed(3)
    arguments, channels, size = SMALL[name]
    network = build_network(name, arguments).eval().requires_grad_(False)
    images = np.random.default_rng(0).random((2, channels, size, size), dtype=np.float32)
    maps = gradcam_maps(network, images)
    assert maps.shape == (2, size, size)
    assert np.isfinite(maps).all()
    assert maps.min() >= 0
    assert not any(module._forward_hooks or module._backward_hooks for module in network.modules())


@pytest.mark.parametrize(
    ("task", "part", "output", "index"),
    [("chest", "", "pathologies", 1), ("pneumothorax", "", "mask", 0), ("pe", "encode", "slice", 0)],
)
def test_monais_map_is_that_of_the_predictor(task: str, part: str, output: str, index: int, small_models) -> None:
    predictor = load_predictor(find_package(str(small_models / f"small-{task}")), device="cpu")
    images = np.random.default_rng(1).normal(0, 1, (3, 1, 64, 64)).astype(np.float32)
    logits = predictor.predict(images, part=part)[output][:, index].reshape(3, -1)
    own = predictor.explain(images, output=output, index=index, part=part)
    raw = gradcam_maps(predictor.network, images, index=index)
    assert evidence(raw, expit(logits.max(1))) == pytest.approx(own, abs=1e-4)
    if task == "chest":
        # Of the others, weights drawn at random may speak against the label everywhere.
        assert own.max() > 0.2


def test_the_labels_of_both_tasks_stand_in_the_cards_order() -> None:
    torch.manual_seed(0)
    network = build_network("chest_classifier", {"backbone": "regnety_002"}).eval()
    images = torch.rand(2, 1, 64, 64)
    outputs = network(images)
    expected = torch.cat([outputs["pathologies"], outputs["tubes"]], dim=1)
    assert torch.allclose(LabelLogits(network)(images), expected, atol=1e-5)


def test_a_map_reaches_as_high_as_its_probability() -> None:
    maps = np.stack([np.eye(4), np.zeros((4, 4))]).astype(np.float32)
    assert evidence(5 * maps, np.array([0.7, 0.9])).max((1, 2)) == pytest.approx([0.7, 0])


def test_a_network_that_reads_no_images_is_refused() -> None:
    with pytest.raises(EvaluationError, match="names no layer"):
        gradcam_maps(build_network("pe_sequence"), np.zeros((1, 1, 8, 8), np.float32))


def test_a_network_whose_layer_gives_no_maps_is_refused() -> None:
    densenet = {"spatial_dims": 2, "in_channels": 1, "out_channels": 2, "init_features": 8, "block_config": [1, 1]}
    network = build_network("monai", {"target": "DenseNet", "arguments": densenet, "output": "pathologies"}).eval()
    with pytest.raises(EvaluationError, match="gives numbers, not maps"):
        gradcam_maps(network, np.zeros((1, 1, 64, 64), np.float32))
