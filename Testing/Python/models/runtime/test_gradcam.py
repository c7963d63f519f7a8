"""Grad-CAM of every network of this project that reads images, compared with MONAI's."""

from typing import Any

import numpy as np
import pytest
import torch
from monai.visualize import GradCAM

from AcuteFindingsLib.errors import ModelError
from AcuteFindingsLib.models.metadata import Card, Label, Network, TrainingData
from AcuteFindingsLib.models.runtime.torch_predictor import TorchPredictor
from AcuteFindingsLib.networks import build_network, list_networks

MONAI_UNET = {"spatial_dims": 2, "in_channels": 1, "out_channels": 2, "channels": [4, 8], "strides": [2]}
# Network: arguments, pixels per side, and where its label's logit is: part, output, and the part that reads the first.
SMALL: dict[str, tuple[dict[str, Any], int, tuple[str, str, str]]] = {
    "chest_classifier": ({"backbone": "regnety_002"}, 64, ("", "pathologies", "")),
    "densenet40": ({"in_channels": 1}, 32, ("", "classes", "")),
    "monai": ({"arguments": MONAI_UNET}, 64, ("", "mask", "")),
    "lung_unet": ({"channels": [4, 8, 16]}, 64, ("", "mask", "")),
    "pe": ({"encoder": {"backbone": "regnety_002", "in_channels": 1}}, 64, ("encode", "slice", "")),
    "pe_slice_cnn": ({"filters": [8, 8], "dense": [16], "in_channels": 1, "size": 64}, 64, ("", "slice", "")),
    "pe_slice_encoder": ({"backbone": "regnety_002", "decoder": True}, 64, ("", "slice", "")),
    "pneumothorax_classifier": ({"backbone": "regnety_002"}, 64, ("", "image", "")),
    "pneumothorax_segmenter": ({"encoder": "regnety_002"}, 64, ("", "mask", "")),
    "slab_reader": ({"backbone": "test_resnet", "in_channels": 1}, 64, ("encode", "slice", "")),
    "timm_classifier": ({"backbone": "test_resnet"}, 64, ("", "pathologies", "")),
    "radiograph_unet": ({"backbone": "regnety_002", "decoder_channels": [8, 8, 8, 8, 4]}, 64, ("", "mask", "")),
    "radnet": ({"backbone": "regnety_002", "decoder": True}, 64, ("features", "slice", "head")),
}


def predictor_of(name: str, arguments: dict[str, Any]) -> TorchPredictor:
    torch.manual_seed(3)
    card = Card(
        id="small",
        task="part",
        title="Small",
        network=Network(name=name, arguments=arguments),
        preprocessing={},
        labels=[Label(name="any", meaning="any")],
        operating_points=[],
        training_data=TrainingData(summary="nothing", phantoms_only=False, count="0"),
        evaluation=[],
        license="Apache-2.0",
        intended_use="tests",
        limitations="all",
    )
    network = build_network(name, arguments).eval()
    return TorchPredictor(network, card=card, version="1.0.0", sha256="ab" * 32, device="cpu")


class OneLabel(torch.nn.Module):
    """A network as MONAI wants it: images to logits ``(n, labels)``; of a mask the mean logit."""

    def __init__(self, network: torch.nn.Module, part: str, output: str, then: str) -> None:
        super().__init__()
        self.network, self.part, self.output, self.then = network, part, output, then

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        outputs = (getattr(self.network, self.part) if self.part else self.network)(images.requires_grad_(True))
        if self.then:
            return getattr(self.network, self.then)(outputs[self.part][:, None])[self.output][:, 0]
        return outputs[self.output].flatten(2).mean(2) if outputs[self.output].ndim > 2 else outputs[self.output]


def test_every_network_that_labels_images_is_tried_here() -> None:
    # Two label no images, one reads volumes, one draws its maps itself.
    others = {"pe_sequence", "image_features", "residual_unet", "slab_sequence"}
    assert set(SMALL) | others == set(list_networks())


@pytest.mark.slow
@pytest.mark.parametrize("name", SMALL)
def test_every_network_that_reads_images_gives_monais_map_scaled_to_the_probability(name: str) -> None:
    arguments, size, (part, output, then) = SMALL[name]
    predictor = predictor_of(name, arguments)
    images = np.random.default_rng(0).random((2, 1, size, size), dtype=np.float32)
    maps = predictor.explain(images, output=output, index=0, part=part, then=then)
    assert maps.shape == (2, size, size)
    assert np.isfinite(maps).all()
    assert maps.min() >= 0
    assert not any(module._forward_hooks or module._backward_hooks for module in predictor.network.modules())
    view = OneLabel(predictor.network.to(memory_format=torch.contiguous_format), part, output, then)
    expected = GradCAM(nn_module=view, target_layers=f"network.{predictor.network.gradcam_layer}")
    for own, image in zip(maps, images, strict=True):
        raw = expected.compute_map(torch.from_numpy(image[None]), class_idx=0)
        raw = expected.upsampler((size, size))(raw)[0, 0].detach().numpy()
        assert (own.max() > 0) == (raw.max() > 0)
        if raw.max() > 0:
            np.testing.assert_allclose(own / own.max(), raw / raw.max(), atol=1e-3)


def test_a_network_that_reads_no_images_is_refused() -> None:
    with pytest.raises(ModelError, match="names no layer"):
        predictor_of("pe_sequence", {}).explain(np.zeros((1, 1, 64), np.float32), output="slice", index=0)


def test_a_network_whose_layer_gives_no_maps_is_refused() -> None:
    densenet = {"spatial_dims": 2, "in_channels": 1, "out_channels": 2, "init_features": 8, "block_config": [1, 1]}
    predictor = predictor_of("monai", {"target": "DenseNet", "arguments": densenet, "output": "pathologies"})
    with pytest.raises(ModelError, match="gives numbers, not maps"):
        predictor.explain(np.zeros((1, 1, 64, 64), np.float32), output="pathologies", index=0)
