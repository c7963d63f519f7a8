import pytest
import torch
from torch import nn

from AcuteFindingsLib.errors import ModelError
from AcuteFindingsLib.networks.backbones import PooledBackbone, PyramidBackbone
from AcuteFindingsLib.networks.pneumothorax import PneumothoraxClassifier

# Headless, three channels. Keras states 54,336,736 for InceptionResNetV2 with 60,544 statistics of batch norms that
# have no scale; torchvision 25,557,032 and 21,797,672 and 7,978,856 with heads of 1000 classes; Tan's Lite0 has 4.65 M.
PUBLISHED = {
    "inception_resnet_v2": 54_336_736 - 60_544 + 60_544 // 2,
    "densenet121": 7_978_856 - 1_025_000,
    "resnet34": 21_797_672 - 513_000,
    "resnet50": 25_557_032 - 2_049_000,
    "tf_efficientnet_lite0": 4_652_008 - 1_281_000,
}


@pytest.mark.parametrize("name", PUBLISHED)
def test_backbones_have_the_published_number_of_weights(name, weights):
    with torch.device("meta"):
        assert weights(PooledBackbone(name, in_channels=3, pretrained=False)) == PUBLISHED[name]


@pytest.mark.parametrize("name", ["resnet10t", "tf_efficientnet_lite0", "mobilenetv3_small_050", "convnext_atto"])
def test_any_convolutional_backbone_gives_as_many_features_as_it_says(name):
    backbone = PooledBackbone(name, in_channels=1, pretrained=False).eval()
    assert backbone(torch.rand(2, 1, 64, 64)).shape == (2, backbone.features)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["resnet34", "tf_efficientnet_lite0", "densenet121"])
def test_a_pyramid_gives_the_channels_and_scales_it_says(name):
    backbone = PyramidBackbone(name, in_channels=1, pretrained=False).eval()
    maps = backbone(torch.rand(1, 1, 64, 64))
    assert [tuple(level.shape) for level in maps] == [
        (1, count, 64 // scale, 64 // scale)
        for count, scale in zip(backbone.channels, backbone.reductions, strict=True)
    ]


def test_an_unknown_backbone_is_refused_with_what_was_meant():
    with pytest.raises(ModelError, match=r"no model 'resnet43'; did you mean .*resnet34"):
        PooledBackbone("resnet43", in_channels=1, pretrained=False)


def test_a_backbone_of_tokens_is_refused():
    with pytest.raises(ModelError, match="'vit_tiny_patch16_224' gives tokens"):
        PooledBackbone("vit_tiny_patch16_224", in_channels=3, pretrained=False)


def test_frozen_layers_keep_weights_and_statistics_while_the_rest_learns():
    network = PneumothoraxClassifier(backbone="resnet10t")
    frozen = network.freeze_first(0.5)
    assert frozen == round(0.5 * sum(1 for layer in network.modules() if list(layer.parameters(recurse=False))))
    before = {name: value.clone() for name, value in network.state_dict().items()}
    network.train()
    optimizer = torch.optim.SGD([weight for weight in network.parameters() if weight.requires_grad], lr=1.0)
    network(torch.rand(4, 1, 64, 64))["image"].sum().backward()
    optimizer.step()
    changed = {name for name, value in network.state_dict().items() if not torch.equal(value, before[name])}
    assert not any(name.startswith(network._frozen) for name in changed)
    assert "output.weight" in changed
    assert any(name.endswith("running_mean") for name in changed)


def test_freezing_nothing_frees_everything_again():
    network = PneumothoraxClassifier(backbone="resnet10t")
    network.freeze_first(1.0)
    assert not any(weight.requires_grad for weight in network.parameters())
    network.freeze_first(0.0)
    assert all(weight.requires_grad for weight in network.parameters())
    assert all(layer.training for layer in network.modules() if isinstance(layer, nn.BatchNorm2d))


def test_a_share_beyond_all_layers_is_refused():
    with pytest.raises(ModelError, match="between 0 and 1"):
        PneumothoraxClassifier(backbone="resnet10t").freeze_first(5)
