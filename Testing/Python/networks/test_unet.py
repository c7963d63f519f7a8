import pytest
import torch

from AcuteFindingsLib.networks.unet import UNet


def test_the_classic_network_with_two_classes_has_the_published_31_03_million_weights(weights):
    with torch.device("meta"):
        assert weights(UNet(classes=2)) == 31_030_658


def test_its_body_has_the_weights_of_the_keras_network_of_source_5(weights):
    """31,031,685 with its last 3×3 convolution to 2 maps and 1×1 to one."""
    with torch.device("meta"):
        body = weights(UNet(classes=1)) - (64 + 1)
    assert body + (3 * 3 * 64 * 2 + 2) + (2 + 1) == 31_031_685


@pytest.mark.parametrize("size", [(64, 64), (50, 37), (16, 100)])
def test_masks_are_as_large_as_the_picture_whatever_its_size(size):
    network = UNet(channels=(4, 8, 16, 32)).eval()
    assert network(torch.rand(2, 1, *size)).shape == (2, 1, *size)


def test_every_weight_learns(without_gradient):
    network = UNet(channels=(4, 8, 16), batch_norm=True)
    assert without_gradient(network, network(torch.rand(2, 1, 32, 32)).square().sum()) == []
