import pytest
import torch

from AcuteFindingsLib.errors import ModelError
from AcuteFindingsLib.networks.pneumothorax import PneumothoraxClassifier, PneumothoraxSegmenter

# The encoders of docs/sources.md 3, and EfficientNet-Lite0.
ENCODERS = ["densenet121", "resnet34", "se_resnext50_32x4d", "tf_efficientnet_lite0"]


def shapes(outputs):
    return {name: tuple(value.shape) for name, value in outputs.items()}


def test_the_published_classifier_is_densenet121_with_one_unit(weights):
    with torch.device("meta"):
        assert weights(PneumothoraxClassifier(in_channels=3)) == 6_953_856 + 1024 + 1


def test_a_radiograph_gets_one_logit(answer):
    assert shapes(answer(PneumothoraxClassifier(), torch.rand(2, 1, 64, 64))) == {"image": (2, 1)}


def test_the_network_from_scratch_is_the_classic_one(weights):
    with torch.device("meta"):
        assert weights(PneumothoraxSegmenter(encoder="scratch")) == 31_030_658 - 65


@pytest.mark.parametrize(
    ("encoder", "published"),
    [
        ("densenet121", 6_953_856),
        ("resnet34", 21_284_672),
        ("se_resnext50_32x4d", 27_559_896 - 2_049_000),
    ],
)
def test_encoders_have_the_published_number_of_weights(weights, encoder, published):
    with torch.device("meta"):
        network = PneumothoraxSegmenter(encoder=encoder, in_channels=3)
    assert weights(network.parts.encoder) == published


def test_unet_on_resnet34_has_24_436_369_weights(weights):
    with torch.device("meta"):
        assert weights(PneumothoraxSegmenter(encoder="resnet34", in_channels=3)) == 24_436_369


@pytest.mark.slow
@pytest.mark.parametrize("encoder", ["scratch", *ENCODERS])
def test_masks_are_as_large_as_the_radiograph_whatever_its_size(answer, encoder):
    outputs = answer(PneumothoraxSegmenter(encoder=encoder), torch.rand(1, 1, 70, 45))
    assert shapes(outputs) == {"mask": (1, 1, 70, 45)}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("architecture", "encoder"),
    [
        ("unet", "scratch"),
        ("unet", "resnet34"),
        ("unetplusplus", "resnet34"),
        ("unetplusplus", "densenet121"),
        ("deeplabv3plus", "resnet34"),
        ("deeplabv3plus", "tf_efficientnet_lite0"),
        ("unet", "resnet10t"),
    ],
)
def test_the_branch_says_whether_the_mask_is_empty(answer, architecture, encoder):
    network = PneumothoraxSegmenter(architecture=architecture, encoder=encoder, empty_branch=True)
    assert shapes(answer(network, torch.rand(2, 1, 64, 64))) == {"mask": (2, 1, 64, 64), "empty": (2, 1)}


def test_the_branch_is_one_linear_layer_and_teaches_the_encoder(weights, without_gradient):
    network = PneumothoraxSegmenter(encoder="tf_efficientnet_lite0", empty_branch=True).train()
    plain = PneumothoraxSegmenter(encoder="tf_efficientnet_lite0")
    assert weights(network) - weights(plain) == 320 + 1
    untaught = without_gradient(network, network(torch.rand(2, 1, 64, 64))["empty"].square().sum())
    assert not [name for name in untaught if name.startswith("parts.encoder")]


def test_the_mask_teaches_everything_but_the_branch(without_gradient):
    network = PneumothoraxSegmenter(encoder="tf_efficientnet_lite0", empty_branch=True).train()
    untaught = without_gradient(network, network(torch.rand(2, 1, 64, 64))["mask"].square().sum())
    assert untaught == ["empty.weight", "empty.bias"]


def test_dropout_acts_in_training_only(answer):
    network = PneumothoraxSegmenter(encoder="tf_efficientnet_lite0", dropout=0.5)
    images = torch.rand(2, 1, 64, 64)
    assert torch.equal(answer(network, images)["mask"], answer(network, images)["mask"])
    network.dropout.train()
    with torch.inference_mode():
        assert not torch.equal(network(images)["mask"], network(images)["mask"])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"architecture": "segnet"}, "no segmenter 'segnet'; choose unet, unetplusplus, deeplabv3plus"),
        ({"architecture": "unetplusplus", "encoder": "scratch"}, "From scratch there is the U-Net only"),
        ({"encoder": "resnet43"}, "'unet' does not go on the encoder 'resnet43'"),
        ({"architecture": "deeplabv3plus"}, "'deeplabv3plus' does not go on the encoder 'densenet121'"),
    ],
)
def test_what_does_not_go_together_is_refused(arguments, message):
    with pytest.raises(ModelError, match=message):
        PneumothoraxSegmenter(**arguments)
