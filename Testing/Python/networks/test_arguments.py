"""Networks out of files: allowed arguments only, bounded in size, and nothing is fetched."""

import pytest

from AcuteFindingsLib.errors import ModelError
from AcuteFindingsLib.networks import build_network, build_stored_network
from AcuteFindingsLib.networks.monai_names import TARGETS


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("chest_classifier", {"backbone": "resnet18", "pretrained": True}),
        ("pe", {"encoder": {"backbone": "resnet18", "pretrained": "imagenet"}}),
        ("monai", {"target": "EfficientNetBN", "arguments": {"model_name": "efficientnet-b0", "pretrained": True}}),
        ("chest_classifier", {"backbone": "hf-hub:someone/model"}),
        ("chest_classifier", {"backbone": "hf_hub:someone/model"}),
        ("chest_classifier", {"backbone": "local-dir:/tmp/model"}),
        ("chest_classifier", {"backbone": "../../model"}),
        ("pneumothorax_segmenter", {"encoder": "https://example.org/x"}),
        ("pneumothorax_segmenter", {"encoder": "tu-hf-hub:someone/model"}),
        ("monai", {"target": "Transchex", "arguments": {}}),
        ("monai", {"target": "CellSamWrapper", "arguments": {"checkpoint": "x.pth"}}),
        ("monai", {"target": "ResNetFeatures", "arguments": {"model_name": "resnet18"}}),
        ("monai", {"target": "__class__", "arguments": {}}),
        ("monai", {"target": "UNet", "arguments": {"checkpoint": "x.pth"}}),
        ("monai", {"target": "DenseNet121", "arguments": {"spatial_dims": 2, "progress": "x"}}),
    ],
)
def test_weights_files_and_addresses_get_through_to_no_library(no_connections, name, arguments):
    with pytest.raises(ModelError):
        build_stored_network(name, arguments)


def test_a_network_that_starts_from_a_download_of_its_own_accord_is_told_not_to(no_connections):
    arguments = {"model_name": "efficientnet-b0", "num_classes": 1, "in_channels": 1}
    build_stored_network("monai", {"target": "EfficientNetBN", "arguments": arguments, "output": "pathologies"})


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("chest_classifier", {"backbone": "resnet18", "in_channels": 10**9}),
        ("lung_unet", {"channels": [60_000] * 5}),
        ("lung_unet", {"channels": [8] * 100_000}),
        ("lung_unet", {"channels": []}),
        ("lung_unet", {"channels": [-4, 8]}),
        ("lung_unet", {"channels": "abc"}),
        ("lung_unet", {"scales": [1e300]}),
        ("lung_unet", {"scales": [float("nan")]}),
        ("densenet40", {"growth": 40_000}),
        ("radnet", {"growth": 12, "hidden": 65_536, "labels": 65_536}),
        ("pe", {"sequence": {"length": 65_536, "hidden": 65_536}}),
        ("pe_slice_cnn", {"size": 65_536, "dense": [65_536]}),
        ("monai", {"target": "UNet", "arguments": {"spatial_dims": 2, "channels": [8] * 4000, "strides": [1] * 3999,
                                                   "in_channels": 1, "out_channels": 1}}),
        ("monai", {"target": "UNet", "arguments": {"spatial_dims": 2, "channels": [4, 8], "strides": [2],
                                                   "in_channels": 1, "out_channels": 1, "num_res_units": 65_000}}),
        ("monai", {"target": "UNet", "arguments": {"spatial_dims": 2, "act": [[[[[[[[[[["relu"]]]]]]]]]]]}}),
        ("monai", {"target": "UNet", "arguments": {}}),
        ("monai", {"target": "UNet", "arguments": {"spatial_dims": 2, "channels": [4, 8], "strides": [2],
                                                   "in_channels": 1, "out_channels": 1, "norm": "nope"}}),
        ("chest_classifier", {"pathologies": [{"a": 1}]}),
        ("chest_classifier", {"pathologies": 3}),
        ("chest_classifier", {"dropout": "much"}),
        ("chest_classifier", {"backbone": ["resnet18"]}),
        ("chest_classifier", {"self": 1}),
        ("image_features", {"backbone": "vit_base_patch16_224", "in_channels": 0}),
    ],
)  # fmt: skip
def test_senseless_arguments_are_a_sentence_before_memory_is_taken(name, arguments):
    with pytest.raises(ModelError):
        build_network(name, arguments)


def test_every_network_of_monai_that_is_taken_is_there():
    from monai.networks import nets

    assert [name for name in TARGETS if not hasattr(nets, name)] == []
