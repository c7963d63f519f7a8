import pytest
import torch

from AcuteFindingsLib.errors import ModelError
from AcuteFindingsLib.networks import build_network
from AcuteFindingsLib.networks.pe_slice_cnn import PE_SLICE_CNN_VARIANTS, PESliceCNN


def by_hand(filters, dense):
    """Count as Keras' summary does: 256 pixels, 3 channels, unpadded 3×3 and 2×2 pooling."""
    total, channels, side = 0, 3, 256
    for count in filters:
        total += 3 * 3 * channels * count + count
        channels, side = count, (side - 2) // 2
    return total + (side * side * channels * dense + dense) + (dense + 1)


def test_the_published_network_has_30_980_993_weights(weights):
    with torch.device("meta"):
        network = PESliceCNN()
    convolutions = 14_336 + 1_179_904 + 295_040
    assert weights(network) == convolutions + (30 * 30 * 128 * 256 + 256) + (256 + 1) == 30_980_993


@pytest.mark.parametrize(
    "name", [key for key, value in PE_SLICE_CNN_VARIANTS.items() if "filters" in value["arguments"]]
)
def test_every_compared_network_has_the_weights_of_its_layers(weights, name):
    variant = PE_SLICE_CNN_VARIANTS[name]
    with torch.device("meta"):
        network = build_network(variant["network"], variant["arguments"])
    assert weights(network) == by_hand(variant["arguments"]["filters"], variant["arguments"]["dense"][0])


def test_ten_networks_and_both_transfer_backbones_are_there():
    networks = [variant["network"] for variant in PE_SLICE_CNN_VARIANTS.values()]
    assert networks.count("pe_slice_cnn") == 10
    backbones = [variant["arguments"].get("backbone") for variant in PE_SLICE_CNN_VARIANTS.values()]
    assert {"inception_v3", "resnet50"} <= set(backbones)


def test_a_slice_gets_one_logit_that_teaches_every_layer(without_gradient):
    network = PESliceCNN(filters=(8, 8, 4), dense=(16,), size=64)
    outputs = network(torch.rand(3, 3, 64, 64))
    assert {name: tuple(value.shape) for name, value in outputs.items()} == {"slice": (3, 1)}
    assert without_gradient(network, outputs["slice"].square().sum()) == []


def test_too_small_a_picture_is_refused():
    with pytest.raises(ModelError, match="Pictures of 16 pixels are too small for 3 convolutions"):
        PESliceCNN(size=16)
