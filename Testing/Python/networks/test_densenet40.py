import pytest
import torch
from torch import nn

from AcuteFindingsLib.networks.densenet40 import DenseNet40, DenseNet40Pyramid


def test_the_plain_classifier_has_the_published_1_02_million_weights(weights):
    assert weights(DenseNet40()) == 1_019_722


def test_it_has_forty_layers():
    network = DenseNet40()
    assert sum(isinstance(layer, nn.Conv2d | nn.Linear) for layer in network.modules()) == 40


@pytest.mark.parametrize(("stride", "sides"), [(1, [64, 32, 16, 16]), (2, [32, 16, 8, 8])])
def test_blocks_give_160_304_and_448_maps_at_the_scales_stated(stride, sides):
    pyramid = DenseNet40Pyramid(in_channels=1, stem_stride=stride)
    maps = pyramid(torch.rand(1, 1, 64, 64))
    assert [tuple(level.shape[1:]) for level in maps] == [
        (count, side, side) for count, side in zip([160, 304, 448, 448], sides, strict=True)
    ]
    assert pyramid.channels == [160, 304, 448, 448]
    assert pyramid.reductions == [64 // side for side in sides]


def test_a_layer_keeps_what_came_in_beside_what_it_adds():
    network = DenseNet40Pyramid(in_channels=1).eval()
    maps = torch.rand(1, 16, 8, 8)
    assert torch.equal(network.blocks[0](maps)[:, :16], maps)


def test_every_weight_learns(without_gradient):
    network = DenseNet40(in_channels=1, classes=2)
    assert without_gradient(network, network(torch.rand(2, 1, 32, 32))["classes"].square().sum()) == []
