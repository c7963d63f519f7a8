import pytest
import segmentation_models_pytorch as smp
import timm
import torch

from AcuteFindingsLib.errors import ModelError
from AcuteFindingsLib.networks.layers import some_against_others
from AcuteFindingsLib.networks.radiograph_unet import RadiographUNet

CHANNELS = (16, 8, 8, 8, 4)


def settled(network, images):
    """Batch norms with the statistics of their own activations, so that numbers stay of a sane size."""
    torch.manual_seed(23)
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.momentum = None
            torch.nn.init.uniform_(module.weight, 0.5, 1.5)
            torch.nn.init.uniform_(module.bias, -0.2, 0.2)
    with torch.no_grad():
        network.train()(images)
    return network.eval()


def composed(state, backbone, images, *, classes, widths):
    """The same of timm and segmentation-models-pytorch: feature maps, mask logits."""
    encoder = timm.create_model(backbone, features_only=True, in_chans=1)
    inside = {name.removeprefix("encoder."): value for name, value in state.items() if name.startswith("encoder.")}
    encoder.load_state_dict(inside)
    unet = smp.Unet(f"tu-{backbone}", encoder_weights=None, in_channels=1, classes=classes, decoder_channels=widths)
    decoder = {
        name.removeprefix("decoder.").replace(".conv.", ".0.").replace(".norm.", ".1."): value
        for name, value in state.items()
        if name.startswith("decoder.")
    }
    unet.decoder.load_state_dict(decoder)
    head = {"0.weight": state["segmentation_head.conv.weight"], "0.bias": state["segmentation_head.conv.bias"]}
    unet.segmentation_head.load_state_dict(head)
    with torch.no_grad():
        maps = encoder.eval()(images)
        return maps, unet.segmentation_head.eval()(unet.decoder.eval()([images, *maps]))


@pytest.mark.parametrize("backbone", ["tf_efficientnetv2_s", "regnety_002"])
def test_a_pneumothorax_network_is_timm_and_a_u_net_of_smp(backbone):
    images = torch.rand(2, 1, 64, 96) * 2 - 1
    network = settled(RadiographUNet(backbone=backbone, decoder_channels=CHANNELS), images)
    maps, drawn = composed(network.state_dict(), backbone, images, classes=1, widths=CHANNELS)
    with torch.no_grad():
        given = network(images)
    assert list(given) == ["mask", "empty"]
    torch.testing.assert_close(given["mask"], drawn, atol=1e-4, rtol=1e-4)
    logit = torch.nn.functional.linear(maps[-1].mean((2, 3)), network.classifier.weight, network.classifier.bias)
    torch.testing.assert_close(1 - given["empty"].sigmoid(), logit.sigmoid(), atol=1e-5, rtol=1e-5)


def test_lungs_are_two_of_four_classes_and_the_views_exclude_each_other():
    images = torch.rand(2, 1, 64, 64) * 2 - 1
    network = RadiographUNet(
        backbone="regnety_002",
        decoder_channels=CHANNELS,
        classes=4,
        mask=[1, 2],
        labels=5,
        finding=None,
        views=[1, 2, 3],
    )
    network = settled(network, images)
    maps, drawn = composed(network.state_dict(), "regnety_002", images, classes=4, widths=CHANNELS)
    with torch.no_grad():
        given = network(images)
        labels = network.classifier(maps[-1].mean((2, 3)))
    assert list(given) == ["mask", "views"]
    torch.testing.assert_close(given["mask"].sigmoid(), drawn.softmax(1)[:, 1:3].sum(1, keepdim=True))
    torch.testing.assert_close(given["views"].sigmoid(), labels[:, 1:4].softmax(1))


def test_some_classes_against_the_others_is_the_sum_of_their_softmax():
    logits = torch.randn(3, 4, 5, 5) * 20
    some = some_against_others(logits, [3, 1]).sigmoid()
    torch.testing.assert_close(some, logits.softmax(1)[:, [1, 3]].sum(1, keepdim=True), atol=1e-6, rtol=1e-5)


def test_a_picture_of_any_size_gets_a_mask_of_its_size(answer):
    outputs = answer(RadiographUNet(backbone="regnety_002", decoder_channels=CHANNELS), torch.rand(1, 1, 70, 45))
    assert {name: tuple(value.shape) for name, value in outputs.items()} == {"mask": (1, 1, 70, 45), "empty": (1, 1)}


def test_the_published_network_is_as_large_as_its_file():
    # 89.1 MB with the names before them.
    with torch.device("meta"):
        state = RadiographUNet().state_dict()
    assert sum(value.numel() * value.element_size() for value in state.values()) == 88_987_328
    assert {"encoder.conv_stem.weight", "decoder.blocks.4.conv2.norm.bias", "segmentation_head.conv.bias"} <= set(state)


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ({"decoder_channels": [8, 8]}, "2 steps"),
        ({"mask": [1]}, "1 classes"),
        ({"classes": 2, "mask": [0, 1]}, "not all"),
        ({"views": [0, 1]}, "three views"),
        ({"finding": 1}, "1 labels"),
    ],
)
def test_what_is_not_there_is_refused(wrong, told):
    with pytest.raises(ModelError, match=told):
        RadiographUNet(**{"backbone": "regnety_002", "decoder_channels": CHANNELS, **wrong})
