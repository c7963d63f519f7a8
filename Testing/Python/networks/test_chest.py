import pytest
import torch
from torch.nn import functional

from AcuteFindingsLib.errors import ModelError
from AcuteFindingsLib.networks.chest import ChestClassifier, LungUNet


def shapes(outputs):
    return {name: tuple(value.shape) for name, value in outputs.items()}


def test_the_published_classifier_is_densenet121_with_five_pathologies_and_four_tubes(weights):
    with torch.device("meta"):
        assert weights(ChestClassifier(in_channels=3)) == 6_953_856 + 9 * (1024 + 1)


@pytest.mark.parametrize(
    ("tasks", "expected"),
    [
        ({}, {"pathologies": (2, 5), "tubes": (2, 4)}),
        ({"tubes": []}, {"pathologies": (2, 5)}),
        ({"pathologies": []}, {"tubes": (2, 4)}),
        ({"pathologies": ["pneumothorax"], "tubes": ["chest_drain"]}, {"pathologies": (2, 1), "tubes": (2, 1)}),
    ],
)
def test_each_task_and_both_at_once(answer, tasks, expected):
    assert shapes(answer(ChestClassifier(backbone="resnet10t", **tasks), torch.rand(2, 1, 64, 64))) == expected


@pytest.mark.parametrize("output", ["pathologies", "tubes"])
def test_both_tasks_teach_the_backbone(without_gradient, output):
    network = ChestClassifier(backbone="tf_efficientnet_lite0").train()
    untaught = without_gradient(network, network(torch.rand(2, 1, 64, 64))[output].square().sum())
    assert not [name for name in untaught if name.startswith("backbone")]


@pytest.mark.parametrize("labels", [[], ["effusion", "effusion"]])
def test_no_label_or_one_twice_is_refused(labels):
    with pytest.raises(ModelError, match="at least one, none of them twice"):
        ChestClassifier(backbone="resnet10t", pathologies=labels, tubes=[])


def test_the_lung_network_is_lean_and_the_published_one_a_matter_of_width(weights):
    assert weights(LungUNet()) == 1_942_289
    with torch.device("meta"):
        assert weights(LungUNet(channels=(64, 128, 256, 512, 1024), batch_norm=False)) == 31_030_658 - 65


@pytest.mark.parametrize("size", [(256, 256), (97, 130)])
def test_lung_masks_are_as_large_as_the_radiograph(answer, size):
    assert shapes(answer(LungUNet(), torch.rand(1, 1, *size))) == {"mask": (1, 1, *size)}


@pytest.mark.parametrize("size", [(64, 64), (50, 77)])
def test_a_lung_network_on_a_backbone_gives_masks_as_large_as_the_radiograph(answer, size):
    network = LungUNet(encoder="resnet10t", decoder_channels=8)
    assert shapes(answer(network, torch.rand(1, 1, *size))) == {"mask": (1, 1, *size)}


def test_a_u_net_from_scratch_has_no_weights_to_start_from():
    with pytest.raises(ModelError, match="choose pretrained=False"):
        LungUNet(pretrained=True)


def test_a_lung_network_of_several_scales_answers_with_the_mean_of_their_probabilities():
    network = LungUNet(channels=(4, 8), scales=(0.5, 1.0)).eval()
    images = torch.rand(2, 1, 32, 48)
    small = functional.interpolate(images, size=(16, 24), mode="bilinear")
    with torch.inference_mode():
        coarse = functional.interpolate(network.unet(small), size=(32, 48), mode="bilinear").sigmoid()
        expected = (coarse + network.unet(images).sigmoid()) / 2
        torch.testing.assert_close(network(images)["mask"].sigmoid(), expected)


def test_a_single_scale_is_the_one_that_answers():
    network, images = LungUNet(channels=(4, 8), scales=(0.5,)).eval(), torch.rand(2, 1, 32, 48)
    seen = []
    network.unet.register_forward_hook(lambda _module, given, _answer: seen.append(given[0].shape[-2:]))
    assert network(images)["mask"].shape == images.shape
    assert seen == [(16, 24)]


@pytest.mark.parametrize("scales", [(), (1.0, 0.0)])
def test_scales_that_leave_no_picture_are_refused(scales):
    with pytest.raises(ModelError, match="name at least one, each above zero"):
        LungUNet(scales=scales)


def test_a_lung_network_learns_from_pictures_as_they_come():
    network = LungUNet(channels=(4, 8), scales=(0.5, 1.0)).train()
    seen = []
    network.unet.register_forward_hook(lambda _module, given, _answer: seen.append(given[0].shape[-1]))
    network(torch.rand(2, 1, 32, 32))
    assert seen == [32]


def test_every_weight_of_the_lung_network_learns(without_gradient):
    network = LungUNet()
    assert without_gradient(network, network(torch.rand(2, 1, 64, 64))["mask"].square().sum()) == []
